//! Thousands of tenants that are asked because somebody asks: never all in one moment.

use super::*;

type Call<'c> = Pin<Box<dyn Future<Output = Result<AccessToken, Rejection>> + 'c>>;

impl World {
    /// Tenants whose keys are there; their next ones come so late.
    fn slow(count: usize, late: Duration) -> Self {
        let world = Self::new(count, count);
        for number in 0..count {
            world.accepts(number);
            world.clock.advance(Duration::from_millis(50));
        }
        world.tenants.iter().for_each(|tenant| tenant.script(Fault::delay(late)));
        world
    }

    /// A token for each tenant, good but for a key that nobody has.
    fn made_up(&self, kid: &str) -> Vec<String> {
        (0..self.tenants.len()).map(|number| self.token(number).header("kid", kid).mint()).collect()
    }

    /// How many tenants were asked for their keys so often.
    fn asked_for_keys(&self, times: u64) -> usize {
        self.tenants.iter().filter(|tenant| tenant.requests().jwks == times).count()
    }

    /// Answered by the thread after all that was asked before.
    fn all_is_read(&self, name: &str) {
        for number in 0..2 {
            let junk = self.junk(&format!("https://{name}{number}.example.test"));
            assert_eq!(refused(self.validate(&junk)), Reason::UntrustedIssuer);
        }
    }
}

#[test]
fn one_made_up_key_for_each_tenant_has_64_asked_at_a_time_and_costs_the_others_nothing() {
    let world = World::slow(100, seconds(1));
    let (demand, made_up) = (read(), world.made_up("made-up"));
    let presented: Vec<_> = made_up.iter().map(|token| Credentials::bearer(token.as_str())).collect();
    let mut calls: Vec<Call<'_>> = presented
        .iter()
        .map(|presented| -> Call<'_> { Box::pin(world.validator.validate(presented, &demand)) })
        .collect();
    let still_wait: Vec<bool> = calls.iter_mut().map(waits).collect();
    assert!(still_wait.iter().all(|waits| *waits));
    world.all_is_read("junk");
    assert_eq!((world.asked_for_keys(2), world.asked_for_keys(1)), (64, 36));
    // Who is not asked about was not judged. Good tokens are.
    for (number, call) in calls.iter_mut().enumerate().skip(64) {
        let rejection = unjudged(block_on(call));
        assert!(rejection.retry_after().is_some());
        assert!(world.check(&world.token(number).mint()).is_ok());
    }
    world.clock.advance(seconds(1));
    soon("the first are answered", || (0..64).all(|number| !waits(&mut calls[number])));
    // They owe nothing: each may be asked twice at once, as ever.
    world.tenants.iter().for_each(TestIssuer::recover);
    for kid in ["first", "second", "third"] {
        for number in 64..100 {
            world.validate(&world.token(number).header("kid", kid).mint()).unwrap_err();
        }
    }
    assert_eq!((64..100).filter(|number| world.fetched(*number).1 == 3).count(), 36);
}

#[test]
fn hosts_that_hang_hold_up_made_up_keys_and_no_other_tenant() {
    let world = World::slow(80, seconds(60));
    let (demand, made_up) = (read(), world.made_up("made-up"));
    let presented: Vec<_> = made_up.iter().map(|token| Credentials::bearer(token.as_str())).collect();
    let mut calls: Vec<Call<'_>> = presented
        .iter()
        .map(|presented| -> Call<'_> { Box::pin(world.validator.validate(presented, &demand)) })
        .collect();
    calls.iter_mut().for_each(|call| assert!(waits(call)));
    world.all_is_read("junk");
    assert_eq!(world.asked_for_keys(2), 64);
    soon("those that hang are known", || {
        world.clock.advance(seconds(1));
        world.validator.health().issuers().iter().filter(|issuer| issuer.failures > 0).count() == 64
    });
    world.tenants[79].recover();
    world.tenants[79].rotate();
    world.accepts(79);
}

#[test]
fn refresh_now_asks_64_tenants_at_a_time_and_waits_for_all() {
    let world = World::slow(150, seconds(4));
    let mut refreshing: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validator.refresh_now());
    assert!(waits(&mut refreshing));
    world.all_is_read("junk");
    assert_eq!((world.asked_for_keys(2), world.asked_for_keys(1)), (64, 86));
    world.clock.advance(seconds(4));
    soon("the next are asked", || world.asked_for_keys(2) == 128);
    world.clock.advance(seconds(4));
    soon("all are asked", || world.asked_for_keys(2) == 150);
    world.clock.advance(seconds(4));
    assert!(block_on(refreshing).is_ok());
}

#[test]
fn who_waits_for_its_turn_to_be_asked_anew_is_not_late_before_it() {
    let world = World::slow(70, Duration::ZERO);
    // In the order in which they are asked.
    let mut tenants: Vec<_> = world.tenants.iter().collect();
    tenants.sort_by_key(|tenant| tenant.id().to_owned());
    let (hanging, well) = tenants.split_at(64);
    hanging.iter().for_each(|tenant| tenant.script(Fault::hang()));
    let mut refreshing: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validator.refresh_now());
    assert!(waits(&mut refreshing));
    world.all_is_read("junk");
    assert_eq!(world.asked_for_keys(2), 64);
    world.clock.advance(seconds(30));
    soon("the others have their turn", || well.iter().all(|tenant| tenant.requests().jwks >= 2));
    let error = block_on(refreshing).unwrap_err();
    assert!(hanging.iter().any(|tenant| error.to_string().ends_with(tenant.id())), "{error}");
}
