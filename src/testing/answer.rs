//! What an issuer answers, however the question came.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{Method, Request, Response, StatusCode};

use super::endpoint::Endpoint;
use super::fault::{Delivery, Fault};
use super::reply::{document, plain};
use super::state::State;
use super::{
    authorization, end_session, introspection_endpoint, metadata, pushed, revocation, token_endpoint, userinfo,
};

/// An answer, and what is to become of it on its way.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Bytes>,
    pub(super) delay: Option<Duration>,
    pub(super) delivery: Delivery,
}

impl Answer {
    /// The issuer's answer to a request for this path, counted, and spoiled if its script says so.
    pub(super) fn of(issuer: &Arc<State>, path: &str, request: &Request<Bytes>) -> Self {
        let endpoint = issuer.addresses.endpoint(path);
        let fault = {
            let mut state = issuer.lock();
            let is_conditional =
                [IF_NONE_MATCH, IF_MODIFIED_SINCE].iter().any(|name| request.headers().contains_key(name));
            state.requests.count(endpoint, is_conditional);
            state.script.next(endpoint)
        };
        let answer = Self::whole(good(issuer, endpoint, request));
        match fault {
            Some(fault) => answer.spoiled(fault).unless_known(request),
            None => answer,
        }
    }

    /// Without the document for whoever says that he has it. Where he names a tag, the date does not count (RFC 9110 s13.1.2 and
    /// s13.1.3).
    fn unless_known(mut self, request: &Request<Bytes>) -> Self {
        let (asked, answered) = (request.headers(), self.response.headers());
        let (known, at_hand) = match asked.get(IF_NONE_MATCH) {
            Some(tag) => (Some(tag), answered.get(ETAG)),
            None => (asked.get(IF_MODIFIED_SINCE), answered.get(LAST_MODIFIED)),
        };
        if known.is_some() && known == at_hand && self.response.status().is_success() {
            *self.response.status_mut() = StatusCode::NOT_MODIFIED;
            self.response.body_mut().clear();
        }
        self
    }

    /// An answer to which nothing happens.
    pub(super) const fn whole(response: Response<Bytes>) -> Self {
        Self { response, delay: None, delivery: Delivery::Whole }
    }

    /// The answer for what nobody serves.
    pub(super) fn not_found() -> Response<Bytes> {
        plain(StatusCode::NOT_FOUND)
    }

    /// What a fault makes of it.
    pub(super) fn spoiled(mut self, fault: Fault) -> Self {
        if let Some(status) = fault.status {
            self.response = plain(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        }
        for (name, value) in &fault.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                self.response.headers_mut().insert(name, value);
            }
        }
        if let Some(body) = fault.body {
            *self.response.body_mut() = body.into();
        }
        Self { delay: fault.delay, delivery: fault.delivery, ..self }
    }
}

/// A document, with its media type.
pub(super) fn good(issuer: &Arc<State>, endpoint: Option<Endpoint>, request: &Request<Bytes>) -> Response<Bytes> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let posts = *request.method() == Method::POST;
    match endpoint {
        Some(Endpoint::OpenIdConfiguration | Endpoint::OAuthMetadata) if reads => {
            document(StatusCode::OK, "application/json", metadata::document(issuer))
        }
        Some(Endpoint::Jwks) if reads => {
            document(StatusCode::OK, "application/jwk-set+json", issuer.lock().keyring.document())
        }
        Some(Endpoint::Token) if posts => token_endpoint::grant(issuer, request),
        Some(Endpoint::Introspection) if posts => introspection_endpoint::introspect(issuer, request),
        Some(Endpoint::Authorization) if reads || posts => authorization::authorize(issuer, request),
        Some(Endpoint::PushedRequest) if posts => pushed::push(issuer, request),
        Some(Endpoint::Userinfo) if reads || posts => userinfo::tell(issuer, request),
        Some(Endpoint::Revocation) if posts => revocation::revoke(issuer, request),
        Some(Endpoint::EndSession) if reads || posts => end_session::end(issuer, request),
        Some(_) => plain(StatusCode::METHOD_NOT_ALLOWED),
        None => Answer::not_found(),
    }
}
