//! A service that does nothing, to be guarded, and requests for it.

use std::convert::Infallible;
use std::future::{Future as _, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Extensions, HeaderValue, Request, Response};
use scopegate::Reason;
use tower::Service;

/// Does nothing, and has the answer at once.
#[derive(Clone)]
pub(crate) struct Bare;

impl<B> Service<Request<B>> for Bare {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(())))
    }
}

/// What an `Authorization` field says. It is shared from the start: the first clone of one that is not asks for memory.
pub(crate) fn bearer(token: &str) -> HeaderValue {
    let field = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    drop(field.clone());
    field
}

/// A request that presents this.
pub(crate) fn request(field: Option<HeaderValue>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(field) = field {
        request.headers_mut().insert(AUTHORIZATION, field);
    }
    request
}

/// The answer of a service that does not wait.
pub(crate) fn answered<S, R>(service: &mut S, request: Request<()>) -> Response<R>
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    match pin!(service.call(black_box(request))).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => panic!("it waits"),
    }
}

/// What `http` asks for to hold something of a token's size: in an `Extensions` that was empty.
pub(crate) fn holding_a_token() {
    let mut extensions = Extensions::new();
    extensions.insert(HELD.with(Arc::clone));
    black_box(extensions);
}

/// What `http` asks for to hold an answer: three fields, and the reason beside them.
pub(crate) fn holding_an_answer() {
    let mut response = Response::new(Bytes::from_static(b"{}"));
    response.extensions_mut().insert(Reason::Malformed);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    black_box(response);
}

thread_local! {
    static HELD: Arc<u64> = Arc::new(0);
}
