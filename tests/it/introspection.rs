//! Tokens that their issuer is asked about (RFC 7662), through the public API.

use futures_executor::block_on;
use scopegate::testing::{TestClock, TestIssuer};
use scopegate::{
    AccessToken, ClientAuth, Credentials, Introspection, Issuer, Reason, Rejection, Requirement, ScopePolicy,
    Validator, ValidatorBuilder,
};

use crate::rotation::{issuer, read, refused, seconds, soon};

pub(crate) const API: &str = "https://api.example.test";
pub(crate) const A: &str = "https://a.example.test";

/// A validator, the issuer that it asks, and their clock.
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) validator: Validator,
}

impl World {
    pub(crate) fn new(settings: impl FnOnce(Introspection) -> Introspection) -> Self {
        Self::with(settings, |builder| builder)
    }

    pub(crate) fn with(
        settings: impl FnOnce(Introspection) -> Introspection,
        builder: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder,
    ) -> Self {
        let clock = TestClock::at(1_800_000_000);
        let issuer = issuer(A, &clock);
        let introspection = settings(Introspection::at(issuer.introspection_endpoint(), api()));
        let trusted = Issuer::introspect(A, introspection);
        let built = Validator::builder(API).trust(trusted).fetch(issuer.fetch()).clock(clock.clone());
        Self { validator: builder(built).build().unwrap(), clock, issuer }
    }

    pub(crate) fn validate(&self, token: &str) -> Result<AccessToken, Rejection> {
        block_on(self.validator.validate(&Credentials::bearer(token), &read()))
    }

    pub(crate) fn check(&self, token: &str) -> Result<AccessToken, Rejection> {
        self.validator.check(&Credentials::bearer(token), &read())
    }

    pub(crate) fn asked(&self) -> u64 {
        self.issuer.requests().introspection
    }
}

/// The client that the test issuer knows by its own name.
pub(crate) fn api() -> ClientAuth {
    ClientAuth::basic("api", "api")
}

#[test]
fn an_active_token_is_accepted_and_remembered() {
    let world = World::new(|settings| settings);
    let token = world.issuer.token().scope("read").mint_opaque();
    let accepted = world.validate(&token).unwrap();
    assert_eq!((accepted.subject(), accepted.issuer().as_str()), (Some("user-1"), A));
    assert!(world.check(&token).is_ok() && world.validate(&token).is_ok());
    assert_eq!(world.asked(), 1);
}

#[test]
fn a_token_that_is_not_active_is_refused_and_remembered_for_a_moment() {
    let world = World::new(|settings| settings);
    assert_eq!(refused(world.validate("nobody-made-it")), Reason::Inactive);
    assert_eq!(refused(world.check("nobody-made-it")), Reason::Inactive);
    assert_eq!(world.asked(), 1);
    world.clock.advance(seconds(5));
    assert_eq!(refused(world.validate("nobody-made-it")), Reason::Inactive);
    assert_eq!(world.asked(), 2);
}

#[test]
fn a_check_answers_503_and_finds_the_answer_a_moment_later() {
    let world = World::new(|settings| settings);
    let token = world.issuer.token().scope("read").mint_opaque();
    let rejection = world.check(&token).unwrap_err();
    assert_eq!(rejection.reason(), Reason::IntrospectionUnavailable);
    assert_eq!(rejection.status(), 503);
    assert!(rejection.validate_could_decide());
    soon("the answer", || world.check(&token).is_ok());
    assert_eq!(world.asked(), 1);
}

#[test]
fn row_i23_what_a_route_demands_is_asked_of_a_remembered_answer_too() {
    let world = World::new(|settings| settings);
    let token = world.issuer.token().scope("read").mint_opaque();
    assert!(world.validate(&token).is_ok());
    let admin = Requirement::from(ScopePolicy::all(["admin"]).unwrap());
    assert_eq!(refused(world.validator.check(&Credentials::bearer(&token), &admin)), Reason::InsufficientScope);
    assert_eq!(world.asked(), 1);
}
