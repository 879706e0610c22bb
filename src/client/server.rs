//! What is known of the server: addresses that were set, and those that its metadata names.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::client::error::OAuthError;
use crate::client::registration::Settings;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::metadata::ServerMetadata;
use crate::metadata::login::{LoginMetadata, Named};
use crate::wire::discovery::{Forms, discover_where};
use crate::wire::fetch::{FetchError, FetchLimits};
use crate::wire::worker::Worker;

/// How long a metadata document is used before it is fetched again.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long it is left alone after it could not be.
const RETRY: Duration = Duration::from_secs(60);
/// How long nobody asks again where none could be had yet, so that those who wait behind the first do not each wait in vain.
const PAUSE: Duration = Duration::from_secs(5);
/// How long it is used where it cannot be fetched again.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The server's metadata, fetched when it is first needed.
#[derive(Default)]
pub(crate) struct ServerCache(Mutex<Held>);

#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Metadata {
        metadata: Arc<LoginMetadata>,
        at: Timestamp,
        /// When it may be asked for again.
        again: Duration,
    },
    /// None could be had.
    Failed { error: FetchError, again: Duration },
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
        match &*held {
            Held::Metadata { metadata, again, .. } if now.uptime() < *again => return Ok(Arc::clone(metadata)),
            Held::Failed { error, again } if now.uptime() < *again => return Err(error.clone().into()),
            Held::Nothing | Held::Metadata { .. } | Held::Failed { .. } => {}
        }
        match fetch(settings, worker, issuer, now).await {
            Ok(found) => {
                let metadata = Arc::new(found);
                let again = now.uptime().saturating_add(LIFETIME);
                *held = Held::Metadata { metadata: Arc::clone(&metadata), at: now, again };
                Ok(metadata)
            }
            // From when it was given up: an exchange that hangs takes longer than the pause.
            Err(error) => match (&mut *held, settings.clock.now().uptime()) {
                // A server that does not answer is the operator's news, and what it said before holds on for a while.
                (Held::Metadata { metadata, at, again }, ended) if now.since(*at) < LONGEST => {
                    *again = ended.saturating_add(RETRY);
                    Ok(Arc::clone(metadata))
                }
                (held, ended) => {
                    *held = Held::Failed { error: error.clone(), again: ended.saturating_add(PAUSE) };
                    Err(error.into())
                }
            },
        }
    }
}

async fn fetch(
    settings: &Settings,
    worker: &Worker,
    issuer: Box<str>,
    now: Timestamp,
) -> Result<LoginMetadata, FetchError> {
    let (fetch, plain_http) = (Arc::clone(&settings.fetch), settings.plain_http);
    let is_token_set = settings.endpoints.token.is_some();
    let exchange = async move {
        let is_login = |metadata: &ServerMetadata| match metadata.login.token_endpoint {
            Named::At(_) => Ok(()),
            Named::Absent | Named::Unusable if is_token_set => Ok(()),
            Named::Absent | Named::Unusable => Err("the metadata names no token_endpoint that may be asked"),
        };
        discover_where(&*fetch, &issuer, plain_http, FetchLimits::default(), Forms::All(None), now, is_login).await
    };
    worker.run(exchange).await?.map(|(metadata, _)| metadata.login)
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
