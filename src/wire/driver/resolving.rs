//! Issuers that the resolver is being asked about, and who waits for its word.
//!
//! 1. It is asked about a name by one at a time, and about at most so many names at a time.
//! 2. For newcomers it has a budget: 64 questions at once, and 20 a second after that. Junk that spends it delays newcomers
//!    alone: whoever is in the table is judged without it, and is asked about again without it. Newcomers whose keys were saved
//!    by an earlier run do not spend it, since what is known of them bounds them, and are so many at a time.
//! 3. A question of which nothing is heard for 5 s is answered with a failure; the resolver may go on.
//! 4. A name for which it failed is left alone for a while, so that one broken issuer does not spend what is there for all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::config_error::ConfigError;
use crate::decision::Supply;
use crate::issuer::{Defaults, Issuer};
use crate::issuer_id::IssuerId;
use crate::keys::refresh::LONGEST_NAP;
use crate::observe::Event;
use crate::reason::Cause;
use crate::tenants::{Admission, Directory, Outdated, Question, Tenants};
use crate::wire::driver::inbox::{Message, answer};
use crate::wire::driver::telling::tell_restored;
use crate::wire::driver::{MOST_WAITING, Wire, unreachable};
use crate::wire::fetch::FetchError;

/// The resolver's answer, or why there is none.
pub(super) type Resolved = Result<Option<Issuer>, Cause>;

/// Questions for newcomers at a time.
const AT_A_TIME: usize = 64;
/// Questions at a time for newcomers whose keys were saved.
const SAVED_AT_A_TIME: usize = 128;
/// Questions at a time about issuers that it has named before.
const AGAIN_AT_A_TIME: usize = 16;
/// Questions at once, before the budget is spent.
const BURST: u32 = 64;
/// How long it takes to earn one more.
const EARNED: Duration = Duration::from_millis(50);
const WAIT_FOR_RESOLVER: Duration = Duration::from_secs(5);
/// How long a newcomer is not asked about after a failure, and how long an issuer that it has named before is not.
const FAILED_FOR: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// Issuers that made room and are remembered for what they are owed.
const MOST_LET_GO: usize = 10_000;

impl Wire {
    /// Answers whoever has waited long enough for the resolver, and asks it again about those that it named a while ago.
    pub(super) fn resolve_what_is_due(&mut self, now: Timestamp) -> Duration {
        let Some((_, directory)) = self.plan.tenants.clone() else { return LONGEST_NAP };
        let (deadline, late) = self.resolving.answer_the_late(now);
        for _ in 0..late {
            self.news.tell(|| Event::ResolverFailed { error: Arc::new(FetchError::other(LATE)) });
        }
        let (due, next) = self.resolving.due(&directory, now);
        for name in due {
            self.ask_resolver(name, now);
        }
        [deadline, next].into_iter().flatten().min().unwrap_or(LONGEST_NAP).min(LONGEST_NAP)
    }

    /// Finds out about an issuer that is not known.
    pub(super) fn resolve(&mut self, name: Box<str>, reply: Option<oneshot::Sender<Supply>>, now: Timestamp) {
        let Some((_, directory)) = &self.plan.tenants else { return };
        if !directory.is_unknown(&name, now) {
            return answer(reply, &Supply::LookAgain);
        }
        let is_saved = self.plan.leftovers.has(&name);
        if self.resolving.ask(&name, reply, is_saved, now) {
            self.ask_resolver(name, now);
        }
    }

    /// Asks the resolver about an issuer, beside everything else.
    fn ask_resolver(&self, name: Box<str>, now: Timestamp) {
        let Some((tenants, directory)) = &self.plan.tenants else { return };
        let (resolve, question) = (Arc::clone(&tenants.resolve), directory.question(&name, now));
        let asked = name.clone();
        // It may block, so it has a thread of its own. The system may have none to give, which is a panic of this task alone.
        let resolving = tokio::spawn(async move { tokio::task::spawn_blocking(move || resolve(&asked)).await });
        let post = self.post.clone();
        tokio::spawn(async move {
            let answer = resolving.await.unwrap_or_else(Err).unwrap_or_else(|panic| Err(Arc::new(panic)));
            if let Some(inbox) = post.upgrade() {
                let _ = inbox.send(Message::Resolved { name, question, answer });
            }
        });
    }

