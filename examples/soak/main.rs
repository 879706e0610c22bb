//! What a validator leaves behind after very much work: memory, threads, sockets. Rows of millions, in full.
//!
//! ```text
//! cargo run --release --example soak -- --self-test            # every row, small: some seconds
//! cargo run --release --example soak -- unique-tokens          # S24, row 35: 10,000,000 tokens, some minutes
//! cargo run --release --example soak -- pressure               # row 36: the same with 64 MiB above what it takes
//! cargo run --release --example soak -- validators             # S26, row 37: 10,000 validators made and dropped
//! cargo run --release --example soak -- key-sets               # J09, J19, row 11: ten thousand keys in one set, and a huge one
//! ```
//!
//! Floods of unknown keys (S07), herds (S12) and rotations under load (J40) are `examples/outage`'s. The program ends with status 1
//! at the first number that does not hold. It reads `/proc`, so it runs on Linux.

mod measure;

use std::error::Error;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use scopegate::testing::{TestClock, TestIssuer};
use scopegate::{
    Algorithm, Clock as _, Credentials, Event, Issuer, KeyFile, KeySet, Observe, PlainHttp, Requirement, ScopePolicy,
    SealingSecret, SystemClock, Tenants, Validator,
};

use measure::{address_space, keep_one_arena, limit_address_space, live, resident, settled};

const A: &str = "https://a.example.test";
const API: &str = "https://api.example.test";

type Outcome = Result<(), Box<dyn Error>>;
type Row = fn(Scale) -> Outcome;

const ROWS: [(&str, Row); 4] =
    [("unique-tokens", unique_tokens), ("pressure", pressure), ("validators", validators), ("key-sets", key_sets)];

/// Makes this program the one whose memory is short, of this scale.
const UNDER_PRESSURE: &str = "SOAK_UNDER_PRESSURE";

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Small,
    Full,
}

fn main() -> ExitCode {
    if let Ok(scale) = std::env::var(UNDER_PRESSURE) {
        let outcome = under_pressure(if scale == "full" { Scale::Full } else { Scale::Small });
        return outcome.map_or_else(|error| failed("under pressure", &*error), |()| ExitCode::SUCCESS);
    }
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
            return failed(name, &*error);
        }
        println!("{name}: ok");
    }
    ExitCode::SUCCESS
}

fn failed(name: &str, error: &dyn Error) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::FAILURE
}

/// Whether memory, a thread and a socket too many are seen.
fn notices() -> bool {
    let (Ok(before), Ok(idle)) = (resident(), settled((0, 0))) else { return false };
    let allocated = live(u64::MAX);
    let held = vec![1_u8; 32 << 20];
    let is_counted = live(u64::MAX) >= allocated.saturating_add(32 << 20);
    let socket = std::net::TcpListener::bind("127.0.0.1:0");
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || ended.recv());
    let (Ok(after), Ok(busy)) = (resident(), settled((0, 0))) else { return false };
    drop((std::hint::black_box(held), socket, end));
    let _ = thread.join();
    let is_seen = grew("32 MiB, held to be seen", before, after, 16 << 20).is_err();
    is_counted && is_seen && busy.0 > idle.0 && busy.1 > idle.1
}

/// S24, row 35: memory after millions of unique tokens, good and bad. As many good ones as there is room for are remembered from the
/// beginning, and no more are at the end.
fn unique_tokens(scale: Scale) -> Outcome {
    let (count, warm) = if scale == Scale::Full { (10_000_000, 100_000) } else { (2_000, 1_000) };
    let flood = Flood::begin(scale)?;
    flood.judge(0..warm)?;
    let (before, live_before) = (resident()?, live(u64::MAX));
    flood.judge(warm..warm.saturating_add(count))?;
    // A handful of names of unknown keys is remembered, and some are longer than those that made room for them.
    let most = live_before.saturating_add(8 << 10);
    grew("what is allocated", live_before, live(most), 8 << 10)?;
    grew("memory", before, resident()?, 16 << 20)
}

