//! What the published cases leave out: signatures on which libraries for Ed25519 are known to differ, and numbers out of their range.
//!
//! Most need the private key, so they are no forgeries. Whoever has that key can make a token that one library accepts and another refuses.

use aws_lc_rs::rsa::KeySize;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

use crate::keys::{self, Algorithm, Key, Signed};

pub(crate) struct Edge {
    pub(crate) name: &'static str,
    pub(crate) signed: Signed,
}

pub(crate) fn all() -> Vec<Edge> {
    [ed25519(), rsa(), ec(), hs256()].into_iter().flatten().collect()
}

/// The group's order, little-endian (RFC 8032 s5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
/// The neutral element, written as y = p + 1.
const LARGE_NEUTRAL: [u8; 32] = {
    let mut octets = [0xff; 32];
    octets[0] = 0xee;
    octets[31] = 0x7f;
    octets
};
/// The neutral element with the sign of an x that is zero.
const NEGATIVE_NEUTRAL: [u8; 32] = {
    let mut octets = [0; 32];
    octets[0] = 1;
    octets[31] = 0x80;
    octets
};

fn scalar(seed: &str) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&Sha512::digest(seed).into())
}

/// k of RFC 8032 s5.1.7.
fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

fn signed(key: [u8; 32], message: &[u8], r: [u8; 32], s: [u8; 32]) -> Signed {
    let (message, signature) = (message.to_vec(), [r, s].concat());
    Signed { algorithm: Algorithm::Ed25519, key: Key::Ed25519(key), message, signature }
}

