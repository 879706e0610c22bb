//! The thread that fetches keys, so that no request has to.
//!
//! One named thread a validator, started when something is first needed, with a runtime of its own: keys stay fresh in a
//! program that has none, and a starved or stopped runtime of the application does not reach it. These hold:
//!
//! 1. The driver alone writes to the stores of fetched keys.
//! 2. What is fetched, and when, its refresh machines say; the driver obeys.
//! 3. Whoever waits is answered at a deadline of its own, whatever the network does.
//! 4. The thread ends when the last validator that it serves is dropped; nobody waits for it to end.
//! 5. A panic in a [`Fetch`] is a failed fetch.

mod asking;
mod desk;
mod due;
mod expecting;
mod failure;
mod halting;
mod hand_over;
mod in_flight;
mod inbox;
mod keeping;
mod resolving;
mod slot;
mod sync;
mod telling;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Once};
use std::task::{Wake, Waker};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, Timestamp};
use crate::decision::{Need, Supply};
use crate::endpoint::PrivateAddresses;
use crate::introspection::memory::Memory;
use crate::issuer::{Defaults, RemoteKeys, TrustedIssuer};
use crate::issuer_id::IssuerId;
use crate::jose::key_set::MAX_KEYS;
use crate::key_file::KeyFile;
use crate::keys::refresh::{Order, Refresh, Restraint};
use crate::keys::remote::{Limits, find, load};
use crate::keys::saved::SavedKeys;
use crate::observe::{Event, Listeners};
use crate::reason::Cause;
use crate::restored::{Leftovers, Restored, sets};
use crate::tenants::{Directory, Tenants};
use crate::wire::addresses::Addresses;
use crate::wire::fetch::{Fetch, FetchError, FetchLimits};
use crate::wire::news::News;
use desk::Desk;
use hand_over::Unread;
use in_flight::{CALLBACKS, InFlight, Questions, Seats};
pub(crate) use inbox::{Answer, Driver};
use inbox::{Message, Watch, answer};
use keeping::{Keeping, Pending};
use resolving::Resolving;
use slot::{Arrival, Slot, Step};
use telling::{tell_arrival, tell_restored, tell_turn};

/// How long finding and fetching a key set may take in all, whatever a `Fetch` makes of its limits.
const LONGEST_LOAD: Duration = Duration::from_secs(20);
/// The longest document of an issuer that a resolver named, in bytes.
const RESOLVED_BODY: usize = 64 * 1024;
/// The most keys that its set is read for.
const RESOLVED_KEYS: usize = 32;
/// Messages that are read before anything else is done.
const BATCH: usize = 4096;
/// How many may wait for one issuer, or one name, at a time. More are told that it cannot be asked.
const MOST_WAITING: usize = 65_536;

/// What the thread begins with.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) issuers: Arc<[TrustedIssuer]>,
    pub(crate) tenants: Option<(Tenants, Arc<Directory>)>,
    pub(crate) defaults: Defaults,
    /// What issuers said of tokens.
    pub(crate) memory: Arc<Memory>,
    pub(crate) listeners: Listeners,
    /// What became of saved keys.
    pub(crate) restored: Arc<[Restored]>,
    /// Done by the first thread, and not by one that takes its place.
    pub(crate) first: Arc<Once>,
    /// Saved keys of issuers that the resolver has not named yet.
    pub(crate) leftovers: Leftovers,
    pub(crate) key_file: Option<KeyFile>,
}

impl Plan {
    /// Whether there are keys that were restored, and are to be fetched anew.
    pub(crate) fn has_restored(&self) -> bool {
        self.restored.iter().any(|restored| restored.outcome.is_ok())
    }
}

/// How long whoever asks is willing to wait, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For one answer, or one failure, as long as a request may wait for it.
    OneAnswer,
    /// For one answer, or one failure, so long.
    Until(Duration),
    /// Through failures, so long.
    Success(Duration),
}