    pub(super) fn resolved(&mut self, name: Box<str>, question: Question, answer: Resolved) {
        let now = self.plan.clock.now();
        let Some((tenants, directory)) = self.plan.tenants.clone() else { return };
        if self.resolving.is_nobodys(&name) && directory.read().get(&name).is_none() {
            // It has left since it was asked about again, and nobody wants it back.
            let _ = directory.close(&name, question);
            return self.resolving.settle(&name, &Supply::LookAgain);
        }
        let answered = (&*name, question);
        let supply = match judge(answered, answer, (&tenants, &directory), &self.plan.defaults, now) {
            Word::Admitted { evicted } => {
                if let Some(issuer) = evicted {
                    self.let_go(&issuer, now);
                    self.news.tell(|| Event::IssuerEvicted { issuer });
                }
                self.slots.remove(&*name);
                let table = directory.read();
                if let Some(issuer) = table.get(&name) {
                    let restored = self.plan.leftovers.restore(issuer, self.plan.defaults.max_stale, now);
                    self.open_slot(issuer);
                    if let Some(restored) = restored {
                        tell_restored(&self.news, &restored, self.slots.get(&*name));
                    }
                    self.news.tell(|| Event::IssuerResolved { issuer: issuer.rules.issuer.clone() });
                }
                Supply::LookAgain
            }
            Word::Renewed => {
                let table = directory.read();
                // Its keys stay; what it is asked by may be another secret.
                if let Some(issuer) = table.get(&name) {
                    self.open_desk(issuer);
                }
                Supply::LookAgain
            }
            Word::Refused { withdrawn, error } => {
                if let Some(error) = error {
                    self.news.tell(|| Event::ResolverFailed { error });
                }
                // Nobody's customer: should it become one again, its keys are asked for anew.
                let was_saved = self.plan.leftovers.forget(&name);
                if withdrawn.is_some() || was_saved {
                    self.forgotten(&name);
                }
                Supply::LookAgain
            }
            Word::Failed(error) => {
                self.resolving.bar(&name, Arc::clone(&error), now);
                self.news.tell(|| Event::ResolverFailed { error: Arc::clone(&error) });
                Supply::Unreachable(error)
            }
            Word::Outdated => return self.ask_resolver(name, now),
        };
        self.resolving.settle(&name, &supply);
    }

    /// An issuer makes room for another. It may be back in a moment, so it is not asked more often for that.
    fn let_go(&mut self, issuer: &IssuerId, now: Timestamp) {
        self.desks.remove(issuer);
        let Some(slot) = self.slots.remove(issuer) else { return };
        self.let_go.retain(|_, (_, restraint)| restraint.is_current(now));
        if let Some(restraint) = slot.refresh.into_restraint(now).filter(|_| self.let_go.len() < MOST_LET_GO) {
            self.let_go.insert(slot.issuer, (slot.remote, restraint));
        }
    }

    /// An issuer is trusted no longer. Where it was resolved anew meanwhile, its slot is a new one, and stays. Its saved keys
    /// were dropped by whoever took the word back, at that moment.
    pub(super) fn forgotten(&mut self, name: &str) {
        self.resolving.forget(name);
        self.let_go.remove(name);
        // Those that are trusted by name are nobody's to withdraw.
        if self.is_trusted_by_name(name) {
            return;
        }
        self.keep_without_what_was_taken_back();
        let is_back = self.plan.tenants.as_ref().is_some_and(|(_, directory)| directory.read().get(name).is_some());
        if is_back {
            return;
        }
        let desk = self.desks.remove_entry(name).map(|(issuer, _)| issuer);
        if let Some(issuer) = self.slots.remove_entry(name).map(|(issuer, _)| issuer).or(desk) {
            self.news.tell(|| Event::IssuerWithdrawn { issuer });
        }
    }
}

