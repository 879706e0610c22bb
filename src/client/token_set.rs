//! What the token endpoint gives (RFC 6749 s5.1).

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::error::OAuthError;
use crate::client::state::Digest;
use crate::clock::Timestamp;
use crate::jose::json::{self, Duplicates, Value};
use crate::token::ClaimsError;

/// A user's tokens, or a program's own. Keep it as you like: it is written and read by `serde`, and whoever can read it is the user to every
/// API, so keep it as you would a password.
///
/// It knows which client it was issued to, by a digest of the `client_id` and the server: another client refuses it, since it would send the
/// refresh token to another server. One that was written by hand, or by another program, is taken by any.
///
/// ```
/// use scopegate::client::TokenSet;
/// let stored = r#"{"access_token":"2YotnFZFEjr1","token_type":"Bearer","expires_at":1893456000,"refresh_token":"tGzv3JOkF0XG"}"#;
/// let token: TokenSet = serde_json::from_str(stored)?;
/// assert_eq!(token.expires_at(), Some(1_893_456_000));
/// assert!(!format!("{token:?}").contains("2YotnFZFEjr1"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSet {
    access_token: String,
    token_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// The seconds that it was to live when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<String>,
    /// Who the user is, by an ID token that was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// The APIs that it was asked for (RFC 8707).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<String>,
    /// The client that it was issued to, and where; `None` where it was not had by this crate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issued_to: Option<Digest>,
    /// The members of the server's own, as an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

const LIMITS: json::Limits = json::Limits { depth: 16, members: 512, duplicates: Duplicates::Refused };

impl TokenSet {
    /// Reads the token endpoint's answer.
    pub(crate) fn read(answer: &[u8], asked_scope: Option<&str>, now: Timestamp) -> Result<Self, OAuthError> {
        let invalid = |problem| OAuthError::InvalidAnswer { problem };
        let mut found = Found::default();
        json::object(answer, LIMITS, |name, value| found.note(name, value))
            .map_err(|_| invalid("the answer is not one strict JSON object"))?;
        if let Some(problem) = found.problem {
            return Err(invalid(problem));
        }
        let access_token = found.access_token.ok_or_else(|| invalid("the answer has no access_token"))?;
        // It goes into a header: RFC 6749 appendix A.12 allows printable ASCII, and RFC 6750 s2.1 fewer.
        if access_token.is_empty() || !access_token.bytes().all(|byte| matches!(byte, 0x21..=0x7E)) {
            return Err(invalid("the access_token has a character that no header has"));
        }
        match found.token_type.as_deref() {
            // RFC 6749 s7.1: a client must not use a token of a kind that it does not understand.
            Some(kind) if kind.eq_ignore_ascii_case("bearer") => {}
            Some(_) => return Err(invalid("the token_type is not Bearer")),
            None => return Err(invalid("the answer has no token_type")),
        }
        let expires_at = found.expires_in.map(|life| now.plus(Duration::from_secs(life)).unix_seconds());
        Ok(Self {
            access_token,
            token_type: "Bearer".to_owned(),
            expires_at,
            expires_in: found.expires_in,
            refresh_token: found.refresh_token.filter(|token| !token.is_empty()),
            // RFC 6749 s5.1: left out where it is what was asked for.
            scope: found.scope.or_else(|| asked_scope.map(str::to_owned)),
            id_token: found.id_token,
            subject: None,
            resources: Vec::new(),
            issued_to: None,
            answer: Some(found.own).filter(|own| !own.is_empty()).map(|own| format!("{{{own}}}")),
        })
    }

