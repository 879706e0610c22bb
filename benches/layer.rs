//! What a request costs that passes a `RequireTokenLayer`, and one that does not.
//!
//! ```text
//! cargo bench --bench layer              # about a minute
//! cargo bench --bench layer -- --test    # all of it once, and nothing is measured: outcomes alone
//! ```
//!
//! Around a service that does nothing, beside that service without the layer, and beside `check` alone with the same token, in turn.
//! A request is made anew each time, in all three, since whoever takes it keeps it. Quote what is over the bare service and over `check`.
//!
//! - `verified`: nothing is remembered, so the signature is verified each time.
//! - `first seen`: what is remembered by default is, and each token comes for the first time.
//! - `repeated`: the same token again and again.
//!
//! Allocations are split: what the request itself takes, what `http` takes to hold a token or to hold an answer, and what is left, which is
//! ours. `http::Extensions` is empty before; where something lies in it already, it takes less.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![allow(clippy::panic, clippy::expect_used)]

mod counting;
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the time")]
mod measure;
mod service;
#[allow(dead_code, reason = "shared with other benchmarks")]
mod world;

use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;

use counting::allocations_of;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use measure::{Contender, ROUNDS, compare};
use scopegate::testing::TestIssuer;
use scopegate::{AccessToken, Algorithm, Credentials, Reason, Requirement, Validator};
use service::{Bare, answered, bearer, holding_a_token, holding_an_answer, request};
use tower::{Layer as _, service_fn};
use world::{delete, read, token, trusting};

/// Tokens that come once. More than are used while they are measured, or they come again to a validator that has not seen them.
const FIRST_SEEN: usize = 12_500;

/// What one request presents, as often as it is asked; or many things in turn, each once.
struct Presented {
    fields: Vec<Option<HeaderValue>>,
    next: usize,
}

impl Presented {
    fn always(token: Option<&str>) -> Self {
        Self { fields: vec![token.map(bearer)], next: 0 }
    }

    fn in_turn(tokens: &[String]) -> Self {
        Self { fields: tokens.iter().map(|token| Some(bearer(token))).collect(), next: 0 }
    }

    /// The next request, and whether all have come once.
    fn request(&mut self) -> (Request<()>, bool) {
        let field = self.fields[self.next].clone();
        self.next = (self.next + 1) % self.fields.len();
        (request(field), self.next == 0)
    }
}

/// What is expected of a case, and how its validators are made.
#[derive(Clone, Copy)]
struct Case {
    make: fn(&TestIssuer) -> Validator,
    demand: fn() -> Requirement,
    outcome: Result<(), Reason>,
}

/// By the service alone.
fn bare(mut presented: Presented) -> Contender {
    let mut service = Bare;
    Contender::new("bare", move || {
        let request = presented.request().0;
        black_box(answered(&mut service, request));
    })
}

/// By `check` alone. Headers are made ahead, since it borrows them.
fn check(case: Case, issuer: &TestIssuer, mut presented: Presented) -> Contender {
    let headers: Vec<HeaderMap> =
        (0..presented.fields.len()).map(|_| presented.request().0.headers().clone()).collect();
    let (issuer, demand, mut next) = (issuer.clone(), (case.demand)(), 0);
    let mut validator = (case.make)(&issuer);
    let judged = validator.check(&Credentials::from_headers(&headers[0]), &demand);
    assert_eq!(judged.map(drop).map_err(|refused| refused.reason()), case.outcome);
    validator = (case.make)(&issuer);
    Contender::new("check", move || {
        let judged = validator.check(&Credentials::from_headers(black_box(&headers[next])), &demand);
        assert_eq!(black_box(judged).is_ok(), case.outcome.is_ok());
        next = (next + 1) % headers.len();
        if next == 0 && headers.len() > 1 {
            validator = (case.make)(&issuer);
        }
    })
}

/// By the layer and the service.
fn layer(case: Case, issuer: &TestIssuer, mut presented: Presented) -> Contender {
    let (issuer, demand) = (issuer.clone(), (case.demand)());
    let guarded = move || (case.make)(&issuer).require(demand.clone());
    let status = case.outcome.map_or_else(status_of, |()| StatusCode::OK);
    let looks = service_fn(|request: Request<()>| {
        assert!(request.extensions().get::<AccessToken>().is_some(), "no token lies in the request");
        ready(Ok::<_, Infallible>(Response::new(())))
    });
    let response = answered(&mut guarded().layer(looks), presented.request().0);
    assert_eq!(response.status(), status);
    assert_eq!(response.extensions().get::<Reason>().copied(), case.outcome.err());

    let is_many = presented.fields.len() > 1;
    let mut service = guarded().layer(Bare);
    Contender::new("layer", move || {
        let (request, is_last) = presented.request();
        assert_eq!(black_box(answered(&mut service, request)).status(), status);
        if is_last && is_many {
            service = guarded().layer(Bare);
        }
    })
}

