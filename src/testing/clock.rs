//! A clock turned by hand.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// A clock that stands still until it is turned.
///
/// Give one clock to the validator and to the [`TestIssuer`](super::TestIssuer): an hour then takes no time, and every run of
/// the test sees the same times. A clone is the same clock.
///
/// ```
/// use std::time::Duration;
/// use scopegate::testing::{TestClock, TestIssuer};
/// use scopegate::Clock;
///
/// let clock = TestClock::at(1_700_000_000);
/// let issuer = TestIssuer::new("https://issuer.test").clock(&clock);
/// let before = clock.now();
///
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().unix_seconds(), 1_700_000_060);
/// assert_eq!(clock.now().since(before), Duration::from_secs(60));
/// # let _ = issuer;
/// ```
#[derive(Clone)]
pub struct TestClock {
    dial: Arc<Mutex<Dial>>,
}

struct Dial {
    now: Timestamp,
    wakers: Vec<Waker>,
}

impl TestClock {
    /// A clock that shows this many seconds since 1970-01-01T00:00:00Z (negative: before it), with an uptime of zero.
    #[must_use]
    pub fn at(unix_seconds: i64) -> Self {
        let now = Timestamp::new(unix_seconds.saturating_mul(1000), Duration::ZERO);
        Self { dial: Arc::new(Mutex::new(Dial { now, wakers: Vec::new() })) }
    }

    /// Time passes: the wall clock and the uptime both move ahead, saturating.
    pub fn advance(&self, by: Duration) {
        self.turn(|now| now.plus(by));
    }

    /// An administrator sets the wall clock, ahead or back; the uptime stays as it is.
    ///
    /// Time cannot be turned back otherwise: an uptime never runs backwards.
    pub fn set_wall(&self, unix_seconds: i64) {
        self.turn(|now| Timestamp::new(unix_seconds.saturating_mul(1000), now.uptime()));
    }

    /// The time that it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.dial().now
    }

    fn turn(&self, hand: impl FnOnce(Timestamp) -> Timestamp) {
        let wakers = {
            let mut dial = self.dial();
            dial.now = hand(dial.now);
            dial.wakers.clone()
        };
        // Outside the lock: whoever is woken may read the clock at once.
        for waker in wakers {
            waker.wake();
        }
    }

    fn dial(&self) -> MutexGuard<'_, Dial> {
        self.dial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.dial().now
    }

    fn wake_when_turned(&self, waker: Waker) {
        let mut dial = self.dial();
        if !dial.wakers.iter().any(|known| known.will_wake(&waker)) {
            dial.wakers.push(waker);
        }
    }
}

impl fmt::Debug for TestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestClock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_leaves_the_uptime_alone() {
        let clock = TestClock::at(1000);
        let twin = clock.clone();
        clock.advance(Duration::from_secs(5));
        clock.set_wall(10);
        assert_eq!(twin.now(), Timestamp::new(10_000, Duration::from_secs(5)));
        assert_eq!(Clock::now(&twin), clock.now());
    }

    #[test]
    fn every_turn_wakes_every_sleeper_once() {
        let clock = TestClock::at(0);
        let count = Arc::new(Count::default());
        clock.wake_when_turned(Waker::from(Arc::clone(&count)));
        clock.wake_when_turned(Waker::from(Arc::clone(&count)));
        clock.advance(Duration::from_secs(1));
        clock.set_wall(0);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }
}
