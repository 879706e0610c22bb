//! JWTs that are judged by their signature, which is remembered, and by their issuer's word, which is remembered for seconds.

use super::*;
use crate::introspection::{self, at, json, unasked};
use crate::rotation::{refused, soon};
use scopegate::Introspection;
use serde_json::json as object;

struct Both {
    world: introspection::World,
    bases: Arc<Bases>,
}

impl Both {
    fn new(settings: fn(Introspection) -> Introspection) -> Self {
        Self::with(settings, |builder| builder)
    }

    fn with(settings: fn(Introspection) -> Introspection, builder: fn(ValidatorBuilder) -> ValidatorBuilder) -> Self {
        let bases = Arc::new(Bases::default());
        let listener = Arc::clone(&bases);
        let trusted = |issuer: &TestIssuer| Issuer::discover(A).and_introspect(settings(at(issuer)));
        Self { world: introspection::World::of(trusted, |built| builder(built.observe(listener))), bases }
    }

    fn check(&self, token: &str) -> Outcome {
        self.bases.of(|| self.world.check(token))
    }

    fn validate(&self, token: &str) -> Outcome {
        self.bases.of(|| self.world.validate(token))
    }

    fn known(&self) -> String {
        let token = self.world.issuer.token().scope("read").mint();
        assert_eq!((self.validate(&token), self.check(&token), self.validate(&token)), (NETWORK, MEMORY, MEMORY));
        token
    }
}

#[test]
fn a_revocation_is_seen_though_the_signature_is_remembered() {
    let both = Both::new(introspection::same);
    let (token, other) = (both.known(), both.known());
    both.world.issuer.revoke(&token);
    both.world.clock.advance(seconds(30) - MILLISECOND);
    assert_eq!(both.check(&token), MEMORY, "within the time for which its word is remembered");
    both.world.clock.advance(MILLISECOND);
    assert_eq!((both.validate(&token), both.check(&token)), (Err(Reason::Inactive), Err(Reason::Inactive)));
    assert_eq!((both.validate(&other), both.check(&other)), (NETWORK, MEMORY));
}

#[test]
fn where_nothing_of_the_issuers_word_is_remembered_it_is_asked_each_time() {
    let both = Both::new(|settings| settings.remember(Duration::ZERO));
    let token = both.world.issuer.token().scope("read").mint();
    for asked in 1..4 {
        assert_eq!(both.validate(&token), NETWORK);
        assert_eq!(both.world.asked(), asked);
    }
    unasked(both.world.check(&token));
    both.world.issuer.revoke(&token);
    assert_eq!(both.validate(&token), Err(Reason::Inactive));
}

#[test]
fn a_signature_that_is_remembered_does_not_stand_for_the_issuers_word() {
    let both = Both::new(introspection::same);
    let token = both.known();
    both.world.way.answer(|_| Some(json(500, "")));
    both.world.clock.advance(seconds(30));
    unasked(both.world.check(&token));
    unasked(both.world.validate(&token));
    both.world.way.answer(|_| None);
    soon("it is asked again", || {
        both.world.clock.advance(seconds(1));
        both.world.validate(&token).is_ok()
    });
}

#[test]
fn what_the_program_has_forgotten_or_denied_counts_though_the_signature_is_remembered() {
    let both = Both::new(introspection::same);
    let token = both.known();
    both.world.validator.forget(&token);
    unasked(both.world.check(&token));
    assert!(both.world.validate(&token).is_ok());
    both.world.validator.forget_where(|token| token.subject() == Some("user-1"));
    unasked(both.world.check(&token));
    assert!(both.world.validate(&token).is_ok());
    both.world.validator.deny(&scopegate::Denial::subject(A, "user-1", NOW), seconds(60)).unwrap();
    assert_eq!(both.check(&token), Err(Reason::Revoked));
}

#[test]
fn what_the_issuer_leaves_of_a_token_counts_each_time() {
    let both = Both::new(introspection::same);
    let token = both.known();
    both.world.way.answer(|sent| {
        (sent.method == "POST").then(|| json(200, object!({"active": true, "scope": "write"}).to_string()))
    });
    both.world.clock.advance(seconds(30));
    assert_eq!(refused(both.world.validate(&token)), Reason::InsufficientScope);
    assert_eq!(both.check(&token), Err(Reason::InsufficientScope));
}

#[test]
fn a_key_that_is_taken_away_is_missed_though_the_issuer_calls_the_token_active() {
    let both = Both::new(introspection::same);
    let token = both.known();
    both.world.issuer.rotate();
    futures_executor::block_on(both.world.validator.refresh_now()).unwrap();
    assert!(both.check(&token).is_err() && both.validate(&token).is_err());
}

#[test]
fn a_token_that_its_issuer_calls_dead_is_not_remembered() {
    let both = Both::new(|settings| settings.remember_inactive(Duration::ZERO));
    let _ = both.known();
    let dead = both.world.issuer.token().scope("read").mint();
    both.world.issuer.revoke(&dead);
    assert_eq!((both.validate(&dead), both.validate(&dead)), (Err(Reason::Inactive), Err(Reason::Inactive)));
    unasked(both.world.check(&dead));
}

#[test]
fn a_signature_is_verified_once_however_long_the_issuers_word_is_waited_for() {
    let both = Both::new(introspection::same);
    let _ = both.known();
    both.world.way.answer(|_| Some(json(500, "")));
    let [checked, validated] = [(); 2].map(|()| both.world.issuer.token().scope("read").mint());
    unasked(both.world.check(&checked));
    unasked(both.world.validate(&validated));
    both.world.way.answer(|_| None);
    let other = both.world.issuer.token().scope("read").mint();
    soon("its issuer is asked again", || {
        both.world.clock.advance(seconds(1));
        both.validate(&other).is_ok()
    });
    for token in [checked, validated] {
        let mut outcome = NETWORK;
        soon("its issuer has answered", || {
            outcome = both.check(&token);
            outcome.is_ok()
        });
        assert_eq!(outcome, MEMORY, "its proof was kept while its issuer did not answer");
    }
}

#[test]
fn a_key_that_is_taken_away_while_the_issuers_word_is_waited_for_is_missed() {
    let both = Both::new(introspection::same);
    let _ = both.known();
    both.world.way.answer(|sent| (sent.method == "POST").then(|| json(500, "")));
    let token = both.world.issuer.token().scope("read").mint();
    unasked(both.world.validate(&token));
    both.world.issuer.rotate();
    futures_executor::block_on(both.world.validator.refresh_now()).unwrap();
    both.world.way.answer(|_| None);
    let asked = both.world.asked();
    assert_eq!((both.validate(&token), both.check(&token)), (Err(Reason::UnknownKey), Err(Reason::UnknownKey)));
    assert_eq!(both.world.asked(), asked);
}

#[test]
fn no_token_whose_signature_or_claims_do_not_hold_takes_the_place_of_one_while_nobody_answers() {
    let few = |builder: ValidatorBuilder| builder.remember_at_most(1, 1 << 14);
    let both = Both::with(introspection::same, few);
    let token = both.known();
    both.world.way.answer(|_| Some(json(500, "")));
    let spoilt: [fn(TestToken) -> TestToken; 5] = [
        TestToken::tampered,
        TestToken::signed_by_stranger,
        TestToken::expired,
        |jwt| jwt.audience(A),
        |jwt| jwt.typ("JWT"),
    ];
    for spoilt in spoilt {
        for _ in 0..20 {
            assert!(both.check(&spoilt(both.world.issuer.token().scope("read")).mint()).is_err());
        }
    }
    assert_eq!(both.check(&token), MEMORY);
}