#[derive(Default)]
pub(super) struct Resolving {
    asked: HashMap<Box<str>, Asked>,
    /// Bounded by the budget, and by how many issuers there may be.
    failed: HashMap<Box<str>, Failed>,
    /// The uptime at which the budget is whole again.
    whole_at: Duration,
}

struct Asked {
    since: Timestamp,
    waiting: Vec<oneshot::Sender<Supply>>,
    about: About,
    /// Whoever waited was told that it takes too long; the resolver is at it still.
    is_late: bool,
}

/// Whom a question is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Newcomer,
    /// A newcomer whose keys were saved.
    Saved,
    /// One that it has named before.
    Again,
}

struct Failed {
    /// The uptime from which it is asked again.
    until: Duration,
    error: Cause,
}

impl Resolving {
    /// Takes down who waits; says whether the resolver is to be asked.
    fn ask(&mut self, name: &str, reply: Option<oneshot::Sender<Supply>>, is_saved: bool, now: Timestamp) -> bool {
        if let Some(asked) = self.asked.get_mut(name) {
            if asked.is_late || asked.waiting.len() >= MOST_WAITING {
                answer(reply, &unreachable("the resolver has not answered yet"));
            } else {
                asked.waiting.extend(reply);
            }
            return false;
        }
        if let Some(failed) = self.failed.get(name).filter(|failed| now.uptime() < failed.until) {
            answer(reply, &Supply::Unreachable(Cause::clone(&failed.error)));
            return false;
        }
        let owed = EARNED.saturating_mul(BURST.saturating_sub(1));
        let (about, is_left) = if is_saved {
            (About::Saved, self.count(About::Saved) < SAVED_AT_A_TIME)
        } else {
            let is_earned = now.uptime() >= self.whole_at.saturating_sub(owed);
            (About::Newcomer, is_earned && self.count(About::Newcomer) < AT_A_TIME)
        };
        if !is_left {
            answer(reply, &Supply::BudgetSpent);
            return false;
        }
        if !is_saved {
            self.whole_at = self.whole_at.max(now.uptime()).saturating_add(EARNED);
        }
        let waiting = reply.into_iter().collect();
        self.asked.insert(name.into(), Asked { since: now, waiting, about, is_late: false });
        true
    }

    fn count(&self, about: About) -> usize {
        self.asked.values().filter(|asked| asked.about == about).count()
    }

    /// The issuers that the resolver is to be asked about again, and how long until there will be another.
    fn due(&mut self, directory: &Directory, now: Timestamp) -> (Vec<Box<str>>, Option<Duration>) {
        let mut room = AGAIN_AT_A_TIME.saturating_sub(self.count(About::Again));
        let (mut due, mut nap) = (Vec::new(), None);
        for (name, left) in directory.read().until_asked_again(now) {
            let failed = self.failed.get(name).map(|failed| failed.until.saturating_sub(now.uptime()));
            let left = left.max(failed.unwrap_or_default());
            if !left.is_zero() {
                nap = Some(left.min(nap.unwrap_or(left)));
            } else if room > 0 && !self.asked.contains_key(name) {
                // Those for whom there is no room have their turn when an answer arrives.
                room = room.saturating_sub(1);
                let asked = Asked { since: now, waiting: Vec::new(), about: About::Again, is_late: false };
                self.asked.insert(name.into(), asked);
                due.push(name.into());
            }
        }
        (due, nap)
    }

    /// Whether no request caused the question, and none waits for the answer.
    fn is_nobodys(&self, name: &str) -> bool {
        self.asked.get(name).is_some_and(|asked| asked.about == About::Again && asked.waiting.is_empty())
    }

