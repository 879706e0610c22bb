//! The issuer is down, sick, or says what is not so.

use super::*;

#[test]
fn row_s13_fault_row_01_an_issuer_that_is_down_at_the_start_is_503_until_it_is_back() {
    for fault in
        [Fault::disconnect(), Fault::status(503), Fault::status(404), Fault::truncated(), Fault::body("<html>")]
    {
        let world = World::new();
        world.issuer.script(fault.clone());
        for second in 0..60 {
            let rejection = unjudged(block_on(world.validate(&world.token().mint())));
            assert!(rejection.source().is_some(), "S13 {second} {fault:?}: the operator is told why");
            unjudged(world.check(&world.token().mint()));
            world.clock.advance(seconds(1));
        }
        // Whatever is under way has failed.
        assert!(block_on(world.validator.warm_up()).is_err());
        world.issuer.recover();
        world.clock.advance(seconds(6));
        let token = world.token().mint();
        assert!(block_on(world.validate(&token)).is_ok(), "S13 {fault:?}: within 6 s of its return");
    }
}

#[test]
fn row_s13_fault_row_01_a_check_alone_finds_its_way_back() {
    let world = World::new();
    world.issuer.script(Fault::disconnect());
    for _ in 0..60 {
        unjudged(world.check(&world.token().mint()));
        world.clock.advance(seconds(1));
    }
    // Whatever is under way has failed.
    assert!(block_on(world.validator.warm_up()).is_err());
    world.issuer.recover();
    world.clock.advance(seconds(6));
    soon("S13 accepted within 6 s", || world.check(&world.token().mint()).is_ok());
}

