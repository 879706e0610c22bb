//! Rows A: the algorithm, the key, and the signature itself.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_executor::block_on;
use scopegate::Algorithm::{Ed25519, EdDsa, Es384, Hs256, Hs512, Ps256, Rs256, Rs512};
use scopegate::Reason::{AlgorithmRefused, BadSignature, Malformed, UnknownKey};
use scopegate::testing::TestToken;
use scopegate::{Credentials, Family, KeySet, Profile, Requirement, Unusable};
use serde_json::{Value, json};

use super::rows::{accepted, refused, run, scope};
use super::world::{
    A1, A2, A3, A4, A5, A6, Key, Place, Settings, Site, base, base_by, encode, key_set, keys_of_a, resealed, signature,
    spki_of_a1,
};

#[test]
fn none_is_no_algorithm_in_any_spelling() {
    let named = |name: &str| base().header("alg", name);
    let unsigned =
        |name: &str| refused(&format!("A02 {name}, unsigned"), named(name).signature(vec![]).mint(), AlgorithmRefused);
    run([
        refused("A01 none, unsigned", base().unsigned().mint(), AlgorithmRefused),
        unsigned("None"),
        unsigned("NONE"),
        unsigned("nOnE"),
        unsigned(""),
        refused("A04 none, with a signature of A1 over it", named("none").mint(), AlgorithmRefused),
        refused("A04 RS256, unsigned", base().signature(vec![]).mint(), BadSignature),
    ]);
}

#[test]
fn alg_is_there_and_a_string() {
    let alg = |id: &str, value: Value| refused(id, base().header("alg", value).mint(), Malformed);
    run([
        refused("A05 no alg", base().without_header("alg").mint(), Malformed),
        alg("A06 a number", json!(256)),
        alg("A06 null", Value::Null),
        alg("A06 true", json!(true)),
        alg("A07 an object", json!({ "RS256": null })),
        alg("A07 a list", json!(["RS256"])),
    ]);
}

/// Nothing here makes a signature over SHA-1, so RS1 stands over a genuine one by A1 over SHA-256: the name alone is refused.
#[test]
fn an_algorithm_is_known_by_its_exact_name() {
    let named = |id: &str, name: &str| refused(id, base().header("alg", name).mint(), AlgorithmRefused);
    let hs1 = base().header("alg", "HS1");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &spki_of_a1());
    let input = hs1.clone().mint();
    let tag = hmac::sign(&key, input.rsplit_once('.').unwrap().0.as_bytes());
    run([
        named("A09 rs256", "rs256"),
        named("A09 Rs256", "Rs256"),
        named("A09 a blank after it", "RS256 "),
        named("A11 RS1", "RS1"),
        refused("A11 HS1", hs1.signature(tag.as_ref().to_vec()).mint(), AlgorithmRefused),
    ]);
}

#[test]
fn a_public_key_is_never_a_secret() {
    let hs256 = |id: &str, key: &Key, secret: &[u8]| {
        refused(id, base_by(key).signed_with_secret(Hs256, secret).mint(), AlgorithmRefused)
    };
    let der = spki_of_a1();
    let lines = STANDARD.encode(&der).into_bytes();
    let lines: Vec<_> = lines.chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    let crlf = pem.replace('\n', "\r\n");
    let empty = |kid: &str| base().header("kid", kid).signed_with_secret(Hs256, b"").mint();
    run([
        hs256("A13 PEM", &A1, pem.as_bytes()),
        hs256("A13 PEM without the last line feed", &A1, pem.trim_end().as_bytes()),
        hs256("A13 PEM with carriage returns", &A1, crlf.as_bytes()),
        hs256("A13 the same without the last ones", &A1, crlf.trim_end().as_bytes()),
        hs256("A13 DER", &A1, &der),
        hs256("A13 the JWK", &A1, A1.jwk().to_string().as_bytes()),
        refused("A13 HS512", base().signed_with_secret(Hs512, pem.as_bytes()).mint(), AlgorithmRefused),
        hs256("A17 the modulus of a key without alg", &A5, &A5.octets("n")),
        hs256("A17 the modulus as the text in its JWK", &A5, A5.jwk()["n"].as_str().unwrap().as_bytes()),
        hs256("A19 the octets of an Ed25519 key", &A4, &A4.octets("x")),
        refused("A20 no secret at all, unknown kid", empty("nobody"), AlgorithmRefused),
        refused("A21 no secret at all, a key without alg", empty(A5.kid), AlgorithmRefused),
    ]);
}

