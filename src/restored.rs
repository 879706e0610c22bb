//! Puts saved keys where fetched ones will be, and writes down keys as they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::issuer::TrustedIssuer;
use crate::issuer_id::IssuerId;
use crate::keys::published::Published;
use crate::keys::saved::{RestoreError, SavedKeys, SavedSet};
use crate::keys::store::Remote;

/// What became of the saved keys of one issuer. See [`Validator::restored`](crate::Validator::restored).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// Whose keys they are.
    pub issuer: IssuerId,
    /// How old they are, if they serve; else why they do not.
    pub outcome: Result<Duration, RestoreError>,
}

/// Installs what serves, and says of each issuer in the document what became of its keys. Those of issuers that a resolver may name
/// later stay in `saved`.
pub(crate) fn restore(
    issuers: &[TrustedIssuer],
    saved: &mut SavedKeys,
    max_stale: Duration,
    now: Timestamp,
) -> Vec<Restored> {
    issuers.iter().filter_map(|issuer| restore_one(issuer, saved, max_stale, now)).collect()
}

/// The same for one issuer; `None` if nothing of it was saved.
fn restore_one(issuer: &TrustedIssuer, saved: &mut SavedKeys, max_stale: Duration, now: Timestamp) -> Option<Restored> {
    let remote = issuer.remote.as_ref()?;
    let name = &issuer.rules.issuer;
    let outcome = saved.take(name, &remote.source(), now, max_stale)?.map(|set| {
        let published = Published::restored(now, set.age, max_stale);
        issuer.keys.publish(set.keys, Remote { published, document: set.document, last_error: None });
        set.age
    });
    Some(Restored { issuer: name.clone(), outcome })
}

/// Saved keys of issuers that a resolver has not named yet.
///
/// All threads that a validator ever has share them, so that what was taken, or taken back, does not return with a thread that
/// takes the place of another. Whoever takes the program's word back does so here before anywhere else: an issuer that is named a
/// moment later then finds nothing.
#[derive(Clone, Default)]
pub(crate) struct Leftovers(Arc<Mutex<Option<SavedKeys>>>);

impl Leftovers {
    pub(crate) fn new(saved: SavedKeys) -> Self {
        Self(Arc::new(Mutex::new(Some(saved))))
    }

    /// Installs what is left of an issuer that was just named; `None` if nothing is. Nothing is left of it then.
    pub(crate) fn restore(&self, issuer: &TrustedIssuer, max_stale: Duration, now: Timestamp) -> Option<Restored> {
        let mut saved = self.lock();
        let saved = saved.as_mut()?;
        let restored = restore_one(issuer, saved, max_stale, now);
        // Of one whose keys were handed over too.
        saved.remove(issuer.rules.issuer.as_str());
        restored
    }

    /// Whether there is something of an issuer.
    pub(crate) fn has(&self, issuer: &str) -> bool {
        self.lock().as_ref().is_some_and(|saved| saved.has(issuer))
    }

    /// What is left of this issuer serves no more. Says whether there was something.
    pub(crate) fn forget(&self, issuer: &str) -> bool {
        self.lock().as_mut().is_some_and(|saved| saved.remove(issuer))
    }

    /// What is left serves no more. Says whether there was something.
    pub(crate) fn forget_all(&self) -> bool {
        self.lock().take().is_some_and(|saved| saved.issuers().next().is_some())
    }

    /// What is left and may still serve, as old as it is, to be written down again.
    pub(crate) fn sets(&self, now: Timestamp, limit: Duration) -> Vec<SavedSet> {
        self.lock().iter().flat_map(|saved| saved.left(now, limit)).collect()
    }

    /// Held for as long as it takes to look something up, or to read one key set, and never while anything is waited for.
    fn lock(&self) -> MutexGuard<'_, Option<SavedKeys>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of these issuers as they are, where the network brought them and they may be used.
pub(crate) fn sets<'i>(
    issuers: impl Iterator<Item = &'i TrustedIssuer>,
    now: Timestamp,
) -> impl Iterator<Item = SavedSet> {
    issuers.filter_map(move |issuer| {
        let held = issuer.keys.read();
        let (remote, place) = (held.remote()?, issuer.remote.as_ref()?);
        let age = remote.published.age(now)?;
        let (source, document) = (place.source(), remote.document.clone());
        held.is_usable(now).then(|| SavedSet { issuer: issuer.rules.issuer.clone(), source, age, document })
    })
}
