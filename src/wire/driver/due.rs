//! What time alone has made due, and how much of it is begun at once.
//!
//! 1. Of resolved issuers, at most so many are asked at a time because time has come: thousands whose keys were restored, or
//!    that a computer slept through, would else be asked in one moment.
//! 2. Those whose last fetch failed have places of their own, so that hosts that hang hold up each other and nobody else.
//! 3. Whoever was asked the longest ago comes first.
//! 4. A fetch that somebody waits for needs no place of these, but may need one of those in `in_flight.rs`. An issuer that is
//!    trusted by name needs none: those are few, and chosen.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::issuer_id::IssuerId;
use crate::keys::refresh::Order;
use crate::wire::driver::Wire;
use crate::wire::driver::telling::tell_turn;

/// Issuers that are asked at a time because time has come, and whose last fetch came to something; of the others as many.
const AT_A_TIME: usize = 64;

impl Wire {
    /// Sends what time has made due and answers whoever has waited long enough. Says how long there is nothing to do.
    pub(super) fn do_what_is_due(&mut self) -> Duration {
        let now = self.plan.clock.now();
        self.watch.note(now);
        let mut nap = self.resolve_what_is_due(now);
        for slot in self.slots.values_mut() {
            slot.answer_the_late(now);
            tell_turn(&self.news, slot, now);
        }
        for (issuer, order) in self.order_what_is_due(now) {
            self.send(&issuer, order);
        }
        self.ask_anew_where_there_is_a_place(now);
        nap = nap.min(self.end_late_questions(now));
        nap = nap.min(self.keep(now).unwrap_or(nap));
        for slot in self.slots.values() {
            nap = nap.min(slot.next_wake(now).unwrap_or(nap));
        }
        // A moment, so that two clocks that round differently do not make the thread spin.
        nap.max(Duration::from_millis(1))
    }

    fn order_what_is_due(&mut self, now: Timestamp) -> Vec<(IssuerId, Order)> {
        let mut room = Room { healthy: AT_A_TIME, failing: AT_A_TIME };
        let mut due = Vec::new();
        for slot in self.slots.values_mut() {
            slot.is_held_back = false;
            if slot.refresh.is_due(now) {
                due.push(slot);
            } else if slot.is_resolved && slot.refresh.is_fetching_by_time() {
                room.take(slot.refresh.is_failing());
            }
        }
        due.sort_by_key(|slot| slot.asked.uptime());
        let mut orders = Vec::new();
        for slot in due {
            // An arrival makes room, and wakes the thread.
            slot.is_held_back = slot.is_resolved && !room.take(slot.refresh.is_failing());
            if !slot.is_held_back {
                orders.extend(slot.refresh.due(now).map(|order| (slot.issuer.clone(), order)));
            }
        }
        orders
    }
}

/// Places that are left.
struct Room {
    healthy: usize,
    failing: usize,
}

impl Room {
    /// Takes one; says whether there was one.
    const fn take(&mut self, is_failing: bool) -> bool {
        let places = if is_failing { &mut self.failing } else { &mut self.healthy };
        let is_left = *places > 0;
        *places = places.saturating_sub(1);
        is_left
    }
}
