//! Keys grow old, with and without tokens that ask for them.

use super::*;

#[test]
fn row_f26_keys_are_fetched_anew_when_they_come_of_age_though_nobody_asks() {
    // 80 % of the lifetime, give or take 10 %: never before the first of these seconds, always by the last.
    let (sent, later) = (("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("expires", "Sun, 06 Nov 1994 08:59:37 GMT"));
    let cached = |value| ("cache-control", value);
    for (headers, earliest, latest) in [
        (vec![], 210, 270),
        (vec![cached("no-store")], 210, 270),
        (vec![cached("max-age=600")], 420, 540),
        (vec![cached("max-age=0")], 42, 54),
        (vec![cached("max-age=1")], 42, 54),
        (vec![cached("max-age=31536000")], 2_520, 3_240),
        // A cache on the way has had it for 8 min; for longer than it may; for a time that is none.
        (vec![cached("max-age=600"), ("age", "480")], 84, 108),
        (vec![cached("max-age=600"), ("age", "900")], 42, 54),
        (vec![cached("max-age=600"), ("age", "-480")], 420, 540),
        // It expires 10 min after it was sent; no clock of ours says when that was.
        (vec![sent, later], 420, 540),
        (vec![later], 210, 270),
        (vec![sent, ("expires", "Sun, 06 Nov 1994 08:00:00 GMT")], 42, 54),
        (vec![sent, ("expires", "0")], 210, 270),
        (vec![sent, later, cached("max-age=60")], 42, 54),
        (vec![sent, later, cached("no-store")], 210, 270),
    ] {
        let world = World::new();
        let with_headers = headers.iter().fold(Fault::default(), |fault, (name, value)| fault.with_header(name, value));
        world.issuer.script(with_headers.at(Endpoint::Jwks));
        block_on(world.validator.warm_up()).unwrap();
        world.clock.advance(seconds(earliest - 1));
        world.settle();
        assert_eq!(world.asked(), (1, 1), "{headers:?} before its time");
        world.clock.advance(seconds(latest - earliest + 1));
        soon("keys that have come of age are fetched", || world.asked().1 == 2);
        world.settle();
        assert_eq!(world.asked(), (1, 2), "{headers:?} once");
    }
}

/// What is a minute old when it is sent has not changed twice in its last second; what is younger may have (RFC 9110 s8.8.2.2).
#[test]
fn keys_that_have_not_changed_since_a_date_are_renewed_by_304_where_that_was_a_minute_ago() {
    const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (date, is_conditional) in [
        ("Sun, 06 Nov 1994 08:50:37 GMT", true),
        ("Sun, 06 Nov 1994 08:50:36 GMT", false),
        ("Sun, 06 Nov 1994 08:49:37 GMT", false),
        ("Sun, 06 Nov 1994 08:48:37 GMT", false),
        ("yesterday", false),
    ] {
        let world = World::new();
        world.issuer.script(Fault::last_modified(CHANGED).with_header("date", date).at(Endpoint::Jwks));
        block_on(world.validator.warm_up()).unwrap();
        let (old, times) = (world.lasting_token(), 3);
        // Behind the date, so that whoever asks by it is told that nothing has changed.
        world.issuer.rotate();
        for renewed in 1..=times {
            world.clock.advance(seconds(270));
            soon("the keys are renewed", || world.asked().1 == 1 + renewed);
            soon("they are fresh", || world.validator.health().issuer(A).unwrap().age == Some(Duration::ZERO));
        }
        let conditional = if is_conditional { times } else { 0 };
        assert_eq!((world.issuer.requests().conditional, world.asked().1), (conditional, 1 + times), "{date}");
        assert_eq!(world.check(&old).is_ok(), is_conditional, "{date}");
        // A token of an unknown key, and the program, want the whole set.
        assert!(block_on(world.validate(&world.token().mint())).is_ok(), "{date}");
        block_on(world.validator.refresh_now()).unwrap();
        assert_eq!(world.issuer.requests().conditional, conditional, "{date}");
        assert_eq!(refused(block_on(world.validate(&old))), Reason::UnknownKey, "{date}");
    }
}

/// Where both are there the tag counts, since it tells what a date cannot (RFC 9110 s13.1.3).
#[test]
fn keys_under_a_tag_and_a_date_are_told_to_have_changed_by_the_tag() {
    let world = World::new();
    let dated =
        Fault::last_modified("Sun, 06 Nov 1994 08:49:37 GMT").with_header("date", "Mon, 07 Nov 1994 08:49:37 GMT");
    world.issuer.script(dated.clone().with_header("etag", "\"one\"").at(Endpoint::Jwks));
    block_on(world.validator.warm_up()).unwrap();
    let old = world.lasting_token();
    world.issuer.rotate();
    world.issuer.script(dated.with_header("etag", "\"two\"").at(Endpoint::Jwks));
    world.clock.advance(seconds(270));
    // Not by a check of the withdrawn key, which makes the issuer be asked for it.
    soon("the keys are asked for", || world.asked().1 == 2);
    soon("they are there", || world.validator.health().issuer(A).unwrap().age == Some(Duration::ZERO));
    assert_eq!((world.issuer.requests().conditional, world.asked().1), (1, 2));
    assert!(world.check(&old).is_err(), "the withdrawn key is gone");
    assert!(world.check(&world.token().mint()).is_ok());
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
