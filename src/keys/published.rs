//! What a refresh machine tells the readers of its keys, who never ask the machine itself.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::health::KeyState;
use crate::keys::unknown_key::UnknownKey;

/// How long a kid that the issuer did not have counts as absent.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);
/// Keys so young have judged every kid that they do not have.
const JUDGED_FOR: Duration = Duration::from_secs(30);

/// A kid that the issuer did not have.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) kid: Arc<str>,
    pub(super) at: Timestamp,
}

impl Remembered {
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        now.since(self.at) < REMEMBERED_FOR
    }
}

/// The last word of the issuer on its keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Success {
    pub(super) id: u64,
    /// When it was asked for.
    pub(super) at: Timestamp,
    /// How old the keys were then: nothing, unless they were restored.
    pub(super) aged: Duration,
    /// How old they may become before they count as stale.
    pub(super) lifetime: Duration,
    /// How long after it the keys are fetched again.
    pub(super) refresh_after: Duration,
    /// Whether what is not among the keys was not there at that time.
    pub(super) is_proof: bool,
}

impl Success {
    /// Keys that are so old, and due at once.
    pub(super) const fn restored(now: Timestamp, age: Duration) -> Self {
        let (lifetime, refresh_after) = (Duration::ZERO, Duration::ZERO);
        Self { id: 0, at: now, aged: age, lifetime, refresh_after, is_proof: false }
    }

    /// How old the keys are.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        self.aged.saturating_add(now.since(self.at))
    }
}

/// The machine as it was after its last change. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(super) remembered: Arc<[Remembered]>,
    /// The uptime until which a failure forbids to ask.
    pub(super) barred_until: Duration,
    /// The same, while tokens are refused for want of keys.
    pub(super) barred_in_need_until: Duration,
    /// The uptime from which an unknown key may be asked for.
    pub(super) unknown_from: Duration,
    /// The uptime from which a key may be asked for that did not sign what names it.
    pub(super) renamed_from: Duration,
    pub(super) is_fetching: bool,
    pub(super) success: Option<Success>,
    pub(super) max_stale: Duration,
    pub(super) failures: u32,
    /// The uptime at which the issuer is asked again.
    pub(super) next_try: Option<Duration>,
}

impl Published {
    /// What a machine says that has not begun.
    pub(crate) fn nothing(max_stale: Duration) -> Self {
        Self {
            remembered: Arc::default(),
            barred_until: Duration::ZERO,
            barred_in_need_until: Duration::ZERO,
            unknown_from: Duration::ZERO,
            renamed_from: Duration::ZERO,
            is_fetching: false,
            success: None,
            max_stale,
            failures: 0,
            next_try: None,
        }
    }

    /// What a machine says whose keys were restored, so old.
    pub(crate) fn restored(now: Timestamp, age: Duration, max_stale: Duration) -> Self {
        Self { success: Some(Success::restored(now, age)), ..Self::nothing(max_stale) }
    }

    pub(crate) fn state(&self, now: Timestamp) -> KeyState {
        state(self.success, self.max_stale, now)
    }

    pub(crate) fn age(&self, now: Timestamp) -> Option<Duration> {
        self.success.map(|success| success.age(now))
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// How long until the issuer is asked again.
    pub(crate) fn next_try(&self, now: Timestamp) -> Option<Duration> {
        self.next_try.map(|then| then.saturating_sub(now.uptime()))
    }

    /// How long until the issuer may be asked for keys; nothing while it is being asked.
    pub(crate) fn barred(&self, now: Timestamp) -> Duration {
        self.left_until(self.barred_in_need_until, now)
    }

    /// How long until the issuer may be asked for a key that it did not have; nothing while it is being asked.
    pub(crate) fn unknown_barred(&self, now: Timestamp) -> Duration {
        self.left_until(self.unknown_from.max(self.barred_until), now)
    }

    /// The same for a key that did not sign what names it.
    pub(crate) fn renamed_barred(&self, now: Timestamp) -> Duration {
        self.left_until(self.renamed_from.max(self.barred_until), now)
    }

    /// Whoever joins an order that is open waits for nothing else, and spends nothing.
    fn left_until(&self, uptime: Duration, now: Timestamp) -> Duration {
        if self.is_fetching { Duration::ZERO } else { uptime.saturating_sub(now.uptime()) }
    }

    /// What to think of a key that the set does not have.
    pub(crate) fn unknown_key(&self, kid: Option<&str>, now: Timestamp) -> UnknownKey {
        if remembers(&*self.remembered, kid, now) {
            UnknownKey::Absent
        } else if self.unknown_barred(now).is_zero() {
            UnknownKey::Ask
        } else if self.barred_until <= now.uptime() && self.has_judged(now) {
            // Asked often enough, and not in vain: where the issuer cannot be asked, nobody knows what it has by now.
            UnknownKey::Absent
        } else {
            UnknownKey::Undecided
        }
    }

    /// Whether the keys are so young that they have judged every kid which they do not have.
    fn has_judged(&self, now: Timestamp) -> bool {
        self.success.is_some_and(|success| success.is_proof && success.age(now) <= JUDGED_FOR)
    }
}

pub(super) fn state(success: Option<Success>, max_stale: Duration, now: Timestamp) -> KeyState {
    match success {
        None => KeyState::NeverLoaded,
        Some(_) if !is_usable(success, max_stale, now) => KeyState::Expired,
        Some(success) if success.age(now) > success.lifetime => KeyState::Stale,
        Some(_) => KeyState::Fresh,
    }
}

pub(super) fn is_usable(success: Option<Success>, max_stale: Duration, now: Timestamp) -> bool {
    success.is_some_and(|success| success.age(now) <= max_stale)
}

pub(super) fn remembers<'a>(
    entries: impl IntoIterator<Item = &'a Remembered>,
    kid: Option<&str>,
    now: Timestamp,
) -> bool {
    let Some(kid) = kid else { return false };
    entries.into_iter().any(|entry| *entry.kid == *kid && entry.is_current(now))
}
