//! Tokens that are refused though they are good in themselves: what a logout or a revocation calls.
//!
//! 1. It is asked on every accept, however the token was judged and whatever is remembered of it.
//! 2. Readers take no lock. While nothing is denied they look at one number.
//! 3. What was denied stays so until its time is over by both clocks: no clock that is set lets a token back in.
//! 4. It is bounded, and full means that the next denial fails. Nothing is forgotten to make room.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Timestamp;
use crate::reason::Reason;
use crate::token::AccessToken;

/// What is to be refused from now on. Given to [`Validator::deny`](crate::Validator::deny).
///
/// Each is of one issuer: names of tokens, sessions and subjects are its own (RFC 7519 s4.1.2, s4.1.7).
#[derive(Clone, Debug)]
pub struct Denial {
    issuer: Box<str>,
    what: What,
    name: Box<str>,
    issued_until: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    JwtId,
    Session,
    Subject,
}

impl Denial {
    fn new(issuer: &str, what: What, name: &str) -> Self {
        Self { issuer: issuer.into(), what, name: name.into(), issued_until: None }
    }

    /// The token of this `jti` (RFC 7519 s4.1.7).
    #[must_use]
    pub fn jwt_id(issuer: &str, jwt_id: &str) -> Self {
        Self::new(issuer, What::JwtId, jwt_id)
    }

    /// Every token of this session (`sid`, OpenID Connect Back-Channel Logout s2.4).
    #[must_use]
    pub fn session(issuer: &str, session_id: &str) -> Self {
        Self::new(issuer, What::Session, session_id)
    }

    /// Every token of this subject that was issued at this time or before: `iat`, in whole seconds since 1970. One that does not say
    /// when it was issued is refused too.
    #[must_use]
    pub fn subject(issuer: &str, subject: &str, issued_until: i64) -> Self {
        Self { issued_until: Some(issued_until), ..Self::new(issuer, What::Subject, subject) }
    }
}

/// There is no room for another denial: nothing was denied, and nothing was forgotten.
///
/// Whoever gets this has a token at large that is to be refused. Give the list more room by `ValidatorBuilder::deny_at_most`, or deny
/// for shorter: no longer than the issuer's tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deny list is full")]
pub struct DenyListFull;

/// Parts of the list, of which one is copied when something is denied.
const PARTS: usize = 256;

/// The list.
pub(crate) struct DenyList {
    parts: Box<[ArcSwap<Part>]>,
    /// Hides which part is whose, so that nobody can fill one.
    hasher: RandomState,
    length: AtomicUsize,
    most: usize,
    writing: Mutex<()>,
}

/// By hash; each denial is compared in full.
type Part = HashMap<u64, Vec<Denied>>;

#[derive(Clone)]
struct Denied {
    denial: Arc<Denial>,
    at: Timestamp,
    lasting: Duration,
}

impl Denied {
    fn is_over(&self, now: Timestamp) -> bool {
        self.lasted(now) >= self.lasting
    }

    /// How long it has stood, by whichever clock says shorter (invariant 3).
    fn lasted(&self, now: Timestamp) -> Duration {
        let wall = now.unix_millis().saturating_sub(self.at.unix_millis());
        let wall = Duration::from_millis(u64::try_from(wall).unwrap_or(0));
        wall.min(now.uptime().saturating_sub(self.at.uptime()))
    }

    /// How long it stands yet, by whichever clock says longer.
    fn left(&self, now: Timestamp) -> Duration {
        self.lasting.saturating_sub(self.lasted(now))
    }

    fn is_of(&self, issuer: &str, what: What, name: &str) -> bool {
        self.denial.what == what && *self.denial.name == *name && *self.denial.issuer == *issuer
    }

    fn hits(&self, issued: Option<i64>) -> bool {
        match self.denial.issued_until {
            None => true,
            Some(until) => issued.is_none_or(|issued| issued <= until),
        }
    }
}

