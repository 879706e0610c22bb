//! Issuers that are not known when the program starts: a resolver is asked about each, and its word is remembered.
//!
//! 1. The judge reads a table and never asks. The driver asks.
//! 2. The table is bounded: so many issuers, so many refusals, and names so long.
//! 3. An issuer whose tokens were accepted within the last minute is never made to leave for another. Where all are such, a
//!    newcomer is turned away with 503 instead.
//! 4. What a token says of itself decides nothing but which name the resolver is asked about.
//! 5. The resolver's word grows old: it is asked again after a while, and a word that could not be renewed counts no longer
//!    after twelve times that.
//! 6. An answer to a question that was asked before the program took back its word on that name is not believed. What is asked
//!    about others is not touched.
//! 7. Keys stay where they are only as long as the resolver names the same place for them.
//! 8. An issuer that is asked about tokens keeps what it said, and what is on its way, only as long as the resolver names the same
//!    settings for it.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
#[cfg(feature = "driver")]
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use crate::clock::Timestamp;
use crate::config_error::ConfigError;
use crate::endpoint::PrivateAddresses;
use crate::issuer::{Issuer, TrustedIssuer};
use crate::issuer_id::IssuerId;
use crate::reason::Cause;

const TENANTS: std::ops::RangeInclusive<usize> = 1..=10_000;
const AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(2 * 60 * 60);
const DEFAULT_AGAIN: Duration = Duration::from_secs(5 * 60);
/// How many times as long the resolver's word counts where it cannot be renewed.
const UNRENEWED: u32 = 12;
/// The longest name that a resolver is asked about, in bytes.
const LONGEST_NAME: usize = 2048;
/// How long a refusal is remembered.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// How many refusals are remembered.
const REFUSALS: usize = 1024;
/// How long after its last accepted token an issuer stays, whoever else comes.
const BUSY_FOR: Duration = Duration::from_secs(60);
/// How long an issuer has to show a good token before it may be made to leave.
const TRIED_FOR: Duration = Duration::from_secs(10);

/// Issuers that a resolver names, one by one, as their tokens arrive: for a service of many tenants.
///
/// The resolver is given the issuer identifier that a token claims, and answers how that issuer is trusted, or that it is not.
/// It is asked on a thread of its own, never while a request is judged: once for each issuer, and again after
/// [a while](Self::resolve_again_after), or after 60 s where it refused. It may take its time, and look into a database, but it
/// must come back: 64 questions to which no answer ever comes shut out all newcomers.
///
/// The identifier is a stranger's text, up to 2,048 bytes of anything: compare it, and do not build a query or an address of it.
/// Whoever can name issuers that the resolver accepts can have each of them asked for its keys. Only the issuers that it names
/// are ever asked for anything, at the addresses in its answer, and none of these may be a private one (see
/// [`allow_private_addresses`](DangerousTenants::allow_private_addresses)).
///
/// ```
/// use std::collections::HashSet;
/// use scopegate::{Issuer, Tenants, Validator};
/// let known = HashSet::from(["https://id.example.com/tenants/1".to_owned(), "https://login.example.net".to_owned()]);
/// let tenants = Tenants::at_most(500, move |issuer| known.contains(issuer).then(|| Issuer::discover(issuer)));
/// let validator = Validator::builder("https://api.example.com").trust_each(tenants).build()?;
///
/// let nobody = Tenants::at_most(0, |_| None);
/// assert!(Validator::builder("https://api.example.com").trust_each(nobody).build().is_err());
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Tenants {
    most: usize,
    again_after: Duration,
    pub(crate) resolve: Resolve,
    pub(crate) private_addresses: PrivateAddresses,
}

/// The program's word on an issuer.
pub(crate) type Resolve = Arc<dyn Fn(&str) -> Result<Option<Issuer>, Cause> + Send + Sync>;

impl Tenants {
    /// At most so many issuers at a time, from 1 to 10,000. `None` is a refusal: tokens of that issuer are answered with 401.
    ///
    /// Where there is no room, the issuer leaves whose tokens were accepted the longest ago, and is resolved anew when it is
    /// needed. One whose tokens were accepted within the last minute never leaves. Choose as many as there are tenants, where
    /// you can: then nobody has to leave, whatever strangers send. An issuer takes some kilobytes.
    #[must_use]
    pub fn at_most(most: usize, resolve: impl Fn(&str) -> Option<Issuer> + Send + Sync + 'static) -> Self {
        Self::of(most, Arc::new(move |issuer| Ok(resolve(issuer))))
    }

