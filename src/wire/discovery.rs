//! Asking an authorization server where its keys are, and where it is asked about tokens.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, PlainHttp};
use crate::metadata::{MetadataFault, ServerMetadata, WellKnown, well_known};
use crate::wire::fetch::{Fetch, FetchError, FetchLimits, judge};

/// The forms of the address in the order in which they are tried: the one that most servers have comes first.
const FORMS: [WellKnown; 3] = [WellKnown::OpenIdAppended, WellKnown::OAuthInserted, WellKnown::OpenIdInserted];

/// Which forms of the address are tried.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Forms {
    /// Each, and first the one that led to the document the last time.
    All(Option<WellKnown>),
    /// That one alone.
    Only(WellKnown),
}

/// Finds and reads an issuer's metadata document.
///
/// Where a form of the address leads to nothing, the next is tried. Where the server is in trouble or asks to be left alone,
/// none is, so that discovery never multiplies the load of a sick server; and a document that names another issuer ends the
/// search, since asking on until one fits would let the friendliest answer win. If no form leads anywhere, the error is that
/// of the first.
///
/// The form that led there comes back with the document.
pub(crate) async fn discover(
    fetch: &dyn Fetch,
    issuer: &str,
    plain_http: PlainHttp,
    limits: FetchLimits,
    forms: Forms,
    now: Timestamp,
) -> Result<(ServerMetadata, WellKnown), FetchError> {
    discover_where(fetch, issuer, plain_http, limits, forms, now, |_| Ok(())).await
}

/// The same, where a document that lacks what is wanted is as good as none: some servers say more under one form than under another.
/// The problem tells what it lacks.
pub(crate) async fn discover_where(
    fetch: &dyn Fetch,
    issuer: &str,
    plain_http: PlainHttp,
    limits: FetchLimits,
    forms: Forms,
    now: Timestamp,
    has_what_is_wanted: impl Fn(&ServerMetadata) -> Result<(), &'static str>,
) -> Result<(ServerMetadata, WellKnown), FetchError> {
    let mut asked: Vec<String> = Vec::with_capacity(FORMS.len());
    let mut first = None;
    let (known, others) = match forms {
        Forms::All(known) => (known, FORMS.as_slice()),
        Forms::Only(form) => (Some(form), [].as_slice()),
    };
    for form in known.into_iter().chain(others.iter().copied()) {
        let address = well_known(form, issuer, plain_http).map_err(|problem| FetchError::NotAllowed { problem })?;
        // Without a path both OpenID forms are one.
        if asked.contains(&address) {
            continue;
        }
        let endpoint = Endpoint::new(&address, plain_http).map_err(|problem| FetchError::NotAllowed { problem })?;
        match ask(fetch, &endpoint, issuer, plain_http, limits, now).await {
            Ok(metadata) => match has_what_is_wanted(&metadata) {
                Ok(()) => return Ok((metadata, form)),
                // What is wrong with the address before is less of a help than what its document lacks.
                Err(problem) => first = Some(FetchError::Unusable { problem }),
            },
            Err(Miss::Here(error)) => first = first.or(Some(error)),
            Err(Miss::Everywhere(error)) => return Err(error),
        }
        asked.push(address);
    }
    Err(first.unwrap_or(FetchError::Unusable { problem: "no metadata document" }))
}

/// What a failure says about the other forms of the address.
enum Miss {
    Here(FetchError),
    Everywhere(FetchError),
}

async fn ask(
    fetch: &dyn Fetch,
    endpoint: &Endpoint,
    issuer: &str,
    plain_http: PlainHttp,
    limits: FetchLimits,
    now: Timestamp,
) -> Result<ServerMetadata, Miss> {
    let response = fetch.fetch(request(endpoint), limits).await.map_err(Miss::Everywhere)?;
    let document = judge(response, limits, now).map_err(|error| match &error {
        FetchError::Status { status, .. } if !leaves_room(*status) => Miss::Everywhere(error),
        _ => Miss::Here(error),
    })?;
    ServerMetadata::from_json(&document, issuer, plain_http).map_err(|fault| {
        let error = FetchError::Unusable { problem: fault.problem() };
        match fault {
            MetadataFault::NotMetadata(_) => Miss::Here(error),
            MetadataFault::Refused(_) => Miss::Everywhere(error),
        }
    })
}

/// Whether a status says "not here", rather than "not now".
fn leaves_room(status: http::StatusCode) -> bool {
    let not_now = [http::StatusCode::TOO_MANY_REQUESTS, http::StatusCode::REQUEST_TIMEOUT];
    status.is_client_error() && !not_now.contains(&status)
}

/// The request for a JSON document.
pub(crate) fn request(endpoint: &Endpoint) -> http::Request<Bytes> {
    let mut request = http::Request::new(Bytes::new());
    *request.uri_mut() = endpoint.uri().clone();
    request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static("application/json"));
    request
}

#[cfg(test)]
#[path = "discovery/tests.rs"]
mod tests;
