//! Which issuer is asked about which token, and where it is asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_executor::block_on;
use http::Response;
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer};
use scopegate::{Addresses, ConfigError, Introspection, Issuer, Reason, Tenants, Validator};
use serde_json::{Value, json as object};

use super::{A, API, B, Call, MILLISECOND, Recorder, Sent, Told, World, at, json, unasked, words};
use crate::rotation::{issuer, refused, seconds, soon, waits};

const C: &str = "https://c.example.test";

fn same(settings: Introspection) -> Introspection {
    settings
}

/// An issuer that is asked at this address.
fn asked_at(name: &str, url: &str, settings: impl FnOnce(Introspection) -> Introspection) -> Issuer {
    Issuer::introspect(name, settings(Introspection::at(url, super::api())))
}

/// Of the issuer whose endpoint was asked, an active token.
fn good(sent: &Sent) -> Option<Response<Bytes>> {
    let issuer = [A, B, C].into_iter().find(|name| sent.url.starts_with(name))?;
    let answer = object!({"active": true, "iss": issuer, "aud": API, "scope": "read", "token_type": "Bearer"});
    (sent.method == "POST").then(|| json(200, answer.to_string()))
}

/// A validator of several issuers, which all call every token active.
fn several(issuers: Vec<Issuer>) -> World {
    let mut issuers = issuers.into_iter();
    let first = issuers.next().unwrap();
    let world = World::of(|_| first, |builder| issuers.fold(builder, |builder, issuer| builder.trust(issuer)));
    world.way.answer(good);
    world
}

#[test]
fn the_only_issuer_is_asked_about_everything() {
    let world = World::new(same);
    let jwt = world.issuer.token().scope("read").mint();
    let expired = world.issuer.token().scope("read").expired().mint();
    assert!(world.validate(&jwt).is_ok(), "a JWT of its own");
    for token in ["opaque", "a.b.c", "a.b.c.d.e", "....", "eyJhbGciOiJkaXIifQ.a.b.c.d", &expired] {
        assert_eq!(refused(world.validate(token)), Reason::Inactive, "{token}");
    }
    assert_eq!(world.asked(), 7);
}

/// Tokens of every kind that begin with a JOSE header, and are not of A: good, bad, and encrypted.
fn not_of_a(clock: &TestClock) -> Vec<(String, Reason)> {
    let (a, b, stranger) = (issuer(A, clock), issuer(B, clock), issuer("https://evil.example.test", clock));
    let jwe = |segments: &str| format!("eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0{segments}");
    vec![
        (stranger.token().scope("read").mint(), Reason::UntrustedIssuer),
        (b.token().scope("read").signed_by_stranger().mint(), Reason::BadSignature),
        (b.token().scope("read").tampered().mint(), Reason::BadSignature),
        (a.token().scope("read").claim("iss", "https://a.example.test/").mint(), Reason::UntrustedIssuer),
        (a.token().scope("read").claim("iss", [A]).mint(), Reason::MalformedClaim),
        (a.token().scope("read").without("iss").mint(), Reason::MissingClaim),
        (a.token().scope("read").payload_json("{").mint(), Reason::Malformed),
        (a.token().scope("read").payload_json("[]").mint(), Reason::Malformed),
        (a.token().scope("read").header_json("{}").mint(), Reason::Malformed),
        // One of A's own that is over by its own word: nobody is asked about it.
        (a.token().scope("read").expired().mint(), Reason::Expired),
        (jwe("..a.b.c"), Reason::Encrypted),
        (jwe(".a.b.c.d"), Reason::Encrypted),
        (jwe(""), Reason::Malformed),
        (jwe(".a.b"), Reason::Encrypted),
    ]
}

