//! Rows K: which key judges a token, and what the header may say.

use std::io::ErrorKind;
use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use scopegate::Algorithm::Hs256;
use scopegate::Reason::{
    AlgorithmRefused, BadSignature, Encrypted, Malformed, MissingClaim, Unbound, UnknownKey, UnsupportedExtension,
    WrongAudience, WrongType,
};
use scopegate::testing::TestToken;
use serde_json::{Value, json};

use super::rows::{Row, accepted, refused, run};
use super::world::{
    A1, A5, A7, API, B1, B2, Binding, HEADER, Key, NOW, X, base, base_by, base_claims, encode, key_set, signed_by_a1,
    signed_by_x, spki_of_x, with_first,
};

/// A host that waits to be asked.
struct Listener(TcpListener);

impl Listener {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}/jwks", self.0.local_addr().unwrap())
    }

    /// Whoever had connected would be waiting here.
    fn assert_not_asked(&self, about: &str) {
        let kind = self.0.accept().map_err(|error| error.kind());
        assert_eq!(kind.err(), Some(ErrorKind::WouldBlock), "{about}: somebody connected");
    }
}

#[test]
fn a_token_never_brings_its_own_key() {
    let own_key = |token: TestToken| token.header("jwk", X.jwk());
    let certificates = || base_by(&X).header("x5c", [STANDARD.encode(certificate_of_x())]);
    run([
        refused("K01 jwk, no kid", own_key(base_by(&X)).without_header("kid").mint(), UnknownKey).may_ask_a_each_time(),
        refused("K01 jwk, its own kid", own_key(base_by(&X)).mint(), UnknownKey).may_ask_a(),
        refused("K01 jwk, the kid of A1", own_key(base_by(&X)).header("kid", A1.kid).mint(), BadSignature),
        accepted("K01 jwk beside a token of A1, which it does not change", own_key(base()).mint()),
        refused("K05 x5c, no kid", certificates().without_header("kid").mint(), UnknownKey).may_ask_a_each_time(),
        refused("K05 x5c, the kid of A1", certificates().header("kid", A1.kid).mint(), BadSignature),
    ]);
}

#[test]
fn a_token_never_names_where_its_key_lies() {
    for parameter in ["jku", "x5u"] {
        let id = if parameter == "jku" { "K04" } else { "K05" };
        let listener = Listener::new();
        let token = || base_by(&X).header(parameter, listener.url());
        run([
            refused(&format!("{id} {parameter}, no kid"), token().without_header("kid").mint(), UnknownKey)
                .may_ask_a_each_time(),
            refused(&format!("{id} {parameter}, its own kid"), token().mint(), UnknownKey).may_ask_a(),
            refused(&format!("{id} {parameter}, the kid of A1"), token().header("kid", A1.kid).mint(), BadSignature),
            accepted(&format!("{id} {parameter} in a token of A1"), base().header(parameter, listener.url()).mint()),
        ]);
        listener.assert_not_asked(id);
    }
}

/// A certificate without names or extensions (RFC 5280 s4.1), by X for X.
fn certificate_of_x() -> Vec<u8> {
    // sha256WithRSAEncryption, NULL
    let algorithm = der(0x30, &[&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0]]);
    let date = |text: &str| der(0x17, &[text.as_bytes()]);
    let validity = der(0x30, &[&date("260101000000Z"), &date("490101000000Z")]);
    let name = der(0x30, &[]);
    let certified = der(0x30, &[&[2, 1, 1], &algorithm, &name, &validity, &name, &spki_of_x()]);
    let signature = der(3, &[&[0], &signed_by_x(&certified)]);
    der(0x30, &[&certified, &algorithm, &signature])
}

/// A DER element of these contents.
fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = u16::try_from(contents.len()).unwrap();
    let head = match length.to_be_bytes() {
        [0, short @ 0..0x80] => vec![tag, short],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, contents].concat()
}

