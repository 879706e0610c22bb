//! One signing key of an issuer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm as Jwa, EncodingKey};
use serde_json::{Map, Value};

use crate::jose::algorithm::Algorithm;
use crate::jose::crypto::signing::{PrivateKey, SigningError};

/// A private key with the name and the algorithm under which it is published.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    private: Arc<Lent>,
}

/// A private key, and whether it goes back to the pool when nobody needs it any more.
struct Lent {
    private: Option<PrivateKey>,
    pooled: bool,
}

impl SigningKey {
    /// A key that no other living issuer has.
    pub(super) fn fresh(kid: String, algorithm: Algorithm) -> Result<Self, SigningError> {
        let pooled = is_rsa(algorithm);
        let spare = if pooled { lock(&RSA_POOL).pop() } else { None };
        let private = Some(spare.map_or_else(|| PrivateKey::generate(algorithm), Ok)?);
        Ok(Self { kid, algorithm, private: Arc::new(Lent { private, pooled }) })
    }

    /// An RSA key of this many bits.
    pub(super) fn rsa(kid: String, algorithm: Algorithm, bits: u32) -> Result<Self, SigningError> {
        if !is_rsa(algorithm) {
            return Err(SigningError::WrongKey(algorithm));
        }
        Ok(Self::of(kid, algorithm, PrivateKey::generate_rsa(bits)?))
    }

    /// An HMAC secret.
    pub(super) fn of_secret(kid: String, algorithm: Algorithm, secret: &[u8]) -> Self {
        Self::of(kid, algorithm, PrivateKey::from_secret(secret))
    }

    /// A private key that was made elsewhere.
    pub(super) fn of_pkcs8(kid: String, algorithm: Algorithm, document: &[u8]) -> Result<Self, SigningError> {
        Ok(Self::of(kid, algorithm, PrivateKey::from_pkcs8(algorithm, document)?))
    }

    /// A key that no issuer ever has, made once for each kind.
    pub(super) fn stranger(algorithm: Algorithm) -> Result<Self, SigningError> {
        let kind = if is_rsa(algorithm) { Algorithm::Rs256 } else { algorithm };
        let mut strangers = lock(&STRANGERS);
        let known = match strangers.get(&kind) {
            Some(known) => known.clone(),
            None => Self::fresh(String::new(), kind)?,
        };
        strangers.insert(kind, known.clone());
        Ok(Self { algorithm, ..known })
    }

    /// The key as a JWK: its public half, or the secret itself.
    pub(super) fn jwk(&self) -> Value {
        let members = self.private.private.iter().flat_map(PrivateKey::public_members);
        let mut jwk: Map<String, Value> = members.map(|(name, text)| (name.to_owned(), text.into())).collect();
        for (name, text) in [("kid", self.kid.as_str()), ("alg", self.algorithm.name()), ("use", "sig")] {
            jwk.insert(name.to_owned(), text.into());
        }
        Value::Object(jwk)
    }

    /// The octets of a secret.
    pub(super) fn secret(&self) -> Option<&[u8]> {
        self.private.private.as_ref().and_then(PrivateKey::secret)
    }

    /// Signs: with jsonwebtoken where it knows the algorithm, so that this crate does not judge its own work alone.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let private = self.private.private.as_ref().ok_or(SigningError::Library)?;
        let Some((jwa, key)) = encoding_key(private, algorithm) else {
            return private.sign(algorithm, message);
        };
        // Its process-wide default panics where two of its backends meet; the provider's own value does not.
        let signer = (DEFAULT_PROVIDER.signer_factory)(&jwa, &key).map_err(|_| SigningError::WrongKey(algorithm))?;
        signer.try_sign(message).map_err(|_| SigningError::WrongKey(algorithm))
    }

    fn of(kid: String, algorithm: Algorithm, private: PrivateKey) -> Self {
        Self { kid, algorithm, private: Arc::new(Lent { private: Some(private), pooled: false }) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.pooled {
            lock(&RSA_POOL).extend(self.private.take());
        }
    }
}

pub(super) const fn is_rsa(algorithm: Algorithm) -> bool {
    use Algorithm as A;
    matches!(algorithm, A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512)
}

fn encoding_key(private: &PrivateKey, algorithm: Algorithm) -> Option<(Jwa, EncodingKey)> {
    use Algorithm as A;
    let rsa = || private.pkcs1().map(EncodingKey::from_rsa_der);
    let curve = || EncodingKey::from_ec_der(private.pkcs8());
    let secret = || private.secret().map(EncodingKey::from_secret);
    Some(match algorithm {
        A::Rs256 => (Jwa::RS256, rsa()?),
        A::Rs384 => (Jwa::RS384, rsa()?),
        A::Rs512 => (Jwa::RS512, rsa()?),
        A::Ps256 => (Jwa::PS256, rsa()?),
        A::Ps384 => (Jwa::PS384, rsa()?),
        A::Ps512 => (Jwa::PS512, rsa()?),
        A::Es256 => (Jwa::ES256, curve()),
        A::Es384 => (Jwa::ES384, curve()),
        A::EdDsa => (Jwa::EdDSA, EncodingKey::from_ed_der(private.pkcs8())),
        A::Hs256 => (Jwa::HS256, secret()?),
        A::Hs384 => (Jwa::HS384, secret()?),
        A::Hs512 => (Jwa::HS512, secret()?),
        A::Es512 | A::Es256k | A::Ed25519 | A::MlDsa44 | A::MlDsa65 | A::MlDsa87 => return None,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RSA keys that were made for issuers which are gone: to make one takes longer than all the rest of a test.
static RSA_POOL: Mutex<Vec<PrivateKey>> = Mutex::new(Vec::new());

static STRANGERS: Mutex<BTreeMap<Algorithm, SigningKey>> = Mutex::new(BTreeMap::new());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_living_keys_are_never_the_same_and_the_stranger_always_is() {
        let fresh = |n: u32| SigningKey::fresh(format!("k{n}"), Algorithm::Ps256).unwrap();
        let (one, two) = (fresh(1), fresh(2));
        let stranger = SigningKey::stranger(Algorithm::Rs512).unwrap();
        let again = SigningKey::stranger(Algorithm::Ps256).unwrap();
        assert_ne!(one.jwk()["n"], two.jwk()["n"]);
        assert_ne!(one.jwk()["n"], stranger.jwk()["n"]);
        assert_eq!(again.jwk()["n"], stranger.jwk()["n"]);
    }

    #[test]
    fn a_key_shows_nothing_private() {
        let key = SigningKey::fresh("es256-1".to_owned(), Algorithm::Es256).unwrap();
        assert!(key.jwk().get("d").is_none());
        assert!(!format!("{key:?}").contains("private"));
        assert!(key.secret().is_none());
    }

    #[test]
    fn every_algorithm_signs_and_those_of_other_keys_do_not() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::fresh("k".to_owned(), algorithm).unwrap();
            assert!(key.sign(algorithm, b"m").is_ok(), "{algorithm}");
            let other = if algorithm == Algorithm::Es256 { Algorithm::Es384 } else { Algorithm::Es256 };
            assert!(key.sign(other, b"m").is_err(), "{algorithm}");
        }
    }
}
