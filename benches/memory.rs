//! What a validator's memory of tokens takes, and what strangers can make of it.
//!
//! ```text
//! cargo bench --bench memory              # 10,000,000 tokens of each kind, some minutes
//! cargo bench --bench memory -- 100000    # as many as that
//! cargo bench --bench memory -- --test    # few
//! ```
//!
//! - Unique tokens that are bad, half by their signature and half by their form: at most 16 MiB.
//! - Unique tokens that are good: at most 64 MiB.
//! - What a remembered token takes: at most 2 KiB and the token.
//!
//! All the while a thousand tokens are used in turn, one after every four strangers: they should stay remembered. The program ends at the
//! first number that does not hold. It reads `/proc`, so it runs on Linux.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![allow(clippy::panic, clippy::expect_used)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the time")]

mod measure;
#[path = "../examples/soak/measure.rs"]
#[allow(dead_code, reason = "shared with the soak")]
mod process;
#[allow(dead_code, reason = "shared with other benchmarks")]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use process::{live, resident};
use scopegate::testing::TestIssuer;
use scopegate::{Algorithm, Basis, Credentials, Judged, Observe, Reason, Requirement, Validator};
use world::{KID, read, token, trusting_secret};

const HOT: u64 = 1_000;
/// So many strangers come between two hot tokens.
const STRANGERS: u64 = 4;
/// So many are remembered to find out what one takes.
const REMEMBERED: u64 = 5_000;

const MIB: u64 = 1 << 20;
const AT_MOST_BY_BAD: u64 = 16 * MIB;
const AT_MOST_BY_GOOD: u64 = 64 * MIB;
const AT_MOST_BY_ONE: u64 = 2 << 10;
/// Of the uses of hot tokens that were told, so many must have been remembered.
const STAYED: f64 = 0.99;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let asked = arguments.iter().find_map(|argument| argument.parse().ok());
    let count = asked.unwrap_or(if is_test { 20_000 } else { 10_000_000 });

    // What a first judgement sets up is not what tokens take.
    let issuer = world::issuer([Algorithm::Hs256]);
    let mut mint = Mint::new(&issuer);
    Judge::new(&issuer).accepts(mint.good(0));

    // The bad come first: what others had given back would hide what these take.
    println!("{count} tokens of each kind, of {} bytes\n", mint.good(0).len());
    flood("bad", &issuer, &mut mint, count, AT_MOST_BY_BAD, |mint, number| {
        if number % 2 == 0 {
            (mint.with_bad_signature(number), Err(Reason::BadSignature))
        } else {
            (mint.malformed(number), Err(Reason::Malformed))
        }
    });
    flood("good", &issuer, &mut mint, count, AT_MOST_BY_GOOD, |mint, number| (mint.good(number), Ok(())));
    one(&issuer, &mut mint);
}

/// Strangers' tokens, one after the other, and hot ones between them.
fn flood(
    name: &str,
    issuer: &TestIssuer,
    mint: &mut Mint,
    count: u64,
    at_most: u64,
    stranger: impl Fn(&mut Mint, u64) -> (&str, Result<(), Reason>),
) {
    let judge = Judge::new(issuer);
    let before = resident().unwrap();
    for number in 0..HOT {
        judge.accepts(mint.good(number));
    }
    let (mut hot, mut first, mut told) = (Times::new(), Times::new(), Told::default());
    let (mut most, began) = (before, Instant::now());
    for number in 0..count {
        let (token, outcome) = stranger(mint, HOT + number);
        let begun = Instant::now();
        judge.expects(token, outcome);
        first.note(begun.elapsed());
        if number % STRANGERS == 0 {
            let token = mint.good(number / STRANGERS % HOT);
            let begun = Instant::now();
            judge.accepts(token);
            hot.note(begun.elapsed());
            told.note(judge.heard());
        }
        if number % 65_536 == 0 {
            most = most.max(resident().unwrap());
        }
    }
    let took = began.elapsed();
    let end = resident().unwrap();
    let grown = end.max(most).saturating_sub(before);
    println!("unique {name} tokens, in {took:.1?}:");
    println!(
        "    memory grew by {} at most ({} allowed), and by {} in the end",
        mib(grown),
        mib(at_most),
        mib(end.saturating_sub(before))
    );
    println!("    a hot token's use takes {} ns, a stranger's {} ns; medians", hot.median(), first.median());
    println!("    {}\n", told.says());
    assert!(grown <= at_most, "memory grew by {grown} bytes");
    assert!(told.share().is_none_or(|share| share >= STAYED), "hot tokens did not stay");
}

/// What a remembered token takes, to the byte.
fn one(issuer: &TestIssuer, mint: &mut Mint) {
    let judge = Judge::new(issuer);
    judge.accepts(mint.good(0));
    let length = mint.good(0).len() as u64;
    let before = live(u64::MAX);
    for number in 1..=REMEMBERED {
        judge.accepts(mint.good(number));
    }
    let each = live(u64::MAX).saturating_sub(before) / REMEMBERED;
    println!("a remembered token takes {each} bytes, its own {length} included ({} allowed)", AT_MOST_BY_ONE + length);
    if each < length {
        println!("    which is less than the token, so they are not remembered");
    }
    assert!(each <= AT_MOST_BY_ONE + length, "a remembered token takes {each} bytes");
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB as f64)
}