    /// Leaves a name alone for a while.
    fn bar(&mut self, name: &str, error: Cause, now: Timestamp) {
        self.failed.retain(|_, failed| now.uptime() < failed.until);
        let is_again = self.asked.get(name).is_some_and(|asked| asked.about == About::Again);
        let wait = if is_again { FAILED_FOR.1 } else { FAILED_FOR.0 };
        self.failed.insert(name.into(), Failed { until: now.uptime().saturating_add(wait), error });
    }

    /// The program has taken its word back, so that nothing that is known of the name counts.
    fn forget(&mut self, name: &str) {
        self.failed.remove(name);
    }

    /// Tells everybody what became of a name.
    fn settle(&mut self, name: &str, supply: &Supply) {
        answer(self.asked.remove(name).into_iter().flat_map(|asked| asked.waiting), supply);
    }

    /// Says how long until somebody has waited long enough, and how many questions have just turned out to take too long.
    fn answer_the_late(&mut self, now: Timestamp) -> (Option<Duration>, usize) {
        let (mut nap, mut late) = (None, 0_usize);
        for asked in self.asked.values_mut().filter(|asked| !asked.is_late) {
            let waited = now.uptime().saturating_sub(asked.since.uptime());
            let left = WAIT_FOR_RESOLVER.saturating_sub(waited);
            if left.is_zero() {
                asked.is_late = true;
                late = late.saturating_add(1);
                answer(asked.waiting.drain(..), &unreachable(LATE));
            } else {
                nap = Some(left.min(nap.unwrap_or(left)));
            }
        }
        (nap, late)
    }
}

/// What those are told who have waited long enough.
const LATE: &str = "the resolver did not answer within 5 s";

/// What the resolver's answer comes to.
enum Word {
    Admitted {
        evicted: Option<IssuerId>,
    },
    Renewed,
    /// It is not trusted, and perhaps was until now. With an error it is the program that is mistaken.
    Refused {
        withdrawn: Option<IssuerId>,
        error: Option<Cause>,
    },
    Failed(Cause),
    /// The program took its word back meanwhile: ask again.
    Outdated,
}

/// Believes the resolver's answer, unless it is not an answer to what was asked.
fn judge(
    (name, question): (&str, Question),
    answer: Resolved,
    (tenants, directory): (&Tenants, &Directory),
    defaults: &Defaults,
    now: Timestamp,
) -> Word {
    let refused = |error: Option<ConfigError>| match directory.refuse(name, question, now) {
        Ok(withdrawn) => Word::Refused { withdrawn, error: error.map(|error| -> Cause { Arc::new(error) }) },
        Err(Outdated) => Word::Outdated,
    };
    let built = match answer {
        Ok(Some(issuer)) => issuer.resolved(tenants.private_addresses).build(defaults),
        Ok(None) => return refused(None),
        Err(error) => return directory.close(name, question).map_or(Word::Outdated, |()| Word::Failed(error)),
    };
    let issuer = match built {
        Ok(issuer) if issuer.rules.issuer.as_str() == name => issuer,
        // Otherwise a tenant's token would be judged by another's keys and rules.
        Ok(_) => {
            let problem = "the resolver answered with another issuer than it was asked about";
            return refused(Some(ConfigError::Missing { setting: "trust_each", problem }));
        }
        // The program's mistake, which asking again at once would only repeat.
        Err(error) => return refused(Some(error)),
    };
    match directory.admit(issuer, question, now) {
        Ok(Admission::Admitted) => Word::Admitted { evicted: None },
        Ok(Admission::InPlaceOf(evicted)) => Word::Admitted { evicted: Some(evicted) },
        Ok(Admission::Renewed) => Word::Renewed,
        Ok(Admission::NoRoom) => {
            Word::Failed(Arc::new(FetchError::other("as many issuers are in use as may be at a time")))
        }
        Err(Outdated) => Word::Outdated,
    }
}
