//! One issuer, as the driver knows it: its keys, where they lay, and who waits for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::decision::{Need, Supply};
use crate::endpoint::Endpoint;
use crate::issuer::RemoteKeys;
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::keys::refresh::{Contents, Order, Outcome, Refresh, Unknown};
use crate::keys::remote::Loaded;
use crate::keys::store::KeyStore;
use crate::wire::fetch::FetchError;

/// How long a request waits for the very first keys.
const WAIT_FOR_KEYS: Duration = Duration::from_secs(5);
/// How long a request waits for a key that is not at hand.
const WAIT_FOR_UNKNOWN_KEY: Duration = Duration::from_secs(1);
/// So many misses in a row, and the metadata is read again.
const MISSES: u32 = 8;

/// What came of an order.
pub(super) struct Arrival {
    /// Where the keys lie, if that could be found out.
    pub(super) jwks_uri: Option<Endpoint>,
    pub(super) outcome: Result<Loaded, FetchError>,
}

impl Arrival {
    pub(super) const fn failed(error: FetchError) -> Self {
        Self { jwks_uri: None, outcome: Err(error) }
    }
}

/// One issuer.
pub(super) struct Slot {
    pub(super) issuer: IssuerId,
    pub(super) remote: RemoteKeys,
    pub(super) store: Arc<KeyStore>,
    pub(super) keys: KeySet,
    pub(super) refresh: Refresh,
    /// Where the keys lay the last time.
    pub(super) jwks_uri: Option<Endpoint>,
    /// How often, in a row, there was no key set at that place.
    pub(super) misses: u32,
    pub(super) last_error: Option<Arc<FetchError>>,
    pub(super) waiting: Vec<Waiting>,
}

pub(super) struct Waiting {
    pub(super) need: Need,
    /// The order that will settle it; an earlier one only might.
    pub(super) order: Option<u64>,
    pub(super) since: Timestamp,
    pub(super) reply: oneshot::Sender<Supply>,
}

impl Waiting {
    /// How long it may still wait. By the monotonic clock: a wall clock that is set right must not turn anybody away.
    const fn left(&self, now: Timestamp) -> Duration {
        let waited = now.uptime().saturating_sub(self.since.uptime());
        self.limit().saturating_sub(waited)
    }

    const fn limit(&self) -> Duration {
        match self.need {
            Need::Keys { .. } | Need::Fresh { .. } => WAIT_FOR_KEYS,
            Need::UnknownKey { .. } => WAIT_FOR_UNKNOWN_KEY,
        }
    }
}

/// Whose question an arrival answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// That of everybody who waits.
    Awaited,
    /// Nobody's: the order was given up, and whoever waits does so for another.
    Late,
}

/// What the refresh machine makes of a need.
pub(super) enum Step {
    /// The answer is known.
    Settled(Supply),
    /// Wait for this order.
    Ordered(Order),
    /// Wait for the order that is open.
    Joined,
}

impl Slot {
    pub(super) fn publish(&self) {
        self.store.publish(self.keys.clone(), self.refresh.published());
    }

    pub(super) fn next_wake(&self, now: Timestamp) -> Option<Duration> {
        let deadlines = self.waiting.iter().map(|waiting| waiting.left(now)).min();
        [deadlines, self.refresh.next_wake(now)].into_iter().flatten().min()
    }

    /// Asks the refresh machine what to do about a need.
    pub(super) fn step(&mut self, need: &Need, now: Timestamp) -> Step {
        match need {
            Need::Keys { .. } => {
                if self.refresh.usable(now) {
                    return Step::Settled(Supply::Fetched);
                }
                let order = self.refresh.need_keys(now);
                self.ordered_or_joined(order)
            }
            Need::Fresh { .. } => {
                let order = self.refresh.asked(now);
                self.ordered_or_joined(order)
            }
            Need::UnknownKey { kid, .. } => match self.refresh.unknown_key(kid.as_deref(), now) {
                Unknown::Fetch(order) => Step::Ordered(order),
                Unknown::InFlight => Step::Joined,
                Unknown::Absent => Step::Settled(Supply::Fetched),
                Unknown::NotYet => Step::Settled(self.not_now()),
            },
        }
    }

