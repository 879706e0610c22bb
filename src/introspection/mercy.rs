//! How much an issuer is asked: a state machine without I/O and without a clock of its own.
//!
//! 1. So many questions are open at a time, and no more (a bulkhead).
//! 2. So many are asked in a second: a second's worth at once, and one more as each part of a second passes.
//! 3. After 20 failures within 10 s nothing is asked for 5 s. Then one question is, and its answer decides for all (a breaker).
//! 4. An issuer that asks to be left alone is left alone.
//! 5. What anybody can cause by what he sends is no failure: it cannot shut out the others.
//!
//! All by the monotonic clock, so that a wall clock that is set cannot make us hammer an issuer, or silent.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::observe::Spared;

const FAILURES: usize = 20;
const WITHIN: Duration = Duration::from_secs(10);
const BROKEN_FOR: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// How much may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) in_flight: u32,
    pub(crate) per_second: u32,
}

/// What came of a question, for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// An answer, of whatever kind, that says that the issuer is well.
    Well,
    /// Nothing that says how the issuer is: what was asked may be to blame (invariant 5).
    Unclear,
    /// A failure of the issuer's, which may ask to be left alone for so long.
    Failed(Option<Duration>),
}

/// The machine.
#[derive(Clone, Debug)]
pub(crate) struct Mercy {
    allowance: Allowance,
    open: u32,
    /// The uptime at which the second's worth is whole again.
    whole_at: Duration,
    /// The uptimes of failures, the oldest first.
    failures: VecDeque<Duration>,
    breaker: Breaker,
    /// The uptime until which the issuer asked to be left alone.
    alone_until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaker {
    Closed,
    /// Nothing is asked until this uptime.
    Open(Duration),
    /// One question is asked, since this uptime.
    Trying,
}

impl Mercy {
    pub(crate) const fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            open: 0,
            whole_at: Duration::ZERO,
            failures: VecDeque::new(),
            breaker: Breaker::Closed,
            alone_until: Duration::ZERO,
        }
    }

    /// Goes on where another has left off whose questions were given up: what the issuer is owed does not end with its settings.
    pub(crate) fn succeed(&mut self, other: &Self, now: Timestamp) {
        let breaker = match other.breaker {
            // Nobody tries any more, so the next one does.
            Breaker::Trying => Breaker::Open(now.uptime()),
            breaker => breaker,
        };
        *self = Self { allowance: self.allowance, open: 0, breaker, ..other.clone() };
    }

    /// Whether a question may be asked, which then is open; or why not, and for how long at least.
    pub(crate) fn ask(&mut self, now: Timestamp) -> Result<(), (Spared, Duration)> {
        // What lasts comes first, since whoever is refused is told when to come again.
        if let Some((spared, left)) = self.barred(now) {
            return Err((spared, left));
        }
        if self.open >= self.allowance.in_flight {
            return Err((Spared::InFlight, Duration::ZERO));
        }
        self.spend(now).map_err(|left| (Spared::Rate, left))?;
        self.open = self.open.saturating_add(1);
        if matches!(self.breaker, Breaker::Open(_)) {
            self.breaker = Breaker::Trying;
        }
        Ok(())
    }

    /// Whether one may be asked by the rate, or how long it is until then. A question that is open and sent once more spends it too.
    pub(crate) fn spend(&mut self, now: Timestamp) -> Result<(), Duration> {
        let (uptime, each) = (now.uptime(), self.each());
        // A second's worth may be owed, less the one that is asked for.
        let owed = self.whole_at.saturating_sub(uptime);
        let room = SECOND.saturating_sub(each);
        if owed > room {
            return Err(owed.saturating_sub(room));
        }
        self.whole_at = self.whole_at.max(uptime).saturating_add(each);
        Ok(())
    }

    /// A question is no longer open.
    pub(crate) fn came(&mut self, came: Came, now: Timestamp) {
        self.open = self.open.saturating_sub(1);
        match came {
            Came::Well => {
                self.failures.clear();
                self.breaker = Breaker::Closed;
            }
            // Whatever was to be found out by this question is to be found out by the next.
            Came::Unclear if self.breaker == Breaker::Trying => self.breaker = Breaker::Open(now.uptime()),
            Came::Unclear => {}
            Came::Failed(retry_after) => {
                let alone = now.uptime().saturating_add(retry_after.unwrap_or_default());
                self.alone_until = self.alone_until.max(alone);
                self.failed(now);
            }
        }
    }

    /// How long nothing is asked, whatever it is, and why.
    pub(crate) fn barred(&self, now: Timestamp) -> Option<(Spared, Duration)> {
        let left = |until: Duration| until.saturating_sub(now.uptime());
        let alone = left(self.alone_until);
        match self.breaker {
            _ if !alone.is_zero() => Some((Spared::RetryAfter, alone)),
            Breaker::Open(until) if !left(until).is_zero() => Some((Spared::Breaker, left(until))),
            Breaker::Trying => Some((Spared::Breaker, Duration::ZERO)),
            Breaker::Open(_) | Breaker::Closed => None,
        }
    }

    fn failed(&mut self, now: Timestamp) {
        let uptime = now.uptime();
        self.failures.push_back(uptime);
        self.failures.retain(|at| uptime.saturating_sub(*at) < WITHIN);
        while self.failures.len() > FAILURES {
            self.failures.pop_front();
        }
        let is_broken = self.breaker == Breaker::Trying || self.failures.len() >= FAILURES;
        // Those that were asked before it broke do not keep it open longer.
        if is_broken && !matches!(self.breaker, Breaker::Open(until) if until > uptime) {
            self.breaker = Breaker::Open(uptime.saturating_add(BROKEN_FOR));
        }
    }

    /// What one question takes of a second.
    fn each(&self) -> Duration {
        SECOND.checked_div(self.allowance.per_second).unwrap_or(SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::new(0, Duration::from_millis(millis))
    }

    fn mercy(in_flight: u32, per_second: u32) -> Mercy {
        Mercy::new(Allowance { in_flight, per_second })
    }

    #[test]
    fn as_many_are_open_as_may_be() {
        let mut mercy = mercy(3, 1000);
        for _ in 0..3 {
            assert!(mercy.ask(at(0)).is_ok());
        }
        assert_eq!(mercy.ask(at(0)), Err((Spared::InFlight, Duration::ZERO)));
        mercy.came(Came::Unclear, at(0));
        assert!(mercy.ask(at(0)).is_ok() && mercy.ask(at(0)).is_err());
    }

    #[test]
    fn in_any_second_as_many_are_asked_as_may_be_and_at_the_start_as_many_more() {
        let mut mercy = mercy(1_000_000, 100);
        let mut asked = Vec::new();
        for millis in 0..5_000 {
            while mercy.ask(at(millis)).is_ok() {
                asked.push(millis);
            }
        }
        assert_eq!(asked.iter().filter(|at| **at == 0).count(), 100);
        for from in (0..4_000).step_by(10) {
            let within = asked.iter().filter(|at| (from..from + 1_000).contains(*at)).count();
            assert!((99..=200).contains(&within), "{within} in the second from {from} ms");
        }
        assert_eq!(asked.len(), 100 + 499);
    }

    #[test]
    fn twenty_failures_in_ten_seconds_stop_all_for_five_and_one_question_decides() {
        let mut mercy = mercy(1000, 1000);
        let fail = |mercy: &mut Mercy, millis: u64| {
            mercy.ask(at(millis)).unwrap();
            mercy.came(Came::Failed(None), at(millis));
        };
        for count in 0..19 {
            fail(&mut mercy, count * 500);
        }
        assert!(mercy.barred(at(9_000)).is_none());
        // The first is too long ago.
        fail(&mut mercy, 10_000);
        assert!(mercy.barred(at(10_000)).is_none());
        fail(&mut mercy, 10_100);
        assert_eq!(mercy.barred(at(10_100)), Some((Spared::Breaker, BROKEN_FOR)));
        assert!(mercy.ask(at(15_099)).is_err());
        assert!(mercy.ask(at(15_100)).is_ok());
        assert_eq!(mercy.ask(at(15_100)), Err((Spared::Breaker, Duration::ZERO)), "one alone tries");
        mercy.came(Came::Failed(None), at(15_200));
        assert!(mercy.ask(at(20_199)).is_err());
        assert!(mercy.ask(at(20_200)).is_ok());
        mercy.came(Came::Well, at(20_300));
        assert!((0..100).all(|_| mercy.ask(at(20_300)).is_ok()));
    }

    #[test]
    fn what_says_nothing_of_the_issuer_breaks_nothing_and_mends_nothing() {
        let mut mercy = mercy(1000, 1000);
        for _ in 0..100 {
            mercy.ask(at(0)).unwrap();
            mercy.came(Came::Unclear, at(0));
        }
        assert!(mercy.barred(at(0)).is_none());
        for _ in 0..20 {
            mercy.ask(at(1_000)).unwrap();
            mercy.came(Came::Failed(None), at(1_000));
        }
        mercy.ask(at(6_000)).unwrap();
        mercy.came(Came::Unclear, at(6_100));
        assert!(mercy.ask(at(6_100)).is_ok() && mercy.ask(at(6_100)).is_err(), "the next one tries");
    }

    #[test]
    fn whoever_is_refused_is_told_of_what_lasts_the_longest() {
        let mut mercy = mercy(2, 1000);
        mercy.ask(at(0)).unwrap();
        mercy.ask(at(0)).unwrap();
        mercy.came(Came::Failed(Some(Duration::from_secs(7))), at(0));
        mercy.open = 2;
        assert_eq!(mercy.ask(at(0)), Err((Spared::RetryAfter, Duration::from_secs(7))));
        assert_eq!(mercy.ask(at(7_000)), Err((Spared::InFlight, Duration::ZERO)));
    }

    #[test]
    fn new_settings_take_back_nothing_that_the_issuer_is_owed() {
        let mut old = mercy(1000, 1000);
        for _ in 0..20 {
            old.ask(at(0)).unwrap();
        }
        for _ in 0..20 {
            old.came(Came::Failed(None), at(0));
        }
        let successor = |old: &Mercy, millis: u64| {
            let mut new = mercy(7, 1000);
            new.succeed(old, at(millis));
            new
        };
        let mut new = successor(&old, 100);
        assert_eq!(new.ask(at(4_999)), Err((Spared::Breaker, Duration::from_millis(1))));
        old.ask(at(5_000)).unwrap();
        // The one that was to decide was given up, so another does.
        let mut new_while_trying = successor(&old, 5_000);
        for new in [&mut new, &mut new_while_trying] {
            assert!(new.ask(at(5_000)).is_ok() && new.ask(at(5_000)).is_err());
            new.came(Came::Well, at(5_000));
            assert_eq!((0..10).filter(|_| new.ask(at(5_000)).is_ok()).count(), 7, "its own allowance");
        }
    }

    #[test]
    fn who_asks_to_be_left_alone_is() {
        let mut mercy = mercy(1000, 1000);
        mercy.ask(at(0)).unwrap();
        mercy.ask(at(0)).unwrap();
        mercy.came(Came::Failed(Some(Duration::from_secs(7))), at(0));
        // An answer to an older question does not take that back.
        mercy.came(Came::Well, at(10));
        assert_eq!(mercy.ask(at(6_999)).unwrap_err().0, Spared::RetryAfter);
        assert!(mercy.ask(at(7_000)).is_ok());
    }
}
