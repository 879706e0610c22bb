//! What issuers said of tokens, remembered for a while (RFC 7662 s4).
//!
//! 1. Facts lie here, never verdicts: what a route demands is asked each time, and so is the clock.
//! 2. An entry is found by every byte of the token, and by the very settings under which the issuer was asked.
//! 3. An entry is as old as the question that it answers, by whichever clock says longer.
//! 4. What the program has forgotten is gone when the call returns: from here, from answers that are on their way, and from
//!    answers that were handed to somebody who has not used them yet.
//! 5. Active tokens and all others lie apart, so that junk never makes a good token leave. Both are bounded, and nothing that a
//!    failure says is kept at all.
//! 6. What the program means by its tokens it is asked outside the lock, so that one that panics or has more forgotten harms nobody.
//!    Of answers that come it is asked on the driver's thread, where nobody is answered until it says something.
//! 7. Given up: a child that was forked off while another thread held a lock of these waits for it for ever. As with that of the
//!    resolved issuers, it is held for no longer than it takes to change a table.
//! 8. A newer answer takes the place of an older one at once: at no time is nothing known of a token, which would be 503 for a request
//!    that neither answer lets wait. So the newer one is there before the older one goes. It holds for one change within one look.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::cache::{Bounded, Bounds, Equivalent};
#[cfg(feature = "driver")]
use crate::claims::rules::MayLack;
use crate::claims::rules::Rules;
use crate::clock::Timestamp;
#[cfg(feature = "driver")]
use crate::introspection::response::Answer;
use crate::reason::Reason;
use crate::token::{AccessToken, SharedToken};

/// Tokens that are not active: they are kept for seconds, and are whatever strangers send.
const OTHERS: Bounds = Bounds { entries: 4096, bytes: 4 * 1024 * 1024 };
/// What an entry takes beside its token and the answer, with the counts of threads that use it at once.
const OVERHEAD: usize = 1_280;

/// A token's text. It is never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenText(Arc<[u8]>);

impl TokenText {
    pub(crate) fn new(octets: &[u8]) -> Self {
        Self(octets.into())
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// A table of tokens is asked by their octets.
impl Borrow<[u8]> for TokenText {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// What an issuer is asked: about which token, and what the token itself has proven.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) token: TokenText,
    /// What a signature holds for, where there is one: an answer need not repeat it.
    pub(crate) proven: Option<AccessToken>,
}

/// The same token has proven the same.
impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token
    }
}

impl Eq for Question {}

/// Whether a token that is in use is asked about before it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    No,
    Yes,
}

/// What the judge knows of an issuer that is asked about its tokens.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) asker: Asker,
    pub(crate) ahead: Ahead,
    /// The uptime, in milliseconds, until which it is not asked at all.
    barred_until: AtomicU64,
}

impl Standing {
    pub(crate) const fn new(asker: Asker, ahead: Ahead) -> Self {
        Self { asker, ahead, barred_until: AtomicU64::new(0) }
    }

    /// It is not asked for so long.
    pub(crate) fn bar(&self, left: Duration, now: Timestamp) {
        self.barred_until.store(millis(now.uptime().saturating_add(left)), Ordering::Relaxed);
    }

    /// How long it is not asked.
    pub(crate) fn barred(&self, now: Timestamp) -> Duration {
        Duration::from_millis(self.barred_until.load(Ordering::Relaxed)).saturating_sub(now.uptime())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whom was asked, under which settings: no two issuers of a validator have the same.
pub(crate) type Asker = u64;

#[derive(Clone, PartialEq, Eq)]
struct Key {
    asker: Asker,
    token: TokenText,
}

/// A key, borrowed.
struct About<'a> {
    asker: Asker,
    token: &'a [u8],
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        About { asker: self.asker, token: self.token.octets() }.hash(state);
    }
}

impl Hash for About<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asker.hash(state);
        self.token.hash(state);
    }
}

