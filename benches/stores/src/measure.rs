//! How it is measured: contenders in turn, and medians; and the tokens.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::stores::{Cached, Made};

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Scale {
    pub rounds: usize,
    /// Operations a round.
    pub times: usize,
    pub requests: usize,
    pub unique: u64,
}

#[derive(Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// Half of all rounds lie within this much of the median.
    pub fn spread(&self) -> f64 {
        let median = self.median();
        Self(self.0.iter().map(|figure| (figure - median).abs()).collect()).median()
    }

    pub fn cell(&self) -> String {
        let (median, spread) = (self.median(), self.spread());
        if median < 100.0 { format!("{median:.1} ±{spread:.1}") } else { format!("{median:.0} ±{spread:.0}") }
    }
}

/// Runs all contenders once a round, so that a machine whose speed drifts is slow for all of them.
pub fn rounds<T>(scale: Scale, contenders: &[T], mut run: impl FnMut(&T) -> f64) -> Vec<Figures> {
    let mut figures: Vec<_> = contenders.iter().map(|_| Figures::default()).collect();
    for _ in 0..scale.rounds {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            figures.push(run(contender));
        }
    }
    figures
}

/// A token of `length` bytes: the header and the first claims are those of all others.
pub fn token(number: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
    let mut token =
        b"eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImsxIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbSIs"
            .to_vec();
    token.truncate(length / 2);
    token.resize_with(length, || {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[random.usize(..64)]
    });
    if length > 200 {
        token[length - 87] = b'.';
    }
    token
}

pub fn tokens(from: u64, count: usize) -> Vec<Vec<u8>> {
    (from..).take(count).map(|number| token(number, 1_100)).collect()
}

/// Nanoseconds a look-up of random ones of these tokens, each of which was read just before, as a request's header is.
pub fn look_up(store: &dyn Cached, tokens: &[Vec<u8>], times: usize, expected: bool) -> f64 {
    let mut requests = vec![Vec::new(); 16];
    let (mut spent, mut batches) = (Duration::ZERO, 0);
    for _ in 0..times.div_ceil(requests.len()) {
        for request in &mut requests {
            request.clone_from(&tokens[fastrand::usize(..tokens.len())]);
        }
        let start = Instant::now();
        let found = requests.iter().filter(|request| store.hit(request)).count();
        let elapsed = start.elapsed();
        // Longer than this, the core was another's meanwhile.
        if elapsed < Duration::from_millis(1) || batches == 0 {
            (spent, batches) = (spent + elapsed, batches + 1);
        }
        assert_eq!(found, if expected { requests.len() } else { 0 });
    }
    spent.as_nanos() as f64 / (batches * requests.len()) as f64
}

/// Nanoseconds an insert of each of these tokens.
pub fn insert(store: &dyn Cached, tokens: &[Vec<u8>]) -> f64 {
    let start = Instant::now();
    for token in tokens {
        store.insert(token);
    }
    start.elapsed().as_nanos() as f64 / tokens.len() as f64
}

/// Nanoseconds a hit of each of these threads at once, each with its own core and token. A round in which they did not run at the same
/// time is run again, since those that do not run do not hinder each other.
pub fn threads<const N: usize>(store: &Made, tokens: [&[u8]; N], times: usize) -> f64 {
    let run = |core: usize, waiting: &AtomicUsize| {
        let mut cores = CpuSet::new();
        cores.set(core);
        // Where a core may not be chosen, the rounds that count are only rarer.
        let _ = sched_setaffinity(None, &cores);
        let token = tokens[core].to_vec();
        store.hit(&token);
        waiting.fetch_sub(1, SeqCst);
        while waiting.load(SeqCst) > 0 {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        for _ in 0..times {
            assert!(store.hit(&token));
        }
        (start, Instant::now())
    };
    let mut ran = Vec::new();
    for _ in 0..200 {
        let waiting = AtomicUsize::new(N);
        ran = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..N)
                .map(|core| {
                    let (run, waiting) = (&run, &waiting);
                    scope.spawn(move || run(core, waiting))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (first, last) = (ran.iter().map(|(start, _)| *start).max(), ran.iter().map(|(_, end)| *end).min());
        let together = last.unwrap().saturating_duration_since(first.unwrap());
        if ran.iter().all(|(start, end)| together > (*end - *start).mul_f64(0.9)) {
            break;
        }
    }
    ran.iter().map(|(start, end)| (*end - *start).as_nanos() as f64).sum::<f64>() / (times * N) as f64
}

/// Numbers of which the small ones are frequent.
pub struct Zipf(Vec<f64>);

impl Zipf {
    pub fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums: Vec<_> = (1..=count)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        Self(sums.iter().map(|part| part / sum).collect())
    }

    pub fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let drawn = random.f64();
        self.0.partition_point(|sum| *sum < drawn).min(self.0.len() - 1)
    }
}

/// A request; whether it hit.
fn request(store: &dyn Cached, token: &[u8]) -> bool {
    let hit = store.hit(token);
    if !hit {
        store.insert(token);
    }
    hit
}

/// The share of requests that hit, in percent, once a third of them has warmed the store; `unique` others come beside each. With
/// `shift`, other tokens become the frequent ones three times.
pub fn hit_ratio(store: &dyn Cached, zipf: &Zipf, unique: u64, requests: usize, shift: usize) -> f64 {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut hits, mut next) = (0, 1 << 40);
    for number in 0..requests {
        let moved = zipf.draw(&mut random) + shift * (number * 4 / requests);
        let hit = request(store, &token(moved as u64, 120));
        hits += usize::from(hit && number >= requests / 3);
        for _ in 0..unique {
            request(store, &token(next, 120));
            next += 1;
        }
    }
    100.0 * hits as f64 / (requests - requests / 3) as f64
}

pub fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}
