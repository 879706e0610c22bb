//! Logout tokens that came already.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::jose::crypto::sha256;

/// How many are remembered at a time. Each is remembered for the minutes for which it is good, so that it takes more than a hundred logouts
/// a second to fill it. None makes room for another: one that was forgotten could be played again.
const MOST: usize = 65_536;

/// The names (`jti`) of logout tokens that were taken, until they would be too old to be taken again.
pub(crate) struct Seen {
    names: Mutex<HashMap<[u8; 32], Until>>,
    most: usize,
}

/// Over when both clocks say so: none that is set makes a token new again.
#[derive(Clone, Copy)]
struct Until {
    /// Milliseconds since 1970.
    wall: i64,
    uptime: Duration,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Known,
    /// It may be new, and there is no room to remember it.
    Full,
}

impl Default for Seen {
    fn default() -> Self {
        Self { names: Mutex::default(), most: MOST }
    }
}

impl Seen {
    /// Takes a token that did not come before, and remembers it until this time, in milliseconds since 1970.
    pub(crate) fn take(&self, name: &str, until: i64, now: Timestamp) -> Result<(), NotTaken> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = sha256(name.as_bytes());
        if names.get(&name).is_some_and(|until| !until.is_over(now)) {
            return Err(NotTaken::Known);
        }
        if names.len() >= self.most {
            names.retain(|_, until| !until.is_over(now));
            if names.len() >= self.most {
                return Err(NotTaken::Full);
            }
        }
        let left = u64::try_from(until.saturating_sub(now.unix_millis())).unwrap_or(0);
        let uptime = now.uptime().saturating_add(Duration::from_millis(left));
        names.insert(name, Until { wall: until, uptime });
        Ok(())
    }

    /// Lets a token be taken again, since nothing came of it.
    pub(crate) fn give_back(&self, name: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&sha256(name.as_bytes()));
    }
}

impl Until {
    fn is_over(self, now: Timestamp) -> bool {
        now.unix_millis() > self.wall && now.uptime() > self.uptime
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, uptime: u64) -> Timestamp {
        Timestamp::new(wall * 1000, Duration::from_secs(uptime))
    }

    #[test]
    fn a_token_is_taken_once_while_it_is_good() {
        let seen = Seen::default();
        assert_eq!(seen.take("a", 1_060_000, at(1_000, 0)), Ok(()));
        assert_eq!(seen.take("a", 1_060_000, at(1_000, 0)), Err(NotTaken::Known));
        assert_eq!(seen.take("b", 1_060_000, at(1_000, 0)), Ok(()));
        assert_eq!(seen.take("a", 1_060_000, at(1_060, 60)), Err(NotTaken::Known));
        assert_eq!(seen.take("a", 1_120_000, at(1_061, 61)), Ok(()), "the issuer may use a name again by then");
    }

    #[test]
    fn no_clock_that_is_set_makes_a_token_new() {
        let seen = Seen::default();
        seen.take("a", 1_060_000, at(1_000, 0)).unwrap();
        assert_eq!(seen.take("a", 9_060_000, at(9_000, 1)), Err(NotTaken::Known), "set ahead");
        assert_eq!(seen.take("a", 1_060_000, at(1_000, 999)), Err(NotTaken::Known), "set back");
    }

    #[test]
    fn what_is_full_takes_none_until_one_is_too_old() {
        let seen = Seen { most: 2, ..Seen::default() };
        seen.take("a", 1_060_000, at(1_000, 0)).unwrap();
        seen.take("b", 1_090_000, at(1_030, 30)).unwrap();
        assert_eq!(seen.take("c", 1_100_000, at(1_040, 40)), Err(NotTaken::Full));
        assert_eq!(seen.take("a", 1_100_000, at(1_040, 40)), Err(NotTaken::Known), "and forgets none");
        assert_eq!(seen.take("c", 1_121_000, at(1_061, 61)), Ok(()));
        assert_eq!(seen.take("b", 1_121_000, at(1_061, 61)), Err(NotTaken::Known));
    }

    #[test]
    fn a_token_of_which_nothing_came_may_come_again() {
        let seen = Seen::default();
        seen.take("a", 1_060_000, at(1_000, 0)).unwrap();
        seen.give_back("a");
        assert_eq!(seen.take("a", 1_060_000, at(1_000, 0)), Ok(()));
    }
}
