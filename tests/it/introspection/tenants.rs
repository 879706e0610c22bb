//! Tenants that a resolver names, and that are asked about their tokens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_executor::block_on;
use scopegate::testing::{Fault, TestClock, TestIssuer};
use scopegate::{Addresses, ClientAuth, ClientSecret, Introspection, Issuer, Reason, Tenants, Validator};

use super::routing::asked_at;
use super::{A, API, B, Call, Recorder, Told, World, at, json, same, unasked};
use crate::rotation::{issuer, refused, seconds, soon, waits};

/// A validator that trusts whom these name, and the one that is there.
fn trusting(tenants: impl FnOnce(&TestIssuer) -> Tenants) -> World {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(A, &clock);
    let (way, told) = (Recorder::before(issuer.fetch()), Arc::new(Told::default()));
    let builder = Validator::builder(API).trust_each(tenants(&issuer)).observe(told.clone()).fetch(way.clone());
    let validator = builder.clock(clock.clone()).build().unwrap();
    World { clock, issuer, validator, way, told }
}

/// The same, where the resolver is asked again after ten seconds and says anew as whom the issuer is asked; and how often it was.
fn asked_as(client: impl Fn() -> ClientAuth + Send + Sync + 'static) -> (World, Arc<AtomicUsize>) {
    let resolved = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&resolved);
    let world = trusting(|issuer| {
        let url = issuer.introspection_endpoint();
        let tenants = Tenants::at_most(10, move |name| {
            counted.fetch_add(1, Ordering::SeqCst);
            Some(Issuer::introspect(name, Introspection::at(&url, client()).remember(seconds(3600))))
        });
        tenants.resolve_again_after(seconds(10))
    });
    (world, resolved)
}

/// Tenants that are asked about their tokens, at the addresses that a test puts in.
struct House {
    world: World,
    /// Where each tenant is asked.
    urls: Arc<Mutex<HashMap<String, String>>>,
    /// How long its answers may take, if the resolver says otherwise than the settings.
    deadline: Arc<Mutex<Option<Duration>>>,
    /// How often the resolver was asked.
    resolved: Arc<AtomicUsize>,
}

impl House {
    fn new(settings: fn(Introspection) -> Introspection) -> Self {
        let urls = Arc::new(Mutex::new(HashMap::<String, String>::new()));
        let resolved = Arc::new(AtomicUsize::new(0));
        let deadline = Arc::new(Mutex::new(None));
        let (known, counted, other) = (Arc::clone(&urls), Arc::clone(&resolved), Arc::clone(&deadline));
        let tenants = Tenants::at_most(10, move |name| {
            counted.fetch_add(1, Ordering::SeqCst);
            let other = *other.lock().unwrap();
            let settings = |it| other.into_iter().fold(settings(it), |it, other| it.deadline(other));
            known.lock().unwrap().get(name).map(|url| asked_at(name, url, settings))
        });
        let world = trusting(|_| tenants.resolve_again_after(seconds(10)));
        urls.lock().unwrap().insert(A.to_owned(), world.issuer.introspection_endpoint());
        Self { world, urls, deadline, resolved }
    }

    fn jwt(&self) -> String {
        self.world.issuer.token().scope("read").lifetime(seconds(3600)).mint()
    }
}

#[test]
fn a_tenant_that_is_asked_is_found_by_the_name_in_its_jwt() {
    let House { world, .. } = &House::new(same);
    let jwt = world.issuer.token().scope("read").mint();
    assert!(world.validate(&jwt).is_ok() && world.check(&jwt).is_ok());
    assert_eq!(world.way.question().addresses, Addresses::Public, "its address is another's choice");
    let stranger = issuer("https://evil.example.test", &world.clock).token().scope("read").mint();
    assert_eq!(refused(world.validate(&stranger)), Reason::UntrustedIssuer);
    assert_eq!(refused(world.validate("opaque")), Reason::Malformed, "an opaque token names no tenant");
    assert_eq!(refused(world.validate(&world.issuer.token().expired().mint())), Reason::Expired);
    assert_eq!(world.asked(), 1);
    // By name it may lie anywhere.
    let world = World::new(same);
    assert!(world.validate(&world.token()).is_ok());
    assert_eq!(world.way.question().addresses, Addresses::Any);
}

