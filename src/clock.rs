//! Time, read in one place and passed on as an argument.

use std::fmt;
use std::task::Waker;
use std::time::Duration;

/// One reading of two clocks: the wall clock, which tokens speak of, and a monotonic one, by which the age of keys is known
/// when somebody turns the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    unix_millis: i64,
    uptime: Duration,
}

impl Timestamp {
    /// Puts a reading together: milliseconds since 1970-01-01T00:00:00Z (negative before it), and the time since some fixed
    /// moment that never runs backwards.
    #[must_use]
    pub const fn new(unix_millis: i64, uptime: Duration) -> Self {
        Self { unix_millis, uptime }
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.unix_millis.div_euclid(1000)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.unix_millis
    }

    /// What the monotonic clock says.
    #[must_use]
    pub const fn uptime(self) -> Duration {
        self.uptime
    }

    /// How long ago `earlier` was, by whichever clock says longer.
    ///
    /// A wall clock that was set back cannot make a key young, and a computer that slept (its monotonic clock may sleep too)
    /// cannot either.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let wall = self.unix_millis.saturating_sub(earlier.unix_millis);
        let wall = Duration::from_millis(u64::try_from(wall).unwrap_or(0));
        wall.max(self.uptime.saturating_sub(earlier.uptime))
    }

    /// Both clocks moved ahead by `by`, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self { unix_millis: self.unix_millis.saturating_add(millis), uptime: self.uptime.saturating_add(by) }
    }
}

/// Where a validator reads the time.
///
/// [`SystemClock`] is the default. A clock of your own serves tests (the `testing` feature has one that is turned by hand) and
/// machines that have a better clock than the operating system's.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// The time to within some milliseconds, where that is cheaper to know; by default the same as [`now`](Self::now). Tokens are
    /// judged by it, whose times are in seconds, unless somebody [observes](crate::Observe) how long it takes.
    fn now_roughly(&self) -> Timestamp {
        self.now()
    }

    /// Asks to be woken whenever time moves other than by itself.
    ///
    /// A clock that is turned by hand keeps the waker and wakes it at each turn, so that work that has become due is done at
    /// once. A clock that runs by itself need not do anything, which is the default.
    fn wake_when_turned(&self, _waker: Waker) {}
}

/// The operating system's clocks. On Linux the [rough](Clock::now_roughly) ones are at most 10 ms late.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: system::Moment,
}

impl SystemClock {
    /// A clock whose uptime counts from this call.
    #[must_use]
    pub fn new() -> Self {
        Self { started: system::Moment::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::new(system::unix_millis(), self.started.elapsed())
    }

    #[cfg(target_os = "linux")]
    fn now_roughly(&self) -> Timestamp {
        Timestamp::new(system::rough_unix_millis(), self.started.roughly_elapsed())
    }
}

/// The one place where time is read. Linux keeps, beside each clock, what it said at the last tick: reading both of these takes a third
/// of the time.
#[cfg(target_os = "linux")]
mod system {
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_gettime};

    /// What the monotonic clock said.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Moment(Duration);

    impl Moment {
        pub(super) fn now() -> Self {
            Self(uptime(clock_gettime(ClockId::Monotonic)))
        }

        pub(super) fn elapsed(self) -> Duration {
            Self::now().0.saturating_sub(self.0)
        }

        pub(super) fn roughly_elapsed(self) -> Duration {
            uptime(clock_gettime(ClockId::MonotonicCoarse)).saturating_sub(self.0)
        }
    }

    fn uptime(time: Timespec) -> Duration {
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
    }

    pub(super) fn unix_millis() -> i64 {
        millis(clock_gettime(ClockId::Realtime))
    }

    pub(super) fn rough_unix_millis() -> i64 {
        millis(clock_gettime(ClockId::RealtimeCoarse))
    }

    fn millis(time: Timespec) -> i64 {
        time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec.div_euclid(1_000_000))
    }
}

/// The one place where time is read.
#[cfg(not(target_os = "linux"))]
mod system {
    #![expect(clippy::disallowed_methods, reason = "this is the one place where time is read")]

    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    /// What the monotonic clock said.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Moment(Instant);

    impl Moment {
        pub(super) fn now() -> Self {
            Self(Instant::now())
        }

        pub(super) fn elapsed(self) -> Duration {
            self.0.elapsed()
        }
    }

    pub(super) fn unix_millis() -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, i64::saturating_neg),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_what_the_slower_aging_clock_cannot_hide() {
        let start = Timestamp::new(1_000_000, Duration::from_secs(5));
        let wall_set_back = Timestamp::new(0, Duration::from_secs(65));
        let slept = Timestamp::new(1_060_000, Duration::from_secs(6));
        assert_eq!(wall_set_back.since(start), Duration::from_secs(60));
        assert_eq!(slept.since(start), Duration::from_secs(60));
        assert_eq!(start.since(slept), Duration::ZERO);
    }

    /// By a look at both sides of the rough reading: this test waits for nothing and asks nothing of the machine's speed.
    #[test]
    fn the_rough_clock_is_late_by_milliseconds_and_never_early() {
        let clock = SystemClock::new();
        for _ in 0..1000 {
            let (before, rough, after) = (clock.now(), clock.now_roughly(), clock.now());
            assert!(rough.uptime() <= after.uptime() && rough.unix_millis() <= after.unix_millis());
            assert!(before.since(rough) <= Duration::from_millis(20), "{before:?} {rough:?}");
        }
    }

    #[test]
    fn arithmetic_saturates_at_both_ends_of_time() {
        let end = Timestamp::new(i64::MAX, Duration::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        let start = Timestamp::new(i64::MIN, Duration::ZERO);
        assert!(end.since(start) >= Duration::from_secs(1 << 40));
        assert_eq!(start.unix_seconds(), i64::MIN.div_euclid(1000));
    }
}
