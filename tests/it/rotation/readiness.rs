//! When a program may begin, and what it is told until then.

use super::*;
use scopegate::KeyState;

fn keyless_pair() -> (World, TestIssuer, Validator) {
    let world = World::new();
    let other = issuer(B, &world.clock);
    let fetch = TestIssuer::fetch_from([&world.issuer, &other]);
    let both = Validator::builder(API).trust(Issuer::discover(A)).trust(Issuer::discover(B)).fetch(fetch);
    let validator = both.clock(world.clock.clone()).build().unwrap();
    (world, other, validator)
}

#[test]
fn a_probe_alone_makes_a_program_ready() {
    let world = World::new();
    assert!(!world.validator.is_ready());
    soon("the keys that the probe has asked for are there", || world.validator.is_ready());
    assert_eq!(world.asked(), (1, 1));
    assert_eq!(world.validator.health().issuer(A).map(|a| a.state), Some(KeyState::Fresh));
}

#[test]
fn a_program_is_ready_when_every_issuer_has_keys_and_says_which_has_not() {
    let (_world, other, validator) = keyless_pair();
    other.script(Fault::status(500));
    let error = block_on(validator.warm_up()).unwrap_err();
    assert!(matches!(&error, FetchError::Issuer { issuer, .. } if issuer.as_str() == B));
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("unexpected status 500 Internal Server Error"));
    assert!(!validator.is_ready());
    let health = validator.health();
    let states: Vec<_> = health.issuers().iter().map(|issuer| issuer.state).collect();
    assert_eq!(states, [KeyState::Fresh, KeyState::NeverLoaded]);
    let sick = health.issuer(B).unwrap();
    assert_eq!((sick.failures, sick.age, sick.keys.keys().len()), (1, None, 0));
    assert!(sick.last_error.is_some());
    assert!((500..=1000).contains(&sick.next_try.unwrap().as_millis()));
    assert!(health.issuer("https://c.example.test").is_none());
}

#[test]
fn who_waits_until_ready_waits_through_failures() {
    let (world, other, validator) = keyless_pair();
    other.script(Fault::disconnect());
    let mut waiting = Box::pin(validator.wait_until_ready(seconds(60)));
    let mut context = Context::from_waker(Waker::noop());
    for tries in 1..=3 {
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        soon("it is tried again", || validator.health().issuer(B).is_some_and(|b| b.failures >= tries));
        world.clock.advance(seconds(5));
    }
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    other.recover();
    world.clock.advance(seconds(5));
    block_on(waiting).unwrap();
    assert!(validator.is_ready());
    block_on(validator.wait_until_ready(Duration::ZERO)).unwrap();
}

#[test]
fn who_waits_until_ready_is_told_in_the_end_what_went_wrong() {
    let (world, other, validator) = keyless_pair();
    other.script(Fault::status(404));
    let mut waiting: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(validator.wait_until_ready(seconds(30)));
    assert!(waits(&mut waiting));
    soon("it has failed", || validator.health().issuer(B).is_some_and(|b| b.failures > 0));
    let mut outcome = None;
    soon("it is told", || {
        world.clock.advance(seconds(1));
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(result) => outcome = Some(result),
            std::task::Poll::Pending => {}
        }
        outcome.is_some()
    });
    let error = outcome.unwrap().unwrap_err();
    assert!(matches!(&error, FetchError::Issuer { issuer, .. } if issuer.as_str() == B));
    let said = error.source().map(ToString::to_string);
    assert_eq!(said.as_deref(), Some("unexpected status 404 Not Found"), "the failure, not that time is over");
}

#[test]
fn a_refusal_says_when_the_issuer_is_asked_next() {
    let world = World::new();
    world.issuer.script(Fault::status(503).with_header("retry-after", "120"));
    let token = world.token().mint();
    let first = world.check(&token).unwrap_err();
    assert!(first.validate_could_decide(), "the question is on its way");
    assert_eq!(first.retry_after(), Some(seconds(1)));
    soon("it has failed", || world.validator.health().issuer(A).is_some_and(|a| a.failures == 1));
    for passed in [0, 100] {
        world.clock.advance(seconds(passed));
        let later = world.check(&token).unwrap_err();
        assert!(!later.validate_could_decide(), "nobody may ask now");
        assert_eq!(later.retry_after(), Some(seconds(121 - passed)), "the next try, and a second for it");
        assert!(later.source().is_some());
    }
}