/// Row 36: the same in a process that gets no more memory than it has, and 64 MiB.
fn pressure(scale: Scale) -> Outcome {
    let mut child = Command::new(std::env::current_exe()?);
    // As a test it is found by its name, and as a program it is this one.
    if cfg!(test) {
        child.args(["--exact", "tests::fault_row_36_where_memory_is_short_a_flood_is_survived"]);
    }
    child.env(UNDER_PRESSURE, if scale == Scale::Full { "full" } else { "small" });
    let ended = child.status()?;
    expect(ended.success(), || format!("the program whose memory was short ended with {ended}"))
}

fn under_pressure(scale: Scale) -> Outcome {
    const ROOM: u64 = 64 << 20;
    // Full: ten minutes, or so, of one core.
    let (count, warm) = if scale == Scale::Full { (5_000_000, 100_000) } else { (2_000, 1_000) };
    let flood = Flood::begin(scale)?;
    flood.judge(0..warm)?;
    limit_address_space(address_space()?.saturating_add(ROOM))?;
    let too_much = usize::try_from(ROOM.saturating_mul(2))?;
    expect(Vec::<u8>::new().try_reserve_exact(too_much).is_err(), || "memory is not short".to_owned())?;
    flood.judge(warm..warm.saturating_add(count))
}

/// A validator, and tokens that are all different.
struct Flood {
    issuer: TestIssuer,
    validator: Validator,
    demand: Requirement,
}

impl Flood {
    fn begin(scale: Scale) -> Result<Self, Box<dyn Error>> {
        let clock = TestClock::at(1_800_000_000);
        let issuer = TestIssuer::with_algorithms(A, [Algorithm::Ed25519]).clock(&clock).default_audience(API);
        let trusted = Issuer::jwks(A, issuer.jwks_uri()).algorithms([Algorithm::Ed25519]);
        let builder = Validator::builder(API).trust(trusted).fetch(issuer.fetch()).clock(clock);
        // Full before the first look is taken.
        let builder = if scale == Scale::Full { builder } else { builder.remember_at_most(500, 8 << 20) };
        let validator = builder.build()?;
        block_on(validator.warm_up())?;
        Ok(Self { issuer, validator, demand: ScopePolicy::none().into() })
    }

    fn judge(&self, range: std::ops::Range<u64>) -> Outcome {
        for number in range {
            // Of one length, so that those that leave make room for as much as comes.
            let named = || self.issuer.token().claim("jti", format!("j-{number:08}"));
            let judged = self.validator.check(&Credentials::bearer(&named().mint()), &self.demand);
            expect(judged.is_ok(), || format!("token {number} was refused: {judged:?}"))?;
            // The same with another signature, and with a key that nobody has.
            let bad = match number % 2 {
                0 => named().signature(vec![1; 64]),
                _ => self.issuer.token().header("kid", format!("unknown-{number}")),
            };
            let judged = self.validator.check(&Credentials::bearer(&bad.mint()), &self.demand);
            expect(judged.is_err(), || format!("bad token {number} was accepted"))?;
        }
        Ok(())
    }
}

/// S26, row 37: what is left of validators that were dropped. While it lived, each had a thread that fetched, one that told a listener,
/// some that asked a resolver and wrote a file, and sockets.
fn validators(scale: Scale) -> Outcome {
    let (count, warm) = if scale == Scale::Full { (10_000, 50) } else { (50, 20) };
    // With one for each of many threads, some that are gone, the system's allocator keeps 6 MiB to itself, and then no more.
    keep_one_arena();
    let [issuer, tenant] = [TestIssuer::on_loopback()?, TestIssuer::on_loopback()?];
    let [issuer, tenant] = [issuer, tenant].map(|issuer| issuer.default_audience(API));
    let file = std::env::temp_dir().join(format!("scopegate-soak-{}.keys", std::process::id()));
    let token = tenant.token().lifetime(Duration::from_secs(24 * 60 * 60)).mint();
    let demand = Requirement::from(ScopePolicy::none());
    let round = || -> Outcome {
        let trusted = |id: &str, jwks: &str| Issuer::jwks(id, jwks).plain_http(PlainHttp::OnLoopback);
        let jwks = tenant.jwks_uri();
        let tenants = Tenants::at_most(10, move |id| Some(trusted(id, &jwks))).dangerous().allow_private_addresses();
        let builder = Validator::builder(API).trust(trusted(issuer.id(), &issuer.jwks_uri())).trust_each(tenants);
        let secret = SealingSecret::new([7; 32])?;
        let validator = builder.observe(Arc::new(Listens)).keep_keys_in(KeyFile::new(&file, secret)).build()?;
        block_on(validator.warm_up())?;
        let judged = block_on(validator.validate(&Credentials::bearer(&token), &demand));
        expect(judged.is_ok(), || format!("the tenant's token was refused: {judged:?}"))
    };
    for _ in 0..warm {
        round()?;
    }
    let idle = settled((0, 0))?;
    let (before, live_before) = (resident()?, live(u64::MAX));
    for _ in 0..count {
        round()?;
    }
    let left = settled(idle)?;
    println!("threads and sockets: {left:?}, before {idle:?}");
    expect(file.exists(), || "no keys were kept, so nobody wrote a file".to_owned())?;
    std::fs::remove_file(&file)?;
    expect(left.0 <= idle.0 && left.1 <= idle.1, || format!("threads and sockets {left:?}, before {idle:?}"))?;
    let most = live_before.saturating_add(16 << 10);
    grew("what is allocated", live_before, live(most), 16 << 10)?;
    grew("memory", before, resident()?, 4 << 20)
}