fn status_of(reason: Reason) -> StatusCode {
    if reason == Reason::InsufficientScope { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED }
}

/// One line of what is printed.
struct Row {
    name: String,
    contenders: [Contender; 3],
    held: fn(),
}

impl Row {
    fn new(name: impl Into<String>, case: Case, issuer: &TestIssuer, presented: impl Fn() -> Presented) -> Self {
        let contenders = [bare(presented()), check(case, issuer, presented()), layer(case, issuer, presented())];
        let held: fn() = if case.outcome.is_ok() { holding_a_token } else { holding_an_answer };
        Self { name: name.into(), contenders, held }
    }

    fn print(&mut self) {
        let [bare, check, layer] = &mut self.contenders;
        let [request, all, checks] = [&mut *bare, &mut *layer, &mut *check].map(|it| allocations_of(&mut it.run));
        let held = allocations_of(self.held);
        println!(
            "{:<28} {:>9.0} ±{:<4.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0}   {all:>6.2} = {request:.0} + {held:.0} + {:<6.2} {checks:>6.2}",
            self.name,
            layer.median() - bare.median(),
            layer.spread() + bare.spread(),
            layer.median() - bare.median() - check.median(),
            layer.median(),
            check.median(),
            bare.median(),
            all - request - held,
        );
    }
}

fn measure_and_print(mut rows: Vec<Row>, only_test: bool) {
    if only_test {
        for contender in rows.iter_mut().flat_map(|row| &mut row.contenders) {
            (contender.run)();
        }
        return;
    }
    let names: Vec<_> = rows.iter().map(|row| (row.name.clone(), row.held)).collect();
    let mut contenders: Vec<_> = rows.into_iter().flat_map(|row| row.contenders).collect();
    compare(&mut contenders);
    let mut contenders = contenders.into_iter();
    for (name, held) in names {
        let three = std::array::from_fn(|_| contenders.next().expect("three for each row"));
        let mut row = Row { name, contenders: three, held };
        if let Some(file) = measure::json_file() {
            let figure = |one: &Contender| (row.name.as_str(), one.name, one.median(), one.spread());
            measure::json(&file, "layer", &row.contenders.each_ref().map(figure));
        }
        row.print();
    }
}

fn main() {
    let only_test = std::env::args().any(|argument| argument == "--test");
    let issuer = world::issuer([Algorithm::Es256, Algorithm::Rs256]);
    let verified =
        Case { make: |issuer| measure::forgetful(trusting(issuer)).build().unwrap(), demand: read, outcome: Ok(()) };
    let remembered = Case { make: |issuer| trusting(issuer).build().unwrap(), ..verified };

    if !only_test {
        println!("through the layer, in ns; medians of {ROUNDS} interleaved rounds\n");
        println!(
            "{:<28} {:>9}       {:>9} {:>9} {:>9} {:>9}   allocations of the layer       of check",
            "", "over bare", "over both", "layer", "check", "bare"
        );
        println!("{:<82}   all = request + http + ours", "");
    }
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let one = token(&issuer, algorithm).mint();
        let again = || Presented::always(Some(&one));
        let count = if only_test { 10 } else { FIRST_SEEN };
        let many: Vec<_> = (0..count).map(|_| token(&issuer, algorithm).mint()).collect();
        let rows = vec![
            Row::new(format!("{algorithm}, verified"), verified, &issuer, again),
            Row::new(format!("{algorithm}, first seen"), remembered, &issuer, || Presented::in_turn(&many)),
            Row::new(format!("{algorithm}, repeated"), remembered, &issuer, again),
        ];
        measure_and_print(rows, only_test);
    }
    measure_and_print(refusals(&issuer, remembered), only_test);
    if !only_test {
        let mut alone = [Contender::new("Extensions", holding_a_token), Contender::new("answer", holding_an_answer)];
        compare(&mut alone);
        let [token, answer] = &alone;
        println!(
            "\nof which `http` takes to hold a token {:.0} ns, and to hold an answer {:.0} ns",
            token.median(),
            answer.median()
        );
        println!("over both: what is left when the bare service and `check` are taken away");
    }
}

fn refusals(issuer: &TestIssuer, remembered: Case) -> Vec<Row> {
    let good = token(issuer, Algorithm::Es256).mint();
    let tampered = token(issuer, Algorithm::Es256).tampered().mint();
    let malformed = "A".repeat(900);
    let (nothing, good, tampered, malformed) = (None, Some(&*good), Some(&*tampered), Some(&*malformed));
    let refused = |reason| Case { outcome: Err(reason), ..remembered };
    let row = |name, case, token: Option<&str>| Row::new(name, case, issuer, || Presented::always(token));
    vec![
        row("no credentials", refused(Reason::NoCredentials), nothing),
        row("malformed", refused(Reason::Malformed), malformed),
        row("ES256, bad signature", refused(Reason::BadSignature), tampered),
        row("ES256, insufficient scope", Case { demand: delete, ..refused(Reason::InsufficientScope) }, good),
    ]
}
