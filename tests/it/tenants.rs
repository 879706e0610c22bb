//! Issuers that a resolver names: asked about once, bounded, and never at a stranger's bidding.

mod again;
mod crowds;
mod floods;
mod leftovers;
mod resolver;
mod sizes;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_executor::block_on;
use scopegate::testing::{Fault, TestClock, TestIssuer, TestToken};
use scopegate::{
    AccessToken, Addresses, Credentials, Event, Fetch, FetchLimits, Fetching, Issuer, KeySet, KeyState, Observe,
    PlainHttp, Reason, Rejection, ReqwestFetch, Tenants, Validator, ValidatorBuilder,
};

use crate::rotation::{API, issuer, read, refused, seconds, soon, unjudged, waits};

/// What the directory of tenants holds for a name.
#[derive(Clone)]
enum Row {
    Is(Box<Issuer>),
    Fails,
    /// It fails when this is opened.
    FailsLater(Arc<Gate>),
    Panics,
    /// It answers when this is opened.
    Blocks(Arc<Gate>, Option<Box<Issuer>>),
}

#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let closed = self.1.wait_while(self.0.lock().unwrap(), |open| !*open);
        drop(closed.unwrap());
    }
}

#[derive(Default)]
struct Rows {
    rows: Mutex<HashMap<String, Row>>,
    asked: Mutex<Vec<String>>,
}

impl Rows {
    fn set(&self, name: &str, row: Row) {
        self.rows.lock().unwrap().insert(name.to_owned(), row);
    }

    fn delete(&self, name: &str) {
        self.rows.lock().unwrap().remove(name);
    }

    fn find(&self, name: &str) -> Result<Option<Issuer>, &'static str> {
        self.asked.lock().unwrap().push(name.to_owned());
        let row = self.rows.lock().unwrap().get(name).cloned();
        match row {
            None => Ok(None),
            Some(Row::Is(issuer)) => Ok(Some(*issuer)),
            Some(Row::Fails) => Err("the database is down"),
            Some(Row::FailsLater(gate)) => {
                gate.pass();
                Err("the database is down")
            }
            Some(Row::Panics) => panic!("this panic belongs to the test"),
            Some(Row::Blocks(gate, issuer)) => {
                gate.pass();
                Ok(issuer.map(|issuer| *issuer))
            }
        }
    }
}

/// Remembers what it is told.
#[derive(Debug, Default)]
pub(crate) struct Ears(pub(crate) Mutex<Vec<Event>>);

