//! The contenders, all of them behind one trait. mini-moka is none: it can't be asked by borrowed bytes.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use crate::cache::{Bounded, Bounds, Equivalent};

pub const ENTRIES: usize = 10_000;
pub const BYTES: usize = 32 << 20;

/// What is kept of a verified token.
pub struct Facts([u8; 700]);

/// What a store hands out.
pub trait Value: Clone + Send + Sync + 'static {
    fn new() -> Self;
    fn facts(&self) -> &Facts;
}

impl Value for Arc<Facts> {
    fn new() -> Self {
        Arc::new(Facts(black_box([7; 700])))
    }

    fn facts(&self) -> &Facts {
        self
    }
}

/// A value whose clones are counted apart for each thread.
pub struct Spread {
    handle: Arc<Handle>,
    copies: Option<Box<[OnceLock<Arc<Handle>>; 8]>>,
}

/// As long as a cache line, so that no two counts are in one.
struct Handle(Arc<Facts>, #[expect(dead_code, reason = "it only takes room")] [u64; 7]);

impl Handle {
    fn new(facts: Arc<Facts>) -> Arc<Self> {
        Arc::new(Self(facts, black_box([0; 7])))
    }
}

impl Clone for Spread {
    fn clone(&self) -> Self {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static THREAD: usize = THREADS.fetch_add(1, Relaxed) % 8);
        let copy = self.copies.as_ref().map(|copies| THREAD.with(|thread| &copies[*thread]));
        let copy = copy.map_or(&self.handle, |copy| copy.get_or_init(|| Handle::new(self.handle.0.clone())));
        Self { handle: copy.clone(), copies: None }
    }
}

impl Value for Spread {
    fn new() -> Self {
        Self { handle: Handle::new(<Arc<Facts> as Value>::new()), copies: Some(Box::default()) }
    }

    fn facts(&self) -> &Facts {
        &self.handle.0
    }
}

fn size<V>(key: &[u8], _: &V) -> usize {
    key.len() + size_of::<Facts>() + 128
}

/// Both bounds by one measure, as moka and quick_cache need it.
fn weight<V>(key: &[u8], value: &V) -> u32 {
    size(key, value).max(BYTES / ENTRIES) as u32
}

/// A store of one kind of value.
pub trait Store<V>: Send + Sync {
    fn get(&self, key: &[u8]) -> Option<V>;
    fn insert(&self, key: &[u8], value: V);
    fn remove(&self, key: &[u8]);
    fn len(&self) -> usize;
}

/// A store of any kind of value.
pub trait Cached: Send + Sync {
    fn hit(&self, key: &[u8]) -> bool;
    fn insert(&self, key: &[u8]);
    fn remove(&self, key: &[u8]);
    fn len(&self) -> usize;
}

struct Erased<V, T>(T, PhantomData<fn() -> V>);

impl<V: Value, T: Store<V>> Cached for Erased<V, T> {
    fn hit(&self, key: &[u8]) -> bool {
        self.0.get(key).is_some_and(|value| black_box(value.facts().0[0]) == 7)
    }

    fn insert(&self, key: &[u8]) {
        self.0.insert(key, V::new());
    }