#[test]
fn a_key_serves_its_own_algorithm_alone() {
    let rs512 = || base().algorithm(Rs512).mint();
    let ps256_as_rs256 = base().algorithm(Ps256).header("alg", "RS256").mint();
    let rs256_as_ps256 = base_by(&A6).algorithm(Rs256).header("alg", "PS256").mint();
    let es384_as_es256 = base_by(&A3).algorithm(Es384).header("alg", "ES256").mint();
    run([
        refused("A23 RS512, not in the list", rs512(), AlgorithmRefused),
        refused("A23 RS512 in the list, by a key for RS256", rs512(), UnknownKey)
            .with(|settings| settings.algorithms.push(Rs512))
            .may_ask_a(),
        accepted("A23 the twin: by a key without alg", base_by(&A5).algorithm(Rs512).mint())
            .with(|settings| settings.algorithms.push(Rs512)),
        refused("A25 RS256 says the header, PS256 is the signature", ps256_as_rs256, BadSignature),
        refused("A25 PS256 says the header, RS256 is the signature", rs256_as_ps256, BadSignature),
        accepted("A25 the twin: PS256", base_by(&A6).mint()),
        refused("A26 ES256 by a key on P-384", es384_as_es256, UnknownKey).may_ask_a(),
        accepted("A26 the twin: ES384", base_by(&A3).mint()),
        accepted("A37 Ed25519, allowed", base_by(&A4).algorithm(Ed25519).mint())
            .with(|settings| settings.algorithms.push(Ed25519)),
        refused("A37 Ed25519, not allowed", base_by(&A4).algorithm(Ed25519).mint(), AlgorithmRefused),
        accepted("A37 EdDSA", base_by(&A4).mint()),
        refused("A37 EdDSA, not allowed", base_by(&A4).mint(), AlgorithmRefused)
            .with(|settings| settings.algorithms.retain(|algorithm| *algorithm != EdDsa)),
    ]);
}

#[test]
fn an_ecdsa_signature_is_two_numbers_of_fixed_length_and_neither_is_zero() {
    let token = base_by(&A2).mint();
    let genuine = signature(&token);
    let (r, s) = genuine.split_at(32);
    let number = |value: u8| [vec![0; 31], vec![value]].concat();
    let forged = |id: &str, signature: Vec<u8>| refused(id, resealed(&token, &signature), BadSignature);
    let extended = |zeros: usize| [r, s, &vec![0; zeros][..]].concat();
    run([
        accepted("A28 the twin: r and s", token.clone()),
        forged("A28 DER", der_of(r, s)),
        forged("A29 r=s=0", vec![0; 64]),
        forged("A29 r=0, s=1", [number(0), number(1)].concat()),
        forged("A29 r=1, s=0", [number(1), number(0)].concat()),
        forged("A29 r=s=n", [ORDER_OF_P256, ORDER_OF_P256].concat()),
        forged("A29 r genuine, s=0", [r, &number(0)[..]].concat()),
        forged("A31 no octet", vec![]),
        forged("A31 63 octets", genuine[..63].to_vec()),
        forged("A31 65 octets", extended(1)),
        forged("A31 96 octets", extended(32)),
        forged("A31 96 octets, each number longer", [&[0; 16][..], r, &[0; 16], s].concat()),
        // A signature has two forms. Both are genuine, so that none of them may name a token.
        accepted("A33 the other half: n-s", resealed(&token, &[r, &minus(&ORDER_OF_P256, s)[..]].concat())),
        forged("A33 n-r is nobody's", [&minus(&ORDER_OF_P256, r)[..], s].concat()),
    ]);
}

/// SEQUENCE of two INTEGERs.
fn der_of(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let mut number: Vec<u8> = number.iter().copied().skip_while(|octet| *octet == 0).collect();
        if number[0] >= 0x80 {
            number.insert(0, 0);
        }
        [vec![2, u8::try_from(number.len()).unwrap()], number].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(both.len()).unwrap()], both].concat()
}

