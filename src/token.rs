//! A token that has been accepted.

use std::fmt;

use memchr::memchr;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::claims::Claims;
use crate::claims::read::{Subject, Words};
use crate::claims::rules::{Accepted, Rules};
use crate::issuer_id::IssuerId;
use crate::shared::{Handle, Lanes};

/// An access token that a validator has accepted: who sent it, and what it allows. A clone costs one reference count.
///
/// It holds what the token says and not the token itself, so that it cannot be sent on by mistake. A program cannot make one:
/// whoever holds an `AccessToken` holds an accepted one.
#[derive(Clone)]
pub struct AccessToken(Handle<Inner>);

/// An accepted token that is handed out again and again.
pub(crate) struct SharedToken {
    token: AccessToken,
    lanes: Lanes<Inner>,
}

impl SharedToken {
    pub(crate) const fn new(token: AccessToken) -> Self {
        Self { token, lanes: Lanes::new() }
    }

    /// The token, to be looked at.
    pub(crate) const fn get(&self) -> &AccessToken {
        &self.token
    }

    /// The token, to be kept.
    pub(crate) fn hand_out(&self) -> AccessToken {
        AccessToken(self.lanes.hand_out(&self.token.0))
    }
}

struct Inner {
    issuer: IssuerId,
    claims: Claims,
    granted: Option<Words>,
    names_scopes: bool,
}

impl AccessToken {
    #[inline(always)]
    pub(crate) fn new(accepted: Accepted, rules: &Rules) -> Self {
        let claims = accepted.into_claims();
        let granted = rules.granted(&claims);
        let names_scopes = granted.is_some();
        Self(Handle::new(Inner { issuer: rules.issuer.clone(), claims, granted, names_scopes }))
    }

    /// What an issuer says of a JWT that its signature has proven.
    #[cfg(feature = "driver")]
    pub(crate) fn beside(accepted: Accepted, rules: &Rules) -> Self {
        let claims = accepted.into_claims();
        let left = rules.left(&claims);
        let (names_scopes, granted) = (left.is_some(), left.and_then(|left| left.0));
        Self(Handle::new(Inner { issuer: rules.issuer.clone(), claims, granted, names_scopes }))
    }

    /// What it says, to be judged again by its times.
    pub(crate) fn stated(&self) -> &Claims {
        &self.0.claims
    }

    /// Whether what an issuer says can be about this token: what both of them name is the same (RFC 7662 s2.2). An answer about another
    /// token, mixed up or kept from before, says nothing of this one.
    pub(crate) fn is_of(&self, proven: &Self) -> bool {
        let is_same = |said: Option<&str>, proven: Option<&str>| said.is_none() || proven.is_none() || said == proven;
        is_same(self.jwt_id(), proven.jwt_id()) && is_same(self.subject(), proven.subject())
    }

    /// Whether it says at all what it may be used for, in whatever form.
    pub(crate) fn names_scopes(&self) -> bool {
        self.0.names_scopes
    }

    /// The issuer that signed it (`iss`), or that was asked about it.
    #[must_use]
    pub fn issuer(&self) -> &IssuerId {
        &self.0.issuer
    }