    /// What a request is made with.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// What a newer one is had for.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        // Some programs write an empty one where there is none.
        self.refresh_token.as_deref().filter(|token| !token.is_empty())
    }

    /// The ID token as it came, which was verified. It is what a logout is hinted with.
    #[must_use]
    pub fn id_token(&self) -> Option<&str> {
        self.id_token.as_deref()
    }

    /// When the access token ends, in whole seconds since 1970; `None` where the server does not say.
    #[must_use]
    pub const fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// What it may be used for, as far as is known: what the server says, or else what was asked for.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Who the user is (`sub`), by an ID token that was verified.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether the access token has ended, or will in so long. One of which nobody knows when it ends has not.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp, ahead: Duration) -> bool {
        self.expires_at.is_some_and(|end| end <= now.plus(ahead).unix_seconds())
    }

    /// Whether it is time to have it renewed: so long ahead of its end, but not in the first half of its life, since a token that lives
    /// a minute would be renewed with every request.
    pub(crate) fn is_due(&self, now: Timestamp, ahead: Duration) -> bool {
        let half = self.expires_in.map_or(ahead, |life| Duration::from_secs(life.div_euclid(2)));
        self.is_expired(now, ahead.min(half))
    }

    /// Reads what else the token endpoint has answered into a type of yours: the members that this crate does not know. Those that it knows
    /// are not kept a second time.
    ///
    /// # Errors
    /// [`ClaimsError`] if it does not fit the type.
    pub fn answer<T: DeserializeOwned>(&self) -> Result<T, ClaimsError> {
        serde_json::from_str(self.answer.as_deref().unwrap_or("{}")).map_err(|fault| ClaimsError::of(&fault))
    }

    /// A renewed set: what the server left out stays as it was (RFC 6749 s6).
    pub(crate) fn renewing(mut self, old: &Self) -> Self {
        let keep = |new: &mut Option<String>, old: &Option<String>| *new = new.take().or_else(|| old.clone());
        keep(&mut self.refresh_token, &old.refresh_token);
        keep(&mut self.id_token, &old.id_token);
        keep(&mut self.scope, &old.scope);
        keep(&mut self.subject, &old.subject);
        self.resources.clone_from(&old.resources);
        self
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("expires_at", &self.expires_at)
            .field("scope", &self.scope)
            .field("has_refresh_token", &self.refresh_token().is_some())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Found {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    scope: Option<String>,
    id_token: Option<String>,
    /// The members of the server's own, as they stand in an object.
    own: String,
    problem: Option<&'static str>,
}

impl Found {
    fn note(&mut self, name: &str, value: Value<'_>) {
        let (place, problem) = match name {
            "access_token" => (&mut self.access_token, "the access_token is not a string"),
            "token_type" => (&mut self.token_type, "the token_type is not a string"),
            "refresh_token" => (&mut self.refresh_token, "the refresh_token is not a string"),
            "scope" => (&mut self.scope, "the scope is not a string"),
            "id_token" => (&mut self.id_token, "the id_token is not a string"),
            "expires_in" => {
                match seconds(&value) {
                    Ok(life) => self.expires_in = life,
                    Err(problem) => self.problem = Some(problem),
                }
                return;
            }
            _ => {
                if !self.own.is_empty() {
                    self.own.push(',');
                }
                write_text(name, &mut self.own);
                self.own.push(':');
                write(value, &mut self.own);
                return;
            }
        };
        match value {
            Value::String(text) => *place = Some(text.decoded().into_owned()),
            // Some servers, Twitch among them, list the names.
            Value::Array(names) if name == "scope" => match names.strings() {
                Some(names) => *place = Some(names.join(" ")),
                None => self.problem = Some("the scope is neither a string nor a list of strings"),
            },
            // What is not there, to some servers.
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => self.problem = Some(problem),
        }
    }
}

/// Writes a value behind others.
fn write(value: Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(is_true) => out.push_str(if is_true { "true" } else { "false" }),
        Value::Number(digits) => out.push_str(digits),
        Value::String(text) => write_text(&text.decoded(), out),
        Value::Object(object) => out.push_str(&String::from_utf8_lossy(object.as_bytes())),
        // The depth was checked before.
        Value::Array(array) => {
            out.push('[');
            for (at, value) in array.values().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// A lifetime in whole seconds. Some servers write it as a string; both forms say the same.
fn seconds(value: &Value<'_>) -> Result<Option<u64>, &'static str> {
    let digits = match value {
        Value::Number(digits) => (*digits).to_owned(),
        Value::String(text) => text.decoded().into_owned(),
        Value::Null => return Ok(None),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err("expires_in is not a number"),
    };
    let whole = digits.split_once('.').filter(|(_, rest)| rest.bytes().all(|byte| byte == b'0'));
    let digits = whole.map_or(&*digits, |(whole, _)| whole);
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.and_then(|digits| digits.parse().ok());
    seconds.map(Some).ok_or("expires_in is not a number of seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<TokenSet, OAuthError> {
        TokenSet::read(answer.as_bytes(), None, Timestamp::new(0, Duration::ZERO))
    }

    #[test]
    fn the_members_of_the_servers_own_are_kept_and_no_token_twice() {
        let own = r#""a":[1.50,[],["x",null]],"b":{"c" : "\u00e9"},"d\"e":"f\ng","h":true,"i":12345678901234567890123"#;
        let set =
            read(&format!(r#"{{"access_token":"once","token_type":"Bearer","refresh_token":"only",{own}}}"#)).unwrap();
        let stored = serde_json::to_string(&set).unwrap();
        assert_eq!((stored.matches("once").count(), stored.matches("only").count()), (1, 1), "{stored}");
        let set: TokenSet = serde_json::from_str(&stored).unwrap();
        assert_eq!(set.answer.as_deref(), Some(format!("{{{own}}}").as_str()));
        let answer: serde_json::Value = set.answer().unwrap();
        assert_eq!((&answer["d\"e"], &answer["b"]["c"]), (&"f\ng".into(), &"\u{e9}".into()));
        assert!(read(r#"{"access_token":"a","token_type":"Bearer"}"#).unwrap().answer.is_none());
    }

    #[test]
    fn a_list_of_scopes_is_a_scope_and_nothing_else_is() {
        let with = |scope: &str| read(&format!(r#"{{"access_token":"a","token_type":"Bearer","scope":{scope}}}"#));
        let rows = [
            (r#"["user:read","chat:edit"]"#, "user:read chat:edit"),
            (r#"["one"]"#, "one"),
            ("[]", ""),
            (r#""a b""#, "a b"),
        ];
        for (scope, expected) in rows {
            assert_eq!(with(scope).unwrap().scope(), Some(expected), "{scope}");
        }
        for scope in ["[7]", r#"["a",null]"#, r#"[["a"]]"#, r#"{"a":"b"}"#, "7", "true"] {
            assert_eq!(with(scope).unwrap_err().label(), "invalid_answer", "{scope}");
        }
    }

    #[test]
    fn an_empty_refresh_token_is_none() {
        let stored = r#"{"access_token":"a","token_type":"Bearer","refresh_token":""}"#;
        let set: TokenSet = serde_json::from_str(stored).unwrap();
        assert_eq!(set.refresh_token(), None);
        assert!(format!("{set:?}").contains("has_refresh_token: false"));
        assert_eq!(read(stored).unwrap().refresh_token(), None);
    }
}
