//! The libraries: each makes of a key what verifies with it, prepared as far as the library can.

use aws_lc_rs::signature::{self as aws, ParsedPublicKey};
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, VartimeEdwardsPrecomputation};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimePrecomputedMultiscalarMul as _;
use graviola::signing::{ecdsa, eddsa, rsa as graviola_rsa};
use hmac::{KeyInit as _, Mac as _};
use ring::signature as ring;
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::signature::Verifier as _;
use sha2::{Digest as _, Sha256, Sha512};

use crate::keys::{Algorithm, Key};

/// Whether a signature over a message holds: the message first.
pub(crate) type Verify = Box<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>;

/// What came of preparing a key.
pub(crate) enum Made {
    Ready(Verify),
    /// The library refuses the key.
    Refused,
    /// The library has no such algorithm.
    Missing,
}

pub(crate) struct Library {
    pub(crate) name: &'static str,
    pub(crate) make: fn(Algorithm, &Key) -> Made,
}

/// What scopegate uses comes first: the others are compared with it.
pub(crate) const ALL: [Library; 9] = [
    Library { name: "aws-lc-rs 1.19, prepared", make: aws_lc },
    Library { name: "ring 0.17", make: ring },
    Library { name: "graviola 0.4.4", make: graviola },
    Library { name: "RustCrypto", make: rustcrypto },
    Library { name: "ed25519-dalek 2, verify", make: dalek2 },
    Library { name: "ed25519-dalek 2, verify_strict", make: dalek2_strict },
    Library { name: "ed25519-dalek 3, verify", make: dalek3 },
    Library { name: "ed25519-dalek 3, verify_strict", make: dalek3_strict },
    Library { name: "a table per key on curve25519-dalek 5", make: table },
];

fn ready(verify: impl Fn(&[u8], &[u8]) -> bool + Send + Sync + 'static) -> Made {
    Made::Ready(Box::new(verify))
}

fn ready_if<T, E>(key: Result<T, E>, make: impl FnOnce(T) -> Made) -> Made {
    key.map_or(Made::Refused, make)
}

fn aws_lc(algorithm: Algorithm, key: &Key) -> Made {
    if let Key::Secret(secret) = key {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        return ready(move |message, tag| aws_lc_rs::hmac::verify(&key, message, tag).is_ok());
    }
    ready_if(aws_lc_key(algorithm, key), |key| {
        ready(move |message, signature| key.verify_sig(message, signature).is_ok())
    })
}

/// As src/jose/crypto.rs does it.
pub(crate) fn aws_lc_key(algorithm: Algorithm, key: &Key) -> Result<ParsedPublicKey, ()> {
    match (algorithm, key) {
        (Algorithm::Rs256 | Algorithm::Ps256, Key::Rsa { n, e, .. }) => {
            let parameters = match algorithm {
                Algorithm::Rs256 => &aws::RSA_PKCS1_2048_8192_SHA256,
                _ => &aws::RSA_PSS_2048_8192_SHA256,
            };
            aws_lc_rs::rsa::PublicKeyComponents { n, e }.to_parsed_public_key(parameters).map_err(drop)
        }
        (Algorithm::Es256, Key::Ec(point)) => ParsedPublicKey::new(&aws::ECDSA_P256_SHA256_FIXED, point).map_err(drop),
        (Algorithm::Es384, Key::Ec(point)) => ParsedPublicKey::new(&aws::ECDSA_P384_SHA384_FIXED, point).map_err(drop),
        (_, Key::Ed25519(key)) => ParsedPublicKey::new(&aws::ED25519, key).map_err(drop),
        _ => unreachable!("the key is of another kind"),
    }
}

/// It has no prepared keys: each verification reads the key.
fn ring(algorithm: Algorithm, key: &Key) -> Made {
    let verification: &'static dyn ring::VerificationAlgorithm = match (algorithm, key) {
        (Algorithm::Rs256 | Algorithm::Ps256, Key::Rsa { n, e, .. }) => {
            let parameters = match algorithm {
                Algorithm::Rs256 => &ring::RSA_PKCS1_2048_8192_SHA256,
                _ => &ring::RSA_PSS_2048_8192_SHA256,
            };
            let key = ring::RsaPublicKeyComponents { n: n.clone(), e: e.clone() };
            return ready(move |message, signature| key.verify(parameters, message, signature).is_ok());
        }
        (_, Key::Secret(secret)) => {
            let key = ::ring::hmac::Key::new(::ring::hmac::HMAC_SHA256, secret);
            return ready(move |message, tag| ::ring::hmac::verify(&key, message, tag).is_ok());
        }
        (Algorithm::Es256, _) => &ring::ECDSA_P256_SHA256_FIXED,
        (Algorithm::Es384, _) => &ring::ECDSA_P384_SHA384_FIXED,
        _ => &ring::ED25519,
    };
    let octets = match key {
        Key::Ec(point) => point.clone(),
        Key::Ed25519(key) => key.to_vec(),
        _ => unreachable!("the key is of another kind"),
    };
    let key = ring::UnparsedPublicKey::new(verification, octets);
    ready(move |message, signature| key.verify(message, signature).is_ok())
}