    /// The same with a resolver that may fail, such as one that asks a database. A failure is nobody's refusal: tokens of an
    /// issuer that is not known yet are answered with 503, and one that is known stays for a while. A panic counts as a failure.
    ///
    /// ```
    /// use scopegate::{Issuer, Tenants, Validator};
    /// fn row(issuer: &str) -> Result<Option<String>, std::io::Error> {
    ///     // the look into your database
    /// #   Ok((issuer == "https://login.example.net").then(|| issuer.to_owned()))
    /// }
    /// let tenants = Tenants::try_at_most(500, |issuer| Ok::<_, std::io::Error>(row(issuer)?.map(Issuer::discover)));
    /// let validator = Validator::builder("https://api.example.com").trust_each(tenants).build()?;
    /// # Ok::<(), scopegate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn try_at_most<E: Into<Box<dyn Error + Send + Sync>>>(
        most: usize,
        resolve: impl Fn(&str) -> Result<Option<Issuer>, E> + Send + Sync + 'static,
    ) -> Self {
        Self::of(most, Arc::new(move |issuer| resolve(issuer).map_err(|error| Cause::from(error.into()))))
    }

    fn of(most: usize, resolve: Resolve) -> Self {
        Self { most, again_after: DEFAULT_AGAIN, resolve, private_addresses: PrivateAddresses::Refused }
    }

    /// How long the resolver's word counts before it is asked again: 5 min by default, from 10 s to 2 h.
    ///
    /// A tenant that was deleted is then refused, at most so long after it was. It happens in the background: nobody waits for
    /// it, and an issuer whose settings are the same keeps its keys, and its answers about tokens. A callback for a secret is the same if
    /// it is a clone of one [`ClientSecret`](crate::ClientSecret), made once. While the resolver fails, its last word counts twelve
    /// times as long, an hour by default; then tokens of the issuer are answered with 503.
    /// [`Validator::forget_issuer`](crate::Validator::forget_issuer) does not wait.
    #[must_use]
    pub const fn resolve_again_after(mut self, age: Duration) -> Self {
        self.again_after = age;
        self
    }

    /// Refuses settings that cannot be kept.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !TENANTS.contains(&self.most) {
            return Err(ConfigError::invalid("trust_each", self.most.to_string(), "not between 1 and 10,000 issuers"));
        }
        if !AGAIN.contains(&self.again_after) {
            let problem = "not between 10 seconds and 2 hours";
            return Err(ConfigError::invalid("resolve_again_after", format!("{:?}", self.again_after), problem));
        }
        Ok(())
    }

    /// What widens what is accepted, each by its name.
    #[must_use]
    pub const fn dangerous(self) -> DangerousTenants {
        DangerousTenants(self)
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Tenants");
        debug.field("most", &self.most).field("again_after", &self.again_after).finish_non_exhaustive()
    }
}

/// Settings of resolved issuers that accept what is otherwise refused.
#[derive(Debug)]
pub struct DangerousTenants(Tenants);

impl DangerousTenants {
    /// Lets resolved issuers lie at loopback, private and link-local addresses. A tenant who chooses his own issuer can then make
    /// this program send requests into the network that it runs in.
    #[must_use]
    pub fn allow_private_addresses(mut self) -> Tenants {
        self.0.private_addresses = PrivateAddresses::Allowed;
        self.0
    }
}

/// The issuers that a resolver has named.
pub(crate) struct Directory {
    table: ArcSwap<Table>,
    most: usize,
    /// Held by whoever writes.
    open: Mutex<Open>,
}

/// The questions whose answers would be believed: one for each name, the last that was asked. Whoever takes the word back on a
/// name closes its question and no other. There are as many as the driver has on the way, and a name stays no longer than that.
#[derive(Default)]
struct Open {
    last: u64,
    #[cfg(feature = "driver")]
    questions: HashMap<Box<str>, u64>,
}

/// The table as it is while a token is judged. Each half is copied when it is changed, and only then.
#[derive(Clone)]
pub(crate) struct Table {
    issuers: Arc<HashMap<IssuerId, Tenant>>,
    refused: Arc<HashMap<IssuerId, Timestamp>>,
    again_after: Duration,
}

#[derive(Clone)]
struct Tenant {
    issuer: Arc<TrustedIssuer>,
    /// When the question was asked of which this is the answer.
    asked: Timestamp,
    /// The uptime at which it was first admitted, in seconds.
    since: u64,
    /// The uptime at which a token of it was last accepted, in seconds and one more; 0 if none ever was.
    accepted: Arc<AtomicU64>,
}

/// What the resolver was asked, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    number: u64,
    at: Timestamp,
}