const ORDER_OF_P256: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The difference of two numbers of equal length, big-endian.
fn minus(from: &[u8], number: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut difference: Vec<u8> = from
        .iter()
        .zip(number)
        .rev()
        .map(|(left, right)| {
            let place = i16::from(*left) - i16::from(*right) - borrow;
            borrow = i16::from(place < 0);
            u8::try_from(place.rem_euclid(256)).unwrap()
        })
        .collect();
    difference.reverse();
    difference
}

#[test]
fn an_ed25519_signature_has_one_form() {
    let token = base_by(&A4).mint();
    let genuine = signature(&token);
    let (r, s) = genuine.split_at(32);
    let mut carry = 0;
    let s_and_order = s.iter().zip(ORDER_OF_ED25519).map(|(left, right)| {
        let sum = u16::from(*left) + u16::from(right) + carry;
        carry = sum / 256;
        u8::try_from(sum % 256).unwrap()
    });
    let other = [r.to_vec(), s_and_order.collect()].concat();
    run([
        accepted("A34 the twin: S", token.clone()),
        refused("A34 S+L", resealed(&token, &other), BadSignature),
        refused("A34 no octet", resealed(&token, &[]), BadSignature),
        refused("A34 a zero octet more", resealed(&token, &[&genuine[..], &[0]].concat()), BadSignature),
    ]);
}

/// L of RFC 8032 s5.1, little-endian.
const ORDER_OF_ED25519: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Under such a key R = the neutral point and S = 0 is a signature over a good part of all messages.
#[test]
fn a_key_of_small_order_is_not_loaded() {
    let mut held_by_the_bare_primitive = Vec::new();
    for (name, point) in small_points() {
        let id = if name == "identity" { "A35" } else { "A36" };
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": encode(point) });
        let document = key_set(keys_of_a().into_iter().chain([jwk]));
        let set = KeySet::from_json(document.as_bytes()).unwrap();
        let causes: Vec<_> = set.left_out().iter().map(|entry| entry.cause).collect();
        assert_eq!(causes, [Unusable::BadPoint], "{id} {name}: the key is loaded");

        let forged: Vec<String> = (0..64).map(|count| forged_by_small_order(count).mint()).collect();
        let holds = |token: &&String| {
            let (input, _) = token.rsplit_once('.').unwrap();
            UnparsedPublicKey::new(&ED25519, point).verify(input.as_bytes(), &signature(token)).is_ok()
        };
        held_by_the_bare_primitive.push((name, forged.iter().filter(holds).count()));

        let row = |token: &str| {
            refused(&format!("{id} {name}"), token, UnknownKey).with(|it| it.key_set = document.clone()).may_ask_a()
        };
        run([row(&forged[0])]);
        assert_nothing_accepted(&document, &forged, &format!("{id} {name}"));
    }
    // The attack is one: without the check the keys would do.
    let held: usize = held_by_the_bare_primitive.iter().map(|(_, count)| *count).sum();
    assert!(held_by_the_bare_primitive[0] == ("identity", 64) && held > 64 + 16, "A36 {held_by_the_bare_primitive:?}");
}

fn forged_by_small_order(count: u32) -> TestToken {
    let neutral = [&[1][..], &[0; 31], &[0; 32]].concat();
    base_by(&A4).header("kid", "weak").claim("count", count).signature(neutral)
}

