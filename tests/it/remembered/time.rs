//! How long, and by which clock.

use scopegate::{Clock, Profile, Timestamp};

use super::*;

#[test]
fn it_is_forgotten_when_its_time_is_over_and_verified_anew() {
    for (life, set) in [(seconds(300), false), (seconds(300), true), (seconds(3600), true), (MILLISECOND, true)] {
        let world =
            World::with(|issuer| issuer, |builder| if set { builder.remember_signatures(life) } else { builder });
        let token = world.known(world.token());
        for _ in 0..2 {
            world.clock.advance(life - MILLISECOND);
            assert_eq!(world.api.check(&token), MEMORY, "{life:?}");
            world.clock.advance(MILLISECOND);
            assert_eq!((world.api.check(&token), world.api.check(&token)), (SIGNATURE, MEMORY), "{life:?}");
        }
    }
}

#[test]
fn no_use_makes_it_young_again() {
    let world = World::new();
    let token = world.known(world.token());
    for _ in 0..299 {
        world.clock.advance(seconds(1));
        assert_eq!(world.api.check(&token), MEMORY);
    }
    world.clock.advance(seconds(1));
    assert_eq!(world.api.check(&token), SIGNATURE);
}

#[test]
fn it_is_as_old_as_the_clock_says_that_says_longer() {
    let world = World::new();
    let token = world.known(world.token());
    world.clock.set_wall(NOW + 299);
    assert_eq!(world.api.check(&token), MEMORY);
    world.clock.set_wall(NOW + 300);
    assert_eq!((world.api.check(&token), world.api.check(&token)), (SIGNATURE, MEMORY), "by the wall clock");
    // Whatever the wall clock says from here on, it is as old as the uptime says.
    for wall in [NOW, NOW - 3600, NOW + 300, NOW - 7200] {
        world.clock.set_wall(wall);
        assert_eq!(world.api.check(&token), MEMORY, "{wall}");
    }
    world.clock.set_wall(NOW - 3600);
    world.clock.advance(seconds(300) - MILLISECOND);
    assert_eq!(world.api.check(&token), MEMORY);
    world.clock.advance(MILLISECOND);
    assert_eq!(world.api.check(&token), SIGNATURE, "by the uptime");
}

#[test]
fn row_s20_a_wall_clock_that_is_set_back_an_hour_makes_nothing_last_longer() {
    for life in [60, 300, 3600] {
        let world = World::with(|issuer| issuer, |builder| builder.remember_signatures(seconds(life)));
        let token = world.known(world.token());
        // Set back again and again, so that by the wall clock no time goes by at all.
        for _ in 1..life / 10 {
            world.clock.advance(seconds(10));
            world.clock.set_wall(NOW - 3600);
            assert_eq!(world.api.check(&token), MEMORY, "S20 {life}");
        }
        world.clock.advance(seconds(10));
        world.clock.set_wall(NOW - 3600);
        assert_eq!(world.api.check(&token), SIGNATURE, "S20 {life}");
    }
}

#[test]
fn row_s20_a_wall_clock_that_is_set_ahead_an_hour_ends_what_has_ended_by_then() {
    let world = World::new();
    let (short, long) =
        (world.known(world.token().lifetime(seconds(1800))), world.known(world.token().lifetime(seconds(5400))));
    world.clock.set_wall(NOW + 3600);
    assert_eq!(world.api.check(&short), Err(Reason::Expired), "S20");
    assert_eq!(world.api.check(&long), SIGNATURE, "S20 it was remembered an hour ago");
}

#[test]
fn a_token_ends_while_it_is_remembered() {
    for leeway in [0, 30, 60, 300] {
        let settings = |builder: ValidatorBuilder| builder.leeway(seconds(leeway)).remember_signatures(seconds(3600));
        for fraction in [0, 500] {
            let world = World::with(|issuer| issuer, settings);
            let end = NOW as f64 + 100.0 + f64::from(fraction) / 1000.0;
            let token = world.known(world.token().claim("exp", end));
            world.clock.advance(seconds(100 + leeway) + MILLISECOND * fraction - MILLISECOND);
            assert_eq!(world.api.check(&token), MEMORY, "{leeway} {fraction}");
            world.clock.advance(MILLISECOND);
            for _ in 0..2 {
                assert_eq!(world.api.check(&token), Err(Reason::Expired), "{leeway} {fraction}");
                assert_eq!(world.api.validate(&token), Err(Reason::Expired), "{leeway} {fraction}");
            }
            // It has not ended where the clock was wrong, but what was proven of it has.
            world.clock.set_wall(NOW);
            assert_eq!(world.api.check(&token), SIGNATURE, "{leeway} {fraction}");
        }
    }
}