#[test]
fn no_extension_of_the_header_is_understood_so_none_may_be_demanded() {
    let row = |id: &str, members: &str| {
        let token = base().header_json(with_first(members, HEADER)).mint();
        refused(id, token, UnsupportedExtension)
    };
    run([
        row("K08 crit names what is there", r#""crit":["x-policy"],"x-policy":1"#),
        row("K08 crit names what is not there", r#""crit":["x-policy"]"#),
        row("K09 crit names nothing", r#""crit":[]"#),
        row("K09 crit names exp", r#""crit":["exp"],"exp":1"#),
        row("K09 crit names alg", r#""crit":["alg"]"#),
        row("K09 crit is no list", r#""crit":"exp""#),
        row("K09 crit is null", r#""crit":null"#),
        row("K12 b64 false without crit", r#""b64":false"#),
        row("K12 b64 true without crit", r#""b64":true"#),
        row("K14 zip", r#""zip":"DEF""#),
        refused("K15 enc", base().header("enc", "A128GCM").mint(), Encrypted),
        accepted("K08 the twin: x-policy without crit", base().header("x-policy", 1).mint()),
    ]);
}

/// RFC 7797: the payload is signed as it is. One with dots, as BASE has, can only be detached.
#[test]
fn a_payload_that_is_not_encoded_is_refused() {
    let header = encode(with_first(r#""crit":["b64"],"b64":false"#, HEADER));
    let token = |signed: &str, sent: &str| {
        let signature = encode(signed_by_a1(format!("{header}.{signed}")));
        format!("{header}.{sent}.{signature}")
    };
    let (dotless, claims) = (r#"{"sub":"user-1"}"#, base_claims());
    run([
        refused("K11 raw", token(dotless, dotless), UnsupportedExtension).not_b64token(),
        refused("K11 raw, with dots", token(&claims, &claims), Malformed).not_b64token(),
        refused("K11 detached", token(&claims, ""), UnsupportedExtension),
        refused("K11 base64url all the same", token(&encode(&claims), &encode(&claims)), UnsupportedExtension),
    ]);
}

#[test]
fn a_token_in_a_token_is_none() {
    let inner = base().mint();
    let nested = |cty: &str| base().header("cty", cty).payload_json(inner.clone()).mint();
    run([
        refused("K16 cty JWT", nested("JWT"), Malformed),
        refused("K16 cty application/jwt", nested("application/jwt"), Malformed),
        refused("K16 no cty", base().payload_json(inner.clone()).mint(), Malformed),
        refused("K16 cty JWT over claims", base().header("cty", "JWT").mint(), Malformed),
    ]);
}

/// That no key is derived from a password is seen by the time: 2^31 rounds take many minutes. A benchmark has the 50 us.
#[test]
fn an_encrypted_token_costs_nothing() {
    let header = json!({
        "alg": "PBES2-HS256+A128KW", "enc": "A128CBC-HS256", "p2c": 2_147_483_647_u32, "p2s": encode([7; 16]),
    });
    let header = encode(header.to_string());
    let token = format!("{header}.{}.{}.{}.{}", encode([1; 40]), encode([2; 16]), encode([3; 64]), encode([4; 16]));
    run([refused("K18 PBES2", token, Encrypted)]);
}

#[test]
fn a_token_without_kid_is_tried_by_four_keys_at_most() {
    let nameless = |key: &Key| base_by(key).without_header("kid").mint();
    let rsa = |key: Key| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    };
    let four = || key_set([A1, A5, A7, B1].map(rsa));
    let five = || key_set([A1, A5, B1, X, A7].map(rsa));
    run([
        accepted("K19 by the first of three that fit", nameless(&A1)),
        accepted("K19 by the third of three that fit", nameless(&A7)),
        refused("K19 by none of three that fit", nameless(&X), UnknownKey).may_ask_a_each_time(),
        accepted("K19 by the fourth of four", nameless(&B1)).with(|settings| settings.key_set = four()),
        refused("K19 by the fifth of five", nameless(&A7), UnknownKey).with(|settings| settings.key_set = five()),
        refused("K19 by the first of five", nameless(&A1), UnknownKey).with(|settings| settings.key_set = five()),
        accepted("K19 by the fifth of five, named", base_by(&A7).mint()).with(|settings| settings.key_set = five()),
    ]);
}

#[test]
fn kid_is_a_string_of_sane_length() {
    let kid = |id: &str, value: Value| refused(id, base().header("kid", value).mint(), Malformed);
    let of_length = |length: usize| base().header("kid", "k".repeat(length)).mint();
    let mut long = A5.jwk();
    long["kid"] = "k".repeat(256).into();
    let with_long = key_set([A1.jwk(), long]);
    run([
        kid("K22 a number", json!(1)),
        kid("K22 a list", json!(["a-rsa-1"])),
        kid("K22 an object", json!({})),
        kid("K22 null", Value::Null),
        refused("K26 257 bytes", of_length(257), Malformed),
        refused("K26 10 KiB", of_length(10_240), Malformed),
        refused("K26 256 bytes that name no key", of_length(256), UnknownKey).may_ask_a(),
        accepted("K26 256 bytes that name a key", base_by(&A5).header("kid", "k".repeat(256)).mint())
            .with(|settings| settings.key_set = with_long),
    ]);
}

/// K24 asks to see that no file is opened. No code here opens one (`tests/architecture.rs` sees to the network), so what is
/// asserted is that the name is a name and nothing else: at most the issuer's own key set is fetched.
#[test]
fn kid_is_a_name_and_neither_a_path_nor_a_query() {
    const PATH: &str = "../../../../dev/null";
    let named = |id: &str, kid: &str| refused(id, base().header("kid", kid).mint(), UnknownKey).may_ask_a();
    let empty = base().header("kid", PATH).signed_with_secret(Hs256, b"").mint();
    run([
        refused("K24 a path, signed with no secret", empty, AlgorithmRefused),
        named("K24 a path, signed by A1", PATH),
        named("K24 file:", "file:///etc/passwd"),
        named("K24 http:", "http://127.0.0.1:1/jwks"),
        named("K25 SQL", "' UNION SELECT 'x"),
        named("K27 a line of a header", "a-rsa-1\r\nX-Evil: 1"),
        named("K27 an escape sequence", "a-rsa-1\u{1b}[2J"),
        named("K27 a zero", "a-rsa-1\0"),
        named("K27 an empty name", ""),
        named("K27 another case", "A-RSA-1"),
    ]);
}

#[test]
fn an_issuer_is_judged_by_its_own_keys_alone() {
    run([
        // May ask A: were B asked, the address would show it.
        refused("K29 the key of B", base_by(&B1).mint(), UnknownKey).may_ask_a(),
        refused("K29 the key of B without kid", base_by(&B1).without_header("kid").mint(), UnknownKey)
            .may_ask_a_each_time(),
        refused("K30 the key of B that has the name of one of A", base_by(&B2).mint(), BadSignature),
        accepted("K30 the twin: the key of A", base_by(&A7).mint()),
    ]);
}

#[test]
fn typ_says_what_kind_of_token_it_is() {
    let typ = |typ: &str| base().typ(typ).mint();
    let untyped = || base().without_header("typ").mint();
    run([
        refused("K32 JWT, strict", typ("JWT"), WrongType).strict(),
        refused("K32 absent, strict", untyped(), WrongType).strict(),
        accepted("K32 JWT, lenient", typ("JWT")).lenient(),
        accepted("K32 absent, lenient", untyped()).lenient(),
        refused("K32 null", base().header("typ", Value::Null).mint(), Malformed),
        accepted("K33 application/at+jwt", typ("application/at+jwt")),
        accepted("K33 AT+JWT", typ("AT+JWT")),
        refused("K33 at+jwt and a blank", typ("at+jwt "), WrongType),
        refused("K35 logout+jwt", typ("logout+jwt"), WrongType),
        refused("K35 a logout token by its claims", logout().mint(), WrongType).lenient(),
        refused("K35 secevent+jwt", typ("secevent+jwt"), WrongType),
        refused("K35 token-introspection+jwt", typ("token-introspection+jwt"), WrongType),
    ]);
}

/// OpenID Connect Back-Channel Logout 1.0 s2.4, with the plain type that many issuers give it.
fn logout() -> TestToken {
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    base().typ("JWT").without("scope").claim("events", event).claim("sid", "session-1")
}

/// RFC 9449 s4.2. The signature is judged before the type, so a proof of somebody's own key fails for its key, or for the
/// claims that it lacks; one that the issuer itself signed fails for its type.
#[test]
fn a_proof_is_no_token() {
    let proof = json!({ "jti": "p-1", "htm": "GET", "htu": format!("{API}/things"), "iat": NOW }).to_string();
    let header = |kid: &str| {
        let kid = if kid.is_empty() { String::new() } else { format!(r#","kid":"{kid}""#) };
        format!(r#"{{"typ":"dpop+jwt","alg":"RS256","jwk":{}{kid}}}"#, X.jwk())
    };
    let by_x = |kid: &str| base_by(&X).header_json(header(kid)).payload_json(proof.as_str()).mint();
    let by_a1 = |claims: &str| base().header_json(header(A1.kid)).payload_json(claims).mint();
    let full = with_first(&format!(r#""htm":"GET","htu":"{API}/things""#), &base_claims());
    let plain = base().typ("JWT").payload_json(full.as_str()).mint();
    run([
        refused("K34 a proof", by_x(""), MissingClaim).only_a(UnknownKey),
        refused("K34 a proof, the kid of A1", by_x(A1.kid), MissingClaim).only_a(BadSignature),
        refused("K34 a proof by A1", by_a1(&proof), MissingClaim).only_a(WrongType),
        refused("K34 a proof by A1 with all claims of a token", by_a1(&full), WrongType),
        refused("K34 the same under the plain type", plain, WrongType),
    ]);
}

#[test]
fn an_id_token_is_no_access_token() {
    let id_token = || base().id_token();
    let without = |names: &[&str]| names.iter().fold(id_token(), |token, name| token.without(name));
    let cognito = |token_use: Value| {
        let token = base().without_header("typ").without("scope").claim("token_use", token_use);
        token.without("jti").claim("auth_time", NOW - 10)
    };
    run([
        refused("K39 for the client", id_token().audience("client-1").mint(), WrongType),
        refused("K39 for this very API", id_token().mint(), WrongType),
        refused("K39 nonce alone", without(&["at_hash"]).mint(), WrongType),
        refused("K39 at_hash alone", without(&["nonce"]).mint(), WrongType),
        refused("K39 c_hash alone", without(&["nonce", "at_hash"]).claim("c_hash", "x").mint(), WrongType),
        refused(
            "K39 for the client, without a mark",
            without(&["nonce", "at_hash"]).audience("client-1").mint(),
            WrongType,
        )
        .strict(),
        refused("K39 the same, lenient", without(&["nonce", "at_hash"]).audience("client-1").mint(), WrongAudience)
            .lenient(),
        refused("K41 token_use id", cognito(json!("id")).mint(), WrongType),
        refused("K41 token_use is no string", cognito(json!(1)).mint(), WrongType),
        accepted("K41 the twin: token_use access", cognito(json!("access")).scope("read").mint()).lenient(),
        refused("K41 Keycloak's typ ID", base().typ("JWT").claim("typ", "ID").mint(), WrongType),
        accepted("K41 the twin: Keycloak's typ Bearer", base().typ("JWT").claim("typ", "Bearer").mint()).lenient(),
    ]);
}

#[test]
fn a_token_that_is_bound_to_a_key_needs_its_proof() {
    let bound = |member: &str| base().claim("cnf", json!({ member: encode([7; 32]) })).mint();
    let ignored = |row: Row| row.with(|settings| settings.binding = Binding::Ignored);
    run([
        refused("K44 jkt", bound("jkt"), Unbound),
        refused("K44 x5t#S256", bound("x5t#S256"), Unbound),
        refused("K44 a binding of another kind", bound("x"), Unbound),
        refused("K44 an empty cnf", base().claim("cnf", json!({})).mint(), Unbound),
        ignored(accepted("K44 jkt, named in code", bound("jkt"))),
        ignored(accepted("K44 x5t#S256, named in code", bound("x5t#S256"))),
    ]);
}
