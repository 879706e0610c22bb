//! One issuer, as the driver knows it: its keys, where they lay, and who waits for them.

mod waiting;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::decision::{Need, Supply};
use crate::health::KeyState;
use crate::issuer::{RemoteKeys, TrustedIssuer};
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::keys::refresh::{Contents, Order, Outcome, Refresh, Unknown, Word, as_long_as_is_sane};
use crate::keys::remote::{Found, Fresh, Known, Loaded, Vouched, Wanted};
use crate::keys::store::{KeyStore, Remote};
use crate::observe::FetchCause;
use crate::reason::Cause;
use crate::wire::discovery::Forms;
use crate::wire::driver::in_flight::{InFlight, Place};
use crate::wire::fetch::FetchError;
use waiting::Waiting;

/// So many misses in a row, and the metadata is read again.
const MISSES: u32 = 8;
/// So many misses in a row, and the metadata is looked for at its other addresses too.
const MISSES_ANYWHERE: u32 = 16;
/// How old metadata may become before it is read again.
const METADATA_AGE: Duration = Duration::from_secs(60 * 60);
/// How old it may become while a key is missing that ought to be there.
const METADATA_AGE_IN_DOUBT: Duration = Duration::from_secs(5 * 60);
/// How long a doubt lasts before an unknown key makes the metadata be read: longer than a burst of them.
const DOUBT: Duration = Duration::from_secs(30);
/// How long the word that nothing has changed is taken for it, before the key set itself is asked for: an entity tag that its
/// server forgot to change must not keep a removed key alive.
const UNSEEN: Duration = Duration::from_secs(60 * 60);

/// What came of an order.
pub(super) struct Arrival {
    /// Where the keys lie, if that could be found out.
    pub(super) found: Option<Found>,
    /// Why the metadata, which was to be read again, could not be.
    pub(super) unread: Option<FetchError>,
    pub(super) outcome: Result<Loaded, FetchError>,
}

impl Arrival {
    pub(super) const fn failed(error: FetchError) -> Self {
        Self { found: None, unread: None, outcome: Err(error) }
    }
}

/// One issuer.
pub(super) struct Slot {
    pub(super) issuer: IssuerId,
    pub(super) remote: RemoteKeys,
    pub(super) refresh: Refresh,
    /// Since when the open order is open.
    pub(super) asked: Timestamp,
    /// Which of all the slots that ever were: an answer to one that was evicted is nobody's.
    pub(super) number: u64,
    /// Whether a resolver named it.
    pub(super) is_resolved: bool,
    /// Whether it is due, and too many others are being asked.
    pub(super) is_held_back: bool,
    store: Arc<KeyStore>,
    keys: KeySet,
    document: Bytes,
    validators: Vouched,
    /// When the key set that was last seen was asked for.
    seen: Option<Timestamp>,
    /// Whose word it was.
    word: Word,
    lifetime: Duration,
    /// Where the keys lay the last time.
    found: Option<Found>,
    /// The uptime before which the metadata is not read: its host has asked for that.
    metadata_from: Duration,
    /// When the metadata was last to be read again and could not be.
    unread: Option<Timestamp>,
    /// Since when a key is missing that ought to have been there: it may lie elsewhere by now.
    doubtful: Option<Timestamp>,
    /// Whether there was no key set at that place, so that the metadata is read next.
    is_lost: bool,
    /// Whether the metadata could not be read either. That place and the metadata then take turns.
    is_in_vain: bool,
    /// How often, in a row, there was no key set at that place.
    misses: u32,
    last_error: Option<Arc<FetchError>>,
    waiting: Vec<Waiting>,
    state: KeyState,
}

/// What an arrival has changed.
pub(super) enum News {
    /// The keys are others than they were.
    Replaced { before: KeySet },
    /// The same keys, vouched for anew.
    Renewed,
    /// The keys stay, since a set without a usable key is not believed at once.
    Unconfirmed,
    /// Nothing that counts.
    Failed(Arc<FetchError>),
    /// The answer to an order that was given up, or older than what is at hand.
    Late,
}

