//! Rows J: what a key set may hold. What its metadata may say is in `metadata`; rows of keys that come and go are in `faults`.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_executor::block_on;
use scopegate::Reason::{AlgorithmRefused, UnknownKey};
use scopegate::testing::{TestClock, TestIssuer};
use scopegate::{Algorithm, Credentials, Event, Issuer, KeySet, Observe, Unusable, Validator};
use serde_json::{Value, json};

use super::metadata::cause;
use super::rows::{Row, accepted, refused, run, scope};
use super::world::{
    A, A1, A2, A4, A5, A7, API, HEADER, Key, NOW, Place, Settings, Site, X, base, base_by, base_claims, encode,
    key_set, keys_of_a,
};
use crate::rotation::soon;

/// The good key set and these entries after it.
fn beside(entries: impl IntoIterator<Item = Value>) -> String {
    key_set(keys_of_a().into_iter().chain(entries))
}

fn changed(key: &Key, changes: Value) -> Value {
    let mut jwk = key.jwk();
    let Value::Object(changes) = changes else { panic!("not an object: {changes}") };
    for (name, value) in changes {
        jwk[name] = value;
    }
    jwk
}

/// The good set with this entry, which is left out for this cause while BASE is accepted.
#[track_caller]
fn left_out(id: &str, entry: Value, cause: Unusable) -> Row {
    let document = beside([entry]);
    let set = KeySet::from_json(document.as_bytes()).unwrap();
    let causes: Vec<_> = set.left_out().iter().map(|entry| (entry.place, entry.cause)).collect();
    assert_eq!(causes, [(7, cause)], "{id}");
    assert_eq!(set.keys().len(), 7, "{id}");
    accepted(id, base().mint()).with(|settings| settings.key_set = document)
}

fn with_set(row: Row, document: String) -> Row {
    row.with(|settings| settings.key_set = document)
}

#[test]
fn row_j10_fault_row_12_an_entry_that_is_no_key_spoils_no_other() {
    run([
        left_out("J10 null", Value::Null, Unusable::NotAnObject),
        left_out("J10 a string", json!("x"), Unusable::NotAnObject),
        left_out("J10 a number", json!(1), Unusable::NotAnObject),
        left_out("J10 a list", json!([]), Unusable::NotAnObject),
        left_out("J10 an empty object", json!({}), Unusable::MalformedMember),
    ]);
}

#[test]
fn row_j11_a_member_of_the_wrong_type_spoils_its_own_key_alone() {
    let wrong = |id: &str, changes: Value| left_out(id, changed(&X, changes), Unusable::MalformedMember);
    run([
        wrong("J11 kid", json!({"kid": 1})),
        wrong("J11 use", json!({"use": 7})),
        wrong("J11 alg", json!({"alg": 1})),
        wrong("J11 key_ops", json!({"key_ops": "verify"})),
    ]);
    // Nothing here reads `x5c`, so that nothing in it can matter.
    let odd = beside([changed(&X, json!({"x5c": "abc"}))]);
    run([
        with_set(accepted("J11 x5c", base().mint()), odd.clone()),
        with_set(accepted("J11 x5c of the key itself", base_by(&X).mint()), odd),
    ]);
}

#[test]
fn row_j14_row_j15_a_secret_in_a_public_document_is_no_key() {
    let secret = [7; 32];
    let oct = |kid: &str, secret: &[u8]| json!({"kty": "oct", "kid": kid, "alg": "HS256", "k": encode(secret)});
    let by = |kid: &str, secret: &[u8]| base().header("kid", kid).signed_with_secret(Algorithm::Hs256, secret).mint();
    run([
        left_out("J14 beside", oct("o", &secret), Unusable::Symmetric),
        left_out("J15 beside", oct("o", b""), Unusable::Symmetric),
        with_set(refused("J14 its token", by("o", &secret), AlgorithmRefused), beside([oct("o", &secret)])),
        with_set(refused("J15 its token", by("o", b""), AlgorithmRefused), beside([oct("o", b"")])),
        with_set(refused("J14 beside A1", by(A1.kid, &secret), AlgorithmRefused), beside([oct(A1.kid, &secret)])),
    ]);
}

