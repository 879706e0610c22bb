//! How much an issuer is asked, and what becomes of requests when it is in trouble.

use futures_executor::block_on;
use scopegate::testing::{Fault, TestIssuer};
use scopegate::{Credentials, Issuer, Reason, Rejection, Spared};

use super::{A, B, Call, MILLISECOND, World, at, polled, same, unasked, words};
use crate::rotation::{issuer, read, refused, seconds, soon, waits};

#[test]
fn row_i19_a_thousand_requests_with_one_token_are_one_question() {
    let world = World::new(same);
    let token = world.token();
    world.script(Fault::delay(MILLISECOND * 500));
    let mut calls: Vec<Call<'_>> = (0..1_000).map(|_| world.call(&token)).collect();
    for call in &mut calls {
        assert!(waits(call), "I19");
    }
    soon("I19 it is asked", || world.asked() == 1);
    world.clock.advance(MILLISECOND * 500);
    for call in calls {
        assert!(block_on(call).is_ok(), "I19");
    }
    assert_eq!(world.asked(), 1, "I19");
}

#[test]
fn row_i19_checks_of_one_token_from_several_threads_are_one_question() {
    let world = World::new(same);
    let token = world.token();
    world.script(Fault::delay(MILLISECOND * 500));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| drop(unasked(world.check(&token)))));
        }
    });
    soon("I19 it is asked", || world.asked() == 1);
    world.clock.advance(MILLISECOND * 500);
    soon("I19 it is answered", || world.check(&token).is_ok());
    assert_eq!(world.asked(), 1, "I19");
}

/// What has become of each call: those that wait are handed back.
fn ended(calls: Vec<Call<'_>>) -> (Vec<Rejection>, Vec<Call<'_>>) {
    let (mut rejections, mut waiting) = (Vec::new(), Vec::new());
    for mut call in calls {
        match polled(&mut call) {
            Some(result) => rejections.push(unasked(result)),
            None => waiting.push(call),
        }
    }
    (rejections, waiting)
}

#[test]
fn row_i20_fault_row_24_a_slow_issuer_ties_up_256_questions_and_nobody_else() {
    let clock = scopegate::testing::TestClock::at(1_800_000_000);
    let (slow, other) = (issuer(A, &clock), issuer(B, &clock));
    let way = super::Recorder::before(TestIssuer::fetch_from([&slow, &other]));
    let told = std::sync::Arc::new(super::Told::default());
    let builder = scopegate::Validator::builder(super::API).observe(told.clone());
    let builder = builder.trust(Issuer::introspect(A, at(&slow))).trust(Issuer::discover(B)).fetch(way.clone());
    let validator = builder.clock(clock.clone()).build().unwrap();
    let world = World { clock, issuer: slow, validator, way, told };

    world.script(Fault::delay(seconds(10)));
    let tokens: Vec<_> = (0..1_000).map(|_| world.token()).collect();
    let (mut refusals, mut calls) = ended(tokens.iter().map(|token| world.call(token)).collect());
    soon("I20 as many are asked as may be", || world.asked() == 256);
    soon("I20 the rest is refused at once", || {
        let (ended, waiting) = ended(std::mem::take(&mut calls));
        refusals.extend(ended);
        calls = waiting;
        calls.len() == 256
    });
    assert_eq!(refusals.len(), 744, "I20");
    for refusal in &refusals {
        assert!(words(refusal).contains("as many questions are open as may be"), "I20");
    }
    assert_eq!(world.asked(), 256, "I20");

    // JWTs of another issuer are judged as ever, cold and from memory.
    let jwt = other.token().scope("read").mint();
    assert!(world.validate(&jwt).is_ok() && world.check(&jwt).is_ok(), "I20");
    world.clock.advance(seconds(2) - MILLISECOND);
    assert_eq!(ended(std::mem::take(&mut calls)).1.len(), 256, "fault row 24: not before the deadline of 2 s");
}

