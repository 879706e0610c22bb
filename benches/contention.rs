//! What many threads get done that judge at the same time, beside what one gets done.
//!
//! ```text
//! cargo bench --bench contention              # half a minute
//! cargo bench --bench contention -- --test    # all of it once, and nothing is measured: outcomes alone
//! ```
//!
//! One validator, and as many threads as there are cores, two at least. All kinds of work are done in turn, by one thread and then by
//! many, and the ratio of each pair is taken: of two threads it is 2 where nothing is in the way, and the aim is 1.9.
//!
//! `the machine` is arithmetic in registers, which shares nothing: what it falls short of 2 is the machine's, or goes to others that use it
//! at the same time. `of that` is each kind's ratio over the machine's in the same round. `by its own time` counts only the time for which
//! a thread was running: that is right however busy the machine is, and it finds less in the way where threads seldom ran at once, which
//! the line below says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![allow(clippy::panic, clippy::expect_used)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the time")]

mod cpu_time;
mod measure;
#[allow(dead_code, reason = "shared with other benchmarks")]
mod world;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use measure::request;
use scopegate::testing::TestIssuer;
use scopegate::{Algorithm, Credentials, Validator};
use world::{read, token, trusting};

const ROUNDS: usize = 21;
const WINDOW: Duration = Duration::from_millis(50);
/// What each thread has where they have different ones.
const TOKENS_OF_A_THREAD: usize = 64;

/// A piece of work, to be done again and again by one thread.
type Work = Box<dyn FnMut() + Send>;

/// One kind of work, and how each thread gets its own.
struct Kind {
    name: &'static str,
    work: Box<dyn Fn(usize) -> Work>,
}

/// What some threads got done in a while.
#[derive(Clone, Copy)]
struct Done {
    /// Pieces a second.
    on_the_wall: f64,
    /// Pieces a second of each thread's own time, added up.
    by_own_time: f64,
    /// How many of the threads were running, on average.
    running: f64,
}

fn main() {
    let only_test = std::env::args().any(|argument| argument == "--test");
    let kinds = kinds();
    if only_test {
        for kind in &kinds {
            assert!(done(kind, 2, Duration::from_millis(1)).on_the_wall > 0.0);
        }
        return;
    }
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let many = if cores > 2 { vec![2, cores] } else { vec![2] };
    println!("what many threads get done, over what one gets done; medians of {ROUNDS} interleaved rounds");
    for threads in many {
        compare(&kinds, threads);
    }
}

fn compare(kinds: &[Kind], threads: usize) {
    let mut pairs: Vec<Vec<[Done; 2]>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (kind, pairs) in kinds.iter().zip(&mut pairs) {
            pairs.push([done(kind, 1, WINDOW), done(kind, threads, WINDOW)]);
        }
    }
    let on_the_wall = |pair: &[Done; 2]| pair[1].on_the_wall / pair[0].on_the_wall;
    let machine = pairs[0].clone();
    println!(
        "\n{:<26} {:>14} {:>9} {:>16} {:>12}",
        format!("{threads} threads"),
        "on the wall",
        "of that",
        "by its own time",
        "ns of one"
    );
    for (kind, pairs) in kinds.iter().zip(&pairs) {
        let of_machine = pairs.iter().zip(&machine).map(|(pair, machine)| on_the_wall(pair) / on_the_wall(machine));
        let [wall, own] = [
            middle(pairs.iter().map(on_the_wall)),
            middle(pairs.iter().map(|pair| pair[1].by_own_time / pair[0].by_own_time)),
        ];
        let of_machine = middle(of_machine);
        let one = middle(pairs.iter().map(|pair| 1e9 / pair[0].by_own_time));
        if let Some(file) = measure::json_file() {
            measure::json(&file, "contention", &[(kind.name, &format!("{threads} threads"), wall.0, wall.1)]);
        }
        println!(
            "{:<26} {:>6.2} ±{:<6.2} {:>8.0}% {:>8.2} ±{:<6.2} {:>12.0}",
            kind.name,
            wall.0,
            wall.1,
            of_machine.0 * 100.0,
            own.0,
            own.1,
            one.0
        );
    }
    let running = middle(pairs.iter().flatten().map(|pair| pair[1].running));
    println!("{:.2} of {threads} threads were running at a time, in the middle", running.0);
}

