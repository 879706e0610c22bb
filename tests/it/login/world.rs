//! An authorization server, a client of it, and browsers between them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_executor::block_on;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request};
use scopegate::client::{AuthorizationRequest, Callback, Client, Login, LoginError, OAuthError, Registration};
use scopegate::testing::{Endpoint, Fault, TestClient, TestClock, TestIssuer, TestRedirect, TestToken};
use scopegate::{Algorithm, ClientAuth, Fetch, FetchLimits, Fetching};
use serde_json::json;

pub(super) const ISSUER: &str = "https://id.example.com";
pub(super) const BACK: &str = "https://app.example.com/authorize";
pub(super) const SCOPE: &str = "openid profile";
pub(super) const SECRET: &str = "s3cret-of-the-client";
pub(super) const NOW: i64 = 1_700_000_000;

/// A server that knows the client `app`, at a time that stands still.
pub(super) struct World {
    pub(super) issuer: TestIssuer,
    pub(super) clock: TestClock,
    pub(super) way: Arc<Way>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::signing_with(Algorithm::Es256)
    }

    pub(super) fn signing_with(algorithm: Algorithm) -> Self {
        Self::of(TestIssuer::with_algorithms(ISSUER, [algorithm]), &TestClock::at(NOW))
    }

    pub(super) fn of(issuer: TestIssuer, clock: &TestClock) -> Self {
        let issuer = issuer.clock(clock);
        issuer.register_client(TestClient::confidential("app", SECRET).redirect_uri(BACK));
        let way = Arc::new(Way { inner: issuer.fetch(), seen: Mutex::default() });
        Self { issuer, clock: clock.clone(), way }
    }

    pub(super) fn registration(&self) -> Registration {
        self.registered(ClientAuth::basic("app", SECRET))
    }

    pub(super) fn registered(&self, auth: ClientAuth) -> Registration {
        self.on_the_way(Registration::discover(self.issuer.id(), auth)).scope(SCOPE)
    }

    /// The registration with this world's clock and way.
    pub(super) fn on_the_way(&self, registration: Registration) -> Registration {
        registration.fetch(Arc::clone(&self.way) as Arc<dyn Fetch>).clock(self.clock.clone())
    }

    pub(super) fn client(&self) -> Client {
        self.client_of(self.registration())
    }

    pub(super) fn client_of(&self, registration: Registration) -> Client {
        Client::new("example", registration).unwrap()
    }

    /// The usual login, with this ID token in the place of the good one.
    pub(super) fn login_with(
        &self,
        change: impl Fn(TestToken) -> TestToken + Send + Sync + 'static,
    ) -> Result<Login, OAuthError> {
        self.login_of(&self.client(), BACK, change)
    }

    pub(super) fn login_of(
        &self,
        client: &Client,
        request: impl Into<AuthorizationRequest>,
        change: impl Fn(TestToken) -> TestToken + Send + Sync + 'static,
    ) -> Result<Login, OAuthError> {
        let browser = Browser::default();
        let answer = self.answer(client, &browser, request);
        self.issuer.next_id_token(change);
        browser.comes_back(client, &answer).map_err(LoginError::into_error)
    }

    /// Begins a login, and has `alice` sign in at the server.
    pub(super) fn answer(
        &self,
        client: &Client,
        browser: &Browser,
        request: impl Into<AuthorizationRequest>,
    ) -> TestRedirect {
        self.issuer.sign_in(&browser.begins(client, request), "alice")
    }

    pub(super) fn login(&self, client: &Client, request: impl Into<AuthorizationRequest>) -> Result<Login, LoginError> {
        let browser = Browser::default();
        let answer = self.answer(client, &browser, request);
        browser.comes_back(client, &answer)
    }
}

/// What a browser keeps for one host, in the order of the names.
#[derive(Default)]
pub(super) struct Browser {
    pub(super) jar: RefCell<BTreeMap<String, String>>,
}

impl Browser {
    /// Follows a login to the server: the address there.
    pub(super) fn begins(&self, client: &Client, request: impl Into<AuthorizationRequest>) -> String {
        let redirect = block_on(client.authorize_redirect(request)).unwrap();
        self.keep(redirect.cookies());
        redirect.location().to_owned()
    }

    /// Brings an answer to the client, by GET.
    pub(super) fn comes_back(&self, client: &Client, answer: &TestRedirect) -> Result<Login, LoginError> {
        self.brings(client, &self.callback(&answer.url()))
    }