impl Equivalent<Key> for About<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.asker == key.asker && self.token == key.token.octets()
    }
}

/// What an issuer said of a token.
pub(crate) enum Fact {
    /// It is active, and nothing but its times stands against it.
    Active(SharedToken),
    /// It is not active, or says of itself what no access token for this program says.
    Bad(Reason),
}

#[cfg(feature = "driver")]
impl Fact {
    /// What an answer comes to under the rules of the issuer that gave it.
    pub(crate) fn of(answer: Answer, rules: &Rules, may_lack: MayLack) -> Self {
        let accepted = match answer {
            Answer::Inactive => Err(Reason::Inactive),
            Answer::Unreadable(reason) => Err(reason),
            Answer::Active(claims, token_type) => rules.accept_answer(*claims, token_type, may_lack),
        };
        match accepted {
            Ok(accepted) if may_lack.scope_claim => {
                Self::Active(SharedToken::new(AccessToken::beside(accepted, rules)))
            }
            Ok(accepted) => Self::Active(SharedToken::new(AccessToken::new(accepted, rules))),
            Err(reason) => Self::Bad(reason),
        }
    }
}

/// A fact, and how long it may be used.
pub(crate) struct Remembered {
    pub(crate) fact: Fact,
    /// What the token has proven of itself: the program may mean it by that too.
    proven: Option<AccessToken>,
    asker: Asker,
    /// When the question was asked.
    asked: Timestamp,
    life: Duration,
    /// How long after the question the token ends, by its own word at that time: a wall clock that is set back gives it no more.
    lasts: Option<Duration>,
    /// The program has forgotten it.
    is_void: AtomicBool,
    /// The uptime, in milliseconds, from which it may be asked about ahead; never where it is being.
    ahead_from: AtomicU64,
}

impl Remembered {
    /// Of a question that was asked then; to be used so long.
    pub(crate) fn new(fact: Fact, asker: Asker, asked: Timestamp, life: Duration, leeway: Duration) -> Self {
        let lasts = match &fact {
            Fact::Active(token) => token.get().stated().expires_at.map(|end| {
                let left = end.saturating_sub(asked.unix_millis());
                Duration::from_millis(u64::try_from(left).unwrap_or(0)).saturating_add(leeway)
            }),
            Fact::Bad(_) => None,
        };
        let (is_void, ahead_from) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { fact, proven: None, asker, asked, life, lasts, is_void, ahead_from }
    }

    /// The same of a token that has proven this of itself.
    pub(crate) fn beside(self, proven: Option<AccessToken>) -> Self {
        Self { proven, ..self }
    }

    /// The token, or why not, at this time.
    pub(crate) fn judge(&self, rules: &Rules, now: Timestamp) -> Result<&SharedToken, Reason> {
        match &self.fact {
            Fact::Bad(reason) => Err(*reason),
            Fact::Active(token) => {
                rules.is_current(token.get().stated(), now)?;
                let is_over = self.lasts.is_some_and(|lasts| now.since(self.asked) >= lasts);
                if is_over { Err(Reason::Expired) } else { Ok(token) }
            }
        }
    }

    /// Whether it answers to this asker's question still: not if the program has forgotten it, or has changed its settings since.
    pub(crate) fn is_good_for(&self, asker: Asker) -> bool {
        self.asker == asker && !self.is_void()
    }

    fn is_void(&self) -> bool {
        self.is_void.load(Ordering::Acquire)
    }

    fn void(&self) {
        self.is_void.store(true, Ordering::Release);
    }

    fn is_usable(&self, now: Timestamp) -> bool {
        !self.is_void() && now.since(self.asked) < self.life
    }