#[test]
fn private_addresses_are_refused_where_the_metadata_of_a_tenant_names_them() {
    let found = |name: &str| Some(Issuer::introspect(name, Introspection::discover(super::api())));
    let world = trusting(|_| Tenants::at_most(10, found));
    assert!(world.validate(&world.issuer.token().scope("read").mint()).is_ok());
    let sent = world.way.sent();
    assert!(sent.len() >= 2 && sent.iter().all(|sent| sent.addresses == Addresses::Public), "{sent:?}");
}

#[test]
fn settings_that_the_resolver_has_changed_void_what_was_said_under_the_old() {
    let house = House::new(|settings| settings.remember(seconds(3600)));
    let world = &house.world;
    let jwt = house.jwt();
    assert!(world.validate(&jwt).is_ok() && world.check(&jwt).is_ok());
    house.urls.lock().unwrap().insert(A.to_owned(), "https://a.example.test/other".to_owned());
    world.way.answer(|sent| (sent.url == "https://a.example.test/other").then(|| json(200, r#"{"active":false}"#)));
    world.clock.advance(seconds(10));
    soon("the other endpoint is asked", || world.validate(&jwt).is_err_and(|it| it.reason() == Reason::Inactive));
    assert_eq!(world.way.question().url, "https://a.example.test/other");
}

#[test]
fn who_waits_while_the_resolver_is_asked_again_is_answered_under_the_new_settings() {
    let house = House::new(|settings| settings.deadline(seconds(10)));
    let world = &house.world;
    let jwts: Vec<_> = (0..5).map(|_| house.jwt()).collect();
    assert!(world.validate(&house.jwt()).is_ok());
    // Open before the resolver's word grows old, and answered after.
    world.clock.advance(seconds(5));
    world.script(Fault::delay(seconds(9)).times(5));
    let mut calls: Vec<Call<'_>> = jwts.iter().map(|jwt| world.call(jwt)).collect();
    for call in &mut calls {
        assert!(waits(call));
    }
    soon("they are asked", || world.asked() == 6);
    *house.deadline.lock().unwrap() = Some(seconds(9));
    world.clock.advance(seconds(5));
    for call in calls {
        assert!(block_on(call).is_ok());
    }
    assert_eq!(world.asked(), 11, "they were asked anew");
}

#[test]
fn a_tenant_that_is_resolved_anew_with_the_same_settings_keeps_what_it_said_and_what_is_on_its_way() {
    let house = House::new(|settings| settings.remember(seconds(3600)).deadline(seconds(10)).ask_ahead());
    let world = &house.world;
    let (known, open) = (house.jwt(), house.jwt());
    assert!(world.validate(&known).is_ok());
    world.clock.advance(seconds(5));
    world.script(Fault::delay(seconds(9)).times(1));
    let mut call = world.call(&open);
    assert!(waits(&mut call));
    soon("it is asked", || world.asked() == 2);
    let before = house.resolved.load(Ordering::SeqCst);
    world.clock.advance(seconds(5));
    soon("the resolver is asked again", || house.resolved.load(Ordering::SeqCst) > before);
    assert!(world.check(&known).is_ok());
    world.clock.advance(seconds(4));
    assert!(block_on(call).is_ok());
    for _ in 0..5 {
        let before = house.resolved.load(Ordering::SeqCst);
        world.clock.advance(seconds(10));
        soon("the resolver is asked again", || house.resolved.load(Ordering::SeqCst) > before);
        assert!(world.validate(&known).is_ok() && world.check(&open).is_ok());
    }
    assert_eq!(world.asked(), 2, "nothing is asked anew");
}

#[test]
fn a_callback_is_the_same_if_it_is_a_clone_of_one() {
    for (is_shared, questions) in [(true, 1), (false, 2)] {
        let secret = || ClientSecret::asked(|| Ok::<_, String>("api".to_owned()));
        let shared = secret();
        let client = move || ClientAuth::basic("api", if is_shared { shared.clone() } else { secret() });
        let (world, resolved) = asked_as(client);
        let jwt = world.issuer.token().scope("read").lifetime(seconds(3600)).mint();
        assert!(world.validate(&jwt).is_ok());
        world.clock.advance(seconds(10));
        soon("the resolver is asked again", || resolved.load(Ordering::SeqCst) == 2);
        // Its word counts a moment after it was given.
        soon("it is as it should be", || world.validate(&jwt).is_ok() && world.asked() == questions);
    }
}

#[test]
fn another_secret_voids_what_was_said_to_the_client_with_the_old_one() {
    let secret = Arc::new(Mutex::new("api"));
    let known = Arc::clone(&secret);
    let (world, resolved) = asked_as(move || ClientAuth::basic("api", *known.lock().unwrap()));
    let jwt = world.issuer.token().scope("read").lifetime(seconds(3600)).mint();
    assert!(world.validate(&jwt).is_ok());
    world.clock.advance(seconds(10));
    soon("the resolver is asked again", || resolved.load(Ordering::SeqCst) == 2);
    world.clock.advance(seconds(10));
    // The answer of before was taken in by then.
    soon("and again", || resolved.load(Ordering::SeqCst) == 3);
    assert!(world.validate(&jwt).is_ok());
    assert_eq!(world.asked(), 1, "the same secret, in a text of its own");
    *secret.lock().unwrap() = "newer";
    world.issuer.client_secret("api", "newer");
    world.clock.advance(seconds(10));
    soon("it is asked anew", || world.validate(&jwt).is_ok() && world.asked() == 2);
    assert_ne!(world.way.questions()[0].authorization, world.way.question().authorization);
}

#[test]
fn a_tenant_in_trouble_is_left_alone_though_its_settings_are_renewed() {
    let house = House::new(same);
    let world = &house.world;
    world.script(Fault::status(503).with_header("retry-after", "3600"));
    unasked(world.validate(&house.jwt()));
    for round in 0..5 {
        *house.deadline.lock().unwrap() = Some(seconds(3 + round));
        let before = house.resolved.load(Ordering::SeqCst);
        world.clock.advance(seconds(10));
        soon("the resolver is asked again", || house.resolved.load(Ordering::SeqCst) > before);
        unasked(world.validate(&house.jwt()));
    }
    let rejection = unasked(world.check(&house.jwt()));
    assert_eq!(rejection.retry_after(), Some(seconds(11)), "{rejection:?}");
    assert_eq!(world.asked(), 1, "it is left alone for a minute");
}

#[test]
fn a_tenant_that_is_forgotten_answers_nobody() {
    let house = House::new(|settings| settings.deadline(seconds(10)));
    let world = &house.world;
    let (known, open) = (house.jwt(), house.jwt());
    assert!(world.validate(&known).is_ok());
    world.script(Fault::hang());
    let mut call = world.call(&open);
    assert!(waits(&mut call));
    soon("it is asked", || world.asked() == 2);
    house.urls.lock().unwrap().clear();
    world.validator.forget_issuer(A);
    assert_eq!(block_on(call).unwrap_err().status(), 503);
    for jwt in [&known, &open] {
        assert_eq!(refused(world.validate(jwt)), Reason::UntrustedIssuer);
    }
    soon("it is told", || world.told.words().contains("IssuerWithdrawn"));
    assert_eq!(world.asked(), 2);
}

#[test]
fn who_is_asked_about_everything_is_not_where_others_may_be_resolved() {
    let clock = TestClock::at(1_800_000_000);
    let (a, b) = (issuer(A, &clock), issuer(B, &clock));
    let way = Recorder::before(TestIssuer::fetch_from([&a, &b]));
    let tenants = Tenants::at_most(10, |name| (name == B).then(|| Issuer::discover(name)));
    let builder = Validator::builder(API).trust(Issuer::introspect(A, at(&a))).trust_each(tenants);
    let validator = builder.fetch(way.clone()).clock(clock.clone()).build().unwrap();
    let world = World { clock, issuer: a, validator, way, told: Arc::default() };
    let of_b = b.token().scope("read").mint();
    assert_eq!(world.validate(&of_b).unwrap().issuer().as_str(), B);
    assert!(world.way.questions().is_empty(), "a JWT of B is not sent to A");
    assert!(world.validate(&world.token()).is_ok());
    assert_eq!(world.way.questions().len(), 1);
}
