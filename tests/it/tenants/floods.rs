//! Names by the thousand: what strangers can cause has a bound, and whoever is in the table does not notice.

use super::*;

#[test]
fn a_thousand_that_come_at_once_ask_the_resolver_once() {
    let world = World::new(1, 10);
    let gate = Arc::new(Gate::default());
    world.rows.set(&name(0), Row::Blocks(Arc::clone(&gate), Some(Box::new(Issuer::discover(name(0))))));
    let (token, demand) = (world.token(0).mint(), read());
    let presented = Credentials::bearer(&token);
    let mut calls: Vec<Pin<Box<dyn Future<Output = _> + '_>>> = Vec::new();
    for _ in 0..1_000 {
        let mut call: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validator.validate(&presented, &demand));
        assert!(waits(&mut call));
        calls.push(call);
    }
    soon("the resolver is asked", || world.asked() == 1);
    gate.open();
    for call in calls {
        assert!(block_on(call).is_ok());
    }
    assert_eq!((world.asked(), world.fetched(0)), (1, (1, 1)));
}

#[test]
fn a_refusal_is_remembered_for_a_minute_and_asks_nobody() {
    let world = World::new(1, 10);
    let junk = world.junk(world.stranger.id());
    for _ in 0..100 {
        assert_eq!(refused(world.validate(&junk)), Reason::UntrustedIssuer);
        assert_eq!(refused(world.check(&junk)), Reason::UntrustedIssuer);
    }
    assert_eq!(world.asked(), 1);
    // It has become a customer, which counts when the minute is over.
    world.rows.set(world.stranger.id(), known(world.stranger.id()));
    world.clock.advance(Duration::from_millis(59_999));
    let fresh = world.junk(world.stranger.id());
    assert_eq!(refused(world.validate(&fresh)), Reason::UntrustedIssuer);
    assert_eq!(world.asked(), 1);
    let requests = world.stranger.requests();
    assert_eq!((requests.metadata, requests.jwks, requests.other), (0, 0, 0), "who is not trusted is not asked");
    world.clock.advance(Duration::from_millis(1));
    assert!(world.validate(&fresh).is_ok());
    assert_eq!(world.asked(), 2);
}

#[test]
fn so_many_refusals_are_remembered_and_no_more() {
    let world = World::new(1, 10);
    let junk = |number: usize| world.junk(&format!("https://junk{number}.example.test"));
    // One every 50 ms, which is what the budget allows; all of them within a minute.
    for number in 0..1_025 {
        assert_eq!(refused(world.validate(&junk(number))), Reason::UntrustedIssuer, "{number}");
        world.clock.advance(Duration::from_millis(50));
    }
    assert_eq!(world.asked(), 1_025);
    assert_eq!(refused(world.validate(&junk(1_024))), Reason::UntrustedIssuer);
    assert_eq!(refused(world.validate(&junk(1))), Reason::UntrustedIssuer);
    assert_eq!(world.asked(), 1_025, "1,024 are remembered");
    assert_eq!(refused(world.validate(&junk(0))), Reason::UntrustedIssuer);
    assert_eq!(world.asked(), 1_026, "the oldest made room");
}

#[test]
fn a_token_that_no_issuer_could_save_does_not_reach_the_resolver() {
    let world = World::new(1, 10);
    let token = || world.token(0);
    let long = format!("https://{}", "a".repeat(2_041));
    assert_eq!(long.len(), 2_049);
    let worthless = [
        (Reason::Expired, token().expired().mint()),
        (Reason::MissingClaim, token().without("iss").mint()),
        (Reason::MissingClaim, token().without("exp").mint()),
        (Reason::MalformedClaim, token().claim("iss", 7).mint()),
        (Reason::MalformedClaim, token().claim("exp", "9").mint()),
        (Reason::Malformed, token().payload_json("[]").mint()),
        (Reason::Malformed, "junk".to_owned()),
        (Reason::UntrustedIssuer, token().claim("iss", &*long).mint()),
    ];
    for (reason, token) in worthless {
        assert_eq!(refused(world.validate(&token)), reason, "{token}");
        assert_eq!(refused(world.check(&token)), reason, "{token}");
    }
    assert_eq!(world.asked(), 0);
    let shorter = world.junk(&long[..2_048]);
    assert_eq!(refused(world.validate(&shorter)), Reason::UntrustedIssuer);
    assert_eq!(world.asked(), 1, "a byte less is a name");
}

#[test]
fn of_a_thousand_names_sixty_four_reach_the_resolver_at_once_and_then_twenty_a_second() {
    let world = World::new(2, 10);
    world.accepts(0);
    world.clock.advance(seconds(10));
    let flood = || {
        let judged =
            (0..1_000).map(|number| world.validate(&world.junk(&format!("https://junk{number}.example.test"))));
        judged.filter(|judged| judged.as_ref().is_err_and(|no| no.status() == 401)).count()
    };
    assert_eq!((flood(), world.asked()), (64, 1 + 64), "those who are not asked about are 503");
    // A newcomer of ours waits; whoever is there does not.
    unjudged(world.validate(&world.token(1).mint()));
    world.accepts(0);
    world.clock.advance(seconds(3));
    assert_eq!((flood(), world.asked()), (64 + 60, 1 + 64 + 60));
    world.clock.advance(seconds(2));
    world.accepts(1);
}

