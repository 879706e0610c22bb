//! Outages, and clocks.

use scopegate::{Clock, Credentials, Issuer, Timestamp, Validator};

use super::*;
use crate::rotation::{API, read};

/// Row 1: at most one attempt for each step of the backoff, which is 5 s at most while tokens are refused for want of keys.
#[test]
fn row_s13_fault_row_01_a_start_without_the_issuer_costs_one_attempt_a_step() {
    let mut world = World::new();
    let place = Issuer::jwks(A, world.issuer.jwks_uri());
    let builder = Validator::builder(API).trust(place).fetch(world.issuer.fetch()).clock(world.clock.clone());
    world.validator = builder.build().unwrap();
    world.issuer.script(Fault::disconnect());
    let mut answers = 0;
    for _ in 0..240 {
        unjudged(block_on(world.validate(&world.token().mint())));
        answers += 1;
        world.clock.advance(Duration::from_millis(250));
    }
    let (_, asked) = world.asked();
    // Half of 1 s, 2 s, 4 s and then of 5 s for ever, at the least; all of it at the most.
    assert!((60 / 5..=1 + 3 + 60 * 2 / 5).contains(&asked), "{asked} requests in 60 s for {answers} tokens");
    assert!(!world.validator.is_ready());
    world.issuer.recover();
    world.clock.advance(seconds(6));
    assert!(block_on(world.validate(&world.token().mint())).is_ok(), "accepts within 6 s of its return");
    assert_eq!(world.asked().1, asked + 1);
}

#[test]
fn fault_row_02_an_outage_of_minutes_refuses_nobody() {
    let world = World::warm();
    let token = world.lasting_token();
    world.issuer.script(Fault::disconnect());
    let mut stale = 0;
    for second in 0..30 * 60 {
        world.clock.advance(seconds(1));
        assert!(world.check(&token).is_ok(), "second {second}");
        stale += u32::from(world.health().state == KeyState::Stale);
    }
    assert!((1_400..=1_500).contains(&stale), "stale from the 300th second on: {stale}");
    assert!(world.validator.is_ready());
    world.lull();
    world.issuer.recover();
    world.next_success();
    assert_eq!(world.health().state, KeyState::Fresh);
}

#[test]
fn row_s23_fault_row_03_after_three_days_of_outage_the_keys_come_back_alone() {
    let world = World::warm();
    let token = world.token().lifetime(seconds(7 * 24 * 3600)).mint();
    world.issuer.script(Fault::disconnect());
    world.clock.advance(seconds(24 * 3600));
    assert!(world.check(&token).is_ok(), "24 h 0 min 0 s");
    world.clock.advance(seconds(1));
    for _ in 0..48 {
        unjudged(world.check(&token));
        assert_eq!(world.health().state, KeyState::Expired);
        world.clock.advance(seconds(3600));
    }
    unjudged(block_on(world.validate(&token)));
    world.issuer.recover();
    world.clock.advance(seconds(6));
    assert!(block_on(world.validate(&token)).is_ok(), "within 6 s of its return");
    assert_eq!(world.health().state, KeyState::Fresh);
}

#[test]
fn fault_row_04_unknown_keys_add_nothing_to_an_outage() {
    let fetches = |unknown: bool| {
        let world = World::warm();
        let token = world.lasting_token();
        world.issuer.script(Fault::disconnect());
        world.next_failure();
        for number in 0..30 {
            if unknown {
                let name = format!("unknown-{number}");
                unjudged(block_on(world.validate(&world.token().header("kid", name).mint())));
            }
            assert!(world.check(&token).is_ok());
        }
        let (metadata, jwks) = world.asked();
        metadata + jwks
    };
    assert_eq!(fetches(true), fetches(false), "at most one attempt for each step of the backoff");
}

#[test]
fn row_s20_fault_row_19_no_wall_clock_is_too_wrong_for_the_keys() {
    for (about, wall) in
        [("1969-12-31", -86_400), ("2262", 9_223_372_036), ("the end", i64::MAX), ("the start", i64::MIN)]
    {
        let world = World::warm();
        let token = world.lasting_token();
        let now = world.clock.now().unix_seconds();
        world.issuer.script(Fault::disconnect());
        world.clock.set_wall(wall);
        world.settle_if_possible();
        assert!(world.check(&token).is_err(), "{about}");
        world.clock.set_wall(now);
        assert!(world.check(&token).is_ok(), "{about}: the keys were dropped");
    }
}

impl World {
    /// Lets the driver see the time; whether it has usable keys then is another question.
    fn settle_if_possible(&self) {
        let _ = block_on(self.validator.warm_up());
    }
}

/// A clock that stands where it is put, and tells nobody when it is moved: as a computer does that slept.
#[derive(Clone, Debug)]
pub(super) struct Silent(pub(super) scopegate::testing::TestClock);

impl Clock for Silent {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

#[test]
fn fault_row_20_a_computer_that_slept_asks_once_when_it_wakes() {
    let mut world = World::new();
    let builder = Validator::builder(API).trust(Issuer::jwks(A, world.issuer.jwks_uri())).fetch(world.issuer.fetch());
    world.validator = builder.clock(Silent(world.clock.clone())).build().unwrap();
    block_on(world.validator.warm_up()).unwrap();
    let token = world.lasting_token();
    assert!(world.check(&token).is_ok());
    assert_eq!(world.asked(), (0, 1));
    // The thread that fetches may not be asleep yet, and then notices without a check: what it asks for is late either way.
    world.issuer.script(Fault::delay(Duration::from_secs(1)).at(Endpoint::Jwks).times(1));
    // Eight hours by the wall clock, none by the other.
    world.clock.set_wall(world.clock.now().unix_seconds() + 8 * 3600);
    world.issuer.rotate();
    assert!(world.check(&token).is_ok(), "judged from memory, by keys that are within the hard limit");
    soon("the first check makes the keys be asked for", || world.asked() == (0, 2));
    world.clock.advance(Duration::from_secs(2));
    soon("the key that was withdrawn meanwhile is dead", || {
        let presented = Credentials::bearer(&token);
        world.validator.check(&presented, &read()).is_err()
    });
    for _ in 0..100 {
        assert!(world.check(&world.token().mint()).is_ok());
    }
    world.settle();
    // The withdrawn key that was just asked for again may cost one more.
    assert!(world.asked().1 <= 3, "{:?}", world.asked());
}
