//! The main ways through a judgement, each run some times when it is named: for `benches/instructions/run`, which counts.
//!
//! ```text
//! benches/instructions/run                         # counts, and compares with what is written down
//! cargo bench --bench instructions -- --test       # each way once: outcomes alone
//! cargo bench --bench instructions -- es256 100    # one way, so many times, without counting
//! ```
//!
//! Keys and tokens are always the same, since the text of a token decides, by a few instructions, what it takes to read it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![allow(clippy::panic, clippy::expect_used)]

#[path = "../measure/mod.rs"]
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the time")]
mod measure;
mod saved;
#[path = "../service/mod.rs"]
#[allow(dead_code, reason = "shared with other benchmarks")]
mod service;
#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "shared with other benchmarks")]
mod world;

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use futures_executor::block_on;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use measure::AUDIENCE;
use saved::Saved;
use scopegate::{
    Algorithm, ClientAuth, Credentials, Fetch, FetchLimits, Fetching, GuardedBody, Introspection, Issuer, KeySet,
    Reason, RequireToken, Secret, Validator, ValidatorBuilder,
};
use service::{Bare, answered, bearer, request};
use tower::Layer as _;
use world::{HOUR, ISSUER, KID, read};

/// A way, by its name.
type Way = (&'static str, fn(&Saved) -> Box<dyn FnMut()>);

const WAYS: [Way; 10] = [
    ("rs256", |saved| checked(measure::forgetful(public(saved)), saved.token("rs256"), Ok(()))),
    ("es256", |saved| checked(measure::forgetful(public(saved)), saved.token("es256"), Ok(()))),
    ("eddsa", |saved| checked(measure::forgetful(public(saved)), saved.token("eddsa"), Ok(()))),
    ("hs256", |saved| checked(measure::forgetful(secret(saved)), saved.token("hs256"), Ok(()))),
    ("remembered", |saved| checked(public(saved), saved.token("es256"), Ok(()))),
    ("layer", |saved| guarded(public(saved), Some(saved.token("es256")), StatusCode::OK)),
    ("introspected", |saved| checked(introspecting(saved), saved.token("es256"), Ok(()))),
    ("no-credentials", |saved| guarded(public(saved), None, StatusCode::UNAUTHORIZED)),
    ("malformed", |saved| checked(public(saved), &"A".repeat(900), Err(Reason::Malformed))),
    ("bad-signature", |saved| checked(public(saved), saved.token("bad-signature"), Err(Reason::BadSignature))),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let saved = Saved::read();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--names"] => WAYS.iter().for_each(|(name, _)| println!("{name}")),
        ["--mint"] => println!("{}", saved::mint()),
        [name, times] if WAYS.iter().any(|(way, _)| *way == name) => {
            let (_, way) = WAYS.iter().find(|(way, _)| *way == name).unwrap();
            // What is set up by a first judgement, and what is noted for a second one, is behind it when it is counted.
            let mut run = way(&saved);
            (0..3).for_each(|_| run());
            counted(times.parse().expect("a number of times"), &mut run);
        }
        // Under `cargo bench` without a name there is nothing to measure: counting takes `benches/instructions/run`.
        [] | ["--test"] => WAYS.iter().for_each(|(_, way)| counted(2, &mut way(&saved))),
        _ => panic!("name a way, and how many times: {:?}", WAYS.map(|(name, _)| name)),
    }
}

/// What callgrind collects: it begins where this begins, and ends where it ends.
#[inline(never)]
fn counted(times: u32, run: &mut Box<dyn FnMut()>) {
    for _ in 0..times {
        run();
    }
}

/// What the layer is made into is compiled here, and counts as ours.
#[inline(never)]
fn through_the_layer(service: &mut RequireToken<Bare>, request: Request<()>) -> Response<GuardedBody<()>> {
    answered(service, request)
}

/// What the server does is not.
#[inline(never)]
fn presenting(field: Option<&HeaderValue>) -> Request<()> {
    request(field.cloned())
}

fn checked(builder: ValidatorBuilder, token: &str, outcome: Result<(), Reason>) -> Box<dyn FnMut()> {
    let (validator, headers, demand) = (builder.build().unwrap(), measure::request(token), read());
    if outcome.is_ok() {
        // An issuer that has to be asked is asked here, and never again.
        assert!(block_on(validator.validate(&Credentials::from_headers(&headers), &demand)).is_ok());
    }
    Box::new(move || {
        let judged = black_box(validator.check(&Credentials::from_headers(black_box(&headers)), &demand));
        assert_eq!(judged.map(drop).map_err(|refused| refused.reason()), outcome);
    })
}

fn guarded(builder: ValidatorBuilder, token: Option<&str>, status: StatusCode) -> Box<dyn FnMut()> {
    let mut service = builder.build().unwrap().require(read()).layer(Bare);
    let field = token.map(bearer);
    Box::new(move || {
        let request = presenting(field.as_ref());
        assert_eq!(through_the_layer(&mut service, request).status(), status);
    })
}

fn public(saved: &Saved) -> ValidatorBuilder {
    let keys = KeySet::from_json(saved.keys().as_bytes()).unwrap();
    Validator::builder(AUDIENCE).trust(Issuer::keys(ISSUER, keys))
}

fn secret(saved: &Saved) -> ValidatorBuilder {
    let secret = Secret::new(Algorithm::Hs256, saved.secret()).unwrap().kid(KID);
    Validator::builder(AUDIENCE).trust(Issuer::secrets(ISSUER, [secret]))
}

fn introspecting(saved: &Saved) -> ValidatorBuilder {
    let at = Introspection::at(format!("{ISSUER}/introspect"), ClientAuth::basic("api", "api")).remember(HOUR);
    let says = Arc::new(Says(saved.answer()));
    Validator::builder(AUDIENCE).trust(Issuer::introspect(ISSUER, at)).fetch(says)
}

/// An issuer that says the same of every token.
#[derive(Debug)]
struct Says(String);

impl Fetch for Says {
    fn fetch(&self, _: Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
        let mut response = Response::new(Bytes::from(self.0.clone()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Box::pin(std::future::ready(Ok(response)))
    }
}
