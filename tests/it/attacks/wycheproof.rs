//! Row A46: vectors of C2SP's Wycheproof, of which the files lie beside the crate and are not part of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::testing::BareJudge;
use scopegate::{Algorithm, KeySet, Secret};
use serde_json::Value;

/// Where we decide otherwise than the source.
const DEVIATIONS: [(&str, Verdict); 3] = [
    // The JWK's `alg` is `ES521`, which is no algorithm (RFC 7518 s3.1 has ES512).
    ("wycheproof-signature/347-tc347-rfc7520-Figure27", Verdict::Refused),
    ("wycheproof-signature/351-tc351-rfc7520WithKeyOps-Figure27", Verdict::Refused),
    // A modulus that one vendor's faulty library made (ROCA), as only a test for its fingerprint would find.
    ("wycheproof-crypto/002-tc46-jws_rsa_roca_key-rejectsKeyWithRocaVulnerability", Verdict::Accepted),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
}

/// Judges every vector: none that is invalid is accepted, and every valid one is.
pub(crate) fn judge(document: &str) {
    let vectors: Vec<Value> = serde_json::from_str(document).unwrap();
    assert!(!vectors.is_empty(), "A46 no vector in the file");
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        let token = vector["token"].as_str().unwrap();
        let verdict = match bare_judge(vector).verify(token.as_bytes()) {
            Ok(_) => Verdict::Accepted,
            Err(_) => Verdict::Refused,
        };
        let of_source = if vector["expected"] == "accept" { Verdict::Accepted } else { Verdict::Refused };
        let of_ours = DEVIATIONS.iter().find(|(deviating, _)| *deviating == id).map(|(_, verdict)| *verdict);
        assert_eq!(verdict, of_ours.unwrap_or(of_source), "A46 {id}: {}", vector["why"]);
    }
}

/// Secrets count as the operator's where the set holds nothing else; beside public keys they are what no published set holds.
fn bare_judge(vector: &Value) -> BareJudge {
    let keys = vector["jwks"]["keys"].as_array().unwrap();
    let judge = if keys.iter().all(|key| key["kty"] == "oct") {
        // An operator whose settings hold a secret that cannot be read has no validator at all.
        let secrets: Option<Vec<Option<Secret>>> = keys.iter().map(secret).collect();
        BareJudge::of_secrets(secrets.into_iter().flatten().flatten())
    } else {
        BareJudge::new(KeySet::from_json(vector["jwks"].to_string().as_bytes()).unwrap())
    };
    match vector["policy"]["algs"].as_array() {
        Some(names) => judge.algorithms(names.iter().filter_map(|name| Algorithm::from_name(name.as_str()?)).collect()),
        None => judge,
    }
}

/// What an operator would make of the key: nothing where its own members forbid it, and `None` if it cannot be read.
fn secret(key: &Value) -> Option<Option<Secret>> {
    let operations = key["key_ops"].as_array();
    let verifies = operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    let octets = URL_SAFE_NO_PAD.decode(key["k"].as_str()?).ok()?;
    if !verifies || key.get("use").is_some_and(|usage| usage != "sig") {
        return Some(None);
    }
    let secret = Secret::new(Algorithm::from_name(key["alg"].as_str()?)?, octets).ok()?;
    Some(Some(match key["kid"].as_str() {
        Some(kid) => secret.kid(kid),
        None => secret,
    }))
}
