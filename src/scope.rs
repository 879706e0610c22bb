//! Scope: what a token may be used for (RFC 6749 s3.3).

use std::fmt;

use crate::config_error::ConfigError;

/// One scope, such as `things:read`: a `scope-token` of RFC 6749 s3.3.
///
/// Scopes are compared whole and byte for byte: `read` is neither `READ` nor a prefix of `read:all`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Box<str>);

impl Scope {
    /// Reads one scope.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the text is empty, or holds a space, a quote, a backslash, or anything outside printable
    /// ASCII.
    ///
    /// ```
    /// use scopegate::Scope;
    /// assert_eq!(Scope::new("things:read")?.as_str(), "things:read");
    /// assert!(Scope::new("things read").is_err());
    /// # Ok::<(), scopegate::ConfigError>(())
    /// ```
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        if is_scope_token(text) {
            Ok(Self(text.into()))
        } else {
            Err(ConfigError::invalid("scope", text, "not a scope-token of RFC 6749 s3.3"))
        }
    }

    /// The scope's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `1*( %x21 / %x23-5B / %x5D-7E )`
fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A rule about scope: which scopes a token must carry.
///
/// A rule is a list of alternatives, and each alternative is a list of scopes that must all be there.
///
/// ```
/// use scopegate::ScopePolicy;
/// let read = ScopePolicy::all(["things:read"])?;
/// let read_or_admin = read.or(ScopePolicy::all(["admin"])?);
/// // The same, as Authlib writes it: a list means "or", a space means "and".
/// assert_eq!(read_or_admin, ScopePolicy::any(["things:read", "admin"])?);
/// // An empty list is a mistake, not "anybody".
/// assert!(ScopePolicy::all([]).is_err());
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePolicy {
    /// Empty means that any accepted token will do.
    alternatives: Vec<Vec<Scope>>,
}

impl ScopePolicy {
    /// Every scope of the list is needed. An entry may itself hold several, parted by spaces.
    ///
    /// # Errors
    /// [`ConfigError`] if the list is empty or an entry is not made of scopes.
    pub fn all<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let mut needed = Vec::new();
        for text in scopes {
            needed.append(&mut parse_list(text)?);
        }
        if needed.is_empty() {
            return Err(EMPTY);
        }
        Ok(Self { alternatives: vec![tidy(needed)] })
    }

    /// One entry of the list is enough. An entry that holds several scopes, parted by spaces, needs all of them, as in
    /// Authlib's lists: `["a b", "c"]` is (a and b) or c.
    ///
    /// # Errors
    /// [`ConfigError`] if the list is empty or an entry is not made of scopes.
    pub fn any<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let alternatives = scopes.into_iter().map(|text| parse_list(text).map(tidy)).collect::<Result<Vec<_>, _>>()?;
        if alternatives.is_empty() {
            return Err(EMPTY);
        }
        Ok(Self { alternatives })
    }

    /// This rule, or the other.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        if self.alternatives.is_empty() || other.alternatives.is_empty() {
            return Self::none();
        }
        self.alternatives.extend(other.alternatives);
        self
    }

    /// No scope is needed: any token that is accepted at all will do. It must be written out, so that nobody opens a route by
    /// an empty list.
    #[must_use]
    pub const fn none() -> Self {
        Self { alternatives: Vec::new() }
    }

    /// Whether a token that has such scopes satisfies the rule.
    pub(crate) fn allows(&self, has: impl Fn(&str) -> bool) -> bool {
        let holds = |needed: &Scope| has(needed.as_str());
        self.alternatives.is_empty() || self.alternatives.iter().any(|all| all.iter().all(holds))
    }

    /// Every scope that the rule names, those of several alternatives several times.
    #[cfg(feature = "tower")]
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.alternatives.iter().flatten()
    }

    /// The scopes that a client is told to ask for: the shortest alternative, the first of equals, so that nobody is led to
    /// ask for more than is needed. `None` where no scope is needed.
    pub(crate) fn to_ask_for(&self) -> Option<String> {
        let shortest = self.alternatives.iter().min_by_key(|all| all.len())?;
        Some(shortest.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "))
    }
}

const EMPTY: ConfigError = ConfigError::Missing {
    setting: "scope",
    problem: "an empty list names no scope; ScopePolicy::none() lets any accepted token in",
};

/// `scope-token *( SP scope-token )`
fn parse_list(text: &str) -> Result<Vec<Scope>, ConfigError> {
    text.split(' ').map(Scope::new).collect::<Result<_, _>>().map_err(|_| {
        ConfigError::invalid("scope", text, "not a list of scope-tokens parted by single spaces (RFC 6749 s3.3)")
    })
}

/// Naming a scope twice asks for it once; the order stays as written.
fn tidy(scopes: Vec<Scope>) -> Vec<Scope> {
    let mut kept: Vec<Scope> = Vec::with_capacity(scopes.len());
    for scope in scopes {
        if !kept.contains(&scope) {
            kept.push(scope);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(policy: &ScopePolicy, granted: &str) -> bool {
        policy.allows(|needed| granted.split(' ').any(|scope| scope == needed))
    }

    /// The table that research measured on Authlib, which is how its users expect lists to read.
    #[test]
    fn the_algebra_is_authlibs() {
        let tokens = ["a", "b", "a b", "c", "", "A", "a:read"];
        let table: [(ScopePolicy, &[&str]); 6] = [
            (ScopePolicy::all(["a"]).unwrap(), &["a", "a b"]),
            (ScopePolicy::all(["a b"]).unwrap(), &["a b"]),
            (ScopePolicy::any(["a", "b"]).unwrap(), &["a", "b", "a b"]),
            (ScopePolicy::any(["a b"]).unwrap(), &["a b"]),
            (ScopePolicy::any(["a b", "c"]).unwrap(), &["a b", "c"]),
            (ScopePolicy::none(), &tokens),
        ];
        for (policy, accepted) in table {
            for token in tokens {
                assert_eq!(allowed(&policy, token), accepted.contains(&token), "{policy:?} with {token:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_scope_is_refused_when_the_rule_is_made() {
        for bad in ["", " ", "a  b", " a", "a ", "a\tb", "a\"b", "a\\b", "caf\u{e9}", "a\nb", "\u{7f}"] {
            assert!(ScopePolicy::all([bad]).is_err(), "{bad:?}");
            assert!(ScopePolicy::any(["ok", bad]).is_err(), "{bad:?}");
        }
        assert!(ScopePolicy::all([]).is_err());
        assert!(ScopePolicy::any([]).is_err());
        assert!(ScopePolicy::all(["!#[]~"]).is_ok());
    }

    #[test]
    fn or_with_none_needs_nothing() {
        let read = ScopePolicy::all(["read"]).unwrap();
        assert_eq!(read.clone().or(ScopePolicy::none()), ScopePolicy::none());
        assert_eq!(ScopePolicy::none().or(read), ScopePolicy::none());
    }

    #[test]
    fn a_client_is_told_the_shortest_alternative() {
        assert_eq!(ScopePolicy::any(["a b", "c", "d"]).unwrap().to_ask_for().as_deref(), Some("c"));
        assert_eq!(ScopePolicy::all(["a", "b", "a"]).unwrap().to_ask_for().as_deref(), Some("a b"));
        assert_eq!(ScopePolicy::none().to_ask_for(), None);
    }
}
