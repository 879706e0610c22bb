//! What is remembered counts only as long as the very key that proved it is among the issuer's.

use scopegate::Algorithm;
use scopegate::testing::{Endpoint, Fault};
use serde_json::{Value, json};

use super::*;
use crate::rotation::{refused, soon};

fn set(keys: &[Value]) -> KeySet {
    KeySet::from_json(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// One of the issuer's keys, with this member, or without it where it is null.
fn jwk(issuer: &TestIssuer, kid: &str, member: &str, value: Value) -> Value {
    let mut jwk: Value = serde_json::from_str(&issuer.jwk(kid).unwrap()).unwrap();
    let members = jwk.as_object_mut().unwrap();
    members.remove(member);
    if !value.is_null() {
        members.insert(member.to_owned(), value);
    }
    jwk
}

#[test]
fn a_key_that_is_taken_away_is_missed_at_once() {
    let world = World::new();
    let old = world.known(world.token());
    world.issuer.rotate();
    let new = world.token().mint();
    world.handle.install(published(&world.issuer));
    assert_eq!((world.api.check(&old), world.api.validate(&old)), (Err(Reason::UnknownKey), Err(Reason::UnknownKey)));
    assert_eq!((world.api.check(&new), world.api.check(&new)), (SIGNATURE, MEMORY));
}

#[test]
fn without_any_key_nothing_is_judged_whatever_is_remembered() {
    let world = World::new();
    let (keys, token) = (published(&world.issuer), world.known(world.token()));
    world.handle.install(KeySet::default());
    assert_eq!(
        (world.api.check(&token), world.api.validate(&token)),
        (Err(Reason::KeysUnavailable), Err(Reason::KeysUnavailable))
    );
    world.handle.install(keys);
    assert_eq!(world.api.check(&token), MEMORY, "the very key is there again");
}

/// The set that is installed in the place of the key `k` without an `alg`, and what then becomes of a token that it signed (RS256).
#[test]
fn a_key_is_the_same_by_its_name_its_material_and_its_algorithms() {
    let world = World::new();
    let kid = world.issuer.add_rsa(Algorithm::Rs256, 2048);
    let other = world.issuer.add_rsa(Algorithm::Rs256, 2048);
    let own = |member: &str, value: Value| jwk(&world.issuer, &kid, member, value);
    let bare = own("alg", Value::Null);
    let but = |member: &str, value: Value| {
        let mut jwk = bare.clone();
        jwk[member] = value;
        jwk
    };
    let mut rival = jwk(&world.issuer, &other, "kid", json!(kid));
    rival.as_object_mut().unwrap().remove("alg");
    let beside = jwk(&world.issuer, "es256-1", "alg", Value::Null);
    let rows: [(&str, Vec<Value>, Outcome); 15] = [
        ("itself", vec![bare.clone()], MEMORY),
        (
            "others beside it",
            vec![beside.clone(), jwk(&world.issuer, &other, "alg", Value::Null), bare.clone()],
            MEMORY,
        ),
        ("itself twice", vec![bare.clone(), bare.clone()], MEMORY),
        ("members that do not count", vec![but("x5t", json!("AAAA"))], MEMORY),
        ("its use said", vec![but("use", json!("sig"))], MEMORY),
        ("another name", vec![but("kid", json!("k2"))], Err(Reason::UnknownKey)),
        ("no name", vec![own("kid", Value::Null)], SIGNATURE),
        ("narrowed to the token's algorithm", vec![but("alg", json!("RS256"))], SIGNATURE),
        ("narrowed to another algorithm", vec![but("alg", json!("PS256"))], Err(Reason::UnknownKey)),
        ("for encryption", vec![but("use", json!("enc")), beside.clone()], Err(Reason::UnknownKey)),
        ("its private part published", vec![but("d", json!("AQAB")), beside.clone()], Err(Reason::UnknownKey)),
        ("its exponent written with zeros before it", vec![but("e", json!("AAEAAQ"))], MEMORY),
        ("other material under its name", vec![rival.clone()], Err(Reason::BadSignature)),
        ("its name given to two keys", vec![bare.clone(), rival, beside.clone()], Err(Reason::UnknownKey)),
        ("gone", vec![beside], Err(Reason::UnknownKey)),
    ];
    for (about, keys, expected) in rows {
        world.handle.install(set(std::slice::from_ref(&bare)));
        let token = world.known(world.token().key(&kid));
        world.handle.install(set(&keys));
        assert_eq!(world.api.check(&token), expected, "{about}");
        let again = if expected.is_ok() { MEMORY } else { expected };
        assert_eq!(world.api.check(&token), again, "{about}, again");
    }
}

#[test]
fn a_key_that_comes_back_with_other_material_does_not_bring_back_what_it_proved() {
    let world = World::new();
    let stranger = issuer("https://stranger.example.test", &world.clock);
    let token = world.known(world.token());
    let forged = stranger.forge(world.token()).mint();
    for _ in 0..2 {
        // Both are called es256-1.
        world.handle.install(published(&stranger));
        assert_eq!(world.api.check(&token), Err(Reason::BadSignature));
        assert!(world.api.check(&forged).is_ok());
        world.handle.install(published(&world.issuer));
        assert_eq!(world.api.check(&forged), Err(Reason::BadSignature));
        assert_eq!(world.api.check(&token), MEMORY);
    }
}

/// Keys that are fetched, from memory.
struct Fetched {
    clock: TestClock,
    issuer: TestIssuer,
    api: Watched,
}

impl Fetched {
    fn warm(settings: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder) -> Self {
        let clock = TestClock::at(NOW);
        let issuer = issuer(A, &clock);
        let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(issuer.fetch()).clock(clock.clone());
        let api = Watched::new(settings(builder.remember_signatures(seconds(3600))));
        block_on(api.validator.warm_up()).unwrap();
        Self { clock, issuer, api }
    }

    fn known(&self) -> String {
        let token = self.issuer.token().scope("read").lifetime(seconds(48 * 3600)).mint();
        assert_eq!((self.api.check(&token), self.api.check(&token)), (SIGNATURE, MEMORY));
        token
    }

    fn refresh(&self) {
        block_on(self.api.validator.refresh_now()).unwrap();
    }
}

#[test]
fn the_first_use_may_wait_for_keys_and_the_second_is_from_memory() {
    let clock = TestClock::at(NOW);
    let issuer = issuer(A, &clock);
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(issuer.fetch()).clock(clock);
    let api = Watched::new(builder);
    let token = issuer.token().scope("read").mint();
    assert_eq!((api.validate(&token), api.check(&token), api.validate(&token)), (NETWORK, MEMORY, MEMORY));
}

#[test]
fn what_is_remembered_stays_while_the_key_stays_however_often_the_set_is_fetched() {
    let world = Fetched::warm(|builder| builder);
    let token = world.known();
    for fetches in 2..5 {
        world.refresh();
        assert_eq!(world.issuer.requests().jwks, fetches);
        assert_eq!(world.api.check(&token), MEMORY);
    }
    // By time, in the background.
    world.clock.advance(seconds(300));
    soon("the keys are renewed", || {
        assert_eq!(world.api.check(&token), MEMORY);
        world.issuer.requests().jwks == 5
    });
    block_on(world.api.validator.warm_up()).unwrap();
    assert_eq!(world.api.check(&token), MEMORY);
    world.issuer.publish_ahead();
    world.refresh();
    assert_eq!(world.api.check(&token), MEMORY, "another key beside it");
    world.issuer.retire_oldest();
    world.refresh();
    assert_eq!(world.api.validate(&token), Err(Reason::UnknownKey), "that other key alone");
}

#[test]
fn a_rotation_is_noticed_at_once_when_the_program_asks() {
    let world = Fetched::warm(|builder| builder);
    let old = world.known();
    world.issuer.rotate();
    assert_eq!(world.api.check(&old), MEMORY, "nobody knows yet");
    world.refresh();
    assert!(world.api.check(&old).is_err() && world.api.validate(&old).is_err());
    let new = world.known();
    // A token that names a key which is not at hand has the set fetched: what the fetch takes away is gone for all.
    world.issuer.rotate();
    let newest = world.issuer.token().scope("read").mint();
    assert_eq!(world.api.validate(&newest), NETWORK);
    assert_eq!(world.api.check(&newest), MEMORY);
    assert!(world.api.check(&new).is_err());
}

#[test]
fn a_fetch_that_fails_takes_nothing_from_what_is_remembered() {
    let world = Fetched::warm(|builder| builder);
    let token = world.known();
    world.issuer.script(Fault::status(500).at(Endpoint::Jwks));
    assert!(block_on(world.api.validator.refresh_now()).is_err());
    assert_eq!(world.api.check(&token), MEMORY);
}

#[test]
fn by_keys_that_are_too_old_nothing_is_judged_whatever_is_remembered() {
    let limit = seconds(300);
    let world = Fetched::warm(|builder| builder.max_stale(limit));
    let token = world.known();
    world.issuer.script(Fault::status(500));
    world.clock.advance(limit);
    assert_eq!(world.api.check(&token), MEMORY);
    world.clock.advance(MILLISECOND);
    let judged = world.api.validator.check(&Credentials::bearer(&token), &read());
    assert_eq!(judged.as_ref().unwrap_err().status(), 503);
    assert_eq!(refused(judged), Reason::KeysUnavailable);
    world.issuer.recover();
    world.clock.advance(seconds(60));
    soon("the keys are back", || world.api.check(&token) == MEMORY);
}

#[test]
fn by_keys_that_the_wall_clock_says_are_too_old_nothing_is_judged_either() {
    let world = Fetched::warm(|builder| builder.max_stale(seconds(300)));
    let token = world.known();
    world.issuer.script(Fault::status(500));
    world.clock.set_wall(NOW + 300);
    assert_eq!(world.api.check(&token), MEMORY);
    world.clock.set_wall(NOW + 301);
    assert_eq!(world.api.check(&token), Err(Reason::KeysUnavailable));
    world.clock.set_wall(NOW);
    assert_eq!(world.api.check(&token), MEMORY);
}

/// What was found by trying is found again only where the same would be tried.
#[test]
fn a_name_that_is_given_to_another_key_counts_from_memory_too() {
    let world = World::new();
    world.issuer.publish_ahead();
    let nameless = jwk(&world.issuer, "es256-1", "kid", Value::Null);
    world.handle.install(set(std::slice::from_ref(&nameless)));
    let token = world.known(world.token().key("es256-1").header("kid", "k"));
    world.handle.install(set(&[nameless, jwk(&world.issuer, "es256-2", "kid", "k".into())]));
    assert_eq!(world.api.check(&token), Err(Reason::BadSignature));
}

#[test]
fn a_token_that_names_no_key_is_judged_from_memory_as_without_where_the_set_has_grown() {
    let world = World::new();
    (0..4).for_each(|_| world.issuer.publish_ahead());
    let first = jwk(&world.issuer, "es256-1", "kid", "es256-1".into());
    world.handle.install(set(std::slice::from_ref(&first)));
    let token = world.known(world.token().key("es256-1").without_header("kid"));
    world.handle.install(set(&[first]));
    assert_eq!(world.api.check(&token), MEMORY, "the same keys");
    world.handle.install(published(&world.issuer));
    assert_eq!(world.api.check(&token), Err(Reason::UnknownKey), "more fit than are tried");
}
