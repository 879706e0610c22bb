//! One issuer that is asked about its tokens: who waits for which answer, and what it takes to ask.
//!
//! 1. Of those who ask about one token at a time, one question is sent.
//! 2. Every question ends: by its answer, by a failure, or at its deadline. Whoever waits is told.
//! 3. What it takes to ask, the endpoint and the client's secret, is found out by one at a time; the others wait for it.
//! 4. A secret that the server does not believe is asked for again once a question.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::claims::rules::Rules;
use crate::client_auth::Credential;
use crate::clock::Timestamp;
use crate::decision::Supply;
use crate::endpoint::Endpoint;
use crate::introspection::memory::{Ahead, Fact, FlightId, Memory, Question, Remembered, Standing, TokenText};
use crate::introspection::mercy::{Came, Mercy};
use crate::introspection::response::Answer;
use crate::introspection::setup::{Asked, AskedAt};
use crate::issuer::TrustedIssuer;
use crate::issuer_id::IssuerId;
use crate::keys::store::KeyStore;
use crate::observe::{IntrospectionOutcome, Spared};
use crate::token::AccessToken;
use crate::wire::driver::expecting::Expecting;
use crate::wire::driver::failure::{came_of, came_of_preparing, is_elsewhere, refuses_us};
use crate::wire::driver::halting::{Halting, Told};
use crate::wire::driver::in_flight::{Questions, Seat};
use crate::wire::driver::inbox::answer;
use crate::wire::driver::{MOST_WAITING, unreachable};
use crate::wire::fetch::FetchError;

/// How old the metadata that names the endpoint may become before it is read again.
const METADATA_AGE: Duration = Duration::from_secs(60 * 60);
/// How soon it is read again where the endpoint is not what it was.
const METADATA_AGE_IN_DOUBT: Duration = Duration::from_secs(60);
/// How soon a token in use is tried again, where its issuer is not asked just now.
const PUT_OFF: Duration = Duration::from_secs(1);

/// One issuer.
pub(super) struct Desk {
    pub(super) issuer: IssuerId,
    pub(super) asked: Arc<Asked>,
    pub(super) standing: Arc<Standing>,
    pub(super) keys: Arc<KeyStore>,
    pub(super) rules: Rules,
    memory: Arc<Memory>,
    mercy: Mercy,
    ready: Option<Ready>,
    /// Where the metadata said that it is asked.
    found: Option<Endpoint>,
    /// How often there was another credential.
    generation: u64,
    /// It is being found out.
    preparing: Option<Preparing>,
    /// What was to be found out has failed a question already.
    is_blamed: bool,
    /// When the metadata was read, or was to be, the last time.
    tried: Option<Timestamp>,
    /// The endpoint may lie elsewhere by now.
    is_doubtful: bool,
    flights: HashMap<TokenText, Flight>,
    waiting: usize,
    halting: Halting,
    /// A resolver named it: it is one of thousands, and somebody else's choice.
    pub(super) is_resolved: bool,
    /// The last question that says how it is has failed.
    is_failing: bool,
    pub(super) expecting: Expecting,
}

/// What it takes to ask.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) endpoint: Endpoint,
    pub(super) credential: Credential,
}

/// What is being found out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Preparing {
    /// All that it takes.
    All,
    /// Where it is asked by now; with what is known.
    Place,
}

/// A question.
struct Flight {
    id: FlightId,
    proven: Option<AccessToken>,
    since: Timestamp,
    /// When it was sent the last time.
    sent: Timestamp,
    state: State,
    /// With what it was sent.
    generation: u64,
    is_renewed: bool,
    is_asked_again: bool,
    /// Among those of all resolved issuers.
    _seat: Option<Seat>,
    waiting: Vec<oneshot::Sender<Supply>>,
}

enum State {
    /// It waits for what it takes to ask.
    Parked,
    Sent(AbortHandle),
}

/// A question that is to be sent.
pub(super) struct Dispatch {
    pub(super) token: TokenText,
    pub(super) id: FlightId,
    pub(super) ready: Ready,
}

/// What came of a question that has ended.
pub(super) struct Ended {
    pub(super) took: Duration,
    pub(super) outcome: IntrospectionOutcome,
}