/// The good token is refused here, so this is no row: its key is gone.
#[test]
fn row_j14_a_secret_in_the_place_of_a_public_key_is_not_used_in_its_place() {
    let secret = [7; 32];
    let oct = json!({"kty": "oct", "kid": A1.kid, "alg": "HS256", "k": encode(secret)});
    let set = key_set(std::iter::once(oct).chain(keys_of_a().split_off(1)));
    let read = KeySet::from_json(set.as_bytes()).unwrap();
    let causes: Vec<_> = read.left_out().iter().map(|entry| (entry.place, entry.cause)).collect();
    assert_eq!((causes, read.keys().len()), (vec![(0, Unusable::Symmetric)], 6), "J14");
    for place in [Place::HandedOver, Place::OnlyA, Place::Fetched] {
        let site = Site::new(place, &Settings { key_set: set.clone(), ..Settings::default() });
        let judge = |token: String| {
            let judged = block_on(site.validator.validate(&Credentials::bearer(&token), &scope("read").into()));
            judged.err().map(|rejection| (rejection.reason(), rejection.status().as_u16()))
        };
        assert_eq!(judge(base_by(&A2).mint()), None, "J14 {place:?}: another key works");
        let by_secret = base().signed_with_secret(Algorithm::Hs256, &secret).mint();
        assert_eq!(judge(by_secret), Some((AlgorithmRefused, 401)), "J14 {place:?}: HS256");
        assert_eq!(judge(base().mint()), Some((UnknownKey, 401)), "J14 {place:?}: A1 is gone");
    }
}

/// A key and a token by it of a size that no library here makes: modulus and token, made by another.
fn of_size(bits: &str) -> (Value, String) {
    let sizes: Value = serde_json::from_str(include_str!("rsa_sizes.json")).unwrap();
    let text = |name: &str| sizes[bits][name].as_str().unwrap().to_owned();
    (json!({"kty": "RSA", "kid": "w", "alg": "RS256", "n": text("n"), "e": "AQAB"}), text("token"))
}

#[test]
fn row_j17_row_j19_row_j20_an_rsa_key_has_from_2048_to_8192_bits() {
    let (weak, by_weak) = of_size("1024");
    let (large, by_large) = of_size("8200");
    let of_octets = |octets: usize| json!({"kty": "RSA", "kid": "w", "n": encode([&[0xc1][..], &vec![0x55; octets - 1]].concat()), "e": "AQAB"});
    run([
        left_out("J17 1024 bits", weak.clone(), Unusable::WeakModulus),
        left_out("J19 16,384 bits", of_octets(2048), Unusable::OversizedModulus),
        left_out("J20 8200 bits", large.clone(), Unusable::OversizedModulus),
        with_set(refused("J17 its token", by_weak, UnknownKey).may_ask_a(), beside([weak])),
        with_set(refused("J20 its token", by_large, UnknownKey).may_ask_a(), beside([large])),
        left_out("J19 400 KiB", of_octets(300 * 1024), Unusable::OversizedModulus),
    ]);
}

/// For the exponent 1 the signature is the padded hash itself (RFC 8017 s9.2), which anybody can write.
#[test]
fn row_j21_an_rsa_exponent_is_odd_and_more_than_one() {
    const DIGEST_INFO: &[u8] = &[
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    let input = format!("{}.{}", encode(HEADER.replace(A1.kid, "e1")), encode(base_claims()));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, input.as_bytes());
    let tail = [&[0][..], DIGEST_INFO, hash.as_ref()].concat();
    let padded = [&[0, 1][..], &vec![0xff; 256 - 2 - tail.len()], &tail].concat();
    let forged = format!("{input}.{}", encode(padded));
    let of = |exponent: &[u8]| changed(&X, json!({"kid": "e1", "e": encode(exponent)}));
    run([
        left_out("J21 e = 1", of(&[1]), Unusable::BadExponent),
        left_out("J21 e = 2", of(&[2]), Unusable::BadExponent),
        left_out("J21 e = 65536", of(&[1, 0, 0]), Unusable::BadExponent),
        with_set(refused("J21 the padded hash", forged, UnknownKey).may_ask_a(), beside([of(&[1])])),
    ]);
}

#[test]
fn row_j24_a_zero_before_an_rsa_modulus_is_left_out_of_account() {
    let padded = changed(&X, json!({"n": encode([&[0][..], &X.octets("n")].concat())}));
    run([with_set(accepted("J24", base_by(&X).mint()), beside([padded]))]);
}

#[test]
fn row_j25_row_j27_a_point_lies_on_its_curve() {
    let ec = |changes: Value| changed(&A2, changes);
    let other = |octets: Vec<u8>| encode(octets.iter().map(|octet| octet ^ 1).collect::<Vec<_>>());
    let named = |changes: Value| {
        let mut jwk = ec(changes);
        jwk["kid"] = "p".into();
        jwk
    };
    let zero = encode([0; 32]);
    run([
        left_out("J25 off the curve", named(json!({"y": other(A2.octets("y"))})), Unusable::BadPoint),
        left_out("J25 zero", named(json!({"x": zero, "y": zero})), Unusable::BadPoint),
        left_out(
            "J27 48 octets",
            named(json!({"x": encode([1; 48]), "y": encode([1; 48])})),
            Unusable::MalformedMember,
        ),
        left_out("J27 secp256k1 for ES256", named(json!({"crv": "secp256k1"})), Unusable::WrongAlgorithm),
        left_out("J27 p-256", named(json!({"crv": "p-256"})), Unusable::UnknownKind),
    ]);
}

