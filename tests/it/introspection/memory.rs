//! What is remembered of an answer, for how long, and how it is forgotten.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread;

use futures_executor::block_on;
use scopegate::testing::{Fault, TestClock};
use scopegate::{Clock, Introspection, Issuer, Reason, Timestamp, Validator};
use serde_json::json as object;

use super::{A, API, B, Call, MILLISECOND, World, at, json, same, unasked};
use crate::rotation::{refused, seconds, soon, waits};

#[test]
fn row_i22_no_validator_knows_what_another_was_told() {
    let answer = object!({"active": true, "iss": A, "aud": API, "scope": "read", "token_type": "Bearer"}).to_string();
    let worlds = [World::new(same), World::new(same)];
    for world in &worlds {
        let answer = answer.clone();
        world.way.answer(move |_| Some(json(200, answer.clone())));
    }
    assert!(worlds[0].validate("the-same").is_ok(), "I22");
    assert!(
        worlds[0]
            .validator
            .clone()
            .check(&scopegate::Credentials::bearer("the-same"), &crate::rotation::read())
            .is_ok()
    );
    worlds[1].way.answer(|_| Some(json(200, r#"{"active":false}"#)));
    assert_eq!(refused(worlds[1].validate("the-same")), Reason::Inactive, "I22 the second endpoint is asked");
    assert!(worlds[0].check("the-same").is_ok(), "I22");
    assert_eq!((worlds[0].way.questions().len(), worlds[1].way.questions().len()), (1, 1), "I22");
}

#[test]
fn row_i22_of_two_issuers_of_one_validator_each_is_asked_about_its_own() {
    let tenant = |name: &str, prefix: &str| {
        let endpoint = format!("{name}/introspect");
        Issuer::introspect(name, Introspection::at(endpoint, super::api()).opaque_prefix(prefix))
    };
    let world = World::of(|_| tenant(A, "a_"), |builder| builder.trust(tenant(B, "b_")));
    world.way.answer(|sent| {
        let issuer = if sent.url.starts_with(A) { A } else { B };
        Some(json(
            200,
            object!({"active": true, "iss": issuer, "aud": API, "scope": "read", "token_type": "Bearer"}).to_string(),
        ))
    });
    assert_eq!(world.validate("a_7").unwrap().issuer().as_str(), A, "I22");
    assert_eq!(world.validate("b_7").unwrap().issuer().as_str(), B, "I22");
    world.validator.forget("a_7");
    unasked(world.check("a_7"));
    assert!(world.check("b_7").is_ok(), "I22");
}

#[test]
fn row_i25_a_token_that_was_revoked_is_refused_30_s_later_at_the_latest() {
    let world = World::new(same);
    let token = world.token();
    assert!(world.validate(&token).is_ok());
    world.clock.advance(seconds(1));
    world.issuer.revoke(&token);
    world.clock.advance(seconds(29) - MILLISECOND);
    assert!(world.check(&token).is_ok(), "I25 within the time that was said");
    world.clock.advance(MILLISECOND);
    assert_eq!(refused(world.validate(&token)), Reason::Inactive, "I25");
    assert_eq!(refused(world.check(&token)), Reason::Inactive, "I25");
}

#[test]
fn row_i25_where_nothing_is_remembered_a_token_that_was_revoked_is_refused_at_once() {
    let world = World::new(|settings| settings.remember(seconds(0)));
    let token = world.token();
    for questions in 1..=3 {
        assert!(world.validate(&token).is_ok(), "I25");
        assert_eq!(world.asked(), questions, "I25 each time");
    }
    unasked(world.check(&token));
    world.issuer.revoke(&token);
    assert_eq!(refused(world.validate(&token)), Reason::Inactive, "I25");
    assert_eq!(refused(world.check(&token)), Reason::Inactive, "I25 that is remembered for 5 s");
}

#[test]
fn a_dead_token_is_asked_about_each_time_where_that_is_not_remembered() {
    let world = World::new(|settings| settings.remember_inactive(seconds(0)));
    for questions in 1..=3 {
        assert_eq!(refused(world.validate("dead")), Reason::Inactive);
        assert_eq!(world.asked(), questions);
    }
}

#[test]
fn row_i27_a_remembered_answer_ends_with_its_token() {
    for (leeway, back) in [(0, false), (60, false), (0, true), (60, true)] {
        let world = World::with(|settings| settings.remember(seconds(3600)), |builder| builder.leeway(seconds(leeway)));
        let token = world.issuer.token().scope("read").lifetime(seconds(5)).without("iat").mint_opaque();
        assert!(world.validate(&token).is_ok());
        world.clock.advance(seconds(5 + leeway) - MILLISECOND);
        if back {
            world.clock.set_wall(1_799_996_400);
        }
        assert!(world.check(&token).is_ok(), "I27 {leeway} {back}");
        world.clock.advance(MILLISECOND);
        assert_eq!(refused(world.check(&token)), Reason::Expired, "I27 {leeway} {back}");
        assert_eq!(refused(world.validate(&token)), Reason::Expired, "I27 {leeway} {back}");
        assert_eq!(world.asked(), 1, "I27 nobody is asked what is known");
    }
}

#[test]
fn an_answer_is_as_old_as_its_question() {
    let world = World::new(same);
    let token = world.token();
    world.script(Fault::delay(seconds(1)).times(1));
    let mut call = world.call(&token);
    assert!(waits(&mut call));
    soon("it is asked", || world.asked() == 1);
    world.clock.advance(seconds(1));
    assert!(block_on(call).is_ok());
    world.clock.advance(seconds(29) - MILLISECOND);
    assert!(world.check(&token).is_ok());
    world.clock.advance(MILLISECOND);
    unasked(world.check(&token));
}

#[test]
fn without_room_nothing_is_remembered_and_all_is_well() {
    for (tokens, bytes) in [(0, 1_000_000), (1_000, 0), (0, 0)] {
        let world = World::with(same, |builder| builder.remember_at_most(tokens, bytes));
        let token = world.token();
        assert!(world.validate(&token).is_ok() && world.validate(&token).is_ok());
        assert_eq!(world.asked(), 2);
    }
}

#[test]
fn no_more_is_remembered_than_there_is_room_for() {
    let world =
        World::with(|settings| settings.at_most_per_second(100_000), |builder| builder.remember_at_most(50, 1_000_000));
    let tokens: Vec<_> = (0..1_000).map(|_| world.token()).collect();
    for token in &tokens {
        assert!(world.validate(token).is_ok());
    }
    // Who is not remembered is asked about again, so they are counted once each.
    let known = tokens.iter().filter(|token| world.check(token).is_ok()).count();
    // The table puts itself in order now and then, and not at each step.
    assert!(known < 600, "{known}");
}

#[test]
fn junk_never_makes_a_good_token_leave() {
    let world = World::new(|settings| settings.at_most_per_second(100_000));
    let good: Vec<_> = (0..100).map(|_| world.token()).collect();
    for token in &good {
        assert!(world.validate(token).is_ok());
    }
    for number in 0..4_500 {
        assert_eq!(refused(world.validate(&format!("junk-{number}"))), Reason::Inactive);
    }
    assert!(good.iter().all(|token| world.check(token).is_ok()));
    assert_eq!(world.asked(), 4_600);
}

/// A call whose question is open: the issuer has been asked, and answers in a second.
fn opened<'w>(world: &'w World, token: &'w str) -> Call<'w> {
    let before = world.asked();
    world.script(Fault::delay(seconds(1)).times(1));
    let mut call = world.call(token);
    assert!(waits(&mut call));
    soon("it is asked", || world.asked() == before + 1);
    call
}

#[test]
fn a_token_that_is_forgotten_while_its_issuer_is_asked_is_asked_about_again() {
    for revoked in [false, true] {
        let world = World::new(same);
        let token = world.token();
        let call = opened(&world, &token);
        world.validator.forget("another");
        world.validator.forget(&token);
        if revoked {
            world.issuer.revoke(&token);
        }
        world.clock.advance(seconds(1));
        let result = block_on(call);
        assert_eq!(result.is_ok(), !revoked);
        assert_eq!(world.check(&token).is_ok(), !revoked, "the second answer is remembered");
        assert_eq!(world.asked(), 2);
    }
}

#[test]
fn a_token_that_is_forgotten_again_and_again_is_503_and_not_asked_about_for_ever() {
    let world = World::new(same);
    let token = world.token();
    world.script(Fault::delay(seconds(1)).times(2));
    let mut call = world.call(&token);
    assert!(waits(&mut call));
    for questions in 1..=2 {
        soon("it is asked", || world.asked() == questions);
        world.validator.forget(&token);
        world.clock.advance(seconds(1));
    }
    // The second answer comes at the deadline, which is 503 as well; a slower deadline shows the other.
    unasked(block_on(call));
    let world = World::new(|settings| settings.deadline(seconds(10)));
    let token = world.token();
    world.script(Fault::delay(seconds(1)).times(2));
    let mut call = world.call(&token);
    assert!(waits(&mut call));
    for questions in 1..=2 {
        soon("it is asked", || world.asked() == questions);
        world.validator.forget(&token);
        world.clock.advance(seconds(1));
    }
    let rejection = unasked(block_on(call));
    assert!(super::words(&rejection).contains("forgotten again and again"));
    assert_eq!(world.told.last_of(1), "forgotten");
    assert_eq!(world.asked(), 2);
}

#[test]
fn tokens_that_are_meant_are_forgotten_while_their_issuer_is_asked() {
    let world = World::new(same);
    let token = world.issuer.token().subject("user-7").scope("read").mint_opaque();
    let call = opened(&world, &token);
    world.validator.forget_where(|token| token.subject() == Some("user-8"));
    world.clock.advance(seconds(1));
    assert!(block_on(call).is_ok());
    assert_eq!(world.asked(), 1, "it was not meant");
    world.validator.forget(&token);
    let call = opened(&world, &token);
    world.validator.forget_where(|token| token.subject() == Some("user-7"));
    world.issuer.revoke(&token);
    world.clock.advance(seconds(1));
    assert_eq!(refused(block_on(call)), Reason::Inactive);
    assert_eq!(world.asked(), 3);
}

#[test]
fn a_burst_of_logouts_voids_no_answer_that_is_not_meant() {
    for (logouts, questions) in [(65, 1), (4096, 1), (4097, 2)] {
        let world = World::new(same);
        let token = world.token();
        let call = opened(&world, &token);
        for number in 0..logouts {
            world.validator.forget_where(move |token| token.subject() == Some(&format!("other-{number}")));
        }
        world.clock.advance(seconds(1));
        assert!(block_on(call).is_ok(), "{logouts}");
        assert_eq!(world.asked(), questions, "{logouts}");
    }
}

#[test]
fn what_was_handed_to_a_call_that_has_not_looked_yet_is_forgotten_too() {
    for settings in [same, |settings: Introspection| settings.remember(seconds(0))] {
        let world = World::new(settings);
        let token = world.token();
        let call = opened(&world, &token);
        world.clock.advance(seconds(1));
        // The answer lies in the call's own line when this is told.
        assert_eq!(world.told.last_of(1), "active");
        world.issuer.revoke(&token);
        world.validator.forget(&token);
        assert_eq!(refused(block_on(call)), Reason::Inactive);
        assert_eq!(world.asked(), 2);
    }
}

#[test]
fn what_is_forgotten_is_gone_when_the_call_returns() {
    let world = World::new(same);
    let (seven, eight) = (
        world.issuer.token().subject("user-7").scope("read").mint_opaque(),
        world.issuer.token().subject("user-8").scope("read").mint_opaque(),
    );
    for token in [&seven, &eight] {
        assert!(world.validate(token).is_ok());
    }
    world.validator.forget_where(|token| token.subject() == Some("user-7"));
    unasked(world.check(&seven));
    assert!(world.check(&eight).is_ok());
    world.validator.forget(&eight);
    unasked(world.check(&eight));
}

#[test]
fn a_predicate_that_panics_means_all_and_harms_nobody() {
    let world = World::new(same);
    let (known, open) = (world.token(), world.token());
    assert!(world.validate(&known).is_ok());
    let call = opened(&world, &open);
    world.validator.forget_where(|_| panic!("a test's own"));
    unasked(world.check(&known));
    world.clock.advance(seconds(1));
    assert!(block_on(call).is_ok(), "it is asked about again");
    soon("the other too", || world.check(&known).is_ok());
    assert_eq!(world.asked(), 4);
}

#[test]
fn a_predicate_may_have_others_forgotten() {
    let world = World::new(same);
    let (one, other) = (world.token(), world.token());
    assert!(world.validate(&one).is_ok() && world.validate(&other).is_ok());
    let (validator, name) = (world.validator.clone(), other.clone());
    world.validator.forget_where(move |_| {
        validator.forget(&name);
        false
    });
    assert!(world.check(&one).is_ok());
    unasked(world.check(&other));
}

#[test]
fn calls_that_are_dropped_harm_nobody() {
    let world = World::new(same);
    let token = world.token();
    let mut last = opened(&world, &token);
    let mut others: Vec<_> = (0..9).map(|_| world.call(&token)).collect();
    for call in &mut others {
        assert!(waits(call));
    }
    drop(others);
    assert!(waits(&mut last));
    world.clock.advance(seconds(1));
    assert!(block_on(last).is_ok());
    assert_eq!(world.asked(), 1);

    let token = world.token();
    drop(opened(&world, &token));
    world.clock.advance(seconds(1));
    soon("the answer is remembered though nobody waits", || world.told.outcomes().len() == 2);
    assert!(world.check(&token).is_ok());
    assert_eq!(world.asked(), 2);
}

/// A clock that panics on the thread that asks, once.
struct Fragile {
    clock: TestClock,
    is_broken: Arc<AtomicBool>,
}

impl fmt::Debug for Fragile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fragile")
    }
}

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        let is_driver = thread::current().name() == Some("scopegate-wire");
        assert!(!is_driver || !self.is_broken.swap(false, Ordering::SeqCst), "a test's own");
        self.clock.now()
    }

    fn wake_when_turned(&self, waker: Waker) {
        self.clock.wake_when_turned(waker);
    }
}