    /// Brings an answer to the client, by a form.
    pub(super) fn posts(&self, client: &Client, answer: &TestRedirect) -> Result<Login, LoginError> {
        let (_, body) = answer.form();
        self.brings(client, &Callback::of_form(&self.headers(), body.as_bytes()))
    }

    pub(super) fn brings(&self, client: &Client, callback: &Callback) -> Result<Login, LoginError> {
        let result = block_on(client.callback(callback));
        self.keep(result.as_ref().map_or_else(LoginError::cookies, Login::cookies));
        result
    }

    pub(super) fn callback(&self, url: &str) -> Callback {
        let mut request = Request::get(url).body(()).unwrap();
        *request.headers_mut() = self.headers();
        Callback::of(&request)
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let jar = self.jar.borrow();
        let pairs: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::try_from(pairs.join("; ")).unwrap());
        headers
    }

    pub(super) fn keep(&self, set_cookies: &[HeaderValue]) {
        for cookie in set_cookies {
            let text = cookie.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("; Max-Age=0") {
                self.jar.borrow_mut().remove(name);
            } else {
                self.jar.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The one cookie that it has.
    pub(super) fn only(&self) -> (String, String) {
        let jar = self.jar.borrow();
        assert_eq!(jar.len(), 1);
        jar.iter().map(|(name, value)| (name.clone(), value.clone())).next().unwrap()
    }

    pub(super) fn set(&self, name: &str, value: &str) {
        self.jar.borrow_mut().insert(name.to_owned(), value.to_owned());
    }
}

/// The way to the server, on which everything is seen.
pub(super) struct Way {
    inner: Arc<dyn Fetch>,
    seen: Mutex<Vec<Seen>>,
}

/// A request to the server.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) authorization: Option<String>,
    pub(super) form: Vec<(String, String)>,
}

impl Way {
    pub(super) fn over(inner: Arc<dyn Fetch>) -> Arc<Self> {
        Arc::new(Self { inner, seen: Mutex::default() })
    }

    /// What was sent to this address.
    pub(super) fn to(&self, url: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.url == url).cloned().collect()
    }

    /// What was sent to hosts other than this one.
    pub(super) fn beside(&self, origin: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|seen| seen.url.clone()).filter(|url| !url.starts_with(origin)).collect()
    }
}

impl Seen {
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.form.iter().filter(|(is, _)| is == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }
}

impl Fetch for Way {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        let authorization = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let (method, url) = (request.method().clone(), request.uri().to_string());
        self.seen.lock().unwrap().push(Seen { method, url, authorization, form: fields(request.body()) });
        self.inner.fetch(request, limits)
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Way")
    }
}

pub(super) fn fields(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// The parameters of an address, in their order.
pub(super) fn params(url: &str) -> Vec<(String, String)> {
    fields(url.split_once('?').map_or("", |(_, query)| query).as_bytes())
}

/// The one parameter of this name.
pub(super) fn param(url: &str, name: &str) -> Option<String> {
    let mut values = params(url).into_iter().filter(|(is, _)| is == name).map(|(_, value)| value);
    let value = values.next();
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

/// The word for why there is no login.
pub(super) fn label(result: &Result<Login, LoginError>) -> &'static str {
    match result {
        Ok(_) => "a login",
        Err(error) => error.error().label(),
    }
}

/// The server's own word for why not.
pub(super) fn server_error(result: &Result<Login, LoginError>) -> Option<&str> {
    result.as_ref().err().and_then(|error| error.error().server_error())
}

/// Whose login it is.
pub(super) fn whose(result: &Result<Login, LoginError>) -> &str {
    result.as_ref().unwrap().user().unwrap().subject()
}

impl World {
    /// Answers the next exchange of a code with exactly this.
    pub(super) fn next_token_answer(&self, body: impl Into<String>) {
        self.issuer.script(Fault::body(body).at(Endpoint::Token).times(1));
    }

    /// What a good exchange brought, in the place of the next one's answer.
    pub(super) fn bring_again(&self, login: &Login) {
        let token = login.token();
        let answer = json!({
            "access_token": token.access_token(),
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": token.id_token(),
        });
        self.next_token_answer(answer.to_string());
    }
}

/// Why an ID token was refused: the problem, or the judge's reason.
pub(super) fn why(result: Result<Login, OAuthError>) -> String {
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(OAuthError::InvalidIdToken { reason: Some(reason), .. }) => format!("{reason:?}"),
        Err(OAuthError::InvalidIdToken { problem, .. }) => problem.to_owned(),
        Err(other) => other.label().to_owned(),
    }
}
