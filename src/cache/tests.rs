use std::thread;

use super::*;

fn value<K: Hash + Eq, S: BuildHasher>(memory: &Bounded<K, u32, S>, key: &K) -> Option<u32> {
    memory.find(key, |value| Some(*value))
}

/// The entries and the bytes that can be found, which must be those that are counted.
fn contents<K, V, S>(memory: &Bounded<K, V, S>) -> (usize, usize) {
    let blocks = memory.blocks.iter().filter_map(OnceLock::get);
    let ways = blocks.flatten().flat_map(Set::ways);
    let sizes: Vec<_> = ways.filter_map(|way| way.slot.load().as_ref().map(|entry| entry.size)).collect();
    let found = (sizes.len(), sizes.iter().sum());
    assert_eq!(found, (memory.kept.entries.load(Relaxed), memory.kept.bytes.load(Relaxed)));
    found
}

fn filled(bounds: Bounds, size: usize) -> usize {
    let memory = Bounded::new(bounds, move |_: &u32, _: &()| size);
    for key in 0..10_000 {
        memory.insert(key, ());
    }
    contents(&memory).0
}

#[test]
fn both_bounds_hold() {
    for (bounds, size, kept) in [
        (Bounds { entries: 100, bytes: 1_000_000 }, 10, 100),
        (Bounds { entries: 100, bytes: 1_000_000 }, 50_000, 20),
        (Bounds { entries: 100, bytes: 1_000_000 }, 1_000_000, 1),
        (Bounds { entries: 100, bytes: 1_000_000 }, 1_000_001, 0),
        (Bounds { entries: 0, bytes: 1_000_000 }, 10, 0),
        (Bounds { entries: 100, bytes: 0 }, 10, 0),
        (Bounds { entries: 1, bytes: 1_000_000 }, 10, 1),
        (Bounds { entries: u64::MAX, bytes: 1_000_000 }, 1_000, 1_000),
    ] {
        assert_eq!(filled(bounds, size), kept, "{bounds:?} {size}");
    }
}

#[test]
fn nothing_is_lost_that_there_is_room_for_by_far() {
    let memory = Bounded::new(Bounds { entries: 10_000, bytes: 10_000_000 }, |_: &u32, _: &u32| 100);
    for key in 0..2_000 {
        memory.insert(key, key);
    }
    assert!((0..2_000).all(|key| value(&memory, &key) == Some(key)));
}

/// Says the same of everything.
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
        assert_eq!(value(&memory, &format!("good-{number}")), Some(number));
        assert_eq!(value(&memory, &format!("forged-{number}")), None);
    }
    let kept: Vec<u32> = (0..500).filter(|number| value(&memory, &format!("good-{number}")) == Some(*number)).collect();
    assert_eq!(kept.len(), WAYS, "a set holds so many, whatever comes");
    memory.remove(&format!("good-{}", kept[0]));
    let left: Vec<u32> = (0..500).filter(|number| value(&memory, &format!("good-{number}")).is_some()).collect();
    assert_eq!(left, kept[1..]);
}

#[test]
fn what_is_taken_out_is_gone_at_once_and_what_is_put_again_counts() {
    let memory = Bounded::new(Bounds { entries: 1_000, bytes: 100_000 }, |_: &u32, value: &u32| *value as usize % 50);
    for key in 0..50 {
        memory.insert(key, key);
    }
    memory.remove(&7);
    memory.remove(&99);
    memory.insert(8, 1_000);
    let expected = (0..50).filter(|key| *key != 7).map(|key| (key, if key == 8 { 1_000 } else { key }));
    let left: Vec<_> = (0..50).filter_map(|key| value(&memory, &key).map(|value| (key, value))).collect();
    assert_eq!(left, expected.collect::<Vec<_>>());
    assert_eq!(contents(&memory), (49, (0..50).sum::<usize>() - 7 - 8));
}

#[test]
fn what_is_in_use_stays_while_a_flood_goes_by() {
    let memory = Bounded::new(Bounds { entries: 1_000, bytes: 1_000_000 }, |_: &u32, _: &u32| 100);
    let hot = 0..200;
    let mut unique = 1_000_000;
    let mut missed = 0;
    for round in 0..200 {
        for key in hot.clone() {
            if value(&memory, &key).is_none() {
                missed += u32::from(round > 0);
                memory.insert(key, key);
            }
            unique += 1;
            memory.insert(unique, 0);
        }
    }
    assert!(missed < 200 * 200 / 50, "{missed} of 40,000 were forgotten in between");
    for key in 2_000_000..2_200_000 {
        memory.insert(key, key);
    }
    let left = hot.filter(|key| value(&memory, key).is_some()).count();
    assert_eq!(left, 0, "what nobody uses any more goes");
}

#[test]
fn many_threads_find_what_is_theirs_and_nothing_else() {
    let memory = Bounded::new(Bounds { entries: 64, bytes: 6_000 }, |_: &u32, _: &u32| 100);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let memory = &memory;
            scope.spawn(move || {
                let mut chance = u64::from(thread) + 1;
                for _ in 0..20_000 {
                    chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let key = (chance >> 33) as u32 % 200;
                    match chance >> 60 {
                        0..4 => memory.insert(key, key),
                        4 => memory.remove(&key),
                        _ => assert!(value(memory, &key).is_none_or(|value| value == key)),
                    }
                    // Invariant 4: each of the others may be writing one.
                    assert!(memory.kept.bytes.load(Relaxed) <= 6_000 + 400 * 2);
                }
            });
        }
    });
    let (entries, bytes) = contents(&memory);
    assert!(entries <= 64 && bytes <= 6_000, "{entries} {bytes}");
}

#[test]
fn room_is_made_where_entries_come() {
    let memory = Bounded::new(Bounds { entries: 1_000, bytes: 1_000_000 }, |_: &u32, _: &u32| 1);
    let made = || memory.blocks.iter().filter(|block| block.get().is_some()).count();
    memory.remove(&1);
    assert!(value(&memory, &1).is_none() && made() == 0);
    memory.insert(1, 1);
    assert_eq!((value(&memory, &1), made()), (Some(1), 1));
    (0..1_000).for_each(|key| memory.insert(key, key));
    assert_eq!(made(), memory.blocks.len());
}
