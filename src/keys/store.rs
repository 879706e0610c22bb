//! The keys of one issuer, as the judge finds them: read without a lock, swapped whole.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::clock::Timestamp;
use crate::jose::key_set::KeySet;
use crate::keys::refresh::Published;
use crate::keys::unknown_key::UnknownKey;

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
    Remote(Published),
}

/// A reading of the store that stays as it is while a token is judged.
pub(crate) type Reading = Guard<Arc<Held>>;

impl KeyStore {
    /// A store whose keys the program hands over.
    pub(crate) fn pushed(keys: KeySet) -> Self {
        Self(ArcSwap::from_pointee(Held { keys, origin: Origin::Pushed }))
    }

    /// A store that waits for its first keys from the network.
    pub(crate) fn remote() -> Self {
        Self(ArcSwap::from_pointee(Held { keys: KeySet::default(), origin: Origin::Remote(Published::nothing()) }))
    }

    pub(crate) fn read(&self) -> Reading {
        self.0.load()
    }

    pub(crate) fn push(&self, keys: KeySet) {
        self.0.store(Arc::new(Held { keys, origin: Origin::Pushed }));
    }

    /// Installs what was fetched, and what its refresh machine says of it.
    pub(crate) fn publish(&self, keys: KeySet, published: Published) {
        self.0.store(Arc::new(Held { keys, origin: Origin::Remote(published) }));
    }
}

impl Held {
    /// Whether there are keys to judge by at this time. A set whose every key was left out is the issuer's word too; one
    /// without a single entry, handed over by the program, is a place that waits for keys.
    pub(crate) fn is_usable(&self, now: Timestamp) -> bool {
        match &self.origin {
            Origin::Pushed => !self.keys.keys().is_empty() || !self.keys.left_out().is_empty(),
            Origin::Remote(published) => published.usable(now),
        }
    }

    /// What to think of a key that is not here.
    pub(crate) fn unknown_key(&self, kid: Option<&str>, now: Timestamp) -> UnknownKey {
        match &self.origin {
            Origin::Pushed => UnknownKey::Absent,
            Origin::Remote(published) => published.unknown_key(kid, now),
        }
    }

    /// Whether the network can bring keys.
    pub(crate) const fn is_remote(&self) -> bool {
        !matches!(self.origin, Origin::Pushed)
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
