//! The answer of a guarded service, on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::tower::guard::Judging;
use crate::tower::response::{GuardedBody, answer};

pin_project! {
    /// The future of [`RequireToken`](crate::RequireToken).
    pub struct Guarded<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
    {
        #[pin]
        state: State<S, S::Future, B, R>,
    }
}

pin_project! {
    #[project = Projection]
    enum State<S, F, B, R> {
        Passed { #[pin] inner: F },
        Refused { response: Option<Response<GuardedBody<R>>> },
        // The service that was made ready, and the request, until the judgement is known.
        Waiting { judging: Judging, held: Option<(S, Request<B>)> },
    }
}

impl<S, B, R> Guarded<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    pub(crate) const fn passed(inner: S::Future) -> Self {
        Self { state: State::Passed { inner } }
    }

    pub(crate) const fn refused(response: Response<GuardedBody<R>>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }

    pub(crate) const fn waiting(judging: Judging, inner: S, request: Request<B>) -> Self {
        Self { state: State::Waiting { judging, held: Some((inner, request)) } }
    }
}

impl<S, B, R> Future for Guarded<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<GuardedBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                Projection::Passed { inner } => {
                    return inner.poll(cx).map_ok(|response| response.map(GuardedBody::of_inner));
                }
                Projection::Refused { response } => {
                    // Whoever polls a finished future waits for ever; nothing is made up for him.
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                Projection::Waiting { judging, held } => {
                    let judged = ready!(judging.as_mut().poll(cx));
                    match (judged, held.take()) {
                        (Ok(token), Some((mut service, mut request))) => {
                            request.extensions_mut().insert(token);
                            State::Passed { inner: service.call(request) }
                        }
                        (Err(rejection), Some((_, request))) => {
                            State::Refused { response: Some(answer(rejection, &request)) }
                        }
                        (_, None) => return Poll::Pending,
                    }
                }
            };
            state.set(next);
        }
    }
}
