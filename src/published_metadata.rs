//! The metadata of a protected resource as it is handed out, with the scopes that are known so far.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use crate::endpoint::origin_and_rest;
use crate::resource_metadata::Document;
use crate::scope::Scope;

/// The protected-resource metadata of a validator, ready to be served (RFC 9728). Made by [`Validator::metadata`](crate::Validator::metadata).
///
/// With the feature `tower` it is a layer: put it around the whole router, outside all guards, as whoever asks has no token yet.
/// Without, hand each request to [`answer`](Self::answer) first. It holds a list of scopes and not the validator; a clone costs one
/// reference count. Scopes of layers that are made later are in the document from then on.
///
/// ```
/// use http::Request;
/// use scopegate::{Issuer, KeySet, ResourceMetadata, Validator};
/// # let keys = KeySet::from_json(br#"{"keys":[]}"#)?;
/// let validator = Validator::builder("https://api.example.com")
///     .trust(Issuer::keys("https://id.example.com", keys))
///     .publish_metadata(ResourceMetadata::new())
///     .build()?;
/// let metadata = validator.metadata()?;
///
/// let asked = Request::get("/.well-known/oauth-protected-resource").body(())?;
/// let answer = metadata.answer(&asked).unwrap();
/// assert_eq!(answer.status(), 200);
/// let document: serde_json::Value = serde_json::from_slice(answer.body())?;
/// assert_eq!(document["authorization_servers"][0], "https://id.example.com");
/// assert!(metadata.answer(&Request::get("/things").body(())?).is_none()); // for the rest of the program
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PublishedMetadata(Arc<Published>);

struct Published {
    /// The path and query of the document's address.
    path: String,
    document: Document,
    known: Mutex<Known>,
}

/// Taken by whoever makes a layer or asks for the document, and by nobody who judges.
struct Known {
    scopes: BTreeSet<Scope>,
    /// The document with these scopes, once somebody has asked for it.
    written: Option<Bytes>,
}

impl PublishedMetadata {
    pub(crate) fn new(document: Document) -> Self {
        let path = origin_and_rest(&document.url).1.to_owned();
        let known = Mutex::new(Known { scopes: document.scopes.clone(), written: None });
        Self(Arc::new(Published { path, document, known }))
    }

    /// Where clients look for the document, as challenges name it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.document.url
    }

    /// The part of [`url`](Self::url) that a request for the document has as its target: the path, and the query where the audience has
    /// one.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The document as it is at this moment: a JSON object, for frameworks that take neither a layer nor an
    /// [`answer`](Self::answer).
    #[must_use]
    pub fn document(&self) -> Bytes {
        let mut known = self.known();
        let Known { scopes, written } = &mut *known;
        written.get_or_insert_with(|| self.0.document.with_scopes(scopes)).clone()
    }

    /// The answer to a request whose target is [`path`](Self::path), byte for byte; `None` where it is anything else, which is none of the
    /// metadata's business.
    ///
    /// GET and HEAD are answered with the document, which may be kept for an hour and read by scripts of every origin, as it is public.
    /// OPTIONS, with which browsers ask beforehand, is answered with 204, and any other method with 405. No token is looked at.
    #[must_use]
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let target = request.uri().path_and_query()?;
        if target.as_str() != self.path() {
            return None;
        }
        Some(match *request.method() {
            Method::GET => self.whole(),
            Method::HEAD => {
                // The length that GET has (RFC 9110 s9.3.2).
                let mut response = self.whole();
                let length = HeaderValue::from(response.body().len());
                response.headers_mut().insert(CONTENT_LENGTH, length);
                response.map(|_| Bytes::new())
            }
            Method::OPTIONS => with(
                StatusCode::NO_CONTENT,
                &[
                    (ALLOW, METHODS),
                    (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
                    // Clients send fields of protocols above this one, such as `MCP-Protocol-Version`.
                    (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
                    (ACCESS_CONTROL_MAX_AGE, KEPT_FOR),
                ],
            ),
            _ => with(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, METHODS)]),
        })
    }

    fn whole(&self) -> Response<Bytes> {
        let fields = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=3600")];
        with(StatusCode::OK, &fields).map(|_| self.document())
    }

    /// A layer demands these.
    #[cfg(feature = "tower")]
    pub(crate) fn note<'a>(&self, scopes: impl Iterator<Item = &'a Scope>) {
        let mut known = self.known();
        for scope in scopes.filter(|scope| self.0.document.lists(scope)) {
            if known.scopes.insert(scope.clone()) {
                known.written = None;
            }
        }
    }

    /// What a panic under the lock leaves is a set of scopes all the same.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PublishedMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedMetadata").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// An answer without a body, which scripts of every origin may read.
fn with(status: StatusCode, fields: &[(HeaderName, &'static str)]) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.extend(fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))));
    response
}

const METHODS: &str = "GET, HEAD, OPTIONS";
/// In seconds.
const KEPT_FOR: &str = "3600";
