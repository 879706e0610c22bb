//! The layer: what a route demands, ready to be put before a service.

use std::sync::Arc;

use tower_layer::Layer;

use crate::requirement::Requirement;
use crate::tower::guard::{Absent, Guard, Preflight};
use crate::tower::service::RequireToken;
use crate::validator::Validator;

/// Guards a service: a request reaches it only with a token that is accepted and enough.
///
/// The accepted [`AccessToken`](crate::AccessToken) lies in the request's extensions. Any that lay there before is removed
/// first: what an outer layer found does not count.
///
/// One layer authenticates and authorises. Make one a route, all from the same validator; each is cheap to clone.
///
/// ```
/// use scopegate::{Issuer, KeySet, ScopePolicy, Validator};
/// # let keys = KeySet::from_json(br#"{"keys":[]}"#)?;
/// # let validator = Validator::builder("https://api.example.com").trust(Issuer::keys("https://id.example.com", keys)).build()?;
/// let read = validator.require(ScopePolicy::all(["things:read"])?);
/// let feed = validator.require(ScopePolicy::none()).optional();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequireTokenLayer {
    guard: Guard,
}

impl Validator {
    /// A layer that demands this of every request. Where [metadata](crate::ValidatorBuilder::publish_metadata) is published, it lists
    /// the scopes from then on.
    #[must_use]
    pub fn require(&self, requirement: impl Into<Requirement>) -> RequireTokenLayer {
        let requirement = requirement.into();
        self.note_demand(&requirement);
        RequireTokenLayer {
            guard: Guard {
                validator: self.clone(),
                requirement,
                absent: Absent::Refused,
                preflight: Preflight::default(),
            },
        }
    }
}

impl RequireTokenLayer {
    /// Lets requests pass that present nothing. Whoever presents something is judged as ever: a bad token does not pass, and
    /// neither does one that is not enough.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.guard.absent = Absent::Passes;
        self
    }

    /// What becomes of CORS preflights. The default is [`Preflight::Judged`].
    #[must_use]
    pub const fn preflight(mut self, preflight: Preflight) -> Self {
        self.guard.preflight = preflight;
        self
    }
}

impl<S> Layer<S> for RequireTokenLayer {
    type Service = RequireToken<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireToken::new(inner, Arc::new(self.guard.clone()))
    }
}
