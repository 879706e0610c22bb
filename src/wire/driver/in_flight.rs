//! Fetches that requests, or the program, have caused beside those that time makes due.
//!
//! 1. Of issuers that a resolver named, and that have keys, at most so many are asked at a time because somebody asked. Each has
//!    a budget of its own, but there are thousands, and a stranger who knows their names could else have all of them asked in
//!    one moment, with one made-up token for each.
//! 2. Those whose last fetch failed have places of their own, so that hosts that hang hold up each other and nobody else.
//! 3. Whom a request asks about and for whom there is no place is not asked, and owes nothing for it. The program that asks for
//!    all keys anew waits until there is a place, and its time begins then.
//! 4. First keys need no place: how many newcomers there are is bounded where they are resolved.

use std::collections::HashSet;

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
