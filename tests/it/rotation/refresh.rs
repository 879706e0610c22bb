//! Keys grow old, with and without tokens that ask for them.

use super::*;

#[test]
fn row_f26_keys_are_fetched_anew_when_they_come_of_age_though_nobody_asks() {
    // 80 % of the lifetime, give or take 10 %: never before the first of these seconds, always by the last.
    for (cache_control, earliest, latest) in [
        (None, 210, 270),
        (Some("no-store"), 210, 270),
        (Some("max-age=600"), 420, 540),
        (Some("max-age=0"), 42, 54),
        (Some("max-age=1"), 42, 54),
        (Some("max-age=31536000"), 2_520, 3_240),
    ] {
        let world = World::new();
        if let Some(value) = cache_control {
            world.issuer.script(Fault::header("cache-control", value).at(Endpoint::Jwks));
        }
        block_on(world.validator.warm_up()).unwrap();
        world.clock.advance(seconds(earliest - 1));
        world.settle();
        assert_eq!(world.asked(), (1, 1), "{cache_control:?} before its time");
        world.clock.advance(seconds(latest - earliest + 1));
        soon("keys that have come of age are fetched", || world.asked().1 == 2);
        world.settle();
        assert_eq!(world.asked(), (1, 2), "{cache_control:?} once");
    }
}

#[test]
fn what_an_issuer_withdraws_is_refused_after_the_next_refresh() {
    let world = World::warm();
    let old = world.token().lifetime(seconds(3600)).mint();
    world.issuer.publish_ahead();
    world.issuer.sign_with_newest();
    world.issuer.retire_oldest();
    assert!(world.check(&old).is_ok());
    world.clock.advance(seconds(270));
    soon("the withdrawn key is gone", || world.check(&old).is_err());
    assert_eq!(refused(block_on(world.validate(&old))), Reason::UnknownKey);
    assert!(world.check(&world.token().mint()).is_ok());
}

#[test]
fn a_program_can_ask_for_new_keys_at_any_time() {
    let world = World::warm();
    let old = world.token().mint();
    world.issuer.rotate();
    assert!(world.check(&old).is_ok());
    block_on(world.validator.refresh_now()).unwrap();
    assert_eq!(world.asked(), (1, 2));
    assert_eq!(refused(block_on(world.validate(&old))), Reason::UnknownKey);
    world.issuer.script(Fault::disconnect());
    let error = block_on(world.validator.refresh_now()).unwrap_err();
    assert!(matches!(&error, FetchError::Issuer { issuer, .. } if issuer.as_str() == A), "{error:?}");
    assert!(world.check(&world.token().mint()).is_ok(), "a failure takes no key away");
}

#[test]
fn fault_row_03_keys_are_used_for_a_day_after_the_last_good_fetch_and_not_a_moment_longer() {
    let world = World::warm();
    let token = world.lasting_token();
    world.issuer.script(Fault::status(500));
    world.clock.advance(DAY);
    assert!(world.check(&token).is_ok(), "24 h to the millisecond");
    world.clock.advance(Duration::from_millis(1));
    unjudged(world.check(&token));
    let rejection = unjudged(block_on(world.validate(&token)));
    assert!(rejection.source().is_some(), "the operator is told why there are no keys");
    world.issuer.recover();
    world.clock.advance(seconds(6));
    soon("accepted again", || world.check(&token).is_ok());
}

#[test]
fn row_s20_fault_row_19_a_wall_clock_that_is_set_ages_tokens_and_throws_no_key_away() {
    let world = World::warm();
    let (short, long) = (world.token().mint(), world.token().lifetime(seconds(7_200)).mint());
    let now = world.clock.now().unix_seconds();
    world.issuer.script(Fault::disconnect());
    world.clock.set_wall(now + 3_600);
    assert_eq!(refused(world.check(&short)), Reason::Expired, "S20 +1 h");
    assert!(world.check(&long).is_ok(), "S20 +1 h: the keys stay");
    world.clock.set_wall(now - 3_600);
    assert_eq!(refused(world.check(&short)), Reason::NotYetValid, "S20 -1 h");
    // A clock that was set back makes no key young: the monotonic clock counts on.
    world.clock.set_wall(now);
    assert!(world.check(&short).is_ok(), "S20 control");
    world.clock.advance(DAY + seconds(1));
    world.clock.set_wall(now);
    unjudged(world.check(&short));
}