impl Desk {
    /// The desk of an issuer that is asked.
    pub(super) fn new(issuer: &TrustedIssuer, is_resolved: bool, memory: Arc<Memory>) -> Option<Self> {
        let (asked, standing) = (issuer.asked.clone()?, issuer.standing.clone()?);
        let ready = match (&asked.place, asked.auth.at_hand()) {
            (AskedAt::Endpoint(endpoint), Some(credential)) => Some(Ready { endpoint: endpoint.clone(), credential }),
            _ => None,
        };
        Some(Self {
            issuer: issuer.rules.issuer.clone(),
            mercy: Mercy::new(asked.allowance),
            asked,
            standing,
            keys: Arc::clone(&issuer.keys),
            rules: issuer.rules.clone(),
            memory,
            ready,
            found: None,
            generation: 0,
            preparing: None,
            is_blamed: false,
            tried: None,
            is_doubtful: false,
            flights: HashMap::new(),
            waiting: 0,
            halting: Halting::default(),
            is_resolved,
            is_failing: false,
            expecting: Expecting::default(),
        })
    }

    /// Takes the place of a desk with other settings.
    pub(super) fn succeed(&mut self, old: &Self, now: Timestamp) {
        if self.asked.place == old.asked.place {
            self.mercy.succeed(&old.mercy, now);
            self.standing.bar(old.standing.barred(now), now);
            self.is_failing = old.is_failing;
        }
        // What the metadata said depends on who asks, and by what.
        let (new, was) = (&self.asked, &old.asked);
        let is_same_client = new.auth.shows_certificate() == was.auth.shows_certificate();
        if new.place == was.place && is_same_client && new.plain_http == was.plain_http {
            self.found.clone_from(&old.found);
            self.tried = old.tried;
        }
    }

    /// Whoever waits judges anew, by the settings that took the place of these.
    pub(super) fn close(mut self) {
        let waiting = self.flights.values_mut().flat_map(|flight| std::mem::take(&mut flight.waiting));
        answer(waiting, &Supply::LookAgain);
    }

    /// Takes a question in; whether it is to be sent.
    pub(super) fn ask(
        &mut self,
        question: &Question,
        reply: Option<oneshot::Sender<Supply>>,
        places: &Questions,
        now: Timestamp,
    ) -> (bool, Option<Told>) {
        let Question { token, proven } = question;
        // It may have been answered since it was found missing.
        let known = self.memory.recall(self.standing.asker, token.octets(), now, |known| Some(Arc::clone(known)));
        let is_ahead = self.standing.ahead == Ahead::Yes && reply.is_none();
        // Whoever waits needs no newer one.
        if let Some(known) = known.as_ref().filter(|known| !is_ahead || !known.is_about_to_end(now)) {
            answer(reply, &Supply::Answered(Arc::clone(known)));
            return (false, None);
        }
        if reply.is_some() && self.waiting >= MOST_WAITING {
            answer(reply, &unreachable("too many requests wait for this issuer"));
            return (false, None);
        }
        if let Some(flight) = self.flights.get_mut(token) {
            self.waiting = self.waiting.saturating_add(reply.iter().len());
            flight.waiting.extend(reply);
            return (false, None);
        }
        let seat =
            if self.is_resolved { places.seat(self.is_failing, self.flights.len()).map(Some) } else { Some(None) };
        let allowed = match seat {
            Some(seat) => self.mercy.ask(now).map(|()| seat),
            // What lasts comes first.
            None => Err(self.mercy.barred(now).unwrap_or((Spared::InFlight, Duration::ZERO))),
        };
        let seat = match allowed {
            Ok(seat) => seat,
            Err((why, left)) => {
                self.standing.bar(left, now);
                if let Some(known) = known {
                    known.put_off(left.max(PUT_OFF), now);
                }
                answer(reply, &Supply::Unreachable(Arc::new(FetchError::Spared { why })));
                return (false, self.halting.halted(why, now));
            }
        };
        if let Some(known) = known {
            known.renew();
        }
        self.waiting = self.waiting.saturating_add(reply.iter().len());
        let flight = Flight {
            id: self.memory.ask(self.standing.asker, token.clone()),
            proven: proven.clone(),
            since: now,
            sent: now,
            state: State::Parked,
            generation: self.generation,
            is_renewed: false,
            is_asked_again: false,
            _seat: seat,
            waiting: reply.into_iter().collect(),
        };
        self.flights.insert(token.clone(), flight);
        (true, self.halting.resumed(now))
    }

    /// What is to be sent for a question; nothing while it waits for what it takes to ask.
    pub(super) fn dispatch(&mut self, token: &TokenText, now: Timestamp) -> Option<Dispatch> {
        let flight = self.flights.get_mut(token)?;
        let ready = self.ready.clone()?;
        (flight.generation, flight.sent) = (self.generation, now);
        Some(Dispatch { token: token.clone(), id: flight.id, ready })
    }

