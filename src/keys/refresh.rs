//! When the keys of one issuer are asked for: a state machine without I/O and without a clock of its own.
//!
//! The driver obeys the [`Order`]s it is given and reports what came of each. These hold, and the code cites them:
//!
//! 1. At most one order is open. One that is never reported on is taken for failed after a minute.
//! 2. No request owns an order: whoever stops waiting cancels nothing.
//! 3. A failure changes no key. Neither does a set without a usable key, until three answers over at least a minute agree.
//! 4. An answer to an older order never replaces the answer to a newer one.
//! 5. Orders for unknown keys and for signatures that do not fit their key have one budget of their own: in any window of
//!    length w at most 2 + floor(w / 30 s) (I3). Such a signature has an order only while none is owed, so that forged ones
//!    leave an unknown key the order that it needs.
//! 6. Keys are unusable once their last successful fetch is longer ago than the hard limit (I1).
//! 7. After a failure nothing at all is ordered before the wait is over, and never before a `Retry-After` is.
//! 8. What is remembered of requests is bounded (I10).
//! 9. An answer that a cache has kept proves no key absent.
//! 10. Restored keys are never younger than they were when they were saved, and are fetched anew at once.
//! 11. What an answer says is as old as its order (RFC 9111 s4.2.3): what was long on its way, as when a computer slept
//!     meanwhile, does not make keys young, and does not keep a removed key beyond its lifetime.
//!
//! Of the invariants of the whole house, I1 to I13, these are held here:
//!
//! | | what holds | where |
//! | --- | --- | --- |
//! | I1 | what is accepted was signed by a key of the current set, fetched within the hard limit | 6; `decision` asks for both |
//! | I2 | a token of an issuer that nobody trusts causes nothing | `decision` and `tenants`, before this machine hears of it |
//! | I3 | tokens cause at most 2 + floor(w / 30 s) orders in any window w, and time has its own | 5 |
//! | I4 | a withdrawn key proves nothing after the next good fetch | `keys/store`: one set at a time, and no memory of tokens |
//! | I5 | a failure changes nothing | 3 |
//! | I6, I8 | what was remembered of a token; the inner service | no token is remembered; `tower/service` |
//! | I7 | nothing is accepted after its end | `claims/rules` |
//! | I9 | a check does no I/O and waits for nobody | it reads what is [published](Refresh::published) |
//! | I10 | every container is bounded | 8, and each owner of another |
//! | I11 | 401 is for what was judged, 503 for what was not | `keys/unknown_key` and `decision`, by what is published |
//! | I12 | a later-started answer is never overwritten by an earlier one | 4 |
//! | I13 | whoever goes away leaves the others progressing | 2; `wire/driver/slot` |
//!
//! What holds us back is measured by the monotonic clock alone, so that a wall clock that jumps ahead cannot make us hammer an
//! issuer. What ages keys is measured by whichever clock says longer, so that neither a clock that was set back nor a
//! computer that slept can make them young.

#[path = "refresh/jitter.rs"]
pub(crate) mod jitter;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::health::KeyState;
use crate::keys::published::{Published, Remembered, Success, is_usable, remembers, state};
use crate::observe::FetchCause;
use jitter::Jitter;

/// The hard limit unless it is set otherwise.
pub(crate) const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an order stays open without a report.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// How long one nap of the driver may last. A computer that slept is then noticed within it.
pub(crate) const LONGEST_NAP: Duration = Duration::from_secs(60);

/// One order for an unknown key in this time, once the burst is spent.
const UNKNOWN_PERIOD: Duration = Duration::from_secs(30);
/// Two periods may be spent at once, so the second order comes when one is still owed.
const UNKNOWN_BURST: Duration = UNKNOWN_PERIOD;
const REMEMBERED: usize = 256;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait while tokens are refused for want of keys.
const LONGEST_WAIT_IN_NEED: Duration = Duration::from_secs(5);
/// How long after a refused token the need is still taken to be there.
const IN_NEED_FOR: Duration = Duration::from_secs(60);
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60 * 60));

