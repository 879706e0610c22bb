//! The signature algorithms that this crate knows (RFC 7518 s3.1, RFC 8037, RFC 8812, RFC 9864, RFC 9964).

use std::fmt;

/// A JWS signature algorithm. `none` is not among them, and there is no way to express it.
///
/// An issuer may use [`Algorithms::default`] unless it is told otherwise; `HS256` to `HS512` come with an explicit secret
/// only, `ES256K` and ML-DSA by naming them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// `RS256`: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 s3.3).
    Rs256,
    /// `RS384`: RSASSA-PKCS1-v1_5 with SHA-384 (RFC 7518 s3.3).
    Rs384,
    /// `RS512`: RSASSA-PKCS1-v1_5 with SHA-512 (RFC 7518 s3.3).
    Rs512,
    /// `PS256`: RSASSA-PSS with SHA-256 (RFC 7518 s3.5).
    Ps256,
    /// `PS384`: RSASSA-PSS with SHA-384 (RFC 7518 s3.5).
    Ps384,
    /// `PS512`: RSASSA-PSS with SHA-512 (RFC 7518 s3.5).
    Ps512,
    /// `ES256`: ECDSA on P-256 with SHA-256 (RFC 7518 s3.4).
    Es256,
    /// `ES384`: ECDSA on P-384 with SHA-384 (RFC 7518 s3.4).
    Es384,
    /// `ES512`: ECDSA on P-521 with SHA-512 (RFC 7518 s3.4).
    Es512,
    /// `ES256K`: ECDSA on secp256k1 with SHA-256 (RFC 8812 s3.2).
    Es256k,
    /// `EdDSA`, which here means Ed25519 (RFC 8037 s3.1).
    EdDsa,
    /// `Ed25519`, the fully specified name of the same (RFC 9864 s2.2).
    Ed25519,
    /// `HS256`: HMAC with SHA-256 (RFC 7518 s3.2).
    Hs256,
    /// `HS384`: HMAC with SHA-384 (RFC 7518 s3.2).
    Hs384,
    /// `HS512`: HMAC with SHA-512 (RFC 7518 s3.2).
    Hs512,
    /// `ML-DSA-44` (RFC 9964).
    MlDsa44,
    /// `ML-DSA-65` (RFC 9964).
    MlDsa65,
    /// `ML-DSA-87` (RFC 9964).
    MlDsa87,
}

impl Algorithm {
    /// Every algorithm of this crate.
    pub(crate) const ALL: [Self; 18] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Es256k,
        Self::EdDsa,
        Self::Ed25519,
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// The registered name, as `alg` says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Es256k => "ES256K",
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
        }
    }

    /// The algorithm of that registered name, compared byte for byte (RFC 8725 s3.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.as_bytes() {
            b"RS256" => Self::Rs256,
            b"RS384" => Self::Rs384,
            b"RS512" => Self::Rs512,
            b"PS256" => Self::Ps256,
            b"PS384" => Self::Ps384,
            b"PS512" => Self::Ps512,
            b"ES256" => Self::Es256,
            b"ES384" => Self::Es384,
            b"ES512" => Self::Es512,
            b"ES256K" => Self::Es256k,
            b"EdDSA" => Self::EdDsa,
            b"Ed25519" => Self::Ed25519,
            b"HS256" => Self::Hs256,
            b"HS384" => Self::Hs384,
            b"HS512" => Self::Hs512,
            b"ML-DSA-44" => Self::MlDsa44,
            b"ML-DSA-65" => Self::MlDsa65,
            b"ML-DSA-87" => Self::MlDsa87,
            _ => return None,
        })
    }

    /// Whether this is an HMAC, whose verifying key is its signing key.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    const fn bit(self) -> u32 {
        match self {
            Self::Rs256 => 1,
            Self::Rs384 => 1 << 1,
            Self::Rs512 => 1 << 2,
            Self::Ps256 => 1 << 3,
            Self::Ps384 => 1 << 4,
            Self::Ps512 => 1 << 5,
            Self::Es256 => 1 << 6,
            Self::Es384 => 1 << 7,
            Self::Es512 => 1 << 8,
            Self::Es256k => 1 << 9,
            Self::EdDsa => 1 << 10,
            Self::Ed25519 => 1 << 11,
            Self::Hs256 => 1 << 12,
            Self::Hs384 => 1 << 13,
            Self::Hs512 => 1 << 14,
            Self::MlDsa44 => 1 << 15,
            Self::MlDsa65 => 1 << 16,
            Self::MlDsa87 => 1 << 17,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of algorithms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Algorithms(u32);

impl Algorithms {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn with(self, algorithm: Algorithm) -> Self {
        Self(self.0 | algorithm.bit())
    }

    pub(crate) const fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// Whether the set has this algorithm.
    #[must_use]
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// Whether the two sets share an algorithm.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The algorithms of the set.
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }
}

/// What an issuer may use unless it is told otherwise: RS256 to RS512, PS256 to PS512, ES256, ES384, ES512, EdDSA and Ed25519.
impl Default for Algorithms {
    fn default() -> Self {
        use Algorithm::{Ed25519, EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, Es512, EdDsa, Ed25519].into_iter().collect()
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        algorithms.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Algorithm::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_byte_for_byte() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithms::NONE.with(algorithm).iter().collect::<Vec<_>>(), [algorithm]);
        }
        for name in ["", "none", "None", "rs256", "RS256 ", "_RS256", "RS1", "HS1", "ES521", "Ed448", "es256k"] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn nothing_symmetric_exotic_or_new_is_allowed_by_default() {
        let default = Algorithms::default();
        assert_eq!(default.iter().count(), 11);
        assert!(default.iter().all(|algorithm| !algorithm.is_symmetric()));
        assert!(!default.contains(Algorithm::Es256k) && !default.contains(Algorithm::MlDsa44));
    }
}
