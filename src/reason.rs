//! Why a request was refused, one stable label each.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What went wrong where something could not be done: for whoever reads the log.
pub(crate) type Cause = Arc<dyn Error + Send + Sync>;

/// Why a request was refused.
///
/// A reason is the operator's: clients are told the [family](Reason::family) alone, in a fixed sentence. The
/// [label](Reason::label) is stable, made for logs, metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The request carried no bearer token (RFC 6750 s3.1).
    NoCredentials,
    /// The request carried more than one set of credentials (RFC 6750 s2, RFC 9110 s5.3).
    AmbiguousCredentials,
    /// What follows the scheme is not a `b64token` (RFC 6750 s2.1).
    MalformedCredentials,

    /// The token is longer than the limit.
    TooLong,
    /// The token is not a compact JWS over a strict JSON object (RFC 7515 s7.1, RFC 7519 s7.2).
    Malformed,
    /// The token is encrypted: it has the five segments or the header of a JWE (RFC 7516 s9).
    Encrypted,
    /// The token's header demands an extension: `crit`, `b64`, `zip` (RFC 7515 s4.1.11, RFC 7797 s7).
    UnsupportedExtension,
    /// The token's `alg` is not one that its issuer may use (RFC 8725 s3.1).
    AlgorithmRefused,
    /// The token's `iss` is not a trusted issuer (RFC 9068 s4).
    UntrustedIssuer,
    /// No key of the issuer fits the token's `kid` and `alg` (RFC 7517 s4.5).
    UnknownKey,
    /// The signature does not hold (RFC 7515 s5.2).
    BadSignature,
    /// The token is a JWT of another kind (RFC 8725 s3.11, RFC 9068 s4).
    WrongType,
    /// The token was issued for somebody else (RFC 7519 s4.1.3).
    WrongAudience,
    /// The token has expired (RFC 7519 s4.1.4).
    Expired,
    /// The token is not valid yet: its `nbf` or `iat` lies ahead (RFC 7519 s4.1.5, s4.1.6).
    NotYetValid,
    /// A claim that the profile requires is absent (RFC 9068 s2.2).
    MissingClaim,
    /// A claim has a type or a value that its definition does not allow (RFC 7519 s4.1).
    MalformedClaim,
    /// The issuer says that the token is not active: it has expired, was revoked, or never was one (RFC 7662 s2.2).
    Inactive,
    /// The program has denied the token, its session or its subject: see `Validator::deny`.
    Revoked,
    /// The token is bound to a key that the client did not prove to hold (RFC 7800 s3.1, RFC 9449 s7.2).
    Unbound,

    /// The token is good and does not carry the scope that this route demands (RFC 6750 s3.1).
    InsufficientScope,

    /// The issuer's keys are not at hand, so the token was never judged.
    KeysUnavailable,
    /// The issuer could not be asked about the token (RFC 7662), so it was never judged.
    IntrospectionUnavailable,
    /// The program asks for something that its own settings do not provide; the token was never judged.
    Misconfigured,
}

/// What a [`Reason`] means to the client: each family has one status and one `error` code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Nothing was presented: 401 without an error code.
    NothingPresented,
    /// The request cannot be read: 400 `invalid_request`.
    InvalidRequest,
    /// The token was judged, and is bad: 401 `invalid_token`.
    InvalidToken,
    /// The token was judged, and is not enough: 403 `insufficient_scope`.
    InsufficientScope,
    /// The token was not judged, for a cause that will pass: 503.
    Unavailable,
    /// The token was not judged, for a fault in the program: 500.
    Misconfigured,
}

impl Reason {
    /// All of them, in order.
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 24] = [
        Self::NoCredentials,
        Self::AmbiguousCredentials,
        Self::MalformedCredentials,
        Self::TooLong,
        Self::Malformed,
        Self::Encrypted,
        Self::UnsupportedExtension,
        Self::AlgorithmRefused,
        Self::UntrustedIssuer,
        Self::UnknownKey,
        Self::BadSignature,
        Self::WrongType,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::MissingClaim,
        Self::MalformedClaim,
        Self::Inactive,
        Self::Revoked,
        Self::Unbound,
        Self::InsufficientScope,
        Self::KeysUnavailable,
        Self::IntrospectionUnavailable,
        Self::Misconfigured,
    ];

    /// The stable name of this reason, in snake case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::AmbiguousCredentials => "ambiguous_credentials",
            Self::MalformedCredentials => "malformed_credentials",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Encrypted => "encrypted",
            Self::UnsupportedExtension => "unsupported_extension",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::UntrustedIssuer => "untrusted_issuer",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongType => "wrong_type",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::MissingClaim => "missing_claim",
            Self::MalformedClaim => "malformed_claim",
            Self::Inactive => "inactive",
            Self::Revoked => "revoked",
            Self::Unbound => "unbound",
            Self::InsufficientScope => "insufficient_scope",
            Self::KeysUnavailable => "keys_unavailable",
            Self::IntrospectionUnavailable => "introspection_unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// What the client is told.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::NoCredentials => Family::NothingPresented,
            Self::AmbiguousCredentials | Self::MalformedCredentials => Family::InvalidRequest,
            Self::TooLong
            | Self::Malformed
            | Self::Encrypted
            | Self::UnsupportedExtension
            | Self::AlgorithmRefused
            | Self::UntrustedIssuer
            | Self::UnknownKey
            | Self::BadSignature
            | Self::WrongType
            | Self::WrongAudience
            | Self::Expired
            | Self::NotYetValid
            | Self::MissingClaim
            | Self::MalformedClaim
            | Self::Inactive
            | Self::Revoked
            | Self::Unbound => Family::InvalidToken,
            Self::InsufficientScope => Family::InsufficientScope,
            Self::KeysUnavailable | Self::IntrospectionUnavailable => Family::Unavailable,
            Self::Misconfigured => Family::Misconfigured,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use super::*;

    #[test]
    fn no_reason_is_left_out_of_the_list() {
        assert!(Reason::ALL.is_sorted_by(|one, next| one < next));
        assert_eq!(Reason::ALL.len(), Reason::Misconfigured as usize + 1);
    }
}
