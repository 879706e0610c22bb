//! One value that many threads hold at once.
//!
//! A count of references is written by whoever takes one and by whoever lets one go, so that threads which do this with the same
//! value all the time wait for each other: three times as long for each of two, and it grows with their number. A value that was
//! seen in more than one hand is therefore handed out by several counts, of which each thread takes its own.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// So many counts at most. Threads beyond that share them.
const LANES: usize = 6;

/// A counted reference. A clone costs one count.
pub(crate) enum Handle<T> {
    Own(Arc<T>),
    Lane(Arc<Lane<T>>),
}

/// A count of its own, in a cache line of its own.
#[repr(align(64))]
pub(crate) struct Lane<T>(Arc<T>);

/// The further counts of a value that is handed out.
pub(crate) struct Lanes<T>(OnceLock<Box<[Place<T>; LANES]>>);

type Place<T> = OnceLock<Arc<Lane<T>>>;

impl<T> Handle<T> {
    pub(crate) fn new(value: T) -> Self {
        Self::Own(Arc::new(value))
    }

    fn value(&self) -> &Arc<T> {
        match self {
            Self::Own(value) => value,
            Self::Lane(lane) => &lane.0,
        }
    }
}

impl<T> Clone for Handle<T> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Own(value) => Self::Own(Arc::clone(value)),
            Self::Lane(lane) => Self::Lane(Arc::clone(lane)),
        }
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value()
    }
}

impl<T> Lanes<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// A reference for this thread to a value of which one is held beside these.
    pub(crate) fn hand_out(&self, own: &Handle<T>) -> Handle<T> {
        if let Some(lane) = self.0.get().and_then(|lanes| lanes.get(lane_of_this_thread())) {
            return Handle::Lane(Arc::clone(lane.get_or_init(|| Arc::new(Lane(Arc::clone(own.value()))))));
        }
        // Where somebody holds another, more will come.
        if Arc::strong_count(own.value()) > 1 {
            let _ = self.0.set(Box::default());
        }
        own.clone()
    }
}

/// A value as often as there are lanes, for one whose clones all write one count that is not ours.
#[derive(Clone, Debug)]
pub(crate) struct Copies<T>(Arc<[Apart<T>; LANES]>);

/// In a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Apart<T>(T);

impl<T> Copies<T> {
    /// Each is made for itself, and no clone of another.
    pub(crate) fn new(make: impl Fn() -> T) -> Self {
        Self(Arc::new(std::array::from_fn(|_| Apart(make()))))
    }

    /// The one of this thread.
    #[inline]
    pub(crate) fn of_this_thread(&self) -> &T {
        let [first, ..] = &*self.0;
        &self.0.get(lane_of_this_thread()).unwrap_or(first).0
    }
}

/// Threads are numbered as they come, so that a few of them have a lane each.
fn lane_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    LANE.get().unwrap_or_else(|| {
        let lane = THREADS.fetch_add(1, Ordering::Relaxed) % LANES;
        LANE.set(Some(lane));
        lane
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn is_own<T>(handle: &Handle<T>) -> bool {
        matches!(handle, Handle::Own(_))
    }

    #[test]
    fn one_hand_at_a_time_takes_the_value_itself_and_more_take_lanes() {
        let (own, lanes) = (Handle::new(7), Lanes::new());
        for _ in 0..3 {
            let handle = lanes.hand_out(&own);
            assert!(is_own(&handle) && *handle == 7);
        }
        let first = lanes.hand_out(&own);
        let second = lanes.hand_out(&own);
        let third = lanes.hand_out(&own);
        let fourth = third.clone();
        assert!(is_own(&first) && is_own(&second) && !is_own(&third) && !is_own(&fourth));
        assert_eq!((*first, *second, *third, *fourth), (7, 7, 7, 7));
    }

    #[test]
    fn a_thread_keeps_to_one_copy_and_others_have_others() {
        let copies = Copies::new(|| Arc::new(()));
        let place = || std::ptr::from_ref(copies.of_this_thread()) as usize;
        assert_eq!(place(), place());
        let places: std::collections::BTreeSet<_> =
            (0..LANES).map(|_| thread::scope(|scope| scope.spawn(place).join().unwrap())).collect();
        assert!(places.len() > 1, "{places:?}");
        assert!(copies.0.iter().all(|copy| Arc::strong_count(&copy.0) == 1));
    }

    #[test]
    fn threads_write_counts_of_their_own_and_the_value_goes_with_the_last() {
        let value = Arc::new(());
        let (own, lanes) = (Handle::new(Arc::clone(&value)), Lanes::new());
        let held = (lanes.hand_out(&own), lanes.hand_out(&own));
        let before = Arc::strong_count(own.value());
        let take = || [lanes.hand_out(&own), lanes.hand_out(&own)];
        let handles: Vec<_> = (0..LANES).map(|_| thread::scope(|scope| scope.spawn(take).join().unwrap())).collect();
        let taken = Arc::strong_count(own.value()) - before;
        assert!((1..=LANES).contains(&taken), "one count for each lane that was taken: {taken}");
        drop((own, lanes, held));
        assert_eq!(Arc::strong_count(&value), 2, "somebody holds it yet");
        drop(handles);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
