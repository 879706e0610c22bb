//! A memory that never grows beyond its bounds: a table of small sets, each way of which is one slot of `arc_swap`.
//!
//! 1. A tag is a hint. What it leads to is compared in full, so that a tag that is out of date costs a miss and never an entry of
//!    another key.
//! 2. Slots and tags change only under the set's `writing`; a key is in one way of one set at most.
//! 3. `kept` counts an entry before it can be found and until it no longer can, so that neither count falls below what is there.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
pub use equivalent::Equivalent;

/// More uses than this are not told apart, so that what is used a lot is soon no longer written to.
const MOST: u8 = 3;
/// The bit of a tag that says that its entry is there. A tag without it is what is left of an entry that had to go: whoever asks for that
/// one again has asked before, and is worth more than who never did.
const LIVE: u32 = 1;
/// The uses that an entry which comes back begins with.
const BACK: u8 = 2;
/// How many sets in which everything is in use are passed over before one of them loses an entry all the same.
const PATIENCE: usize = 8;

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub entries: usize,
    pub bytes: usize,
}

/// What the figures are to choose.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// As many slots as entries, times this.
    pub room: usize,
    /// A set's uses are halved every so many changes to it.
    pub ageing: u8,
}

/// The memory. Readers take no lock, and write nothing that others read unless an entry's uses are few.
pub struct Bounded<K, V, S = RandomState, const WAYS: usize = 8> {
    sets: Box<[Set<K, V, WAYS>]>,
    bounds: Bounds,
    size: Box<dyn Fn(&K, &V) -> usize + Send + Sync>,
    hasher: S,
    ageing: u8,
    kept: Kept,
}

/// What is written by inserts alone, away from what readers read.
#[repr(align(128))]
#[derive(Default)]
struct Kept {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    /// The set that is next to lose an entry.
    hand: AtomicUsize,
}

#[repr(C, align(128))]
struct Set<K, V, const WAYS: usize> {
    tags: [AtomicU32; WAYS],
    uses: [AtomicU8; WAYS],
    /// The changes since the uses were halved.
    writing: Mutex<u8>,
    slots: [ArcSwapOption<Entry<K, V>>; WAYS],
}

struct Way<'a, K, V> {
    tag: &'a AtomicU32,
    uses: &'a AtomicU8,
    slot: &'a ArcSwapOption<Entry<K, V>>,
}

struct Entry<K, V> {
    key: K,
    value: V,
    size: usize,
}

impl<K: Hash + Eq, V: Clone, S: BuildHasher, const WAYS: usize> Bounded<K, V, S, WAYS> {
    /// An empty memory; `size` says how many bytes an entry takes.
    pub fn new(
        bounds: Bounds,
        shape: Shape,
        hasher: S,
        size: impl Fn(&K, &V) -> usize + Send + Sync + 'static,
    ) -> Self {
        let sets = bounds.entries.saturating_mul(shape.room).div_ceil(WAYS);
        let sets = (0..sets).map(|_| Set::default()).collect();
        Self { sets, bounds, size: Box::new(size), hasher, ageing: shape.ageing, kept: Kept::default() }
    }

