//! Tokens in use, which are asked about before they are forgotten.

use futures_executor::block_on;
use scopegate::testing::Fault;
use scopegate::{Introspection, Reason, Spared};

use super::{MILLISECOND, World, same, unasked};
use crate::rotation::{refused, seconds, soon, waits};

#[test]
fn a_busy_token_never_waits_where_it_is_asked_about_ahead() {
    let world = World::new(Introspection::ask_ahead);
    let token = world.issuer.token().scope("read").lifetime(seconds(3600)).mint_opaque();
    assert!(world.validate(&token).is_ok());
    for round in 1..20 {
        world.clock.advance(seconds(24) - MILLISECOND);
        assert!(world.check(&token).is_ok());
        assert_eq!(world.asked(), round, "not before the last fifth");
        world.clock.advance(MILLISECOND);
        for _ in 0..10 {
            assert!(world.check(&token).is_ok(), "the old answer serves");
        }
        soon("it is asked once", || world.told.outcomes().len() as u64 == round + 1);
    }
    assert_eq!(world.asked(), 20);
}

#[test]
fn nothing_is_asked_about_ahead_unless_that_was_said() {
    let world = World::new(same);
    let token = world.token();
    assert!(world.validate(&token).is_ok());
    world.clock.advance(seconds(30) - MILLISECOND);
    for _ in 0..10 {
        assert!(world.check(&token).is_ok() && world.validate(&token).is_ok());
    }
    // Whatever was sent before this is asked before it.
    assert!(world.validate(&world.token()).is_ok());
    assert_eq!(world.asked(), 2);
}

#[test]
fn what_is_asked_ahead_and_fails_harms_nobody() {
    let world = World::new(Introspection::ask_ahead);
    let token = world.token();
    assert!(world.validate(&token).is_ok());
    world.script(Fault::status(500));
    world.clock.advance(seconds(24));
    assert!(world.validate(&token).is_ok());
    assert_eq!(world.told.last_of(2), "status");
    world.clock.advance(seconds(6) - MILLISECOND);
    for _ in 0..10 {
        assert!(world.check(&token).is_ok());
    }
    world.clock.advance(MILLISECOND);
    unasked(world.validate(&token));
    assert_eq!(world.asked(), 3, "it is not tried again and again");
    world.issuer.recover();
    assert!(world.validate(&token).is_ok());
}

#[test]
fn what_is_asked_ahead_and_revoked_is_refused_from_then_on() {
    let world = World::new(Introspection::ask_ahead);
    let token = world.token();
    assert!(world.validate(&token).is_ok());
    world.issuer.revoke(&token);
    world.clock.advance(seconds(24));
    assert!(world.check(&token).is_ok());
    soon("the newer answer counts", || world.check(&token).is_err());
    assert_eq!(refused(world.check(&token)), Reason::Inactive);
}

#[test]
fn what_is_not_remembered_is_not_asked_about_ahead() {
    let world = World::new(|settings| settings.ask_ahead().remember(seconds(0)));
    let token = world.token();
    for questions in 1..=5 {
        assert!(world.validate(&token).is_ok());
        assert_eq!(world.asked(), questions);
    }
}

#[test]
fn where_the_issuer_is_not_asked_just_now_a_token_in_use_is_tried_again_a_second_later() {
    let world = World::new(|settings| settings.ask_ahead().at_most_in_flight(1));
    let (busy, other) = (world.token(), world.token());
    assert!(world.validate(&busy).is_ok());
    world.clock.advance(seconds(24));
    world.script(Fault::delay(seconds(1)).times(1));
    let mut call = world.call(&other);
    assert!(waits(&mut call));
    soon("the one question that may be open is", || world.asked() == 2);
    for _ in 0..100 {
        assert!(world.check(&busy).is_ok(), "the old answer serves");
    }
    soon("it is told", || world.told.halts() == [Some(Spared::InFlight)]);
    world.clock.advance(seconds(1));
    assert!(block_on(call).is_ok());
    // A check of before may have been heard after the clock was turned.
    soon("it is asked about", || {
        world.clock.advance(MILLISECOND * 10);
        assert!(world.check(&busy).is_ok());
        world.asked() == 3
    });
}
