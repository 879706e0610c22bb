//! What a request presented (RFC 6750 s2, RFC 9110 s11.4).

use std::borrow::Cow;
use std::fmt;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method};

use crate::reason::Reason;

/// What a request presented, read from its headers without judging it.
///
/// That nothing was presented, or too much, is a state and not an error: the validator answers it.
#[derive(Clone)]
pub struct Credentials<'a>(Presented<'a>);

#[derive(Clone)]
enum Presented<'a> {
    Nothing,
    Ambiguous,
    Malformed,
    /// The token, and whether its characters are still to be looked at.
    Token(Cow<'a, [u8]>, Syntax),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// From a request, where it must be a `b64token`.
    ToBeChecked,
    /// Handed over by the program: what is not a token fails as one.
    NotAskedFor,
}

impl<'a> Credentials<'a> {
    /// What the request's `Authorization` field presents (RFC 6750 s2.1).
    #[must_use]
    pub fn of<B>(request: &'a http::Request<B>) -> Self {
        Self::from_headers(request.headers())
    }

    /// What an `Authorization` field among these headers presents (RFC 6750 s2.1).
    ///
    /// Another scheme than `Bearer` presents nothing. More than one `Authorization` field is ambiguous, whatever they hold
    /// (RFC 9110 s5.3): whoever reads the first and whoever reads the last must not disagree.
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Self {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Self(Presented::Nothing),
            (Some(field), None) => Self::from_field(field.as_bytes()),
            (Some(_), Some(_)) => Self(Presented::Ambiguous),
        }
    }

    /// `Bearer`, in any case, 1*SP and a token (RFC 9110 s11.4).
    fn from_field(field: &'a [u8]) -> Self {
        // As nearly everybody writes it.
        if let Some(token) = field.strip_prefix(b"Bearer ").filter(|token| !matches!(token, [] | [b' ', ..])) {
            return Self(Presented::Token(Cow::Borrowed(token), Syntax::ToBeChecked));
        }
        let end = field.iter().position(|byte| !is_tchar(*byte)).unwrap_or(field.len());
        let (scheme, rest) = field.split_at_checked(end).unwrap_or((field, &[]));
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            // What begins with no scheme at all is nobody's credentials, and must not pass for none.
            let is_garbled = scheme.is_empty() && !field.is_empty();
            return Self(if is_garbled { Presented::Malformed } else { Presented::Nothing });
        }
        let token = rest.iter().position(|byte| *byte != b' ').and_then(|spaces| rest.get(spaces..));
        match token {
            Some(token) if rest.starts_with(b" ") => Self(Presented::Token(Cow::Borrowed(token), Syntax::ToBeChecked)),
            Some(_) | None => Self(Presented::Malformed),
        }
    }

    /// A token that the program has in hand.
    #[must_use]
    pub fn bearer(token: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self(Presented::Token(Cow::Borrowed(token.as_ref()), Syntax::NotAskedFor))
    }

    /// Looks for `access_token` in a request's query as well (RFC 6750 s2.3).
    ///
    /// Off unless called, since queries end up in logs and histories; OAuth 2.1 has done away with it. A token in two places
    /// is ambiguous. Answer successes with `Cache-Control: private` when you use this.
    #[must_use]
    pub fn and_query(self, query: Option<&str>) -> Self {
        self.and_parameters(query.unwrap_or_default().as_bytes())
    }

    /// Looks for `access_token` in a form body as well (RFC 6750 s2.2).
    ///
    /// Only a body of type `application/x-www-form-urlencoded` counts, and not under GET or HEAD. Off unless called.
    #[must_use]
    pub fn and_form(self, method: &Method, headers: &HeaderMap, body: &[u8]) -> Self {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let is_form = match (types.next().and_then(|value| value.to_str().ok()), types.next()) {
            (Some(content_type), None) => content_type
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")),
            _ => false,
        };
        let has_body = *method != Method::GET && *method != Method::HEAD;
        if is_form && has_body { self.and_parameters(body) } else { self }
    }

    fn and_parameters(self, encoded: &[u8]) -> Self {
        let mut tokens = form_urlencoded::parse(encoded).filter(|(name, _)| name == "access_token");
        match (self.0, tokens.next(), tokens.next()) {
            (before, None, _) => Self(before),
            (Presented::Nothing, Some((_, token)), None) => {
                let token = token.into_owned().into_bytes();
                Self(Presented::Token(Cow::Owned(token), Syntax::ToBeChecked))
            }
            // RFC 6750 s2: not more than one method; s3.1: no parameter twice.
            (_, Some(_), _) => Self(Presented::Ambiguous),
        }
    }

    /// The same, owned, so that the request can go on while a decision is waited for.
    #[must_use]
    pub fn into_owned(self) -> Credentials<'static> {
        Credentials(match self.0 {
            Presented::Nothing => Presented::Nothing,
            Presented::Ambiguous => Presented::Ambiguous,
            Presented::Malformed => Presented::Malformed,
            Presented::Token(token, syntax) => Presented::Token(Cow::Owned(token.into_owned()), syntax),
        })
    }

    /// Whether nothing at all was presented, which an optional guard lets pass.
    #[cfg(feature = "tower")]
    pub(crate) const fn is_nothing(&self) -> bool {
        matches!(self.0, Presented::Nothing)
    }

    /// The token's octets. Its length is looked at first, before any other work.
    pub(crate) fn token(&self, longest: usize) -> Result<&[u8], Reason> {
        match &self.0 {
            Presented::Nothing => Err(Reason::NoCredentials),
            Presented::Ambiguous => Err(Reason::AmbiguousCredentials),
            Presented::Malformed => Err(Reason::MalformedCredentials),
            Presented::Token(token, _) if token.len() > longest => Err(Reason::TooLong),
            // No issuer is asked what nothing is worth.
            Presented::Token(token, Syntax::NotAskedFor) if token.is_empty() => Err(Reason::Malformed),
            Presented::Token(token, _) => Ok(token),
        }
    }

    /// Whether a request's token is one by its characters. A JWT that was accepted has none that it may not have, so that this is
    /// asked of the others alone.
    pub(crate) fn is_token(&self) -> Result<(), Reason> {
        match &self.0 {
            Presented::Token(token, Syntax::ToBeChecked) if !is_b64token(token) => Err(Reason::MalformedCredentials),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Presented::Nothing => "Credentials(nothing)",
            Presented::Ambiguous => "Credentials(ambiguous)",
            Presented::Malformed => "Credentials(malformed)",
            Presented::Token(..) => "Credentials(a token)",
        })
    }
}

