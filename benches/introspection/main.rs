//! What it costs to have asked the issuer, and what the issuer is spared.
//!
//! ```text
//! cargo bench --bench introspection                     # all of it: some minutes
//! cargo bench --bench introspection -- remembered       # a part: remembered, crowd, flood or broken
//! cargo bench --bench introspection -- flood 1000000    # with fewer tokens than 10,000,000
//! cargo bench --bench introspection -- --test           # all of it, small, and nothing is measured: outcomes alone
//! ```
//!
//! - `remembered`: a remembered answer through `check`, beside a JWT whose signature is remembered, beside one that is verified each time,
//!   and beside the signature alone.
//! - `crowd`: a thousand callers with one token, and a thousand with a token each while the issuer takes ten seconds.
//! - `flood`: ten million unique random tokens. What grows, and what the issuer hears of it.
//! - `broken`: the way to the issuer, broken in every way; beside it, checks of JWTs by the same validator, verified and remembered.
//!
//! Outcomes are asserted before anything is measured. Quote the ratios, which come first, and not the times.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the time")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![allow(clippy::panic, clippy::expect_used)]

mod broken;
#[path = "../counting/mod.rs"]
mod counting;
#[path = "../cpu_time/mod.rs"]
mod cpu_time;
mod crowd;
mod flood;
#[path = "../measure/mod.rs"]
mod measure;
mod remembered;

use scopegate::testing::TestIssuer;
use scopegate::{ClientAuth, Introspection, Requirement, ScopePolicy};

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Test,
    Full,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let scale = if arguments.iter().any(|argument| argument == "--test") { Scale::Test } else { Scale::Full };
    let tokens = arguments.iter().find_map(|argument| argument.parse().ok());
    let named: Vec<_> = arguments.iter().filter(|argument| PARTS.contains(&argument.as_str())).collect();
    for part in PARTS {
        if !named.is_empty() && !named.iter().any(|name| *name == part) {
            continue;
        }
        match part {
            "remembered" => remembered::run(scale),
            "crowd" => crowd::run(scale),
            "flood" => flood::run(tokens.unwrap_or(if scale == Scale::Test { 20_000 } else { 10_000_000 })),
            _ => broken::run(scale),
        }
    }
}

const PARTS: [&str; 4] = ["remembered", "crowd", "flood", "broken"];

fn read() -> Requirement {
    ScopePolicy::all(["things:read"]).unwrap().into()
}

/// The issuer, asked as a client that it knows.
fn asked(issuer: &TestIssuer) -> Introspection {
    Introspection::at(issuer.introspection_endpoint(), ClientAuth::basic("api", "api"))
}
