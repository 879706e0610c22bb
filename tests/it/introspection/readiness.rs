//! How an issuer is that needs no keys.

use futures_executor::block_on;
use scopegate::{Introspection, Issuer, KeyState, MetricsObserver};

use super::{A, B, World};
use crate::rotation::seconds;
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
