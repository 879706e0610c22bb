//! The claims of a payload, found in one pass and checked by type.

use std::borrow::Cow;

use crate::claims::numeric_date;
use crate::jose::json::{self, Array, Duplicates, Text, Value};
use crate::reason::Reason;

pub(crate) const CLAIM_LIMITS: json::Limits = json::Limits { depth: 16, members: 512, duplicates: Duplicates::Refused };

/// Where an issuer puts what has no fixed place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClaimNames {
    /// The claim that holds the scopes, instead of `scope`; a string or a list.
    pub(crate) scope: Option<Box<str>>,
    /// The claim that names the audience, instead of `aud`.
    pub(crate) audience: Option<Box<str>>,
}

/// The claims of one token. The payload is kept; what is known is found in it, and the rest is read on demand.
pub(crate) struct Claims {
    payload: String,
    /// Strings that were written with escapes, as they read.
    decoded: String,
    /// The elements of lists.
    elements: Vec<Word>,
    pub(crate) issuer: Option<Word>,
    pub(crate) subject: Subject,
    pub(crate) client_id: Option<Word>,
    pub(crate) jwt_id: Option<Word>,
    pub(crate) session_id: Option<Word>,
    pub(crate) audience: Option<Words>,
    /// The claim that stands for `aud`, where the issuer's settings name one.
    pub(crate) other_audience: Option<Words>,
    /// Milliseconds since 1970, as are all dates here.
    pub(crate) expires_at: Option<i64>,
    pub(crate) not_before: Option<i64>,
    pub(crate) issued_at: Option<i64>,
    pub(crate) scope: Option<Words>,
    /// `scope` is there, in whatever form.
    pub(crate) names_scope: bool,
    pub(crate) scp: Option<Words>,
    pub(crate) other_scope: Option<Words>,
    /// `cnf`: the token is bound to a key (RFC 7800 s3.1).
    pub(crate) is_bound: bool,
    /// A claim that belongs to another kind of JWT.
    pub(crate) is_other_kind: bool,
}

/// `sub`. One real issuer writes `null` where a token is nobody's, which one profile lets pass.
pub(crate) enum Subject {
    Absent,
    Null,
    Given(Word),
}

/// A string of the payload: where it stands in that, or, counted on from its end, in what was decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    start: u32,
    length: u32,
}

/// A claim that is one string or a list of strings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Words {
    One(Word),
    /// So many elements, from this one.
    List {
        start: u32,
        length: u32,
    },
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn widen(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Half of what a place can count, since what was decoded is no longer than the payload. No body and no token comes near it.
const LONGEST: usize = 1 << 31;

impl Claims {
    /// Reads a payload, or an answer of the issuer. Its place is after the signature: see `jose::verify`.
    pub(crate) fn read(payload: Vec<u8>, names: &ClaimNames) -> Result<Self, Reason> {
        let payload = String::from_utf8(payload).map_err(|_| Reason::Malformed)?;
        if payload.len() > LONGEST {
            return Err(Reason::Malformed);
        }
        let mut reader = Reader { payload: &payload, claims: Self::empty(), wrong: false };
        json::object_of_text(&payload, CLAIM_LIMITS, |name, value| reader.member(name, value, names))
            .map_err(|_| Reason::Malformed)?;
        if reader.wrong {
            return Err(Reason::MalformedClaim);
        }
        let mut claims = reader.claims;
        claims.payload = payload;
        Ok(claims)
    }

    const fn empty() -> Self {
        Self {
            payload: String::new(),
            decoded: String::new(),
            elements: Vec::new(),
            issuer: None,
            subject: Subject::Absent,
            client_id: None,
            jwt_id: None,
            session_id: None,
            audience: None,
            other_audience: None,
            expires_at: None,
            not_before: None,
            issued_at: None,
            scope: None,
            names_scope: false,
            scp: None,
            other_scope: None,
            is_bound: false,
            is_other_kind: false,
        }
    }

    /// The JSON text of the payload.
    pub(crate) fn payload(&self) -> &str {
        &self.payload
    }

    /// A word of this payload.
    pub(crate) fn text(&self, word: Word) -> &str {
        let start = widen(word.start);
        let (whole, start) = match start.checked_sub(self.payload.len()) {
            None => (&self.payload, start),
            Some(start) => (&self.decoded, start),
        };
        whole.get(start..start.saturating_add(widen(word.length))).unwrap_or_default()
    }

    /// The words of a claim.
    pub(crate) fn texts(&self, words: Option<Words>) -> impl Iterator<Item = &str> {
        let (one, list) = match words {
            None => (None, &[][..]),
            Some(Words::One(word)) => (Some(word), &[][..]),
            Some(Words::List { start, length }) => {
                let start = widen(start);
                (None, self.elements.get(start..start.saturating_add(widen(length))).unwrap_or_default())
            }
        };
        one.into_iter().chain(list.iter().copied()).map(|word| self.text(word))
    }
}

struct Reader<'p> {
    payload: &'p str,
    claims: Claims,
    wrong: bool,
}

