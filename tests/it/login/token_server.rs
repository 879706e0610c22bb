//! An authorization server that answers as a test tells it to, and keeps what it was asked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use bytes::Bytes;
use http::{Request, Response};
use scopegate::client::{Client, OAuthError, Registration, TokenSet};
use scopegate::testing::TestClock;
use scopegate::{ClientAuth, Fetch, FetchError, FetchLimits, Fetching};
use tokio::sync::watch;

/// A form that came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) members: Vec<(String, String)>,
    pub(super) authorization: Option<String>,
}

impl Asked {
    /// The one member of this name.
    pub(super) fn member(&self, name: &str) -> Option<&str> {
        let mut values = self.members.iter().filter(|(is, _)| is == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands there twice");
        value
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.members.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// What is answered: a status and JSON, or no answer.
pub(super) type Answer = Result<(u16, String), FetchError>;
type Answers = Box<dyn FnMut(&Asked) -> Answer + Send>;

pub(super) struct TokenServer {
    answers: Mutex<Answers>,
    asked: Mutex<Vec<Asked>>,
    is_open: watch::Sender<bool>,
    /// Answers for all other addresses.
    beside: Option<Arc<dyn Fetch>>,
}

pub(super) const NOW: i64 = 1_700_000_000;

impl TokenServer {
    pub(super) fn new(answers: impl FnMut(&Asked) -> Answer + Send + 'static) -> Arc<Self> {
        Self::beside(None, answers)
    }

    pub(super) fn beside(
        beside: Option<Arc<dyn Fetch>>,
        answers: impl FnMut(&Asked) -> Answer + Send + 'static,
    ) -> Arc<Self> {
        let answers = Mutex::new(Box::new(answers) as Answers);
        Arc::new(Self { answers, asked: Mutex::default(), is_open: watch::Sender::new(true), beside })
    }

    /// A server that puts another refresh token in the place of each, and ends everything when one is used twice. Its first is `r0`, and its
    /// access tokens live for so many seconds.
    pub(super) fn rotating(life: u64) -> Arc<Self> {
        let (mut current, mut is_over) = (0, false);
        Self::new(move |asked| {
            is_over |= asked.member("refresh_token") != Some(&format!("r{current}"));
            if is_over {
                return Ok((400, r#"{"error":"invalid_grant"}"#.to_owned()));
            }
            current += 1;
            Ok((200, tokens(&format!("a{current}"), Some(&format!("r{current}")), life)))
        })
    }

    /// Requests wait from now on.
    pub(super) fn hold(&self) {
        self.is_open.send_replace(false);
    }

    /// Requests are answered.
    pub(super) fn release(&self) {
        self.is_open.send_replace(true);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn registration(self: &Arc<Self>, clock: &TestClock) -> Registration {
        let auth = ClientAuth::basic("app", "s3cret");
        Registration::endpoints("https://id.test/authorize", "https://id.test/token", auth)
            .revocation_url("https://id.test/revoke")
            .fetch(Arc::clone(self) as Arc<dyn Fetch>)
            .clock(clock.clone())
    }

    pub(super) fn client(self: &Arc<Self>, clock: &TestClock) -> Client {
        Client::new("example", self.registration(clock)).unwrap()
    }
}

impl Fetch for TokenServer {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        let path = request.uri().path().to_owned();
        if let Some(beside) = self.beside.as_ref().filter(|_| path != "/token" && path != "/revoke") {
            return beside.fetch(request, limits);
        }
        let members = form_urlencoded::parse(request.body()).into_owned().collect();
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let asked = Asked { path, members, authorization };
        self.asked.lock().unwrap().push(asked.clone());
        let mut is_open = self.is_open.subscribe();
        Box::pin(async move {
            is_open.wait_for(|is_open| *is_open).await.unwrap();
            let (status, body) = (self.answers.lock().unwrap())(&asked)?;
            let answer = Response::builder().status(status).header("content-type", "application/json");
            Ok(answer.body(Bytes::from(body)).unwrap())
        })
    }
}

impl fmt::Debug for TokenServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenServer")
    }
}

/// An answer of the token endpoint.
pub(super) fn tokens(access: &str, refresh: Option<&str>, life: u64) -> String {
    let refresh = refresh.map(|token| format!(r#","refresh_token":"{token}""#)).unwrap_or_default();
    format!(r#"{{"access_token":"{access}","token_type":"Bearer","expires_in":{life}{refresh}}}"#)
}

/// A set as a session keeps it.
pub(super) fn stored(json: &str) -> TokenSet {
    serde_json::from_str(json).unwrap()
}

/// The set `a0` and `r0`, which ends so many seconds after [`NOW`].
pub(super) fn first_set(ends_in: i64) -> TokenSet {
    let end = NOW + ends_in;
    stored(&format!(
        r#"{{"access_token":"a0","token_type":"Bearer","expires_at":{end},"refresh_token":"r0","scope":"things:read",
        "subject":"alice","id_token":"h.e30.s","resources":["https://api.test/","https://other.test/"]}}"#
    ))
}

/// A call that may have begun.
pub(super) type Calling<T> = Pin<Box<dyn Future<Output = Result<T, OAuthError>>>>;

/// Polls it once, so that it has begun.
pub(super) fn begin<F: Future + ?Sized>(future: &mut Pin<Box<F>>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
}
