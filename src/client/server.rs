//! What is known of the server: addresses that were set, and those that its metadata names.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::client::error::OAuthError;
use crate::client::registration::Settings;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::metadata::login::{LoginMetadata, Named};
use crate::wire::discovery::{Forms, discover_where};
use crate::wire::fetch::{FetchError, FetchLimits};
use crate::wire::worker::Worker;

/// How long a metadata document is used before it is fetched again.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long it is left alone after it could not be.
const RETRY: Duration = Duration::from_secs(60);
/// How long it is used where it cannot be fetched again.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The server's metadata, fetched when it is first needed.
#[derive(Default)]
pub(crate) struct ServerCache(Mutex<Option<Held>>);

struct Held {
    metadata: Arc<LoginMetadata>,
    at: Timestamp,
    /// When it may be asked for again.
    again: Duration,
}

/// Which endpoint is meant.
#[derive(Clone, Copy)]
pub(crate) enum At {
    Authorization,
    Token,
    UserInfo,
    Revocation,
    EndSession,
    PushedRequest,
}

impl ServerCache {
    /// What the server says of itself; nothing where it is not asked.
    ///
    /// Callers queue up, so that the first fetches for all.
    pub(crate) async fn metadata(
        &self,
        settings: &Settings,
        worker: &Worker,
    ) -> Result<Arc<LoginMetadata>, OAuthError> {
        let (true, Some(issuer)) = (settings.is_discovered, settings.issuer.clone()) else {
            return Ok(Arc::default());
        };
        let mut held = self.0.lock().await;
        let now = settings.clock.now();
        if let Some(held) = &*held
            && now.uptime() < held.again
        {
            return Ok(Arc::clone(&held.metadata));
        }
        let (fetch, plain_http) = (Arc::clone(&settings.fetch), settings.plain_http);
        let found = worker
            .run(async move {
                let forms = Forms::All(None);
                let limits = FetchLimits::default();
                let is_login = |metadata: &crate::metadata::ServerMetadata| match metadata.login.token_endpoint {
                    Named::At(_) => Ok(()),
                    Named::Absent | Named::Unusable => Err("the metadata names no token_endpoint that may be asked"),
                };
                discover_where(&*fetch, &issuer, plain_http, limits, forms, now, is_login).await
            })
            .await
            .and_then(|found| found);
        match (found, &mut *held) {
            (Ok((metadata, _)), held) => {
                let metadata = Arc::new(metadata.login);
                let again = now.uptime().saturating_add(LIFETIME);
                *held = Some(Held { metadata: Arc::clone(&metadata), at: now, again });
                Ok(metadata)
            }
            // A server that does not answer is the operator's news, and what it said before holds on for a while.
            (Err(_), Some(old)) if now.since(old.at) < LONGEST => {
                old.again = now.uptime().saturating_add(RETRY);
                Ok(Arc::clone(&old.metadata))
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// An endpoint: the one that was set, else the one that the metadata names.
pub(crate) fn endpoint(settings: &Settings, metadata: &LoginMetadata, at: At) -> Result<Option<Endpoint>, OAuthError> {
    let ours = &settings.endpoints;
    let set = match at {
        At::Authorization => &ours.authorization,
        At::Token => &ours.token,
        At::UserInfo => &ours.userinfo,
        At::Revocation => &ours.revocation,
        At::EndSession => &ours.end_session,
        At::PushedRequest => &ours.pushed_request,
    };
    if let Some(set) = set {
        return Ok(Some(set.clone()));
    }
    // The browser goes to the first of them, and shows no certificate of ours.
    let shows = settings.auth.shows_certificate() && !matches!(at, At::Authorization | At::EndSession);
    let named = metadata.endpoint(shows, |metadata| match at {
        At::Authorization => &metadata.authorization_endpoint,
        At::Token => &metadata.token_endpoint,
        At::UserInfo => &metadata.userinfo_endpoint,
        At::Revocation => &metadata.revocation_endpoint,
        At::EndSession => &metadata.end_session_endpoint,
        At::PushedRequest => &metadata.pushed_authorization_request_endpoint,
    });
    match named {
        Named::At(url) => Ok(Some(url.clone())),
        Named::Absent => Ok(None),
        Named::Unusable => {
            let problem = "the metadata names an endpoint that is no URL that may be asked";
            Err(OAuthError::Unreachable(FetchError::Unusable { problem }))
        }
    }
}

/// The same, where it cannot be done without.
pub(crate) fn needed(
    settings: &Settings,
    metadata: &LoginMetadata,
    at: At,
    problem: &'static str,
) -> Result<Endpoint, OAuthError> {
    endpoint(settings, metadata, at)?.ok_or(OAuthError::Unsupported { problem })
}
