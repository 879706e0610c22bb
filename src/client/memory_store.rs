//! Logins that this process remembers.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::client::state::{StateStore, Storing};

/// A [`StateStore`] in the memory of this process, for a program that runs in one. Each login is completed once, whatever the browser sends.
///
/// It holds at most so many logins; the oldest makes room, since whoever begins them is not known yet.
pub struct MemoryStore {
    most: usize,
    begun: Mutex<Begun>,
}

#[derive(Default)]
struct Begun {
    records: HashMap<Box<str>, Vec<u8>>,
    order: VecDeque<Box<str>>,
}

impl MemoryStore {
    /// For at most so many logins at a time; one takes some 700 bytes. At least one.
    #[must_use]
    pub fn at_most(logins: usize) -> Self {
        Self { most: logins.max(1), begun: Mutex::default() }
    }
}

/// At most 10,000 logins.
impl Default for MemoryStore {
    fn default() -> Self {
        Self::at_most(10_000)
    }
}

impl StateStore for MemoryStore {
    fn put<'a>(&'a self, state: &'a str, record: &'a [u8], _: Duration) -> Storing<'a, Option<String>> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.records.insert(state.into(), record.to_vec());
        begun.order.push_back(state.into());
        if begun.order.len() > self.most.saturating_mul(2) {
            // Those that were completed leave their names in the order.
            let Begun { records, order } = &mut *begun;
            order.retain(|state| records.contains_key(state));
        }
        while begun.records.len() > self.most
            && let Some(oldest) = begun.order.pop_front()
        {
            begun.records.remove(&oldest);
        }
        Box::pin(async { Ok(None) })
    }

    fn take<'a>(&'a self, state: &'a str, _: Option<&'a str>) -> Storing<'a, Option<Vec<u8>>> {
        let taken = self.begun.lock().unwrap_or_else(PoisonError::into_inner).records.remove(state);
        Box::pin(async move { Ok(taken) })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    #[test]
    fn the_oldest_makes_room_and_no_other() {
        let store = MemoryStore::at_most(3);
        let put = |state: &str| drop(block_on(store.put(state, state.as_bytes(), Duration::ZERO)).unwrap());
        let take = |state: &str| block_on(store.take(state, None)).unwrap();
        put("open");
        for number in 0..100 {
            let state = format!("completed-{number}");
            put(&state);
            assert_eq!(take(&state).as_deref(), Some(state.as_bytes()));
            assert_eq!(take(&state), None);
        }
        put("b");
        put("c");
        assert_eq!(store.begun.lock().unwrap().records.len(), 3);
        put("d");
        assert_eq!(take("open"), None);
        for state in ["b", "c", "d"] {
            assert!(take(state).is_some(), "{state}");
        }
        assert!(store.begun.lock().unwrap().order.len() <= 6);
    }
}
