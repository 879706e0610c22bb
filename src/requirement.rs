//! What a route demands of a token.

use crate::challenge::Demanded;
#[cfg(feature = "tower")]
use crate::scope::Scope;
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
    demanded: Demanded,
}

impl Requirement {
    /// Whether the token satisfies it.
    pub(crate) fn is_satisfied_by(&self, token: &AccessToken) -> bool {
        self.scope.allows(|scope| token.has_scope(scope))
    }

    /// Every scope that it names.
    #[cfg(feature = "tower")]
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scope.scopes()
    }

    pub(crate) const fn demanded(&self) -> &Demanded {
        &self.demanded
    }
}

impl From<ScopePolicy> for Requirement {
    fn from(scope: ScopePolicy) -> Self {
        let demanded = Demanded::new(scope.to_ask_for());
        Self { scope, demanded }
    }
}
