//! A resolver that is slow, fails, panics, or answers what it was not asked.

use std::error::Error as _;

use super::*;

#[test]
fn a_resolver_that_takes_its_time_holds_up_nobody_else() {
    let world = World::new(2, 10);
    let gate = Arc::new(Gate::default());
    world.rows.set(&name(0), Row::Blocks(Arc::clone(&gate), Some(Box::new(Issuer::discover(name(0))))));
    let (token, demand) = (world.token(0).mint(), read());
    let presented = Credentials::bearer(&token);
    let mut first: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(world.validator.validate(&presented, &demand));
    assert!(waits(&mut first));
    soon("the resolver is asked", || world.asked() == 1);
    world.accepts(1);
    world.clock.advance(Duration::from_millis(4_999));
    world.accepts(1);
    assert!(waits(&mut first));
    world.clock.advance(Duration::from_millis(1));
    assert!(unjudged(block_on(first)).source().is_some());
    soon("it is told", || world.failures() == 1);
    // Whoever comes then is answered at once, and the resolver is not asked twice.
    unjudged(world.validate(&token));
    assert_eq!(world.asked_about(&name(0)), 1);
    gate.open();
    soon("a late answer counts", || world.check(&token).is_ok());
    assert_eq!((world.asked_about(&name(0)), world.failures()), (1, 1));
}

#[test]
fn resolvers_that_never_answer_end_with_the_validator() {
    let world = World::new(1, 10);
    let gate = Arc::new(Gate::default());
    world.rows.set(&name(0), Row::Blocks(Arc::clone(&gate), None));
    unjudged(world.check(&world.token(0).mint()));
    soon("the resolver is asked", || world.asked() == 1);
    let rows = Arc::downgrade(&world.rows);
    drop(world);
    gate.open();
    soon("all is let go of", || rows.strong_count() == 0);
}

fn failing(row: &Row, what: &str) {
    let world = World::new(2, 10);
    world.rows.set(&name(0), row.clone());
    let rejection = unjudged(world.validate(&world.token(0).mint()));
    assert_eq!(rejection.retry_after(), Some(seconds(5)));
    assert!(rejection.source().unwrap().to_string().contains(what), "{:?}", rejection.source());
    soon("it is told", || world.failures() == 1);
    // So many of one broken tenant do not spend what there is for all.
    for _ in 0..1_000 {
        unjudged(world.validate(&world.token(0).mint()));
        unjudged(world.check(&world.token(0).mint()));
    }
    assert_eq!(world.asked(), 1);
    world.accepts(1);
    world.rows.set(&name(0), known(&name(0)));
    world.clock.advance(Duration::from_millis(4_999));
    unjudged(world.validate(&world.token(0).mint()));
    world.clock.advance(Duration::from_millis(1));
    world.accepts(0);
    assert_eq!((world.asked_about(&name(0)), world.failures()), (2, 1));
}

#[test]
fn a_resolver_that_fails_is_503_and_is_asked_again_after_five_seconds() {
    failing(&Row::Fails, "the database is down");
}

#[test]
fn a_resolver_that_panics_has_failed() {
    failing(&Row::Panics, "panic");
}

#[test]
fn an_answer_to_another_question_is_refused_and_told() {
    let evil = "https://stranger.example.test";
    let answers = [
        Issuer::discover(evil),
        Issuer::jwks(evil, format!("{}/jwks", name(0))),
        Issuer::discover(format!("{}/", name(0))),
        Issuer::jwks(name(0), "http://t0.example.test/jwks"),
        Issuer::jwks(name(0), "not a url"),
        Issuer::discover(name(0)).algorithms([]),
        Issuer::discover(name(0)).audience(""),
    ];
    for answer in answers {
        let world = World::new(1, 10);
        world.rows.set(&name(0), Row::Is(Box::new(answer.clone())));
        assert_eq!(refused(world.validate(&world.token(0).mint())), Reason::UntrustedIssuer, "{answer:?}");
        assert_eq!(refused(world.validate(&world.token(0).mint())), Reason::UntrustedIssuer, "{answer:?}");
        assert_eq!((world.asked(), world.fetched(0)), (1, (0, 0)), "{answer:?}");
        assert_eq!(world.stranger.requests().metadata, 0);
        soon("it is told", || world.failures() == 1);
    }
}

#[test]
fn a_plain_http_issuer_is_refused() {
    let world = World::new(1, 10);
    let plain = "http://plain.example.test";
    world.rows.set(plain, known(plain));
    assert_eq!(refused(world.validate(&world.junk(plain))), Reason::UntrustedIssuer);
    soon("it is told", || world.failures() == 1);
}

#[test]
fn a_resolver_may_hand_over_keys_and_rules() {
    let world = World::new(2, 10);
    let keys = KeySet::from_json(world.tenants[0].jwks().as_bytes()).unwrap();
    let issuer = Issuer::keys(name(0), keys).audience("https://only.example.test");
    world.rows.set(&name(0), Row::Is(Box::new(issuer)));
    assert_eq!(refused(world.validate(&world.token(0).mint())), Reason::WrongAudience);
    let token = world.token(0).audience("https://only.example.test").mint();
    assert!(world.validate(&token).is_ok());
    assert_eq!(world.fetched(0), (0, 0));
    let elsewhere = world.token(1).audience("https://only.example.test").mint();
    assert_eq!(refused(world.validate(&elsewhere)), Reason::WrongAudience, "one tenant's rules are not another's");
}
