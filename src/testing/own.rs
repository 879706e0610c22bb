//! What the issuer reads back: JWTs that it has signed, and those that clients sign for it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::state::State;
use crate::clock::Timestamp;
use crate::jose::compact::{Typ, Unverified};
use crate::jose::crypto;
use crate::jose::key_set::KeySet;
use crate::jose::{algorithm::Algorithm, base64url};
use crate::keys::proof::{Proof, prove};
use crate::keys::store::KeyStore;

/// A JWT whose signature holds. Its times have not been looked at.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) typ: Typ,
    pub(super) claims: Map<String, Value>,
}

impl Signed {
    /// A JWT that is signed with one of these keys.
    pub(super) fn by(keys: KeySet, token: &str) -> Option<Self> {
        let token = Unverified::parse(token.as_bytes()).ok()?;
        let held = KeyStore::pushed(keys).read();
        match prove(&token, &held, Timestamp::new(0, Duration::ZERO)) {
            Ok(Proof::Holds(verified, _)) => {
                let claims = serde_json::from_slice(&verified.payload().ok()?).ok()?;
                Some(Self { typ: verified.typ().clone(), claims })
            }
            _ => None,
        }
    }

    /// A JWT that this issuer has signed with a key that it publishes.
    pub(super) fn by_published(issuer: &State, token: &str) -> Option<Self> {
        let keys = KeySet::from_json(issuer.lock().keyring.document().as_bytes()).ok()?;
        Self::by(keys, token)
    }

    /// A JWT that this issuer has signed with any key that it ever had.
    pub(super) fn by_any(issuer: &State, token: &str) -> Option<Self> {
        let kid = Unverified::parse(token.as_bytes()).ok()?.header.kid()?.to_owned();
        let jwk = issuer.lock().keyring.named(&kid).filter(|key| !key.algorithm.is_symmetric())?.jwk();
        let keys = KeySet::from_json(serde_json::json!({ "keys": [jwk] }).to_string().as_bytes()).ok()?;
        Self::by(keys, token)
    }

    /// An ID token of this issuer that somebody gives as a hint. It may have expired, and its key may be withdrawn (OpenID Connect
    /// RP-Initiated Logout 1.0 s2). No other kind of token will do: APIs have those.
    pub(super) fn id_token(issuer: &State, token: &str) -> Option<Self> {
        Self::by_any(issuer, token)
            .filter(|signed| signed.typ == Typ::Jwt && signed.text("iss") == Some(&issuer.identifier))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// The first of its audiences.
    pub(super) fn audience(&self) -> Option<&str> {
        let audience = self.claims.get("aud")?;
        audience.as_str().or_else(|| audience.get(0)?.as_str())
    }

    pub(super) fn has_audience(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            Some(one) => one == audience,
            None => false,
        }
    }

    pub(super) fn has_expired(&self, now: i64) -> bool {
        self.claims.get("exp").and_then(Value::as_i64).is_none_or(|ends| ends <= now)
    }
}

/// A text that nobody can guess.
#[expect(clippy::panic, reason = "a test without randomness cannot go on, and has no key to begin with")]
pub(super) fn unguessable() -> String {
    let octets: [u8; 32] = crypto::random().unwrap_or_else(|| panic!("the operating system has no randomness"));
    base64url::encode(&octets)
}

/// `at_hash` (OpenID Connect Core 1.0 s3.1.3.6), if the algorithm has a hash.
pub(super) fn half_hash(algorithm: Algorithm, text: &str) -> Option<String> {
    crypto::half_digest(algorithm, text.as_bytes()).map(|half| base64url::encode(&half))
}

/// The challenge of a verifier by S256 (RFC 7636 s4.2).
pub(super) fn challenge(verifier: &str) -> String {
    base64url::encode(&crypto::sha256(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B, and OpenID Connect Core 1.0 A.3 with the RS256 of its example.
    #[test]
    fn the_examples_of_the_specifications_hold() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(half_hash(Algorithm::Rs256, token).as_deref(), Some("77QmUPtjPfzWtF2AnpK9RQ"));
    }

    #[test]
    fn the_hash_is_that_of_the_algorithm() {
        let length = |algorithm| base64url::decode(half_hash(algorithm, "token").unwrap().as_bytes()).unwrap().len();
        use Algorithm::{Ed25519, EdDsa, Es256, Es384, Es512, Ps384, Rs512};
        assert_eq!([Es256, Es384, Ps384].map(length), [16, 24, 24]);
        assert_eq!([Es512, Rs512, EdDsa, Ed25519].map(length), [32; 4]);
        assert_ne!(half_hash(Es512, "token"), half_hash(Es512, "tokem"));
    }
}
