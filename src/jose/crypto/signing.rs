//! Private keys: those by which we prove who we are to an issuer, and those of tests that play one.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, PqdsaKeyPair, PqdsaSigningAlgorithm, RsaEncoding,
    RsaKeyPair,
};
use aws_lc_rs::{error, hmac};
use zeroize::Zeroizing;

use crate::jose::algorithm::Algorithm;

#[cfg(feature = "testing")]
mod generation;

/// A key that signs: a key pair, or a secret.
pub(crate) struct PrivateKey {
    material: Material,
    /// For tests, which write it down; nobody else keeps it.
    #[cfg(feature = "testing")]
    pkcs8: Zeroizing<Vec<u8>>,
}

/// Why there is no key, or no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SigningError {
    /// The key's kind and the algorithm do not fit.
    #[error("a key of this kind does not sign with {0}")]
    WrongKey(Algorithm),
    /// No RSA key of that many bits can be made here.
    #[cfg(feature = "testing")]
    #[error("an RSA key has 2048, 3072, 4096 or 8192 bits here, not {0}")]
    Size(u32),
    /// The document holds no such key.
    #[error("the document is not a PKCS#8 private key for {0}")]
    Document(Algorithm),
    /// The cryptographic library or its source of randomness failed.
    #[error("the cryptographic library failed")]
    Library,
}

enum Material {
    Rsa(RsaKeyPair),
    Curve(EcdsaKeyPair, &'static Curve),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair, Algorithm),
    Secret(Zeroizing<Vec<u8>>),
}

struct Curve {
    name: &'static str,
    algorithm: Algorithm,
    signing: &'static EcdsaSigningAlgorithm,
}

impl PrivateKey {
    /// The private key in an unencrypted PKCS#8 document (RFC 5958).
    pub(crate) fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, SigningError> {
        use Algorithm as A;
        let refused = |_| SigningError::Document(algorithm);
        let material = match algorithm {
            A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512 => {
                Material::Rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(refused)?)
            }
            A::Es256 | A::Es384 | A::Es512 | A::Es256k => {
                let curve = curve(algorithm).ok_or(SigningError::WrongKey(algorithm))?;
                Material::Curve(EcdsaKeyPair::from_pkcs8(curve.signing, pkcs8).map_err(refused)?, curve)
            }
            A::EdDsa | A::Ed25519 => Material::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(refused)?),
            A::MlDsa44 | A::MlDsa65 | A::MlDsa87 => {
                let parameters = ml_dsa(algorithm).ok_or(SigningError::WrongKey(algorithm))?;
                Material::MlDsa(PqdsaKeyPair::from_pkcs8(parameters, pkcs8).map_err(refused)?, algorithm)
            }
            A::Hs256 | A::Hs384 | A::Hs512 => return Err(SigningError::WrongKey(algorithm)),
        };
        Ok(Self {
            material,
            #[cfg(feature = "testing")]
            pkcs8: Zeroizing::new(pkcs8.to_vec()),
        })
    }

    /// These octets as an HMAC secret, however few.
    pub(crate) fn from_secret(secret: &[u8]) -> Self {
        Self {
            material: Material::Secret(Zeroizing::new(secret.to_vec())),
            #[cfg(feature = "testing")]
            pkcs8: Zeroizing::default(),
        }
    }

    /// The signature as JWS carries it: ECDSA as `r || s` of fixed length (RFC 7518 s3.4).
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let wrong = SigningError::WrongKey(algorithm);
        let random = SystemRandom::new();
        match &self.material {
            Material::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa(algorithm).ok_or(wrong)?, &random, message, &mut signature)?;
                Ok(signature)
            }
            Material::Curve(pair, curve) if curve.algorithm == algorithm => {
                Ok(pair.sign(&random, message)?.as_ref().to_vec())
            }
            Material::Ed25519(pair) if matches!(algorithm, Algorithm::EdDsa | Algorithm::Ed25519) => {
                Ok(pair.try_sign(message)?.as_ref().to_vec())
            }
            Material::MlDsa(pair, own) if *own == algorithm => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let length = pair.sign(message, &mut signature)?;
                signature.truncate(length);
                Ok(signature)
            }
            Material::Secret(secret) => {
                let key = hmac::Key::new(mac(algorithm).ok_or(wrong)?, secret);
                Ok(hmac::sign(&key, message).as_ref().to_vec())
            }
            Material::Curve(..) | Material::Ed25519(_) | Material::MlDsa(..) => Err(wrong),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.material {
            Material::Rsa(_) => "RSA",
            Material::Curve(_, curve) => curve.name,
            Material::Ed25519(_) => "Ed25519",
            Material::MlDsa(_, algorithm) => algorithm.name(),
            Material::Secret(_) => "secret",
        };
        f.debug_tuple("PrivateKey").field(&kind).finish_non_exhaustive()
    }
}

impl From<error::Unspecified> for SigningError {
    fn from(_: error::Unspecified) -> Self {
        Self::Library
    }
}

fn curve(algorithm: Algorithm) -> Option<&'static Curve> {
    CURVES.iter().find(|curve| curve.algorithm == algorithm)
}

fn rsa(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    let (_, padding) = RSA.iter().find(|(name, _)| *name == algorithm)?;
    Some(*padding)
}

fn ml_dsa(algorithm: Algorithm) -> Option<&'static PqdsaSigningAlgorithm> {
    let (_, parameters) = ML_DSA.iter().find(|(name, _)| *name == algorithm)?;
    Some(*parameters)
}

fn mac(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    let (_, hash) = HMAC.iter().find(|(name, _)| *name == algorithm)?;
    Some(*hash)
}

static CURVES: [Curve; 4] = [
    Curve { name: "P-256", algorithm: Algorithm::Es256, signing: &signature::ECDSA_P256_SHA256_FIXED_SIGNING },
    Curve { name: "P-384", algorithm: Algorithm::Es384, signing: &signature::ECDSA_P384_SHA384_FIXED_SIGNING },
    Curve { name: "P-521", algorithm: Algorithm::Es512, signing: &signature::ECDSA_P521_SHA512_FIXED_SIGNING },
    Curve { name: "secp256k1", algorithm: Algorithm::Es256k, signing: &signature::ECDSA_P256K1_SHA256_FIXED_SIGNING },
];

static RSA: [(Algorithm, &dyn RsaEncoding); 6] = [
    (Algorithm::Rs256, &signature::RSA_PKCS1_SHA256),
    (Algorithm::Rs384, &signature::RSA_PKCS1_SHA384),
    (Algorithm::Rs512, &signature::RSA_PKCS1_SHA512),
    (Algorithm::Ps256, &signature::RSA_PSS_SHA256),
    (Algorithm::Ps384, &signature::RSA_PSS_SHA384),
    (Algorithm::Ps512, &signature::RSA_PSS_SHA512),
];

static ML_DSA: [(Algorithm, &PqdsaSigningAlgorithm); 3] = [
    (Algorithm::MlDsa44, &signature::ML_DSA_44_SIGNING),
    (Algorithm::MlDsa65, &signature::ML_DSA_65_SIGNING),
    (Algorithm::MlDsa87, &signature::ML_DSA_87_SIGNING),
];

static HMAC: [(Algorithm, hmac::Algorithm); 3] = [
    (Algorithm::Hs256, hmac::HMAC_SHA256),
    (Algorithm::Hs384, hmac::HMAC_SHA384),
    (Algorithm::Hs512, hmac::HMAC_SHA512),
];
