//! One issuer for all of them, its keys and its tokens, good and bad.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use scopegate::Algorithm;
use scopegate::testing::{TestIssuer, TestToken};
use tokio::runtime::Runtime;

use crate::measure::{AUDIENCE, token};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const SCOPE: &str = "things:read";

pub(crate) struct World {
    issuer: TestIssuer,
    /// For what a peer does beforehand: fetch keys, and start tasks that fetch them again.
    pub(crate) runtime: Runtime,
}

impl World {
    pub(crate) fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let issuer = TestIssuer::on_loopback_as(ISSUER, algorithms).expect("a port of loopback");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { issuer, runtime }
    }

    /// The keys, for a peer to which they can be handed.
    pub(crate) fn jwks(&self) -> String {
        self.issuer.jwks()
    }

    /// Where the keys are, for a peer that only fetches.
    pub(crate) fn jwks_uri(&self) -> String {
        let address = self.issuer.address().expect("it is on loopback");
        let path = self.issuer.jwks_uri().replace(ISSUER, "");
        format!("http://{address}{path}")
    }

    pub(crate) fn jwk(&self, algorithm: Algorithm) -> serde_json::Value {
        let kid = crate::measure::header(&self.good(algorithm))["kid"].clone();
        serde_json::from_str(&self.issuer.jwk(kid.as_str().expect("a kid")).expect("a key")).expect("JSON")
    }

    pub(crate) fn good(&self, algorithm: Algorithm) -> String {
        token(&self.issuer, algorithm).mint()
    }

    /// What must be refused. The first two are wrong in themselves, the others fail what was demanded.
    pub(crate) fn bad(&self, algorithm: Algorithm) -> Vec<(&'static str, String)> {
        let like = |change: fn(TestToken) -> TestToken| change(token(&self.issuer, algorithm)).mint();
        vec![
            ("expired", like(TestToken::expired)),
            ("bad signature", like(TestToken::tampered)),
            ("another key's signature", like(TestToken::signed_by_stranger)),
            ("not valid yet", like(TestToken::not_yet_valid)),
            ("another issuer", like(|token| token.claim("iss", "https://other.test"))),
            ("no issuer", like(|token| token.without("iss"))),
            ("an issuer that is a number", like(|token| token.claim("iss", 1))),
            ("another audience", like(|token| token.audience("https://other.example.com"))),
            ("no audience", like(|token| token.without("aud"))),
            ("no such scope", like(|token| token.scope("things:reader"))),
            ("no expiry", like(|token| token.without("exp"))),
            ("crit", like(|token| token.header("crit", ["b64"]).header("b64", true))),
            ("an ID token", like(|token| token.id_token().audience(AUDIENCE))),
        ]
    }
}

/// The answer of a future that has nothing to wait for, polled by hand: no peer pays for a runtime.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits, though its keys are there"),
    }
}
