//! Row A46: vectors of C2SP's Wycheproof, of which the files lie beside the crate and are not part of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::testing::BareJudge;
use scopegate::{Algorithm, KeySet, Secret};
use serde_json::Value;

/// Valid by their source, and refused here: the JWK names the algorithm `ES521`, which is none (RFC 7518 s3.1 has ES512).
const STRICTER: [&str; 2] = ["tc347", "tc351"];
/// Invalid by their source, and accepted here: a key that only a test for one vendor's weak primes would find (ROCA).
const LAXER: [&str; 1] = ["tc46"];

/// Judges every vector: none that is invalid is accepted, and every valid one is.
pub(crate) fn judge(document: &str) {
    let vectors: Vec<Value> = serde_json::from_str(document).unwrap();
    assert!(!vectors.is_empty());
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        let is = |number: &&str| vector["name"].as_str().unwrap().starts_with(&format!("{number} "));
        let token = vector["token"].as_str().unwrap();
        let accepted = bare_judge(vector).verify(token.as_bytes()).is_ok();
        let valid = vector["expected"] == "accept";
        if STRICTER.iter().any(|number| is(number)) || LAXER.iter().any(|number| is(number)) {
            println!("A46 {id}: accepted {accepted}, deviates by decision");
            continue;
        }
        assert_eq!(accepted, valid, "A46 {id}: {}", vector["why"]);
    }
}

/// Secrets count as the operator's where the set holds nothing else; beside public keys they are what no published set holds.
fn bare_judge(vector: &Value) -> BareJudge {
    let keys = vector["jwks"]["keys"].as_array().unwrap();
    let judge = if keys.iter().all(|key| key["kty"] == "oct") {
        BareJudge::of_secrets(keys.iter().filter_map(secret))
    } else {
        BareJudge::new(KeySet::from_json(vector["jwks"].to_string().as_bytes()).unwrap())
    };
    match vector["policy"]["algs"].as_array() {
        Some(names) => judge.algorithms(names.iter().filter_map(|name| Algorithm::from_name(name.as_str()?)).collect()),
        None => judge,
    }
}

/// What an operator would make of the key: nothing, where its own members forbid it.
fn secret(key: &Value) -> Option<Secret> {
    let operations = key["key_ops"].as_array();
    let verifies = operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !verifies || key.get("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    let octets = URL_SAFE_NO_PAD.decode(key["k"].as_str()?).ok()?;
    let secret = Secret::new(Algorithm::from_name(key["alg"].as_str()?)?, octets).ok()?;
    Some(match key["kid"].as_str() {
        Some(kid) => secret.kid(kid),
        None => secret,
    })
}
