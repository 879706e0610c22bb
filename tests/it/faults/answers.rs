//! The issuer answers, and not with a key set.

use super::*;

/// The wait after the first failure, the second and so on: this at most, and half of it at least.
const WAITS: [u64; 8] = [1, 2, 4, 8, 16, 32, 60, 60];

#[test]
fn row_f15_fault_row_06_a_status_that_says_no_keeps_the_keys_and_is_asked_ever_more_seldom() {
    for status in [500, 502, 503, 504, 403, 404, 410] {
        let world = World::warm();
        let token = world.lasting_token();
        world.issuer.script(Fault::status(status).at(Endpoint::Jwks));
        let (first, before) = (world.health(), world.asked());
        assert_eq!((first.state, first.failures), (KeyState::Fresh, 0), "{status}");
        let mut wait = world.next_failure();
        let (mut passed, mut asked) = (Duration::ZERO, 0);
        for failures in 1.. {
            let most = seconds(WAITS.get(failures - 1).copied().unwrap_or(60));
            assert!((most / 2..=most).contains(&wait), "{status}: {wait:?} after failure {failures}");
            assert!(world.check(&token).is_ok(), "{status}: the keys stay");
            assert_eq!(world.health().keys.keys().len(), first.keys.keys().len(), "{status}");
            let requests = world.asked();
            let since = (requests.0 - before.0) + (requests.1 - before.1);
            if passed <= seconds(300) {
                asked = since;
            } else {
                break;
            }
            passed += wait;
            wait = world.next_failure();
        }
        assert!((5..=16).contains(&asked), "{status}: {asked} requests in the first five minutes");
        world.issuer.recover();
        world.next_success();
        assert!(world.health().last_error.is_none(), "{status}");
    }
}

#[test]
fn row_f16_fault_row_07_retry_after_is_obeyed_between_a_second_and_an_hour() {
    let date = |text: &str| {
        Fault::status(503).with_header("date", "Sun, 06 Nov 1994 08:49:37 GMT").with_header("retry-after", text)
    };
    let delta = |text: &str| Fault::status(429).with_header("retry-after", text);
    for (fault, wait) in [
        (delta("120"), 120),
        (delta("0"), 1),
        (delta("3600"), 3600),
        (delta("999999999999999999999"), 3600),
        (date("Sun, 06 Nov 1994 08:51:37 GMT"), 120),
        (date("Sun, 06 Nov 1994 08:00:00 GMT"), 1),
    ] {
        let world = World::warm();
        world.issuer.script(fault.clone().at(Endpoint::Jwks));
        assert_eq!(world.next_failure(), seconds(wait), "{fault:?}");
        let asked = world.asked();
        world.clock.advance(seconds(wait) - Duration::from_millis(1));
        world.settle();
        // Neither a token nor the program itself shortens the wait.
        assert!(block_on(world.validate(&world.token().header("kid", "unknown").mint())).is_err(), "{fault:?}");
        assert!(block_on(world.validator.refresh_now()).is_err(), "{fault:?}");
        assert_eq!(world.asked(), asked, "{fault:?}: 0 requests earlier");
        world.issuer.recover();
        world.next_success();
    }
}

/// Row 8, J04: every prefix of a good document is no document.
#[test]
fn row_j04_fault_row_08_a_key_set_that_is_cut_anywhere_changes_nothing() {
    let world = World::warm();
    let (token, whole) = (world.lasting_token(), world.issuer.jwks());
    for cut in 0..whole.len() {
        let before = world.health();
        world.issuer.publish_raw(&whole[..cut]);
        world.clock.advance(seconds(60));
        assert!(block_on(world.validator.refresh_now()).is_err(), "cut at {cut}");
        let after = world.health();
        assert_eq!(after.failures, before.failures + 1, "cut at {cut}");
        assert_eq!(format!("{:?}", after.keys), format!("{:?}", before.keys), "cut at {cut}");
        assert!(world.check(&token).is_ok(), "cut at {cut}");
    }
    world.issuer.publish_raw(whole);
    world.clock.advance(seconds(60));
    block_on(world.validator.refresh_now()).unwrap();
}

#[test]
fn fault_row_09_a_304_that_was_not_asked_for_is_a_failure() {
    let world = World::warm();
    world.issuer.script(Fault::status(304).at(Endpoint::Jwks));
    for failures in 1..=3 {
        world.next_failure();
        let health = world.health();
        assert_eq!(health.failures, failures);
        assert!(health.age.unwrap() > Duration::ZERO, "nothing was vouched for");
    }
    assert_eq!(world.issuer.requests().conditional, 0);
    assert!(world.check(&world.token().mint()).is_ok());
    assert_eq!(world.asked().1, 4);
}

#[test]
fn keys_that_have_not_changed_are_renewed_by_304() {
    let world = World::new();
    world.issuer.script(Fault::entity_tag("\"one\"").at(Endpoint::Jwks));
    block_on(world.validator.warm_up()).unwrap();
    let token = world.lasting_token();
    for renewed in 1..=5 {
        world.next_success();
        assert_eq!(world.issuer.requests().conditional, renewed);
        assert_eq!(world.health().state, KeyState::Fresh);
        assert!(world.check(&token).is_ok());
    }
    // A token of an unknown key, and the program, want the whole set.
    world.clock.advance(seconds(31));
    assert_eq!(refused(block_on(world.validate(&world.token().header("kid", "unknown").mint()))), Reason::UnknownKey);
    block_on(world.validator.refresh_now()).unwrap();
    // And the metadata is read again, since a key was missed that may lie elsewhere by now.
    assert_eq!((world.issuer.requests().conditional, world.asked()), (5, (2, 8)));
}

