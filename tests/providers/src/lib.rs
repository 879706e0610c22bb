//! S29: another library of tokens in the process changes nothing. With both of its features on, `jsonwebtoken` asks the process for
//! a provider and panics where nobody has named one. This crate asks the process for nothing.

#![cfg(test)]

use std::panic::catch_unwind;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::{Credentials, Issuer, KeySet, Reason, Requirement, ScopePolicy, Validator};

const A: &str = "https://a.example.test";
const API: &str = "https://api.example.test";

/// A token of A's, good until 2100, and the key that signed it.
fn token() -> (String, Vec<u8>) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let header = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"a"}"#;
    let claims = serde_json::json!({
        "iss": A, "aud": API, "sub": "user-1", "client_id": "client-1", "scope": "read",
        "iat": 1_600_000_000, "exp": 4_102_444_800_u64, "jti": "j-1",
    });
    let [header, claims] = [header.to_owned(), claims.to_string()].map(|text| URL_SAFE_NO_PAD.encode(text));
    let seal = URL_SAFE_NO_PAD.encode(pair.sign(format!("{header}.{claims}").as_bytes()));
    (format!("{header}.{claims}.{seal}"), pair.public_key().as_ref().to_vec())
}

#[test]
fn row_s29_the_first_check_works_where_another_library_cannot_choose_its_provider() {
    let (token, public) = token();
    let x = URL_SAFE_NO_PAD.encode(public);
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{x}"}}]}}"#);
    let keys = KeySet::from_json(set.as_bytes()).unwrap();
    let validator = Validator::builder(API).trust(Issuer::keys(A, keys)).build().unwrap();
    let read = Requirement::from(ScopePolicy::all(["read"]).unwrap());
    let check = |token: &str| validator.check(&Credentials::bearer(token), &read);
    assert!(check(&token).is_ok(), "S29 the first check");
    let forged = token.replace(".ey", ".eX");
    assert_ne!(forged, token);
    assert_eq!(check(&forged).unwrap_err().reason(), Reason::BadSignature, "S29 the twin");

    let plain = catch_unwind(|| {
        let key = jsonwebtoken::DecodingKey::from_ed_components(&x).unwrap();
        let rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        jsonwebtoken::decode::<serde_json::Value>(&token, &key, &rules).is_ok()
    });
    let panic = plain.unwrap_err();
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    assert!(said.is_some_and(|said| said.contains("CryptoProvider")), "it was to be unable to choose: {said:?}");
    assert!(check(&token).is_ok(), "S29 after it has panicked");
}
