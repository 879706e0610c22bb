//! Answers that the issuer has signed (RFC 9701 s5).

use std::time::Duration;

use crate::claims::numeric_date;
use crate::claims::read::CLAIM_LIMITS;
use crate::clock::Timestamp;
use crate::introspection::response::NotAnAnswer;
use crate::jose::compact::Typ;
use crate::jose::json::{self, Value};
use crate::jose::verify::Verified;

/// Whose the answer must be, and whose it must be made out to.
pub(crate) struct Between<'a> {
    pub(crate) issuer: &'a str,
    /// One of these.
    pub(crate) audiences: &'a [Box<str>],
}

/// When the question was sent and its answer is read, by clocks that may be so far apart.
#[derive(Clone, Copy)]
pub(crate) struct When {
    pub(crate) sent: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) leeway: Duration,
}

impl When {
    /// Whether an answer of this date answers this question. An older one may have been given before the token was revoked, and kept by
    /// whoever stands between.
    fn holds(&self, issued: i64) -> bool {
        let leeway = numeric_date::millis(self.leeway);
        // A date in whole seconds says of nothing that happens within one that it is older.
        let latest = issued.saturating_add(999).saturating_add(leeway);
        latest >= self.sent.unix_millis() && issued <= self.now.unix_millis().saturating_add(leeway)
    }
}

/// The answer in a JWT whose signature holds.
pub(crate) fn unwrap(jwt: &Verified<'_>, between: &Between<'_>, when: When) -> Result<Vec<u8>, NotAnAnswer> {
    // RFC 9701 s8.1: no other JWT of the issuer is taken for an answer, nor an answer for a token.
    if !matches!(jwt.typ(), Typ::Other(typ) if **typ == *"token-introspection+jwt") {
        return Err(NotAnAnswer("the signed answer's typ is not token-introspection+jwt (RFC 9701 s5)"));
    }
    let payload = jwt.payload().map_err(|_| NotAnAnswer("the signed answer has no readable payload"))?;
    let (mut is_ours, mut is_for_us, mut issued, mut answer) = (false, false, None, None);
    json::object(&payload, CLAIM_LIMITS, |name, value| match (name, value) {
        ("iss", Value::String(text)) => is_ours = text.decoded() == between.issuer,
        ("aud", Value::String(text)) => is_for_us = between.audiences.iter().any(|ours| text.decoded() == **ours),
        ("aud", Value::Array(list)) => {
            let named = list.strings().unwrap_or_default();
            is_for_us = named.iter().any(|named| between.audiences.iter().any(|ours| *named == **ours));
        }
        ("iat", Value::Number(number)) => issued = numeric_date::parse(number),
        ("token_introspection", Value::Object(object)) => answer = Some(object.as_bytes().to_vec()),
        _ => {}
    })
    .map_err(|_| NotAnAnswer("the signed answer is not one strict JSON object"))?;
    let faults = [
        (is_ours, "the signed answer is another issuer's (RFC 9701 s5)"),
        (is_for_us, "the signed answer is made out to somebody else (RFC 9701 s5)"),
        (issued.is_some(), "the signed answer has no date (RFC 9701 s5)"),
        (issued.is_some_and(|issued| when.holds(issued)), "the signed answer is not of the time when it was asked for"),
    ];
    if let Some((_, fault)) = faults.iter().find(|(holds, _)| !holds) {
        return Err(NotAnAnswer(fault));
    }
    answer.ok_or(NotAnAnswer("the signed answer holds no token_introspection (RFC 9701 s5)"))
}