#[derive(Debug)]
struct Listens;

impl Observe for Listens {
    fn happened(&self, event: &Event) {
        std::hint::black_box(event);
    }
}

/// J09, J19, row 11: a set of ten thousand keys, and one with an RSA key of 16,384 bits, read anew and anew.
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
    is_quick("a set of thousands of keys", each, Duration::from_millis(50))?;
    judge_a_huge_key(&issuer, rounds)?;
    grew("memory", before, resident()?, 8 << 20)
}

fn judge_a_huge_key(issuer: &TestIssuer, rounds: u32) -> Outcome {
    let good = issuer.jwk("es256-1").ok_or("no key")?;
    // 2048 octets in base64url.
    let modulus = format!("w{}", "V".repeat(2730));
    let set = format!(r#"{{"keys":[{{"kty":"RSA","kid":"huge","e":"AQAB","n":"{modulus}"}},{good}]}}"#);
    let clock = SystemClock::new();
    let began = clock.now();
    for _ in 0..rounds {
        let read = KeySet::from_json(set.as_bytes())?;
        let is_left_out = (read.keys().len(), read.left_out().len()) == (1, 1);
        expect(is_left_out, || format!("of a huge key and a good one {:?}, {:?}", read.keys(), read.left_out()))?;
    }
    let each = clock.now().since(began).checked_div(rounds).unwrap_or_default();
    is_quick("a set with an RSA key of 16,384 bits", each, Duration::from_millis(1))
}

/// How long it took is told, and judged in release builds alone: others are some thirty times as slow.
fn is_quick(what: &str, took: Duration, most: Duration) -> Outcome {
    println!("{what}: {took:?}, at most {most:?}");
    expect(cfg!(debug_assertions) || took <= most, || format!("{what} took {took:?}, more than {most:?}"))
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

fn grew(what: &str, before: u64, after: u64, most: u64) -> Outcome {
    let grown = after.saturating_sub(before);
    println!("{what}: {} KiB more than before", grown / 1024);
    expect(grown <= most, || format!("{what} grew by {grown} bytes, more than {most}"))
}

/// In `cargo test` too, on the same small scale. What is counted is the process's, so they take turns.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    static TURN: Mutex<()> = Mutex::new(());

    fn holds(row: Row) {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = row(Scale::Small);
        assert!(outcome.is_ok(), "{outcome:?}");
    }

    #[test]
    fn what_is_measured_shows_what_it_should() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(notices());
    }

    #[test]
    fn row_s24_fault_row_35_of_unique_tokens_no_more_is_left_than_there_is_room_for() {
        holds(unique_tokens);
    }

    #[test]
    fn fault_row_36_where_memory_is_short_a_flood_is_survived() {
        match std::env::var(UNDER_PRESSURE) {
            Ok(_) => assert!(under_pressure(Scale::Small).is_ok()),
            Err(_) => holds(pressure),
        }
    }

    #[test]
    fn row_s26_fault_row_37_of_validators_that_were_dropped_neither_thread_nor_socket_is_left() {
        holds(validators);
    }

    #[test]
    fn row_j09_row_j19_fault_row_11_a_set_of_thousands_of_keys_leaves_nothing_behind() {
        holds(key_sets);
    }
}
