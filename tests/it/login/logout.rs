//! Logging out: by way of the browser, and of which the server tells.

mod backchannel;
mod delivered;
mod denied;
mod redirect;

use std::time::Duration;

use bytes::Bytes;
use futures_executor::block_on;
use http::header::{CONTENT_TYPE, COOKIE, HeaderValue, LOCATION};
use http::{HeaderMap, Request, Response};
use scopegate::client::{
    Callback, Client, LoggedOut, Login, LoginError, LogoutRequest, LogoutToken, OAuthError, Redirect, Registration,
    TokenSet,
};
use scopegate::testing::{TestClient, TestClock, TestIssuer, TestToken};
use scopegate::{ClientAuth, FetchLimits, Reason};
use serde_json::json;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://id.example.test";
const API: &str = "https://api.example.test";
const BACK: &str = "https://app.example.test/authorize";
const LOGGED_OUT: &str = "https://app.example.test/logged-out";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const LEEWAY: u64 = 30;

/// An issuer, a client that is registered with it, and the clock of both.
struct World {
    issuer: TestIssuer,
    clock: TestClock,
    client: Client,
}

impl World {
    fn new() -> Self {
        Self::with(|registration| registration)
    }

    fn with(settings: impl FnOnce(Registration) -> Registration) -> Self {
        let clock = TestClock::at(NOW);
        let issuer = TestIssuer::new(ISSUER).clock(&clock).default_audience(API);
        issuer.register_client(
            TestClient::confidential("app", "s3cret").redirect_uri(BACK).post_logout_redirect_uri(LOGGED_OUT),
        );
        let client = Client::new("example", settings(registration(&issuer, &clock))).unwrap();
        Self { issuer, clock, client }
    }

    fn log_in(&self) -> Login {
        let redirect = block_on(self.client.authorize_redirect(BACK)).unwrap();
        let back = self.issuer.sign_in(redirect.location(), "alice");
        block_on(self.client.callback(&callback(&back.url(), &[&cookie(&redirect)]))).unwrap()
    }

    /// About the newest session of the client.
    fn logout_token(&self) -> TestToken {
        self.issuer.logout_token("app")
    }

    fn tell(&self, token: &str) -> Result<LogoutToken, OAuthError> {
        block_on(self.client.logout_token(&form(), format!("logout_token={token}").as_bytes()))
    }

    fn advance(&self, by: u64) {
        self.clock.advance(seconds(by));
    }
}

fn registration(issuer: &TestIssuer, clock: &TestClock) -> Registration {
    Registration::discover(ISSUER, ClientAuth::basic("app", "s3cret"))
        .scope("openid profile")
        .fetch(issuer.fetch())
        .clock(clock.clone())
}

fn callback(url: &str, cookies: &[&str]) -> Callback {
    let mut request = Request::get(url);
    for cookie in cookies {
        request = request.header(COOKIE, *cookie);
    }
    Callback::of(&request.body(()).unwrap())
}

/// What the browser sends back of the one cookie that it was given.
fn cookie(redirect: &Redirect) -> String {
    assert_eq!(redirect.cookies().len(), 1);
    redirect.cookies()[0].to_str().unwrap().split(';').next().unwrap().to_owned()
}

fn form() -> HeaderMap {
    let header = (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    HeaderMap::from_iter([header])
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