const CONFIRMING_ANSWERS: u32 = 3;
const CONFIRMING_TIME: Duration = Duration::from_secs(60);

/// The word to fetch this issuer's keys once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Larger for an order that was given later.
    pub(crate) id: u64,
    pub(crate) cause: FetchCause,
    /// When it was given.
    pub(crate) at: Timestamp,
}

/// What is to be done about a token that names an unknown key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Fetch, and see.
    Fetch(Order),
    /// An order is open. It may have been given before the issuer had the key, so its answer proves nothing about it.
    InFlight,
    /// The issuer was asked for this very key a moment ago, and did not have it.
    Absent,
    /// The budget is spent, or a failure forbids to ask.
    NotYet,
}

/// What a fetched set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Usable,
    /// Not one usable key.
    Empty,
    /// What is there already (304).
    Unchanged,
}

/// Whose word an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The issuer's, at this moment.
    Own,
    /// What the issuer said some time ago, as a cache has kept it. What it lacks may be there by now.
    Relayed,
}

/// What is to be done with a fetched set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Install,
    /// The set that was there stays, and is as good as a new one.
    Renew,
    /// The set that was there stays, as old as it is: what was fetched has no usable key, and is not confirmed.
    Unconfirmed,
    /// The set that was there stays: it answers a newer order.
    Late,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Refresh {
    max_stale: Duration,
    jitter: Jitter,
    last_id: u64,
    open: Option<Order>,
    success: Option<Success>,
    failure: Option<Failure>,
    empties: Option<Empties>,
    /// Whether the set that is in use has no usable key. Another such answer then only says it again.
    is_empty: bool,
    /// When a request last found no usable keys.
    needed: Option<Timestamp>,
    /// The uptime at which the budget for unknown keys is whole again.
    whole_at: Duration,
    /// Unknown kids, each with the first order whose answer can prove it absent.
    pending: Vec<(u64, Arc<str>)>,
    remembered: VecDeque<Remembered>,
}

/// What outlasts a machine: what its issuer is owed.
#[derive(Debug)]
pub(crate) struct Restraint {
    whole_at: Duration,
    failure: Option<Failure>,
}

impl Restraint {
    /// Whether it holds anybody back still.
    pub(crate) fn is_current(&self, now: Timestamp) -> bool {
        let is_waiting = |failure: &Failure| steady_since(now, failure.at) < failure.wait;
        self.whole_at > now.uptime() || self.failure.as_ref().is_some_and(is_waiting)
    }
}

#[derive(Debug)]
struct Failure {
    at: Timestamp,
    /// How many in a row.
    count: u32,
    wait: Duration,
    wait_in_need: Duration,
}

/// Answers without a usable key, in a row.
#[derive(Debug)]
struct Empties {
    first: Timestamp,
    count: u32,
}

impl Refresh {
    /// A machine that has nothing, and asks for nothing until keys are needed. The seed spreads the load of many processes.
    pub(crate) const fn new(seed: u64, max_stale: Duration) -> Self {
        Self {
            max_stale,
            jitter: Jitter(seed),
            last_id: 0,
            open: None,
            success: None,
            failure: None,
            empties: None,
            is_empty: false,
            needed: None,
            whole_at: Duration::ZERO,
            pending: Vec::new(),
            remembered: VecDeque::new(),
        }
    }

    /// What holds a machine back that is given up, if anything does.
    pub(crate) fn into_restraint(self, now: Timestamp) -> Option<Restraint> {
        let restraint = Restraint { whole_at: self.whole_at, failure: self.failure };
        restraint.is_current(now).then_some(restraint)
    }

    /// The same issuer is back.
    pub(crate) fn restrain(&mut self, restraint: Restraint) {
        (self.whole_at, self.failure) = (restraint.whole_at, restraint.failure);
    }

