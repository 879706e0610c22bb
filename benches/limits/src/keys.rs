//! Keys, and what they signed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{self as sig, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use aws_lc_rs::{hmac, rand};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    Es384,
    Ed25519,
    Hs256,
}

/// What a key is made of.
#[derive(Clone)]
pub(crate) enum Key {
    /// Both numbers without leading zeros, and both as PKCS #1 writes them.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
        der: Vec<u8>,
    },
    /// An uncompressed point.
    Ec(Vec<u8>),
    Ed25519([u8; 32]),
    Secret(Vec<u8>),
}

/// A key, a message of about 1 KB, and its signature.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: Key,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// As long as what is signed of a token with 700 bytes of claims.
const MESSAGE: usize = 1_000;

pub(crate) fn message() -> Vec<u8> {
    let mut message = vec![0; MESSAGE];
    rand::fill(&mut message).unwrap();
    message
}

/// What is measured, by name.
pub(crate) fn all() -> Vec<(&'static str, Signed)> {
    let rs256 = Algorithm::Rs256;
    vec![
        ("RS256, 2048 bits", rsa(rs256, KeySize::Rsa2048)),
        ("RS256, 3072 bits", rsa(rs256, KeySize::Rsa3072)),
        ("RS256, 4096 bits", rsa(rs256, KeySize::Rsa4096)),
        ("PS256, 2048 bits", rsa(Algorithm::Ps256, KeySize::Rsa2048)),
        ("ES256", ec(Algorithm::Es256)),
        ("ES384", ec(Algorithm::Es384)),
        ("Ed25519", ed25519()),
        ("HS256", hs256()),
    ]
}

pub(crate) fn rsa(algorithm: Algorithm, size: KeySize) -> Signed {
    let (pair, message) = (RsaKeyPair::generate(size).unwrap(), message());
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::Ps256 => pair.sign(&sig::RSA_PSS_SHA256, &random, &message, &mut signature),
        _ => pair.sign(&sig::RSA_PKCS1_SHA256, &random, &message, &mut signature),
    }
    .unwrap();
    let components = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let key = Key::Rsa { n: components.n, e: components.e, der: pair.public_key().as_ref().to_vec() };
    Signed { algorithm, key, message, signature }
}

pub(crate) fn ec(algorithm: Algorithm) -> Signed {
    let signing = match algorithm {
        Algorithm::Es384 => &sig::ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &sig::ECDSA_P256_SHA256_FIXED_SIGNING,
    };
    let (pair, message) = (EcdsaKeyPair::generate(signing).unwrap(), message());
    let signature = pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec();
    Signed { algorithm, key: Key::Ec(pair.public_key().as_ref().to_vec()), message, signature }
}

pub(crate) fn ed25519() -> Signed {
    ed25519_by(&Ed25519KeyPair::generate().unwrap())
}

pub(crate) fn ed25519_by(pair: &Ed25519KeyPair) -> Signed {
    let (key, message) = (pair.public_key().as_ref().try_into().unwrap(), message());
    let signature = pair.sign(&message).as_ref().to_vec();
    Signed { algorithm: Algorithm::Ed25519, key: Key::Ed25519(key), message, signature }
}

pub(crate) fn hs256() -> Signed {
    let (secret, message) = (message()[..32].to_vec(), message());
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &message).as_ref().to_vec();
    Signed { algorithm: Algorithm::Hs256, key: Key::Secret(secret), message, signature }
}
