//! Who waits for an issuer, and what each is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Slot, Step};
use crate::clock::Timestamp;
use crate::decision::{Need, Supply};
use crate::keys::refresh::Order;
use crate::wire::driver::Patience;
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
    since: Timestamp,
    reply: oneshot::Sender<Supply>,
}

impl Waiting {
    /// How long it may still wait. By the monotonic clock: a wall clock that is set right must not turn anybody away.
    pub(super) const fn left(&self, now: Timestamp) -> Duration {
        let waited = now.uptime().saturating_sub(self.since.uptime());
        self.limit().saturating_sub(waited)
    }

    const fn limit(&self) -> Duration {
        match (self.patience, &self.need) {
            (Patience::Until(limit) | Patience::Success(limit), _) => limit,
            (Patience::OneAnswer, Need::Keys { .. } | Need::Fresh { .. } | Need::Issuer { .. }) => WAIT_FOR_KEYS,
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
        order: Option<u64>,
        now: Timestamp,
        reply: oneshot::Sender<Supply>,
    ) {
        self.waiting.push(Waiting { need, patience, order, since: now, reply });
    }

    /// Answers whoever waited for this order. Who joined it late, and did not find its key, may cause another.
    pub(in crate::wire::driver) fn settle(&mut self, order: Order, now: Timestamp) -> Option<Order> {
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
            Need::Keys { .. } | Need::Issuer { .. } => self.refresh.usable(now),
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