#[test]
fn a_thread_that_ends_with_open_questions_leaves_nobody_waiting() {
    let clock = TestClock::at(1_800_000_000);
    let issuer = crate::rotation::issuer(A, &clock);
    let is_broken = Arc::new(AtomicBool::new(false));
    let fragile = Fragile { clock: clock.clone(), is_broken: Arc::clone(&is_broken) };
    let builder = Validator::builder(API).trust(Issuer::introspect(A, at(&issuer)));
    let validator = builder.fetch(issuer.fetch()).clock(fragile).build().unwrap();
    let tokens: Vec<_> = (0..10).map(|_| issuer.token().scope("read").mint_opaque()).collect();
    let read = crate::rotation::read();
    let presented: Vec<_> = tokens.iter().map(scopegate::Credentials::bearer).collect();
    issuer.script(Fault::hang());
    let mut calls: Vec<Call<'_>> = Vec::new();
    for presented in &presented {
        calls.push(Box::pin(validator.validate(presented, &read)));
    }
    for call in &mut calls {
        assert!(waits(call));
    }
    soon("they are asked", || issuer.requests().introspection == 10);
    is_broken.store(true, Ordering::SeqCst);
    clock.advance(MILLISECOND);
    for call in calls {
        unasked(block_on(call));
    }
    issuer.recover();
    assert!(block_on(validator.validate(&presented[0], &read)).is_ok(), "another thread takes its place");
}