    /// A question is on its way.
    pub(super) fn sent(&mut self, token: &TokenText, handle: AbortHandle) {
        if let Some(flight) = self.flights.get_mut(token) {
            flight.state = State::Sent(handle);
        }
    }

    /// Whether it is to be found out what it takes to ask: with what is at hand, if anything.
    pub(super) fn prepare(&mut self, now: Timestamp) -> Option<(Option<Endpoint>, Option<Credential>)> {
        if self.preparing.is_some() {
            return None;
        }
        let age = self.tried.map_or(Duration::MAX, |tried| now.since(tried));
        let at_most = if self.is_doubtful { METADATA_AGE_IN_DOUBT } else { METADATA_AGE };
        let is_old = age >= at_most && matches!(self.asked.place, AskedAt::WhereTheMetadataSays);
        let (preparing, endpoint, credential) = match &self.ready {
            Some(ready) if is_old => (Preparing::Place, None, Some(ready.credential.clone())),
            Some(_) => return None,
            None => (Preparing::All, self.known_endpoint(), self.asked.auth.at_hand()),
        };
        (self.preparing, self.is_blamed) = (Some(preparing), false);
        if endpoint.is_none() {
            self.tried = Some(now);
        }
        Some((endpoint, credential))
    }

    /// Whether it is known what it takes to ask.
    pub(super) const fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    fn known_endpoint(&self) -> Option<Endpoint> {
        match &self.asked.place {
            AskedAt::Endpoint(endpoint) => Some(endpoint.clone()),
            AskedAt::WhereTheMetadataSays => self.found.clone(),
        }
    }

    /// It was found out what it takes to ask, or could not be. Says which questions are to be sent, and which have failed.
    pub(super) fn prepared(
        &mut self,
        found: Result<Ready, FetchError>,
        now: Timestamp,
    ) -> (Vec<TokenText>, Vec<Ended>) {
        let preparing = self.preparing.take();
        let parked = self.flights.iter().filter(|(_, flight)| matches!(flight.state, State::Parked));
        let parked: Vec<_> = parked.map(|(token, _)| token.clone()).collect();
        if let Ok(ready) = &found {
            self.found = Some(ready.endpoint.clone());
            self.is_doubtful = false;
        }
        match found {
            // The credential was not believed meanwhile (invariant 4): another is asked for, by those who wait for it.
            _ if preparing == Some(Preparing::Place) && self.ready.is_none() => (parked, Vec::new()),
            Ok(ready) => {
                self.ready = Some(ready);
                if preparing == Some(Preparing::All) {
                    self.generation = self.generation.wrapping_add(1);
                }
                self.expecting.met();
                (parked, Vec::new())
            }
            // Where it was asked until now, it is asked on.
            Err(_) if self.ready.is_some() => (parked, Vec::new()),
            Err(error) => {
                let error = Arc::new(error);
                self.expecting.failed(&error, now);
                let mut came = if self.is_blamed { Came::Unclear } else { came_of_preparing(&error) };
                let end = |token: &TokenText| {
                    let ended = self.fail(token, &error, came, now);
                    // One failure, however many waited for it.
                    came = Came::Unclear;
                    ended
                };
                (Vec::new(), parked.iter().filter_map(end).collect())
            }
        }
    }

    /// Whether somebody waits for what it takes to ask, and nobody has failed to find it out.
    pub(super) fn is_expected(&self) -> bool {
        self.ready.is_none() && self.expecting.is_hopeful()
    }