    fn ordered_or_joined(&self, order: Option<Order>) -> Step {
        match order {
            Some(order) => Step::Ordered(order),
            None if self.refresh.is_fetching() => Step::Joined,
            None => Step::Settled(self.not_now()),
        }
    }

    /// The issuer is not asked again yet: because the last attempt failed, or because it was asked enough.
    fn not_now(&self) -> Supply {
        match &self.last_error {
            Some(error) => Supply::Unreachable(Arc::<FetchError>::clone(error)),
            None => Supply::BudgetSpent,
        }
    }

    pub(super) fn take_in(&mut self, order: Order, arrival: Arrival, now: Timestamp) -> News {
        if !self.refresh.is_open(order.id) {
            // Late news of an order that was given up. Keys may still be better than what is here; nothing else is.
            if let Ok(loaded) = arrival.outcome {
                self.install(order, loaded, now);
            }
            return News::Late;
        }
        self.jwks_uri = arrival.jwks_uri.or(self.jwks_uri.take());
        match arrival.outcome {
            Ok(loaded) => match self.install(order, loaded, now) {
                Outcome::Install => {
                    self.misses = 0;
                    self.last_error = None;
                }
                Outcome::Keep => self.missed(FetchError::Unusable { problem: "the key set has no usable key" }),
            },
            Err(error) => {
                self.refresh.failed(order.id, now, error.retry_after());
                self.missed(error);
            }
        }
        News::Awaited
    }

    fn install(&mut self, order: Order, loaded: Loaded, now: Timestamp) -> Outcome {
        let contents = if loaded.keys.keys().is_empty() { Contents::Empty } else { Contents::Usable };
        let outcome = self.refresh.fetched(order.id, now, loaded.lifetime, contents);
        if outcome == Outcome::Install {
            self.keys = loaded.keys;
        }
        outcome
    }

    /// The keys may lie elsewhere by now, whatever the failure looks like: a host that was given up can be gone, or answer
    /// anything. The metadata is read again at the first miss, and then now and then: an outage must not be asked twice as
    /// often for being looked for elsewhere.
    fn missed(&mut self, error: FetchError) {
        if self.misses.is_multiple_of(MISSES) {
            self.jwks_uri = None;
        }
        self.misses = self.misses.wrapping_add(1);
        self.last_error = Some(Arc::new(error));
    }

    /// Answers whoever waited for this order. Who joined it late, and did not find its key, may cause another.
    pub(super) fn settle(&mut self, order: Order, now: Timestamp) -> Option<Order> {
        let mut again = None;
        for mut waiting in std::mem::take(&mut self.waiting) {
            let supply = match (&self.last_error, waiting.order) {
                (Some(error), _) => Supply::Unreachable(Arc::<FetchError>::clone(error)),
                (None, Some(awaited)) if awaited <= order.id => Supply::Fetched,
                (None, _) if self.brought(&waiting.need, now) => Supply::Fetched,
                (None, _) => match self.step(&waiting.need, now) {
                    Step::Settled(supply) => supply,
                    step => {
                        if let Step::Ordered(order) = step {
                            again = Some(order);
                            waiting.order = Some(order.id);
                        }
                        self.waiting.push(waiting);
                        continue;
                    }
                },
            };
            let _ = waiting.reply.send(supply);
        }
        again
    }

    /// Whether the keys at hand answer the need.
    fn brought(&self, need: &Need, now: Timestamp) -> bool {
        match need {
            Need::Keys { .. } => self.refresh.usable(now),
            // What was fetched for an order that is older than the question may be older too.
            Need::Fresh { .. } => false,
            Need::UnknownKey { kid, .. } => {
                kid.is_some() && self.keys.keys().iter().any(|key| key.kid() == kid.as_deref())
            }
        }
    }

    /// Invariant 3.
    pub(super) fn answer_the_late(&mut self, now: Timestamp) {
        for waiting in self.waiting.extract_if(.., |waiting| waiting.left(now).is_zero()) {
            let limit = waiting.limit();
            let _ = waiting.reply.send(Supply::Unreachable(Arc::new(FetchError::TimedOut(limit))));
        }
    }
}
