//! The claims of a payload, found in one pass and checked by type.

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

impl ClaimNames {
    const fn are_given(&self) -> bool {
        self.scope.is_some() || self.audience.is_some()
    }
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

impl Word {
    fn between(start: usize, end: usize) -> Self {
        Self { start: narrow(start), length: narrow(end.wrapping_sub(start)) }
    }
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
    #[inline(always)]
    pub(crate) fn read(payload: Vec<u8>, names: &ClaimNames) -> Result<Self, Reason> {
        Found::read(payload, names, |_, _| ())?.into_claims()
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

    /// The bytes that are kept of it, without its fixed part.
    pub(crate) const fn size(&self) -> usize {
        let elements = self.elements.capacity().saturating_mul(size_of::<Word>());
        self.payload.capacity().saturating_add(self.decoded.capacity()).saturating_add(elements)
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
        let (mut one, list) = match words {
            None => (None, &[][..]),
            Some(Words::One(word)) => (Some(word), &[][..]),
            Some(Words::List { start, length }) => {
                let start = widen(start);
                (None, self.elements.get(start..start.saturating_add(widen(length))).unwrap_or_default())
            }
        };
        let mut list = list.iter();
        std::iter::from_fn(move || one.take().or_else(|| list.next().copied()).map(|word| self.text(word)))
    }
}

/// What was found in a payload, of the right type or not.
pub(crate) struct Found {
    pub(crate) claims: Claims,
    /// The length of the payload.
    length: usize,
    /// A claim is not of its type.
    wrong: bool,
}

impl Found {
    /// Reads all of a payload. `seen` is told of each claim after it was read.
    #[inline]
    pub(crate) fn read(
        payload: Vec<u8>,
        names: &ClaimNames,
        mut seen: impl FnMut(&[u8], &Claims),
    ) -> Result<Self, Reason> {
        let payload = String::from_utf8(payload).map_err(|_| Reason::Malformed)?;
        if payload.len() > LONGEST {
            return Err(Reason::Malformed);
        }
        let mut found = Self { claims: Claims::empty(), length: payload.len(), wrong: false };
        let has_names = names.are_given();
        json::object_of_text(&payload, CLAIM_LIMITS, |name, value| {
            if has_names {
                found.named(name, value, names);
            }
            found.member(name, value);
            seen(name, &found.claims);
        })
        .map_err(|_| Reason::Malformed)?;
        found.claims.payload = payload;
        Ok(found)
    }

    /// The same with the claims that an issuer's settings name, which were not known before.
    pub(crate) fn and_named(mut self, names: &ClaimNames) -> Result<Self, Reason> {
        if names.are_given() {
            let payload = std::mem::take(&mut self.claims.payload);
            json::object_of_text(&payload, CLAIM_LIMITS, |name, value| self.named(name, value, names))
                .map_err(|_| Reason::Malformed)?;
            self.claims.payload = payload;
        }
        Ok(self)
    }

    /// The claims, if each that has a type is of it.
    #[inline(always)]
    pub(crate) fn into_claims(self) -> Result<Claims, Reason> {
        if self.wrong { Err(Reason::MalformedClaim) } else { Ok(self.claims) }
    }

    fn named(&mut self, name: &[u8], value: &Value<'_>, names: &ClaimNames) {
        let is = |named: &Option<Box<str>>| named.as_deref().is_some_and(|named| named.as_bytes() == name);
        if is(&names.scope) {
            self.claims.other_scope = self.words(value);
        }
        if is(&names.audience) {
            self.claims.other_audience = self.words(value);
        }
    }

    fn member(&mut self, name: &[u8], value: &Value<'_>) {
        match name {
            b"iss" => self.claims.issuer = self.string(value),
            b"sub" => self.claims.subject = self.subject(value),
            b"client_id" => self.claims.client_id = self.filled_string(value),
            b"jti" => self.claims.jwt_id = self.filled_string(value),
            // A session that is no text is none that can be denied, and no reason to refuse what never had to have one.
            b"sid" if matches!(value, Value::String(_)) => self.claims.session_id = self.string(value),
            b"aud" => self.claims.audience = self.words(value),
            b"exp" => self.claims.expires_at = self.date(value),
            b"nbf" => self.claims.not_before = self.date(value),
            b"iat" => self.claims.issued_at = self.date(value),
            b"auth_time" => self.wrong |= self.date(value).is_none(),
            b"acr" => self.wrong |= self.string(value).is_none(),
            b"amr" => self.wrong |= !matches!(value, Value::Array(list) if list.strings().is_some()),
            b"scope" => self.scope(value),
            b"scp" => self.claims.scp = self.words(value),
            b"cnf" => {
                self.claims.is_bound = true;
                self.wrong |= !matches!(value, Value::Object(_));
            }
            // OpenID Connect Core s2 and s3.3.2.11, RFC 8417 s2.2, RFC 9449 s4.2: an ID token, an event, a proof.
            b"nonce" | b"at_hash" | b"c_hash" | b"s_hash" | b"events" | b"htm" | b"htu" => {
                self.claims.is_other_kind = true
            }
            // Amazon Cognito says here which of its tokens it is.
            b"token_use" => self.claims.is_other_kind |= !is_string(value, |kind| kind == "access"),
            // Keycloak says it in the payload.
            b"typ" => self.claims.is_other_kind |= is_string(value, is_other_kind_of_keycloak),
            _ => {}
        }
    }