    /// Whether the program means it, by what the issuer says of it or by what it has proven of itself: an answer may leave out the
    /// very claim that the program looks at. What panics cannot say that it does not.
    fn is_meant_by(&self, meant: &dyn Fn(&AccessToken) -> bool) -> bool {
        let is_meant = |token: &AccessToken| catch_unwind(AssertUnwindSafe(|| meant(token))).unwrap_or(true);
        match &self.fact {
            Fact::Active(said) => is_meant(said.get()) || self.proven.as_ref().is_some_and(is_meant),
            Fact::Bad(_) => false,
        }
    }

    /// Whether it is active, in the last fifth of its life, and not being asked about yet: time to, if somebody still uses it. What is
    /// not remembered at all has no life to end.
    pub(crate) fn is_about_to_end(&self, now: Timestamp) -> bool {
        matches!(self.fact, Fact::Active(_))
            && !self.life.is_zero()
            && millis(now.uptime()) >= self.ahead_from.load(Ordering::Relaxed)
            && now.since(self.asked) >= self.life.saturating_sub(self.life.checked_div(5).unwrap_or_default())
    }

    /// It is being asked about again.
    pub(crate) fn renew(&self) {
        self.ahead_from.store(u64::MAX, Ordering::Relaxed);
    }

    /// The issuer is not asked just now: it is not tried for so long, however busy the token is.
    #[cfg(feature = "driver")]
    pub(crate) fn put_off(&self, left: Duration, now: Timestamp) {
        self.ahead_from.store(millis(now.uptime().saturating_add(left)), Ordering::Relaxed);
    }

    fn size(&self) -> usize {
        let length = |token: &AccessToken| token.stated().size();
        let said = match &self.fact {
            Fact::Active(token) => length(token.get()),
            Fact::Bad(_) => 0,
        };
        said.saturating_add(self.proven.as_ref().map_or(0, length))
    }
}

/// What the program means when it wants tokens forgotten.
pub(crate) type Meant = Arc<dyn Fn(&AccessToken) -> bool + Send + Sync>;

/// The memory of one validator.
pub(crate) struct Memory {
    active: Bounded<Key, Arc<Remembered>>,
    others: Bounded<Key, Arc<Remembered>>,
    open: Mutex<Open>,
}

/// What is not in the memory, and can be made void all the same.
#[derive(Default)]
struct Open {
    flights: HashMap<u64, Flight>,
    last: u64,
    /// Every answer that somebody holds, the memory among them.
    handed: HashMap<TokenText, Vec<Weak<Remembered>>>,
    /// At so many tokens those are left out whose answers nobody holds any more.
    swept_at: usize,
    /// The bytes of tokens that came since: those of the dead are not counted by the tables that let them go.
    unswept: usize,
}

/// So many bytes of tokens may come before the dead are swept out, however few they are.
const MOST_UNSWEPT: usize = 4 * 1024 * 1024;

/// A question that is not answered.
struct Flight {
    key: Key,
    is_void: bool,
    /// What was meant to be forgotten since it was asked.
    meant: Vec<Meant>,
}

/// More than these wait for one answer to come, and it is void altogether.
const MOST_MEANT: usize = 4096;

/// The number of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlightId(u64);

