//! Fetches that requests, or the program, have caused beside those that time makes due.
//!
//! 1. Of issuers that a resolver named, and that have keys, at most so many are asked at a time because somebody asked. Each has
//!    a budget of its own, but there are thousands, and a stranger who knows their names could else have all of them asked in
//!    one moment, with one made-up token for each.
//! 2. Those whose last fetch failed have places of their own, so that hosts that hang hold up each other and nobody else.
//! 3. Whom a request asks about and for whom there is no place is not asked, and owes nothing for it. The program that asks for
//!    all keys anew waits until there is a place, and its time begins then.
//! 4. First keys need no place: how many newcomers there are is bounded where they are resolved.
//! 5. Of questions about tokens, too, resolved issuers have so many open at a time in all, parted in the same way; and none of them has
//!    more than it leaves to the others.
//! 6. Of callbacks for secrets, which may hang, resolved issuers have so many running at a time, and each holds a thread.

use std::collections::HashSet;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::keys::refresh::Order;
use crate::observe::FetchCause;
use crate::wire::driver::Wire;
use crate::wire::driver::slot::Slot;

/// Issuers that are asked at a time because a request asked, and whose last fetch came to something; of the others as many; and as
/// many because the program asked.
const AT_A_TIME: usize = 64;

impl Wire {
    /// Those that wait for a place, the one that was asked the longest ago first. An arrival makes room, and wakes the thread.
    pub(super) fn ask_anew_where_there_is_a_place(&mut self, now: Timestamp) {
        let mut queued: Vec<_> = self.slots.values().filter(|slot| slot.is_queued()).collect();
        queued.sort_by_key(|slot| slot.asked.uptime());
        let queued: Vec<_> = queued.into_iter().map(|slot| slot.issuer.clone()).collect();
        for issuer in queued {
            let Some(slot) = self.slots.get_mut(&issuer) else { continue };
            if self.in_flight.place_to_ask_anew(slot) == Place::Taken {
                return;
            }
            if let Some(order) = slot.ask_anew(now) {
                self.send(&issuer, order);
            }
        }
    }
}

/// Questions about tokens that are open to resolved issuers in all, where the last one came to something or there was none.
const QUESTIONS: usize = 256;
/// The same where the last one has failed.
const QUESTIONS_TO_FAILING: usize = 64;

/// Callbacks for secrets of resolved issuers that run at a time.
pub(super) const CALLBACKS: usize = 16;

/// Those that are on their way, by slot and order.
#[derive(Default)]
pub(super) struct InFlight {
    healthy: HashSet<(u64, u64)>,
    failing: HashSet<(u64, u64)>,
    asked: HashSet<(u64, u64)>,
}

/// Whether there is a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Left,
    Taken,
}

impl InFlight {
    /// Whether this issuer may be asked because a request asks.
    pub(super) fn place_for(&self, slot: &Slot) -> Place {
        let taken = if slot.refresh.is_failing() { &self.failing } else { &self.healthy };
        place(slot, taken)
    }

    /// Whether it may be asked because the program does.
    pub(super) fn place_to_ask_anew(&self, slot: &Slot) -> Place {
        place(slot, &self.asked)
    }

    /// It is being asked.
    pub(super) fn began(&mut self, slot: &Slot, order: Order) {
        let taken = match order.cause {
            FetchCause::NoKeys | FetchCause::Timed => return,
            FetchCause::Asked => &mut self.asked,
            FetchCause::UnknownKey | FetchCause::BadSignature if slot.refresh.is_failing() => &mut self.failing,
            FetchCause::UnknownKey | FetchCause::BadSignature => &mut self.healthy,
        };
        if slot.is_resolved {
            taken.insert((slot.number, order.id));
        }
    }

    /// Its answer is here, whether anybody still wants it or not.
    pub(super) fn ended(&mut self, slot: u64, order: Order) {
        for taken in [&mut self.healthy, &mut self.failing, &mut self.asked] {
            taken.remove(&(slot, order.id));
        }
    }
}

fn place(slot: &Slot, taken: &HashSet<(u64, u64)>) -> Place {
    if slot.is_resolved && taken.len() >= AT_A_TIME { Place::Taken } else { Place::Left }
}

/// Places for questions about tokens.
pub(super) struct Questions {
    healthy: Seats,
    failing: Seats,
}

impl Default for Questions {
    fn default() -> Self {
        Self { healthy: Seats::new(QUESTIONS), failing: Seats::new(QUESTIONS_TO_FAILING) }
    }
}

impl Questions {
    /// A place for an issuer that has so many open already, if there is one.
    pub(super) fn seat(&self, is_failing: bool, open: usize) -> Option<Seat> {
        let seats = if is_failing { &self.failing } else { &self.healthy };
        // Invariant 5: one that takes all it can get has half, two have a third each, and so on.
        if open >= seats.left() { None } else { seats.take() }
    }
}

/// So many at a time.
pub(super) struct Seats {
    /// Every seat that is taken holds one.
    taken: Arc<()>,
    most: usize,
}

/// One that is taken, until this is dropped.
pub(super) struct Seat(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Seats {
    pub(super) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    fn left(&self) -> usize {
        self.most.saturating_sub(Arc::strong_count(&self.taken).saturating_sub(1))
    }

    pub(super) fn take(&self) -> Option<Seat> {
        (self.left() > 0).then(|| Seat(Arc::clone(&self.taken)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_has_more_than_it_leaves_and_those_that_fail_have_places_of_their_own() {
        let questions = Questions::default();
        let mut seats = Vec::new();
        let mut take = |is_failing| {
            let mut own = 0;
            while let Some(seat) = questions.seat(is_failing, own) {
                seats.push(seat);
                own += 1;
            }
            own
        };
        assert_eq!([take(false), take(false), take(false)], [128, 64, 32]);
        assert_eq!([take(true), take(true)], [32, 16]);
        assert_eq!((0..1_000).map(|_| take(false)).sum::<usize>(), 32, "all are taken");
        assert_eq!((0..1_000).map(|_| take(true)).sum::<usize>(), 16);
        seats.clear();
        assert!(questions.seat(false, 0).is_some() && questions.seat(true, 0).is_some());
    }
}