/// What the table says of a name.
pub(crate) enum Entry<'t> {
    Trusted(&'t TrustedIssuer),
    Refused,
    Unknown,
}

/// What became of an issuer that was to be put into the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// It was there, and its keys lie where they lay.
    Renewed,
    /// Another one had to leave.
    InPlaceOf(IssuerId),
    /// All that are there are busy.
    NoRoom,
}

/// The program took its word back after the question was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outdated;

impl Directory {
    pub(crate) fn new(tenants: &Tenants) -> Self {
        let table = Table { issuers: Arc::default(), refused: Arc::default(), again_after: tenants.again_after };
        Self { table: ArcSwap::from_pointee(table), most: tenants.most, open: Mutex::default() }
    }

    pub(crate) fn read(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Notes that a token of this issuer was accepted: whoever is busy is not made to leave.
    pub(crate) fn note_accepted(&self, issuer: &IssuerId, now: Timestamp) {
        if let Some(tenant) = self.read().issuers.get(issuer) {
            let second = now.uptime().as_secs().saturating_add(1);
            // Written once a second at most, so that many threads do not fight for it.
            if tenant.accepted.load(Ordering::Relaxed) < second {
                tenant.accepted.store(second, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(feature = "driver")]
impl Directory {
    /// Whether the resolver is to be asked.
    pub(crate) fn is_unknown(&self, name: &str, now: Timestamp) -> bool {
        matches!(self.read().find(name, now), Entry::Unknown)
    }

    /// To be kept until the resolver has answered.
    pub(crate) fn question(&self, name: &str, now: Timestamp) -> Question {
        let mut open = self.lock();
        open.last = open.last.wrapping_add(1);
        let number = open.last;
        open.questions.insert(name.into(), number);
        Question { number, at: now }
    }

    /// The resolver could not say, or nobody wants to know any more.
    pub(crate) fn close(&self, name: &str, question: Question) -> Result<(), Outdated> {
        self.lock().close(name, question)
    }

    /// Whoever asked is gone, and hears no answer.
    pub(crate) fn close_all(&self) {
        self.lock().questions.clear();
    }

    /// Puts an issuer into the table, or its new settings in the place of the old.
    pub(crate) fn admit(
        &self,
        mut issuer: TrustedIssuer,
        question: Question,
        now: Timestamp,
    ) -> Result<Admission, Outdated> {
        let name = issuer.rules.issuer.clone();
        let mut open = self.lock();
        open.close(name.as_str(), question)?;
        let mut table = Table::clone(&self.read());
        let mut admission = Admission::Admitted;
        let (mut since, mut accepted) = (now.uptime().as_secs(), Arc::default());
        if let Some(known) = table.issuers.get(&name) {
            (since, accepted) = (known.since, Arc::clone(&known.accepted));
            // Invariant 7.
            if known.issuer.remote == issuer.remote {
                admission = Admission::Renewed;
                if issuer.remote.is_some() {
                    issuer.keys = Arc::clone(&known.issuer.keys);
                }
                // Invariant 8.
                go_on(&mut issuer, &known.issuer);
            }
        } else if table.issuers.len() >= self.most {
            let Some(leaving) = table.idlest(now) else { return Ok(Admission::NoRoom) };
            admission = Admission::InPlaceOf(leaving);
        }
        if table.refused.contains_key(&name) {
            Arc::make_mut(&mut table.refused).remove(&name);
        }
        let issuers = Arc::make_mut(&mut table.issuers);
        if let Admission::InPlaceOf(leaving) = &admission {
            issuers.remove(leaving);
        }
        issuers.insert(name, Tenant { issuer: Arc::new(issuer), asked: question.at, since, accepted });
        self.table.store(Arc::new(table));
        Ok(admission)
    }

    /// Remembers that an issuer is not trusted. Says whether it was until now.
    pub(crate) fn refuse(&self, name: &str, question: Question, now: Timestamp) -> Result<Option<IssuerId>, Outdated> {
        let mut open = self.lock();
        open.close(name, question)?;
        let mut table = Table::clone(&self.read());
        let removed = table.remove(name);
        let refused = Arc::make_mut(&mut table.refused);
        refused.retain(|_, since| now.since(*since) < REFUSED_FOR);
        if refused.len() >= REFUSALS {
            let oldest = refused.iter().min_by_key(|(_, since)| since.uptime()).map(|(name, _)| name.clone());
            oldest.map(|oldest| refused.remove(&oldest));
        }
        refused.insert(IssuerId::new(name), now);
        self.table.store(Arc::new(table));
        Ok(removed)
    }

    /// Takes back what was said of an issuer, and what is being said. The next token of it has the resolver asked.
    pub(crate) fn forget(&self, name: &str) -> Option<IssuerId> {
        let mut open = self.lock();
        open.questions.remove(name);
        let mut table = Table::clone(&self.read());
        let removed = table.remove(name);
        if table.refused.contains_key(name) {
            Arc::make_mut(&mut table.refused).remove(name);
        }
        self.table.store(Arc::new(table));
        removed
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "driver")]
impl Open {
    /// Invariant 6.
    fn close(&mut self, name: &str, question: Question) -> Result<(), Outdated> {
        if self.questions.get(name) != Some(&question.number) {
            return Err(Outdated);
        }
        self.questions.remove(name);
        Ok(())
    }
}

/// An issuer whose tokens are judged as they were goes on under the number that it had, and one that is asked about them as it was under
/// the standing that it had: what was proven and what it said counts on.
#[cfg(feature = "driver")]
fn go_on(issuer: &mut TrustedIssuer, known: &TrustedIssuer) {
    if (issuer.judged_by, issuer.algorithms, &issuer.rules) == (known.judged_by, known.algorithms, &known.rules) {
        issuer.number = known.number;
    }
    let (Some(old), Some(new)) = (&known.standing, &issuer.standing) else { return };
    let (Some(was_asked), Some(is_asked)) = (&known.asked, &issuer.asked) else { return };
    let is_same = issuer.judged_by == known.judged_by
        && issuer.rules == known.rules
        && old.ahead == new.ahead
        && is_asked.is_same_as(was_asked)
        // By other keys a signed answer may not have been believed.
        && (!is_asked.is_signed || Arc::ptr_eq(&issuer.keys, &known.keys));
    if is_same {
        (issuer.standing, issuer.asked) = (known.standing.clone(), known.asked.clone());
    }
}

impl Table {
    pub(crate) fn find(&self, name: &str, now: Timestamp) -> Entry<'_> {
        match self.issuers.get(name) {
            // Invariant 5.
            Some(tenant) if now.since(tenant.asked) < self.again_after.saturating_mul(UNRENEWED) => {
                Entry::Trusted(&tenant.issuer)
            }
            Some(_) => Entry::Unknown,
            None if name.len() > LONGEST_NAME => Entry::Refused,
            None if self.refused.get(name).is_some_and(|since| now.since(*since) < REFUSED_FOR) => Entry::Refused,
            None => Entry::Unknown,
        }
    }

    /// All issuers, by name.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &TrustedIssuer> {
        let mut issuers: Vec<_> = self.issuers.values().map(|tenant| &*tenant.issuer).collect();
        issuers.sort_by(|one, other| one.rules.issuer.cmp(&other.rules.issuer));
        issuers.into_iter()
    }
}

#[cfg(feature = "driver")]
impl Table {
    /// The issuer of this name, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&TrustedIssuer> {
        self.issuers.get(name).map(|tenant| &*tenant.issuer)
    }

    /// The names of those whose keys are fetched.
    pub(crate) fn fetched_names(&self) -> Vec<IssuerId> {
        let fetched = self.issuers().filter(|issuer| issuer.remote.is_some());
        fetched.map(|issuer| issuer.rules.issuer.clone()).collect()
    }

    /// Every name, and how long until the resolver is to be asked about it again.
    pub(crate) fn until_asked_again(&self, now: Timestamp) -> impl Iterator<Item = (&str, Duration)> {
        let left = move |tenant: &Tenant| self.again_after.saturating_sub(now.since(tenant.asked));
        self.issuers.iter().map(move |(name, tenant)| (name.as_str(), left(tenant)))
    }

    fn remove(&mut self, name: &str) -> Option<IssuerId> {
        if !self.issuers.contains_key(name) {
            return None;
        }
        Arc::make_mut(&mut self.issuers).remove_entry(name).map(|(name, _)| name)
    }

    /// Who may leave, and was of use the longest ago: those that never were come first.
    fn idlest(&self, now: Timestamp) -> Option<IssuerId> {
        let now = now.uptime().as_secs();
        let may_leave = |tenant: &Tenant| match tenant.accepted.load(Ordering::Relaxed) {
            0 => now.saturating_sub(tenant.since) >= TRIED_FOR.as_secs(),
            accepted => now.saturating_sub(accepted.saturating_sub(1)) >= BUSY_FOR.as_secs(),
        };
        let idle = self.issuers.iter().filter(|(_, tenant)| may_leave(tenant));
        let idlest = idle.min_by_key(|(_, tenant)| (tenant.accepted.load(Ordering::Relaxed), tenant.since));
        idlest.map(|(name, _)| name.clone())
    }
}
