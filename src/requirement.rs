//! What a route demands of a token.

use crate::reason::Reason;
use crate::scope::ScopePolicy;
use crate::token::AccessToken;

/// All that a route demands of a token that is good in itself.
///
/// Made once and borrowed by each check. A [`ScopePolicy`] converts into it.
///
/// ```
/// use scopegate::{Requirement, ScopePolicy};
/// let read = Requirement::from(ScopePolicy::all(["things:read"])?);
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    scope: ScopePolicy,
    /// What a challenge tells the client to ask for.
    to_ask_for: Option<Box<str>>,
}

impl Requirement {
    /// Whether the token satisfies it.
    pub(crate) fn satisfied_by(&self, token: &AccessToken) -> Result<(), Reason> {
        if self.scope.allows(|| token.scopes()) { Ok(()) } else { Err(Reason::InsufficientScope) }
    }

    pub(crate) fn to_ask_for(&self) -> Option<&str> {
        self.to_ask_for.as_deref()
    }
}

impl From<ScopePolicy> for Requirement {
    fn from(scope: ScopePolicy) -> Self {
        let to_ask_for = scope.to_ask_for().map(String::into_boxed_str);
        Self { scope, to_ask_for }
    }
}