impl<'p> Reader<'p> {
    fn member(&mut self, name: &str, value: Value<'p>, names: &ClaimNames) {
        match name {
            "iss" => self.claims.issuer = self.string(value),
            "sub" => self.claims.subject = self.subject(value),
            "client_id" => self.claims.client_id = self.filled_string(value),
            "jti" => self.claims.jwt_id = self.filled_string(value),
            // A session that is no text is none that can be denied, and no reason to refuse what never had to have one.
            "sid" if matches!(value, Value::String(_)) => self.claims.session_id = self.string(value),
            "aud" => self.claims.audience = self.words(value),
            "exp" => self.claims.expires_at = self.date(value),
            "nbf" => self.claims.not_before = self.date(value),
            "iat" => self.claims.issued_at = self.date(value),
            "auth_time" => self.wrong |= self.date(value).is_none(),
            "acr" => self.wrong |= self.string(value).is_none(),
            "amr" => self.wrong |= !matches!(value, Value::Array(list) if list.strings().is_some()),
            "scope" => self.scope(value),
            "scp" => self.claims.scp = self.words(value),
            "cnf" => {
                self.claims.is_bound = true;
                self.wrong |= !matches!(value, Value::Object(_));
            }
            // OpenID Connect Core s2 and s3.3.2.11, RFC 8417 s2.2, RFC 9449 s4.2: an ID token, an event, a proof.
            "nonce" | "at_hash" | "c_hash" | "s_hash" | "events" | "htm" | "htu" => self.claims.is_other_kind = true,
            // Amazon Cognito says here which of its tokens it is.
            "token_use" => self.claims.is_other_kind |= !is_string(value, |kind| kind == "access"),
            // Keycloak says it in the payload.
            "typ" => self.claims.is_other_kind |= is_string(value, is_other_kind_of_keycloak),
            _ => {}
        }
        if names.scope.as_deref() == Some(name) {
            self.claims.other_scope = self.words(value);
        }
        if names.audience.as_deref() == Some(name) {
            self.claims.other_audience = self.words(value);
        }
    }

    fn word(&mut self, text: Text<'p>) -> Word {
        let (start, length) = match text.decoded() {
            Cow::Borrowed(text) => (text.as_ptr().addr().saturating_sub(self.payload.as_ptr().addr()), text.len()),
            Cow::Owned(text) => {
                let start = self.payload.len().saturating_add(self.claims.decoded.len());
                self.claims.decoded.push_str(&text);
                (start, text.len())
            }
        };
        Word { start: narrow(start), length: narrow(length) }
    }

    fn string(&mut self, value: Value<'p>) -> Option<Word> {
        match value {
            Value::String(text) => Some(self.word(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.wrong = true;
                None
            }
        }
    }

    /// A string that names somebody or something, which an empty one does not.
    fn filled_string(&mut self, value: Value<'p>) -> Option<Word> {
        self.wrong |= is_string(value, str::is_empty);
        self.string(value)
    }

    /// A list in `scope` grants nothing unless the settings name the claim (RFC 9068 s2.2.3: a string).
    fn scope(&mut self, value: Value<'p>) {
        self.claims.names_scope = true;
        if !matches!(value, Value::Array(_)) {
            self.claims.scope = self.string(value).map(Words::One);
        }
    }

    fn subject(&mut self, value: Value<'p>) -> Subject {
        match value {
            Value::Null => Subject::Null,
            _ => self.filled_string(value).map_or(Subject::Absent, Subject::Given),
        }
    }

    fn words(&mut self, value: Value<'p>) -> Option<Words> {
        match value {
            Value::Array(list) => self.list(list),
            _ => self.string(value).map(Words::One),
        }
    }

    /// A list counts only if every element is a string (RFC 7519 s4.1.3).
    fn list(&mut self, list: Array<'p>) -> Option<Words> {
        let start = self.claims.elements.len();
        for value in list.values() {
            let word = self.string(value)?;
            self.claims.elements.push(word);
        }
        let length = self.claims.elements.len().saturating_sub(start);
        Some(Words::List { start: narrow(start), length: narrow(length) })
    }

    fn date(&mut self, value: Value<'p>) -> Option<i64> {
        let date = match value {
            Value::Number(number) => numeric_date::parse(number),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        };
        self.wrong |= date.is_none();
        date
    }
}

fn is_string(value: Value<'_>, holds: impl Fn(&str) -> bool) -> bool {
    matches!(value, Value::String(text) if holds(&text.decoded()))
}

fn is_other_kind_of_keycloak(kind: &str) -> bool {
    ["ID", "Refresh", "Offline", "Logout"].iter().any(|other| kind.eq_ignore_ascii_case(other))
}