#[test]
fn row_t08_beside_others_an_issuer_is_asked_about_its_own_and_about_what_is_no_jwt() {
    let clock = TestClock::at(1_800_000_000);
    let (a, b) = (issuer(A, &clock), issuer(B, &clock));
    for beside in ["", "a_"] {
        let way = Recorder::before(TestIssuer::fetch_from([&a, &b]));
        let settings =
            |settings: Introspection| if beside.is_empty() { settings } else { settings.opaque_prefix("a_") };
        let builder = Validator::builder(API).trust(Issuer::introspect(A, settings(at(&a)))).trust(Issuer::discover(B));
        let validator = builder.fetch(way.clone()).clock(clock.clone()).build().unwrap();
        let world = World { clock: clock.clone(), issuer: a.clone(), validator, way, told: Arc::new(Told::default()) };
        let of_b = b.token().scope("read").mint();
        assert_eq!(world.validate(&of_b).unwrap().issuer().as_str(), B);
        for (token, reason) in not_of_a(&clock) {
            let validated = refused(world.validate(&token));
            // A signature that no key at hand proves may be one that is not known yet.
            assert!(validated == reason || validated == Reason::UnknownKey, "T08 {validated} for {reason}: {token}");
            assert!(world.check(&token).is_err());
        }
        assert!(world.way.questions().is_empty(), "nobody was asked about any");

        let opaque = a.token().scope("read").mint_opaque_as(beside);
        assert_eq!(world.validate(&opaque).unwrap().issuer().as_str(), A);
        let of_a = a.token().scope("read").mint();
        assert_eq!(world.validate(&of_a).unwrap().issuer().as_str(), A, "a JWT that names it");
        let sent: Vec<_> = world.way.questions().iter().map(|sent| sent.field("token").unwrap()).collect();
        assert_eq!(sent, [opaque, of_a]);
    }
}

#[test]
fn the_longest_beginning_says_whose_an_opaque_token_is() {
    let world = several(vec![
        asked_at(A, "https://a.example.test/i", |settings| settings.opaque_prefix("ab_")),
        asked_at(B, "https://b.example.test/i", |settings| settings.opaque_prefix("ab_c")),
        asked_at(C, "https://c.example.test/i", |settings| settings.opaque_prefix("")),
    ]);
    for (token, issuer) in [("ab_x", A), ("ab_", A), ("ab_cx", B), ("ab_c", B), ("AB_x", C), ("ab", C), ("a.b.c", C)] {
        assert_eq!(world.validate(token).unwrap().issuer().as_str(), issuer, "{token}");
        let sent = world.way.question();
        assert!(sent.url.starts_with(issuer), "{token}");
        assert_eq!(sent.field("token").unwrap(), token);
    }
    let clock = TestClock::at(1_800_000_000);
    let before = world.way.questions().len();
    for (token, _) in not_of_a(&clock).into_iter().filter(|(_, reason)| *reason != Reason::BadSignature) {
        assert!(world.validate(&token).is_err(), "{token}");
    }
    assert_eq!(world.way.questions().len(), before, "what has a JOSE header goes to no issuer that it does not name");
}

#[test]
fn a_token_that_begins_like_nobodys_is_asked_about_nowhere() {
    let world = several(vec![
        asked_at(A, "https://a.example.test/i", |settings| settings.opaque_prefix("a_")),
        asked_at(B, "https://b.example.test/i", |settings| settings.opaque_prefix("b_")),
    ]);
    for token in ["c_7", "opaque", "a", ".", "a.b.c"] {
        assert_eq!(refused(world.validate(token)), Reason::Malformed, "{token}");
    }
    assert!(world.way.questions().is_empty());
}

#[test]
fn issuers_that_cannot_be_told_apart_are_refused_when_the_validator_is_built() {
    let url = |name: &str| format!("{name}/i");
    let plain = |name: &str| asked_at(name, &url(name), same);
    let prefixed = |name: &str, prefix: &str| asked_at(name, &url(name), |settings| settings.opaque_prefix(prefix));
    let build = |issuers: Vec<Issuer>| -> Result<(), ConfigError> {
        let builder = issuers.into_iter().fold(Validator::builder(API), |builder, issuer| builder.trust(issuer));
        builder.fetch(TestIssuer::new(A).fetch()).build().map(|_| ())
    };
    let keys_first = Issuer::discover(A).and_introspect(Introspection::at(url(A), super::api()).opaque_prefix("a_"));
    for issuers in [
        vec![plain(A), plain(B)],
        vec![plain(A), prefixed(B, "b_")],
        vec![prefixed(A, "x"), prefixed(B, "x")],
        vec![prefixed(A, ""), prefixed(B, "")],
        vec![keys_first],
    ] {
        assert_eq!(build(issuers).unwrap_err().setting(), "opaque_prefix");
    }
    assert!(build(vec![prefixed(A, "a_"), prefixed(B, ""), Issuer::discover(C)]).is_ok());
    assert!(build(vec![plain(A), Issuer::discover(B)]).is_ok());
    let twice = build(vec![prefixed(A, "a_"), prefixed(A, "b_")]).unwrap_err();
    assert_eq!(twice.setting(), "trust");
}

/// A metadata document of A.
fn metadata(members: Value) -> Value {
    let mut document = object!({"issuer": A, "jwks_uri": "https://a.example.test/jwks"});
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    document
}

