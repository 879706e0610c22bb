//! A memory that never grows beyond its bounds: a table of small sets, in which each way is one slot.
//!
//! It forgets what is used the least when it is full. What grows old is the business of whoever keeps it: an entry carries its own
//! times, since only its reader knows which clock counts. Why it is not one of the known caches is told, with figures, in the
//! manual's page on performance. These hold:
//!
//! 1. Readers take no lock, and write nothing that others read but an entry's uses, while these are few.
//! 2. A tag is a hint. What it leads to is compared in full, so that a tag that is out of date costs a miss and never gives out what
//!    is another key's.
//! 3. Slots and tags change only under the set's `writing`, so that a key is in one way of one set at most.
//! 4. An entry is counted before it can be found and until it no longer can, so that neither bound is exceeded by more than what is
//!    being written at the moment.
//! 5. The work of each look is bounded, whatever the keys are: those that strangers choose fall into sets like any other.
//! 6. Given up: in a child that was forked off while another thread wrote a set, nothing enters that set, and who takes something out of
//!    it waits for ever.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwapOption;
use foldhash::quality::RandomState;

/// How many entries share a set.
const WAYS: usize = 8;
/// How many sets are made at a time.
const BLOCK: usize = 16;
/// There are so many times as many ways as entries may be, so that few sets are full before the memory is.
const ROOM: usize = 2;
/// An entry takes so many bytes at least, so that few bytes need no large table.
const SMALLEST: usize = 256;
/// More uses than this are not told apart, so that what is used a lot is soon no longer written to.
const MOST_USES: u8 = 3;
/// A set's uses are halved after so many changes to it, so that what was used a lot and is no more does go.
const AGEING: u8 = 64;
/// The bit of a tag that says that its entry is there. A tag without it is what is left of an entry that had to go: who asks for that
/// one again has asked before, and is worth more than who never did.
const LIVE: u32 = 1;
/// The uses that an entry which comes back begins with.
const BACK: u8 = 2;
/// So many sets in which everything is in use are passed over before one of them loses an entry all the same.
const PATIENCE: usize = 8;

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// A key in another form, such as its borrowed parts. It must hash as the key does.
pub(crate) trait Equivalent<K> {
    /// Whether it is this key.
    fn equivalent(&self, key: &K) -> bool;
}

impl<K: Eq> Equivalent<K> for K {
    fn equivalent(&self, key: &K) -> bool {
        self == key
    }
}

/// The memory. The hash is quick and keyed by chance; what it says is never taken for the key itself.
pub(crate) struct Bounded<K, V, S = RandomState> {
    /// Each made when its first entry comes: most memories of most programs never hold many.
    blocks: Box<[OnceLock<Block<K, V>>]>,
    entries: usize,
    bytes: usize,
    size: Size<K, V>,
    hasher: S,
    kept: Kept,
}

type Block<K, V> = Box<[Set<K, V>]>;

/// How many bytes an entry takes.
type Size<K, V> = Box<dyn Fn(&K, &V) -> usize + Send + Sync>;

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
struct Set<K, V> {
    tags: [AtomicU32; WAYS],
    uses: [AtomicU8; WAYS],
    /// The changes since the uses were halved.
    writing: Mutex<u8>,
    slots: [ArcSwapOption<Entry<K, V>>; WAYS],
}

struct Entry<K, V> {
    key: K,
    value: V,
    size: usize,
}

/// Where a key is, if it is there: in which set of a block, and by which tag.
struct Spot<'a, K, V> {
    block: &'a OnceLock<Block<K, V>>,
    set: usize,
    tag: u32,
}

