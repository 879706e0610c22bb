//! The guarded service.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{Method, Request, Response};
use tower_service::Service;

use crate::credentials::Credentials;
use crate::token::AccessToken;
use crate::tower::future::Guarded;
use crate::tower::guard::{Absent, Guard, Mark, Preflight};
use crate::tower::response::{GuardedBody, answer};

/// A service behind a [`RequireTokenLayer`](crate::RequireTokenLayer).
#[derive(Clone, Debug)]
pub struct RequireToken<S> {
    inner: S,
    guard: Arc<Guard>,
}

impl<S> RequireToken<S> {
    pub(crate) const fn new(inner: S, guard: Arc<Guard>) -> Self {
        Self { inner, guard }
    }
}

impl<S, B, R> Service<Request<B>> for RequireToken<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<GuardedBody<R>>;
    type Error = S::Error;
    type Future = Guarded<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().remove::<AccessToken>();
        let guard = &self.guard;
        let credentials = Credentials::of(&request);
        let passes = match (guard.absent, guard.preflight) {
            (Absent::Passes, _) if credentials.is_nothing() => true,
            (_, Preflight::Passes) => is_preflight(&request),
            (_, Preflight::Judged) => false,
        };
        if passes {
            request.extensions_mut().insert(Mark(Arc::clone(guard)));
            return Guarded::passed(self.inner.call(request));
        }
        match guard.validator.judge_at_once(&credentials, &guard.requirement) {
            Some(Ok(token)) => {
                request.extensions_mut().insert(token);
                Guarded::passed(self.inner.call(request))
            }
            Some(Err(rejection)) => Guarded::refused(answer(rejection, &request)),
            None => {
                let judging = guard.judge_later(credentials.into_owned());
                // The instance that was made ready is the one that is called later; a clone takes its place.
                let fresh = self.inner.clone();
                Guarded::waiting(judging, mem::replace(&mut self.inner, fresh), request)
            }
        }
    }
}

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