fn graviola(algorithm: Algorithm, key: &Key) -> Made {
    use graviola::hashing::{Sha256, Sha384, hmac::Hmac};
    match (algorithm, key) {
        (Algorithm::Rs256, Key::Rsa { der, .. }) => ready_if(graviola_rsa::VerifyingKey::from_pkcs1_der(der), |key| {
            ready(move |message, signature| key.verify_pkcs1_sha256(signature, message).is_ok())
        }),
        (_, Key::Rsa { der, .. }) => ready_if(graviola_rsa::VerifyingKey::from_pkcs1_der(der), |key| {
            ready(move |message, signature| key.verify_pss_sha256(signature, message).is_ok())
        }),
        (Algorithm::Es256, Key::Ec(point)) => {
            ready_if(ecdsa::VerifyingKey::<ecdsa::P256>::from_x962_uncompressed(point), |key| {
                ready(move |message, signature| key.verify::<Sha256>(&[message], signature).is_ok())
            })
        }
        (_, Key::Ec(point)) => ready_if(ecdsa::VerifyingKey::<ecdsa::P384>::from_x962_uncompressed(point), |key| {
            ready(move |message, signature| key.verify::<Sha384>(&[message], signature).is_ok())
        }),
        (_, Key::Ed25519(key)) => ready_if(eddsa::Ed25519VerifyingKey::from_bytes(key), |key| {
            ready(move |message, signature| key.verify(signature, message).is_ok())
        }),
        (_, Key::Secret(secret)) => {
            let key = Hmac::<Sha256>::new(secret);
            ready(move |message, tag| {
                let mut mac = key.clone();
                mac.update(message);
                mac.verify(tag).is_ok()
            })
        }
    }
}

/// The crates rsa, p256, p384, hmac and sha2.
fn rustcrypto(algorithm: Algorithm, key: &Key) -> Made {
    match (algorithm, key) {
        (Algorithm::Rs256, Key::Rsa { der, .. }) => ready_if(rsa::PublicKey::from_pkcs1_der(der), |key| {
            let key = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key);
            ready(move |message, signature| {
                rsa::pkcs1v15::Signature::try_from(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            })
        }),
        (_, Key::Rsa { der, .. }) => ready_if(rsa::PublicKey::from_pkcs1_der(der), |key| {
            let key = rsa::pss::VerifyingKey::<Sha256>::new(key);
            ready(move |message, signature| {
                rsa::pss::Signature::try_from(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            })
        }),
        (Algorithm::Es256, Key::Ec(point)) => ready_if(p256::ecdsa::VerifyingKey::from_sec1_bytes(point), |key| {
            ready(move |message, signature| {
                p256::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            })
        }),
        (_, Key::Ec(point)) => ready_if(p384::ecdsa::VerifyingKey::from_sec1_bytes(point), |key| {
            ready(move |message, signature| {
                p384::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            })
        }),
        (_, Key::Secret(secret)) => {
            let key = hmac::Hmac::<Sha256>::new_from_slice(secret).unwrap();
            ready(move |message, tag| key.clone().chain_update(message).verify_slice(tag).is_ok())
        }
        (_, Key::Ed25519(_)) => Made::Missing,
    }
}

/// Both editions of ed25519-dalek, whose types differ and whose names do not.
macro_rules! dalek {
    ($name:ident, $dalek:ident, $verify:ident) => {
        fn $name(_: Algorithm, key: &Key) -> Made {
            #[allow(unused_imports, reason = "verify_strict is not of the trait")]
            use $dalek::Verifier as _;
            let Key::Ed25519(key) = key else { return Made::Missing };
            ready_if($dalek::VerifyingKey::from_bytes(key), |key| {
                ready(move |message, signature| {
                    let signature = $dalek::Signature::from_slice(signature);
                    signature.is_ok_and(|signature| key.$verify(message, &signature).is_ok())
                })
            })
        }
    };
}

dalek!(dalek2, dalek2, verify);
dalek!(dalek2_strict, dalek2, verify_strict);
dalek!(dalek3, dalek3, verify);
dalek!(dalek3_strict, dalek3, verify_strict);

/// What multiples of the key and of the base point, worked out beforehand, would gain. No library verifies in this way, so the equation
/// (RFC 8032 s5.1.7) stands here: it is measured to know its worth, and is not for use.
fn table(_: Algorithm, key: &Key) -> Made {
    let &Key::Ed25519(key) = key else { return Made::Missing };
    let Some(point) = CompressedEdwardsY(key).decompress() else { return Made::Refused };
    let table = VartimeEdwardsPrecomputation::new([-point, ED25519_BASEPOINT_POINT]);
    ready(move |message, signature| {
        let Some((r, s)) = signature.split_first_chunk::<32>() else { return false };
        let s = <[u8; 32]>::try_from(s).ok().and_then(|s| Option::from(Scalar::from_canonical_bytes(s)));
        let Some(s) = s else { return false };
        let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message).finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        table.vartime_multiscalar_mul([k, s]).compress().as_bytes() == r
    })
}
