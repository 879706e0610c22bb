//! Many threads at once, while keys come and go.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::*;

/// Counts what judgements rested on.
#[derive(Debug, Default)]
struct Counted([AtomicUsize; 3]);

impl Observe for Counted {
    fn judged(&self, judged: &Judged<'_>) {
        let place = match judged.basis {
            Some(Basis::Memory) => 0,
            Some(Basis::Signature) => 1,
            _ => 2,
        };
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }
}

impl Counted {
    fn all(&self) -> [usize; 3] {
        [0, 1, 2].map(|place: usize| self.0[place].load(Ordering::Relaxed))
    }
}

const THREADS: usize = 3;
const TURNS: u64 = 100;
/// So many judgements are made in each turn, by all threads.
const IN_A_TURN: usize = 12;

/// A turn of odd number is one in which the key is gone. It is announced after the key went, and the next before it comes back, so
/// that whoever sees the same odd number before and after a judgement was judged without the key.
#[test]
fn nothing_is_accepted_once_the_keys_without_its_own_are_installed() {
    let counted = Arc::new(Counted::default());
    let world = World::with(|issuer| issuer, |builder| builder.observe(counted.clone()).remember_at_most(64, 1 << 20));
    let tokens: Vec<_> = (0..20).map(|_| world.token().mint()).collect();
    let with = published(&world.issuer);
    world.issuer.rotate();
    let without = published(&world.issuer);
    let (turn, judged, gone) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for token in tokens.iter().cycle() {
                    let before = turn.load(Ordering::SeqCst);
                    if before > TURNS {
                        return;
                    }
                    let outcome = world.api.validator.check(&Credentials::bearer(token), &read());
                    let after = turn.load(Ordering::SeqCst);
                    let outcome = outcome.map(drop).map_err(|no| no.reason());
                    let is_without = before == after && before % 2 == 1;
                    gone.fetch_add(usize::from(is_without), Ordering::Relaxed);
                    // Told at the end, since the others wait for this one.
                    if outcome != Err(Reason::UnknownKey) && (is_without || outcome.is_err()) {
                        wrong.lock().unwrap().push((before, outcome));
                    }
                    judged.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let judge = || {
            let begun = judged.load(Ordering::SeqCst);
            while judged.load(Ordering::SeqCst) < begun + IN_A_TURN {
                thread::yield_now();
            }
        };
        for number in (1..TURNS).step_by(2) {
            judge();
            world.handle.install(without.clone());
            turn.store(number, Ordering::SeqCst);
            judge();
            turn.store(number + 1, Ordering::SeqCst);
            world.handle.install(with.clone());
        }
        turn.store(TURNS + 1, Ordering::SeqCst);
    });
    assert_eq!(*wrong.lock().unwrap(), []);
    let [memory, signature, _] = counted.all();
    assert!(memory > 0 && signature >= tokens.len(), "{memory} {signature}");
    assert!(gone.load(Ordering::Relaxed) > 0);
    assert_eq!(world.api.check(&tokens[0]).map(drop), Ok(()), "it ended with the key");
}

#[test]
fn nothing_is_accepted_once_it_is_denied() {
    let world = World::new();
    let tokens: Vec<_> = (0..50).map(|number| world.known(world.token().claim("jti", format!("j-{number}")))).collect();
    let denied = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while denied.load(Ordering::SeqCst) < tokens.len() {
                    for (number, token) in tokens.iter().enumerate() {
                        let before = denied.load(Ordering::SeqCst);
                        let outcome = world.api.validator.check(&Credentials::bearer(token), &read());
                        assert!(number >= before || outcome.is_err(), "{number} of {before}");
                    }
                }
            });
        }
        for number in 0..tokens.len() {
            world.api.validator.deny(&scopegate::Denial::jwt_id(A, &format!("j-{number}")), seconds(60)).unwrap();
            denied.store(number + 1, Ordering::SeqCst);
        }
    });
    assert!(tokens.iter().all(|token| world.api.check(token) == Err(Reason::Revoked)));
}

#[test]
fn a_crowd_at_a_cold_start_is_accepted_and_what_it_brought_is_remembered() {
    let counted = Arc::new(Counted::default());
    let world = World::with(|issuer| issuer, |builder| builder.observe(counted.clone()));
    let token = world.token().mint();
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..20 {
                    let accepted = world.api.validator.check(&Credentials::bearer(&token), &read()).unwrap();
                    assert_eq!(accepted.subject(), Some("user-1"));
                }
            });
        }
    });
    let [memory, signature, others] = counted.all();
    assert_eq!((memory + signature, others), (160, 0));
    assert_eq!(world.api.check(&token), MEMORY);
}

#[test]
fn threads_that_ask_for_different_tokens_get_their_own() {
    // So little room that entries make way for each other all the time.
    let world = World::with(|issuer| issuer, |builder| builder.remember_at_most(8, 1 << 20));
    let tokens: Vec<_> = (0..24)
        .map(|number| (format!("user-{number}"), world.token().subject(&format!("user-{number}")).mint()))
        .collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (tokens, api) = (&tokens, &world.api);
            scope.spawn(move || {
                for step in 0..400 {
                    let (subject, token) = &tokens[(step * (thread + 5) + step / 7) % tokens.len()];
                    let accepted = api.validator.check(&Credentials::bearer(token), &read()).unwrap();
                    assert_eq!(accepted.subject(), Some(subject.as_str()));
                }
            });
        }
    });
}
