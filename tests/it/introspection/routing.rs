//! Which issuer is asked about which token, and where it is asked.

use std::sync::Arc;

use bytes::Bytes;

use http::Response;
use scopegate::testing::{TestClock, TestIssuer};
use scopegate::{ConfigError, Introspection, Issuer, Reason, Validator};
use serde_json::json as object;

use super::{A, API, B, Recorder, Sent, Told, World, at, json, same};
use crate::rotation::{issuer, refused};

const C: &str = "https://c.example.test";

/// An issuer that is asked at this address.
pub(crate) fn asked_at(name: &str, url: &str, settings: impl FnOnce(Introspection) -> Introspection) -> Issuer {
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