    pub fn get<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q) -> Option<V> {
        let (set, tag) = self.place(key)?;
        set.ways().filter(|way| way.tag.load(Relaxed) == tag).find_map(|way| {
            let entry = way.slot.load();
            let entry = entry.as_ref().filter(|entry| key.equivalent(&entry.key))?;
            way.used();
            Some(entry.value.clone())
        })
    }

    /// Keeps an entry, unless another is written beside it at this very moment.
    pub fn insert(&self, key: K, value: V) {
        let size = (self.size)(&key, &value);
        let Some((set, tag)) = self.place(&key).filter(|_| size <= self.bounds.bytes) else { return };
        let Ok(mut changes) = set.writing.try_lock() else { return };
        let known = set.find(tag, &key).or_else(|| set.ways().find(|way| way.tag.load(Relaxed) == tag & !LIVE));
        let uses = if known.is_some() { BACK } else { 0 };
        let Some(way) = known.or_else(|| set.ways().min_by_key(Way::worth)) else { return };
        let old = self.put(&way, tag, uses, Some(Arc::new(Entry { key, value, size })));
        set.age(&mut changes, self.ageing);
        drop(changes);
        drop(old);
        while self.is_over() && self.evict() {}
    }

    /// Takes an entry out; what it was.
    pub fn remove<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q) -> Option<V> {
        let (set, tag) = self.place(key)?;
        let changes = set.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.put(&set.find(tag, key)?, 0, 0, None)?;
        drop(changes);
        Some(old.value.clone())
    }

    pub fn len(&self) -> usize {
        self.kept.entries.load(Relaxed)
    }

    /// The set that may hold a key, and the key's tag there.
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> Option<(&Set<K, V, WAYS>, u32)> {
        let hash = self.hasher.hash_one(key);
        // The hash as a fraction of the sets: its upper bits say which, its lower bits are the tag.
        let set = u128::from(hash).wrapping_mul(u128::try_from(self.sets.len()).ok()?) >> 64;
        let tag = u32::try_from(hash & u64::from(u32::MAX)).ok()?;
        Some((self.sets.get(usize::try_from(set).ok()?)?, tag | LIVE))
    }

    fn is_over(&self) -> bool {
        self.kept.entries.load(Relaxed) > self.bounds.entries || self.kept.bytes.load(Relaxed) > self.bounds.bytes
    }

    /// Takes out an entry that is used little; whether there was one.
    fn evict(&self) -> bool {
        let mut passed = 0;
        for _ in 0..self.sets.len().saturating_add(PATIENCE) {
            let hand = self.kept.hand.fetch_add(1, Relaxed).checked_rem(self.sets.len());
            let Some(set) = hand.and_then(|hand| self.sets.get(hand)) else { return false };
            let Ok(mut changes) = set.writing.try_lock() else { continue };
            let Some(way) = set.ways().filter(Way::is_full).min_by_key(Way::worth) else { continue };
            if way.uses.load(Relaxed) == 0 || passed == PATIENCE {
                let old = self.put(&way, way.tag.load(Relaxed) & !LIVE, MOST, None);
                set.age(&mut changes, self.ageing);
                drop(changes);
                return old.is_some();
            }
            set.halve();
            passed = passed.saturating_add(1);
        }
        false
    }

    /// Changes what a way holds; what it held. The caller holds the set's `writing`.
    fn put(
        &self,
        way: &Way<'_, K, V>,
        tag: u32,
        uses: u8,
        entry: Option<Arc<Entry<K, V>>>,
    ) -> Option<Arc<Entry<K, V>>> {
        if let Some(entry) = &entry {
            self.kept.entries.fetch_add(1, Relaxed);
            self.kept.bytes.fetch_add(entry.size, Relaxed);
        }
        way.uses.store(uses, Relaxed);
        let old = way.slot.swap(entry);
        way.tag.store(tag, Relaxed);
        if let Some(old) = &old {
            self.kept.entries.fetch_sub(1, Relaxed);
            self.kept.bytes.fetch_sub(old.size, Relaxed);
        }
        old
    }
}

impl<K, V, const WAYS: usize> Default for Set<K, V, WAYS> {
    fn default() -> Self {
        Self {
            tags: std::array::from_fn(|_| AtomicU32::default()),
            uses: std::array::from_fn(|_| AtomicU8::default()),
            writing: Mutex::default(),
            slots: std::array::from_fn(|_| ArcSwapOption::empty()),
        }
    }
}

impl<K, V, const WAYS: usize> Set<K, V, WAYS> {
    fn ways(&self) -> impl Iterator<Item = Way<'_, K, V>> {
        let ways = self.tags.iter().zip(&self.uses).zip(&self.slots);
        ways.map(|((tag, uses), slot)| Way { tag, uses, slot })
    }

    fn find<Q: Equivalent<K> + ?Sized>(&self, tag: u32, key: &Q) -> Option<Way<'_, K, V>> {
        let holds = |way: &Way<'_, K, V>| way.slot.load().as_ref().is_some_and(|entry| key.equivalent(&entry.key));
        self.ways().filter(|way| way.tag.load(Relaxed) == tag).find(holds)
    }

    fn age(&self, changes: &mut u8, ageing: u8) {
        *changes = changes.saturating_add(1);
        if *changes >= ageing {
            *changes = 0;
            self.halve();
        }
    }

    fn halve(&self) {
        for uses in &self.uses {
            uses.store(uses.load(Relaxed) >> 1, Relaxed);
        }
    }
}

impl<K, V> Way<'_, K, V> {
    fn used(&self) {
        let uses = self.uses.load(Relaxed);
        if uses < MOST {
            self.uses.store(uses.saturating_add(1), Relaxed);
        }
    }

    fn is_full(&self) -> bool {
        self.tag.load(Relaxed) & LIVE == LIVE
    }

    /// What goes first: an empty way, the longest so before others; then what is used the least.
    fn worth(&self) -> (bool, u8) {
        (self.is_full(), self.uses.load(Relaxed))
    }
}
