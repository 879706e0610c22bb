//! Facts are remembered and verdicts are not: what was denied and what a route demands is asked each time.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use scopegate::Denial;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::*;
use crate::rotation::B;

/// A token with all the names by which it may be denied.
fn named(world: &World) -> TestToken {
    world.token().subject("user-7").claim("sid", "session-7").claim("jti", "token-7")
}

fn denials(issuer: &str) -> [(&'static str, Denial); 3] {
    [
        ("jti", Denial::jwt_id(issuer, "token-7")),
        ("sid", Denial::session(issuer, "session-7")),
        ("sub", Denial::subject(issuer, "user-7", NOW)),
    ]
}

#[test]
fn what_is_denied_is_refused_at_once_though_it_is_remembered() {
    for (about, denial) in denials(A) {
        let world = World::new();
        let (token, other) = (world.known(named(&world)), world.known(world.token()));
        world.api.validator.deny(&denial, seconds(100)).unwrap();
        for _ in 0..2 {
            assert_eq!(
                (world.api.check(&token), world.api.validate(&token)),
                (Err(Reason::Revoked), Err(Reason::Revoked)),
                "{about}"
            );
            assert_eq!(world.api.check(&other), MEMORY, "{about}");
        }
        world.clock.advance(seconds(100) - MILLISECOND);
        assert_eq!(world.api.check(&token), Err(Reason::Revoked), "{about}");
        world.clock.set_wall(NOW - 3600);
        assert_eq!(world.api.check(&token), Err(Reason::Revoked), "{about}");
        world.clock.set_wall(NOW + 100);
        world.clock.advance(MILLISECOND);
        assert_eq!(world.api.check(&token), MEMORY, "{about}: the denial is over, and it is a fact as before");
    }
}

#[test]
fn a_token_that_was_denied_when_it_came_is_not_remembered() {
    for (about, denial) in denials(A) {
        let world = World::new();
        let token = named(&world).mint();
        world.api.validator.deny(&denial, seconds(100)).unwrap();
        assert!((0..3).all(|_| world.api.check(&token) == Err(Reason::Revoked)), "{about}");
        world.clock.advance(seconds(100));
        assert_eq!((world.api.check(&token), world.api.check(&token)), (SIGNATURE, MEMORY), "{about}");
    }
}

#[test]
fn what_is_denied_of_another_is_not_denied_of_what_is_remembered() {
    let world = World::new();
    let token = world.known(named(&world));
    let others =
        [Denial::jwt_id(A, "token-8"), Denial::session(A, "token-7"), Denial::subject(A, "user-7", NOW - 7201)];
    for denial in others.into_iter().chain(denials(B).map(|(_, denial)| denial)) {
        world.api.validator.deny(&denial, seconds(100)).unwrap();
        assert_eq!(world.api.check(&token), MEMORY, "{denial:?}");
    }
    world.api.validator.deny(&Denial::subject(A, "user-7", NOW - 7200), seconds(100)).unwrap();
    assert_eq!(world.api.check(&token), Err(Reason::Revoked), "made at that very time");
}

#[test]
fn a_clone_denies_what_its_twin_remembers() {
    let world = World::new();
    let token = world.known(named(&world));
    let twin = world.api.validator.clone();
    twin.deny(&denials(A)[0].1, seconds(100)).unwrap();
    assert!(twin.check(&Credentials::bearer(&token), &read()).is_err());
    assert_eq!(world.api.check(&token), Err(Reason::Revoked));
}

#[test]
fn what_a_route_demands_is_asked_each_time() {
    let world = World::new();
    let (write, nothing) = (demanding("write"), Requirement::from(ScopePolicy::none()));
    let judge = |token: &str, demand: &Requirement| world.api.judge(&Credentials::bearer(token), demand);
    let insufficient = Err(Reason::InsufficientScope);
    // Good enough first, and then not.
    let token = world.known(world.token());
    for _ in 0..2 {
        assert_eq!(
            (judge(&token, &write), judge(&token, &read()), judge(&token, &nothing)),
            (insufficient, MEMORY, MEMORY)
        );
    }
    // The reverse: that it was not enough is no reason to verify it again.
    let token = world.token().mint();
    assert_eq!((judge(&token, &write), judge(&token, &write)), (insufficient, insufficient));
    assert_eq!(judge(&token, &read()), MEMORY);
    // Without any scope.
    let token = world.token().without("scope").mint();
    assert_eq!((judge(&token, &nothing), judge(&token, &nothing)), (SIGNATURE, MEMORY));
    assert_eq!((judge(&token, &read()), judge(&token, &nothing)), (insufficient, MEMORY));
}

/// What a guarded service answers to a request with this token.
fn through_the_layer(world: &World, token: &str, demand: &str) -> (u16, Option<Basis>) {
    let service = world
        .api
        .validator
        .require(ScopePolicy::all([demand]).unwrap())
        .layer(service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))));
    let mut request = Request::new(());
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    let answer = block_on(service.oneshot(request)).unwrap();
    (answer.status().as_u16(), *world.api.bases.0.lock().unwrap())
}

