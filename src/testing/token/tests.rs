use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use super::*;
use crate::testing::{TestClock, TestIssuer};

fn issuer() -> TestIssuer {
    TestIssuer::new("https://issuer.test").clock(&TestClock::at(1_700_000_000))
}

fn part(token: &str, index: usize) -> Value {
    let octets = base64url::decode(token.split('.').nth(index).unwrap().as_bytes()).unwrap();
    serde_json::from_slice(&octets).unwrap()
}

fn verifies(token: &str, jwk: &Value) -> bool {
    let key = DecodingKey::from_jwk(&serde_json::from_value(jwk.clone()).unwrap()).unwrap();
    let alg = serde_json::from_value(jwk["alg"].clone()).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let verifier = (DEFAULT_PROVIDER.verifier_factory)(&alg, &key).unwrap();
    verifier.verify(input.as_bytes(), &base64url::decode(signature.as_bytes()).unwrap()).is_ok()
}

fn published(issuer: &TestIssuer) -> Value {
    serde_json::from_str(&issuer.jwks()).unwrap()
}

#[test]
fn a_token_as_it_comes_has_all_that_rfc_9068_asks() {
    let issuer = issuer();
    let token = issuer.token().mint();
    assert_eq!(part(&token, 0), serde_json::json!({ "alg": "ES256", "typ": "at+jwt", "kid": "es256-1" }));
    let claims = part(&token, 1);
    for name in ["iss", "aud", "sub", "client_id", "iat", "exp", "jti"] {
        assert!(claims.get(name).is_some(), "{name}");
    }
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(1_700_000_000), Some(1_700_000_300)));
    assert_ne!(part(&issuer.token().mint(), 1)["jti"], claims["jti"]);
}

#[test]
fn every_algorithm_that_jsonwebtoken_knows_is_verified_by_it() {
    use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps512, Rs256, Rs384};
    let algorithms = [EdDsa, Es256, Es384, Ps256, Ps512, Rs256, Rs384];
    let issuer = TestIssuer::with_algorithms("https://issuer.test", algorithms);
    let keys = published(&issuer);
    for (algorithm, jwk) in algorithms.into_iter().zip(keys["keys"].as_array().unwrap()) {
        let token = issuer.token().algorithm(algorithm);
        assert!(verifies(&token.clone().mint(), jwk), "{algorithm}");
        assert!(!verifies(&token.clone().tampered().mint(), jwk), "{algorithm}");
        assert!(!verifies(&token.signed_by_stranger().mint(), jwk), "{algorithm}");
    }
}

#[test]
fn every_algorithm_but_the_secrets_is_verified_by_this_crate_from_what_is_published() {
    let asymmetric = Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric());
    let issuer = TestIssuer::with_algorithms("https://issuer.test", asymmetric.clone());
    let keys = crate::KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    assert!(keys.left_out().is_empty());
    let holds = |token: String| {
        let unverified = crate::jose::compact::Unverified::parse(token.as_bytes()).unwrap();
        let own = keys.keys().iter().filter(|key| key.kid() == part(&token, 0)["kid"].as_str());
        crate::jose::verify::verify(&unverified, own).is_ok()
    };
    for algorithm in asymmetric {
        let token = issuer.token().algorithm(algorithm);
        assert!(holds(token.clone().mint()), "{algorithm}");
        assert!(!holds(token.clone().tampered().mint()), "{algorithm}");
        assert!(!holds(token.signed_by_stranger().mint()), "{algorithm}");
    }
}

#[test]
fn a_tampered_token_is_still_json_and_another_one() {
    let token = issuer().token();
    let good = part(&token.clone().mint(), 1);
    let bad = part(&token.tampered().mint(), 1);
    assert_ne!(good, bad);
    assert_eq!(flip_a_bit(b"{}".to_vec()), b"z}");
    assert!(flip_a_bit(Vec::new()).is_empty());
}

#[test]
fn defects_spoil_what_they_say_and_nothing_else() {
    let token = issuer().token().audience("api").scope("a b");
    let claims = part(&token.clone().not_yet_valid().mint(), 1);
    assert!(claims["nbf"].as_i64() > claims["iat"].as_i64() && claims["exp"].as_i64() > claims["nbf"].as_i64());
    let claims = part(&token.clone().expired().mint(), 1);
    assert!(claims["exp"].as_i64() < Some(1_700_000_000) && claims["iat"].as_i64() < claims["exp"].as_i64());
    assert_eq!((claims["aud"].as_str(), claims["scope"].as_str()), (Some("api"), Some("a b")));
    let unsigned = token.clone().unsigned().mint();
    assert_eq!(part(&unsigned, 0)["alg"], "none");
    assert!(unsigned.ends_with('.'));
    let id_token = token.id_token().mint();
    assert_eq!(part(&id_token, 0)["typ"], "JWT");
    assert!(part(&id_token, 1).get("scope").is_none() && part(&id_token, 1).get("nonce").is_some());
}

#[test]
fn attacks_are_minted_to_the_byte() {
    let token = issuer().token().header_json(r#"{"alg":"ES256","alg":"none"}"#).payload_json("{} ");
    let minted = token.signature(vec![1, 2]).mint();
    let expected = [r#"{"alg":"ES256","alg":"none"}"#.as_bytes(), b"{} ", &[1, 2]].map(base64url::encode).join(".");
    assert_eq!(minted, expected);
    let confused = issuer().token().signed_with_secret(Algorithm::Hs256, b"public").mint();
    assert_eq!(part(&confused, 0)["alg"], "HS256");
    assert_eq!(part(&confused, 0)["kid"], "es256-1");
    let bare = issuer().token().header("crit", ["b64"]).without_header("kid").without("exp").mint();
    assert_eq!(part(&bare, 0), serde_json::json!({ "alg": "ES256", "typ": "at+jwt", "crit": ["b64"] }));
    assert!(part(&bare, 1).get("exp").is_none());
}

#[test]
fn an_issuer_signs_under_the_name_of_another() {
    let (victim, attacker) = (issuer(), TestIssuer::new("https://attacker.test"));
    let token = attacker.forge(victim.token()).mint();
    assert_eq!(part(&token, 1)["iss"], "https://issuer.test");
    assert!(!verifies(&token, &published(&victim)["keys"][0]));
    assert!(verifies(&token, &published(&attacker)["keys"][0]));
}

#[test]
#[should_panic(expected = "the issuer https://issuer.test has no key for RS256")]
fn an_issuer_does_not_sign_with_a_key_that_it_has_not() {
    let _ = issuer().token().algorithm(Algorithm::Rs256).mint();
}