/// One way of a set.
struct Way<'a, K, V> {
    tag: &'a AtomicU32,
    uses: &'a AtomicU8,
    slot: &'a ArcSwapOption<Entry<K, V>>,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    /// An empty memory; `size` says how many bytes an entry takes.
    pub(crate) fn new(bounds: Bounds, size: impl Fn(&K, &V) -> usize + Send + Sync + 'static) -> Self {
        Self::with_hasher(bounds, size, RandomState::default())
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Bounded<K, V, S> {
    pub(crate) fn with_hasher(
        bounds: Bounds,
        size: impl Fn(&K, &V) -> usize + Send + Sync + 'static,
        hasher: S,
    ) -> Self {
        let narrow = |bound: u64| usize::try_from(bound).unwrap_or(usize::MAX);
        let bytes = narrow(bounds.bytes);
        let entries = narrow(bounds.entries).min(bytes.div_ceil(SMALLEST));
        let blocks = (0..entries.saturating_mul(ROOM).div_ceil(WAYS * BLOCK)).map(|_| OnceLock::new()).collect();
        Self { blocks, entries, bytes, size: Box::new(size), hasher, kept: Kept::default() }
    }

    /// What is read of a key's value, if it is there.
    pub(crate) fn find<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> Option<R>) -> Option<R>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        let Spot { block, set, tag } = self.spot(key)?;
        let set = block.get()?.get(set)?;
        // In step with the writer: who sees that an entry has gone from one memory sees what came before that in another.
        for way in set.ways().filter(|way| way.tag.load(Acquire) == tag) {
            let entry = way.slot.load();
            if let Some(entry) = entry.as_ref().filter(|entry| key.equivalent(&entry.key)) {
                way.note_use();
                return read(&entry.value);
            }
        }
        None
    }

    /// Keeps an entry, unless another is written beside it at this very moment: nobody waits here.
    pub(crate) fn insert(&self, key: K, value: V) {
        let size = (self.size)(&key, &value);
        if size > self.bytes || self.entries == 0 {
            // What was known before is not what is known.
            self.remove(&key);
            return;
        }
        let Some(Spot { block, set, tag }) = self.spot(&key) else { return };
        if block.get().is_none() {
            // Made before it is put there, so that nobody waits while it is made.
            let _ = block.set((0..BLOCK).map(|_| Set::default()).collect());
        }
        let Some(set) = block.get().and_then(|block| block.get(set)) else { return };
        let Ok(mut changes) = set.writing.try_lock() else { return };
        let known = set.find(tag, &key).or_else(|| set.ways().find(|way| way.tag.load(Relaxed) == tag & !LIVE));
        let uses = if known.is_some() { BACK } else { 0 };
        let Some(way) = known.or_else(|| set.ways().min_by_key(Way::worth)) else { return };
        let old = self.put(&way, tag, uses, Some(Arc::new(Entry { key, value, size })));
        set.grow_older(&mut changes);
        drop(changes);
        drop(old);
        while self.is_over() && self.evict() {}
    }

    /// Takes an entry out.
    pub(crate) fn remove<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q) {
        let Some(Spot { block, set, tag }) = self.spot(key) else { return };
        let Some(set) = block.get().and_then(|block| block.get(set)) else { return };
        let changes = set.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = set.find(tag, key).and_then(|way| self.put(&way, 0, 0, None));
        drop(changes);
        drop(old);
    }

    fn spot<Q: Hash + ?Sized>(&self, key: &Q) -> Option<Spot<'_, K, V>> {
        let hash = self.hasher.hash_one(key);
        // The hash as a fraction of the sets: its upper bits say which, its lower bits are the tag.
        let set = u128::from(hash).wrapping_mul(u128::try_from(self.sets()).ok()?) >> 64;
        let (set, tag) = (usize::try_from(set).ok()?, u32::try_from(hash & u64::from(u32::MAX)).ok()?);
        Some(Spot { block: self.blocks.get(set / BLOCK)?, set: set % BLOCK, tag: tag | LIVE })
    }

    const fn sets(&self) -> usize {
        self.blocks.len().saturating_mul(BLOCK)
    }

    fn is_over(&self) -> bool {
        self.kept.entries.load(Relaxed) > self.entries || self.kept.bytes.load(Relaxed) > self.bytes
    }

    /// Takes out an entry that is used little; whether there was one.
    fn evict(&self) -> bool {
        let sets = self.sets();
        let mut passed = 0;
        for _ in 0..sets.saturating_add(PATIENCE) {
            let Some(hand) = self.kept.hand.fetch_add(1, Relaxed).checked_rem(sets) else { return false };
            let block = self.blocks.get(hand / BLOCK).and_then(OnceLock::get);
            let Some(set) = block.and_then(|block| block.get(hand % BLOCK)) else { continue };
            let Ok(mut changes) = set.writing.try_lock() else { continue };
            let Some(way) = set.ways().filter(Way::is_full).min_by_key(Way::worth) else { continue };
            if way.uses.load(Relaxed) == 0 || passed == PATIENCE {
                let old = self.put(&way, way.tag.load(Relaxed) & !LIVE, MOST_USES, None);
                set.grow_older(&mut changes);
                drop(changes);
                return old.is_some();
            }
            set.halve_uses();
            passed = passed.saturating_add(1);
        }
        false
    }

    /// Changes what a way holds; what it held. The caller holds the set's `writing` (invariant 3).
    fn put(
        &self,
        way: &Way<'_, K, V>,
        tag: u32,
        uses: u8,
        entry: Option<Arc<Entry<K, V>>>,
    ) -> Option<Arc<Entry<K, V>>> {
        // Invariant 4.
        if let Some(entry) = &entry {
            self.kept.entries.fetch_add(1, Relaxed);
            self.kept.bytes.fetch_add(entry.size, Relaxed);
        }
        way.uses.store(uses, Relaxed);
        let old = way.slot.swap(entry);
        way.tag.store(tag, Release);
        if let Some(old) = &old {
            self.kept.entries.fetch_sub(1, Relaxed);
            self.kept.bytes.fetch_sub(old.size, Relaxed);
        }
        old
    }
}

impl<K, V> Default for Set<K, V> {
    fn default() -> Self {
        Self {
            tags: Default::default(),
            uses: Default::default(),
            writing: Mutex::default(),
            slots: Default::default(),
        }
    }
}

impl<K, V> Set<K, V> {
    fn ways(&self) -> impl Iterator<Item = Way<'_, K, V>> {
        let ways = self.tags.iter().zip(&self.uses).zip(&self.slots);
        ways.map(|((tag, uses), slot)| Way { tag, uses, slot })
    }

    fn find<Q: Equivalent<K> + ?Sized>(&self, tag: u32, key: &Q) -> Option<Way<'_, K, V>> {
        let holds = |way: &Way<'_, K, V>| way.slot.load().as_ref().is_some_and(|entry| key.equivalent(&entry.key));
        self.ways().filter(|way| way.tag.load(Relaxed) == tag).find(holds)
    }

    fn grow_older(&self, changes: &mut u8) {
        *changes = changes.saturating_add(1);
        if *changes >= AGEING {
            *changes = 0;
            self.halve_uses();
        }
    }

    fn halve_uses(&self) {
        for uses in &self.uses {
            uses.store(uses.load(Relaxed) >> 1, Relaxed);
        }
    }
}

impl<K, V> Way<'_, K, V> {
    fn note_use(&self) {
        let uses = self.uses.load(Relaxed);
        if uses < MOST_USES {
            self.uses.store(uses.saturating_add(1), Relaxed);
        }
    }

    fn is_full(&self) -> bool {
        self.tag.load(Relaxed) & LIVE == LIVE
    }

    /// What goes first: an empty way, and of those the one whose tag is worth the least; then what is used the least.
    fn worth(&self) -> (bool, u8) {
        (self.is_full(), self.uses.load(Relaxed))
    }
}

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
