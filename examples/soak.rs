//! What a validator leaves behind after very much work: memory, threads, sockets. Rows of millions, in full.
//!
//! ```text
//! cargo run --release --example soak -- --self-test            # every row, small: some seconds
//! cargo run --release --example soak -- unique-tokens          # S24, row 35: 10,000,000 tokens, some minutes
//! cargo run --release --example soak -- validators             # row 37: 10,000 validators made and dropped
//! cargo run --release --example soak -- key-sets               # J09, row 11: ten thousand keys in one set
//! prlimit --as=536870912 target/release/examples/soak unique-tokens   # row 36: the same where memory is short
//! ```
//!
//! Floods of unknown keys (S07), herds (S12) and rotations under load (J40) are `examples/outage`'s. The program ends with status 1
//! at the first number that does not hold. It reads `/proc`, so it runs on Linux.

use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use futures_executor::block_on;
use scopegate::testing::{TestClock, TestIssuer};
use scopegate::{
    Algorithm, Clock as _, Credentials, Issuer, KeySet, PlainHttp, Requirement, ScopePolicy, SystemClock, Validator,
};

const A: &str = "https://a.example.test";
const API: &str = "https://api.example.test";

type Outcome = Result<(), Box<dyn Error>>;
type Row = fn(Scale) -> Outcome;

const ROWS: [(&str, Row); 3] = [("unique-tokens", unique_tokens), ("validators", validators), ("key-sets", key_sets)];

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Small,
    Full,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (rows, scale) = match *names.as_slice() {
        ["--self-test"] => (ROWS.to_vec(), Scale::Small),
        [] => (ROWS.to_vec(), Scale::Full),
        [name] => (ROWS.into_iter().filter(|(row, _)| *row == name).collect(), Scale::Full),
        _ => (Vec::new(), Scale::Full),
    };
    if rows.is_empty() {
        eprintln!("usage: soak [--self-test | {}]", ROWS.map(|(name, _)| name).join(" | "));
        return ExitCode::from(2);
    }
    if scale == Scale::Small && !notices() {
        eprintln!("what is measured here does not show what it should");
        return ExitCode::FAILURE;
    }
    for (name, row) in rows {
        if let Err(error) = row(scale) {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
        println!("{name}: ok");
    }
    ExitCode::SUCCESS
}

/// Whether memory, a thread and a socket too many are seen.
fn notices() -> bool {
    let (Ok(before), Ok(idle)) = (resident(), settled((0, 0))) else { return false };
    let held = vec![1_u8; 32 << 20];
    let socket = std::net::TcpListener::bind("127.0.0.1:0");
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || ended.recv());
    let (Ok(after), Ok(busy)) = (resident(), settled((0, 0))) else { return false };
    drop((std::hint::black_box(held), socket, end));
    let _ = thread.join();
    grew("32 MiB, held to be seen", before, after, 16 << 20).is_err() && busy.0 > idle.0 && busy.1 > idle.1
}

/// S24, rows 35 and 36: memory after millions of unique tokens, good and bad.
fn unique_tokens(scale: Scale) -> Outcome {
    let (count, warm) = if scale == Scale::Full { (10_000_000, 100_000) } else { (2_000, 1_000) };
    let clock = TestClock::at(1_800_000_000);
    let issuer = TestIssuer::with_algorithms(A, [Algorithm::Ed25519]).clock(&clock).default_audience(API);
    let trusted = Issuer::jwks(A, issuer.jwks_uri()).algorithms([Algorithm::Ed25519]);
    let validator = Validator::builder(API).trust(trusted).fetch(issuer.fetch()).clock(clock).build()?;
    block_on(validator.warm_up())?;
    let demand = Requirement::from(ScopePolicy::none());
    let judge = |range: std::ops::Range<u64>| -> Outcome {
        for number in range {
            let good = issuer.token().claim("jti", format!("j-{number}"));
            let token = good.mint();
            let judged = validator.check(&Credentials::bearer(&token), &demand);
            expect(judged.is_ok(), || format!("token {number} was refused: {judged:?}"))?;
            // The same with another signature, and with a key that nobody has.
            let bad = match number % 2 {
                0 => issuer.token().claim("jti", format!("j-{number}")).signature(vec![1; 64]),
                _ => issuer.token().header("kid", format!("unknown-{number}")),
            };
            let judged = validator.check(&Credentials::bearer(&bad.mint()), &demand);
            expect(judged.is_err(), || format!("bad token {number} was accepted"))?;
        }
        Ok(())
    };
    judge(0..warm)?;
    let before = resident()?;
    judge(warm..warm.saturating_add(count))?;
    grew("memory", before, resident()?, 16 << 20)
}

