//! The name of an authorization server.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// An issuer identifier, exactly as configured (RFC 8414 s2).
///
/// Two are the same when every byte is: no case, slash, port or percent-encoding is evened out (RFC 7519 s2, StringOrURI). A
/// clone costs one reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(Arc<str>);

impl IssuerId {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The identifier's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table of identifiers is asked by their text.
impl Borrow<str> for IssuerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}