/// What the refresh machine makes of a need.
pub(super) enum Step {
    /// The answer is known.
    Settled(Supply),
    /// Wait for this order.
    Ordered(Order),
    /// Wait for the order that is open.
    Joined,
    /// Wait until there is a place to ask from.
    Queued,
}

impl Slot {
    /// A slot that goes on where the store is: with keys that were restored, or that another thread has fetched.
    pub(super) fn new(
        issuer: &TrustedIssuer,
        remote: RemoteKeys,
        refresh: Refresh,
        number: u64,
        now: Timestamp,
    ) -> Self {
        let mut slot = Self {
            issuer: issuer.rules.issuer.clone(),
            remote,
            refresh,
            asked: now,
            number,
            is_resolved: false,
            is_held_back: false,
            store: Arc::clone(&issuer.keys),
            keys: KeySet::default(),
            document: Bytes::new(),
            validators: Vouched::default(),
            seen: None,
            word: Word::Own,
            lifetime: Duration::ZERO,
            found: None,
            metadata_from: Duration::ZERO,
            unread: None,
            doubtful: None,
            is_lost: false,
            is_in_vain: false,
            misses: 0,
            last_error: None,
            waiting: Vec::new(),
            state: KeyState::NeverLoaded,
        };
        let held = slot.store.read();
        if let Some((remote, age)) = held.remote().and_then(|remote| Some((remote, remote.published.age(now)?))) {
            slot.refresh.restored(now, age);
            slot.keys = held.keys.clone();
            slot.document = remote.document.clone();
            slot.state = slot.refresh.published(now).state(now);
        }
        drop(held);
        slot
    }

    pub(super) fn publish(&self, now: Timestamp) {
        self.store.publish(
            self.keys.clone(),
            Remote {
                published: self.refresh.published(now),
                document: self.document.clone(),
                last_error: self.last_error.clone().map(|error| -> Cause { error }),
            },
        );
    }

    /// What the keys were, if they are something else by now.
    pub(super) fn turned(&mut self, now: Timestamp) -> Option<(KeyState, KeyState)> {
        let state = self.refresh.state(now);
        let before = std::mem::replace(&mut self.state, state);
        (before != state).then_some((before, state))
    }

    pub(super) fn next_wake(&self, now: Timestamp) -> Option<Duration> {
        let deadlines = self.waiting.iter().map(|waiting| waiting.left(now)).min();
        let machine = if self.is_held_back { None } else { self.refresh.next_wake(now) };
        [deadlines, machine].into_iter().flatten().min()
    }

    pub(super) const fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Where to look for the keys: not where there were none, and by the metadata again once it is old, or a key was missing.
    /// A flood of unknown keys makes the metadata be read once in minutes: time, and who asks for it, does otherwise.
    pub(super) fn known(&self, order: Order, now: Timestamp) -> Known {
        let Some(found) = self.found.clone() else { return Known::Nothing(Forms::All(None)) };
        if self.is_metadata_barred(now) {
            return Known::Good(found);
        }
        if self.is_lost {
            return Known::Nothing(match found.form {
                Some(form) if self.misses < MISSES_ANYWHERE => Forms::Only(form),
                form => Forms::All(form),
            });
        }
        let age = now.since(found.at);
        let is_aged = age >= METADATA_AGE;
        // What could not be read is not tried by each token either.
        let is_untried = self.unread.map_or(age, |tried| age.min(now.since(tried))) >= METADATA_AGE_IN_DOUBT;
        let is_old = match order.cause {
            FetchCause::Timed | FetchCause::Asked => self.doubtful.is_some() || is_aged,
            // Each fetch that a token causes puts the timed one off, which would come never while tokens cause them all the time.
            FetchCause::UnknownKey => {
                let is_in_doubt = self.doubtful.is_some_and(|since| now.since(since) >= DOUBT);
                (is_aged || is_in_doubt) && is_untried
            }
            FetchCause::BadSignature => is_aged && is_untried,
            FetchCause::NoKeys => false,
        };
        if is_old { Known::Old(found) } else { Known::Good(found) }
    }