impl Memory {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let size = |key: &Key, remembered: &Arc<Remembered>| {
            key.token.octets().len().saturating_add(remembered.size()).saturating_add(OVERHEAD)
        };
        Self { active: Bounded::new(bounds, size), others: Bounded::new(OTHERS, size), open: Mutex::default() }
    }

    /// One that keeps nothing.
    pub(crate) fn nothing() -> Self {
        Self::new(Bounds { entries: 0, bytes: 0 })
    }

    /// What is read of what is known of a token.
    pub(crate) fn recall<R>(
        &self,
        asker: Asker,
        token: &[u8],
        now: Timestamp,
        read: impl Fn(&Arc<Remembered>) -> Option<R>,
    ) -> Option<R> {
        let about = About { asker, token };
        let read = |found: &Arc<Remembered>| if found.is_usable(now) { read(found) } else { None };
        let find = |memory: &Bounded<_, _>| memory.find(&about, read);
        // Invariant 8: it may have moved from the second to the first while the second was looked at.
        find(&self.active).or_else(|| find(&self.others)).or_else(|| find(&self.active))
    }

    /// A question begins.
    pub(crate) fn ask(&self, asker: Asker, token: TokenText) -> FlightId {
        let mut open = self.lock();
        open.last = open.last.wrapping_add(1);
        let id = open.last;
        open.flights.insert(id, Flight { key: Key { asker, token }, is_void: false, meant: Vec::new() });
        FlightId(id)
    }

    /// A question is given up.
    pub(crate) fn give_up(&self, flight: FlightId) {
        self.lock().flights.remove(&flight.0);
    }

    /// A question is answered. The answer is remembered and handed back, unless it is of what the program has forgotten meanwhile.
    pub(crate) fn answered(&self, flight: FlightId, remembered: Remembered) -> Option<Arc<Remembered>> {
        let mut open = self.lock();
        // Invariant 4. More may be meant while the program is asked, so the question stays open until there is nothing left to ask.
        loop {
            let meant = std::mem::take(&mut open.flights.get_mut(&flight.0)?.meant);
            if meant.is_empty() {
                break;
            }
            // Invariant 6.
            drop(open);
            let is_meant = meant.iter().any(|meant| remembered.is_meant_by(&**meant));
            open = self.lock();
            open.flights.get_mut(&flight.0)?.is_void |= is_meant;
        }
        let flight = open.flights.remove(&flight.0).filter(|flight| !flight.is_void)?;
        let remembered = Arc::new(remembered);
        let (here, there) = match remembered.fact {
            Fact::Active(_) => (&self.active, &self.others),
            Fact::Bad(_) => (&self.others, &self.active),
        };
        // Invariant 8.
        if !remembered.life.is_zero() {
            here.insert(flight.key.clone(), Arc::clone(&remembered));
        }
        there.remove(&About { asker: flight.key.asker, token: flight.key.token.octets() });
        open.hand(flight.key.token, &remembered);
        Some(remembered)
    }

    /// Forgets a token, whoever was asked about it.
    pub(crate) fn forget(&self, token: &[u8]) {
        let mut open = self.lock();
        for flight in open.flights.values_mut().filter(|flight| flight.key.token.octets() == token) {
            flight.is_void = true;
        }
        open.handed.get(token).into_iter().flatten().filter_map(Weak::upgrade).for_each(|held| held.void());
    }

    /// Forgets each active token that is meant.
    pub(crate) fn forget_where(&self, meant: &Meant) {
        let mut open = self.lock();
        for flight in open.flights.values_mut() {
            flight.is_void |= flight.meant.len() >= MOST_MEANT;
            if !flight.is_void {
                flight.meant.push(Arc::clone(meant));
            }
        }
        let held: Vec<_> = open.handed.values().flatten().filter_map(Weak::upgrade).collect();
        // Invariant 6.
        drop(open);
        held.iter().filter(|held| held.is_meant_by(&**meant)).for_each(|held| held.void());
    }

    /// Writers come one at a time, so that what is forgotten is not put back behind their backs.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn hand(&mut self, token: TokenText, remembered: &Arc<Remembered>) {
        let is_held = |held: &Weak<Remembered>| held.strong_count() > 0;
        if self.handed.len() >= self.swept_at || self.unswept >= MOST_UNSWEPT {
            self.handed.retain(|_, answers| answers.iter().any(is_held));
            self.swept_at = self.handed.len().saturating_mul(2).max(64);
            self.unswept = 0;
        }
        self.unswept = self.unswept.saturating_add(token.octets().len());
        let answers = self.handed.entry(token).or_default();
        answers.retain(is_held);
        answers.push(Arc::downgrade(remembered));
    }
}

#[cfg(test)]
#[cfg(feature = "driver")]
#[path = "memory/tests.rs"]
mod tests;