#[test]
fn who_is_busy_stays_and_who_is_idle_makes_room() {
    let world = World::new(4, 3);
    for number in 0..3 {
        world.accepts(number);
    }
    let newcomer = || world.validate(&world.token(3).mint());
    let rejection = unjudged(newcomer());
    assert_eq!(std::error::Error::source(&rejection).unwrap().to_string(), "the fetch failed");
    world.clock.advance(seconds(59));
    unjudged(newcomer());
    for number in [1, 2] {
        world.accepts(number);
    }
    assert_eq!(world.resolved(), [name(0), name(1), name(2)]);
    world.clock.advance(seconds(6));
    world.accepts(3);
    assert_eq!(world.resolved(), [name(1), name(2), name(3)], "the one that was idle for a minute");
    let evicted = |number: usize| {
        world.heard(|event| matches!(event, Event::IssuerEvicted { issuer } if issuer.as_str() == name(number)))
    };
    soon("it is told", || evicted(0) == 1);
    assert_eq!(evicted(1) + evicted(2) + evicted(3), 0);

    unjudged(world.validate(&world.token(0).mint()));
    let before = world.fetched(0);
    for _ in 0..6 {
        world.clock.advance(seconds(60));
        let _ = block_on(world.validator.refresh_now());
    }
    assert_eq!(world.fetched(0), before, "nobody keeps its keys");
    world.accepts(0);
    assert_eq!(world.fetched(0), (before.0 + 1, before.1 + 1), "keys that were let go of are fetched anew");
}

#[test]
fn an_issuer_that_never_showed_a_good_token_makes_room_after_ten_seconds() {
    let world = World::new(2, 1);
    assert_eq!(refused(world.validate(&world.token(0).signed_by_stranger().mint())), Reason::BadSignature);
    unjudged(world.validate(&world.token(1).mint()));
    world.clock.advance(Duration::from_millis(9_999));
    unjudged(world.validate(&world.token(1).mint()));
    world.clock.advance(seconds(5));
    world.accepts(1);
    // Forged tokens do not make the first one busy.
    unjudged(world.validate(&world.token(0).signed_by_stranger().mint()));
    world.accepts(1);
}

#[test]
fn of_those_that_may_leave_the_one_that_never_showed_a_good_token_leaves_first() {
    let world = World::new(3, 2);
    world.accepts(0);
    world.clock.advance(seconds(61));
    assert!(world.validate(&world.token(1).signed_by_stranger().mint()).is_err());
    world.clock.advance(seconds(10));
    world.accepts(2);
    assert_eq!(world.resolved(), [name(0), name(2)]);
}

#[test]
fn a_flood_that_hangs_keeps_nobody_from_being_asked_about_again() {
    let world = World::new(1, 10);
    world.accepts(0);
    world.clock.advance(seconds(1));
    let gate = Arc::new(Gate::default());
    for number in 0..64 {
        let junk = format!("https://junk{number}.example.test");
        world.rows.set(&junk, Row::Blocks(Arc::clone(&gate), None));
        unjudged(world.check(&world.junk(&junk)));
    }
    soon("all of them hang", || world.asked() == 1 + 64);
    unjudged(world.validate(&world.junk("https://one-too-many.example.test")));
    world.clock.advance(seconds(300));
    soon("it is asked about again", || world.asked_about(&name(0)) == 2);
    world.accepts(0);
    gate.open();
}

#[test]
fn to_be_asked_about_again_makes_nobody_idle() {
    let world = World::new(2, 1);
    world.accepts(0);
    world.clock.advance(seconds(299));
    world.accepts(0);
    world.clock.advance(seconds(1));
    soon("it is asked about again", || world.asked_about(&name(0)) == 2);
    world.clock.advance(seconds(30));
    unjudged(world.validate(&world.token(1).mint()));
    world.clock.advance(seconds(29));
    world.accepts(1);
}

/// F38: fifty tenants, one of which hangs.
#[test]
fn f38_one_broken_tenant_slows_no_other() {
    let world = World::new(50, 50);
    world.tenants[0].script(Fault::hang());
    unjudged(world.check(&world.token(0).mint()));
    for number in 1..50 {
        world.accepts(number);
    }
    for _ in 0..100 {
        world.check(&world.token(0).mint()).unwrap_err();
    }
    // The others are renewed in time, though the first is asked over and over.
    for _ in 0..5 {
        world.clock.advance(seconds(55));
        let _ = world.check(&world.token(0).mint());
    }
    for number in 1..50 {
        soon("F38 renewed", || world.fetched(number).1 >= 2);
    }
    assert_eq!(world.validator.health().issuer(&name(0)).unwrap().state, KeyState::NeverLoaded);
    // What is spent on made-up keys of one is not spent on those of another.
    for number in 0..100 {
        let _ = world.validate(&world.token(1).header("kid", format!("made-up-{number}")).mint());
    }
    assert!(world.fetched(1).1 <= 2 + 2 + 2, "{:?}", world.fetched(1));
    world.tenants[2].rotate();
    world.accepts(2);
    world.accepts(1);
}