    /// Keys were restored that are so old. What the issuer itself has said meanwhile counts for more.
    pub(crate) fn restored(&mut self, now: Timestamp, age: Duration) -> Outcome {
        if self.success.is_some() {
            return Outcome::Late;
        }
        // Invariant 10.
        self.success = Some(Success::restored(now, age));
        Outcome::Install
    }

    /// A request, or a program that warms up, found no usable keys.
    pub(crate) fn need_keys(&mut self, now: Timestamp) -> Option<Order> {
        if self.usable(now) {
            return None;
        }
        self.needed = Some(now);
        self.order_if_free(FetchCause::NoKeys, now)
    }

    /// The program wants fresh keys, whatever their age.
    pub(crate) fn asked(&mut self, now: Timestamp) -> Option<Order> {
        self.order_if_free(FetchCause::Asked, now)
    }

    /// A token names a key that the set does not have, or names none and was signed by none of those that fit. What names
    /// nothing proves nothing about the next token, so it is not remembered.
    pub(crate) fn unknown_key(&mut self, kid: Option<&str>, now: Timestamp) -> Unknown {
        self.give_up_lost(now);
        if remembers(&self.remembered, kid, now) {
            return Unknown::Absent;
        }
        if let Some(kid) = kid {
            self.await_proof(kid);
        }
        self.order_within_budget(FetchCause::UnknownKey, UNKNOWN_BURST, now)
    }

    /// A token names a key that did not sign it: it is forged, or the issuer gave the name to another key. Nothing is
    /// remembered, since the next token of that name may be a good one.
    pub(crate) fn bad_signature(&mut self, now: Timestamp) -> Unknown {
        self.give_up_lost(now);
        self.order_within_budget(FetchCause::BadSignature, Duration::ZERO, now)
    }

    /// An order, unless more than this much of the budget is owed already.
    fn order_within_budget(&mut self, cause: FetchCause, owed_at_most: Duration, now: Timestamp) -> Unknown {
        if self.open.is_some() {
            return Unknown::InFlight;
        }
        if self.waiting(now) || self.whole_at.saturating_sub(now.uptime()) > owed_at_most {
            return Unknown::NotYet;
        }
        // Invariant 5: each order owes one period, and at most two are owed.
        self.whole_at = self.whole_at.max(now.uptime()).saturating_add(UNKNOWN_PERIOD);
        Unknown::Fetch(self.order(cause, now))
    }

