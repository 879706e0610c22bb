//! Issuers that are not known when the program starts: a resolver is asked about each, and its word is remembered.
//!
//! 1. The judge reads a table and never asks. The driver asks, and is the only one that writes to the table.
//! 2. The table is bounded: so many issuers, so many refusals, and names so long.
//! 3. An issuer whose tokens were accepted within the last minute is never made to leave. Where all are such, a newcomer is
//!    turned away with 503 instead.
//! 4. What a token says of itself decides nothing but which name the resolver is asked about.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use crate::clock::Timestamp;
use crate::endpoint::PrivateAddresses;
use crate::issuer::{Issuer, TrustedIssuer};
use crate::issuer_id::IssuerId;

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
/// It is asked on a thread of its own, never while a request is judged; once for each issuer, and again for a refused one
/// after 60 s. It may take its time, and look into a database. Only the issuers that it names are ever asked for anything, at
/// the addresses in its answer, and none of these may be a private one (see
/// [`allow_private_addresses`](DangerousTenants::allow_private_addresses)).
///
/// ```
/// use scopegate::{Issuer, Tenants, Validator};
/// let tenants = Tenants::at_most(500, |issuer| {
///     let tenant = issuer.strip_prefix("https://id.example.com/tenants/")?;
///     tenant.bytes().all(|byte| byte.is_ascii_digit()).then(|| Issuer::discover(issuer))
/// });
/// let validator = Validator::builder("https://api.example.com").trust_each(tenants).build()?;
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Tenants {
    pub(crate) most: usize,
    pub(crate) resolve: Resolve,
    pub(crate) private_addresses: PrivateAddresses,
}

/// The program's word on an issuer.
pub(crate) type Resolve = Arc<dyn Fn(&str) -> Option<Issuer> + Send + Sync>;

impl Tenants {
    /// At most so many issuers at a time, from 1 to 100,000.
    ///
    /// Where there is no room, the issuer leaves whose tokens were accepted the longest ago, and is resolved anew when it is
    /// needed. Choose as many as are busy in the same minute: a service whose issuers are all busy turns newcomers away.
    #[must_use]
    pub fn at_most(most: usize, resolve: impl Fn(&str) -> Option<Issuer> + Send + Sync + 'static) -> Self {
        Self { most, resolve: Arc::new(resolve), private_addresses: PrivateAddresses::Refused }
    }

    /// What widens what is accepted, each by its name.
    #[must_use]
    pub const fn dangerous(self) -> DangerousTenants {
        DangerousTenants(self)
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("most", &self.most).finish_non_exhaustive()
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
}

/// The table as it is while a token is judged.
#[derive(Clone, Default)]
pub(crate) struct Table {
    issuers: HashMap<IssuerId, Arc<Tenant>>,
    refused: HashMap<IssuerId, Timestamp>,
}

struct Tenant {
    issuer: TrustedIssuer,
    /// The uptime at which it was resolved, in seconds.
    since: u64,
    /// The uptime at which a token of it was last accepted, in seconds and one more; 0 if none ever was.
    accepted: AtomicU64,
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
    /// Another one had to leave.
    InPlaceOf(IssuerId),
    /// All that are there are busy.
    NoRoom,
}

impl Directory {
    pub(crate) fn new(most: usize) -> Self {
        Self { table: ArcSwap::default(), most }
    }

    pub(crate) fn read(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Whether the resolver is to be asked.
    pub(crate) fn is_unknown(&self, name: &str, now: Timestamp) -> bool {
        matches!(self.read().find(name, now), Entry::Unknown)
    }

    /// Notes that a token of this issuer was accepted: whoever is busy is not made to leave.
    pub(crate) fn note_accepted(&self, issuer: &IssuerId, now: Timestamp) {
        if let Some(tenant) = self.read().issuers.get(issuer) {
            let second = now.uptime().as_secs().saturating_add(1);
            // Written once a second at most, so that many threads do not fight for it.
            if tenant.accepted.load(Ordering::Relaxed) != second {
                tenant.accepted.store(second, Ordering::Relaxed);
            }
        }
    }

    /// Puts an issuer into the table. Only the driver does.
    pub(crate) fn admit(&self, issuer: TrustedIssuer, now: Timestamp) -> Admission {
        let mut table = Table::clone(&self.read());
        let name = issuer.rules.issuer.clone();
        let mut admission = Admission::Admitted;
        if table.issuers.len() >= self.most && !table.issuers.contains_key(&name) {
            let Some(leaving) = table.idlest(now) else { return Admission::NoRoom };
            table.issuers.remove(&leaving);
            admission = Admission::InPlaceOf(leaving);
        }
        let tenant = Tenant { issuer, since: now.uptime().as_secs(), accepted: AtomicU64::new(0) };
        table.refused.remove(&name);
        table.issuers.insert(name, Arc::new(tenant));
        self.table.store(Arc::new(table));
        admission
    }

    /// Remembers that an issuer is not trusted. Only the driver does.
    pub(crate) fn refuse(&self, name: &str, now: Timestamp) {
        let mut table = Table::clone(&self.read());
        table.refused.retain(|_, since| now.since(*since) < REFUSED_FOR);
        if table.refused.len() >= REFUSALS {
            let oldest = table.refused.iter().min_by_key(|(_, since)| since.uptime()).map(|(name, _)| name.clone());
            oldest.map(|oldest| table.refused.remove(&oldest));
        }
        table.refused.insert(IssuerId::new(name), now);
        self.table.store(Arc::new(table));
    }
}

impl Table {
    pub(crate) fn find(&self, name: &str, now: Timestamp) -> Entry<'_> {
        match self.issuers.get(name) {
            Some(tenant) => Entry::Trusted(&tenant.issuer),
            None if name.len() > LONGEST_NAME => Entry::Refused,
            None if self.refused.get(name).is_some_and(|since| now.since(*since) < REFUSED_FOR) => Entry::Refused,
            None => Entry::Unknown,
        }
    }

    /// The issuer of this name, if it is trusted.
    pub(crate) fn get(&self, name: &str) -> Option<&TrustedIssuer> {
        self.issuers.get(name).map(|tenant| &tenant.issuer)
    }

    /// All issuers, by name.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &TrustedIssuer> {
        let mut issuers: Vec<_> = self.issuers.values().map(|tenant| &tenant.issuer).collect();
        issuers.sort_by(|one, other| one.rules.issuer.cmp(&other.rules.issuer));
        issuers.into_iter()
    }

    /// Their names.
    pub(crate) fn clone_names(&self) -> Vec<IssuerId> {
        self.issuers().map(|issuer| issuer.rules.issuer.clone()).collect()
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