/// The far end: everything that the thread knows.
struct Wire {
    plan: Plan,
    post: mpsc::WeakUnboundedSender<Message>,
    unread: Unread,
    watch: Watch,
    slots: HashMap<IssuerId, Slot>,
    /// Of issuers that are asked about tokens.
    desks: HashMap<IssuerId, Desk>,
    /// Issuers that made room for others, while they are owed something.
    let_go: HashMap<IssuerId, (RemoteKeys, Restraint)>,
    resolving: Resolving,
    in_flight: InFlight,
    questions: Questions,
    /// Callbacks for secrets that run.
    callbacks: Arc<Seats>,
    keeping: Option<Keeping>,
    news: News,
    seeds: RandomState,
    numbers: u64,
}

impl Wire {
    fn new(plan: Plan, post: mpsc::WeakUnboundedSender<Message>, unread: Unread, watch: Watch) -> Self {
        let news = News::new(plan.listeners.clone());
        let mut wire = Self {
            post,
            unread,
            watch,
            slots: HashMap::new(),
            desks: HashMap::new(),
            let_go: HashMap::new(),
            resolving: Resolving::default(),
            in_flight: InFlight::default(),
            questions: Questions::default(),
            callbacks: Arc::new(Seats::new(CALLBACKS)),
            keeping: plan.key_file.clone().map(Keeping::new),
            news,
            seeds: RandomState::new(),
            numbers: 0,
            plan,
        };
        for issuer in &*Arc::clone(&wire.plan.issuers) {
            wire.open_slot(issuer);
        }
        // Where the thread is not the first one.
        if let Some((_, directory)) = wire.plan.tenants.clone() {
            directory.close_all();
            directory.read().issuers().for_each(|issuer| wire.open_slot(issuer));
        }
        wire.plan.first.call_once(|| {
            for restored in &*wire.plan.restored {
                tell_restored(&wire.news, restored, wire.slots.get(&restored.issuer));
            }
        });
        wire
    }

    fn open_slot(&mut self, issuer: &TrustedIssuer) {
        self.open_desk(issuer);
        let Some(remote) = issuer.remote.clone() else { return };
        self.numbers = self.numbers.saturating_add(1);
        let refresh = Refresh::new(self.seeds.hash_one(self.numbers), self.plan.defaults.max_stale);
        let mut slot = Slot::new(issuer, remote, refresh, self.numbers, self.plan.clock.now());
        // Where its keys lie elsewhere by now, nothing is known of that host.
        if let Some((_, restraint)) = self.let_go.remove(&issuer.rules.issuer).filter(|(at, _)| *at == slot.remote) {
            slot.refresh.restrain(restraint);
            slot.publish(self.plan.clock.now());
        }
        slot.is_resolved = !self.is_trusted_by_name(issuer.rules.issuer.as_str());
        self.slots.insert(issuer.rules.issuer.clone(), slot);
    }

    /// Whether an issuer is trusted by name, or has been named.
    fn is_known(&self, name: &str) -> bool {
        let is_resolved = |(_, directory): &(Tenants, Arc<Directory>)| directory.read().get(name).is_some();
        self.is_trusted_by_name(name) || self.plan.tenants.as_ref().is_some_and(is_resolved)
    }