/// A validator that expects what it finds.
struct Judge {
    validator: Validator,
    demand: Requirement,
    hears: Arc<Hears>,
}

impl Judge {
    fn new(issuer: &TestIssuer) -> Self {
        let hears = Arc::new(Hears::default());
        let validator = trusting_secret(issuer).observe(hears.clone()).build().unwrap();
        Self { validator, demand: read(), hears }
    }

    fn accepts(&self, token: &str) {
        self.expects(token, Ok(()));
    }

    fn expects(&self, token: &str, outcome: Result<(), Reason>) {
        let judged = self.validator.check(&Credentials::bearer(token), &self.demand);
        assert_eq!(judged.map(drop).map_err(|refused| refused.reason()), outcome);
    }

    /// Whether the last judgement was from memory, if the validator said so.
    fn heard(&self) -> Option<bool> {
        match self.hears.0.load(Ordering::Relaxed) {
            REMEMBERED_IT => Some(true),
            VERIFIED_IT => Some(false),
            _ => None,
        }
    }
}

const REMEMBERED_IT: u8 = 1;
const VERIFIED_IT: u8 = 2;

#[derive(Debug, Default)]
struct Hears(AtomicU8);

impl Observe for Hears {
    fn judged(&self, judged: &Judged<'_>) {
        let heard = match remembered(judged) {
            Some(true) => REMEMBERED_IT,
            Some(false) => VERIFIED_IT,
            None => 0,
        };
        self.0.store(heard, Ordering::Relaxed);
    }
}

/// Whether a token was accepted from memory.
fn remembered(judged: &Judged<'_>) -> Option<bool> {
    judged.basis.map(|basis| basis == Basis::Memory)
}

/// How many were told to be remembered, and how many not.
#[derive(Default)]
struct Told {
    remembered: u64,
    verified: u64,
}

impl Told {
    fn note(&mut self, heard: Option<bool>) {
        match heard {
            Some(true) => self.remembered += 1,
            Some(false) => self.verified += 1,
            None => {}
        }
    }

    fn share(&self) -> Option<f64> {
        let all = self.remembered + self.verified;
        (all > 0).then(|| self.remembered as f64 / all as f64)
    }

    fn says(&self) -> String {
        match self.share() {
            Some(share) => format!("{:.3} % of the uses of hot tokens were remembered", share * 100.0),
            None => "the validator does not say which uses of hot tokens were remembered".to_owned(),
        }
    }
}

/// How long things took, in a place that does not grow: a bucket for each eight nanoseconds, the last one for all that took longer.
struct Times(Vec<u64>);

impl Times {
    fn new() -> Self {
        Self(vec![0; 8192])
    }

    fn note(&mut self, took: Duration) {
        let bucket = (took.as_nanos() / 8).min(self.0.len() as u128 - 1);
        self.0[bucket as usize] += 1;
    }

    fn median(&self) -> usize {
        let half = self.0.iter().sum::<u64>() / 2;
        let mut seen = 0;
        let middle = self.0.iter().position(|count| {
            seen += count;
            seen > half
        });
        middle.unwrap_or_default() * 8
    }
}

/// Makes tokens that differ in `jti` alone. It comes last, so that all before it is encoded and hashed once.
struct Mint {
    /// All but the octets of the claims from `jti` on, and the signature.
    beginning: String,
    /// Which has hashed that.
    signing: hmac::Context,
    /// The token in hand.
    token: String,
}

impl Mint {
    fn new(issuer: &TestIssuer) -> Self {
        let ordinary = token(issuer, Algorithm::Hs256).without("jti").mint();
        let mut parts = ordinary.split('.');
        let (header, claims) = (parts.next().unwrap(), URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap());
        let claims = String::from_utf8(claims).unwrap();
        let mut claims = format!(r#"{},"jti":""#, claims.strip_suffix('}').unwrap());
        // Three octets are four characters: what follows begins a new four.
        while claims.len() % 3 != 0 {
            claims.push('j');
        }
        let beginning = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let secret = issuer.secret(KID).unwrap();
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret));
        signing.update(beginning.as_bytes());
        Self { token: beginning.clone(), beginning, signing }
    }

    /// A good token, which has this number.
    fn good(&mut self, number: u64) -> &str {
        let signing = self.unsigned(number);
        URL_SAFE_NO_PAD.encode_string(signing.sign(), &mut self.token);
        &self.token
    }

    fn with_bad_signature(&mut self, number: u64) -> &str {
        self.unsigned(number);
        URL_SAFE_NO_PAD.encode_string([0x5a; 32], &mut self.token);
        &self.token
    }

    /// Which has no header.
    fn malformed(&mut self, number: u64) -> &str {
        let token = self.with_bad_signature(number);
        token.split_once('.').unwrap().1
    }

    fn unsigned(&mut self, number: u64) -> hmac::Context {
        let mut signing = self.signing.clone();
        self.token.truncate(self.beginning.len());
        URL_SAFE_NO_PAD.encode_string(format!("{number:018}\"}}"), &mut self.token);
        signing.update(&self.token.as_bytes()[self.beginning.len()..]);
        self.token.push('.');
        signing
    }
}
