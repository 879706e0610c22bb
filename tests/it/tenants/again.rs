//! The resolver's word grows old, and can be taken back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use scopegate::{Clock, Timestamp};

use super::*;

impl World {
    fn withdrawn(&self, number: usize) -> usize {
        self.heard(|event| matches!(event, Event::IssuerWithdrawn { issuer } if issuer.as_str() == name(number)))
    }
}

#[test]
fn a_tenant_that_is_asked_about_again_keeps_its_keys() {
    let world = World::new(1, 10);
    world.accepts(0);
    world.clock.advance(Duration::from_millis(299_999));
    world.accepts(0);
    assert_eq!(world.asked(), 1);
    // Only the resolver's word grows old: the keys were renewed by themselves.
    soon("the keys are renewed", || world.fetched(0) == (1, 2));
    world.clock.advance(Duration::from_millis(1));
    soon("it is asked about again", || world.asked() == 2);
    for _ in 0..10 {
        assert!(world.check(&world.token(0).mint()).is_ok(), "nobody waits for it");
    }
    assert_eq!(world.fetched(0), (1, 2));
    world.clock.advance(seconds(299));
    world.accepts(0);
    assert_eq!(world.asked(), 2);
    world.clock.advance(seconds(1));
    soon("and again", || world.asked() == 3);
    assert_eq!(world.heard(|event| matches!(event, Event::IssuerResolved { .. })), 1);
}

#[test]
fn a_tenant_that_was_deleted_is_refused_when_it_is_asked_about_again() {
    let world = World::new(2, 10);
    world.accepts(0);
    world.accepts(1);
    world.rows.delete(&name(0));
    let token = world.token(0).mint();
    world.clock.advance(seconds(299));
    assert!(world.check(&token).is_ok());
    world.clock.advance(seconds(1));
    soon("it is refused", || world.check(&token).is_err());
    assert_eq!(refused(world.check(&token)), Reason::UntrustedIssuer);
    assert_eq!(refused(world.validate(&token)), Reason::UntrustedIssuer);
    soon("it is told", || world.withdrawn(0) == 1);
    world.accepts(1);
    assert_eq!((world.resolved(), world.withdrawn(1)), (vec![name(1)], 0));
    // Its keys are not fetched any more.
    let fetched = world.fetched(0);
    for _ in 0..10 {
        world.clock.advance(seconds(55));
        world.accepts(1);
    }
    assert_eq!(world.fetched(0), fetched);
}

#[test]
fn a_wall_clock_that_jumps_ahead_makes_the_word_old_and_one_that_is_set_back_does_not_make_it_young() {
    let world = World::with(1, 10, |tenants| tenants.resolve_again_after(seconds(60)), |builder| builder);
    world.accepts(0);
    world.clock.set_wall(1_800_000_061);
    soon("it is asked about again", || world.asked() == 2);
    world.clock.set_wall(1_700_000_000);
    world.clock.advance(seconds(59));
    world.accepts(0);
    assert_eq!(world.asked(), 2);
    world.clock.advance(seconds(1));
    soon("it is asked about again", || world.asked() == 3);
}

#[test]
fn a_tenant_stays_for_an_hour_while_the_resolver_fails() {
    let world = World::new(1, 10);
    world.accepts(0);
    let token = world.token(0).mint();
    world.rows.set(&name(0), Row::Fails);
    for minute in 1_usize..60 {
        world.clock.advance(seconds(60));
        let failures = minute.saturating_sub(4);
        soon("it is asked about again each time", || world.failures() == failures);
        assert!(world.check(&token).is_ok(), "minute {minute}");
    }
    // Not before 30 s have passed.
    let asked = world.asked_about(&name(0));
    world.clock.advance(Duration::from_millis(29_999));
    assert_eq!(refused(world.validate(&world.junk("https://junk.example.test"))), Reason::UntrustedIssuer);
    assert_eq!(world.asked_about(&name(0)), asked);
    assert!(world.check(&token).is_ok());
    world.clock.advance(Duration::from_millis(30_000));
    soon("it is asked about again", || world.failures() == 56);
    assert!(world.check(&token).is_ok());
    world.clock.advance(Duration::from_millis(1));
    // Never judged, so it is no 401.
    unjudged(world.check(&token));
    unjudged(world.validate(&token));
    world.rows.set(&name(0), known(&name(0)));
    world.clock.advance(seconds(30));
    soon("it is back", || world.check(&token).is_ok());
}