#[test]
fn fault_row_24_who_waits_is_answered_at_the_deadline_and_the_breaker_opens() {
    let world = World::new(same);
    world.script(Fault::delay(seconds(10)));
    let tokens: Vec<_> = (0..30).map(|_| world.token()).collect();
    let mut calls: Vec<Call<'_>> = tokens.iter().map(|token| world.call(token)).collect();
    for call in &mut calls {
        assert!(waits(call));
    }
    soon("they are asked", || world.asked() == 30);
    world.clock.advance(seconds(2));
    for call in calls {
        assert!(words(&unasked(block_on(call))).contains("within 2s"), "fault row 24");
    }
    // 20 failures in 10 s: nothing is asked for 5 s, and everybody is told so at once.
    let rejection = unasked(world.validate(&tokens[0]));
    assert!(words(&rejection).contains("it has failed too often of late"), "fault row 24");
    assert_eq!(rejection.retry_after(), Some(seconds(6)), "fault row 24");
    assert_eq!(world.asked(), 30, "fault row 24");
    assert_eq!(world.told.last_of(30), "timed_out");
    soon("fault row 24: it is told", || world.told.halts() == [Some(Spared::Breaker)]);
    // Half open: one is asked, and all others are refused until it is answered.
    world.issuer.recover();
    world.clock.advance(seconds(5));
    world.script(Fault::delay(seconds(1)).times(1));
    let mut first = world.call(&tokens[0]);
    assert!(waits(&mut first));
    soon("fault row 24: one is asked", || world.asked() == 31);
    unasked(world.validate(&tokens[1]));
    assert_eq!(world.asked(), 31, "fault row 24: and no more");
    world.clock.advance(seconds(1));
    assert!(block_on(first).is_ok(), "fault row 24");
    for token in &tokens {
        assert!(world.validate(token).is_ok(), "fault row 24: its answer decides for all");
    }
    soon("fault row 24: it is told", || world.told.halts().last() == Some(&None));
}

#[test]
fn twenty_failures_in_ten_seconds_stop_all_for_five() {
    let world = World::new(same);
    world.script(Fault::status(503));
    for failures in 1..=20 {
        unasked(world.validate(&world.token()));
        assert_eq!(world.asked(), failures);
    }
    let token = world.token();
    let rejection = unasked(world.check(&token));
    assert_eq!(rejection.retry_after(), Some(seconds(6)));
    assert!(!rejection.validate_could_decide());
    assert_eq!(rejection.into_response().headers()["retry-after"], "6");
    world.clock.advance(seconds(5) - MILLISECOND);
    unasked(world.validate(&token));
    assert_eq!(world.asked(), 20);
    world.clock.advance(MILLISECOND);
    unasked(world.validate(&token));
    assert_eq!(world.asked(), 21, "one tries");
    unasked(world.validate(&token));
    assert_eq!(world.asked(), 21, "and has failed");
    world.issuer.recover();
    world.clock.advance(seconds(5));
    assert!(world.validate(&token).is_ok());
}

#[test]
fn failures_that_are_far_apart_stop_nobody() {
    let world = World::new(same);
    world.script(Fault::status(503));
    for failures in 1..=60 {
        unasked(world.validate(&world.token()));
        assert_eq!(world.asked(), failures);
        world.clock.advance(MILLISECOND * 530);
    }
}