/// The points of order 1, 2, 4 and 8 in every encoding, canonical or not: y, y + p, and both signs.
fn small_points() -> Vec<(&'static str, [u8; 32])> {
    let from_p = |first: u8| {
        let mut point = [0xff; 32];
        point[0] = first;
        point[31] = 0x7f;
        point
    };
    let small = |first: u8| {
        let mut point = [0; 32];
        point[0] = first;
        point
    };
    let of_text = |text: &str| {
        let octet = |at: usize| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap();
        std::array::from_fn(octet)
    };
    let points: [(&str, &str, [u8; 32]); 7] = [
        ("identity", "identity, other sign", small(1)),
        ("order 4", "order 4, other sign", small(0)),
        ("order 2", "order 2, other sign", from_p(0xec)),
        ("order 4 as p", "order 4 as p, other sign", from_p(0xed)),
        ("identity as p+1", "identity as p+1, other sign", from_p(0xee)),
        ("order 8", "order 8, other sign", of_text("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")),
        (
            "order 8 too",
            "order 8 too, other sign",
            of_text("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        ),
    ];
    let both_signs = |(name, other_name, point): (&'static str, &'static str, [u8; 32])| {
        let mut other = point;
        other[31] ^= 0x80;
        [(name, point), (other_name, other)]
    };
    points.into_iter().flat_map(both_signs).collect()
}

/// That none of many tokens is accepted, and that the key set is as it was.
fn assert_nothing_accepted(document: &str, tokens: &[impl AsRef<[u8]>], about: &str) {
    let demand = Requirement::from(scope("read"));
    for profile in [Profile::Rfc9068, Profile::PlainJwt] {
        let settings = Settings { profile, key_set: document.to_owned(), ..Settings::default() };
        for place in [Place::HandedOver, Place::OnlyA] {
            let site = Site::new(place, &settings);
            for (at, token) in tokens.iter().enumerate() {
                let judged = site.validator.check(&Credentials::bearer(token), &demand);
                let family = judged.map_or_else(|rejection| Some(rejection.reason().family()), |_| None);
                assert_eq!(family, Some(Family::InvalidToken), "{about}: number {at}, {place:?}, {profile:?}");
            }
            let base = block_on(site.validator.validate(&Credentials::bearer(&base().mint()), &demand));
            assert!(base.is_ok(), "{about}: the good token after it");
        }
    }
}

#[test]
fn a_signature_is_over_this_token_and_of_this_length() {
    let token = base().mint();
    let genuine = signature(&token);
    let longer = [&[0][..], &genuine].concat();
    let other = signature(&base().claim("jti", "j-2").mint());
    let digest = digest::digest(&digest::SHA256, token.rsplit_once('.').unwrap().0.as_bytes());
    let forged = |id: &str, signature: &[u8]| refused(id, resealed(&token, signature), BadSignature);
    run([
        forged("A39 a zero octet before it", &longer),
        forged("A39 a zero octet after it", &[&genuine[..], &[0]].concat()),
        forged("A39 its last octet gone", &genuine[..255]),
        forged("A39 all zero", &[0; 256]),
        forged("A39 the digest itself", digest.as_ref()),
        forged("A43 the signature of another token", &other),
        refused("A43 the signature of another header", resealed(&base_by(&A5).mint(), &genuine), BadSignature),
    ]);
}

/// About 5,300 mutants of BASE, and 3,100 each of its twins by the keys A2 (ES256) and A4 (EdDSA), dots included.
#[test]
fn no_bit_of_a_token_can_be_changed() {
    let document = key_set(keys_of_a());
    for (name, token) in [("BASE", base().mint()), ("ES256", base_by(&A2).mint()), ("EdDSA", base_by(&A4).mint())] {
        let mutant = |at: usize| {
            let mut octets = token.clone().into_bytes();
            octets[at / 8] ^= 1 << (at % 8);
            octets
        };
        let mutants: Vec<_> = (0..token.len() * 8).map(mutant).collect();
        assert!(mutants.len() > 2_500, "{}", mutants.len());
        assert_nothing_accepted(&document, &mutants, &format!("A44 {name}, bit flipped"));
    }
}

#[test]
fn the_vectors_of_wycheproof_for_json_web_signatures_hold() {
    for name in ["wycheproof-signature.json", "wycheproof-key.json", "wycheproof-crypto.json"] {
        let path = format!("{}/../shared/conformance/{name}", env!("CARGO_MANIFEST_DIR"));
        match std::fs::read_to_string(&path) {
            Ok(document) => super::wycheproof::judge(&document),
            Err(error) => println!("A46 skipped: {path}: {error}"),
        }
    }
}

// A47 (Wycheproof's vectors of the primitives, wrapped as tokens) needs files that are not among ours. Their classes are
// here one by one: A25, A28, A29, A31, A33 to A36, A39.
