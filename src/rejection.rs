//! A refusal, dressed as an HTTP answer.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use crate::challenge::{Challenge, Demanded};
use crate::reason::{Family, Reason};
use crate::shared::Copies;

/// Why a request was refused, and the answer to it.
///
/// The answer is made of fixed sentences: it holds nothing of the token and nothing of the reason but its family. The
/// [reason](Self::reason) and the [cause](Error::source) are for the operator.
#[derive(Clone)]
pub struct Rejection {
    reason: Reason,
    challenge: Option<HeaderValue>,
    retry_after: Option<Duration>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
    network: Network,
}

/// Whether asking the issuer could still decide it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    CouldDecide,
    MadeNoDifference,
}

/// What every challenge of a validator carries; those that are the same for every route are made ahead.
#[derive(Clone, Debug)]
pub(crate) struct Realm {
    /// No other has it, so that what was made for one is not taken for another's.
    number: u64,
    challenge: Challenge,
    invalid_request: Copies<HeaderValue>,
    invalid_token: Copies<HeaderValue>,
}

impl Realm {
    pub(crate) fn new(realm: &str, resource_metadata: Option<&str>) -> Self {
        let challenge = Challenge::new().realm(realm);
        let challenge = match resource_metadata {
            Some(url) => challenge.resource_metadata(url),
            None => challenge,
        };
        let explained = |code, sentence| {
            let challenge = challenge.clone().error(code).error_description(sentence);
            Copies::new(|| challenge.to_header_value())
        };
        static REALMS: AtomicU64 = AtomicU64::new(0);
        Self {
            number: REALMS.fetch_add(1, Ordering::Relaxed),
            invalid_request: explained("invalid_request", INVALID_REQUEST),
            invalid_token: explained("invalid_token", INVALID_TOKEN),
            challenge,
        }
    }

    fn challenge(&self, family: Family, demanded: &Demanded) -> Option<HeaderValue> {
        let made = || demanded.challenges(self.number, |scope| [self.nothing(scope), self.not_enough(scope)]);
        match family {
            Family::NothingPresented => Some(match made() {
                Some([nothing, _]) => nothing.clone(),
                None => self.nothing(demanded.scope()),
            }),
            Family::InsufficientScope => Some(match made() {
                Some([_, not_enough]) => not_enough.clone(),
                None => self.not_enough(demanded.scope()),
            }),
            Family::InvalidRequest => Some(self.invalid_request.of_this_thread().clone()),
            Family::InvalidToken => Some(self.invalid_token.of_this_thread().clone()),
            Family::Unavailable | Family::Misconfigured => None,
        }
    }

    /// RFC 6750 s3.1: no error code where nothing was presented.
    fn nothing(&self, scope: Option<&str>) -> HeaderValue {
        asking_for(scope, self.challenge.clone())
    }

    fn not_enough(&self, scope: Option<&str>) -> HeaderValue {
        asking_for(scope, self.challenge.clone().error("insufficient_scope").error_description(INSUFFICIENT_SCOPE))
    }
}

fn asking_for(scope: Option<&str>, challenge: Challenge) -> HeaderValue {
    match scope {
        Some(scope) => challenge.scope(scope).to_header_value(),
        None => challenge.to_header_value(),
    }
}

impl Rejection {
    pub(crate) fn new(reason: Reason, realm: &Realm, demanded: &Demanded) -> Self {
        Self {
            reason,
            challenge: realm.challenge(reason.family(), demanded),
            retry_after: None,
            cause: None,
            network: Network::MadeNoDifference,
        }
    }

    /// When to come again, why, and whether waiting helps.
    pub(crate) fn later(
        mut self,
        retry_after: Option<Duration>,
        cause: Option<Arc<dyn Error + Send + Sync>>,
        network: Network,
    ) -> Self {
        self.retry_after = retry_after.map(|wait| wait.max(Duration::from_secs(1)));
        self.cause = cause;
        self.network = network;
        self
    }

    /// A handler asks for a token, and no guard was there to accept one.
    #[cfg(feature = "axum")]
    pub(crate) const fn unguarded() -> Self {
        Self {
            reason: Reason::Misconfigured,
            challenge: None,
            retry_after: None,
            cause: None,
            network: Network::MadeNoDifference,
        }
    }