/// Row 37: what is left of validators that were dropped, each with a thread and a socket while it lived.
fn validators(scale: Scale) -> Outcome {
    let count = if scale == Scale::Full { 10_000 } else { 50 };
    let issuer = TestIssuer::on_loopback()?.default_audience(API);
    let round = || -> Outcome {
        let trusted = Issuer::jwks(issuer.id(), issuer.jwks_uri()).plain_http(PlainHttp::OnLoopback);
        let validator = Validator::builder(API).trust(trusted).build()?;
        Ok(block_on(validator.warm_up())?)
    };
    for _ in 0..50 {
        round()?;
    }
    let idle = settled((0, 0))?;
    let before = resident()?;
    for _ in 0..count {
        round()?;
    }
    let left = settled(idle)?;
    expect(left.0 <= idle.0 && left.1 <= idle.1, || format!("threads and sockets {left:?}, before {idle:?}"))?;
    grew("memory", before, resident()?, 4 << 20)
}

/// J09, row 11: a set of ten thousand keys, read anew and anew.
fn key_sets(scale: Scale) -> Outcome {
    let rounds = if scale == Scale::Full { 1_000 } else { 1 };
    let issuer = TestIssuer::new(A);
    let key = issuer.jwk("es256-1").ok_or("no key")?;
    let set = |count: usize| {
        let keys: Vec<String> = (0..count).map(|number| key.replace("es256-1", &format!("k-{number}"))).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    };
    let (most, too_many) = (set(4_000), set(10_000));
    let before = resident()?;
    let clock = SystemClock::new();
    let began = clock.now();
    for _ in 0..rounds {
        let read = KeySet::from_json(most.as_bytes())?;
        expect(read.keys().len() == 512, || format!("{} keys", read.keys().len()))?;
        expect(KeySet::from_json(too_many.as_bytes()).is_err(), || "ten thousand keys were read".to_owned())?;
    }
    let each = clock.now().since(began).checked_div(rounds).unwrap_or_default();
    // A number of the release build, over many rounds: a debug build is some thirty times as slow, and one round may be held up.
    let most = Duration::from_millis(50);
    let is_judged = scale == Scale::Full && !cfg!(debug_assertions);
    expect(!is_judged || each <= most, || format!("{each:?} a set, more than {most:?}"))?;
    grew("memory", before, resident()?, 8 << 20)
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

fn grew(what: &str, before: u64, after: u64, most: u64) -> Outcome {
    let grown = after.saturating_sub(before);
    println!("{what}: {} KiB more than before", grown / 1024);
    expect(grown <= most, || format!("{what} grew by {grown} bytes, more than {most}"))
}

/// Octets of memory in use.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes.saturating_mul(1024))
}

/// Threads and sockets, once there are no more than these, or as many as there are after 5 s.
fn settled(goal: (usize, usize)) -> Result<(usize, usize), Box<dyn Error>> {
    let mut found = (usize::MAX, usize::MAX);
    for _ in 0..500 {
        let is_socket =
            |path: &std::path::Path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        let sockets = fs::read_dir("/proc/self/fd")?.flatten().filter(|entry| is_socket(&entry.path())).count();
        found = (fs::read_dir("/proc/self/task")?.count(), sockets);
        if found.0 <= goal.0 && found.1 <= goal.1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(if goal == (0, 0) { 1 } else { 10 }));
    }
    Ok(found)
}

/// The same as `--self-test`, so that `cargo test` runs it.
#[cfg(all(test, target_os = "linux"))]
#[test]
fn every_row_holds_on_a_small_scale() {
    assert!(notices());
    for (name, row) in ROWS {
        let outcome = row(Scale::Small);
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}