#[test]
fn of_those_that_are_due_at_once_64_are_asked_at_a_time_and_those_that_hang_hold_up_each_other_alone() {
    let world = World::new(200, 200);
    for number in 0..200 {
        world.accepts(number);
        world.clock.advance(Duration::from_millis(50));
    }
    let (hanging, well) = world.tenants.split_at(130);
    hanging.iter().for_each(|tenant| tenant.script(Fault::hang()));
    let asked =
        |tenants: &[TestIssuer], times: u64| tenants.iter().filter(|tenant| tenant.requests().jwks >= times).count();
    world.clock.advance(seconds(300));
    soon("those that were asked the longest ago are asked", || asked(hanging, 2) == 64);
    for number in 0..2 {
        // Answered by the same thread, which has seen to everything else before.
        let junk = world.junk(&format!("https://junk{number}.example.test"));
        assert_eq!(refused(world.validate(&junk)), Reason::UntrustedIssuer);
    }
    assert_eq!((asked(hanging, 2), asked(well, 2)), (64, 0));
    world.tenants.iter().for_each(|tenant| assert!(world.check(&tenant.token().scope("read").mint()).is_ok()));

    // A thread that is late must not find that its questions were given up, so the clock is turned no more than it takes.
    let have_had_their_turn = || asked(hanging, 2) == 130 && asked(well, 2) == 70;
    soon("the others have their turn", || {
        world.clock.advance(seconds(1));
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            have_had_their_turn()
        })
    });
    let health = world.validator.health();
    let fails = |tenant: &&TestIssuer| health.issuer(tenant.id()).is_some_and(|issuer| issuer.failures > 0);
    assert_eq!(well.iter().filter(fails).count(), 0);
    soon("those that hang are known", || {
        world.clock.advance(seconds(1));
        let health = world.validator.health();
        hanging.iter().all(|tenant| health.issuer(tenant.id()).is_some_and(|issuer| issuer.failures > 0))
    });
    let times = well.iter().map(|tenant| tenant.requests().jwks).max().unwrap_or_default();
    world.clock.advance(seconds(300));
    soon("nobody waits for them any more", || asked(well, times + 1) == 70);
}

#[test]
fn a_tenant_that_comes_and_goes_is_not_asked_more_often_for_that() {
    let world = World::new(2, 1);
    let unknown = |number: usize, kid: &str| world.validate(&world.token(number).header("kid", kid).mint());
    for kid in ["a", "b", "c"] {
        assert_eq!(refused(unknown(0, kid)), Reason::UnknownKey);
    }
    assert_eq!(world.fetched(0), (1, 3), "its budget is spent");
    world.clock.advance(seconds(10));
    assert_eq!(refused(unknown(1, "a")), Reason::UnknownKey);
    assert_eq!(world.resolved(), [name(1)]);
    world.clock.advance(seconds(10));
    for kid in ["d", "e", "f"] {
        assert_eq!(refused(unknown(0, kid)), Reason::UnknownKey);
    }
    assert_eq!((world.resolved(), world.fetched(0)), (vec![name(0)], (2, 4)), "its first keys alone");
    world.clock.advance(seconds(10));
    assert_eq!(refused(unknown(0, "g")), Reason::UnknownKey);
    assert_eq!(world.fetched(0).1, 5, "30 s after the first of them");
}

#[test]
fn a_tenant_that_comes_and_goes_is_left_alone_as_long_as_its_issuer_asked() {
    for is_forgotten in [false, true] {
        let world = World::new(2, 1);
        world.accepts(0);
        world.tenants[0].script(Fault::status(503).with_header("retry-after", "1000").times(1));
        block_on(world.validator.refresh_now()).unwrap_err();
        let asked = world.fetched(0);
        world.clock.advance(seconds(61));
        world.accepts(1);
        if is_forgotten {
            world.validator.forget_issuer(&name(0));
        }
        world.clock.advance(seconds(61));
        if is_forgotten {
            world.accepts(0);
            continue;
        }
        let rejection = world.validate(&world.token(0).mint()).unwrap_err();
        assert_eq!(world.resolved(), [name(0)]);
        assert_eq!(
            (rejection.reason(), rejection.retry_after()),
            (Reason::KeysUnavailable, Some(seconds(1000 - 122 + 1)))
        );
        world.clock.advance(seconds(1000 - 122 - 1));
        world.validate(&world.token(0).mint()).unwrap_err();
        assert_eq!(world.fetched(0), asked);
        world.clock.advance(seconds(1));
        soon("it is asked", || world.check(&world.token(0).mint()).is_ok());
    }
}