    #[inline]
    fn word(&mut self, text: Text<'_>) -> Word {
        match text.place() {
            Some((start, end)) => Word::between(start, end),
            None => self.decoded_word(text),
        }
    }

    #[cold]
    fn decoded_word(&mut self, text: Text<'_>) -> Word {
        let (decoded, before) = (&mut self.claims.decoded, self.length);
        let start = before.saturating_add(decoded.len());
        text.append_to(decoded);
        Word::between(start, before.saturating_add(decoded.len()))
    }

    fn string(&mut self, value: &Value<'_>) -> Option<Word> {
        match value {
            Value::String(text) => Some(self.word(*text)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.wrong = true;
                None
            }
        }
    }

    /// A string that names somebody or something, which an empty one does not.
    fn filled_string(&mut self, value: &Value<'_>) -> Option<Word> {
        self.wrong |= matches!(value, Value::String(text) if text.is_empty());
        self.string(value)
    }

    /// A list in `scope` grants nothing unless the settings name the claim (RFC 9068 s2.2.3: a string).
    fn scope(&mut self, value: &Value<'_>) {
        self.claims.names_scope = true;
        if !matches!(value, Value::Array(_)) {
            self.claims.scope = self.string(value).map(Words::One);
        }
    }

    fn subject(&mut self, value: &Value<'_>) -> Subject {
        match value {
            Value::Null => Subject::Null,
            _ => self.filled_string(value).map_or(Subject::Absent, Subject::Given),
        }
    }

    fn words(&mut self, value: &Value<'_>) -> Option<Words> {
        match value {
            Value::Array(list) => self.list(*list),
            _ => self.string(value).map(Words::One),
        }
    }

    /// A list counts only if every element is a string (RFC 7519 s4.1.3).
    fn list(&mut self, list: Array<'_>) -> Option<Words> {
        let start = self.claims.elements.len();
        for value in list.values() {
            let word = self.string(&value)?;
            self.claims.elements.push(word);
        }
        let length = self.claims.elements.len().saturating_sub(start);
        Some(Words::List { start: narrow(start), length: narrow(length) })
    }

    fn date(&mut self, value: &Value<'_>) -> Option<i64> {
        let date = match value {
            Value::Number(number) => numeric_date::parse(number),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        };
        self.wrong |= date.is_none();
        date
    }
}

fn is_string(value: &Value<'_>, holds: impl Fn(&str) -> bool) -> bool {
    matches!(value, Value::String(text) if holds(&text.decoded()))
}

fn is_other_kind_of_keycloak(kind: &str) -> bool {
    ["ID", "Refresh", "Offline", "Logout"].iter().any(|other| kind.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_the_same_however_they_are_written() {
        let plain = r#"{"iss":"me","aud":["one","two"],"scope":"a b","roles":["c","d"],"sub":"you"}"#;
        let escaped =
            r#"{"iss":"m\u0065","aud":["\u006fne","two"],"scope":"a\u0020b","roles":["c","\u0064"],"sub":"you"}"#;
        let names = ClaimNames { scope: Some("roles".into()), audience: Some("aud".into()) };
        for payload in [plain, escaped] {
            let claims = Claims::read(payload.into(), &names).unwrap();
            let texts = |words| claims.texts(words).collect::<Vec<_>>();
            assert_eq!(claims.issuer.map(|word| claims.text(word)), Some("me"));
            assert_eq!(texts(claims.audience), ["one", "two"]);
            assert_eq!(texts(claims.other_audience), ["one", "two"]);
            assert_eq!(texts(claims.scope), ["a b"]);
            assert_eq!(texts(claims.other_scope), ["c", "d"]);
            assert!(matches!(claims.subject, Subject::Given(word) if claims.text(word) == "you"));
            assert_eq!(claims.payload(), payload);
        }
    }
}
