//! Puts saved keys where fetched ones will be, and writes down keys as they are.

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
pub(crate) fn restore(issuers: &[TrustedIssuer], saved: &mut SavedKeys, now: Timestamp) -> Vec<Restored> {
    issuers.iter().filter_map(|issuer| restore_one(issuer, saved, now)).collect()
}

/// The same for one issuer; `None` if nothing of it was saved.
pub(crate) fn restore_one(issuer: &TrustedIssuer, saved: &mut SavedKeys, now: Timestamp) -> Option<Restored> {
    let remote = issuer.remote.as_ref()?;
    let name = &issuer.rules.issuer;
    let outcome = saved.take(name, &remote.source(), now, remote.max_stale)?.map(|set| {
        let published = Published::restored(now, set.age, remote.max_stale);
        issuer.keys.publish(set.keys, Remote { published, document: set.document, last_error: None });
        set.age
    });
    Some(Restored { issuer: name.clone(), outcome })
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
