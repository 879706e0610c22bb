//! The `WWW-Authenticate` answer (RFC 6750 s3, RFC 9110 s11.6.1).

use std::fmt::Write as _;
use std::sync::OnceLock;

use http::HeaderValue;

use crate::shared::Copies;

/// A `Bearer` challenge.
///
/// Each parameter stands at most once and in a fixed order. What a parameter cannot carry (RFC 6750 s3) is replaced by `?`, so
/// that no value can end the field or start another.
///
/// ```
/// use scopegate::Challenge;
/// let challenge = Challenge::new().realm("things").error("insufficient_scope").scope("things:write");
/// assert_eq!(
///     challenge.to_header_value(),
///     r#"Bearer realm="things", error="insufficient_scope", scope="things:write""#,
/// );
/// assert_eq!(Challenge::new().realm("a\"b\r\nX-Evil: 1").to_header_value(), r#"Bearer realm="a\"b??X-Evil: 1""#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    realm: Option<Box<str>>,
    error: Option<Box<str>>,
    error_description: Option<Box<str>>,
    error_uri: Option<Box<str>>,
    scope: Option<Box<str>>,
    resource_metadata: Option<Box<str>>,
}

impl Challenge {
    /// A challenge without parameters. Add at least one: RFC 6750 s3 does not allow the bare word.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is protected (RFC 9110 s11.5).
    #[must_use]
    pub fn realm(mut self, realm: &str) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// The error code (RFC 6750 s3.1). Leave it out where the request presented nothing.
    #[must_use]
    pub fn error(mut self, code: &str) -> Self {
        self.error = Some(code.into());
        self
    }

    /// A sentence for the client's developer.
    #[must_use]
    pub fn error_description(mut self, sentence: &str) -> Self {
        self.error_description = Some(sentence.into());
        self
    }

    /// A page for the client's developer.
    #[must_use]
    pub fn error_uri(mut self, uri: &str) -> Self {
        self.error_uri = Some(uri.into());
        self
    }

    /// The scopes that are needed, parted by spaces.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Where the protected resource's metadata lies (RFC 9728 s5.1).
    #[must_use]
    pub fn resource_metadata(mut self, url: &str) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// The field's value.
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        let mut value = String::from("Bearer");
        let mut parameter = |name: &str, text: &Option<Box<str>>, quotes: Quotes| {
            let Some(text) = text else { return };
            let comma = if value.ends_with('"') { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(value, "{comma} {name}=\"{}\"", quotes.around(text));
        };
        parameter("realm", &self.realm, Quotes::Escaped);
        parameter("error", &self.error, Quotes::Replaced);
        parameter("error_description", &self.error_description, Quotes::Replaced);
        parameter("error_uri", &self.error_uri, Quotes::Replaced);
        parameter("scope", &self.scope, Quotes::Replaced);
        parameter("resource_metadata", &self.resource_metadata, Quotes::Replaced);
        HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// What a route demands, as challenges name it; and the two challenges that do, as the first validator that needed them made them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demanded {
    scope: Option<Box<str>>,
    made: OnceLock<(u64, Copies<[HeaderValue; 2]>)>,
}

impl Demanded {
    pub(crate) fn new(scope: Option<String>) -> Self {
        Self { scope: scope.map(String::into_boxed_str), made: OnceLock::new() }
    }

    /// What is to be asked for; `None` where no scope is needed.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The challenges of the validator of this number, made by `make` if nobody's were; `None` if they are another's.
    pub(crate) fn challenges(
        &self,
        number: u64,
        make: impl Fn(Option<&str>) -> [HeaderValue; 2],
    ) -> Option<&[HeaderValue; 2]> {
        let (made_for, made) = self.made.get_or_init(|| (number, Copies::new(|| make(self.scope()))));
        (*made_for == number).then(|| made.of_this_thread())
    }
}

impl PartialEq for Demanded {
    fn eq(&self, other: &Self) -> bool {
        self.scope == other.scope
    }
}

impl Eq for Demanded {}

/// What becomes of a quote or a backslash in a quoted-string.
#[derive(Clone, Copy)]
enum Quotes {
    /// RFC 9110 s5.6.4 has an escape for them.
    Escaped,
    /// RFC 6750 s3 does not allow them at all.
    Replaced,
}

impl Quotes {
    fn around(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match (character, self) {
                ('"' | '\\', Self::Escaped) => out.extend(['\\', character]),
                ('"' | '\\', Self::Replaced) => out.push('?'),
                (' '..='~', _) => out.push(character),
                _ => out.push('?'),
            }
        }
        out
    }
}
