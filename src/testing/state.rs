//! What all clones of one issuer share.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedSender;

use super::clock::TestClock;
use super::endpoint::{Addresses, Endpoint};
use super::fault::Script;
use super::keyring::Keyring;
use super::provider::Provider;
use crate::clock::{Clock, SystemClock, Timestamp};

/// How often an issuer was asked, faulty answers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// For its metadata, under either name.
    pub metadata: u64,
    /// For its keys.
    pub jwks: u64,
    /// For its keys or its metadata only if they have changed (`If-None-Match`, `If-Modified-Since`; RFC 9110 s13.1.2 and
    /// s13.1.3). These are counted above too.
    pub conditional: u64,
    /// For a token.
    pub token: u64,
    /// What a token is worth (RFC 7662).
    pub introspection: u64,
    /// To sign somebody in: requests to the authorization endpoint, and what its pages send there.
    pub authorization: u64,
    /// To remember an authorization request (RFC 9126).
    pub pushed: u64,
    /// Who signed in, with an access token (OpenID Connect Core 1.0 s5.3).
    pub userinfo: u64,
    /// To end a token (RFC 7009).
    pub revocation: u64,
    /// To sign somebody out, and what its page sends there.
    pub end_session: u64,
    /// For anything else.
    pub other: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) identifier: String,
    pub(super) addresses: Addresses,
    changing: Mutex<Changing>,
}

/// The part that tests change while it is in use.
#[derive(Debug)]
pub(super) struct Changing {
    pub(super) keyring: Keyring,
    pub(super) script: Script,
    pub(super) requests: Requests,
    pub(super) time: Time,
    pub(super) default_audience: String,
    /// What stands behind tokens that say nothing themselves.
    pub(super) opaque: HashMap<String, Map<String, Value>>,
    pub(super) revoked: HashSet<String>,
    /// The secrets of clients that have another than their own name.
    pub(super) clients: HashMap<String, String>,
    pub(super) provider: Provider,
    /// What becomes of the next ID tokens.
    pub(super) id_tokens: VecDeque<Arc<dyn Finish>>,
    /// Who carries news to clients. Nobody, if the issuer is in memory.
    pub(super) courier: Option<UnboundedSender<Notice>>,
}

/// Makes an ID token of its claims, as a test wants it.
pub(super) trait Finish: fmt::Debug + Send + Sync {
    fn finish(&self, issuer: &Arc<State>, claims: Map<String, Value>) -> String;
}

/// A logout token for a client (OpenID Connect Back-Channel Logout 1.0 s2.5).
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) uri: String,
    pub(super) logout_token: String,
}

/// Where an issuer reads the time.
#[derive(Clone, Debug)]
pub(super) enum Time {
    System(SystemClock),
    Turned(TestClock),
}

impl State {
    pub(super) fn new(identifier: String, keyring: Keyring) -> Arc<Self> {
        let changing = Changing {
            keyring,
            script: Script::default(),
            requests: Requests::default(),
            time: Time::System(SystemClock::new()),
            default_audience: DEFAULT_AUDIENCE.to_owned(),
            opaque: HashMap::new(),
            revoked: HashSet::new(),
            clients: HashMap::new(),
            provider: Provider::default(),
            id_tokens: VecDeque::new(),
            courier: None,
        };
        Arc::new(Self { addresses: Addresses::of(&identifier), identifier, changing: Mutex::new(changing) })
    }

    /// Exclusive access; a test that panicked while it had it spoils nothing for the others.
    pub(super) fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.lock().time.now()
    }
}

impl Time {
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::System(clock) => clock.now(),
            Self::Turned(clock) => clock.now(),
        }
    }
}

impl Requests {
    pub(super) fn count(&mut self, endpoint: Option<Endpoint>, conditional: bool) {
        self.conditional = self.conditional.saturating_add(u64::from(conditional));
        let counter = match endpoint {
            Some(Endpoint::OpenIdConfiguration | Endpoint::OAuthMetadata) => &mut self.metadata,
            Some(Endpoint::Jwks) => &mut self.jwks,
            Some(Endpoint::Token) => &mut self.token,
            Some(Endpoint::Introspection) => &mut self.introspection,
            Some(Endpoint::Authorization) => &mut self.authorization,
            Some(Endpoint::PushedRequest) => &mut self.pushed,
            Some(Endpoint::Userinfo) => &mut self.userinfo,
            Some(Endpoint::Revocation) => &mut self.revocation,
            Some(Endpoint::EndSession) => &mut self.end_session,
            None => &mut self.other,
        };
        *counter = counter.saturating_add(1);
    }
}

const DEFAULT_AUDIENCE: &str = "https://api.test";