#[test]
fn row_j29_row_j30_an_ed25519_key_has_32_octets() {
    let x = A4.octets("x");
    let of = |octets: &[u8]| changed(&A4, json!({"kid": "ed", "x": encode(octets)}));
    let longer = |by: usize| [&x[..], &vec![0; by]].concat();
    let token = || base_by(&A4).header("kid", "ed").mint();
    let mut rows = Vec::new();
    for (id, octets) in
        [("J29 none", Vec::new()), ("J29 31", x[..31].to_vec()), ("J30 33", longer(1)), ("J30 64", longer(32))]
    {
        rows.push(left_out(id, of(&octets), Unusable::MalformedMember));
        rows.push(with_set(refused(id, token(), UnknownKey).may_ask_a(), beside([of(&octets)])));
    }
    rows.push(with_set(accepted("J30 the twin: 32", token()), beside([changed(&A4, json!({"kid": "ed"}))])));
    run(rows);
}

#[test]
fn row_j32_row_j33_two_keys_of_one_name_are_told_apart_or_both_left_out() {
    let rival = changed(&X, json!({"kid": A7.kid}));
    let rivals = |turned: bool| {
        let mut keys = keys_of_a();
        keys.push(rival.clone());
        if turned {
            keys.reverse();
        }
        key_set(keys)
    };
    let by_rival = base_by(&X).header("kid", A7.kid).mint();
    for turned in [false, true] {
        let set = KeySet::from_json(rivals(turned).as_bytes()).unwrap();
        assert!(set.left_out().iter().all(|entry| entry.cause == Unusable::AmbiguousKid), "J32");
        assert_eq!((set.left_out().len(), set.keys().len()), (2, 6), "J32");
        run([
            with_set(refused("J32 by the one", base_by(&A7).mint(), UnknownKey).may_ask_a(), rivals(turned)),
            with_set(refused("J32 by the other", by_rival.clone(), UnknownKey).may_ask_a(), rivals(turned)),
        ]);
    }
    let both = beside([changed(&A2, json!({"kid": A7.kid}))]);
    run([
        with_set(accepted("J33 RS256", base_by(&A7).mint()), both.clone()),
        with_set(accepted("J33 ES256", base_by(&A2).header("kid", A7.kid).mint()), both),
    ]);
}

/// What has changed, as a listener hears of it.
#[derive(Debug, Default)]
struct Changes(Mutex<Vec<Vec<(usize, Unusable)>>>);

impl Observe for Changes {
    fn happened(&self, event: &Event) {
        if let Event::KeysChanged { after, .. } = event {
            self.0.lock().unwrap().push(after.left_out().iter().map(|entry| (entry.place, entry.cause)).collect());
        }
    }
}

#[test]
fn row_j32_the_listener_is_told_which_keys_of_one_name_were_left_out() {
    let clock = TestClock::at(NOW);
    let issuer = TestIssuer::with_algorithms(A, []).clock(&clock);
    issuer.publish_raw(key_set(keys_of_a()));
    let changes = Arc::new(Changes::default());
    let builder = Validator::builder(API).trust(Issuer::jwks(A, issuer.jwks_uri())).fetch(issuer.fetch());
    let validator = builder.clock(clock).observe(Arc::<Changes>::clone(&changes) as _).build().unwrap();
    block_on(validator.warm_up()).unwrap();
    issuer.publish_raw(beside([changed(&X, json!({"kid": A7.kid}))]));
    block_on(validator.refresh_now()).unwrap();
    let both = vec![(6, Unusable::AmbiguousKid), (7, Unusable::AmbiguousKid)];
    soon("J32 both are told", || *changes.0.lock().unwrap() == [vec![], both.clone()]);
}

#[test]
fn row_j34_a_key_without_a_name_judges_a_token_without_one() {
    let mut nameless = A2.jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    let token = base_by(&A2).without_header("kid").mint();
    run([with_set(accepted("J34", token), key_set([A1.jwk(), nameless]))]);
}

#[test]
fn row_j36_row_j38_a_key_for_something_else_judges_no_token() {
    let of = |changes: Value| {
        let mut jwk = changed(&X, changes);
        jwk["kid"] = "w".into();
        jwk
    };
    let mut rows = Vec::new();
    for (id, entry, cause) in [
        ("J36 use enc", of(json!({"use": "enc"})), Unusable::NotForSignatures),
        ("J36 key_ops encrypt", of(json!({"key_ops": ["encrypt"]})), Unusable::NotForSignatures),
        ("J38 RSA-OAEP", of(json!({"alg": "RSA-OAEP"})), Unusable::WrongAlgorithm),
        ("J38 none", of(json!({"alg": "none"})), Unusable::WrongAlgorithm),
    ] {
        let token = base_by(&X).header("kid", "w").mint();
        rows.push(left_out(id, entry.clone(), cause));
        rows.push(with_set(refused(id, token, UnknownKey).may_ask_a(), beside([entry])));
    }
    rows.push(with_set(accepted("J36 the twin", base_by(&X).header("kid", "w").mint()), beside([of(json!({}))])));
    run(rows);
}