#[test]
fn new_settings_of_a_tenant_count_when_it_is_asked_about_again() {
    let world = World::new(2, 10);
    world.accepts(0);
    let (token, stricter) = (world.token(0).mint(), Issuer::discover(name(0)).audience("https://other.example.test"));
    world.rows.set(&name(0), Row::Is(Box::new(stricter)));
    world.clock.advance(seconds(300));
    soon("its rules are others", || world.check(&token).is_err_and(|no| no.reason() == Reason::WrongAudience));
    assert_eq!(world.fetched(0).0, 1, "its keys lie where they lay");

    // The same name, with keys elsewhere: nothing of the old ones stays.
    let moved = Issuer::jwks(name(0), world.tenants[1].jwks_uri());
    world.rows.set(&name(0), Row::Is(Box::new(moved)));
    let by_new_key = world.tenants[1].forge(world.token(0)).mint();
    assert!(world.check(&by_new_key).is_err());
    world.clock.advance(seconds(300));
    soon("its keys are others", || world.validate(&by_new_key).is_ok());
    assert_eq!(refused(world.check(&token)), Reason::BadSignature);
    soon("both are told", || world.heard(|event| matches!(event, Event::IssuerResolved { .. })) == 2);
}

#[test]
fn a_tenant_is_forgotten_at_once() {
    let world = World::new(2, 10);
    world.accepts(0);
    world.accepts(1);
    let token = world.token(0).mint();
    world.rows.delete(&name(0));
    world.validator.forget_issuer(&name(0));
    assert!(world.check(&token).is_err(), "from the next check on");
    assert_eq!(refused(world.validate(&token)), Reason::UntrustedIssuer);
    assert!(world.check(&world.token(1).mint()).is_ok());
    soon("it is told", || world.withdrawn(0) == 1);
    // The refusal is forgotten too.
    world.rows.set(&name(0), known(&name(0)));
    assert_eq!(refused(world.validate(&token)), Reason::UntrustedIssuer);
    world.validator.forget_issuer(&name(0));
    world.accepts(0);
    assert_eq!(world.fetched(0), (2, 2), "its keys were let go of");
}

#[test]
fn an_answer_that_is_older_than_the_forgetting_is_not_believed() {
    let world = World::new(1, 10);
    let gate = Arc::new(Gate::default());
    // The look into the directory was made before the tenant was deleted, and its answer comes after.
    world.rows.set(&name(0), Row::Blocks(Arc::clone(&gate), Some(Box::new(Issuer::discover(name(0))))));
    let token = world.token(0).mint();
    unjudged(world.check(&token));
    soon("the resolver is asked", || world.asked() == 1);
    world.rows.delete(&name(0));
    world.validator.forget_issuer(&name(0));
    gate.open();
    soon("it is asked again", || world.asked() == 2);
    assert_eq!(refused(world.validate(&token)), Reason::UntrustedIssuer);
    assert_eq!((world.fetched(0), world.heard(|event| matches!(event, Event::IssuerResolved { .. }))), ((0, 0), 0));
}

#[test]
fn to_forget_one_tenant_makes_nobody_ask_about_another_again() {
    let world = World::new(3, 10);
    world.accepts(2);
    let gate = Arc::new(Gate::default());
    for number in [0, 1] {
        let answer = Some(Box::new(Issuer::discover(name(number))));
        world.rows.set(&name(number), Row::Blocks(Arc::clone(&gate), answer));
        unjudged(world.check(&world.token(number).mint()));
    }
    soon("the resolver is asked about both", || world.asked() == 3);
    world.validator.forget_issuer(&name(2));
    world.validator.forget_issuer(&name(1));
    world.rows.set(&name(1), known(&name(1)));
    gate.open();
    world.accepts(0);
    world.accepts(1);
    assert_eq!((world.asked_about(&name(0)), world.asked_about(&name(1)), world.failures()), (1, 2, 0));
}