    /// What the key set is asked for: whether it has changed where time alone makes us ask, else all of it; and where something
    /// is to be proved, as the issuer has it and not as a cache does.
    pub(super) fn wanted(&self, order: Order, now: Timestamp) -> Wanted {
        let was_seen = self.seen.is_some_and(|seen| now.since(seen) < UNSEEN);
        match order.cause {
            FetchCause::Timed if was_seen => Wanted::Changes(self.validators.clone()),
            FetchCause::Timed | FetchCause::NoKeys => Wanted::Changes(Vouched::default()),
            FetchCause::UnknownKey | FetchCause::BadSignature | FetchCause::Asked => Wanted::Proof,
        }
    }

    /// Asks the refresh machine what to do about a need.
    pub(super) fn step(&mut self, need: &Need, places: &InFlight, now: Timestamp) -> Step {
        // Whoever joins an order that is open needs no place.
        let is_free = !self.refresh.is_fetching();
        let unknown = match need {
            Need::Keys { .. } | Need::Issuer { .. } | Need::Introspection { .. } | Need::Asking { .. } => {
                if self.refresh.usable(now) {
                    return Step::Settled(Supply::LookAgain);
                }
                let order = self.refresh.need_keys(now);
                return self.ordered_or_joined(order);
            }
            Need::Fresh { .. } if is_free && places.place_to_ask_anew(self) == Place::Taken => return Step::Queued,
            Need::Fresh { .. } => {
                let order = self.refresh.asked(now);
                return self.ordered_or_joined(order);
            }
            // Before the budget is asked, so that none of it is spent.
            Need::UnknownKey { .. } | Need::RenamedKey { .. } if is_free && places.place_for(self) == Place::Taken => {
                return Step::Settled(Supply::BudgetSpent);
            }
            Need::UnknownKey { kid, .. } => self.refresh.unknown_key(kid.as_deref(), now),
            Need::RenamedKey { .. } => self.refresh.bad_signature(now),
        };
        match unknown {
            Unknown::Fetch(order) => Step::Ordered(order),
            Unknown::InFlight => Step::Joined,
            Unknown::Absent => Step::Settled(Supply::Fetched),
            Unknown::NotYet => Step::Settled(self.not_now()),
        }
    }

    fn ordered_or_joined(&self, order: Option<Order>) -> Step {
        match order {
            Some(order) => Step::Ordered(order),
            None if self.refresh.is_fetching() => Step::Joined,
            None => Step::Settled(self.not_now()),
        }
    }

    /// The issuer is not asked again yet: because the last attempt failed, or because it was asked enough.
    fn not_now(&self) -> Supply {
        match &self.last_error {
            Some(error) => Supply::Unreachable(Arc::<FetchError>::clone(error)),
            None => Supply::BudgetSpent,
        }
    }

    pub(super) fn take_in(&mut self, order: Order, arrival: Arrival, now: Timestamp) -> News {
        if !self.refresh.is_open(order.id) {
            // Late news of an order that was given up. Keys may still be better than what is here, unless newer ones are on their
            // way already, which may turn out to be the word that what was here has not changed.
            return match arrival.outcome {
                Ok(Loaded::Keys(fresh)) if !self.refresh.is_fetching() => self.install(order, *fresh, now),
                Ok(Loaded::Keys(_) | Loaded::Unchanged { .. }) | Err(_) => News::Late,
            };
        }
        let was_read = arrival.found.is_some();
        if let Some(found) = arrival.found {
            if self.found.as_ref().is_none_or(|before| before.at != found.at) {
                (self.doubtful, self.is_in_vain) = (None, false);
            }
            self.found = Some(found);
        }
        let news = match arrival.outcome {
            Ok(Loaded::Keys(fresh)) => self.install(order, *fresh, now),
            Ok(Loaded::Unchanged { lifetime, word }) => {
                let lifetime = lifetime.unwrap_or(self.lifetime);
                match self.refresh.fetched(order, now, lifetime, Contents::Unchanged, word) {
                    Outcome::Renew => {
                        self.is_well(word);
                        News::Renewed
                    }
                    Outcome::Install | Outcome::Unconfirmed | Outcome::Late => News::Late,
                }
            }
            Err(error) => {
                let retry_after = if was_read || !self.lies_at_another_host() {
                    error.retry_after()
                } else {
                    // The metadata's host asks to be left alone, and the keys are not there: they are looked for where they lay.
                    self.metadata_failed(&error, now);
                    None
                };
                self.refresh.failed(order.id, now, retry_after);
                News::Failed(Arc::new(error))
            }
        };
        match &news {
            News::Replaced { .. } | News::Renewed => {
                if order.cause == FetchCause::UnknownKey && matches!(news, News::Renewed) {
                    self.doubtful.get_or_insert(now);
                }
            }
            News::Unconfirmed => {
                self.missed(was_read, Arc::new(FetchError::Unusable { problem: "the key set has no usable key" }), now);
            }
            News::Failed(error) => self.missed(was_read, Arc::clone(error), now),
            News::Late => {}
        }
        news
    }

