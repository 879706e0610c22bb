//! What two threads cost each other who verify with one prepared key.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::ParsedPublicKey;

use crate::keys::{self, Algorithm, Key, Signed};
use crate::libraries::aws_lc_key;
use crate::measure::{head, median, ran, row, spread};
use crate::wycheproof_cases;

type Work = Box<dyn Fn() + Sync + Send>;

/// How the work is shared out.
#[derive(Clone, Copy)]
enum Sharing {
    Alone,
    OneKey,
    OneEach,
}

/// Nanoseconds of a thread a run, one figure a round that counts.
#[derive(Default)]
struct Figures {
    ran: Vec<f64>,
    rounds: usize,
}

pub(crate) fn show(rounds: usize) {
    let subjects = subjects();
    let sharing = [Sharing::Alone, Sharing::OneKey, Sharing::OneEach];
    let mut figures: Vec<[Figures; 3]> = subjects.iter().map(|_| Default::default()).collect();
    let times: Vec<_> = subjects.iter().map(|(_, keys)| times_of(&keys[0])).collect();
    for _ in 0..rounds {
        for (((_, keys), figures), times) in subjects.iter().zip(&mut figures).zip(&times) {
            for (sharing, figures) in sharing.into_iter().zip(figures) {
                figures.rounds += 1;
                figures.ran.extend(round(sharing, keys, *times));
            }
        }
    }
    println!("\n### Two threads and one prepared key: nanoseconds that a thread runs for one call\n");
    head(&["", "alone", "one key", "one key each", "difference", "rounds that count"]);
    for ((name, _), [alone, one, each]) in subjects.iter().zip(&figures) {
        let cell = |figures: &Figures| match &figures.ran[..] {
            [] => "none".to_owned(),
            ran => format!("{:.0} ± {:.0}", median(ran), spread(ran)),
        };
        let difference = match (&one.ran[..], &each.ran[..]) {
            ([], _) | (_, []) => "none".to_owned(),
            (one, each) => {
                let (one, each) = (median(one), median(each));
                format!("{:+.0} ({:+.1} %)", one - each, (one / each - 1.0) * 100.0)
            }
        };
        let counted = format!("{}, {} of {}", one.ran.len(), each.ran.len(), one.rounds);
        row([(*name).to_owned(), cell(alone), cell(one), cell(each), difference, counted]);
    }
}

/// How long a thread ran, when it began and when it was done.
type Took = (Duration, Instant, Instant);

/// One round: the mean of the threads, if both worked at the same time and nobody took a core away.
fn round(sharing: Sharing, keys: &[Work; 2], times: u32) -> Option<f64> {
    let waiting = &AtomicUsize::new(0);
    let threads = match sharing {
        Sharing::Alone => vec![&keys[0]],
        Sharing::OneKey => vec![&keys[0], &keys[0]],
        Sharing::OneEach => vec![&keys[0], &keys[1]],
    };
    let count = threads.len();
    let took: Vec<Took> = thread::scope(|scope| {
        let start = |work| scope.spawn(move || together(work, waiting, count, times));
        let started: Vec<_> = threads.into_iter().map(start).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (began, done) = (took.iter().map(|took| took.1).max()?, took.iter().map(|took| took.2).min()?);
    // What they share of the time, of the whole that each took.
    let at_once = done.saturating_duration_since(began);
    let whole = |(ran, began, done): &Took| {
        let wall = *done - *began;
        wall < ran.mul_f64(1.1) && at_once > wall.mul_f64(0.8)
    };
    let sum: f64 = took.iter().map(|(ran, ..)| ran.as_nanos() as f64).sum();
    took.iter().all(whole).then(|| sum / count as f64 / f64::from(times))
}

/// Waits for the others, then works.
#[expect(clippy::disallowed_methods, reason = "time is what is measured here")]
fn together(work: &Work, waiting: &AtomicUsize, count: usize, times: u32) -> Took {
    waiting.fetch_add(1, Ordering::AcqRel);
    while waiting.load(Ordering::Acquire) < count {
        std::hint::spin_loop();
    }
    let (began, cpu) = (Instant::now(), ran());
    for _ in 0..times {
        work();
    }
    (ran() - cpu, began, Instant::now())
}

fn times_of(work: &Work) -> u32 {
    let start = ran();
    (0..8).for_each(|_| work());
    let once = (ran() - start).as_nanos().max(8) / 8;
    (Duration::from_millis(1).as_nanos() / once.max(20)).clamp(1, 20_000) as u32
}

/// What is done, each with two keys of the same material.
fn subjects() -> Vec<(&'static str, [Work; 2])> {
    let rs256 = keys::rsa(Algorithm::Rs256, KeySize::Rsa2048);
    let cubic = wycheproof_cases::with_exponent_3();
    let ed25519 = keys::ed25519();
    let mut short = ed25519.clone();
    short.signature.pop();
    vec![
        ("RS256, 2048 bits", both(&rs256, true)),
        ("RS256, 2048 bits, exponent 3", both(&cubic, true)),
        ("PS256, 2048 bits", both(&keys::rsa(Algorithm::Ps256, KeySize::Rsa2048), true)),
        ("ES256", both(&keys::ec(Algorithm::Es256), true)),
        ("Ed25519", both(&ed25519, true)),
        ("Ed25519, refused by its length", both(&short, false)),
        ("HS256", hs256()),
        ("an RSA key cloned and dropped", [cloned(&rs256), cloned(&rs256)]),
    ]
}

fn both(signed: &Signed, holds: bool) -> [Work; 2] {
    [0; 2].map(|_| {
        let Signed { message, signature, .. } = signed.clone();
        let key = aws_lc_key(signed.algorithm, &signed.key).unwrap();
        assert_eq!(key.verify_sig(&message, &signature).is_ok(), holds);
        Box::new(move || {
            let _ = black_box(key.verify_sig(black_box(&message), black_box(&signature)));
        }) as Work
    })
}

fn hs256() -> [Work; 2] {
    let message = keys::message();
    [0; 2].map(|_| {
        let (key, message) = (hmac::Key::new(hmac::HMAC_SHA256, b"a secret of 32 octets, as it is."), message.clone());
        let tag = hmac::sign(&key, &message);
        Box::new(move || {
            let _ = black_box(hmac::verify(&key, black_box(&message), tag.as_ref()));
        }) as Work
    })
}

/// The reference count alone.
fn cloned(signed: &Signed) -> Work {
    let Key::Rsa { .. } = signed.key else { unreachable!("an RSA key") };
    let key: ParsedPublicKey = aws_lc_key(signed.algorithm, &signed.key).unwrap();
    Box::new(move || drop(black_box(key.clone())))
}
