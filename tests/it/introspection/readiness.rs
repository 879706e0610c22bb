//! How an issuer is that needs no keys.

use std::error::Error;
use std::pin::Pin;

use futures_executor::block_on;
use scopegate::testing::Fault;
use scopegate::{ClientAuth, ClientSecret, FetchError, Introspection, Issuer, KeyState, MetricsObserver};

use super::{A, B, MILLISECOND, World};
use crate::rotation::{seconds, soon, waits};
use crate::watch::recorder::Kept;

#[test]
fn an_issuer_that_is_asked_about_each_token_is_ready_without_keys() {
    for discovered in [false, true] {
        let world = World::of(
            |issuer| match discovered {
                false => Issuer::introspect(A, super::at(issuer)),
                true => Issuer::introspect(A, Introspection::discover(super::api())),
            },
            |builder| builder,
        );
        let health = world.validator.health();
        let a = health.issuer(A).unwrap();
        assert_eq!((a.state, a.state.label(), a.state.is_usable()), (KeyState::NotNeeded, "not_needed", true));
        assert_eq!(a.state.to_string(), "not_needed");
        assert_eq!((a.age, a.failures, a.next_try, a.keys.keys().len()), (None, 0, None, 0));
        assert!(a.last_error.is_none());
        assert!(health.is_ready() && world.validator.is_ready());
        world.clock.advance(seconds(3600 * 48));
        assert!(world.validator.is_ready(), "and it does not grow old");
        assert!(world.way.sent().is_empty(), "nothing was asked for");
    }
}

#[test]
fn nothing_asks_for_keys_that_nobody_needs() {
    let world = World::new(|settings| settings);
    block_on(world.validator.warm_up()).unwrap();
    block_on(world.validator.refresh_now()).unwrap();
    block_on(world.validator.wait_until_ready(seconds(1))).unwrap();
    assert!(world.validate(&world.token()).is_ok());
    assert_eq!((world.issuer.requests().jwks, world.issuer.requests().metadata), (0, 0));
}

#[test]
fn an_issuer_with_keys_beside_it_is_waited_for() {
    let world = World::with(|settings| settings, |builder| builder.trust(Issuer::discover(B)));
    assert!(!world.validator.is_ready());
    let states: Vec<_> = world.validator.health().issuers().iter().map(|issuer| issuer.state).collect();
    assert_eq!(states, [KeyState::NotNeeded, KeyState::NeverLoaded]);
    // One whose JWTs are judged first needs keys.
    let both = World::of(|issuer| Issuer::discover(A).and_introspect(super::at(issuer)), |builder| builder);
    assert_eq!(both.validator.health().issuers()[0].state, KeyState::NeverLoaded);
    block_on(both.validator.warm_up()).unwrap();
    assert_eq!(both.validator.health().issuers()[0].state, KeyState::Fresh);
}

#[test]
fn what_is_not_needed_is_counted_as_that() {
    let kept = Kept::default();
    let world = World::new(|settings| settings);
    metrics::with_local_recorder(&kept, || MetricsObserver::new().record_health(&world.validator.health()));
    let series = kept.scrape();
    let state = |state: &str| series[&format!("scopegate_keys_state{{issuer={A:?},state={state:?}}}")];
    assert_eq!(["never_loaded", "fresh", "stale", "expired", "not_needed"].map(state), [0.0, 0.0, 0.0, 0.0, 1.0]);
}

fn discovering() -> World {
    World::of(|_| Issuer::introspect(A, Introspection::discover(super::api())), |builder| builder)
}

#[test]
fn warm_up_finds_out_where_an_issuer_is_asked_and_asks_it_nothing() {
    let world = discovering();
    block_on(world.validator.warm_up()).unwrap();
    assert_eq!((world.issuer.requests().metadata, world.asked()), (1, 0));
    block_on(world.validator.warm_up()).unwrap();
    assert!(world.validate(&world.token()).is_ok());
    assert_eq!(world.issuer.requests().metadata, 1, "what is known is not asked for again");
}

#[test]
fn warm_up_names_the_first_issuer_that_cannot_be_asked() {
    let world = discovering();
    world.issuer.script(Fault::status(500));
    let error = block_on(world.validator.warm_up()).unwrap_err();
    assert!(matches!(&error, FetchError::Introspection { issuer, .. } if issuer.as_str() == A), "{error:?}");
    assert_eq!(error.to_string(), format!("the issuer {A} cannot be asked about tokens"));
    assert_eq!(error.source().unwrap().to_string(), "unexpected status 500 Internal Server Error");
    assert_eq!(error.label(), "introspection");
    // A callback that has nothing to give is found before the first token comes.
    let sealed = || ClientSecret::asked(|| Err::<String, _>("the vault is sealed"));
    let world = World::of(
        |it| Issuer::introspect(A, Introspection::at(it.introspection_endpoint(), ClientAuth::basic("api", sealed()))),
        |builder| builder,
    );
    let error = block_on(world.validator.warm_up()).unwrap_err();
    assert!(super::words(&error).contains("the vault is sealed"));
    assert!(world.way.sent().is_empty());
}

#[test]
fn who_waits_until_ready_waits_through_failures_of_the_metadata() {
    let world = discovering();
    world.issuer.script(Fault::disconnect());
    let mut waiting: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validator.wait_until_ready(seconds(600)));
    for tries in 1..=4 {
        assert!(waits(&mut waiting));
        soon("it is tried again", || {
            world.clock.advance(MILLISECOND * 50);
            world.issuer.requests().metadata >= tries
        });
    }
    world.issuer.recover();
    soon("it is found", || {
        world.clock.advance(MILLISECOND * 100);
        !waits(&mut waiting)
    });
    assert!(world.validate(&world.token()).is_ok());
}

#[test]
fn who_waits_until_ready_waits_no_longer_than_he_said() {
    let world = discovering();
    world.issuer.script(Fault::disconnect());
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(world.validator.wait_until_ready(seconds(60))));
        soon("the time is over", || {
            world.clock.advance(seconds(1));
            waiting.is_finished()
        });
        waiting.join().unwrap()
    });
    assert!(super::words(&waiting.unwrap_err()).contains("broke off"));
    assert!(world.issuer.requests().metadata <= 3 * 10, "{:?}", world.issuer.requests());
}
