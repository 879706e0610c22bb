//! Row I36: unique random tokens, as many as a stranger likes to send.

use std::fs;
use std::time::Instant;

use scopegate::testing::TestIssuer;
use scopegate::{Credentials, Issuer, Reason, Validator};

use crate::measure::AUDIENCE;
use crate::{asked, read};

const ISSUER: &str = "https://issuer.test";
const AT_MOST_PER_SECOND: u32 = 1000;
/// What memory may grow by.
const AT_MOST: u64 = 64 << 20;

pub(crate) fn run(tokens: u64) {
    let issuer = TestIssuer::new(ISSUER).default_audience(AUDIENCE);
    let trusted = Issuer::introspect(ISSUER, asked(&issuer).at_most_per_second(AT_MOST_PER_SECOND));
    let validator = Validator::builder(AUDIENCE).trust(trusted).fetch(issuer.fetch()).build().unwrap();
    let demand = read();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut inactive, mut unjudged) = (0_u64, 0_u64);

    let (before, began) = (resident(), Instant::now());
    let mut most = before;
    for number in 0..tokens {
        let token = random.token();
        let refused = validator.check(&Credentials::bearer(&token), &demand).expect_err("nobody made it");
        match refused.reason() {
            Reason::Inactive => inactive += 1,
            Reason::IntrospectionUnavailable => unjudged += 1,
            other => panic!("{other}"),
        }
        if number % 65_536 == 0 {
            most = most.max(resident());
        }
    }
    let took = began.elapsed();
    most = most.max(resident());
    let questions = issuer.requests().introspection;
    // A second's worth at once, and then as time passes.
    let allowed = f64::from(AT_MOST_PER_SECOND) * (1.0 + took.as_secs_f64());
    let grown = most.saturating_sub(before);
    assert!(questions as f64 <= allowed, "{questions} questions in {took:?}");
    assert!(grown <= AT_MOST, "memory grew by {grown} bytes");
    assert_eq!(inactive + unjudged, tokens);

    println!(
        "{tokens} unique random tokens through check, in {took:.1?} ({:.0} ns each):",
        took.as_nanos() as f64 / tokens as f64
    );
    println!("    memory grew by {:.1} MiB at most (64 allowed)", grown as f64 / (1 << 20) as f64);
    println!(
        "    {questions} questions, {allowed:.0} allowed: {:.0} a second",
        questions as f64 / took.as_secs_f64().max(1.0)
    );
    println!("    none accepted, {unjudged} times 503, {inactive} times 401\n");
}

/// xorshift64*: tokens that differ are enough.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn token(&mut self) -> String {
        format!("{:016x}{:016x}{:011x}", self.next(), self.next(), self.next() >> 20)
    }
}

/// Resident memory in bytes; 0 where it cannot be had.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}