    fn is_trusted_by_name(&self, name: &str) -> bool {
        self.plan.issuers.iter().any(|issuer| issuer.rules.issuer.as_str() == name)
    }

    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        self.plan.clock.wake_when_turned(Waker::from(Arc::new(Post(self.post.clone()))));
        loop {
            let nap = self.do_what_is_due();
            let mut batch = Vec::new();
            if let Ok(0) = tokio::time::timeout(nap, messages.recv_many(&mut batch, BATCH)).await {
                return;
            }
            // News first: what has arrived may answer all that is asked behind it.
            let (questions, news): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|message| matches!(message, Message::Needed { .. }));
            for message in news.into_iter().chain(questions) {
                self.read(message);
            }
        }
    }

    fn read(&mut self, message: Message) {
        match message {
            Message::Needed { need, patience, reply } => self.needed(need, patience, reply),
            Message::Arrived { issuer, slot, order, arrival } => self.arrived(&issuer, slot, order, arrival),
            Message::Resolved { name, question, answer } => self.resolved(name, question, answer),
            Message::Forgotten { name } => self.forgotten(&name),
            Message::LeftoversForgotten => self.keep_without_what_was_taken_back(),
            Message::Kept { result } => self.kept(result),
            Message::Prepared { issuer, asker, found } => self.prepared(&issuer, asker, found),
            Message::Answered { issuer, asker, token, id, outcome } => {
                self.answered(&issuer, asker, (&token, id), outcome);
            }
            Message::ClockTurned => {}
        }
    }

    fn needed(&mut self, need: Need, patience: Patience, reply: Option<oneshot::Sender<Supply>>) {
        if reply.is_none() {
            self.unread.give_back();
        }
        if reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
            return;
        }
        let now = self.plan.clock.now();
        let issuer = match &need {
            Need::Issuer { name } => {
                let name = name.clone();
                return self.resolve(name, reply, now);
            }
            Need::Introspection { issuer, question } => return self.inquire(issuer, question, reply, now),
            Need::Asking { issuer } => return self.expect(issuer, patience, reply, now),
            Need::Keys { issuer }
            | Need::UnknownKey { issuer, .. }
            | Need::RenamedKey { issuer }
            | Need::Fresh { issuer } => issuer.clone(),
        };
        // One that was evicted meanwhile is resolved anew by whoever comes again.
        let Some(slot) = self.slots.get_mut(&issuer) else {
            return answer(reply, &unreachable("the issuer has made room for another"));
        };
        let is_patient = matches!(patience, Patience::Success(_));
        let step = match slot.step(&need, &self.in_flight, now) {
            Step::Settled(Supply::Unreachable(_) | Supply::BudgetSpent) if is_patient => Step::Joined,
            Step::Settled(supply) => return answer(reply, &supply),
            step => step,
        };
        match reply {
            Some(reply) if slot.waiters() < MOST_WAITING => slot.wait(need, patience, &step, now, reply),
            too_many => answer(too_many, &unreachable("too many requests wait for this issuer")),
        }
        if let Step::Ordered(order) = step {
            self.send(&issuer, order);
        }
    }

    /// Carries out an order, beside everything else.
    fn send(&mut self, issuer: &IssuerId, order: Order) {
        let now = self.plan.clock.now();
        let Some(slot) = self.slots.get_mut(issuer) else { return };
        slot.asked = now;
        slot.publish(now);
        self.in_flight.began(slot, order);
        self.news.tell(|| Event::FetchBegan { issuer: issuer.clone(), cause: order.cause });
        let fetch = Arc::clone(&self.plan.fetch);
        let (name, remote, number) = (slot.issuer.clone(), slot.remote.clone(), slot.number);
        let (known, wanted) = (slot.known(order, now), slot.wanted(order, now));
        let (post, limits) = (self.post.clone(), limits(slot));
        let loading = tokio::spawn(async move {
            let loading = async {
                let (found, unread) = match find(&*fetch, limits, &name, &remote, known, now).await {
                    Ok(found) => found,
                    Err(error) => return Arrival::failed(error),
                };
                let outcome = load(&*fetch, limits, &found.jwks_uri, &wanted, now).await;
                Arrival { found: Some(found), unread, outcome }
            };
            let timely = tokio::time::timeout(LONGEST_LOAD, loading).await;
            timely.unwrap_or(Arrival::failed(FetchError::TimedOut(LONGEST_LOAD)))
        });
        let issuer = issuer.clone();
        tokio::spawn(async move {
            // Invariant 5: a task that panicked is a task that failed.
            let arrival = loading.await.unwrap_or_else(|panic| Arrival::failed(FetchError::other(panic)));
            if let Some(inbox) = post.upgrade() {
                let _ = inbox.send(Message::Arrived { issuer, slot: number, order, arrival });
            }
        });
    }

    fn arrived(&mut self, issuer: &IssuerId, number: u64, order: Order, mut arrival: Arrival) {
        let now = self.plan.clock.now();
        self.in_flight.ended(number, order);
        let Some(slot) = self.slots.get_mut(issuer).filter(|slot| slot.number == number) else { return };
        if let Some(error) = arrival.unread.take() {
            slot.metadata_failed(&error, now);
            self.news.tell(|| Event::MetadataFailed { issuer: issuer.clone(), error: Arc::new(error) });
        }
        let news = slot.take_in(order, arrival, now);
        // Before anybody is answered: whoever hears that keys were fetched looks at once, from another thread.
        slot.publish(now);
        let is_late = matches!(news, slot::News::Late);
        if let Some(keeping) = &mut self.keeping {
            keeping.changed(match news {
                slot::News::Replaced { .. } => Pending::Keys,
                slot::News::Renewed => Pending::Age,
                slot::News::Unconfirmed | slot::News::Failed(_) | slot::News::Late => Pending::Nothing,
            });
        }
        tell_arrival(&self.news, slot, order, news, now);
        tell_turn(&self.news, slot, now);
        if is_late {
            return;
        }
        if let Some(order) = slot.settle(order, &self.in_flight, now) {
            self.send(issuer, order);
        }
    }

    /// A file that still had keys which are taken back would bring them back with the next start.
    fn keep_without_what_was_taken_back(&mut self) {
        if let Some(keeping) = &mut self.keeping {
            keeping.changed(Pending::Keys);
        }
    }

    /// Writes the keys down if it is time to; says how long until it will be.
    fn keep(&mut self, now: Timestamp) -> Option<Duration> {
        let keeping = self.keeping.as_mut()?;
        let left = keeping.left(now)?;
        if !left.is_zero() {
            return Some(left);
        }
        keeping.begin(now);
        let file = keeping.file.clone();
        let resolved = self.plan.tenants.as_ref().map(|(_, directory)| directory.read());
        let resolved = resolved.iter().flat_map(|table| table.issuers());
        let mut saved: Vec<_> = sets(self.plan.issuers.iter().chain(resolved), now).collect();
        // Those of issuers that the resolver has not named yet outlast a second restart too.
        let left = self.plan.leftovers.sets(now, self.plan.defaults.max_stale);
        saved.extend(left.into_iter().filter(|set| !self.is_known(set.issuer.as_str())));
        // Thousands of sets take their time to be sealed, and a disk may be slow, or be no disk at all. The system may have no thread
        // to give, which is a panic of this task alone.
        let write = move || file.write(&SavedKeys::seal(saved, now, &file.secret));
        let writing = tokio::spawn(async move { tokio::task::spawn_blocking(write).await });
        let post = self.post.clone();
        tokio::spawn(async move {
            let written = writing.await.unwrap_or_else(Err).unwrap_or_else(|panic| Err(panic.into()));
            let result = written.map_err(|error| -> Cause { Arc::new(error) });
            if let Some(inbox) = post.upgrade() {
                let _ = inbox.send(Message::Kept { result });
            }
        });
        None
    }

    fn kept(&mut self, result: Result<(), Cause>) {
        if let Some(keeping) = &mut self.keeping {
            keeping.ended(result.is_ok());
        }
        if let Err(error) = result {
            self.news.tell(|| Event::SaveFailed { error });
        }
    }
}