/// A world that looks for the endpoint in these documents: that of OpenID Connect, and that of RFC 8414.
fn discovering(openid: Option<Value>, oauth: Option<Value>) -> World {
    let world = World::of(|_| Issuer::introspect(A, Introspection::discover(super::api())), |builder| builder);
    serving(&world, openid, oauth);
    world
}

fn serving(world: &World, openid: Option<Value>, oauth: Option<Value>) {
    world.way.answer(move |sent| {
        if sent.method == "POST" {
            return Some(json(200, r#"{"active":false}"#));
        }
        let document = if sent.url.contains("openid-configuration") { &openid } else { &oauth };
        Some(document.as_ref().map_or(json(404, ""), |document| json(200, document.to_string())))
    });
}

#[test]
fn the_endpoint_is_found_in_either_document() {
    let with = |url: &str| Some(metadata(object!({ "introspection_endpoint": url })));
    let without = || Some(metadata(object!({})));
    let (one, other) = ("https://a.example.test/one", "https://as.other.test/other");
    for (openid, oauth, expected) in [
        (with(one), None, one),
        (None, with(one), one),
        (without(), with(one), one),
        (with(one), with(other), one),
        (with(other), without(), other),
    ] {
        let world = discovering(openid, oauth);
        for token in ["one", "another"] {
            assert_eq!(refused(world.validate(token)), Reason::Inactive);
            assert_eq!(world.way.question().url, expected);
        }
        let read = world.way.sent().iter().filter(|sent| sent.method == "GET").count();
        assert!(read <= 2, "the metadata is read once: {read}");
    }
}

#[test]
fn a_document_that_names_no_endpoint_that_may_be_asked_is_503_and_nothing_is_sent() {
    let with = |url: Value| Some(metadata(object!({ "introspection_endpoint": url })));
    for (openid, oauth, problem) in [
        (Some(metadata(object!({}))), Some(metadata(object!({}))), "names no introspection_endpoint"),
        (with(object!("http://a.example.test/i")), None, "not a URL that may be asked"),
        (with(object!("http://169.254.169.254/")), None, "not a URL that may be asked"),
        (with(object!("file:///etc/passwd")), None, "not a URL that may be asked"),
        (with(object!("https://user:pass@a.example.test/i")), None, "not a URL that may be asked"),
        (with(object!("/introspect")), None, "not a URL that may be asked"),
        (with(object!(7)), None, "not a URL that may be asked"),
        (Some(object!({"issuer": B, "introspection_endpoint": "https://b.example.test/i"})), None, "another issuer's"),
        (None, None, "404"),
    ] {
        let world = discovering(openid, oauth);
        let rejection = unasked(world.validate("some-token"));
        assert!(words(&rejection).contains(problem), "{problem}: {}", words(&rejection));
        assert!(world.way.questions().is_empty(), "{problem}");
        // It is looked for again by the next question.
        serving(&world, Some(metadata(object!({"introspection_endpoint": "https://a.example.test/i"}))), None);
        assert_eq!(refused(world.validate("some-token")), Reason::Inactive, "{problem}");
    }
}

#[test]
fn finding_the_endpoint_counts_in_the_deadline() {
    let world = World::of(|_| Issuer::introspect(A, Introspection::discover(super::api())), |builder| builder);
    world.issuer.script(Fault::hang().at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
    let token = world.token();
    let mut call = world.call(&token);
    assert!(waits(&mut call));
    soon("the metadata is asked for", || world.issuer.requests().metadata == 1);
    world.clock.advance(seconds(2) - MILLISECOND);
    assert!(waits(&mut call));
    world.clock.advance(MILLISECOND);
    unasked(block_on(call));
    assert_eq!(world.told.last_of(1), "timed_out");
    world.issuer.recover();
    world.clock.advance(seconds(5));
    soon("it heals", || world.validate(&token).is_ok());
}

#[test]
fn an_endpoint_that_is_gone_is_looked_for_again() {
    let at = |url: &str| Some(metadata(object!({ "introspection_endpoint": url })));
    let world = discovering(at("https://a.example.test/old"), None);
    let move_to_new = |world: &World| {
        world.way.answer(|sent| match (&*sent.method, &*sent.url) {
            ("POST", "https://a.example.test/new") => Some(json(200, r#"{"active":false}"#)),
            ("POST", _) => Some(json(404, "")),
            _ if sent.url.contains("openid") => {
                Some(json(200, metadata(object!({"introspection_endpoint": "https://a.example.test/new"})).to_string()))
            }
            _ => Some(json(404, "")),
        });
    };
    assert_eq!(refused(world.validate("some-token")), Reason::Inactive);
    move_to_new(&world);
    let documents = || world.way.sent().iter().filter(|sent| sent.method == "GET").count();
    let before = documents();
    world.clock.advance(seconds(30));
    for _ in 0..3 {
        unasked(world.validate("some-token"));
    }
    assert_eq!(documents(), before, "no more than once a minute");
    world.clock.advance(seconds(30));
    soon("the new endpoint is asked", || world.validate("some-token").is_err_and(|it| it.reason() == Reason::Inactive));
    assert_eq!(documents(), before + 1);
    assert_eq!(world.way.question().url, "https://a.example.test/new");
}

#[test]
fn an_hour_later_the_metadata_is_read_again_and_what_it_cannot_say_changes_nothing() {
    let at = |url: &str| Some(metadata(object!({ "introspection_endpoint": url })));
    let world = discovering(at("https://a.example.test/old"), None);
    assert_eq!(refused(world.validate("some-token")), Reason::Inactive);
    serving(&world, None, None);
    world.clock.advance(seconds(3600));
    for _ in 0..5 {
        assert_eq!(refused(world.validate("some-token")), Reason::Inactive, "where it was asked, it is asked on");
        world.clock.advance(seconds(6));
    }
    soon("it is told", || world.told.words().contains("MetadataFailed"));
    serving(&world, at("https://a.example.test/new"), None);
    world.clock.advance(seconds(3600));
    soon("the new endpoint is asked", || {
        assert_eq!(refused(world.validate("some-token")), Reason::Inactive);
        world.clock.advance(seconds(6));
        world.way.question().url == "https://a.example.test/new"
    });
}

/// Tenants that are asked about their tokens, at the addresses that a test puts in.
struct House {
    world: World,
    /// Where each tenant is asked.
    urls: Arc<Mutex<HashMap<String, String>>>,
    /// How often the resolver was asked.
    resolved: Arc<AtomicUsize>,
}

impl House {
    fn new(settings: fn(Introspection) -> Introspection) -> Self {
        let clock = TestClock::at(1_800_000_000);
        let a = issuer(A, &clock);
        let way = Recorder::before(a.fetch());
        let told = Arc::new(Told::default());
        let urls = Arc::new(Mutex::new(HashMap::from([(A.to_owned(), a.introspection_endpoint())])));
        let resolved = Arc::new(AtomicUsize::new(0));
        let (known, counted) = (Arc::clone(&urls), Arc::clone(&resolved));
        let tenants = Tenants::at_most(10, move |name| {
            counted.fetch_add(1, Ordering::SeqCst);
            known.lock().unwrap().get(name).map(|url| asked_at(name, url, settings))
        });
        let tenants = tenants.resolve_again_after(seconds(10));
        let builder = Validator::builder(API).trust_each(tenants).observe(told.clone()).fetch(way.clone());
        let validator = builder.clock(clock.clone()).build().unwrap();
        Self { world: World { clock, issuer: a, validator, way, told }, urls, resolved }
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
    let tenants = Tenants::at_most(10, |name| Some(Issuer::introspect(name, Introspection::discover(super::api()))));
    let clock = TestClock::at(1_800_000_000);
    let a = issuer(A, &clock);
    let way = Recorder::before(a.fetch());
    let builder = Validator::builder(API).trust_each(tenants).fetch(way.clone()).clock(clock.clone());
    let world = World { validator: builder.build().unwrap(), clock, issuer: a, way, told: Arc::default() };
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
    world.clock.advance(seconds(5));
    soon("they are asked anew", || world.asked() == 11);
    for call in calls {
        assert!(block_on(call).is_ok());
    }
}

#[test]
fn a_tenant_in_trouble_is_left_alone_though_its_settings_are_renewed() {
    let house = House::new(same);
    let world = &house.world;
    world.script(Fault::status(503).with_header("retry-after", "3600"));
    unasked(world.validate(&house.jwt()));
    for _ in 0..6 {
        let before = house.resolved.load(Ordering::SeqCst);
        world.clock.advance(seconds(10));
        soon("the resolver is asked again", || house.resolved.load(Ordering::SeqCst) > before);
        unasked(world.validate(&house.jwt()));
    }
    let rejection = unasked(world.check(&house.jwt()));
    assert!(rejection.retry_after().is_some_and(|after| after > seconds(3000)), "{rejection:?}");
    assert_eq!(world.asked(), 1, "it asked to be left alone for an hour");
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