    fn install(&mut self, order: Order, fresh: Fresh, now: Timestamp) -> News {
        let contents = if fresh.keys.keys().is_empty() { Contents::Empty } else { Contents::Usable };
        match self.refresh.fetched(order, now, fresh.lifetime, contents, fresh.word) {
            Outcome::Install | Outcome::Renew => {}
            Outcome::Unconfirmed => return News::Unconfirmed,
            Outcome::Late => return News::Late,
        }
        // No document is empty, so the first keys are others than none. Restored ones may be the very same.
        let is_same = self.document == fresh.document;
        self.document = fresh.document;
        self.validators = fresh.validators;
        self.lifetime = fresh.lifetime;
        self.seen = Some(order.at);
        self.is_well(fresh.word);
        if is_same {
            // The very keys: what was proved by them stays proved.
            return News::Renewed;
        }
        News::Replaced { before: std::mem::replace(&mut self.keys, fresh.keys) }
    }

    /// The issuer has answered, late or in time: whatever failed before is over.
    fn is_well(&mut self, word: Word) {
        self.word = word;
        (self.misses, self.is_lost, self.is_in_vain) = (0, false, false);
        self.last_error = None;
    }

    /// The keys may lie elsewhere by now, whatever the failure looks like: a host that was given up can be gone, or answer
    /// anything. The metadata is read again at the first miss, and then now and then: an outage must not be asked twice as
    /// often for being looked for elsewhere. Where the metadata is what fails, the keys may be where they were: each is tried
    /// in turn, and neither more often than one alone would be.
    fn missed(&mut self, was_read: bool, error: Arc<FetchError>, now: Timestamp) {
        self.is_in_vain |= !was_read;
        // What could not be looked for yet is still to be looked for.
        let is_put_off = self.is_lost && self.is_metadata_barred(now);
        self.is_lost = is_put_off || was_read && (self.is_in_vain || self.misses.is_multiple_of(MISSES));
        self.misses = self.misses.wrapping_add(1);
        self.last_error = Some(error);
    }

    /// The metadata was to be read again and could not be.
    pub(super) fn metadata_failed(&mut self, error: &FetchError, now: Timestamp) {
        let asked = error.retry_after().map_or(Duration::ZERO, as_long_as_is_sane);
        self.metadata_from = now.uptime().saturating_add(asked);
        self.unread = Some(now);
    }

    /// Whether the keys lay at another host than the metadata, which lies at the issuer's own (RFC 8414 s3). A port is another
    /// host too.
    fn lies_at_another_host(&self) -> bool {
        let own = self.issuer.as_str().parse::<http::Uri>().ok().and_then(|issuer| issuer.into_parts().authority);
        self.found.as_ref().is_some_and(|found| found.jwks_uri.uri().authority() != own.as_ref())
    }

    fn is_metadata_barred(&self, now: Timestamp) -> bool {
        now.uptime() < self.metadata_from
    }
}