/// The median, and how far half of all are from it at most.
fn middle(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let mut away: Vec<f64> = sorted.iter().map(|figure| (figure - median).abs()).collect();
    away.sort_by(f64::total_cmp);
    (median, away[away.len() / 2])
}

/// Has so many threads work for a while.
fn done(kind: &Kind, threads: usize, window: Duration) -> Done {
    let (barrier, is_over) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let (barrier, is_over) = (&barrier, &is_over);
    let each = thread::scope(|scope| {
        let works: Vec<Work> = (0..threads).map(|number| (kind.work)(number)).collect();
        let run = |mut work: Work| {
            move || {
                work();
                barrier.wait();
                let (began, ran_before, mut pieces) = (Instant::now(), cpu_time::of_this_thread(), 0_u32);
                while !is_over.load(Ordering::Relaxed) {
                    work();
                    pieces += 1;
                }
                (f64::from(pieces), began.elapsed(), cpu_time::of_this_thread() - ran_before)
            }
        };
        let handles: Vec<_> = works.into_iter().map(|work| scope.spawn(run(work))).collect();
        barrier.wait();
        thread::sleep(window);
        is_over.store(true, Ordering::Relaxed);
        handles.into_iter().map(|handle| handle.join().expect("the outcome is as it should be")).collect::<Vec<_>>()
    });
    let sum = |figure: fn(&(f64, Duration, Duration)) -> f64| each.iter().map(figure).sum();
    Done {
        on_the_wall: sum(|(pieces, took, _)| pieces / took.as_secs_f64()),
        by_own_time: sum(|(pieces, _, ran)| pieces / ran.as_secs_f64()),
        running: sum(|(_, took, ran)| ran.as_secs_f64() / took.as_secs_f64()),
    }
}

fn kinds() -> Vec<Kind> {
    let issuer = world::issuer([Algorithm::Es256]);
    let remembers = trusting(&issuer).build().unwrap();
    let verifies = measure::forgetful(trusting(&issuer)).build().unwrap();
    let one = vec![mint(&issuer)];
    let junk = vec!["A".repeat(900)];
    let many: Vec<Vec<String>> = (0..thread::available_parallelism().map_or(2, usize::from).max(2))
        .map(|_| (0..TOKENS_OF_A_THREAD).map(|_| mint(&issuer)).collect())
        .collect();
    vec![
        Kind { name: "the machine", work: Box::new(|_| arithmetic()) },
        judges("the same token", &remembers, vec![one.clone()], Expected::Accepted),
        judges("different tokens", &remembers, many, Expected::Accepted),
        judges("verified, ES256", &verifies, vec![one], Expected::Accepted),
        judges("refused, malformed", &verifies, vec![junk], Expected::Refused),
    ]
}

fn mint(issuer: &TestIssuer) -> String {
    token(issuer, Algorithm::Es256).mint()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Accepted,
    Refused,
}

/// `check` with these tokens in turn: each thread has its own, or all have the only ones. Nothing but the validator is shared.
fn judges(name: &'static str, validator: &Validator, tokens: Vec<Vec<String>>, expected: Expected) -> Kind {
    let validator = validator.clone();
    let work = move |thread: usize| -> Work {
        let headers: Vec<_> = tokens[thread % tokens.len()].iter().map(|token| request(token)).collect();
        let (validator, demand, mut next) = (validator.clone(), read(), 0);
        Box::new(move || {
            let judged = validator.check(&Credentials::from_headers(black_box(&headers[next])), &demand);
            assert_eq!(black_box(judged).is_ok(), expected == Expected::Accepted);
            next = (next + 1) % headers.len();
        })
    };
    Kind { name, work: Box::new(work) }
}

/// About half a microsecond's worth, in registers.
fn arithmetic() -> Work {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    Box::new(move || {
        for _ in 0..256 {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
        }
        state = black_box(state);
    })
}
