//! The same over sockets, with the ready way out.

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestIssuer};
use scopegate::{AccessToken, Credentials, Issuer, PlainHttp, Reason, Rejection, Validator};

use super::{API, at, unasked, words};
use crate::rotation::{read, refused};

struct Sockets {
    issuer: TestIssuer,
    validator: Validator,
}

impl Sockets {
    fn new() -> Self {
        let issuer = TestIssuer::on_loopback().unwrap().default_audience(API);
        let trusted = Issuer::introspect(issuer.id(), at(&issuer)).plain_http(PlainHttp::OnLoopback);
        let validator = Validator::builder(API).trust(trusted).build().unwrap();
        Self { issuer, validator }
    }

    fn validate(&self, token: &str) -> Result<AccessToken, Rejection> {
        block_on(self.validator.validate(&Credentials::bearer(token), &read()))
    }

    fn token(&self) -> String {
        self.issuer.token().scope("read").mint_opaque()
    }

    fn script(&self, fault: Fault) {
        self.issuer.script(fault.at(Endpoint::Introspection).times(1));
    }
}

#[test]
fn a_token_is_asked_about_over_a_socket() {
    let world = Sockets::new();
    let token = world.token();
    assert!(world.validate(&token).is_ok());
    assert!(world.validator.check(&Credentials::bearer(&token), &read()).is_ok());
    assert_eq!(refused(world.validate("x&token=y %00+")), Reason::Inactive);
    assert_eq!(world.issuer.requests().introspection, 2);
}

#[test]
fn row_f03_neither_a_token_nor_a_secret_follows_a_redirect() {
    let world = Sockets::new();
    let evil = TestIssuer::on_loopback().unwrap();
    let before = evil.requests();
    for status in [301, 302, 303, 307, 308] {
        world.script(Fault::status(status).with_header("location", &evil.introspection_endpoint()));
        let rejection = unasked(world.validate(&world.token()));
        assert!(words(&rejection).contains("redirect"), "F03 {status}");
    }
    assert_eq!(evil.requests(), before, "F03 nobody was there");
    assert!(world.validate(&world.token()).is_ok(), "F03");
}

#[test]
fn row_i34_an_answer_without_end_is_read_up_to_64_kib() {
    let world = Sockets::new();
    world.script(Fault::endless());
    let rejection = unasked(world.validate(&world.token()));
    assert!(words(&rejection).contains("longer than 65536 bytes"), "I34 {}", words(&rejection));
    assert!(world.validate(&world.token()).is_ok(), "I34");
}

#[test]
fn row_i17_a_connection_that_breaks_is_503_and_the_next_question_is_asked_on_another() {
    let world = Sockets::new();
    for fault in [Fault::disconnect(), Fault::reset(), Fault::truncated()] {
        assert!(world.validate(&world.token()).is_ok(), "I17");
        // It may be sent once more where the connection was an old one, so the fault is there twice.
        world.issuer.script(fault.at(Endpoint::Introspection).times(2));
        unasked(world.validate(&world.token()));
        world.issuer.recover();
        assert!(world.validate(&world.token()).is_ok(), "I17");
    }
}
