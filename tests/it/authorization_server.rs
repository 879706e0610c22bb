//! The test issuer as an authorization server: what a client, a browser and an API see of it, in memory and on loopback.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{Method, Request, Response};
use scopegate::testing::{TestClient, TestClock, TestIssuer, TestRedirect};
use scopegate::{Fetch, FetchLimits};
use serde_json::Value;

mod codes;
mod logout;
mod pages;
mod requests;
mod tokens;

const NOW: i64 = 1_700_000_000;
const CALLBACK: &str = "https://web.test/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const PKCE: [(&str, &str); 2] = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];

/// An issuer with two clients, and a way to it.
struct World {
    issuer: TestIssuer,
    clock: TestClock,
    fetch: Arc<dyn Fetch>,
}

impl World {
    fn new() -> Self {
        Self::of(TestIssuer::new("https://issuer.test"))
    }

    fn of(issuer: TestIssuer) -> Self {
        let clock = TestClock::at(NOW);
        let issuer = issuer.clock(&clock).default_audience("https://api.test");
        issuer.register_client(
            TestClient::confidential("web", "s3cret")
                .name("Web")
                .redirect_uri(CALLBACK)
                .post_logout_redirect_uri("https://web.test/"),
        );
        issuer.register_client(TestClient::public("app").redirect_uri("https://app.test/callback"));
        let fetch = issuer.fetch();
        Self { issuer, clock, fetch }
    }

    /// The authorization URL of the client `web`, with more parameters or others.
    fn url(&self, more: &[(&str, &str)]) -> String {
        let usual = [
            ("response_type", "code"),
            ("client_id", "web"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile things:read"),
            ("state", "state-1"),
            ("nonce", "nonce-1"),
        ];
        let kept = usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
        let given = more.iter().copied().filter(|(_, value)| !value.is_empty());
        format!("{}?{}", self.issuer.authorization_endpoint(), form(kept.chain(given)))
    }

    fn sign_in(&self, more: &[(&str, &str)]) -> TestRedirect {
        self.issuer.sign_in(&self.url(more), "alice")
    }

    fn code(&self, more: &[(&str, &str)]) -> String {
        self.sign_in(more).parameter("code").unwrap().to_owned()
    }

    fn ask(&self, request: Request<Bytes>) -> Response<Bytes> {
        futures_executor::block_on(self.fetch.fetch(request, FetchLimits::default())).unwrap()
    }

    /// Posts a form as the client `web`, which authenticates by HTTP Basic.
    fn post(&self, url: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let basic = format!("Basic {}", STANDARD.encode("web:s3cret"));
        self.post_as(Some(&basic), url, fields)
    }

    fn post_as(&self, authorization: Option<&str>, url: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut request = Request::post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = self.ask(request.body(form(fields.iter().copied()).into()).unwrap());
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default())
    }

    fn token(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        self.post(&self.issuer.token_endpoint(), fields)
    }

    fn exchange(&self, code: &str, more: &[(&str, &str)]) -> (u16, Value) {
        let usual = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
        let kept = usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
        let given = more.iter().copied().filter(|(_, value)| !value.is_empty());
        self.token(&kept.chain(given).collect::<Vec<_>>())
    }

    fn refresh(&self, token: &str, more: &[(&str, &str)]) -> (u16, Value) {
        self.token(&[&[("grant_type", "refresh_token"), ("refresh_token", token)], more].concat())
    }

    /// The tokens of a whole sign-in.
    fn tokens(&self, more: &[(&str, &str)]) -> Value {
        let (status, body) = self.exchange(&self.code(more), &[]);
        assert_eq!(status, 200, "{body}");
        body
    }

    fn userinfo(&self, access_token: &str) -> Response<Bytes> {
        let request =
            Request::get(self.issuer.userinfo_endpoint()).header(AUTHORIZATION, format!("Bearer {access_token}"));
        self.ask(request.body(Bytes::new()).unwrap())
    }

    fn browser(&self) -> Browser<'_> {
        Browser { world: self, cookie: None }
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// A browser that keeps the issuer's cookie and follows nothing by itself.
struct Browser<'a> {
    world: &'a World,
    cookie: Option<String>,
}

/// What a browser shows, or where it is sent.
#[derive(Debug)]
struct Shown {
    status: u16,
    location: Option<String>,
    policy: String,
    html: String,
}

impl Browser<'_> {
    fn get(&mut self, url: &str) -> Shown {
        self.ask(Request::get(url).body(Bytes::new()).unwrap())
    }

    fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Shown {
        self.ask(Request::builder().method(Method::POST).uri(url).body(form(fields.iter().copied()).into()).unwrap())
    }

    /// Sends the page's form with these fields.
    fn send(&mut self, page: &Shown, fields: &[(&str, &str)]) -> Shown {
        let action = between(&page.html, "action=\"", "\"").to_owned();
        let transaction = page.transaction();
        self.post(&action, &[&[("transaction", &*transaction)], fields].concat())
    }

    fn sign_in(&mut self, url: &str, login: &str) -> Shown {
        let page = self.get(url);
        assert!(page.html.contains("id=\"sign-in\""), "{page:?}");
        self.send(&page, &[("login", login), ("password", "any")])
    }

    fn ask(&mut self, mut request: Request<Bytes>) -> Shown {
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
        }
        let response = self.world.ask(request);
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        if let Some(set) = header(SET_COOKIE) {
            assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
            self.cookie = (!set.contains("Max-Age=0")).then(|| set.split(';').next().unwrap().to_owned());
        }
        Shown {
            status: response.status().as_u16(),
            location: header(LOCATION),
            policy: header(http::header::CONTENT_SECURITY_POLICY).unwrap_or_default(),
            html: String::from_utf8(response.body().to_vec()).unwrap(),
        }
    }
}

impl Shown {
    fn transaction(&self) -> String {
        between(&self.html, "name=\"transaction\" value=\"", "\"").to_owned()
    }

    /// A parameter of the address that the browser is sent to.
    fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.location.as_ref()?.split_once('?')?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split(after).next().unwrap()
}

fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn part(token: &Value, index: usize) -> Value {
    let part = token.as_str().unwrap().split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
