//! JWK thumbprints (RFC 7638), by which a key is known wherever it is published.

use crate::jose::base64url;
use crate::jose::crypto;
use crate::jose::jwk::{Jwk, Unusable};

/// The thumbprint of a JWK, in base64url: SHA-256 over its required members, in order, as they were sent (RFC 7638 s3).
///
/// It asks nothing of the key but its required members, so that any kind of key has one: RSA, EC, OKP (RFC 8037 s2), oct and
/// AKP (RFC 9964 s6).
///
/// # Errors
/// [`Unusable`] if the document is not a JWK, or a required member is missing or not a string.
///
/// ```
/// let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// assert_eq!(scopegate::thumbprint(jwk.as_bytes()).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
/// assert!(scopegate::thumbprint(br#"{"kty":"OKP"}"#).is_err());
/// ```
pub fn thumbprint(jwk: &[u8]) -> Result<String, Unusable> {
    let jwk = Jwk::read(jwk)?;
    let required: &[&str] = match jwk.member("kty").ok_or(Unusable::MalformedMember)? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "oct" => &["k", "kty"],
        "AKP" => &["alg", "kty", "pub"],
        _ => return Err(Unusable::UnknownKind),
    };
    let members = required
        .iter()
        .map(|name| {
            // None of these members has a use for a character that JSON would escape.
            let text = jwk.member(name).filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
            (!text.contains(['"', '\\'])).then(|| format!("\"{name}\":\"{text}\""))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or(Unusable::MalformedMember)?;
    Ok(base64url::encode(&crypto::sha256(format!("{{{}}}", members.join(",")).as_bytes())))
}