impl Observe for Ears {
    fn happened(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// Tenants in a directory, whose keys are fetched from memory, and one clock for everything.
struct World {
    clock: TestClock,
    tenants: Vec<TestIssuer>,
    /// In nobody's directory.
    stranger: TestIssuer,
    rows: Arc<Rows>,
    ears: Arc<Ears>,
    validator: Validator,
}

impl World {
    fn new(count: usize, most: usize) -> Self {
        Self::with(count, most, |tenants| tenants, |builder| builder)
    }

    fn with(
        count: usize,
        most: usize,
        tenants: impl FnOnce(Tenants) -> Tenants,
        settings: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder,
    ) -> Self {
        let clock = TestClock::at(1_800_000_000);
        let stranger = issuer("https://stranger.example.test", &clock);
        let all: Vec<_> = (0..count).map(|number| issuer(&name(number), &clock)).collect();
        let (rows, ears) = (Arc::new(Rows::default()), Arc::new(Ears::default()));
        for tenant in &all {
            rows.set(tenant.id(), known(tenant.id()));
        }
        let found = Arc::clone(&rows);
        let resolver = tenants(Tenants::try_at_most(most, move |name| found.find(name)));
        let fetch = TestIssuer::fetch_from(all.iter().chain([&stranger]));
        let builder = Validator::builder(API).trust_each(resolver).fetch(fetch).clock(clock.clone());
        let validator = settings(builder.observe(ears.clone())).build().unwrap();
        Self { clock, tenants: all, stranger, rows, ears, validator }
    }

    fn token(&self, number: usize) -> TestToken {
        self.tenants[number].token().scope("read").lifetime(seconds(48 * 60 * 60))
    }

    /// A good-looking token of this name, signed by a stranger.
    fn junk(&self, name: &str) -> String {
        self.stranger.token().claim("iss", name).scope("read").mint()
    }

    fn check(&self, token: &str) -> Result<AccessToken, Rejection> {
        self.validator.check(&Credentials::bearer(token), &read())
    }

    fn validate(&self, token: &str) -> Result<AccessToken, Rejection> {
        block_on(self.validator.validate(&Credentials::bearer(token), &read()))
    }

    #[track_caller]
    fn accepts(&self, number: usize) {
        let accepted = self.validate(&self.token(number).mint());
        assert_eq!(accepted.unwrap().issuer().as_str(), name(number));
    }

    /// How often the resolver was asked.
    fn asked(&self) -> usize {
        self.rows.asked.lock().unwrap().len()
    }

    fn asked_about(&self, name: &str) -> usize {
        self.rows.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }

    /// How often a tenant was asked for its metadata and its keys.
    fn fetched(&self, number: usize) -> (u64, u64) {
        let requests = self.tenants[number].requests();
        (requests.metadata, requests.jwks)
    }

    fn heard(&self, event: impl Fn(&Event) -> bool) -> usize {
        self.ears.0.lock().unwrap().iter().filter(|heard| event(heard)).count()
    }

    fn failures(&self) -> usize {
        self.heard(|event| matches!(event, Event::ResolverFailed { .. }))
    }

    fn resolved(&self) -> Vec<String> {
        self.validator.health().issuers().iter().map(|issuer| issuer.issuer.to_string()).collect()
    }
}

fn name(number: usize) -> String {
    format!("https://t{number}.example.test")
}

fn known(name: &str) -> Row {
    Row::Is(Box::new(Issuer::discover(name)))
}

#[test]
fn a_tenant_is_resolved_at_its_first_token_and_only_then() {
    let world = World::new(2, 10);
    world.accepts(0);
    assert_eq!((world.asked(), world.fetched(0), world.fetched(1)), (1, (1, 1), (0, 0)));
    for _ in 0..10 {
        world.accepts(0);
    }
    assert_eq!(refused(world.validate(&world.token(0).expired().mint())), Reason::Expired);
    assert_eq!((world.asked(), world.fetched(0)), (1, (1, 1)));
    soon("it is told", || {
        world.heard(|event| matches!(event, Event::IssuerResolved { issuer } if issuer.as_str() == name(0))) == 1
    });
}

#[test]
fn a_check_says_503_and_heals_itself() {
    let world = World::new(1, 10);
    let token = world.token(0).mint();
    assert!(unjudged(world.check(&token)).validate_could_decide());
    soon("a later check accepts", || world.check(&token).is_ok());
    assert_eq!((world.asked(), world.fetched(0)), (1, (1, 1)));
    let forged = world.token(0).signed_by_stranger().mint();
    assert_eq!(refused(world.check(&forged)), Reason::BadSignature);
    let stranger = world.junk("https://nobody.example.test");
    unjudged(world.check(&stranger));
    soon("a stranger is a stranger", || world.check(&stranger).is_err_and(|no| no.reason() == Reason::UntrustedIssuer));
}

#[test]
fn the_keys_of_one_tenant_prove_nothing_of_another() {
    let world = World::new(2, 10);
    world.accepts(0);
    world.accepts(1);
    // Both have a key of this name.
    let forged = world.tenants[0].forge(world.token(1)).mint();
    assert_eq!(refused(world.validate(&forged)), Reason::BadSignature);
    let forged = world.tenants[0].forge(world.token(1).without_header("kid")).mint();
    assert_eq!(refused(world.validate(&forged)), Reason::UnknownKey);
}

#[test]
fn an_issuer_that_is_trusted_by_name_is_no_tenant() {
    let clock = TestClock::at(1_800_000_000);
    let ours = issuer("https://ours.example.test", &clock);
    let keys = KeySet::from_json(ours.jwks().as_bytes()).unwrap();
    let world =
        World::with(1, 10, |tenants| tenants, |builder| builder.trust(Issuer::keys(ours.id(), keys)).clock(clock));
    let token = ours.token().scope("read").mint();
    assert!(world.check(&token).is_ok());
    world.validator.forget_issuer(ours.id());
    assert!(world.check(&token).is_ok());
    assert_eq!(world.asked(), 0);
}

#[test]
fn health_lists_tenants_last_and_readiness_does_not_count_them() {
    let clock = TestClock::at(1_800_000_000);
    let ours = issuer("https://z.example.test", &clock);
    let keys = KeySet::from_json(ours.jwks().as_bytes()).unwrap();
    let world = World::with(3, 10, |tenants| tenants, |builder| builder.trust(Issuer::keys(ours.id(), keys)));
    world.tenants[1].script(Fault::disconnect());
    world.accepts(2);
    world.accepts(0);
    unjudged(world.validate(&world.token(1).mint()));
    assert_eq!(world.resolved(), ["https://z.example.test", &name(0), &name(1), &name(2)]);
    let health = world.validator.health();
    let broken = health.issuer(&name(1)).unwrap();
    assert_eq!((broken.state, broken.failures), (KeyState::NeverLoaded, 1));
    assert!(broken.last_error.is_some());
    assert!(health.is_ready() && world.validator.is_ready());
}

#[test]
fn refresh_now_asks_tenants_too_and_not_those_whose_keys_it_was_given() {
    let world = World::new(3, 10);
    let keys = KeySet::from_json(world.tenants[2].jwks().as_bytes()).unwrap();
    world.rows.set(&name(2), Row::Is(Box::new(Issuer::keys(name(2), keys))));
    for number in 0..3 {
        world.accepts(number);
    }
    world.tenants[0].rotate();
    let old = world.token(0);
    block_on(world.validator.refresh_now()).unwrap();
    assert_eq!((world.fetched(0).1, world.fetched(1).1, world.fetched(2)), (2, 2, (0, 0)));
    assert!(world.check(&old.mint()).is_ok());
    world.tenants[1].script(Fault::disconnect());
    let error = block_on(world.validator.refresh_now()).unwrap_err();
    assert_eq!(error.to_string(), format!("no keys of the issuer {}", name(1)));
}

#[test]
fn a_setting_out_of_bounds_is_named() {
    let build = |tenants: Tenants| Validator::builder(API).trust_each(tenants).build();
    let most = |most: usize| Tenants::at_most(most, |_| None);
    assert!(build(most(1)).is_ok() && build(most(10_000)).is_ok());
    for out in [0, 10_001] {
        assert_eq!(build(most(out)).unwrap_err().setting(), "trust_each");
    }
    for within in [10, 7_200] {
        assert!(build(most(1).resolve_again_after(seconds(within))).is_ok());
    }
    for out in [Duration::ZERO, Duration::from_millis(9_999), seconds(7_201)] {
        assert_eq!(build(most(1).resolve_again_after(out)).unwrap_err().setting(), "resolve_again_after");
    }
}

/// Writes down where each request may go.
#[derive(Debug)]
struct Limits(Arc<dyn Fetch>, Mutex<Vec<(String, Addresses)>>);

impl Fetch for Limits {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        self.1.lock().unwrap().push((host, limits.addresses));
        self.0.fetch(request, limits)
    }
}

#[test]
fn tenants_lie_at_public_addresses_unless_private_ones_are_allowed_by_name() {
    for (allowed, expected) in [(false, Addresses::Public), (true, Addresses::Any)] {
        let clock = TestClock::at(1_800_000_000);
        let (ours, theirs) =
            (issuer("https://ours.example.test", &clock), issuer("https://theirs.example.test", &clock));
        let limits = Arc::new(Limits(TestIssuer::fetch_from([&ours, &theirs]), Mutex::default()));
        let tenants = Tenants::at_most(1, |name| Some(Issuer::discover(name)));
        let tenants = if allowed { tenants.dangerous().allow_private_addresses() } else { tenants };
        let builder = Validator::builder(API).trust(Issuer::discover(ours.id())).trust_each(tenants);
        let validator = builder.fetch(limits.clone()).clock(clock).build().unwrap();
        for issuer in [&ours, &theirs] {
            let token = issuer.token().scope("read").mint();
            assert!(block_on(validator.validate(&Credentials::bearer(&token), &read())).is_ok());
        }
        let at = |host: &str, addresses| [(host.to_owned(), addresses), (host.to_owned(), addresses)];
        let both = [at("ours.example.test", Addresses::Any), at("theirs.example.test", expected)].concat();
        assert_eq!(*limits.1.lock().unwrap(), both);
    }
}

#[test]
fn a_tenant_on_loopback_is_not_reached_unless_private_addresses_are_allowed() {
    let tenant = TestIssuer::on_loopback().unwrap().default_audience(API);
    let (name, token) = (tenant.id().to_owned(), tenant.token().scope("read").mint());
    for allowed in [false, true] {
        let resolve = |name: &str| Some(Issuer::discover(name).plain_http(PlainHttp::OnLoopback));
        let tenants = Tenants::at_most(1, resolve);
        let tenants = if allowed { tenants.dangerous().allow_private_addresses() } else { tenants };
        let fetch = Arc::new(ReqwestFetch::new().plain_http(PlainHttp::OnLoopback));
        let validator = Validator::builder(API).trust_each(tenants).fetch(fetch).build().unwrap();
        let judged = block_on(validator.validate(&Credentials::bearer(&token), &read()));
        if allowed {
            assert!(judged.is_ok(), "{judged:?}");
        } else {
            unjudged(judged);
            assert_eq!(tenant.requests().metadata, 0, "{name} was not asked");
        }
    }
}
