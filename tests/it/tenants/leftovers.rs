//! Saved keys of tenants that the resolver has not named yet: what the program takes back, no later token brings back.

use super::again::Brittle;
use super::*;
use crate::saved::{Place, keys_of};

impl World {
    /// The same tenants after a restart, with the keys that the one before had; their issuers are down.
    fn restarted(count: usize, settings: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder) -> Self {
        Self::restarted_by(count, |clock, builder| settings(builder.clock(clock.clone())))
    }

    /// With a clock of its own making.
    fn restarted_by(count: usize, settings: impl FnOnce(&TestClock, ValidatorBuilder) -> ValidatorBuilder) -> Self {
        let world = Self::new(count, count);
        for number in 0..count {
            world.accepts(number);
            world.clock.advance(Duration::from_millis(50));
        }
        let saved = keys_of(&world.validator);
        world.tenants.iter().for_each(|tenant| tenant.script(Fault::disconnect()));
        let found = Arc::clone(&world.rows);
        let tenants = Tenants::try_at_most(count, move |name| found.find(name));
        let builder = Validator::builder(API).trust_each(tenants).fetch(TestIssuer::fetch_from(&world.tenants));
        let builder = settings(&world.clock, builder.restore(saved).observe(world.ears.clone()));
        Self { validator: builder.build().unwrap(), ..world }
    }

    /// Whose keys are in the file, by the number of the tenant.
    fn kept(&self, place: &Place) -> Vec<usize> {
        let saved = place.file().read().map_or_else(|_| String::new(), |saved| format!("{saved:?}"));
        (0..self.tenants.len()).flat_map(|number| vec![number; saved.matches(&name(number)).count()]).collect()
    }
}

#[test]
fn a_tenant_that_is_forgotten_before_its_first_token_is_not_served_by_the_keys_of_the_run_before() {
    let world = World::restarted(2, |builder| builder);
    world.validator.forget_issuer(&name(0));
    unjudged(world.validate(&world.token(0).mint()));
    world.accepts(1);
    world.tenants[0].rotate();
    world.tenants[0].recover();
    let token = world.token(0).mint();
    soon("its keys are fetched", || {
        world.clock.advance(seconds(1));
        world.check(&token).is_ok()
    });
}

#[test]
fn after_all_keys_were_asked_for_anew_no_tenant_is_served_by_the_keys_of_the_run_before() {
    let world = World::restarted(2, |builder| builder);
    world.accepts(0);
    let error = block_on(world.validator.refresh_now()).unwrap_err();
    assert_eq!(error.to_string(), format!("no keys of the issuer {}", name(0)));
    world.accepts(0);
    unjudged(world.validate(&world.token(1).mint()));
}

#[test]
fn what_the_program_takes_back_disappears_from_the_file_too() {
    for is_refreshed in [false, true] {
        let place = Place::new(if is_refreshed { "refreshed" } else { "forgotten" });
        let world = World::restarted(3, |builder| builder.keep_keys_in(place.file()));
        world.validator.forget_issuer(&name(1));
        soon("the others are written", || world.kept(&place) == [0, 2]);
        world.accepts(0);
        if is_refreshed {
            block_on(world.validator.refresh_now()).unwrap_err();
            soon("what nobody named is gone", || world.kept(&place) == [0]);
        } else {
            world.validator.forget_issuer(&name(0));
            soon("who was named is gone", || world.kept(&place) == [2]);
        }
    }
}

#[test]
fn saved_keys_of_a_name_that_the_resolver_refuses_do_not_serve_it_later() {
    let world = World::restarted(1, |builder| builder);
    world.rows.delete(&name(0));
    assert_eq!(refused(world.validate(&world.token(0).mint())), Reason::UntrustedIssuer);
    world.rows.set(&name(0), known(&name(0)));
    world.clock.advance(seconds(60));
    unjudged(world.validate(&world.token(0).mint()));
}

#[test]
fn a_thread_that_takes_the_place_of_another_does_not_bring_saved_keys_back() {
    let (breaks, place) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), Place::new("replaced"));
    let world = World::restarted_by(2, |clock, builder| {
        builder.clock(Brittle(clock.clone(), Arc::clone(&breaks))).keep_keys_in(place.file())
    });
    world.accepts(0);
    world.accepts(1);
    world.validator.forget_issuer(&name(0));
    soon("it is withdrawn", || world.heard(|event| matches!(event, Event::IssuerWithdrawn { .. })) == 1);
    breaks.store(true, std::sync::atomic::Ordering::SeqCst);
    world.clock.advance(Duration::from_millis(1));
    soon("the thread has ended", || !breaks.load(std::sync::atomic::Ordering::SeqCst));
    soon("another is asked, and has no keys", || {
        assert!(world.validate(&world.token(0).mint()).is_err());
        world.validator.health().issuer(&name(0)).is_some_and(|issuer| issuer.failures > 0)
    });
    // The other is there, and is written down once.
    world.tenants[1].recover();
    soon("its keys are fetched", || {
        world.clock.advance(seconds(1));
        world.kept(&place) == [1]
    });
}

#[test]
fn of_those_whose_keys_were_saved_128_are_asked_about_at_a_time_and_apart_from_newcomers() {
    let world = World::restarted(130, |builder| builder);
    let gate = Arc::new(Gate::default());
    for number in 0..130 {
        world.rows.set(&name(number), Row::Blocks(Arc::clone(&gate), Some(Box::new(Issuer::discover(name(number))))));
    }
    let before = world.asked();
    (0..128).for_each(|number| drop(unjudged(world.check(&world.token(number).mint()))));
    soon("128 are asked about", || world.asked() == before + 128);
    for number in [128, 129] {
        unjudged(world.validate(&world.token(number).mint()));
    }
    assert_eq!(world.asked(), before + 128);
    assert_eq!(refused(world.validate(&world.junk("https://junk.example.test"))), Reason::UntrustedIssuer);
    gate.open();
    (0..130).for_each(|number| soon("all are served", || world.validate(&world.token(number).mint()).is_ok()));
}