#[test]
fn through_the_layer_facts_are_remembered_and_verdicts_are_not() {
    let world = World::new();
    let token = named(&world).mint();
    let layer = |demand: &str| through_the_layer(&world, &token, demand);
    assert_eq!((layer("write"), layer("read"), layer("write")), ((403, None), (200, Some(Basis::Memory)), (403, None)));
    world.api.validator.deny(&denials(A)[1].1, seconds(100)).unwrap();
    assert_eq!((layer("read"), layer("write")), ((401, None), (401, None)));
    let fresh = world.token().mint();
    let layer = || through_the_layer(&world, &fresh, "read");
    assert_eq!((layer(), layer()), ((200, Some(Basis::Signature)), (200, Some(Basis::Memory))));
    world.handle.install(KeySet::default());
    assert_eq!(layer(), (503, None));
}

#[test]
fn what_is_not_enough_is_answered_the_same_whether_it_is_remembered_or_not() {
    let world = World::new();
    let token = world.token().mint();
    let answer = || {
        let rejection = world.api.validator.check(&Credentials::bearer(&token), &demanding("write")).unwrap_err();
        (rejection.status(), rejection.challenge().cloned(), rejection.retry_after(), rejection.to_string())
    };
    let first = answer();
    assert_eq!(first.0, 403);
    assert_eq!(answer(), first);
}

#[test]
fn nothing_that_is_refused_is_remembered_or_takes_the_place_of_what_is() {
    let world = World::with(|issuer| issuer, |builder| builder.remember_at_most(1, 1 << 20));
    let denied = world.token().claim("jti", "denied").mint();
    world.api.validator.deny(&Denial::jwt_id(A, "denied"), seconds(3600)).unwrap();
    let good = world.token().mint();
    let rows = [
        (world.token().expired().mint(), Reason::Expired),
        (world.token().not_yet_valid().mint(), Reason::NotYetValid),
        (world.token().audience("https://other.example.test").mint(), Reason::WrongAudience),
        (world.token().signed_by_stranger().mint(), Reason::BadSignature),
        (world.token().tampered().mint(), Reason::BadSignature),
        (world.token().header("kid", "k9").mint(), Reason::UnknownKey),
        (world.token().claim("iss", B).mint(), Reason::UntrustedIssuer),
        (world.token().typ("JWT").mint(), Reason::WrongType),
        (world.token().without("jti").mint(), Reason::MissingClaim),
        (world.token().claim("exp", "soon").mint(), Reason::MalformedClaim),
        (world.token().claim("cnf", serde_json::json!({"jkt": "x"})).mint(), Reason::Unbound),
        (world.token().unsigned().mint(), Reason::AlgorithmRefused),
        (denied, Reason::Revoked),
        (good[..good.len() - 1].to_owned(), Reason::Malformed),
        ("junk".to_owned(), Reason::Malformed),
        (String::new(), Reason::Malformed),
    ];
    let known = world.known(world.token());
    for (token, reason) in &rows {
        assert!((0..20).all(|_| world.api.check(token) == Err(*reason)), "{reason}");
    }
    assert_eq!(world.api.check(&known), MEMORY);
    // The twin: as many good ones do take its place.
    assert!((0..rows.len() * 20).all(|_| world.api.check(&world.token().mint()) == SIGNATURE));
    assert_eq!(world.api.check(&known), SIGNATURE);
}