    /// Why, for the operator.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The answer's status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.reason.family() {
            Family::InvalidRequest => StatusCode::BAD_REQUEST,
            Family::NothingPresented | Family::InvalidToken => StatusCode::UNAUTHORIZED,
            Family::InsufficientScope => StatusCode::FORBIDDEN,
            Family::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Family::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The answer's `WWW-Authenticate` field; none where the token was never judged.
    #[must_use]
    pub const fn challenge(&self) -> Option<&HeaderValue> {
        self.challenge.as_ref()
    }

    /// When to come again, where that may help.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether `Validator::validate`, which may wait for the network, could decide what `Validator::check` could not. The
    /// question is on its way already, or in a crowd that asks at once the next `check` sends it, so that a later one will find
    /// the answer.
    #[must_use]
    pub fn validate_could_decide(&self) -> bool {
        self.network == Network::CouldDecide
    }

    /// The answer: status, challenge, `Cache-Control: no-store`, `Retry-After` where it is known, and a small JSON body with
    /// the members `error` and `error_description` (RFC 6750 s3).
    ///
    /// The [`Reason`] lies in the answer's extensions, where an outer layer can log or count it; it is not sent.
    ///
    /// Map the body into your framework's: `rejection.into_response().map(Body::from)`.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let body = Bytes::from_static(body(self.reason.family()).as_bytes());
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self.reason);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry_after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry_after)));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A part of a second is a second to come: nobody is called back early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

const INVALID_REQUEST: &str = "The credentials of this request cannot be read, or there is more than one set of them.";
const INVALID_TOKEN: &str = "The access token is malformed, expired, revoked, or not meant for this service.";
const INSUFFICIENT_SCOPE: &str = "The access token does not carry the scope that this request needs.";

const fn body(family: Family) -> &'static str {
    match family {
        Family::NothingPresented => r#"{"error_description":"This request needs a bearer token."}"#,
        Family::InvalidRequest => {
            r#"{"error":"invalid_request","error_description":"The credentials of this request cannot be read, or there is more than one set of them."}"#
        }
        Family::InvalidToken => {
            r#"{"error":"invalid_token","error_description":"The access token is malformed, expired, revoked, or not meant for this service."}"#
        }
        Family::InsufficientScope => {
            r#"{"error":"insufficient_scope","error_description":"The access token does not carry the scope that this request needs."}"#
        }
        Family::Unavailable => {
            r#"{"error":"temporarily_unavailable","error_description":"The access token cannot be judged at the moment."}"#
        }
        Family::Misconfigured => {
            r#"{"error":"server_error","error_description":"No RequireTokenLayer guards this route, so it has no access token to hand out."}"#
        }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("reason", &self.reason)
            .field("retry_after", &self.retry_after)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request refused: {}", self.reason)
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| -> &(dyn Error + 'static) { cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_its_challenge_says() {
        for (family, sentence) in [
            (Family::InvalidRequest, INVALID_REQUEST),
            (Family::InvalidToken, INVALID_TOKEN),
            (Family::InsufficientScope, INSUFFICIENT_SCOPE),
        ] {
            let read: serde_json::Value = serde_json::from_str(body(family)).unwrap();
            assert_eq!(read["error_description"], sentence);
        }
    }

    #[test]
    fn challenges_of_a_route_are_each_validator_s_own() {
        let demanded = Demanded::new(Some("things:read".to_owned()));
        let realms = [Realm::new("one", None), Realm::new("other", None)];
        for round in 0..2 {
            for (realm, name) in realms.iter().zip(["one", "other"]) {
                let challenge = |reason| Rejection::new(reason, realm, &demanded).challenge.unwrap();
                let nothing = format!("Bearer realm=\"{name}\", scope=\"things:read\"");
                assert_eq!(challenge(Reason::NoCredentials), nothing, "round {round}");
                let not_enough = challenge(Reason::InsufficientScope);
                let not_enough = not_enough.to_str().unwrap();
                let begins = format!("Bearer realm=\"{name}\", error=\"insufficient_scope\"");
                assert!(
                    not_enough.starts_with(&begins) && not_enough.ends_with(", scope=\"things:read\""),
                    "{not_enough}"
                );
            }
        }
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        let realm = Realm::new("r", None);
        for (given, said) in [(0, "1"), (1_000, "1"), (1_001, "2"), (59_999, "60")] {
            let rejection = Rejection::new(Reason::KeysUnavailable, &realm, &Demanded::default()).later(
                Some(Duration::from_millis(given)),
                None,
                Network::MadeNoDifference,
            );
            assert_eq!(rejection.into_response().headers()[RETRY_AFTER], said);
        }
    }
}
