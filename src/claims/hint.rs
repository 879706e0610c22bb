//! What a token says of itself before its signature was checked.

use std::time::Duration;

use crate::claims::numeric_date;
use crate::claims::read::CLAIM_LIMITS;
use crate::clock::Timestamp;
use crate::jose::base64url;
use crate::jose::compact::Unverified;
use crate::jose::json::{self, Value};
use crate::reason::Reason;

/// `iss` and `exp` of a token that is not yet believed. It routes and it may refuse, and it cannot be used as a claim: what is
/// accepted is read again from a verified token.
pub(crate) struct Hint {
    issuer: Box<str>,
    /// Milliseconds since 1970.
    expires_at: i64,
}

impl Hint {
    /// Reads the two, by the same strict parser as the claims.
    pub(crate) fn read(token: &Unverified<'_>) -> Result<Self, Reason> {
        let payload = base64url::decode(token.payload).ok_or(Reason::Malformed)?;
        let mut issuer = None;
        let mut expires_at = None;
        let mut wrong = false;
        json::object(&payload, CLAIM_LIMITS, |name, value| match (name, value) {
            ("iss", Value::String(text)) => issuer = Some(text.decoded().into()),
            ("exp", Value::Number(number)) => {
                expires_at = numeric_date::parse(number);
                wrong |= expires_at.is_none();
            }
            ("iss" | "exp", _) => wrong = true,
            _ => {}
        })
        .map_err(|_| Reason::Malformed)?;
        match (issuer, expires_at) {
            _ if wrong => Err(Reason::MalformedClaim),
            (Some(issuer), Some(expires_at)) => Ok(Self { issuer, expires_at }),
            _ => Err(Reason::MissingClaim),
        }
    }

    /// The issuer that the token names, believed by nobody yet.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether this is the issuer that the token names, byte for byte.
    pub(crate) fn names(&self, issuer: &str) -> bool {
        *self.issuer == *issuer
    }

    /// Whether the token would be refused as expired, however it is signed.
    pub(crate) fn is_expired(&self, now: Timestamp, leeway: Duration) -> bool {
        numeric_date::has_expired(self.expires_at, leeway, now)
    }
}
