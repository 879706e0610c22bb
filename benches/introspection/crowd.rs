//! A thousand callers at once.

use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestIssuer};
use scopegate::{Credentials, Issuer, PlainHttp, Reason, Validator};

use crate::measure::AUDIENCE;
use crate::{Scale, asked, read};

const CALLERS: usize = 1000;

pub(crate) fn run(scale: Scale) {
    one_token();
    a_token_each(scale);
}

fn world() -> (TestIssuer, Validator) {
    let issuer = TestIssuer::on_loopback().unwrap().default_audience(AUDIENCE);
    let trusted = Issuer::introspect(issuer.id(), asked(&issuer)).plain_http(PlainHttp::OnLoopback);
    let validator = Validator::builder(AUDIENCE).trust(trusted).build().unwrap();
    (issuer, validator)
}

/// What came of each caller's token, and how long it took.
fn call(validator: &Validator, tokens: &[String]) -> Vec<(Result<(), Reason>, Duration)> {
    thread::scope(|scope| {
        let callers = tokens.iter().map(|token| {
            let caller = thread::Builder::new().stack_size(256 * 1024);
            let call = move || {
                let began = Instant::now();
                let judged = block_on(validator.validate(&Credentials::bearer(token), &read()));
                (judged.map(drop).map_err(|rejection| rejection.reason()), began.elapsed())
            };
            caller.spawn_scoped(scope, call).unwrap()
        });
        let callers: Vec<_> = callers.collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// Row I19.
fn one_token() {
    let (issuer, validator) = world();
    issuer.script(Fault::delay(Duration::from_millis(500)).at(Endpoint::Introspection));
    let token = issuer.token().scope("things:read").mint_opaque();
    let came = call(&validator, &vec![token; CALLERS]);
    let accepted = came.iter().filter(|(judged, _)| judged.is_ok()).count();
    let questions = issuer.requests().introspection;
    assert_eq!((accepted, questions), (CALLERS, 1));
    println!("{CALLERS} callers with one token: {questions} question, {accepted} accepted");
}

/// Row I20.
fn a_token_each(scale: Scale) {
    if scale == Scale::Test {
        return;
    }
    let (issuer, validator) = world();
    issuer.script(Fault::delay(Duration::from_secs(10)).at(Endpoint::Introspection));
    let tokens: Vec<_> = (0..CALLERS).map(|_| issuer.token().scope("things:read").mint_opaque()).collect();
    let came = call(&validator, &tokens);
    let unjudged = came.iter().filter(|(judged, _)| *judged == Err(Reason::IntrospectionUnavailable)).count();
    let questions = issuer.requests().introspection;
    let slowest = came.iter().map(|(_, took)| *took).max().unwrap_or_default();
    assert_eq!(unjudged, CALLERS);
    assert!(questions <= 256, "{questions} questions were open");
    println!(
        "{CALLERS} callers with a token each, an issuer that takes 10 s: {questions} questions, {unjudged} times 503,"
    );
    println!("    the slowest after {slowest:.2?} (deadline 2 s)\n");
}
