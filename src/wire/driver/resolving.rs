//! Issuers that the resolver is being asked about, and who waits for its word.
//!
//! 1. It is asked about a name by one at a time, and by at most so many names at a time.
//! 2. It has a budget: 64 questions at once, and 20 a second after that. Junk that spends it delays newcomers alone: whoever is
//!    in the table is judged without it.
//! 3. A question of which nothing is heard for 5 s is answered with a failure; the resolver may go on.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::config_error::ConfigError;
use crate::decision::Supply;
use crate::issuer::{Defaults, Issuer};
use crate::issuer_id::IssuerId;
use crate::keys::store::Cause;
use crate::tenants::{Admission, Directory, Tenants};
use crate::wire::driver::unreachable;
use crate::wire::fetch::FetchError;

/// The resolver's answer, or its panic.
pub(super) type Resolved = Result<Option<Issuer>, Cause>;

/// Questions at a time.
const AT_A_TIME: usize = 64;
/// Questions at once, before the budget is spent.
const BURST: u32 = 64;
/// How long it takes to earn one more.
const EARNED: Duration = Duration::from_millis(50);
const WAIT_FOR_RESOLVER: Duration = Duration::from_secs(5);
/// How many may wait for one name.
const MOST_WAITING: usize = 65_536;

#[derive(Default)]
pub(super) struct Resolving {
    asked: HashMap<Box<str>, Asked>,
    /// The uptime at which the budget is whole again.
    whole_at: Duration,
}

struct Asked {
    since: Timestamp,
    waiting: Vec<oneshot::Sender<Supply>>,
    /// Whoever waited was told that it takes too long; the resolver is at it still.
    is_late: bool,
}

impl Resolving {
    /// Takes down who waits; says whether the resolver is to be asked.
    pub(super) fn ask(&mut self, name: &str, reply: Option<oneshot::Sender<Supply>>, now: Timestamp) -> bool {
        if let Some(asked) = self.asked.get_mut(name) {
            if asked.is_late || asked.waiting.len() >= MOST_WAITING {
                answer(reply, unreachable("the resolver has not answered yet"));
            } else {
                asked.waiting.extend(reply);
            }
            return false;
        }
        let owed = EARNED.saturating_mul(BURST.saturating_sub(1));
        if self.asked.len() >= AT_A_TIME || now.uptime() < self.whole_at.saturating_sub(owed) {
            answer(reply, Supply::BudgetSpent);
            return false;
        }
        self.whole_at = self.whole_at.max(now.uptime()).saturating_add(EARNED);
        self.asked.insert(name.into(), Asked { since: now, waiting: reply.into_iter().collect(), is_late: false });
        true
    }

    /// Tells everybody what became of a name.
    pub(super) fn settle(&mut self, name: &str, supply: &Supply) {
        for reply in self.asked.remove(name).into_iter().flat_map(|asked| asked.waiting) {
            let _ = reply.send(supply.clone());
        }
    }

    /// Says how long until somebody has waited long enough.
    pub(super) fn answer_the_late(&mut self, now: Timestamp) -> Option<Duration> {
        let mut nap = None;
        for asked in self.asked.values_mut().filter(|asked| !asked.is_late) {
            let waited = now.uptime().saturating_sub(asked.since.uptime());
            let left = WAIT_FOR_RESOLVER.saturating_sub(waited);
            if left.is_zero() {
                asked.is_late = true;
                for reply in asked.waiting.drain(..) {
                    answer(Some(reply), unreachable("the resolver did not answer within 5 s"));
                }
            } else {
                nap = Some(left.min(nap.unwrap_or(left)));
            }
        }
        nap
    }
}

fn answer(reply: Option<oneshot::Sender<Supply>>, supply: Supply) {
    if let Some(reply) = reply {
        let _ = reply.send(supply);
    }
}

/// What the resolver's answer comes to.
pub(super) enum Word {
    Admitted { evicted: Option<IssuerId> },
    Refused,
    Failed(Cause),
}

/// Believes the resolver's answer, unless it is not an answer to what was asked.
pub(super) fn judge(
    name: &str,
    answer: Resolved,
    tenants: &Tenants,
    directory: &Directory,
    defaults: &Defaults,
    now: Timestamp,
) -> Word {
    let built = match answer {
        Ok(Some(issuer)) => issuer.resolved(tenants.private_addresses).build(defaults),
        Ok(None) => {
            directory.refuse(name, now);
            return Word::Refused;
        }
        Err(panic) => return Word::Failed(panic),
    };
    let issuer = match built {
        Ok(issuer) if issuer.rules.issuer.as_str() == name => issuer,
        // Otherwise a tenant's token would be judged by another's keys and rules.
        Ok(_) => {
            let problem = "the resolver answered with another issuer than it was asked about";
            return refuse_for(directory, name, ConfigError::Missing { setting: "trust_each", problem }, now);
        }
        Err(error) => return refuse_for(directory, name, error, now),
    };
    match directory.admit(issuer, now) {
        Admission::Admitted => Word::Admitted { evicted: None },
        Admission::InPlaceOf(evicted) => Word::Admitted { evicted: Some(evicted) },
        Admission::NoRoom => {
            Word::Failed(std::sync::Arc::new(FetchError::other("as many issuers are in use as may be at a time")))
        }
    }
}

/// The program's mistake, which asking again would only repeat.
fn refuse_for(directory: &Directory, name: &str, error: ConfigError, now: Timestamp) -> Word {
    directory.refuse(name, now);
    Word::Failed(std::sync::Arc::new(error))
}