    /// Whom it speaks for (`sub`): a person, or the client itself (RFC 9068 s5). Always there under `Profile::Rfc9068`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match self.0.claims.subject {
            Subject::Given(word) => Some(self.0.claims.text(word)),
            Subject::Absent | Subject::Null => None,
        }
    }

    /// The client that asked for it (`client_id`). Always there under `Profile::Rfc9068`.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.0.claims.client_id.map(|word| self.0.claims.text(word))
    }

    /// Its own name (`jti`). Always there under `Profile::Rfc9068`.
    #[must_use]
    pub fn jwt_id(&self) -> Option<&str> {
        self.0.claims.jwt_id.map(|word| self.0.claims.text(word))
    }

    /// The session at the issuer in which it was made (`sid`), where the issuer says so.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.0.claims.session_id.map(|word| self.0.claims.text(word))
    }

    /// Whom it is meant for (`aud`).
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.0.claims.texts(self.0.claims.audience)
    }

    /// When it ends (`exp`), in whole seconds since 1970. The leeway is not in it.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.0.claims.expires_at.map(|millis| millis.div_euclid(1000))
    }

    /// When it was made (`iat`), in whole seconds since 1970.
    #[must_use]
    pub fn issued_at(&self) -> Option<i64> {
        self.0.claims.issued_at.map(|millis| millis.div_euclid(1000))
    }

    /// What it may be used for, as the issuer wrote it: the parts of a string, or the elements of a list. An element is one
    /// scope even if it holds a space, which no scope that a route demands does.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let (text, list) = match self.0.granted {
            Some(Words::One(word)) => (self.0.claims.text(word), None),
            list => ("", list),
        };
        let (mut rest, mut elements) = (text, self.0.claims.texts(list));
        std::iter::from_fn(move || next_part(&mut rest).or_else(|| elements.next()))
    }

    /// Whether it carries this scope, compared whole and byte for byte (RFC 6749 s3.3).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        match self.0.granted {
            Some(Words::One(word)) => is_part(scope, self.0.claims.text(word)),
            list => self.0.claims.texts(list).any(|granted| granted == scope),
        }
    }

    /// Reads the claims into a type of yours, all of them: those that this crate knows, and those that it does not.
    ///
    /// # Errors
    /// [`ClaimsError`] if the token's claims do not fit the type.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, ClaimsError> {
        serde_json::from_str(self.0.claims.payload()).map_err(|fault| ClaimsError::of(&fault))
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whose token it is and what it says stays out of logs.
        f.debug_struct("AccessToken").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

/// Takes the next of the parts between spaces off a text. They are short, so that looking at byte after byte is quickest.
fn next_part<'t>(text: &mut &'t str) -> Option<&'t str> {
    let start = text.bytes().position(|byte| byte != b' ')?;
    let from = text.get(start..)?;
    let (part, rest) = from.split_at_checked(from.bytes().position(|byte| byte == b' ').unwrap_or(from.len()))?;
    *text = rest;
    Some(part)
}

/// Whether this is one of the parts between spaces of a text.
fn is_part(part: &str, text: &str) -> bool {
    let (part, mut rest) = (part.as_bytes(), text.as_bytes());
    while let Some(space) = memchr(b' ', rest) {
        if rest.get(..space) == Some(part) {
            return !part.is_empty();
        }
        rest = rest.get(space.wrapping_add(1)..).unwrap_or_default();
    }
    rest == part && !part.is_empty()
}

/// The token's claims do not fit the type that they were read into.
///
/// It tells where, and never what: the message of the reader quotes the value that did not fit, which is somebody's.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the claims do not fit the type that they are read into ({kind}, line {line}, column {column})")]
pub struct ClaimsError {
    kind: &'static str,
    line: usize,
    column: usize,
}

impl ClaimsError {
    pub(crate) fn of(fault: &serde_json::Error) -> Self {
        let kind = match fault.classify() {
            Category::Data => "wrong type or member",
            Category::Syntax => "not JSON",
            Category::Eof => "cut short",
            Category::Io => "not readable",
        };
        Self { kind, line: fault.line(), column: fault.column() }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_part, next_part};

    fn words(longest: u32) -> impl Iterator<Item = String> {
        let word = |length: u32, number: usize| {
            (0..length).map(|place| b"ab "[number / 3_usize.pow(place) % 3] as char).collect()
        };
        (0..=longest).flat_map(move |length| (0..3_usize.pow(length)).map(move |number| word(length, number)))
    }

    #[test]
    fn a_part_is_found_where_parting_finds_it() {
        for text in words(6) {
            let mut rest = &*text;
            let parts: Vec<_> = std::iter::from_fn(|| next_part(&mut rest)).collect();
            for part in words(3) {
                assert_eq!(is_part(&part, &text), parts.contains(&&*part), "{part:?} in {text:?}");
            }
        }
    }

    #[test]
    fn a_text_is_parted_by_spaces_alone() {
        for (text, parts) in [
            ("", &[][..]),
            (" ", &[]),
            ("a", &["a"]),
            (" a  bc ", &["a", "bc"]),
            ("a\tb \u{e9} c\u{a0}d", &["a\tb", "\u{e9}", "c\u{a0}d"]),
        ] {
            let mut rest = text;
            assert_eq!(std::iter::from_fn(|| next_part(&mut rest)).collect::<Vec<_>>(), parts, "{text:?}");
        }
    }
}
