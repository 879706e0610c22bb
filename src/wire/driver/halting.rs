//! When it is told that an issuer is spared, and that it is asked again: a flood must not become one of events.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::observe::Spared;

/// How often it is told that the issuer is spared, and how long it is asked before that is told.
const TOLD_EACH: Duration = Duration::from_secs(1);

/// Of one issuer.
#[derive(Default)]
pub(super) struct Halting(Option<Halt>);

/// When it was told that the issuer is spared, and until when it was.
struct Halt {
    told: Timestamp,
    last: Timestamp,
}

/// What is to be told.
pub(super) enum Told {
    Halted(Spared),
    Resumed,
}

impl Halting {
    /// A question was not asked.
    pub(super) fn halted(&mut self, why: Spared, now: Timestamp) -> Option<Told> {
        let before = self.0.as_ref().map(|halt| halt.told).filter(|told| now.since(*told) < TOLD_EACH);
        self.0 = Some(Halt { told: before.unwrap_or(now), last: now });
        before.is_none().then_some(Told::Halted(why))
    }

    /// One was.
    pub(super) fn resumed(&mut self, now: Timestamp) -> Option<Told> {
        self.0.take_if(|halt| now.since(halt.last) >= TOLD_EACH).map(|_| Told::Resumed)
    }
}
