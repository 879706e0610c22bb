//! How often a judgement asks for memory, exactly: whoever adds one, or takes one away, says so here.
//!
//! It is counted on the thread that judges, and in Rust: what the cryptographic library asks for in C is not seen. A program of its own,
//! since the allocator that counts is the whole program's.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

#[path = "../benches/counting/mod.rs"]
#[allow(dead_code, reason = "shared with benchmarks")]
mod counting;
#[path = "../benches/measure/mod.rs"]
#[allow(clippy::disallowed_methods, reason = "shared with benchmarks, which read the time")]
mod measure;
#[path = "../benches/service/mod.rs"]
mod service;
#[path = "../benches/world/mod.rs"]
#[allow(dead_code, reason = "shared with benchmarks")]
mod world;

use std::hint::black_box;

use counting::allocations_in;
use http::HeaderMap;
use scopegate::{Algorithm, Credentials, Reason, Requirement, Validator};
use service::{Bare, answered, bearer, request};
use tower::Layer as _;
use world::{delete, read, token, trusting};

const RUNS: u32 = 100;

/// A way through a judgement, and how often it asks for memory.
struct Case {
    name: &'static str,
    remembers: Remembers,
    presents: Option<String>,
    demand: fn() -> Requirement,
    outcome: Result<(), Reason>,
    /// By `check`.
    check: u64,
    /// By the layer, without what the request, the service and `http` ask for.
    layer: u64,
}

#[derive(Clone, Copy)]
enum Remembers {
    Nothing,
    Tokens,
}
use Remembers::{Nothing, Tokens};

/// What `http` asks for to hold a token: a map, its table, and the token in it. Nothing spares them that puts one in a request's extensions.
const HOLDING_A_TOKEN: u64 = 3;
/// The same for an answer's reason, and two tables of fields.
const HOLDING_AN_ANSWER: u64 = 5;

#[rustfmt::skip]
fn cases() -> (Vec<Case>, [Validator; 2]) {
    let issuer = world::issuer([Algorithm::Es256]);
    let validators = [measure::forgetful(trusting(&issuer)).build().unwrap(), trusting(&issuer).build().unwrap()];
    let good = || Some(token(&issuer, Algorithm::Es256).mint());
    let tampered = || Some(token(&issuer, Algorithm::Es256).tampered().mint());
    let expired = || Some(token(&issuer, Algorithm::Es256).expired().mint());
    let refused = Err::<(), Reason>;
    let cases = vec![
        case("accepted, verified", Nothing, good(), read, Ok(()), 2, 2),
        case("accepted, remembered", Tokens, good(), read, Ok(()), 0, 0),
        case("not enough, verified", Nothing, good(), delete, refused(Reason::InsufficientScope), 2, 2),
        case("not enough, remembered", Tokens, good(), delete, refused(Reason::InsufficientScope), 0, 0),
        case("expired", Tokens, expired(), read, refused(Reason::Expired), 1, 1),
        case("bad signature", Tokens, tampered(), read, refused(Reason::BadSignature), 0, 0),
        case("malformed", Tokens, Some("A".repeat(900)), read, refused(Reason::Malformed), 0, 0),
        case("too long", Tokens, Some("A.".repeat(30_000)), read, refused(Reason::TooLong), 0, 0),
        case("no credentials", Tokens, None, read, refused(Reason::NoCredentials), 0, 0),
    ];
    (cases, validators)
}

fn case(
    name: &'static str,
    remembers: Remembers,
    presents: Option<String>,
    demand: fn() -> Requirement,
    outcome: Result<(), Reason>,
    check: u64,
    layer: u64,
) -> Case {
    Case { name, remembers, presents, demand, outcome, check, layer }
}

#[test]
fn a_judgement_asks_for_memory_exactly_so_often() {
    let (cases, [verifies, remembers]) = cases();
    let (runs, mut wrong) = (u64::from(RUNS), Vec::new());
    for case in &cases {
        let validator = if matches!(case.remembers, Nothing) { &verifies } else { &remembers };
        let demand = (case.demand)();
        let field = case.presents.as_deref().map(bearer);
        let headers: HeaderMap = request(field.clone()).headers().clone();
        let check = allocations_in(RUNS, || {
            let judged = black_box(validator.check(&Credentials::from_headers(black_box(&headers)), &demand));
            assert_eq!(judged.map(drop).map_err(|refused| refused.reason()), case.outcome, "{}", case.name);
        });
        let mut guarded = validator.require(demand).layer(Bare);
        let through = allocations_in(RUNS, || {
            let answer = black_box(answered(&mut guarded, request(field.clone())));
            assert_eq!(answer.extensions().get::<Reason>().copied(), case.outcome.err(), "{}", case.name);
        });
        let bare = allocations_in(RUNS, || drop(black_box(answered(&mut Bare, request(field.clone())))));
        let held = if case.outcome.is_ok() { HOLDING_A_TOKEN } else { HOLDING_AN_ANSWER };
        let found = (check, through - bare - held * runs);
        if found != (case.check * runs, case.layer * runs) {
            let told = format!("{}: check {}, layer {}", case.name, each(found.0), each(found.1));
            wrong.push(format!("{told}, and expected was {}, {}", case.check, case.layer));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn each(all: u64) -> String {
    let runs = u64::from(RUNS);
    if all.is_multiple_of(runs) { (all / runs).to_string() } else { format!("{all} in {runs}") }
}

#[test]
fn so_often_asks_what_is_not_ours() {
    let holding_a_token = allocations_in(RUNS, service::holding_a_token);
    let holding_an_answer = allocations_in(RUNS, service::holding_an_answer);
    let runs = u64::from(RUNS);
    assert_eq!((holding_a_token, holding_an_answer), (HOLDING_A_TOKEN * runs, HOLDING_AN_ANSWER * runs));
}