#[test]
fn row_s09_fault_rows_08_09_an_answer_that_is_no_key_set_takes_no_key_away() {
    let elsewhere = TestIssuer::new("https://evil.example.test");
    let large = format!(r#"{{"keys":[],"padding":"{}"}}"#, "x".repeat(512 * 1024));
    let symmetric = r#"{"keys":[{"kty":"oct","kid":"es256-1","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
    let faults = [
        Fault::body(""),
        Fault::body("garbage"),
        Fault::body("<html><body>down for maintenance</body></html>"),
        Fault::body("null"),
        Fault::body("[]"),
        Fault::body("{}"),
        Fault::body(r#"{"keys":{}}"#),
        Fault::body(r#"{"keys":[]}"#),
        Fault::body(r#"{"keys":[],"keys":[]}"#),
        Fault::body(symmetric),
        Fault::body(large),
        Fault::content_type("text/html"),
        Fault::content_type("text/html").with_body("<html>"),
        Fault::endless(),
        Fault::truncated(),
        Fault::disconnect(),
        Fault::redirect(&elsewhere.jwks_uri()),
        Fault::redirect(&elsewhere.jwks_uri()).with_status(307),
    ];
    let statuses = [201, 204, 206, 304, 400, 401, 403, 404, 410, 429, 500, 502, 503, 504];
    for fault in faults.into_iter().chain(statuses.map(Fault::status)) {
        let clock = TestClock::at(1_800_000_000);
        let issuer = issuer(A, &clock);
        let fetch = TestIssuer::fetch_from([&issuer, &elsewhere]);
        let validator = Validator::builder(API).trust(Issuer::discover(A)).fetch(fetch).clock(clock.clone());
        let world = World { validator: validator.build().unwrap(), clock, issuer, read: read() };
        block_on(world.validator.warm_up()).unwrap();

        world.issuer.script(fault.clone().at(Endpoint::Jwks));
        world.clock.advance(seconds(271));
        soon("keys that have come of age are asked for", || world.asked().1 >= 2);
        world.settle();
        assert!(world.check(&world.token().mint()).is_ok(), "{fault:?}");
        // S09: neither does the failure of a fetch that a token caused.
        world.clock.advance(seconds(120));
        unjudged(block_on(world.validate(&world.token().header("kid", "unknown").mint())));
        assert!(world.check(&world.token().mint()).is_ok(), "S09 {fault:?}");
        let fetched = world.asked().1;
        assert!(fetched >= 3, "{fault:?} {fetched}");

        world.issuer.recover();
        world.clock.advance(seconds(61));
        soon("it is asked again", || world.asked().1 > fetched);
        world.settle();
        assert!(world.check(&world.token().mint()).is_ok(), "{fault:?}");
        let asked_elsewhere = elsewhere.requests();
        assert_eq!((asked_elsewhere.jwks, asked_elsewhere.metadata, asked_elsewhere.other), (0, 0, 0), "F01");
    }
}

#[test]
fn fault_row_04_an_unknown_key_is_503_while_the_issuer_cannot_say_and_401_once_it_can() {
    let world = World::warm();
    let unknown = |name: &str| world.token().header("kid", name).mint();
    world.clock.advance(seconds(120));
    world.issuer.script(Fault::disconnect());
    let rejection = unjudged(block_on(world.validate(&unknown("one"))));
    assert!(rejection.source().is_some());
    let asked = world.asked();
    // While the failure is fresh nobody is asked, and nothing is known of this one either.
    unjudged(block_on(world.validate(&unknown("two"))));
    unjudged(world.check(&unknown("two")));
    assert_eq!(world.asked(), asked);
    world.issuer.recover();
    world.clock.advance(seconds(61));
    assert_eq!(refused(block_on(world.validate(&unknown("one")))), Reason::UnknownKey);
}

#[test]
fn row_s23_fault_row_03_an_outage_of_a_day_is_not_noticed_by_those_who_have_a_token() {
    let world = World::warm();
    let token = world.lasting_token();
    world.issuer.script(Fault::disconnect());
    let step = seconds(60);
    for minute in 1..=24 * 60 {
        world.clock.advance(step);
        assert!(world.check(&token).is_ok(), "S23 minute {minute}");
    }
    world.clock.advance(step);
    unjudged(block_on(world.validate(&token)));
    // While it is asked for, it is tried at least every 5 s.
    for _ in 0..60 {
        world.clock.advance(seconds(1));
        unjudged(block_on(world.validate(&token)));
    }
    world.issuer.recover();
    world.clock.advance(seconds(6));
    assert!(block_on(world.validate(&token)).is_ok(), "S23 within 6 s of its return");
}

/// How often an issuer is asked in the first five minutes of an outage.
fn outage_of_five_minutes(fault: Fault) -> u64 {
    let world = World::warm();
    world.clock.advance(seconds(209));
    world.settle();
    world.issuer.script(fault);
    let before = world.asked();
    for _ in 0..300 + 61 {
        world.clock.advance(seconds(1));
        world.settle();
    }
    assert!(world.check(&world.token().mint()).is_ok());
    let after = world.asked();
    after.0.abs_diff(before.0).saturating_add(after.1.abs_diff(before.1))
}

#[test]
fn fault_row_06_an_outage_costs_an_issuer_at_most_sixteen_requests_in_five_minutes() {
    let asked = outage_of_five_minutes(Fault::disconnect());
    assert!((5..=16).contains(&asked), "{asked}");
}

#[test]
fn fault_row_06_an_outage_of_the_key_set_alone_costs_an_issuer_at_most_sixteen_requests_in_five_minutes() {
    let asked = outage_of_five_minutes(Fault::status(503).at(Endpoint::Jwks));
    assert!((5..=16).contains(&asked), "{asked}");
}

#[test]
fn row_f16_fault_row_07_an_issuer_that_asks_to_be_left_alone_is_left_alone() {
    let world = World::warm();
    world.issuer.script(Fault::status(429).with_header("retry-after", "120").at(Endpoint::Jwks).times(1));
    world.clock.advance(seconds(270));
    soon("it is asked", || world.asked().1 == 2);
    world.settle();
    let asked = world.asked();
    world.clock.advance(seconds(119));
    world.settle();
    unjudged(block_on(world.validate(&world.token().header("kid", "unknown").mint())));
    assert_eq!(world.asked(), asked, "F16 not before 120 s");
    world.clock.advance(seconds(1));
    soon("F16 asked again", || world.asked().1 == asked.1 + 1);
}

#[test]
fn fault_row_05_who_waits_is_answered_at_his_own_deadline() {
    let world = World::new();
    world.issuer.script(Fault::hang().at(Endpoint::Jwks));
    let token = world.token().mint();
    let mut first: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validate(&token));
    assert!(waits(&mut first));
    soon("the keys are asked for", || world.asked() == (1, 1));
    world.clock.advance(Duration::from_millis(4_999));
    std::thread::yield_now();
    assert!(waits(&mut first), "the first keys are worth 5 s");
    world.clock.advance(Duration::from_millis(1));
    assert!(unjudged(block_on(first)).source().is_some());

    let world = World::warm();
    world.clock.advance(seconds(120));
    world.issuer.script(Fault::hang().at(Endpoint::Jwks));
    let unknown = world.token().header("kid", "unknown").mint();
    let mut call: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validate(&unknown));
    assert!(waits(&mut call));
    soon("the keys are asked for", || world.asked() == (1, 2));
    world.clock.advance(Duration::from_millis(999));
    std::thread::yield_now();
    assert!(waits(&mut call), "a key is worth 1 s");
    assert!(world.check(&world.token().mint()).is_ok(), "nobody else waits");
    world.clock.advance(Duration::from_millis(1));
    unjudged(block_on(call));
}

#[test]
fn fault_row_38_an_issuer_that_hangs_holds_up_no_other() {
    let clock = TestClock::at(1_800_000_000);
    let (a, b) = (issuer(A, &clock), issuer(B, &clock));
    a.script(Fault::hang());
    let fetch = TestIssuer::fetch_from([&a, &b]);
    let builder = Validator::builder(API).trust(Issuer::discover(A)).trust(Issuer::discover(B));
    let validator = builder.fetch(fetch).clock(clock).build().unwrap();
    let (of_a, of_b) = (a.token().scope("read").mint(), b.token().scope("read").mint());
    unjudged(validator.check(&Credentials::bearer(&of_a), &read()));
    assert!(block_on(validator.validate(&Credentials::bearer(&of_b), &read())).is_ok());
    unjudged(validator.check(&Credentials::bearer(&of_a), &read()));
}
