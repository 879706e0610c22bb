//! What goes wrong around a validator, one test for each row of the list of faults, with the row's own number asserted. Time is
//! simulated wherever a row speaks of it. Rows that `rotation` shows are named there; what sockets do is in `wire`.

mod answers;
mod fork;
mod host;
mod hours;
mod issuer_in_trouble;
mod order;
mod outage;

use std::time::Duration;

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault};
use scopegate::{IssuerHealth, KeyState, Reason};

use crate::rotation::{A, World, refused, seconds, soon, unjudged};

impl World {
    fn health(&self) -> IssuerHealth {
        self.validator.health().issuer(A).unwrap().clone()
    }

    /// Waits until nothing is being fetched and nothing is due, which stays so until the clock is turned. What was under way may
    /// else be answered by what the issuer was before, and be counted with what comes after.
    #[track_caller]
    fn lull(&self) {
        soon("nothing is under way", || self.health().next_try.is_some_and(|left| !left.is_zero()));
    }

    /// Turns the clock to the next attempt and waits until it has failed. Says how long the issuer is then left alone.
    #[track_caller]
    fn next_failure(&self) -> Duration {
        let before = self.health();
        self.clock.advance(before.next_try.unwrap());
        soon("the next attempt fails", || self.health().failures > before.failures);
        self.health().next_try.unwrap()
    }

    /// Turns the clock to the next attempt and waits until it has gone well.
    #[track_caller]
    fn next_success(&self) {
        let asked = self.asked().1;
        self.clock.advance(self.health().next_try.unwrap());
        soon("the next attempt goes well", || {
            let health = self.health();
            self.asked().1 > asked && health.failures == 0 && health.age == Some(Duration::ZERO)
        });
    }
}
