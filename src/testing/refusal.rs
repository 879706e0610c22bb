//! Errors that a client is told directly (RFC 6749 s5.2).

use bytes::Bytes;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::json;

use super::reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Who asks has not proved who it is.
    Unauthorized,
    /// An error, and what it means.
    Because(&'static str, &'static str),
}

impl Refusal {
    pub(super) fn response(self) -> Response<Bytes> {
        match self {
            // RFC 6749 s5.2 demands the challenge of whoever tried HTTP Basic; the others may see it.
            Self::Unauthorized => {
                let mut response = reply::object(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_client" }));
                let challenge = HeaderValue::from_static("Basic realm=\"test issuer\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
            Self::Because(error, description) => told(error, description),
        }
    }
}

pub(super) fn told(error: &str, description: &str) -> Response<Bytes> {
    reply::object(StatusCode::BAD_REQUEST, &json!({ "error": error, "error_description": description }))
}
