//! The keys of one issuer, as the judge finds them: read without a lock, swapped whole.
//!
//! Keys, their age and what is known of their issuer lie in one [`Held`] behind one pointer, so a reader has all of one publication or
//! all of another, never the keys of one with the age of the other; and a reading stays whole while it is held, whatever is published
//! meanwhile. Only one thread publishes fetched keys. Its stores have one order, and `ArcSwap` stores and loads with at least
//! release and acquire: who has seen one publication never sees an older one after it, and who hears of a publication from the thread
//! that made it finds that one or a later one. The driver relies on the last: it publishes first and answers then, and its
//! channels pass on what happened before.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::health::{IssuerHealth, KeyState};
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::keys::published::Published;
use crate::keys::unknown_key::UnknownKey;
use crate::reason::Cause;

/// The one place where an issuer's keys lie. Fetched, handed over, restored: all keys are installed here.
pub(crate) struct KeyStore(ArcSwap<Held>);

/// Keys, and what is known of their age.
pub(crate) struct Held {
    pub(crate) keys: KeySet,
    origin: Origin,
}

enum Origin {
    /// The program answers for them.
    Pushed,
    /// There are none, and there never will be.
    Unneeded,
    Remote(Box<Remote>),
}

/// What is known of keys that were fetched, or restored.
pub(crate) struct Remote {
    pub(crate) published: Published,
    /// The key set as the issuer wrote it.
    pub(crate) document: Bytes,
    /// What went wrong since it was last vouched for.
    pub(crate) last_error: Option<Cause>,
}

/// A reading of the store that stays as it is while a token is judged.
pub(crate) type Reading = Guard<Arc<Held>>;

impl KeyStore {
    /// A store whose keys the program hands over.
    pub(crate) fn pushed(keys: KeySet) -> Self {
        Self(ArcSwap::from_pointee(Held { keys, origin: Origin::Pushed }))
    }

    /// A store that waits for its first keys from the network.
    fn remote(max_stale: Duration) -> Self {
        let remote = Remote { published: Published::nothing(max_stale), document: Bytes::new(), last_error: None };
        Self(ArcSwap::from_pointee(Held { keys: KeySet::default(), origin: Origin::Remote(Box::new(remote)) }))
    }

    /// A store without keys: fetched ones, which may become so old, will lie here; else none ever will.
    pub(crate) fn empty(max_stale: Option<Duration>) -> Self {
        let unneeded = || Self(ArcSwap::from_pointee(Held { keys: KeySet::default(), origin: Origin::Unneeded }));
        max_stale.map_or_else(unneeded, Self::remote)
    }

    pub(crate) fn read(&self) -> Reading {
        self.0.load()
    }

    pub(crate) fn push(&self, keys: KeySet) {
        self.0.store(Arc::new(Held { keys, origin: Origin::Pushed }));
    }

    /// Installs what was fetched, and what its refresh machine says of it.
    pub(crate) fn publish(&self, keys: KeySet, remote: Remote) {
        self.0.store(Arc::new(Held { keys, origin: Origin::Remote(Box::new(remote)) }));
    }
}

impl Held {
    /// Whether there are keys to judge by at this time. A set whose every key was left out is the issuer's word too; one
    /// without a single entry, handed over by the program, is a place that waits for keys.
    pub(crate) fn is_usable(&self, now: Timestamp) -> bool {
        self.state(now).is_usable()
    }

    pub(crate) fn state(&self, now: Timestamp) -> KeyState {
        match &self.origin {
            Origin::Pushed if self.keys.keys().is_empty() && self.keys.left_out().is_empty() => KeyState::NeverLoaded,
            Origin::Pushed => KeyState::Fresh,
            Origin::Unneeded => KeyState::NotNeeded,
            Origin::Remote(remote) => remote.published.state(now),
        }
    }

    /// What to think of a key that is not here.
    pub(crate) fn unknown_key(&self, kid: Option<&str>, now: Timestamp) -> UnknownKey {
        match &self.origin {
            Origin::Pushed | Origin::Unneeded => UnknownKey::Absent,
            Origin::Remote(remote) => remote.published.unknown_key(kid, now),
        }
    }

    /// What the network knows of them, where it can bring keys.
    pub(crate) const fn remote(&self) -> Option<&Remote> {
        match &self.origin {
            Origin::Pushed | Origin::Unneeded => None,
            Origin::Remote(remote) => Some(remote),
        }
    }

    pub(crate) fn health(&self, issuer: IssuerId, now: Timestamp) -> IssuerHealth {
        let remote = self.remote();
        IssuerHealth {
            issuer,
            state: self.state(now),
            age: remote.and_then(|remote| remote.published.age(now)),
            keys: self.keys.clone(),
            last_error: remote.and_then(|remote| remote.last_error.clone()),
            failures: remote.map_or(0, |remote| remote.published.failures()),
            next_try: remote.and_then(|remote| remote.published.next_try(now)),
        }
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyStore").field(&self.0.load().keys).finish()
    }
}

/// Installs newer keys for an issuer, at any time and from any thread. Checks that are under way finish with the keys that
/// they began with.
#[derive(Clone, Debug)]
pub struct KeyHandle(Arc<KeyStore>);

impl KeyHandle {
    pub(crate) const fn new(store: Arc<KeyStore>) -> Self {
        Self(store)
    }

    /// Puts these keys in the place of all that were there.
    pub fn install(&self, keys: KeySet) {
        self.0.push(keys);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    const LAST: u32 = 20_000;

    fn publish(store: &KeyStore, keys: &[KeySet; 2], generation: u32) {
        let published = Published { failures: generation, ..Published::nothing(Duration::ZERO) };
        let document = Bytes::from(generation.to_string());
        store.publish(keys[generation as usize % 2].clone(), Remote { published, document, last_error: None });
    }

    #[test]
    fn readers_see_whole_publications_in_their_order_and_those_that_they_heard_of() {
        let set = |kid| format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{X}","y":"{Y}"}}]}}"#);
        let keys = ["even", "odd"].map(|kid| KeySet::from_json(set(kid).as_bytes()).unwrap());
        let (store, announced) = (KeyStore::remote(Duration::ZERO), AtomicU32::new(0));
        publish(&store, &keys, 0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut before = 0;
                    while before < LAST {
                        let heard = announced.load(Ordering::Acquire);
                        let held = store.read();
                        let remote = held.remote().unwrap();
                        let found = remote.published.failures;
                        assert!(found >= before, "{found} after {before}");
                        assert!(found >= heard, "{heard} was announced, and {found} is there");
                        assert_eq!(remote.document, found.to_string().as_bytes());
                        assert_eq!(held.keys.keys()[0].kid(), Some(["even", "odd"][found as usize % 2]));
                        before = found;
                    }
                });
            }
            for generation in 1..=LAST {
                publish(&store, &keys, generation);
                announced.store(generation, Ordering::Release);
            }
        });
    }

    // RFC 7517 A.1.
    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
}
