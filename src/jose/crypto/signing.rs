//! Private keys, for tests that play the issuer.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair, PqdsaSigningAlgorithm,
    RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{error, hmac};

use crate::jose::algorithm::Algorithm;
use crate::jose::base64url;

/// A key that signs: a key pair, or a secret.
pub(crate) struct PrivateKey {
    material: Material,
    pkcs8: Vec<u8>,
}

/// Why there is no key, or no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SigningError {
    /// The key's kind and the algorithm do not fit.
    #[error("a key of this kind does not sign with {0}")]
    WrongKey(Algorithm),
    /// No RSA key of that many bits can be made here.
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
    Secret(Vec<u8>),
}

struct Curve {
    name: &'static str,
    algorithm: Algorithm,
    signing: &'static EcdsaSigningAlgorithm,
}

impl PrivateKey {
    /// A fresh key for the algorithm: RSA with 2048 bits, secrets as long as the hash.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, SigningError> {
        use Algorithm as A;
        let random = SystemRandom::new();
        let document = match algorithm {
            A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512 => return Self::generate_rsa(2048),
            A::Hs256 | A::Hs384 | A::Hs512 => return Self::generate_secret(algorithm),
            A::Es256 | A::Es384 | A::Es512 | A::Es256k => {
                let curve = curve(algorithm).ok_or(SigningError::WrongKey(algorithm))?;
                EcdsaKeyPair::generate_pkcs8(curve.signing, &random)?
            }
            A::EdDsa | A::Ed25519 => Ed25519KeyPair::generate_pkcs8v1(&random)?,
            A::MlDsa44 | A::MlDsa65 | A::MlDsa87 => {
                let parameters = ml_dsa(algorithm).ok_or(SigningError::WrongKey(algorithm))?;
                PqdsaKeyPair::generate(parameters)?.to_pkcs8v1()?
            }
        };
        Self::from_pkcs8(algorithm, document.as_ref())
    }

    /// A fresh RSA key of 2048, 3072, 4096 or 8192 bits, which serves RS* and PS* alike.
    pub(crate) fn generate_rsa(bits: u32) -> Result<Self, SigningError> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            8192 => KeySize::Rsa8192,
            other => return Err(SigningError::Size(other)),
        };
        let pair = RsaKeyPair::generate(size)?;
        let document: Pkcs8V1Der<'_> = pair.as_der()?;
        Ok(Self { pkcs8: document.as_ref().to_vec(), material: Material::Rsa(pair) })
    }

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
        Ok(Self { material, pkcs8: pkcs8.to_vec() })
    }

    /// These octets as an HMAC secret, however few.
    pub(crate) fn from_secret(secret: &[u8]) -> Self {
        Self { material: Material::Secret(secret.to_vec()), pkcs8: Vec::new() }
    }

    /// The members of a JWK that say what verifies this key's signatures, `kty` first.
    ///
    /// Of a secret that is the secret itself.
    pub(crate) fn public_members(&self) -> Vec<(&'static str, String)> {
        let text = |octets: &[u8]| base64url::encode(octets);
        match &self.material {
            Material::Rsa(pair) => {
                let (modulus, exponent) = rsa_numbers(pair.public_key().as_ref()).unwrap_or_default();
                vec![("kty", "RSA".to_owned()), ("n", text(modulus)), ("e", text(exponent))]
            }
            Material::Curve(pair, curve) => {
                // SEC 1 s2.3.3, uncompressed: 04, then both coordinates at full length, as RFC 7518 s6.2.1 wants them too.
                let point = pair.public_key().as_ref();
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                let name = curve.name.to_owned();
                vec![("kty", "EC".to_owned()), ("crv", name), ("x", text(x)), ("y", text(y))]
            }
            Material::Ed25519(pair) => {
                let x = text(pair.public_key().as_ref());
                vec![("kty", "OKP".to_owned()), ("crv", "Ed25519".to_owned()), ("x", x)]
            }
            Material::MlDsa(pair, algorithm) => {
                let public = text(pair.public_key().as_ref());
                vec![("kty", "AKP".to_owned()), ("alg", algorithm.name().to_owned()), ("pub", public)]
            }
            Material::Secret(secret) => vec![("kty", "oct".to_owned()), ("k", text(secret))],
        }
    }

    /// The private key as PKCS#8; empty for a secret.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The private key as RFC 8017's `RSAPrivateKey`, which is what PKCS#8 wraps, if it is an RSA key.
    pub(crate) fn pkcs1(&self) -> Option<&[u8]> {
        if !matches!(self.material, Material::Rsa(_)) {
            return None;
        }
        let (document, _) = der(0x30, &self.pkcs8)?;
        let (_version, rest) = der(0x02, document)?;
        let (_algorithm, rest) = der(0x30, rest)?;
        der(0x04, rest).map(|(key, _)| key)
    }

    /// The octets of an HMAC secret.
    pub(crate) fn secret(&self) -> Option<&[u8]> {
        match &self.material {
            Material::Secret(secret) => Some(secret),
            Material::Rsa(_) | Material::Curve(..) | Material::Ed25519(_) | Material::MlDsa(..) => None,
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

    fn generate_secret(algorithm: Algorithm) -> Result<Self, SigningError> {
        let hash = mac(algorithm).ok_or(SigningError::WrongKey(algorithm))?;
        let mut secret = vec![0; hash.tag_len()];
        rand::fill(&mut secret)?;
        Ok(Self::from_secret(&secret))
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

/// Modulus and exponent of RFC 8017's `RSAPublicKey`, without the zero that keeps DER's numbers positive (RFC 7518 s6.3.1).
fn rsa_numbers(document: &[u8]) -> Option<(&[u8], &[u8])> {
    let (numbers, _) = der(0x30, document)?;
    let (modulus, rest) = der(0x02, numbers)?;
    let (exponent, _) = der(0x02, rest)?;
    let positive = |number| <[u8]>::strip_prefix(number, &[0]).unwrap_or(number);
    Some((positive(modulus), positive(exponent)))
}

/// The content of the DER element at the front, and what follows it.
fn der(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = input.split_first()?;
    let (&short, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    if short < 0x80 {
        return rest.split_at_checked(short.into());
    }
    let (octets, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
    let length =
        octets.iter().try_fold(0_usize, |length, octet| length.checked_mul(256)?.checked_add((*octet).into()))?;
    rest.split_at_checked(length)
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

    use super::*;

    fn member(key: &PrivateKey, name: &str) -> Vec<u8> {
        let members = key.public_members();
        let (_, text) = members.iter().find(|(member, _)| *member == name).unwrap();
        base64url::decode(text.as_bytes()).unwrap()
    }

    fn holds(algorithm: Algorithm, key: &PrivateKey, message: &[u8], signed: &[u8]) -> bool {
        use Algorithm as A;
        let point = || [vec![4], member(key, "x"), member(key, "y")].concat();
        let (verifier, public): (&'static dyn VerificationAlgorithm, _) = match algorithm {
            A::Es256 => (&signature::ECDSA_P256_SHA256_FIXED, point()),
            A::Es384 => (&signature::ECDSA_P384_SHA384_FIXED, point()),
            A::Es512 => (&signature::ECDSA_P521_SHA512_FIXED, point()),
            A::Es256k => (&signature::ECDSA_P256K1_SHA256_FIXED, point()),
            A::EdDsa | A::Ed25519 => (&signature::ED25519, member(key, "x")),
            A::MlDsa44 => (&signature::ML_DSA_44, member(key, "pub")),
            A::MlDsa65 => (&signature::ML_DSA_65, member(key, "pub")),
            A::MlDsa87 => (&signature::ML_DSA_87, member(key, "pub")),
            A::Hs256 | A::Hs384 | A::Hs512 => {
                let key = hmac::Key::new(mac(algorithm).unwrap(), &member(key, "k"));
                return hmac::verify(&key, message, signed).is_ok();
            }
            rsa => {
                let parameters = match rsa {
                    A::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    A::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    A::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    A::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    A::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    _ => &signature::RSA_PSS_2048_8192_SHA512,
                };
                let components = RsaPublicKeyComponents { n: member(key, "n"), e: member(key, "e") };
                return components.verify(parameters, message, signed).is_ok();
            }
        };
        UnparsedPublicKey::new(verifier, public).verify(message, signed).is_ok()
    }

    #[test]
    fn every_algorithm_signs_what_its_public_members_verify() {
        let rsa = PrivateKey::generate_rsa(2048).unwrap();
        for algorithm in Algorithm::ALL {
            let own = if self::rsa(algorithm).is_some() {
                PrivateKey::from_pkcs8(algorithm, rsa.pkcs8())
            } else {
                PrivateKey::generate(algorithm)
            };
            let key = own.unwrap();
            let signed = key.sign(algorithm, b"message").unwrap();
            assert!(holds(algorithm, &key, b"message", &signed), "{algorithm}");
            assert!(!holds(algorithm, &key, b"massage", &signed), "{algorithm}");
        }
    }

    #[test]
    fn a_key_refuses_the_algorithms_of_other_kinds() {
        let curve = PrivateKey::generate(Algorithm::Es256).unwrap();
        for algorithm in Algorithm::ALL {
            assert_eq!(curve.sign(algorithm, b"m").is_ok(), algorithm == Algorithm::Es256, "{algorithm}");
        }
        assert_eq!(PrivateKey::generate_rsa(1024).unwrap_err(), SigningError::Size(1024));
        assert!(PrivateKey::from_pkcs8(Algorithm::Es384, curve.pkcs8()).is_err());
    }

    #[test]
    fn a_key_survives_its_pkcs8_document() {
        for algorithm in [Algorithm::Es512, Algorithm::Ed25519, Algorithm::MlDsa44] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let copy = PrivateKey::from_pkcs8(algorithm, key.pkcs8()).unwrap();
            assert_eq!(key.public_members(), copy.public_members());
        }
        let rsa = PrivateKey::generate_rsa(2048).unwrap();
        assert!(RsaKeyPair::from_der(rsa.pkcs1().unwrap()).is_ok());
        assert!(!format!("{:?}", PrivateKey::from_secret(b"hush")).contains("hush"));
    }
}
