//! A memory that never grows beyond its bounds: the one wrapper round `moka`.
//!
//! It forgets what is used the least when it is full. What grows old is the business of whoever keeps it: an entry carries its own
//! times, since only its reader knows which clock counts.

use std::hash::{BuildHasher, Hash, RandomState};

use moka::sync::Cache;

/// A key in another form, such as its borrowed parts. It must hash as the key does.
pub(crate) use moka::Equivalent;

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// The memory. Readers take no lock. Keys are strangers' words, so the hash is one that nobody outside can foretell; what it says is
/// never taken for the key itself.
pub(crate) struct Bounded<K, V, S = RandomState>(Cache<K, V, S>);

impl<K, V> Bounded<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty memory; `size` says how many bytes an entry takes.
    pub(crate) fn new(bounds: Bounds, size: impl Fn(&K, &V) -> usize + Send + Sync + 'static) -> Self {
        Self::with_hasher(bounds, size, RandomState::new())
    }
}

impl<K, V, S> Bounded<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    fn with_hasher(bounds: Bounds, size: impl Fn(&K, &V) -> usize + Send + Sync + 'static, hasher: S) -> Self {
        // One measure holds both bounds: an entry counts at least as its share of the bytes.
        let share = u32::try_from(bounds.bytes.checked_div(bounds.entries).unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
        let weigh = move |key: &K, value: &V| u32::try_from(size(key, value)).unwrap_or(u32::MAX).max(share);
        // An entry counts four GiB at most, so that few entries of any size may not have more room than that each.
        let capacity = bounds.bytes.min(bounds.entries.saturating_mul(u32::MAX.into()));
        Self(Cache::builder().max_capacity(capacity).weigher(weigh).build_with_hasher(hasher))
    }

    pub(crate) fn get<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q) -> Option<V> {
        self.0.get(key)
    }

    pub(crate) fn find<Q: Equivalent<K> + Hash + ?Sized, R>(
        &self,
        key: &Q,
        read: impl FnOnce(&V) -> Option<R>,
    ) -> Option<R> {
        self.0.get(key).and_then(|value| read(&value))
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        self.0.insert(key, value);
    }

    /// Takes an entry out; what it was.
    pub(crate) fn remove<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q) -> Option<V> {
        self.0.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bounds: Bounds, size: usize) -> u64 {
        let memory = Bounded::new(bounds, move |_: &u32, _: &()| size);
        for key in 0..10_000 {
            memory.insert(key, ());
        }
        memory.0.run_pending_tasks();
        memory.0.entry_count()
    }

    #[test]
    fn both_bounds_hold() {
        assert_eq!(filled(Bounds { entries: 100, bytes: 1_000_000 }, 10), 100);
        assert_eq!(filled(Bounds { entries: 100, bytes: 1_000_000 }, 50_000), 20);
        assert_eq!(filled(Bounds { entries: 0, bytes: 1_000_000 }, 10), 0);
        assert_eq!(filled(Bounds { entries: 20_000, bytes: 1_000_000 }, 10), 10_000);
    }

    /// Says the same of everything.
    #[derive(Clone)]
    struct Constant;

    impl BuildHasher for Constant {
        type Hasher = Self;

        fn build_hasher(&self) -> Self {
            Self
        }
    }

    impl std::hash::Hasher for Constant {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, _: &[u8]) {}
    }

    #[test]
    fn row_s04_keys_of_one_hash_are_told_apart() {
        let bounds = Bounds { entries: 1_000, bytes: 1_000_000 };
        let memory = Bounded::with_hasher(bounds, |_: &String, _: &u32| 1, Constant);
        for number in 0..500 {
            memory.insert(format!("good-{number}"), number);
        }
        for number in 0..500 {
            assert_eq!(memory.get(format!("good-{number}").as_str()), Some(number));
            assert_eq!(memory.get(format!("forged-{number}").as_str()), None);
        }
        assert_eq!(memory.remove("good-7"), Some(7));
        assert_eq!((memory.get("good-7"), memory.get("good-8")), (None, Some(8)));
    }

    #[test]
    fn what_is_taken_out_is_gone_at_once() {
        let memory = Bounded::new(Bounds { entries: 100, bytes: 10_000 }, |_: &u32, _: &u32| 1);
        for key in 0..50 {
            memory.insert(key, key);
        }
        assert_eq!(memory.remove(&7), Some(7));
        let left: Vec<u32> = (0..50).filter_map(|key| memory.get(&key)).collect();
        assert_eq!(left, (0..50).filter(|key| *key != 7).collect::<Vec<_>>());
    }
}
