//! The layer: what a route demands, ready to be put before a service.

use std::sync::Arc;

use tower_layer::Layer;

use crate::requirement::Requirement;
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

/// What a guard knows, shared by all clones of its services.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) validator: Validator,
    pub(crate) requirement: Arc<Requirement>,
    pub(crate) absent: Absent,
    pub(crate) preflight: Preflight,
}

/// What becomes of a request that presents nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Refused,
    Passes,
}

/// What becomes of a CORS preflight: an `OPTIONS` request with `Origin` and `Access-Control-Request-Method`, to which browsers
/// never add credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preflight {
    /// It is judged like any other request, and so refused. Right where a CORS layer outside this one answers preflights, which
    /// is the safer order. The default.
    #[default]
    Judged,
    /// It reaches the inner service without a token. Only for an inner service that does nothing for `OPTIONS` but answer
    /// preflights.
    Passes,
}

impl Validator {
    /// A layer that demands this of every request.
    #[must_use]
    pub fn require(&self, requirement: impl Into<Requirement>) -> RequireTokenLayer {
        RequireTokenLayer {
            guard: Guard {
                validator: self.clone(),
                requirement: Arc::new(requirement.into()),
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
        RequireToken::new(inner, self.guard.clone())
    }
}