#[test]
fn a_key_set_that_changes_under_an_entity_tag_that_does_not_is_found_within_an_hour() {
    let world = World::new();
    world.issuer.script(Fault::entity_tag("\"stuck\"").at(Endpoint::Jwks));
    block_on(world.validator.warm_up()).unwrap();
    let old = world.lasting_token();
    world.issuer.rotate();
    let mut passed = Duration::ZERO;
    while passed < seconds(3_000) {
        passed += world.health().next_try.unwrap();
        world.next_success();
        if passed < seconds(3_000) {
            assert!(world.check(&old).is_ok(), "the server says that nothing has changed, at {passed:?}");
        }
    }
    assert!(world.issuer.requests().conditional >= 10);
    // From the hour on, the next timed refresh asks for all of it: at most 270 s later.
    world.clock.advance(seconds(600));
    soon("the removed key is dead", || world.check(&old).is_err());
    world.clock.advance(seconds(270));
    soon("the removed key is dead", || world.check(&old).is_err());
    assert!(world.check(&world.token().mint()).is_ok());
}

#[test]
fn row_j01_fault_row_08_what_is_no_key_set_takes_no_key_away() {
    for document in ["{}", r#"{"keys":null}"#, r#"{"keys":{}}"#, "[]", "null", "", "<html></html>", "{\"keys\":[]"] {
        let world = World::warm();
        world.issuer.publish_raw(document);
        world.next_failure();
        assert_eq!((world.health().failures, world.health().keys.keys().len()), (1, 1), "J01 {document}");
        assert!(world.check(&world.token().mint()).is_ok(), "J01 {document}");
    }
}

#[test]
fn row_j03_fault_row_09_a_page_with_status_200_takes_no_key_away() {
    for fault in [
        Fault::content_type("text/html").with_body("<html>Sign in</html>"),
        Fault::content_type("text/html"),
        Fault::content_type("application/octet-stream"),
        Fault::status(204),
        Fault::status(206),
    ] {
        let world = World::warm();
        world.issuer.script(fault.clone().at(Endpoint::Jwks));
        world.next_failure();
        assert_eq!((world.health().failures, world.health().keys.keys().len()), (1, 1), "J03 {fault:?}");
        assert!(world.check(&world.token().mint()).is_ok(), "J03 {fault:?}");
    }
}

#[test]
fn row_j02_fault_row_17_an_empty_key_set_counts_after_three_answers_over_a_minute() {
    let world = World::warm();
    let token = world.lasting_token();
    world.issuer.publish_raw(r#"{"keys":[]}"#);
    let mut since_first = Duration::ZERO;
    let mut wait = world.next_failure();
    for answers in 1.. {
        // Not one before the third, and not before the minute is over.
        assert!(world.check(&token).is_ok(), "J02 after {answers} answers in {since_first:?}");
        since_first += wait;
        if answers >= 2 && since_first >= seconds(60) {
            break;
        }
        wait = world.next_failure();
    }
    world.clock.advance(wait);
    soon("J02 the set is empty", || world.check(&token).is_err());
    assert_eq!(refused(block_on(world.validate(&token))), Reason::UnknownKey, "J02");
    assert_eq!(world.health().keys.keys().len(), 0, "J02");

    // One that was empty once and good after it has taken nothing away.
    let world = World::warm();
    let token = world.lasting_token();
    for _ in 0..4 {
        world.issuer.publish_raw(r#"{"keys":[]}"#);
        world.next_failure();
        world.issuer.recover();
        world.next_success();
        assert!(world.check(&token).is_ok(), "J02");
    }
}

#[test]
fn row_j08_row_j45_fault_row_10_what_is_too_much_takes_no_key_away() {
    let good = World::warm().issuer.jwks();
    let padded = |padding: String| format!("{},\"padding\":{padding}}}", good.strip_suffix('}').unwrap());
    for (about, document) in [
        ("J08 a byte over 512 KiB", padded(format!("\"{}\"", "x".repeat(512 * 1024)))),
        ("J45 100,000 lists", padded(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)))),
    ] {
        let world = World::warm();
        world.issuer.publish_raw(document);
        world.next_failure();
        assert_eq!((world.health().failures, world.health().keys.keys().len()), (1, 1), "{about}");
        assert!(world.check(&world.token().mint()).is_ok(), "{about}");
    }
    let world = World::warm();
    world.issuer.script(Fault::endless().at(Endpoint::Jwks));
    world.next_failure();
    assert!(world.check(&world.token().mint()).is_ok(), "J08 a body without an end");
}

#[test]
fn row_s09_a_fetch_for_an_unknown_key_that_fails_takes_no_key_away() {
    let world = World::warm();
    world.clock.advance(seconds(120));
    world.issuer.script(Fault::status(500));
    unjudged(block_on(world.validate(&world.token().header("kid", "unknown").mint())));
    assert_eq!(world.health().failures, 1, "S09");
    assert!(world.check(&world.token().mint()).is_ok(), "S09");
}
