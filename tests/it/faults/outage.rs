//! What a long outage costs an issuer, and how its end is found.

use scopegate::{Credentials, Event, FetchCause, Issuer, Observe, Validator};

use super::hours::Silent;
use super::*;
use crate::rotation::{API, read};

impl World {
    /// Thirty tokens, each by another key that nobody has.
    fn flood(&self, about: &str) {
        for number in 0..30 {
            let unknown = self.token().header("kid", format!("unknown-{about}-{number}")).mint();
            assert!(block_on(self.validate(&unknown)).is_err(), "{about}");
            assert!(self.check(&unknown).is_err(), "{about}");
        }
    }

    fn requests(&self) -> u64 {
        let (metadata, jwks) = self.asked();
        metadata + jwks
    }
}

#[test]
fn fault_row_04_unknown_keys_cost_one_request_a_step_of_the_backoff_however_long_it_lasts() {
    let world = World::warm();
    let token = world.lasting_token();
    world.issuer.script(Fault::disconnect());
    for failures in 1..=8_u64 {
        world.next_failure();
        assert_eq!(world.requests(), 2 + failures, "step {failures}");
        // At once, and again in the last moment before the issuer may be asked.
        world.flood(&format!("{failures}-first"));
        world.clock.advance(world.health().next_try.unwrap() - Duration::from_millis(1));
        world.settle();
        world.flood(&format!("{failures}-last"));
        assert_eq!(world.requests(), 2 + failures, "step {failures}: no extra fetch");
        unjudged(block_on(world.validate(&world.token().header("kid", "unknown").mint())));
        assert!(world.check(&token).is_ok(), "step {failures}: known keys serve");
    }
}

#[test]
fn fault_row_03_after_days_of_outage_keys_come_back_alone_though_nobody_asks() {
    let world = World::warm();
    world.issuer.script(Fault::disconnect());
    for _ in 0..3 * 24 {
        world.clock.advance(seconds(3600));
    }
    soon("it has been asked in vain", || world.health().failures > 0);
    assert_eq!(world.health().state, KeyState::Expired);
    world.issuer.recover();
    // Neither a check nor `validate`: the longest step of the backoff, and the metadata that is read first.
    let mut waited = 0;
    soon("the keys are fresh", || {
        if world.health().state != KeyState::Fresh && world.health().next_try != Some(Duration::ZERO) {
            world.clock.advance(seconds(1));
            waited += 1;
        }
        world.health().state == KeyState::Fresh
    });
    assert!(waited <= 61, "{waited} s");
    assert!(world.health().last_error.is_none());
    assert!(world.check(&world.token().mint()).is_ok());
}

#[test]
fn row_s22_fault_row_20_after_a_sleep_a_thousand_checks_cost_one_fetch() {
    let mut world = World::new();
    let builder = Validator::builder(API).trust(Issuer::jwks(A, world.issuer.jwks_uri())).fetch(world.issuer.fetch());
    world.validator = builder.clock(Silent(world.clock.clone())).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    let token = world.lasting_token();
    assert!(world.check(&token).is_ok());
    assert_eq!(world.asked(), (0, 1));
    // Eight hours by the wall clock, none by the other.
    world.clock.set_wall(world.clock.now().unix_seconds() + 8 * 3600);
    for number in 0..1_000 {
        assert!(world.check(&token).is_ok(), "check {number}");
    }
    soon("the issuer is asked", || world.health().age == Some(Duration::ZERO));
    for number in 0..1_000 {
        assert!(world.check(&token).is_ok(), "check {number} by the keys of today");
    }
    world.settle();
    assert_eq!(world.asked(), (0, 2), "one extra fetch");
}

/// Why keys were asked for.
#[derive(Debug, Default)]
struct Causes(std::sync::Mutex<Vec<FetchCause>>);

impl Observe for Causes {
    fn happened(&self, event: &Event) {
        if let Event::FetchBegan { cause, .. } = event {
            self.0.lock().unwrap().push(*cause);
        }
    }
}