#[test]
fn what_anybody_can_cause_by_what_he_sends_shuts_out_nobody() {
    for fault in [
        Fault::status(400).with_body(r#"{"error":"unsupported_token_type"}"#),
        Fault::status(413),
        Fault::status(414),
        Fault::status(422),
        Fault::status(431),
        Fault::status(403).with_body("blocked").with_header("retry-after", "3600"),
        Fault::status(500).with_header("retry-after", "3600"),
        Fault::endless(),
    ] {
        let world = World::new(same);
        world.script(fault.times(200));
        for storms in 1..=200 {
            unasked(world.validate(&format!("evil-{storms}")));
            assert_eq!(world.asked(), storms);
        }
        assert!(world.validate(&world.token()).is_ok());
        assert!(world.told.halts().is_empty());
    }
}

#[test]
fn what_depends_on_no_token_stops_all() {
    for status in [401, 429, 502, 503, 504] {
        let world = World::new(same);
        world.script(Fault::status(status));
        for failures in 1..=20 {
            unasked(world.validate(&world.token()));
            assert_eq!(world.asked(), failures, "{status}");
        }
        unasked(world.validate(&world.token()));
        assert_eq!(world.asked(), 20, "{status}");
    }
}

#[test]
fn one_answer_shuts_out_all_tokens_for_a_minute_at_most() {
    let world = World::new(same);
    world.script(Fault::status(429).with_header("retry-after", "3600").times(1));
    unasked(world.validate(&world.token()));
    world.clock.advance(seconds(60) - MILLISECOND);
    unasked(world.validate(&world.token()));
    assert_eq!(world.asked(), 1);
    world.clock.advance(MILLISECOND);
    assert!(world.validate(&world.token()).is_ok());
}

#[test]
fn row_i36_a_flood_of_random_tokens_costs_the_issuer_no_more_than_its_rate() {
    let world = World::new(same);
    let good = world.token();
    assert!(world.validate(&good).is_ok());
    let mut refusals = (0, 0);
    // 20,000 a second, for one second.
    for tick in 0..10 {
        for number in 0..2_000 {
            match world.validate(&format!("{tick}-{number}")).unwrap_err() {
                inactive if inactive.reason() == Reason::Inactive => refusals.0 += 1,
                rejection => {
                    assert_eq!(rejection.reason(), Reason::IntrospectionUnavailable, "I36");
                    assert_eq!(rejection.retry_after().map(|after| after.as_secs()), Some(1), "I36");
                    refusals.1 += 1;
                }
            }
        }
        world.clock.advance(MILLISECOND * 100);
    }
    assert_eq!(refusals.0 + refusals.1, 20_000, "I36");
    assert!((1_850..=2_000).contains(&world.asked()), "I36 {}", world.asked());
    assert!(world.check(&good).is_ok(), "I36 what is known is judged on");
    let halts = world.told.halts();
    assert!(!halts.is_empty() && halts.iter().flatten().all(|why| *why == Spared::Rate), "I36 {halts:?}");
    assert!(halts.iter().flatten().count() <= 2, "I36 told once a second");
}

#[test]
fn row_i36_a_flood_of_checks_costs_no_more_either() {
    let world = World::new(same);
    for number in 0..20_000 {
        unasked(world.check(&format!("junk-{number}")));
    }
    assert!(unasked(world.check("last")).retry_after().is_some(), "I36");
    soon("I36 the rate is spent, or the flood is over", || {
        let asked = world.asked();
        std::thread::sleep(MILLISECOND * 20);
        asked == world.asked()
    });
    assert!(world.asked() <= 1_000, "I36 {}", world.asked());
}

#[test]
fn fault_row_25_while_the_issuer_is_down_what_is_known_serves_for_its_time_and_no_longer() {
    let world = World::new(same);
    let (known, new) = (world.token(), world.token());
    assert!(world.validate(&known).is_ok());
    world.script(Fault::disconnect());
    unasked(world.validate(&new));
    world.clock.advance(seconds(30) - MILLISECOND);
    assert!(world.check(&known).is_ok() && world.validate(&known).is_ok(), "fault row 25");
    world.clock.advance(MILLISECOND);
    for _ in 0..300 {
        for token in [&known, &new] {
            unasked(world.validate(token));
            unasked(world.check(token));
        }
        world.clock.advance(seconds(1));
    }
    assert!(world.told.outcomes().iter().skip(1).all(|label| *label == "cut"), "fault row 25: never inactive");
    let before = world.asked();
    assert!(before < 300, "fault row 25: it is spared: {before}");
    world.issuer.recover();
    let fresh = world.issuer.token().scope("read").lifetime(seconds(3600)).mint_opaque();
    // A check of before may be the one that tries, and fails a moment later.
    soon("fault row 25: it recovers by itself", || {
        world.clock.advance(seconds(1));
        world.validate(&fresh).is_ok()
    });
    assert_eq!(refused(world.validate(&known)), Reason::Inactive, "it has expired meanwhile");
}

#[test]
fn a_check_says_when_to_come_again_and_whether_waiting_helps() {
    let world = World::new(same);
    let token = world.token();
    let rejection = unasked(world.check(&token));
    assert_eq!((rejection.retry_after(), rejection.validate_could_decide()), (Some(seconds(1)), true));
    soon("the answer", || world.check(&token).is_ok());
    world.script(Fault::status(503).with_header("retry-after", "30").times(1));
    unasked(world.validate(&world.token()));
    let rejection = unasked(world.check(&world.token()));
    assert_eq!((rejection.retry_after(), rejection.validate_could_decide()), (Some(seconds(31)), false));
    assert!(world.check(&token).is_ok(), "what is known needs no issuer");
}

#[test]
fn as_many_questions_are_open_as_the_settings_say() {
    let world = World::new(|settings| settings.at_most_in_flight(2).deadline(seconds(1)));
    world.script(Fault::delay(MILLISECOND * 900));
    let tokens: Vec<_> = (0..3).map(|_| world.token()).collect();
    let mut calls: Vec<Call<'_>> = tokens[..2].iter().map(|token| world.call(token)).collect();
    for call in &mut calls {
        assert!(waits(call));
    }
    soon("two are asked", || world.asked() == 2);
    let presented = Credentials::bearer(&tokens[2]);
    unasked(block_on(world.validator.validate(&presented, &read())));
    world.clock.advance(MILLISECOND * 900);
    for call in calls {
        assert!(block_on(call).is_ok());
    }
    world.issuer.recover();
    assert!(world.validate(&tokens[2]).is_ok());
}