#[test]
fn a_clock_that_is_set_back_before_a_token_began_has_it_refused_though_it_is_remembered() {
    for leeway in [0, 30, 300] {
        for claim in ["iat", "nbf"] {
            let world = World::with(|issuer| issuer, |builder| builder.leeway(seconds(leeway)));
            let token = world.known(world.token().claim(claim, NOW));
            let leeway = i64::try_from(leeway).unwrap();
            for (wall, expected) in [
                (NOW - leeway, MEMORY),
                (NOW - leeway - 1, Err(Reason::NotYetValid)),
                (NOW - 3600, Err(Reason::NotYetValid)),
                (0, Err(Reason::NotYetValid)),
                (-1, Err(Reason::NotYetValid)),
                (NOW, MEMORY),
            ] {
                world.clock.set_wall(wall);
                assert_eq!(world.api.check(&token), expected, "{claim} {leeway} {wall}");
            }
        }
    }
}

#[test]
fn a_token_that_was_refused_for_its_times_was_not_remembered() {
    let world = World::new();
    let (early, late) = (world.token().claim("nbf", NOW + 100), world.token().lifetime(seconds(10)));
    let (early, late) = (early.mint(), late.mint());
    assert_eq!(world.api.check(&early), Err(Reason::NotYetValid));
    world.clock.advance(seconds(70));
    assert_eq!((world.api.check(&early), world.api.check(&early)), (SIGNATURE, MEMORY));
    assert_eq!(world.api.check(&late), Err(Reason::Expired));
    world.clock.set_wall(NOW);
    assert_eq!((world.api.check(&late), world.api.check(&late)), (SIGNATURE, MEMORY));
}

#[test]
fn the_ends_of_time_are_no_way_around_it() {
    let world = World::new();
    let token = world.known(world.token());
    let far = i64::MAX / 1000;
    for wall in [far, i64::MAX] {
        world.clock.set_wall(wall);
        assert_eq!(world.api.check(&token), Err(Reason::Expired), "{wall}");
    }
    world.clock.set_wall(i64::MIN);
    assert_eq!(world.api.check(&token), Err(Reason::NotYetValid));
    world.clock.set_wall(NOW);
    assert_eq!(world.api.check(&token), MEMORY);
    world.clock.advance(Duration::MAX);
    assert_eq!(world.api.check(&token), Err(Reason::Expired));
    world.clock.set_wall(NOW);
    assert_eq!(world.api.check(&token), SIGNATURE);
}

/// A clock whose rough readings are as late as a system's may be.
#[derive(Clone, Debug)]
struct Late(TestClock);

impl Clock for Late {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn now_roughly(&self) -> Timestamp {
        let now = self.0.now();
        Timestamp::new(now.unix_millis() - 10, now.uptime().saturating_sub(MILLISECOND * 10))
    }
}

#[test]
fn a_rough_clock_refuses_nothing_and_only_memory_goes_by_it() {
    let clock = TestClock::at(NOW);
    let issuer = issuer(A, &clock);
    let trusted = || Issuer::keys(A, published(&issuer));
    let builder = || Validator::builder(API).leeway(Duration::ZERO).clock(Late(clock.clone()));
    // Nobody observes, so that the rough clock is read.
    let validator = builder().trust(trusted()).build().unwrap();
    let check = |token: &str| validator.check(&Credentials::bearer(token), &read()).map(drop).map_err(|no| no.reason());
    let token = issuer.token().scope("read").claim("iat", NOW).lifetime(seconds(60)).mint();
    assert_eq!((check(&token), check(&token)), (Ok(()), Ok(())), "made at this very moment");
    clock.advance(seconds(60));
    assert_eq!(check(&token), Ok(()), "from memory, by a clock that is 10 ms late");
    clock.advance(MILLISECOND * 10);
    assert_eq!(check(&token), Err(Reason::Expired));
    let other = issuer.token().scope("read").claim("exp", NOW + 60).mint();
    assert_eq!(check(&other), Err(Reason::Expired), "not from memory, so to the point");
}

#[test]
fn a_token_without_iat_ends_in_memory_by_the_clock_that_nobody_sets() {
    let world = World::with(|issuer| issuer.profile(Profile::PlainJwt), |builder| builder);
    let token = world.known(world.token().without("iat").claim("exp", NOW + 60));
    world.clock.advance(seconds(89));
    world.clock.set_wall(NOW - 3600);
    assert_eq!(world.api.check(&token), MEMORY);
    world.clock.advance(seconds(1));
    assert_eq!(world.api.check(&token), SIGNATURE, "its proof has ended with it; by the wall clock it is good anew");
}
