//! Protected-resource metadata before a service: [`PublishedMetadata`] as a layer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::published_metadata::PublishedMetadata;
use crate::tower::response::GuardedBody;

/// A service before which [`PublishedMetadata`] is served: what is asked for at its path is the document, and all else reaches the inner
/// service untouched.
#[derive(Clone, Debug)]
pub struct ServeMetadata<S> {
    inner: S,
    metadata: PublishedMetadata,
}

impl<S> Layer<S> for PublishedMetadata {
    type Service = ServeMetadata<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServeMetadata { inner, metadata: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for ServeMetadata<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<GuardedBody<R>>;
    type Error = S::Error;
    type Future = MetadataOrInner<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match self.metadata.answer(&request) {
            Some(response) => State::Answered { response: Some(response.map(GuardedBody::of_bytes)) },
            None => State::Passed { inner: self.inner.call(request) },
        };
        MetadataOrInner { state }
    }
}

pin_project! {
    /// The future of [`ServeMetadata`].
    pub struct MetadataOrInner<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = Projection]
    enum State<F, R> {
        Passed { #[pin] inner: F },
        Answered { response: Option<Response<GuardedBody<R>>> },
    }
}

impl<F, R, E> Future for MetadataOrInner<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GuardedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projection::Passed { inner } => inner.poll(cx).map_ok(|response| response.map(GuardedBody::of_inner)),
            // Whoever polls a finished future waits for ever; nothing is made up for him.
            Projection::Answered { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
        }
    }
}