    /// Work that time alone has made due.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Order> {
        if self.is_due(now) { self.order_if_free(FetchCause::Timed, now) } else { None }
    }

    /// Whether there is such work.
    pub(crate) fn is_due(&mut self, now: Timestamp) -> bool {
        self.give_up_lost(now);
        self.open.is_none() && self.until_due(now).is_some_and(|left| left.is_zero())
    }

    /// How long the driver may sleep before it asks [`due`](Self::due) again; for ever if `None`.
    ///
    /// A span, not a moment: the two clocks may disagree on when a moment is.
    pub(crate) fn next_wake(&self, now: Timestamp) -> Option<Duration> {
        let left = match &self.open {
            Some(open) => LOST_AFTER.saturating_sub(steady_since(now, open.at)),
            None => self.until_due(now)?,
        };
        Some(left.min(self.until_turn(now)).min(LONGEST_NAP))
    }

    /// How long until the keys are stale, or expired: nothing is to be done then, but it is news.
    fn until_turn(&self, now: Timestamp) -> Duration {
        let Some(success) = self.success else { return LONGEST_NAP };
        let age = success.age(now);
        let turns = [success.lifetime, self.max_stale].into_iter().filter(|turn| *turn >= age);
        // The keys are as they were up to that very moment.
        let next = turns.map(|turn| turn.saturating_sub(age).saturating_add(Duration::from_millis(1))).min();
        next.unwrap_or(LONGEST_NAP)
    }

    /// An order was answered with a key set that may be believed for `lifetime`.
    pub(crate) fn fetched(
        &mut self,
        order: Order,
        now: Timestamp,
        lifetime: Duration,
        contents: Contents,
        word: Word,
    ) -> Outcome {
        let Order { id, at, .. } = order;
        let was_open = self.close(id);
        // Invariant 4. Of an order that was given up, keys still count, and nothing else does.
        let is_old = self.success.is_some_and(|success| success.id >= id);
        if is_old || !was_open && contents != Contents::Usable {
            return Outcome::Late;
        }
        // Invariant 3.
        if contents == Contents::Empty && !self.is_empty && !self.confirmed_empty(now) {
            self.back_off(now, None);
            return Outcome::Unconfirmed;
        }
        let refresh_after = self.jitter.most_of(lifetime);
        let is_proof = word == Word::Own;
        // Invariant 11.
        self.success = Some(Success { id, at, aged: Duration::ZERO, lifetime, refresh_after, is_proof });
        self.failure = None;
        self.empties = None;
        self.is_empty = contents == Contents::Empty || contents == Contents::Unchanged && self.is_empty;
        self.needed = None;
        self.remember_pending(order, word, now);
        if contents == Contents::Unchanged { Outcome::Renew } else { Outcome::Install }
    }

    /// An order came to nothing.
    pub(crate) fn failed(&mut self, id: u64, now: Timestamp, retry_after: Option<Duration>) {
        if self.close(id) {
            self.empties = None;
            self.back_off(now, retry_after);
        }
    }

    /// Whether this order is the open one. The report on any other is late news.
    pub(crate) fn is_open(&self, id: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.id == id)
    }

    /// Whether there are keys that may still be used.
    pub(crate) fn usable(&self, now: Timestamp) -> bool {
        is_usable(self.success, self.max_stale, now)
    }

    /// How the keys are.
    pub(crate) fn state(&self, now: Timestamp) -> KeyState {
        state(self.success, self.max_stale, now)
    }

    /// Whether an order is open.
    pub(crate) const fn is_fetching(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the open order was given because its time had come.
    pub(crate) fn is_fetching_by_time(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.cause == FetchCause::Timed)
    }

    /// Whether the last order that was reported on came to nothing.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// What readers need to answer without asking this machine.
    pub(crate) fn published(&self, now: Timestamp) -> Published {
        let barred_until = |wait: fn(&Failure) -> Duration| {
            let until = self.failure.as_ref().map(|failure| failure.at.uptime().saturating_add(wait(failure)));
            until.unwrap_or_default()
        };
        Published {
            remembered: self.remembered.iter().cloned().collect(),
            barred_until: barred_until(|failure| failure.wait),
            barred_in_need_until: barred_until(|failure| failure.wait_in_need),
            unknown_from: self.whole_at.saturating_sub(UNKNOWN_BURST),
            renamed_from: self.whole_at,
            is_fetching: self.is_fetching(),
            success: self.success,
            max_stale: self.max_stale,
            failures: self.failure.as_ref().map_or(0, |failure| failure.count),
            next_try: self.next_try(now).map(|left| now.uptime().saturating_add(left)),
        }
    }

    /// How long until the issuer is asked again, if nothing but time makes it asked; nothing while it is being asked.
    pub(crate) fn next_try(&self, now: Timestamp) -> Option<Duration> {
        if self.open.is_some() { Some(Duration::ZERO) } else { self.until_due(now) }
    }

    fn order_if_free(&mut self, cause: FetchCause, now: Timestamp) -> Option<Order> {
        self.give_up_lost(now);
        // Invariants 1 and 7.
        if self.open.is_some() || self.waiting(now) {
            return None;
        }
        Some(self.order(cause, now))
    }

    fn order(&mut self, cause: FetchCause, now: Timestamp) -> Order {
        self.last_id = self.last_id.saturating_add(1);
        let order = Order { id: self.last_id, cause, at: now };
        self.open = Some(order);
        order
    }

    /// Whether that order was the open one.
    fn close(&mut self, id: u64) -> bool {
        self.open.take_if(|open| open.id == id).is_some()
    }

    /// Invariant 1.
    fn give_up_lost(&mut self, now: Timestamp) {
        let lost = self.open.take_if(|open| steady_since(now, open.at) >= LOST_AFTER);
        if lost.is_some() {
            self.empties = None;
            self.back_off(now, None);
        }
    }

    fn confirmed_empty(&mut self, now: Timestamp) -> bool {
        let empties = self.empties.get_or_insert(Empties { first: now, count: 0 });
        empties.count = empties.count.saturating_add(1);
        empties.count >= CONFIRMING_ANSWERS && steady_since(now, empties.first) >= CONFIRMING_TIME
    }

    fn back_off(&mut self, now: Timestamp, retry_after: Option<Duration>) {
        let earlier = self.failure.as_ref().map_or(0, |failure| failure.count);
        let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(earlier)).min(LONGEST_WAIT);
        let asked = retry_after.map_or(Duration::ZERO, as_long_as_is_sane);
        self.failure = Some(Failure {
            at: now,
            count: earlier.saturating_add(1),
            wait: self.jitter.half_of(doubled).max(asked),
            wait_in_need: self.jitter.half_of(doubled.min(LONGEST_WAIT_IN_NEED)).max(asked),
        });
    }

    /// Whether a failure still forbids to ask.
    fn waiting(&self, now: Timestamp) -> bool {
        !self.wait_left(now).is_zero()
    }

    fn wait_left(&self, now: Timestamp) -> Duration {
        let Some(failure) = &self.failure else { return Duration::ZERO };
        let wait = if self.in_need(now) { failure.wait_in_need } else { failure.wait };
        wait.saturating_sub(steady_since(now, failure.at))
    }

    /// Whether tokens are being refused for want of keys.
    fn in_need(&self, now: Timestamp) -> bool {
        !self.usable(now) && self.needed.is_some_and(|needed| steady_since(now, needed) < IN_NEED_FOR)
    }

    /// How long until timed work is due, were no order open; never if `None`.
    fn until_due(&self, now: Timestamp) -> Option<Duration> {
        if self.failure.is_some() {
            return Some(self.wait_left(now));
        }
        let success = self.success.as_ref()?;
        Some(success.refresh_after.saturating_sub(now.since(success.at)))
    }

    /// Only an order that is given after the kid was asked for can prove that the issuer does not have it.
    fn await_proof(&mut self, kid: &str) {
        // Invariant 8.
        if self.pending.len() < REMEMBERED && !self.pending.iter().any(|(_, pending)| **pending == *kid) {
            self.pending.push((self.last_id.saturating_add(1), Arc::from(kid)));
        }
    }

    /// Remembers what this order was asked to prove. A key that did come is found before the memory is asked.
    fn remember_pending(&mut self, order: Order, word: Word, now: Timestamp) {
        for (_, kid) in self.pending.extract_if(.., |(proving, _)| *proving <= order.id) {
            // Invariants 9 and 11.
            if word == Word::Own {
                self.remembered.push_back(Remembered { kid, at: order.at });
            }
        }
        self.remembered.retain(|entry| entry.is_current(now));
        // Invariant 8.
        while self.remembered.len() > REMEMBERED {
            self.remembered.pop_front();
        }
    }
}

/// How long a `Retry-After` is obeyed.
pub(crate) fn as_long_as_is_sane(retry_after: Duration) -> Duration {
    retry_after.clamp(RETRY_AFTER.0, RETRY_AFTER.1)
}

/// How long ago `earlier` was by the monotonic clock.
const fn steady_since(now: Timestamp, earlier: Timestamp) -> Duration {
    now.uptime().saturating_sub(earlier.uptime())
}

#[cfg(test)]
#[path = "refresh/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "refresh/simulation.rs"]
mod simulation;
