//! Chance, so that many processes do not ask at one moment.

use std::time::Duration;

/// Spreads the load of many processes (splitmix64). Nothing secret depends on it.
#[derive(Debug)]
pub(crate) struct Jitter(pub(crate) u64);

impl Jitter {
    /// Between half of it and all of it.
    pub(super) fn half_of(&mut self, whole: Duration) -> Duration {
        let half = whole.checked_div(2).unwrap_or_default();
        half.saturating_add(self.part_of(half))
    }

    /// 80 % of it, give or take 10 %.
    pub(super) fn most_of(&mut self, whole: Duration) -> Duration {
        let tenth = whole.checked_div(10).unwrap_or_default();
        tenth.saturating_mul(7).saturating_add(self.part_of(tenth.saturating_mul(2)))
    }

    /// Between nothing and all of it.
    fn part_of(&mut self, whole: Duration) -> Duration {
        let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.next().checked_rem(millis.saturating_add(1)).unwrap_or_default())
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// What a test plays by chance: less than this.
    #[cfg(test)]
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
