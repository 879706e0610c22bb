//! What is known of the server: addresses that were set, and those that its metadata names.

use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::error::OAuthError;
use crate::client::registration::Settings;
use crate::client::under_way::{Conclusion, UnderWay, under_way};
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::metadata::ServerMetadata;
use crate::metadata::login::{LoginMetadata, Named};
use crate::wire::discovery::{Forms, discover_where};
use crate::wire::fetch::{FetchError, FetchLimits};
use crate::wire::per_process::PerProcess;
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
///
/// 1. One fetch is under way at a time, and belongs to nobody who waits for it.
/// 2. While a document is at hand that may still be used, nobody waits for a newer one.
/// 3. The lock is held for a look or a change, and never while waiting.
#[derive(Clone)]
pub(crate) struct ServerCache(Arc<PerProcess<Mutex<Known>>>);

#[derive(Default)]
struct Known {
    held: Held,
    under_way: Option<UnderWay<Found>>,
}

type Found = Result<Arc<LoginMetadata>, FetchError>;

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

/// What whoever asks gets.
enum Look {
    Known(Found),
    Wait(UnderWay<Found>),
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

impl Default for ServerCache {
    fn default() -> Self {
        Self(Arc::new(PerProcess::new()))
    }
}

impl ServerCache {
    /// What the server says of itself; nothing where it is not asked.
    pub(crate) async fn metadata(
        &self,
        settings: &Arc<Settings>,
        worker: &Worker,
    ) -> Result<Arc<LoginMetadata>, OAuthError> {
        let (true, Some(issuer)) = (settings.is_discovered, settings.issuer.clone()) else {
            return Ok(Arc::default());
        };
        let now = settings.clock.now();
        let (look, begun) = self.known().look(now);
        if let Some(conclusion) = begun {
            let (cache, settings) = (self.clone(), Arc::clone(settings));
            let started = worker.start(Box::pin(async move {
                let found = fetch(&settings, &issuer, now).await.map(Arc::new);
                cache.known().note(&found, settings.clock.now());
                conclusion.reach(found);
            }));
            // What is at hand will do all the same, and whoever waits hears that it is lost.
            if let (Err(error), Look::Wait(_)) = (started, &look) {
                return Err(error.into());
            }
        }
        Ok(match look {
            Look::Known(found) => found?,
            Look::Wait(under_way) => under_way.outcome().await??,
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.0.get_or_make(process::id(), Mutex::default);
        known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What is known, or on its way; and, where it is time to ask, what is to be told of the outcome.
    fn look(&mut self, now: Timestamp) -> (Look, Option<Conclusion<Found>>) {
        let usable = match &self.held {
            Held::Metadata { metadata, again, .. } if now.uptime() < *again => {
                return (Look::Known(Ok(Arc::clone(metadata))), None);
            }
            Held::Failed { error, again } if now.uptime() < *again => return (Look::Known(Err(error.clone())), None),
            // A server that does not answer is the operator's news, and what it said before holds on for a while.
            Held::Metadata { metadata, at, .. } if now.since(*at) < LONGEST => Some(Arc::clone(metadata)),
            Held::Nothing | Held::Metadata { .. } | Held::Failed { .. } => None,
        };
        let (under_way, begun) = match self.under_way.clone().filter(|under_way| !under_way.is_lost()) {
            Some(under_way) => (under_way, None),
            None => {
                let (conclusion, begun) = under_way();
                self.under_way = Some(begun.clone());
                (begun, Some(conclusion))
            }
        };
        (usable.map_or(Look::Wait(under_way), |metadata| Look::Known(Ok(metadata))), begun)
    }

    fn note(&mut self, found: &Found, now: Timestamp) {
        self.under_way = None;
        let after = |pause| now.uptime().saturating_add(pause);
        match (found, &mut self.held) {
            (Ok(metadata), held) => {
                *held = Held::Metadata { metadata: Arc::clone(metadata), at: now, again: after(LIFETIME) };
            }
            (Err(_), Held::Metadata { at, again, .. }) if now.since(*at) < LONGEST => *again = after(RETRY),
            (Err(error), held) => *held = Held::Failed { error: error.clone(), again: after(PAUSE) },
        }
    }
}

async fn fetch(settings: &Settings, issuer: &str, now: Timestamp) -> Result<LoginMetadata, FetchError> {
    let is_token_set = settings.endpoints.token.is_some();
    let is_login = |metadata: &ServerMetadata| match metadata.login.token_endpoint {
        Named::At(_) => Ok(()),
        Named::Absent | Named::Unusable if is_token_set => Ok(()),
        Named::Absent | Named::Unusable => Err("the metadata names no token_endpoint that may be asked"),
    };
    let (limits, forms) = (FetchLimits::default(), Forms::All(None));
    let found = discover_where(&*settings.fetch, issuer, settings.plain_http, limits, forms, now, is_login).await;
    found.map(|(metadata, _)| metadata.login)
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
