//! What a question that has failed says of the issuer that was asked.

use std::time::Duration;

use crate::introspection::mercy::Came;
use crate::wire::driver::asking::Crowded;
use crate::wire::fetch::FetchError;
use crate::wire::tls_problem::TlsProblem;

/// How long an issuer is left alone at most because it asks to be. One answer, to one token, shuts out all others for so long.
const LEFT_ALONE: Duration = Duration::from_secs(60);
/// Statuses that anybody may be able to cause by the token that he sends.
const CAUSED_BY_A_TOKEN: [u16; 7] = [400, 403, 413, 414, 422, 431, 500];

/// What a failure says of the issuer. A client can make a server answer that it cannot read the request, or too much; there are servers
/// that answer 500 to a token that they do not know, and firewalls before them that answer 403 to one that they do not like.
pub(super) fn came_of(error: &FetchError) -> Came {
    match error {
        FetchError::Status { status, .. } if CAUSED_BY_A_TOKEN.contains(&status.as_u16()) => Came::Unclear,
        FetchError::TooLarge { .. } => Came::Unclear,
        error => came_of_preparing(error),
    }
}

/// The same of what no token takes part in: finding the endpoint, and asking for the secret.
pub(super) fn came_of_preparing(error: &FetchError) -> Came {
    match error {
        FetchError::NoClientSecret { source } if source.is::<Crowded>() => Came::Unclear,
        error => Came::Failed(error.retry_after().map(|asked| asked.min(LEFT_ALONE))),
    }
}

/// Whether the server does not believe who asks: by its answer, or by its word on the certificate before there was one.
pub(super) const fn refuses_us(error: &FetchError, shows_certificate: bool) -> bool {
    match error {
        FetchError::ClientRefused { .. } => true,
        FetchError::Tls { problem: TlsProblem::ClientCertificate, .. } => shows_certificate,
        _ => false,
    }
}

/// Whether it looks as if the endpoint had moved.
pub(super) fn is_elsewhere(error: &FetchError) -> bool {
    match error {
        FetchError::Status { status, .. } => [404, 405, 410].contains(&status.as_u16()),
        FetchError::Unresolved { .. } | FetchError::Unreachable { .. } | FetchError::Redirected { .. } => true,
        _ => false,
    }
}