    fn remove(&self, key: &[u8]) {
        self.0.remove(key);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

pub trait Hash: BuildHasher + Clone + Send + Sync + 'static {}
impl<S: BuildHasher + Clone + Send + Sync + 'static> Hash for S {}

type Key = Box<[u8]>;
pub type Made = Arc<dyn Cached>;

pub fn moka<V: Value, S: Hash>(hasher: S) -> Made {
    let cache = moka::sync::Cache::builder().max_capacity(BYTES as u64).weigher(|key: &Key, value| weight(key, value));
    Arc::new(Erased::<V, moka::sync::Cache<Key, V, S>>(cache.build_with_hasher(hasher), PhantomData))
}

impl<V: Value, S: Hash> Store<V> for moka::sync::Cache<Key, V, S> {
    fn get(&self, key: &[u8]) -> Option<V> {
        self.get(key)
    }

    fn insert(&self, key: &[u8], value: V) {
        self.insert(key.into(), value);
    }

    fn remove(&self, key: &[u8]) {
        self.invalidate(key);
    }

    fn len(&self) -> usize {
        self.run_pending_tasks();
        self.entry_count() as usize
    }
}

#[derive(Clone)]
pub struct Weigh;

impl<V> quick_cache::Weighter<Key, V> for Weigh {
    fn weight(&self, key: &Key, value: &V) -> u64 {
        weight(key, value).into()
    }
}

type Quick<V, S> = quick_cache::sync::Cache<Key, V, Weigh, S>;

pub fn quick_cache<V: Value, S: Hash>(hasher: S) -> Made {
    let cache: Quick<V, S> = quick_cache::sync::Cache::with(ENTRIES, BYTES as u64, Weigh, hasher, Default::default());
    Arc::new(Erased::<V, Quick<V, S>>(cache, PhantomData))
}

impl<V: Value, S: Hash> Store<V> for Quick<V, S> {
    fn get(&self, key: &[u8]) -> Option<V> {
        self.get(key)
    }

    fn insert(&self, key: &[u8], value: V) {
        self.insert(key.into(), value);
    }

    fn remove(&self, key: &[u8]) {
        self.remove(key);
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// papaya holds the entries, a ring says whose turn it is to go.
struct Clock<V, S> {
    map: papaya::HashMap<Arc<[u8]>, Turn<V>, S>,
    ring: Mutex<VecDeque<Arc<[u8]>>>,
    bytes: AtomicUsize,
}

struct Turn<V> {
    value: V,
    used: AtomicU8,
}

pub fn papaya<V: Value, S: Hash>(hasher: S) -> Made {
    let map = papaya::HashMap::with_capacity_and_hasher(ENTRIES, hasher);
    Arc::new(Erased::<V, Clock<V, S>>(Clock { map, ring: Mutex::default(), bytes: AtomicUsize::new(0) }, PhantomData))
}

impl<V: Value, S: Hash> Store<V> for Clock<V, S> {
    fn get(&self, key: &[u8]) -> Option<V> {
        let map = self.map.pin();
        let turn = map.get(key)?;
        if turn.used.load(Relaxed) == 0 {
            turn.used.store(1, Relaxed);
        }
        Some(turn.value.clone())
    }

    fn insert(&self, key: &[u8], value: V) {
        let key: Arc<[u8]> = key.into();
        let mut ring = self.ring.lock().unwrap();
        let map = self.map.pin();
        self.bytes.fetch_add(size(&key, &value), Relaxed);
        if let Some(old) = map.insert(key.clone(), Turn { value, used: AtomicU8::new(0) }) {
            self.bytes.fetch_sub(size(&key, &old.value), Relaxed);
            return;
        }
        ring.push_back(key);
        while map.len() > ENTRIES || self.bytes.load(Relaxed) > BYTES {
            let Some(next) = ring.pop_front() else { break };
            match map.get(&next) {
                Some(turn) if turn.used.swap(0, Relaxed) != 0 => ring.push_back(next),
                Some(turn) => {
                    self.bytes.fetch_sub(size(&next, &turn.value), Relaxed);
                    map.remove(&next);
                }
                None => {}
            }
        }
    }

    fn remove(&self, key: &[u8]) {
        if let Some(turn) = self.map.pin().remove(key) {
            self.bytes.fetch_sub(size(key, &turn.value), Relaxed);
        }
    }

    fn len(&self) -> usize {
        self.map.len()
    }
}

/// It rounds up to a power of two, and knows no bound of bytes: 8,192 is what comes nearest without more than was asked for.
pub fn scc<V: Value, S: Hash>(hasher: S) -> Made {
    let cache = scc::HashCache::with_capacity_and_hasher(0, 8_192, hasher);
    Arc::new(Erased::<V, scc::HashCache<Key, V, S>>(cache, PhantomData))
}

impl<V: Value, S: Hash> Store<V> for scc::HashCache<Key, V, S> {
    fn get(&self, key: &[u8]) -> Option<V> {
        // `read_sync` takes less of a lock, but what it reads counts as unused.
        self.get_sync(key).map(|entry| entry.get().clone())
    }

    fn insert(&self, key: &[u8], value: V) {
        let _ = self.put_sync(key.into(), value);
    }

    fn remove(&self, key: &[u8]) {
        self.remove_sync(key);
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// The crate's own, with its values counted: it has no need to know their number itself.
struct Ours<V, S> {
    store: Bounded<Key, Counted<V>, S>,
    count: Arc<AtomicUsize>,
}

struct Counted<V>(V, Arc<AtomicUsize>);

impl<V> Drop for Counted<V> {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Relaxed);
    }
}

impl Equivalent<Key> for [u8] {
    fn equivalent(&self, key: &Key) -> bool {
        *self == **key
    }
}

pub fn ours<V: Value, S: Hash>(hasher: S) -> Made {
    let bounds = Bounds { entries: ENTRIES as u64, bytes: BYTES as u64 };
    let store = Bounded::with_hasher(bounds, |key: &Key, value: &Counted<V>| size(key, &value.0), hasher);
    Arc::new(Erased::<V, Ours<V, S>>(Ours { store, count: Arc::default() }, PhantomData))
}

impl<V: Value, S: Hash> Store<V> for Ours<V, S> {
    fn get(&self, key: &[u8]) -> Option<V> {
        self.store.find(key, |counted| Some(counted.0.clone()))
    }

    fn insert(&self, key: &[u8], value: V) {
        self.count.fetch_add(1, Relaxed);
        self.store.insert(key.into(), Counted(value, self.count.clone()));
    }

    fn remove(&self, key: &[u8]) {
        self.store.remove(key);
    }

    fn len(&self) -> usize {
        self.count.load(Relaxed)
    }
}