    /// An answer, or a failure, has arrived. Says whether the question is to be sent again, else what came of it.
    pub(super) fn arrived(
        &mut self,
        token: &TokenText,
        id: FlightId,
        outcome: Result<Vec<u8>, FetchError>,
        now: Timestamp,
    ) -> Option<Result<TokenText, Ended>> {
        let flight = self.flights.get_mut(token).filter(|flight| flight.id == id)?;
        flight.state = State::Parked;
        let read = outcome.and_then(|document| {
            Answer::read(&document, &self.rules.names).map_err(|fault| FetchError::Unusable { problem: fault.0 })
        });
        let said = match read {
            Ok(said) => said,
            Err(error) => {
                // Invariant 4.
                if refuses_us(&error, self.asked.auth.shows_certificate())
                    && self.asked.auth.at_hand().is_none()
                    && !flight.is_renewed
                {
                    flight.is_renewed = true;
                    if flight.generation == self.generation {
                        self.ready = None;
                    }
                    if self.mercy.spend(now).is_ok() {
                        return Some(Ok(token.clone()));
                    }
                    // Whether the next secret is believed is not known yet.
                    return self.fail(token, &Arc::new(error), Came::Unclear, now).map(Err);
                }
                self.is_doubtful |= is_elsewhere(&error);
                let came = came_of(&error);
                return self.fail(token, &Arc::new(error), came, now).map(Err);
            }
        };
        let fact = Fact::of(said, &self.rules, self.asked.may_lack);
        let (outcome, life) = match &fact {
            Fact::Active(_) => (IntrospectionOutcome::Active, self.asked.remember),
            Fact::Bad(reason) => (IntrospectionOutcome::Refused(*reason), self.asked.remember_inactive),
        };
        let flight = self.flights.get_mut(token)?;
        let remembered = Remembered::new(fact, self.standing.asker, flight.sent, life, self.rules.leeway)
            .beside(flight.proven.clone());
        match self.memory.answered(id, remembered) {
            Some(known) => {
                let flight = self.end(token, Came::Well, now)?;
                let took = now.uptime().saturating_sub(flight.since.uptime());
                answer(flight.waiting, &Supply::Answered(known));
                Some(Err(Ended { took, outcome }))
            }
            // It is void: those who wait have asked before it was forgotten, and the issuer may think otherwise by now.
            None if !flight.is_asked_again && self.mercy.spend(now).is_ok() => {
                flight.is_asked_again = true;
                flight.id = self.memory.ask(self.standing.asker, token.clone());
                Some(Ok(token.clone()))
            }
            None => {
                let flight = self.end(token, Came::Well, now)?;
                let took = now.uptime().saturating_sub(flight.since.uptime());
                answer(
                    flight.waiting,
                    &unreachable("the token was forgotten again and again while it was asked about"),
                );
                Some(Err(Ended { took, outcome: IntrospectionOutcome::Forgotten }))
            }
        }
    }

    /// Ends the questions whose time is over.
    pub(super) fn answer_the_late(&mut self, now: Timestamp) -> Vec<Ended> {
        let deadline = self.asked.deadline;
        let late = self.flights.iter().filter(|(_, flight)| left(flight, deadline, now).is_zero());
        let late: Vec<_> = late.map(|(token, _)| token.clone()).collect();
        let error = Arc::new(FetchError::TimedOut(deadline));
        let end = |token: &TokenText| {
            let is_parked = self.flights.get(token).is_some_and(|flight| matches!(flight.state, State::Parked));
            // One failure of what was to be found out, however many waited for it.
            let is_blamed = is_parked && std::mem::replace(&mut self.is_blamed, true);
            self.fail(token, &error, if is_blamed { Came::Unclear } else { Came::Failed(None) }, now)
        };
        late.iter().filter_map(end).collect()
    }

    /// How long until something is due here.
    pub(super) fn next_wake(&self, now: Timestamp) -> Option<Duration> {
        let flights = self.flights.values().map(|flight| left(flight, self.asked.deadline, now)).min();
        [flights, self.expecting.next_wake(now)].into_iter().flatten().min()
    }

    fn fail(&mut self, token: &TokenText, error: &Arc<FetchError>, came: Came, now: Timestamp) -> Option<Ended> {
        let mut flight = self.end(token, came, now)?;
        self.memory.give_up(flight.id);
        if let State::Sent(handle) = &flight.state {
            handle.abort();
        }
        answer(flight.waiting.drain(..), &Supply::Unreachable(Arc::<FetchError>::clone(error)));
        let took = now.uptime().saturating_sub(flight.since.uptime());
        let outcome = IntrospectionOutcome::Failed { kind: error.label(), error: Arc::<FetchError>::clone(error) };
        Some(Ended { took, outcome })
    }

    fn end(&mut self, token: &TokenText, came: Came, now: Timestamp) -> Option<Flight> {
        let flight = self.flights.remove(token)?;
        self.waiting = self.waiting.saturating_sub(flight.waiting.len());
        self.mercy.came(came, now);
        self.is_failing = match came {
            Came::Well => false,
            Came::Unclear => self.is_failing,
            Came::Failed(_) => true,
        };
        let barred = self.mercy.barred(now).map(|(_, left)| left);
        self.standing.bar(barred.unwrap_or_default(), now);
        Some(flight)
    }
}

/// An issuer that is asked no longer: its questions are given up, and whoever waits learns it by the end of his line.
impl Drop for Desk {
    fn drop(&mut self) {
        for flight in self.flights.values() {
            self.memory.give_up(flight.id);
            if let State::Sent(handle) = &flight.state {
                handle.abort();
            }
        }
    }
}

fn left(flight: &Flight, deadline: Duration, now: Timestamp) -> Duration {
    deadline.saturating_sub(now.uptime().saturating_sub(flight.since.uptime()))
}
