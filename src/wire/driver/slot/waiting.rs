//! Who waits for an issuer, and what each is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Slot, Step};
use crate::clock::Timestamp;
use crate::decision::{Need, Supply};
use crate::keys::refresh::{Order, Word};
use crate::wire::driver::Patience;
use crate::wire::driver::in_flight::InFlight;
use crate::wire::fetch::FetchError;

/// How long a request waits for the very first keys.
const WAIT_FOR_KEYS: Duration = Duration::from_secs(5);
/// How long a request waits for a key that is not at hand.
const WAIT_FOR_UNKNOWN_KEY: Duration = Duration::from_secs(1);

/// One who waits.
pub(super) struct Waiting {
    need: Need,
    patience: Patience,
    /// The order that will settle it; an earlier one only might.
    order: Option<u64>,
    /// Whether there is no order yet, for want of a place to ask from.
    is_queued: bool,
    since: Timestamp,
    reply: oneshot::Sender<Supply>,
}

impl Waiting {
    /// How long it may still wait; for ever while it is queued, which it is no longer than others are being asked. By the monotonic clock: a wall clock that is set right must not turn anybody away.
    pub(super) const fn left(&self, now: Timestamp) -> Duration {
        if self.is_queued {
            return Duration::MAX;
        }
        let waited = now.uptime().saturating_sub(self.since.uptime());
        self.limit().saturating_sub(waited)
    }

    /// What it waits for.
    const fn take(&mut self, step: &Step) {
        self.is_queued = matches!(step, Step::Queued);
        if let Step::Ordered(order) = step {
            self.order = Some(order.id);
        }
    }

    const fn limit(&self) -> Duration {
        match (self.patience, &self.need) {
            (Patience::Until(limit) | Patience::Success(limit), _) => limit,
            // A word on a token and a resolved issuer are not asked for here.
            (Patience::OneAnswer, Need::Keys { .. } | Need::Fresh { .. }) => WAIT_FOR_KEYS,
            (Patience::OneAnswer, Need::Issuer { .. } | Need::Introspection { .. } | Need::Asking { .. }) => {
                WAIT_FOR_KEYS
            }
            (Patience::OneAnswer, Need::UnknownKey { .. } | Need::RenamedKey { .. }) => WAIT_FOR_UNKNOWN_KEY,
        }
    }
}

impl Slot {
    pub(in crate::wire::driver) fn waiters(&self) -> usize {
        self.waiting.len()
    }

    /// Takes down who waits, and for which order.
    pub(in crate::wire::driver) fn wait(
        &mut self,
        need: Need,
        patience: Patience,
        step: &Step,
        now: Timestamp,
        reply: oneshot::Sender<Supply>,
    ) {
        let mut waiting = Waiting { need, patience, order: None, is_queued: false, since: now, reply };
        waiting.take(step);
        self.waiting.push(waiting);
    }

    /// Whether somebody waits for a place to ask for its keys anew, and may have it.
    pub(in crate::wire::driver) fn is_queued(&self) -> bool {
        !self.refresh.is_fetching() && self.waiting.iter().any(|waiting| waiting.is_queued)
    }

    /// Gives an order for whoever waits for a place, whose time begins; or says why there is none.
    pub(in crate::wire::driver) fn ask_anew(&mut self, now: Timestamp) -> Option<Order> {
        let order = self.refresh.asked(now);
        if let Some(order) = order {
            for waiting in self.waiting.iter_mut().filter(|waiting| waiting.is_queued) {
                (waiting.order, waiting.is_queued, waiting.since) = (Some(order.id), false, now);
            }
        } else if !self.refresh.is_fetching() {
            let why = self.not_now();
            for waiting in self.waiting.extract_if(.., |waiting| waiting.is_queued) {
                let _ = waiting.reply.send(why.clone());
            }
        }
        order
    }

    /// Answers whoever waited for this order. Who joined it late, and did not find its key, may cause another.
    pub(in crate::wire::driver) fn settle(&mut self, order: Order, places: &InFlight, now: Timestamp) -> Option<Order> {
        let mut again = None;
        for mut waiting in std::mem::take(&mut self.waiting) {
            let is_patient = matches!(waiting.patience, Patience::Success(_));
            let supply = match (&self.last_error, waiting.order) {
                (Some(_), _) if is_patient => {
                    // Still in need, so that the issuer is asked again soon.
                    self.refresh.need_keys(now);
                    self.waiting.push(waiting);
                    continue;
                }
                (Some(error), _) => Supply::Unreachable(Arc::<FetchError>::clone(error)),
                // Who joined an order for the first keys has not had the issuer asked: a key that is missing may be asked for.
                (None, None) if matches!(waiting.need, Need::Keys { .. }) && self.brought(&waiting.need, now) => {
                    Supply::LookAgain
                }
                (None, _) if self.brought(&waiting.need, now) => Supply::Fetched,
                (None, Some(awaited)) if awaited <= order.id => self.word_on(&waiting.need),
                (None, _) => match self.step(&waiting.need, places, now) {
                    Step::Settled(supply) => supply,
                    step => {
                        if let Step::Ordered(order) = step {
                            again = Some(order);
                        }
                        waiting.take(&step);
                        self.waiting.push(waiting);
                        continue;
                    }
                },
            };
            let _ = waiting.reply.send(supply);
        }
        again
    }

    /// What an answer comes to that did not bring what was needed. What a cache has kept says nothing of a key that may be new.
    fn word_on(&self, need: &Need) -> Supply {
        match (self.word, need) {
            (Word::Relayed, Need::UnknownKey { .. }) => Supply::BudgetSpent,
            (Word::Own | Word::Relayed, _) => Supply::Fetched,
        }
    }

    /// Whether the keys at hand answer the need.
    fn brought(&self, need: &Need, now: Timestamp) -> bool {
        match need {
            Need::Keys { .. } | Need::Issuer { .. } | Need::Introspection { .. } | Need::Asking { .. } => {
                self.refresh.usable(now)
            }
            // What was fetched for an order that is older than the question may be older too.
            Need::Fresh { .. } | Need::RenamedKey { .. } => false,
            Need::UnknownKey { kid, .. } => kid.as_deref().is_some_and(|kid| self.has(kid)),
        }
    }

    fn has(&self, kid: &str) -> bool {
        self.keys.keys().iter().any(|key| key.kid() == Some(kid))
    }

    /// Whoever waits is answered at a deadline of its own.
    pub(in crate::wire::driver) fn answer_the_late(&mut self, now: Timestamp) {
        for waiting in self.waiting.extract_if(.., |waiting| waiting.left(now).is_zero()) {
            let cause = match (&self.last_error, waiting.patience) {
                (Some(error), Patience::Success(_)) => Arc::clone(error),
                _ => Arc::new(FetchError::TimedOut(waiting.limit())),
            };
            let _ = waiting.reply.send(Supply::Unreachable(cause));
        }
    }
}
