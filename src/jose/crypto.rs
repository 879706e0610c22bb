//! The one door to cryptography: `aws-lc-rs`, and nothing of our own.
//!
//! Keys are prepared here once, when a key set is loaded. What the library leaves unchecked until a signature is verified, or
//! altogether (RSA sizes and exponents, small-order Ed25519 points), is checked before a key is prepared: see `jwk.rs`.

use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};

use crate::jose::algorithm::Algorithm;

#[cfg(feature = "driver")]
pub(crate) mod signing;
#[cfg(feature = "client")]
pub(crate) mod vault;

/// A key that is ready to verify signatures of one algorithm.
pub(crate) struct PreparedKey(Kind);

enum Kind {
    Public(ParsedPublicKey),
    // Boxed: it is many times the size of the other.
    Secret(Box<hmac::Key>),
}

impl PreparedKey {
    /// An RSA key; both numbers big-endian without leading zeros.
    pub(crate) fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let parameters: &'static RsaParameters = match algorithm {
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        };
        let components = PublicKeyComponents { n: modulus, e: exponent };
        components.to_parsed_public_key(parameters).ok().map(|key| Self(Kind::Public(key)))
    }

    /// A point on the curve of the algorithm, each coordinate of full length.
    pub(crate) fn ec(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Option<Self> {
        let verification: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Algorithm::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
            Algorithm::Es256k => &signature::ECDSA_P256K1_SHA256_FIXED,
            _ => return None,
        };
        // SEC 1 s2.3.3: an uncompressed point.
        let point = [&[4], x, y].concat();
        Self::public(verification, &point)
    }

    /// An Ed25519 public key of 32 octets.
    pub(crate) fn ed25519(key: &[u8]) -> Option<Self> {
        Self::public(&signature::ED25519, key)
    }

    /// An ML-DSA public key.
    pub(crate) fn ml_dsa(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        let verification: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::MlDsa44 => &signature::ML_DSA_44,
            Algorithm::MlDsa65 => &signature::ML_DSA_65,
            Algorithm::MlDsa87 => &signature::ML_DSA_87,
            _ => return None,
        };
        Self::public(verification, key)
    }

    /// A shared secret.
    pub(crate) fn hmac(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        let hash = match algorithm {
            Algorithm::Hs256 => hmac::HMAC_SHA256,
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            _ => return None,
        };
        Some(Self(Kind::Secret(Box::new(hmac::Key::new(hash, secret)))))
    }

    fn public(verification: &'static dyn VerificationAlgorithm, key: &[u8]) -> Option<Self> {
        ParsedPublicKey::new(verification, key).ok().map(|key| Self(Kind::Public(key)))
    }

    /// Whether the signature over the message is this key's. A MAC is compared in constant time.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::Public(key) => key.verify_sig(message, signature).is_ok(),
            Kind::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

/// A seal over octets: HMAC with SHA-256 under a key that was derived from a secret for one use (RFC 2104, RFC 5869 s2.2).
#[cfg(feature = "driver")]
#[derive(Clone)]
pub(crate) struct Seal(hmac::Key);

#[cfg(feature = "driver")]
impl Seal {
    /// For the use that the label names. A secret gives another key for each.
    pub(crate) fn derived(secret: &[u8], label: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), label);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    pub(crate) fn over(&self, octets: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, octets).as_ref().to_vec()
    }

    /// Whether it is the seal over these octets, in constant time.
    pub(crate) fn holds(&self, octets: &[u8], seal: &[u8]) -> bool {
        hmac::verify(&self.0, octets, seal).is_ok()
    }
}

/// So many octets that nobody can guess; `None` if the system has no randomness.
#[cfg(feature = "driver")]
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut octets = [0; N];
    aws_lc_rs::rand::fill(&mut octets).ok().map(|()| octets)
}

/// The left half of the digest that belongs to a signature algorithm: `at_hash` and `c_hash` (OpenID Connect Core 1.0 s3.1.3.6). EdDSA over
/// Ed25519 has SHA-512 in it (RFC 8032 s5.1); ML-DSA names none.
#[cfg(any(feature = "client", feature = "testing"))]
pub(crate) fn half_digest(algorithm: Algorithm, octets: &[u8]) -> Option<Vec<u8>> {
    use Algorithm as A;
    let hash = match algorithm {
        A::Rs256 | A::Ps256 | A::Es256 | A::Es256k | A::Hs256 => &digest::SHA256,
        A::Rs384 | A::Ps384 | A::Es384 | A::Hs384 => &digest::SHA384,
        A::Rs512 | A::Ps512 | A::Es512 | A::Hs512 | A::EdDsa | A::Ed25519 => &digest::SHA512,
        A::MlDsa44 | A::MlDsa65 | A::MlDsa87 => return None,
    };
    let mut digest = digest::digest(hash, octets).as_ref().to_vec();
    digest.truncate(digest.len().div_ceil(2));
    Some(digest)
}

/// Whether two texts are the same, in a time that does not tell where they differ.
#[cfg(feature = "client")]
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// SHA-256.
pub(crate) fn sha256(octets: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, octets);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