#[test]
fn a_failure_that_is_older_than_the_forgetting_is_not_believed_either() {
    let world = World::new(1, 10);
    let gate = Arc::new(Gate::default());
    world.rows.set(&name(0), Row::FailsLater(Arc::clone(&gate)));
    unjudged(world.check(&world.token(0).mint()));
    soon("the resolver is asked", || world.asked() == 1);
    world.validator.forget_issuer(&name(0));
    world.rows.set(&name(0), known(&name(0)));
    gate.open();
    world.accepts(0);
    assert_eq!((world.asked(), world.failures()), (2, 0));
}

#[test]
fn what_has_failed_is_asked_about_at_once_when_it_is_forgotten() {
    let world = World::new(1, 10);
    world.rows.set(&name(0), Row::Fails);
    unjudged(world.validate(&world.token(0).mint()));
    world.rows.set(&name(0), known(&name(0)));
    unjudged(world.validate(&world.token(0).mint()));
    world.validator.forget_issuer(&name(0));
    world.accepts(0);
}

#[test]
fn a_tenant_that_left_while_it_was_asked_about_again_does_not_come_back_unasked() {
    let world = World::new(2, 1);
    world.accepts(0);
    let gate = Arc::new(Gate::default());
    world.rows.set(&name(0), Row::Blocks(Arc::clone(&gate), Some(Box::new(Issuer::discover(name(0))))));
    world.clock.advance(seconds(300));
    soon("it is asked about again", || world.asked_about(&name(0)) == 2);
    world.accepts(1);
    gate.open();
    soon("the answer is given", || Arc::strong_count(&gate) == 2);
    for number in 0..5 {
        let junk = world.junk(&format!("https://junk{number}.example.test"));
        assert_eq!(refused(world.validate(&junk)), Reason::UntrustedIssuer);
    }
    assert_eq!((world.resolved(), world.failures()), (vec![name(1)], 0));
    world.clock.advance(seconds(61));
    world.accepts(0);
}

/// A clock that panics once, on the thread that fetches keys.
#[derive(Debug)]
pub(super) struct Brittle(pub(super) TestClock, pub(super) Arc<AtomicBool>);

impl Clock for Brittle {
    fn now(&self) -> Timestamp {
        if std::thread::current().name() == Some("scopegate-wire") {
            assert!(!self.1.swap(false, Ordering::SeqCst), "this panic belongs to the test");
        }
        self.0.now()
    }

    fn wake_when_turned(&self, waker: Waker) {
        self.0.wake_when_turned(waker);
    }
}

#[test]
fn a_thread_that_takes_the_place_of_another_knows_the_tenants() {
    let breaks = Arc::new(AtomicBool::new(false));
    let clock = TestClock::at(1_800_000_000);
    let brittle = Brittle(clock.clone(), Arc::clone(&breaks));
    let world = World::with(1, 10, |tenants| tenants, |builder| builder.clock(brittle));
    world.accepts(0);
    breaks.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_millis(1));
    soon("the thread has ended", || !breaks.load(Ordering::SeqCst));
    world.tenants[0].rotate();
    let token = world.token(0).mint();
    soon("its new keys are found", || world.check(&token).is_ok());
    assert_eq!(world.asked(), 1, "whom the resolver named is known");
}

#[test]
fn forgetting_an_issuer_that_is_trusted_by_name_takes_nothing_from_it() {
    let clock = TestClock::at(1_800_000_000);
    let ours = issuer("https://ours.example.test", &clock);
    let builder = Validator::builder(API).trust(Issuer::discover(ours.id())).trust_each(Tenants::at_most(1, |_| None));
    let validator = builder.fetch(ours.fetch()).clock(clock).build().unwrap();
    block_on(validator.warm_up()).unwrap();
    validator.forget_issuer(ours.id());
    assert!(block_on(validator.refresh_now()).is_ok(), "it is fetched as ever");
    assert_eq!(ours.requests().jwks, 2);
}