#[test]
fn a_budget_for_unknown_keys_that_is_spent_delays_no_refresh_and_a_refresh_spends_none_of_it() {
    let mut world = World::new();
    let causes = std::sync::Arc::new(Causes::default());
    let builder = Validator::builder(API).trust(Issuer::jwks(A, world.issuer.jwks_uri())).fetch(world.issuer.fetch());
    let builder = builder.observe(std::sync::Arc::<Causes>::clone(&causes));
    world.validator = builder.clock(world.clock.clone()).build().unwrap();
    world.issuer.script(Fault::header("cache-control", "max-age=60").at(Endpoint::Jwks));
    block_on(world.validator.warm_up()).unwrap();
    world.flood("whole");
    assert_eq!(world.asked().1, 1 + 2, "the budget is spent");
    let next_try = world.health().next_try.unwrap();
    assert!((seconds(42)..=seconds(54)).contains(&next_try), "{next_try:?}");
    world.clock.advance(Duration::from_millis(29_999));
    world.flood("spent");
    assert_eq!(world.asked().1, 3, "30 s earn one");
    world.clock.advance(next_try - Duration::from_millis(30_000));
    world.settle();
    assert_eq!(world.asked().1, 3, "a millisecond before its time");
    world.clock.advance(Duration::from_millis(1));
    soon("the refresh is on time", || world.asked().1 == 4);
    soon("it has ended", || world.health().age == Some(Duration::ZERO));
    // Fewer than 60 s have earned one for unknown keys, and the refresh has not taken it.
    world.flood("earned");
    assert_eq!(world.asked().1, 5);
    soon("all is told", || causes.0.lock().unwrap().len() == 5);
    let [no_keys, unknown, timed] = [FetchCause::NoKeys, FetchCause::UnknownKey, FetchCause::Timed];
    assert_eq!(*causes.0.lock().unwrap(), [no_keys, unknown, unknown, timed, unknown]);
}

#[test]
fn a_budget_for_unknown_keys_that_is_spent_delays_no_step_of_the_backoff() {
    // Where the keys lie is known, so that a key that is missing makes nobody look for another place.
    let mut world = World::new();
    let builder = Validator::builder(API).trust(Issuer::jwks(A, world.issuer.jwks_uri())).fetch(world.issuer.fetch());
    world.validator = builder.clock(world.clock.clone()).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    world.flood("whole");
    assert_eq!(world.asked().1, 1 + 2, "the budget is spent");
    world.issuer.script(Fault::disconnect());
    assert!(block_on(world.validator.refresh_now()).is_err());
    let mut wait = world.health().next_try.unwrap();
    for (failures, most) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        assert_eq!(world.health().failures, failures);
        assert!((seconds(most) / 2..=seconds(most)).contains(&wait), "{wait:?} after failure {failures}");
        let asked = world.requests();
        world.flood(&failures.to_string());
        assert_eq!(world.requests(), asked, "the flood costs nothing");
        wait = world.next_failure();
        assert_eq!(world.requests(), asked + 1, "the next step is on time");
    }
}

fn five_minutes(world: &World) -> scopegate::ValidatorBuilder {
    let builder = Validator::builder(API).trust(Issuer::discover(A)).max_stale(seconds(300));
    builder.fetch(world.issuer.fetch()).clock(world.clock.clone())
}

#[test]
fn keys_serve_as_long_as_the_program_says_and_not_a_millisecond_longer() {
    let mut world = World::new();
    world.validator = five_minutes(&world).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    let token = world.lasting_token();
    world.issuer.script(Fault::disconnect());
    world.clock.advance(seconds(300));
    assert!(world.check(&token).is_ok(), "exactly 300 s");
    world.clock.advance(Duration::from_millis(1));
    unjudged(world.check(&token));
    assert_eq!(world.health().state, KeyState::Expired);
}

#[test]
fn restored_keys_serve_as_long_as_the_program_says_and_not_a_millisecond_longer() {
    let world = World::warm();
    let token = world.lasting_token();
    world.clock.advance(Duration::from_millis(100_001));
    let saved = crate::saved::keys_of(&world.validator);
    world.issuer.script(Fault::disconnect());
    world.clock.advance(Duration::from_millis(99_999));
    let restored = five_minutes(&world).restore(saved.clone()).build().unwrap();
    let presented = Credentials::bearer(&token);
    assert_eq!(*restored.restored()[0].outcome.as_ref().unwrap(), seconds(200));
    world.clock.advance(seconds(100));
    assert!(restored.check(&presented, &read()).is_ok(), "exactly 300 s");
    let last = five_minutes(&world).restore(saved.clone()).build().unwrap();
    assert!(last.check(&presented, &read()).is_ok(), "restored in the last moment");
    world.clock.advance(Duration::from_millis(1));
    for validator in [restored, last] {
        unjudged(validator.check(&presented, &read()));
    }
    let late = five_minutes(&world).restore(saved).build().unwrap();
    let error = late.restored()[0].outcome.as_ref().unwrap_err();
    assert_eq!(error.to_string(), "the keys are 300.001s old, and keys may become 300s old");
    unjudged(late.check(&presented, &read()));
}
