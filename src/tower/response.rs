//! The body of an answer that is the inner service's or ours.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::rejection::Rejection;

pin_project! {
    /// The inner service's body, or the few bytes of a refusal or of a metadata document.
    ///
    /// Bodies of frameworks have no common way to be made from bytes, so that only a body of our own fits all of them.
    #[derive(Debug)]
    pub struct GuardedBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = Projection]
    enum Kind<R> {
        Inner { #[pin] body: R },
        Own { bytes: Option<Bytes> },
    }
}

impl<R> GuardedBody<R> {
    pub(crate) const fn of_inner(body: R) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(crate) const fn empty() -> Self {
        Self { kind: Kind::Own { bytes: None } }
    }

    pub(crate) fn of_bytes(bytes: Bytes) -> Self {
        Self { kind: Kind::Own { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()) } }
    }
}

impl<R> Body for GuardedBody<R>
where
    R: Body,
    R::Data: From<Bytes>,
{
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().kind.project() {
            Projection::Inner { body } => body.poll_frame(cx),
            Projection::Own { bytes } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes.into())))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { bytes } => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
        }
    }
}

/// The answer to a refused request.
///
/// One to HEAD has no body, and announces the length that it would have (RFC 9110 s9.3.2). One to gRPC has none at all: its
/// clients read a status and a code from the head, and take any body for a message of theirs.
pub(crate) fn answer<B, R>(rejection: Rejection, request: &Request<B>) -> Response<GuardedBody<R>> {
    let mut response = rejection.into_response();
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    if content_type.starts_with(b"application/grpc") {
        response.headers_mut().remove(CONTENT_TYPE);
        return response.map(|_| GuardedBody::empty());
    }
    if request.method() == Method::HEAD {
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        return response.map(|_| GuardedBody::empty());
    }
    response.map(GuardedBody::of_bytes)
}
