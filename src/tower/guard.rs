//! What a guard knows, and how it asks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::credentials::Credentials;
use crate::rejection::Rejection;
use crate::requirement::Requirement;
use crate::token::AccessToken;
use crate::validator::Validator;

/// What a guard knows. All clones of a service share it by one count, since some servers clone one for each request.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) validator: Validator,
    pub(crate) requirement: Requirement,
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

/// Says that a guard has seen the request, so that "no token, and that is allowed" and "nobody looked" are told apart.
#[derive(Clone)]
#[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "read by the extractors of axum alone"))]
pub(crate) struct Mark(pub(crate) Arc<Guard>);

/// A judgement that waits for the network: the one future of the guard that is boxed.
pub(crate) type Judging = Pin<Box<dyn Future<Output = Result<AccessToken, Rejection>> + Send>>;

impl Guard {
    /// The judgement, with the network's help.
    #[cfg(feature = "driver")]
    pub(crate) fn judge_later(self: &Arc<Self>, credentials: Credentials<'static>) -> Judging {
        let guard = Arc::clone(self);
        Box::pin(async move { guard.validator.validate(&credentials, &guard.requirement).await })
    }

    /// Without a driver there is nobody to wait for.
    #[cfg(not(feature = "driver"))]
    #[expect(clippy::needless_pass_by_value, reason = "the signature of its twin, which keeps the credentials")]
    pub(crate) fn judge_later(self: &Arc<Self>, credentials: Credentials<'static>) -> Judging {
        let judged = self.validator.check(&credentials, &self.requirement);
        Box::pin(std::future::ready(judged))
    }
}
