//! Where an issuer is asked, as its metadata says.

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault};
use scopegate::{Introspection, Issuer, Reason};
use serde_json::{Value, json as object};

use super::{A, B, MILLISECOND, World, json, unasked, words};
use crate::rotation::{refused, seconds, soon, waits};

/// A metadata document of A.
fn metadata(members: &Value) -> Value {
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
    let with = |url: &str| Some(metadata(&object!({ "introspection_endpoint": url })));
    let without = || Some(metadata(&object!({})));
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
    let with = |url: Value| Some(metadata(&object!({ "introspection_endpoint": url })));
    for (openid, oauth, problem) in [
        (Some(metadata(&object!({}))), Some(metadata(&object!({}))), "names no introspection_endpoint"),
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
        serving(&world, Some(metadata(&object!({"introspection_endpoint": "https://a.example.test/i"}))), None);
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
    let at = |url: &str| Some(metadata(&object!({ "introspection_endpoint": url })));
    let world = discovering(at("https://a.example.test/old"), None);
    let move_to_new = |world: &World| {
        world.way.answer(|sent| match (&*sent.method, &*sent.url) {
            ("POST", "https://a.example.test/new") => Some(json(200, r#"{"active":false}"#)),
            ("POST", _) => Some(json(404, "")),
            _ if sent.url.contains("openid") => Some(json(
                200,
                metadata(&object!({"introspection_endpoint": "https://a.example.test/new"})).to_string(),
            )),
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
    let at = |url: &str| Some(metadata(&object!({ "introspection_endpoint": url })));
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

#[test]
fn metadata_that_cannot_be_read_is_the_issuers_failure_whatever_the_status() {
    for status in [403, 500] {
        let world = World::of(|_| Issuer::introspect(A, Introspection::discover(super::api())), |builder| builder);
        world.way.answer(move |_| Some(json(status, "")));
        for number in 0..20 {
            unasked(world.validate(&format!("token-{number}")));
        }
        let asked = world.way.sent().len();
        // No token had a part in it, so the breaker may count it.
        unasked(world.validate("one-more"));
        assert_eq!(world.way.sent().len(), asked, "{status}");
        world.clock.advance(seconds(5));
        unasked(world.validate("one-more"));
        assert!(world.way.sent().len() > asked, "{status}");
    }
}