/// Which addresses may be connected to.
const fn addresses(private: PrivateAddresses) -> Addresses {
    match private {
        PrivateAddresses::Refused => Addresses::Public,
        PrivateAddresses::Allowed => Addresses::Any,
    }
}

/// What this issuer may cost. Who is resolved is one of thousands, and somebody else's choice.
fn limits(slot: &Slot) -> Limits {
    let keys = if slot.is_resolved { RESOLVED_KEYS } else { MAX_KEYS };
    Limits { fetch: document_limits(slot.remote.addresses, slot.is_resolved), keys }
}

/// The same of one document of its.
fn document_limits(private: PrivateAddresses, is_resolved: bool) -> FetchLimits {
    let usual = FetchLimits { addresses: addresses(private), ..FetchLimits::default() };
    if is_resolved { FetchLimits { body: RESOLVED_BODY, ..usual } } else { usual }
}

fn unreachable(problem: &'static str) -> Supply {
    Supply::Unreachable(Arc::new(FetchError::other(problem)))
}

/// Wakes the thread when its clock was turned.
struct Post(mpsc::WeakUnboundedSender<Message>);

impl Wake for Post {
    fn wake(self: Arc<Self>) {
        if let Some(inbox) = self.0.upgrade() {
            let _ = inbox.send(Message::ClockTurned);
        }
    }
}

#[cfg(test)]
#[path = "driver/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "driver/simulation.rs"]
mod simulation;