fn encoded(point: EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

/// Signed with `a` under the key as it is written, by `r` and what is added to its point.
fn by(a: Scalar, key: [u8; 32], r: Scalar, added: EdwardsPoint, message: &[u8]) -> Signed {
    let point = encoded(r * B + added);
    let s = r + challenge(&point, &key, message) * a;
    signed(key, message, point, s.to_bytes())
}

/// A signature whose R has a part of order 2: it holds when the equation is multiplied by the cofactor, and not otherwise.
pub(crate) fn torsion(message: &[u8]) -> Signed {
    let a = scalar("key");
    by(a, encoded(a * B), scalar("nonce"), EIGHT_TORSION[4], message)
}

/// A signature whose R is the neutral element, written as no canonical encoding is.
pub(crate) fn large_r(message: &[u8]) -> Signed {
    let a = scalar("key");
    let key = encoded(a * B);
    signed(key, message, LARGE_NEUTRAL, (challenge(&LARGE_NEUTRAL, &key, message) * a).to_bytes())
}

fn ed25519() -> Vec<Edge> {
    let (message, a, r) = (&b"a message"[..], scalar("key"), scalar("nonce"));
    let (key, neutral, none) = (encoded(a * B), EdwardsPoint::default(), Scalar::default());
    let plain = by(a, key, r, neutral, message);
    let mut long = plain.clone();
    long.signature.push(0);
    let mut wide = plain.clone();
    add_order(&mut wide.signature[32..]);
    let mixed = encoded(a * B + EIGHT_TORSION[1]);
    let edge = |name, signed| Edge { name, signed };
    vec![
        edge("Ed25519, as it should be", plain),
        edge("Ed25519, an octet too many", long),
        edge("Ed25519, S + L", wide),
        edge("Ed25519, R with a part of order 2", torsion(message)),
        edge("Ed25519, R with a part of order 8", by(a, key, r, EIGHT_TORSION[1], message)),
        edge("Ed25519, R the neutral element", by(a, key, none, neutral, message)),
        edge("Ed25519, R the neutral element, y = p + 1", large_r(message)),
        edge("Ed25519, key with a part of order 8", mixed_key(a, mixed, r)),
        edge("Ed25519, key the neutral element", by(none, encoded(neutral), r, neutral, message)),
        edge("Ed25519, key the neutral element, y = p + 1", by(none, LARGE_NEUTRAL, r, neutral, message)),
        edge("Ed25519, key the neutral element, x = -0", by(none, NEGATIVE_NEUTRAL, r, neutral, message)),
    ]
}

/// Such a key signs one message in eight without a trace of its other part.
fn mixed_key(a: Scalar, key: [u8; 32], r: Scalar) -> Signed {
    let message = |n: u32| n.to_le_bytes();
    let point = encoded(r * B);
    let clean = |n: &u32| challenge(&point, &key, &message(*n)).to_bytes()[0].is_multiple_of(8);
    by(a, key, r, EdwardsPoint::default(), &message((0..).find(clean).unwrap()))
}

fn add_order(s: &mut [u8]) {
    let mut carry = 0;
    for (octet, order) in s.iter_mut().zip(ORDER) {
        let sum = u16::from(*octet) + u16::from(order) + carry;
        (*octet, carry) = (sum as u8, sum >> 8);
    }
}

fn rsa() -> Vec<Edge> {
    let mut edges = Vec::new();
    for (algorithm, names) in [
        (
            Algorithm::Rs256,
            ["RS256, signature + n", "RS256, a zero before it", "RS256, signature 0", "RS256, signature 1"],
        ),
        (
            Algorithm::Ps256,
            ["PS256, signature + n", "PS256, a zero before it", "PS256, signature 0", "PS256, signature 1"],
        ),
    ] {
        // Only where signature + n is no longer than n.
        let fitting = || {
            let signed = keys::rsa(algorithm, KeySize::Rsa2048);
            let Key::Rsa { n, .. } = &signed.key else { return None };
            let sum = sum(&signed.signature, n)?;
            Some((signed, sum))
        };
        let (signed, sum) = std::iter::repeat_with(fitting).flatten().next().unwrap();
        let zero = vec![0; signed.signature.len()];
        let mut one = zero.clone();
        *one.last_mut().unwrap() = 1;
        let longer = [&[0], &signed.signature[..]].concat();
        for (name, signature) in names.into_iter().zip([sum, longer, zero, one]) {
            edges.push(Edge { name, signed: Signed { signature, ..signed.clone() } });
        }
    }
    edges
}

/// The sum of two numbers of the same length, if it is no longer.
fn sum(left: &[u8], right: &[u8]) -> Option<Vec<u8>> {
    let mut sum = left.to_vec();
    let mut carry = 0;
    for (octet, right) in sum.iter_mut().zip(right).rev() {
        let both = u16::from(*octet) + u16::from(*right) + carry;
        (*octet, carry) = (both as u8, both >> 8);
    }
    (carry == 0).then_some(sum)
}

fn ec() -> Vec<Edge> {
    let mut edges = Vec::new();
    for (algorithm, names) in [
        (
            Algorithm::Es256,
            ["ES256, r = 0", "ES256, s = 0", "ES256, key off the curve", "ES256, key at infinity", "ES256, as DER"],
        ),
        (
            Algorithm::Es384,
            ["ES384, r = 0", "ES384, s = 0", "ES384, key off the curve", "ES384, key at infinity", "ES384, as DER"],
        ),
    ] {
        let signed = keys::ec(algorithm);
        let Key::Ec(point) = &signed.key else { continue };
        let half = signed.signature.len() / 2;
        let (r, s) = signed.signature.split_at(half);
        let zero = vec![0; half];
        let mut off = point.clone();
        *off.last_mut().unwrap() ^= 1;
        let integer = |number: &[u8]| [&[2, half as u8 + 1, 0], number].concat();
        let body = [integer(r), integer(s)].concat();
        let der = [&[0x30, body.len() as u8], &body[..]].concat();
        let changed = [
            Signed { signature: [&zero, s].concat(), ..signed.clone() },
            Signed { signature: [r, &zero].concat(), ..signed.clone() },
            Signed { key: Key::Ec(off), ..signed.clone() },
            Signed { key: Key::Ec(vec![0]), ..signed.clone() },
            Signed { signature: der, ..signed.clone() },
        ];
        edges.extend(names.into_iter().zip(changed).map(|(name, signed)| Edge { name, signed }));
    }
    edges
}

fn hs256() -> Vec<Edge> {
    let signed = keys::hs256();
    let whole = &signed.signature[..];
    let changed = [
        ("HS256, no tag", Vec::new()),
        ("HS256, half a tag", whole[..16].to_vec()),
        ("HS256, an octet too many", [whole, &[0]].concat()),
    ];
    changed.into_iter().map(|(name, signature)| Edge { name, signed: Signed { signature, ..signed.clone() } }).collect()
}
