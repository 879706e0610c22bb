//! Asking issuers about tokens (RFC 7662): what `desk` decides is done here.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::client_auth::Credential;
use crate::clock::{Clock, Timestamp};
use crate::decision::{Need, Supply};
use crate::endpoint::Endpoint;
use crate::introspection::memory::{FlightId, Question, TokenText};
use crate::introspection::remote::{LONGEST_ANSWER, Opened, Reply, ask, open};
use crate::introspection::setup::Asked;
use crate::introspection::signed::When;
use crate::issuer::TrustedIssuer;
use crate::issuer_id::IssuerId;
use crate::keys::refresh::LONGEST_NAP;
use crate::keys::store::KeyStore;
use crate::metadata::{MetadataFault, ServerMetadata};
use crate::observe::Event;
use crate::reason::Cause;
use crate::wire::discovery::{Forms, discover_where};
use crate::wire::driver::desk::{Desk, Dispatch, Ended, Ready};
use crate::wire::driver::halting::Told;
use crate::wire::driver::in_flight::Seats;
use crate::wire::driver::inbox::{Message, answer};
use crate::wire::driver::{LONGEST_LOAD, Patience, Wire, addresses, document_limits, unreachable};
use crate::wire::fetch::{Fetch, FetchError, FetchLimits};

impl Wire {
    /// Makes a desk for an issuer that is asked, or a new one for new settings. Under the old standing the old one stays.
    pub(super) fn open_desk(&mut self, issuer: &TrustedIssuer) {
        let (name, now) = (&issuer.rules.issuer, self.plan.clock.now());
        let is_open = |desk: &Desk| issuer.standing.as_ref().is_some_and(|new| Arc::ptr_eq(new, &desk.standing));
        if self.desks.get(name).is_some_and(is_open) {
            return;
        }
        let old = self.desks.remove(name);
        let is_resolved = !self.is_trusted_by_name(name.as_str());
        if let Some(mut desk) = Desk::new(issuer, is_resolved, Arc::clone(&self.plan.memory)) {
            old.iter().for_each(|old| desk.succeed(old, now));
            self.desks.insert(name.clone(), desk);
        }
        old.into_iter().for_each(Desk::close);
    }

    /// Finds out what an issuer says of a token.
    pub(super) fn inquire(
        &mut self,
        issuer: &IssuerId,
        question: &Question,
        reply: Option<oneshot::Sender<Supply>>,
        now: Timestamp,
    ) {
        let Some(desk) = self.desks.get_mut(issuer) else {
            return answer(reply, &unreachable("the issuer is trusted no longer"));
        };
        let (is_begun, told) = desk.ask(question, reply, &self.questions, now);
        let issuer = issuer.clone();
        match told {
            Some(Told::Halted(why)) => self.news.tell(|| Event::IntrospectionHalted { issuer: issuer.clone(), why }),
            Some(Told::Resumed) => self.news.tell(|| Event::IntrospectionResumed { issuer: issuer.clone() }),
            None => {}
        }
        if is_begun {
            self.send_question(&issuer, &question.token, now);
        }
    }

    /// Sends a question, or sees to it that it can be sent.
    fn send_question(&mut self, issuer: &IssuerId, token: &TokenText, now: Timestamp) {
        let Some(desk) = self.desks.get_mut(issuer) else { return };
        if let Some(dispatch) = desk.dispatch(token, now) {
            let errand = Errand {
                fetch: Arc::clone(&self.plan.fetch),
                clock: Arc::clone(&self.plan.clock),
                asked: Arc::clone(&desk.asked),
                keys: Arc::clone(&desk.keys),
                issuer: issuer.clone(),
                leeway: desk.rules.leeway,
                longest: if desk.is_resolved { RESOLVED_ANSWER } else { LONGEST_ANSWER },
                post: self.post.clone(),
            };
            let (id, asker) = (dispatch.id, desk.standing.asker);
            let asking = tokio::spawn(errand.run(dispatch));
            desk.sent(token, asking.abort_handle());
            let (post, issuer, token) = (self.post.clone(), issuer.clone(), token.clone());
            tokio::spawn(async move {
                // Invariant 5 of the driver: a task that panicked is a task that failed.
                let outcome = asking.await.unwrap_or_else(|panic| Err(FetchError::other(panic)));
                if let Some(inbox) = post.upgrade() {
                    let _ = inbox.send(Message::Answered { issuer, asker, token, id, outcome });
                }
            });
        }
        self.prepare(issuer, now);
    }

    /// Finds out what it takes to ask an issuer, for a program that is about to begin.
    pub(super) fn expect(
        &mut self,
        issuer: &IssuerId,
        patience: Patience,
        reply: Option<oneshot::Sender<Supply>>,
        now: Timestamp,
    ) {
        let (Some(desk), Some(reply)) = (self.desks.get_mut(issuer), reply) else { return };
        if desk.is_ready() {
            return answer(Some(reply), &Supply::Fetched);
        }
        desk.expecting.wait(patience, now, reply);
        self.prepare(issuer, now);
    }

