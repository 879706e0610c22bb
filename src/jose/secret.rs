//! A shared secret, given by the operator.

use std::fmt;

use zeroize::Zeroizing;

use crate::config_error::ConfigError;
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::VerificationKey;

/// A shared secret for `HS256`, `HS384` or `HS512` (RFC 7518 s3.2).
///
/// Whoever can check such a token can make one. Prefer public keys; this is for issuers that have none. It is wiped from memory when it is
/// dropped, and never shown.
#[derive(Clone)]
pub struct Secret {
    algorithm: Algorithm,
    octets: Zeroizing<Vec<u8>>,
    kid: Option<String>,
}

impl Secret {
    /// A secret of at least the length of the hash: 32, 48 or 64 octets.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the algorithm is not an HMAC, or the secret is too short for it.
    pub fn new(algorithm: Algorithm, octets: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        let octets = Zeroizing::new(octets.into());
        let needed = match algorithm {
            Algorithm::Hs256 => 32,
            Algorithm::Hs384 => 48,
            Algorithm::Hs512 => 64,
            _ => return Err(ConfigError::invalid("secret", algorithm.name(), "not an algorithm with a shared secret")),
        };
        if octets.len() < needed {
            let length = format!("{} octets for {algorithm}", octets.len());
            return Err(ConfigError::invalid("secret", length, "shorter than the hash (RFC 7518 s3.2)"));
        }
        Ok(Self { algorithm, octets, kid: None })
    }

    /// The `kid` by which tokens name it.
    #[must_use]
    pub fn kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether tokens of this algorithm find it by trying.
    pub(crate) fn is_nameless(&self, algorithm: Algorithm) -> bool {
        self.kid.is_none() && self.algorithm == algorithm
    }

    pub(crate) fn prepare(&self) -> Option<VerificationKey> {
        VerificationKey::secret(self.kid.as_deref(), self.algorithm, &self.octets)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("algorithm", &self.algorithm).field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn is_wiped<T: zeroize::ZeroizeOnDrop>(_: &T) {}

    #[test]
    fn a_secret_stays_where_it_was_given_and_is_wiped_there() {
        let octets = vec![7; 32];
        let place = octets.as_ptr();
        let secret = Secret::new(Algorithm::Hs256, octets).unwrap().kid("one");
        is_wiped(&secret.octets);
        assert_eq!(secret.octets.as_ptr(), place);
        assert_eq!(format!("{secret:?}"), r#"Secret { algorithm: Hs256, kid: Some("one"), .. }"#);
    }
}