/// RSA keys of different moduli, with A1 before them and A5 behind them. A modulus has to be odd and of 2048 bits to be read.
fn thousands(count: usize) -> String {
    let numbered = (0..count).map(|number| {
        let mut modulus = X.octets("n");
        let number_again = u32::try_from(number).unwrap().to_be_bytes();
        modulus[100..104].copy_from_slice(&number_again);
        changed(&X, json!({"kid": format!("rsa-{number}"), "n": encode(modulus)}))
    });
    key_set(std::iter::once(A1.jwk()).chain(numbered).chain([A5.jwk()]))
}

/// Of as many keys as may stand in one document, the first 512 count. Time and memory are asserted by `examples/soak`.
#[test]
fn row_j09_fault_row_11_of_more_keys_than_are_kept_the_first_count() {
    let set = KeySet::from_json(thousands(2_000).as_bytes()).unwrap();
    assert_eq!(set.keys()[0].kid(), Some(A1.kid), "J09");
    assert_eq!((set.keys().len(), set.left_out().len()), (512, 512), "J09 bounded");
    assert!(set.left_out().iter().all(|entry| entry.cause == Unusable::TooMany), "J09");
    let clock = TestClock::at(NOW);
    let validator = Validator::builder(API).trust(Issuer::keys(A, set)).clock(clock).build().unwrap();
    let check = |token: &str| validator.check(&Credentials::bearer(token), &scope("read").into());
    assert!(check(&base().mint()).is_ok(), "J09 the first");
    assert_eq!(check(&base_by(&A5).mint()).unwrap_err().reason(), UnknownKey, "J09 the last");
}

/// Ten thousand RSA keys are more octets than are fetched. As many small entries are not, and have more members than a document
/// may, which also stops what is handed over.
#[test]
fn row_j09_fault_row_11_of_ten_thousand_keys_none_is_taken_and_none_is_lost() {
    let small =
        key_set(std::iter::once(A1.jwk()).chain((0..10_000).map(|_| json!({"kty": "", "a": 0, "b": 0, "c": 0}))));
    for (document, stopped_by, is_short) in [(thousands(10_000), "too_large", false), (small, "unusable", true)] {
        assert_eq!(document.len() < 512 * 1024, is_short, "J09 {}", document.len());
        assert!(KeySet::from_json(document.as_bytes()).is_err(), "J09 handed over");
        let clock = TestClock::at(NOW);
        let issuer = TestIssuer::with_algorithms(A, []).clock(&clock);
        issuer.publish_raw(key_set(keys_of_a()));
        let builder = Validator::builder(API).trust(Issuer::jwks(A, issuer.jwks_uri())).fetch(issuer.fetch());
        let validator = builder.clock(clock).build().unwrap();
        block_on(validator.warm_up()).unwrap();
        let held = || {
            let a = validator.health().issuer(A).unwrap().clone();
            let kids = a.keys.keys().iter().map(|key| key.kid().map(str::to_owned)).collect::<Vec<_>>();
            (a.failures, kids)
        };
        let before = held().1;
        assert_eq!(before.len(), 7);
        issuer.publish_raw(document);
        let error = block_on(validator.refresh_now()).unwrap_err();
        assert_eq!((cause(&error).label(), held()), (stopped_by, (1, before)), "J09 KEEP");
        assert!(validator.check(&Credentials::bearer(&base().mint()), &scope("read").into()).is_ok(), "J09 KEEP");
    }
}

/// The modulus and the exponent of the one, written one after the other with an octet of zero between, read as those of the other.
#[test]
fn two_rsa_keys_are_two_keys_however_their_parts_join() {
    let issuer = TestIssuer::new(A);
    let kid = issuer.add_rsa(Algorithm::Rs256, 2048);
    let jwk: Value = serde_json::from_str(&issuer.jwk(&kid).unwrap()).unwrap();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let key = |n: &[u8], e: &[u8]| {
        let mut key = jwk.clone();
        key["n"] = URL_SAFE_NO_PAD.encode(n).into();
        key["e"] = URL_SAFE_NO_PAD.encode(e).into();
        key
    };
    let keys = [key(&modulus, &[3, 0, 5]), key(&[&modulus[..], &[0, 3]].concat(), &[5])];
    let set = KeySet::from_json(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    assert!(set.keys().is_empty() && set.left_out().iter().all(|key| key.cause == Unusable::AmbiguousKid), "{set:?}");
}
