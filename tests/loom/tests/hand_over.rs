//! What holds, whatever runs first. Two who ask, and the thread that they begin: three threads. loom itself fails a run in which
//! somebody waits for ever, or a thread does not end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::model;
use loom::thread;

use scopegate_loom::{Outcome, World};

/// Runs one beside another, and returns what both said.
fn both<T: 'static>(world: &Arc<World>, one: fn(&World) -> T, other: fn(&World) -> T) -> [T; 2] {
    let there = Arc::clone(world);
    let one = thread::spawn(move || one(&there));
    let other = other(world);
    [one.join().unwrap(), other]
}

#[test]
fn two_who_ask_at_once_begin_one_thread_and_share_one_fetch() {
    model(|| {
        let world = World::new(0);
        let answers = both(&world, |world| world.ask().wait(), |world| world.ask().wait());
        assert_eq!(answers, [Outcome::Keys(1), Outcome::Keys(1)]);
        assert_eq!((world.begun.load(Ordering::Relaxed), world.fetches.load(Ordering::Relaxed)), (1, 1));
    });
}

#[test]
fn of_two_that_may_not_wait_one_at_least_is_on_its_way_and_each_that_says_so_is_read() {
    model(|| {
        let world = World::new(0);
        let sent = both(&world, |world| world.start(), |world| world.start());
        assert!(sent.contains(&true));
        // Whoever asks behind them is answered behind them.
        assert_eq!(world.ask().wait(), Outcome::Keys(1));
        let said = sent.into_iter().filter(|sent| *sent).count();
        assert_eq!(world.read.load(Ordering::Relaxed), said);
        assert_eq!(world.begun.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn who_waits_and_who_may_not_are_served_by_one_thread() {
    model(|| {
        let world = World::new(0);
        both(&world, |world| _ = world.start(), |world| assert_eq!(world.ask().wait(), Outcome::Keys(1)));
        assert_eq!((world.begun.load(Ordering::Relaxed), world.fetches.load(Ordering::Relaxed)), (1, 1));
    });
}

#[test]
fn when_the_thread_dies_everybody_learns_it_and_the_next_is_served() {
    model(|| {
        let world = World::new(1);
        let answers = both(&world, |world| world.ask().wait(), |world| world.ask().wait());
        // The one who came to the dying thread hears that nobody is there; the other may have come to it too, or to the next.
        assert!(answers.contains(&Outcome::Nobody));
        // The thread was told to end before its end of the line is seen to be closed: ask until one is there.
        let mut answer = world.ask().wait();
        if answer == Outcome::Nobody {
            answer = world.ask().wait();
        }
        assert_eq!(answer, Outcome::Keys(1));
        assert_eq!(world.begun.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_death_leaks_no_place_for_questions() {
    model(|| {
        let world = World::new(1);
        both(&world, |world| _ = world.start(), |world| _ = world.start());
        // Places of the dead thread are gone with it; of the next one every place is free, or its question is read.
        while world.begun.load(Ordering::Relaxed) < 2 || world.fetches.load(Ordering::Relaxed) == 0 {
            if world.ask().wait() != Outcome::Nobody {
                break;
            }
        }
        assert!(world.start());
    });
}

#[test]
fn a_thread_ends_with_the_last_who_could_ask_even_while_it_begins() {
    model(|| {
        let world = World::new(0);
        both(&world, |world| _ = world.start(), |world| world.wake());
        drop(world);
    });
}