/// `tchar` of RFC 9110 s5.6.2.
const fn is_tchar(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 s2.1)
fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = token.get(..token.len().saturating_sub(padding)).unwrap_or_default();
    // No byte is left out of the count, so that the compiler can look at many at once.
    let is_body = |byte: u8| {
        (byte | 0x20).wrapping_sub(b'a') < 26
            || byte.wrapping_sub(b'-') < 3
            || byte.wrapping_sub(b'0') < 10
            || byte == b'_'
            || byte == b'~'
            || byte == b'+'
    };
    !body.is_empty() && body.iter().fold(true, |all, byte| all & is_body(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_b64token_is_what_the_grammar_says() {
        for byte in 0..=u8::MAX {
            let allowed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(is_b64token(&[byte]), allowed, "{byte:#x}");
            assert_eq!(is_b64token(&[b'a', byte, b'a']), allowed, "{byte:#x} in the middle");
            assert_eq!(is_b64token(&[b'a', byte]), allowed || byte == b'=', "{byte:#x} at the end");
        }
        assert!(!is_b64token(b"") && !is_b64token(b"=") && is_b64token(b"a==") && !is_b64token(b"a=b"));
    }

    #[test]
    fn what_begins_with_no_scheme_is_not_taken_for_nothing() {
        for (field, expected) in [
            ("Bearer abc", Ok(&b"abc"[..])),
            ("bearer   abc", Ok(b"abc")),
            ("Basic abc", Err(Reason::NoCredentials)),
            ("Bearerabc", Err(Reason::NoCredentials)),
            ("", Err(Reason::NoCredentials)),
            (",Bearer abc", Err(Reason::MalformedCredentials)),
            ("\"Bearer abc", Err(Reason::MalformedCredentials)),
            ("Bearer", Err(Reason::MalformedCredentials)),
            ("Bearer=abc", Err(Reason::MalformedCredentials)),
            ("Bearer abc, Bearer def", Err(Reason::MalformedCredentials)),
        ] {
            let credentials = Credentials::from_field(field.as_bytes());
            let token = credentials.token(16 * 1024).and_then(|token| credentials.is_token().map(|()| token));
            assert_eq!(token, expected, "{field:?}");
            assert_eq!(
                matches!(credentials.0, Presented::Nothing),
                expected == Err(Reason::NoCredentials),
                "{field:?}"
            );
        }
    }
}