    /// Finds out, beside everything else, what it takes to ask an issuer, where that is not known.
    fn prepare(&mut self, issuer: &IssuerId, now: Timestamp) {
        let Some(desk) = self.desks.get_mut(issuer) else { return };
        let Some((endpoint, credential)) = desk.prepare(now) else { return };
        let (fetch, asked, asker) = (Arc::clone(&self.plan.fetch), Arc::clone(&desk.asked), desk.standing.asker);
        let callbacks = desk.is_resolved.then(|| Arc::clone(&self.callbacks));
        let limits = document_limits(asked.addresses, desk.is_resolved);
        let preparing = tokio::spawn(async move {
            let endpoint = match endpoint {
                Some(endpoint) => endpoint,
                None => {
                    let timely = tokio::time::timeout(LONGEST_LOAD, find(&*fetch, &asked, limits, now)).await;
                    timely.unwrap_or(Err(FetchError::TimedOut(LONGEST_LOAD)))?
                }
            };
            let credential = match credential {
                Some(credential) => credential,
                None => obtain(asked, callbacks).await.map_err(|source| FetchError::NoClientSecret { source })?,
            };
            Ok(Ready { endpoint, credential })
        });
        let (post, issuer) = (self.post.clone(), issuer.clone());
        tokio::spawn(async move {
            let found = preparing.await.unwrap_or_else(|panic| Err(FetchError::other(panic)));
            if let Some(inbox) = post.upgrade() {
                let _ = inbox.send(Message::Prepared { issuer, asker, found });
            }
        });
    }

    /// It was found out what it takes to ask an issuer, or could not be.
    pub(super) fn prepared(&mut self, issuer: &IssuerId, asker: u64, found: Result<Ready, FetchError>) {
        let now = self.plan.clock.now();
        let Some(desk) = self.desks.get_mut(issuer).filter(|desk| desk.standing.asker == asker) else { return };
        let error = found.as_ref().err().cloned();
        let (to_be_sent, failed) = desk.prepared(found, now);
        let is_expected = desk.is_expected();
        let is_metadata = |error: &FetchError| !matches!(error, FetchError::NoClientSecret { .. });
        if let Some(error) = error.filter(|error| failed.is_empty() && is_metadata(error)) {
            self.news.tell(|| Event::MetadataFailed { issuer: issuer.clone(), error: Arc::new(error) });
        }
        self.tell_ended(issuer, failed);
        for token in to_be_sent {
            self.send_question(issuer, &token, now);
        }
        // No question may be there to have it found out.
        if is_expected {
            self.prepare(issuer, now);
        }
    }

    /// A question was answered, or has failed.
    pub(super) fn answered(
        &mut self,
        issuer: &IssuerId,
        asker: u64,
        (token, id): (&TokenText, FlightId),
        outcome: Result<Vec<u8>, FetchError>,
    ) {
        let now = self.plan.clock.now();
        let Some(desk) = self.desks.get_mut(issuer).filter(|desk| desk.standing.asker == asker) else { return };
        match desk.arrived(token, id, outcome, now) {
            Some(Ok(token)) => self.send_question(issuer, &token, now),
            Some(Err(ended)) => self.tell_ended(issuer, [ended]),
            None => {}
        }
    }

    /// Ends questions whose time is over. Says how long until there is one.
    pub(super) fn end_late_questions(&mut self, now: Timestamp) -> Duration {
        let mut nap = LONGEST_NAP;
        let (mut all, mut due) = (Vec::new(), Vec::new());
        for desk in self.desks.values_mut() {
            let ended = desk.answer_the_late(now);
            all.extend(ended.into_iter().map(|ended| (desk.issuer.clone(), ended)));
            desk.expecting.answer_the_late(now);
            due.extend(desk.expecting.is_due(now).then(|| desk.issuer.clone()));
            nap = nap.min(desk.next_wake(now).unwrap_or(nap));
        }
        for issuer in due {
            self.prepare(&issuer, now);
        }
        for (issuer, ended) in all {
            self.tell_ended(&issuer, [ended]);
        }
        nap
    }

    fn tell_ended(&self, issuer: &IssuerId, all: impl IntoIterator<Item = Ended>) {
        for Ended { took, outcome } in all {
            self.news.tell_if_there_is_room(|| Event::Introspected { issuer: issuer.clone(), took, outcome });
        }
    }
}

/// The longest answer of an issuer that a resolver named, in bytes: what it says is remembered beside what all others say.
const RESOLVED_ANSWER: usize = 16 * 1024;