impl DenyList {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            parts: (0..PARTS).map(|_| ArcSwap::default()).collect(),
            hasher: RandomState::new(),
            length: AtomicUsize::new(0),
            most,
            writing: Mutex::default(),
        }
    }

    /// How many denials there are, those included whose time has come to an end unnoticed.
    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Whether a token that is good otherwise may be accepted. Where its issuer was asked too, what was `said` of it may name what it
    /// does not name itself; both are one token, so that it was issued when either says so, at the earlier of two times.
    pub(crate) fn allows(&self, token: &AccessToken, said: Option<&AccessToken>, now: Timestamp) -> Result<(), Reason> {
        if self.len() == 0 {
            return Ok(());
        }
        let both = || [Some(token), said].into_iter().flatten();
        let issued = both().filter_map(AccessToken::issued_at).min();
        let issuer = token.issuer().as_str();
        let is_denied = both().any(|token| {
            let names =
                [(What::JwtId, token.jwt_id()), (What::Session, token.session_id()), (What::Subject, token.subject())];
            names.into_iter().any(|(what, name)| {
                let stands = |denied: &Denied| !denied.is_over(now) && denied.hits(issued);
                name.is_some_and(|name| self.any(issuer, what, name, stands))
            })
        });
        if is_denied { Err(Reason::Revoked) } else { Ok(()) }
    }

    fn any(&self, issuer: &str, what: What, name: &str, holds: impl Fn(&Denied) -> bool) -> bool {
        let hash = self.hash(issuer, what, name);
        self.part(hash).is_some_and(|part| {
            let part = part.load();
            part.get(&hash).into_iter().flatten().any(|denied| denied.is_of(issuer, what, name) && holds(denied))
        })
    }

    /// Refuses what is meant from now on, for so long.
    pub(crate) fn deny(&self, denial: &Denial, lasting: Duration, now: Timestamp) -> Result<(), DenyListFull> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = self.hash(&denial.issuer, denial.what, &denial.name);
        if self.len() >= self.most && !self.any(&denial.issuer, denial.what, &denial.name, |_| true) {
            self.sweep(now);
            if self.len() >= self.most {
                return Err(DenyListFull);
            }
        }
        let Some(part) = self.part(hash) else { return Err(DenyListFull) };
        let mut next = Part::clone(&part.load());
        let same = next.entry(hash).or_default();
        let mut denied = Denied { denial: Arc::new(denial.clone()), at: now, lasting };
        // Neither a shorter time nor an earlier one takes back what was said.
        same.retain(|before| {
            if !before.is_of(&denial.issuer, denial.what, &denial.name) {
                return true;
            }
            denied.lasting = denied.lasting.max(before.left(now));
            if before.denial.issued_until > denied.denial.issued_until {
                denied.denial = Arc::clone(&before.denial);
            }
            false
        });
        same.push(denied);
        self.put(part, next);
        Ok(())
    }

    fn sweep(&self, now: Timestamp) {
        for part in &self.parts {
            let mut next = Part::clone(&part.load());
            next.retain(|_, same| {
                same.retain(|denied| !denied.is_over(now));
                !same.is_empty()
            });
            self.put(part, next);
        }
    }

    /// The length is never less than what readers may find.
    fn put(&self, part: &ArcSwap<Part>, next: Part) {
        let count = |part: &Part| part.values().map(Vec::len).fold(0, usize::saturating_add);
        let (before, after) = (count(&part.load()), count(&next));
        self.length.fetch_add(after, Ordering::AcqRel);
        part.store(Arc::new(next));
        self.length.fetch_sub(before, Ordering::AcqRel);
    }

    fn part(&self, hash: u64) -> Option<&ArcSwap<Part>> {
        let parts = u64::try_from(self.parts.len()).ok()?;
        self.parts.get(usize::try_from(hash.checked_rem(parts)?).ok()?)
    }

    fn hash(&self, issuer: &str, what: What, name: &str) -> u64 {
        self.hasher.hash_one((issuer, what, name))
    }
}

impl fmt::Debug for DenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyList").field("length", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "revocation/tests.rs"]
mod tests;
