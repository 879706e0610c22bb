//! What tests that play an issuer do with private keys beyond signing: they make them, publish them and write them down.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair, RsaKeyPair};
use zeroize::Zeroizing;

use super::{Material, PrivateKey, SigningError, curve, mac, ml_dsa};
use crate::jose::algorithm::Algorithm;
use crate::jose::base64url;

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
        Ok(Self { pkcs8: Zeroizing::new(document.as_ref().to_vec()), material: Material::Rsa(pair) })
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

    fn generate_secret(algorithm: Algorithm) -> Result<Self, SigningError> {
        let hash = mac(algorithm).ok_or(SigningError::WrongKey(algorithm))?;
        let mut secret = vec![0; hash.tag_len()];
        rand::fill(&mut secret)?;
        Ok(Self::from_secret(&secret))
    }
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

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
            let own = if super::super::rsa(algorithm).is_some() {
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