/// What one question needs on its way.
struct Errand {
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    asked: Arc<Asked>,
    keys: Arc<KeyStore>,
    issuer: IssuerId,
    leeway: Duration,
    /// The longest answer that is read, in bytes.
    longest: usize,
    post: mpsc::WeakUnboundedSender<Message>,
}

impl Errand {
    /// Asks, and opens what comes back.
    async fn run(self, dispatch: Dispatch) -> Result<Vec<u8>, FetchError> {
        let Dispatch { token, ready, .. } = dispatch;
        let addresses = addresses(self.asked.addresses);
        let limits =
            FetchLimits { total: self.asked.deadline, body: self.longest, addresses, ..FetchLimits::default() };
        let now = self.clock.now();
        let (fetch, asked) = (&*self.fetch, &self.asked);
        match ask(fetch, limits, &ready.endpoint, asked, &ready.credential, token.octets(), now).await? {
            Reply::Plain(document) => Ok(document.to_vec()),
            Reply::Signed(jwt) => self.unseal(&jwt, now).await,
        }
    }

    /// Checks the signature of an answer, for which keys may have to be fetched first.
    async fn unseal(&self, jwt: &[u8], sent: Timestamp) -> Result<Vec<u8>, FetchError> {
        let mut is_doubted = false;
        for _ in 0..KEYS_AT_MOST {
            let when = When { sent, now: self.clock.now(), leeway: self.leeway };
            let opened = open(jwt, &self.asked, &self.keys, when);
            let issuer = self.issuer.clone();
            let need = match opened.map_err(|fault| FetchError::Unusable { problem: fault.0 })? {
                Opened::Answer(document) => return Ok(document),
                Opened::WantsKeys => Need::Keys { issuer },
                Opened::WantsKey(kid) => Need::UnknownKey { issuer, kid },
                // The issuer's own keys have judged it.
                Opened::WantsRenamed if is_doubted => break,
                Opened::WantsRenamed => Need::RenamedKey { issuer },
            };
            is_doubted |= matches!(need, Need::RenamedKey { .. });
            let (reply, answer) = oneshot::channel();
            let question = Message::Needed { need, patience: Patience::OneAnswer, reply: Some(reply) };
            let is_sent = self.post.upgrade().is_some_and(|inbox| inbox.send(question).is_ok());
            match answer.await {
                Ok(Supply::Fetched | Supply::LookAgain) if is_sent => {}
                Ok(Supply::Unreachable(source)) => {
                    return Err(FetchError::Issuer { issuer: self.issuer.clone(), source });
                }
                _ => break,
            }
        }
        Err(FetchError::Unusable { problem: "the key that signed the answer is not known" })
    }
}

/// The first keys, and then perhaps a newer one, or one under another's name.
const KEYS_AT_MOST: usize = 3;

/// Asks for the secret: it may read a file, or ask a vault. However long that takes, the issuer is not asked for another meanwhile, so
/// that one callback that hangs holds one thread; whoever waits has a deadline of his own.
async fn obtain(asked: Arc<Asked>, callbacks: Option<Arc<Seats>>) -> Result<Credential, Cause> {
    let seat = callbacks.map(|callbacks| callbacks.take().ok_or(Crowded)).transpose();
    let seat = seat.map_err(|crowded| -> Cause { Arc::new(crowded) })?;
    let ask = move || {
        // It is free when the callback has come back, and not before.
        let _seat = seat;
        asked.auth.obtain()
    };
    spawn_blocking(ask).await.unwrap_or_else(|_| Err(panicked()))
}

/// Callbacks of others hang: it says nothing of this issuer.
#[derive(Debug, thiserror::Error)]
#[error("as many callbacks for secrets of other issuers are running as may be")]
pub(super) struct Crowded;

/// What a panic said may hold a secret, and the program has seen it already.
fn panicked() -> Cause {
    Arc::from(Box::<dyn Error + Send + Sync>::from("the callback panicked"))
}

async fn find(fetch: &dyn Fetch, asked: &Asked, limits: FetchLimits, now: Timestamp) -> Result<Endpoint, FetchError> {
    let shows_certificate = asked.auth.shows_certificate();
    let lacks = |problem| FetchError::Unusable { problem };
    let is_there = |metadata: &ServerMetadata| endpoint_in(metadata, shows_certificate).map(|_| ());
    let found = discover_where(fetch, &asked.issuer, asked.plain_http, limits, Forms::All(None), now, is_there).await;
    found.and_then(|(metadata, _)| endpoint_in(&metadata, shows_certificate).map_err(lacks))
}

fn endpoint_in(metadata: &ServerMetadata, shows_certificate: bool) -> Result<Endpoint, &'static str> {
    match metadata.introspection_endpoint(shows_certificate) {
        None => Err("the metadata names no introspection_endpoint"),
        Some(endpoint) => endpoint.map_err(MetadataFault::problem),
    }
}
