//! Tokens that their issuer is asked about (RFC 7662), through the public API.

mod ahead;
mod answers;
mod both;
mod callbacks;
mod client_auth;
mod crowds;
mod discovery;
mod events;
mod memory;
mod mercy;
mod readiness;
mod revocation;
mod routing;
mod secrets;
mod settings;
mod signed;
mod sockets;
mod tenants;

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_executor::block_on;
use http::{Request, Response};
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer};
use scopegate::{
    AccessToken, Addresses, ClientAuth, Credentials, Event, Fetch, FetchLimits, Fetching, Introspection,
    IntrospectionOutcome, Issuer, Observe, Reason, Rejection, Requirement, ScopePolicy, Spared, Validator,
    ValidatorBuilder,
};

use crate::rotation::{issuer, read, refused, seconds, soon};

pub(crate) const API: &str = "https://api.example.test";
pub(crate) const A: &str = "https://a.example.test";
pub(crate) const B: &str = "https://b.example.test";

/// A call of `validate` that is polled by hand.
pub(crate) type Call<'w> = Pin<Box<dyn Future<Output = Result<AccessToken, Rejection>> + 'w>>;

/// A validator, the issuer that it asks, their clock, what was sent, and what was told.
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) validator: Validator,
    pub(crate) way: Arc<Recorder>,
    pub(crate) told: Arc<Told>,
}

impl World {
    pub(crate) fn new(settings: impl FnOnce(Introspection) -> Introspection) -> Self {
        Self::with(settings, |builder| builder)
    }

    pub(crate) fn with(
        settings: impl FnOnce(Introspection) -> Introspection,
        builder: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder,
    ) -> Self {
        Self::of(|issuer| Issuer::introspect(A, settings(at(issuer))), builder)
    }

    pub(crate) fn of(
        trusted: impl FnOnce(&TestIssuer) -> Issuer,
        builder: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder,
    ) -> Self {
        let clock = TestClock::at(1_800_000_000);
        let issuer = issuer(A, &clock);
        let way = Recorder::before(issuer.fetch());
        let told = Arc::new(Told::default());
        let built = Validator::builder(API).trust(trusted(&issuer)).fetch(way.clone()).clock(clock.clone());
        let validator = builder(built.observe(told.clone())).build().unwrap();
        Self { clock, issuer, validator, way, told }
    }

    pub(crate) fn validate(&self, token: &(impl AsRef<[u8]> + ?Sized)) -> Result<AccessToken, Rejection> {
        block_on(self.validator.validate(&Credentials::bearer(token), &read()))
    }

    pub(crate) fn check(&self, token: &(impl AsRef<[u8]> + ?Sized)) -> Result<AccessToken, Rejection> {
        self.validator.check(&Credentials::bearer(token), &read())
    }

    pub(crate) fn call<'w>(&'w self, token: &'w str) -> Call<'w> {
        Box::pin(async move { self.validator.validate(&Credentials::bearer(token), &read()).await })
    }

    /// Turns the clock, two seconds at a time, until this call has ended: it may not have been heard of before the first.
    pub(crate) fn late(&self, mut call: Call<'_>) -> Result<AccessToken, Rejection> {
        let mut result = None;
        soon("the call ends", || {
            self.clock.advance(seconds(2));
            std::thread::sleep(MILLISECOND);
            result = polled(&mut call);
            result.is_some()
        });
        result.unwrap()
    }

    pub(crate) fn asked(&self) -> u64 {
        self.issuer.requests().introspection
    }

    /// A token that the issuer calls active, with the scope that is demanded.
    pub(crate) fn token(&self) -> String {
        self.issuer.token().scope("read").mint_opaque()
    }

    /// What happens at the introspection endpoint from here on.
    pub(crate) fn script(&self, fault: Fault) {
        self.issuer.script(fault.at(Endpoint::Introspection));
    }

    /// What comes of this answer to one question about a token that nothing is known of.
    pub(crate) fn answered(&self, answer: &str) -> Result<AccessToken, Rejection> {
        self.script(Fault::body(answer).times(1));
        self.validate(&self.token())
    }
}

/// What has come of a call, if anything has.
pub(crate) fn polled(call: &mut Call<'_>) -> Option<Result<AccessToken, Rejection>> {
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// The issuer's endpoint, asked by HTTP Basic.
pub(crate) fn at(issuer: &TestIssuer) -> Introspection {
    Introspection::at(issuer.introspection_endpoint(), api())
}

/// As the settings are.
pub(crate) fn same(settings: Introspection) -> Introspection {
    settings
}

/// The client that the test issuer knows by its own name.
pub(crate) fn api() -> ClientAuth {
    ClientAuth::basic("api", "api")
}

/// The token was not judged: 503, without a challenge, and with a time to come again.
#[track_caller]
pub(crate) fn unasked(result: Result<AccessToken, Rejection>) -> Rejection {
    let rejection = result.unwrap_err();
    assert_eq!((rejection.reason(), rejection.status().as_u16()), (Reason::IntrospectionUnavailable, 503));
    assert!(rejection.retry_after().is_some_and(|after| after >= seconds(1)), "{rejection:?}");
    assert!(rejection.challenge().is_none());
    rejection
}

/// All that an error says, and all that its causes say.
pub(crate) fn words(error: &impl Error) -> String {
    let mut words = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    words
}

/// A question, as it went out.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) authorization: Option<String>,
    pub(crate) accept: Option<String>,
    pub(crate) form: Vec<(String, Vec<u8>)>,
    pub(crate) addresses: Addresses,
}

impl Sent {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let (_, value) = self.form.iter().find(|(field, _)| field == name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

type Answering = Box<dyn Fn(&Sent) -> Option<Response<Bytes>> + Send + Sync>;

/// A way out that writes down what is sent, and answers itself where a test says so.
pub(crate) struct Recorder {
    inner: Arc<dyn Fetch>,
    sent: Mutex<Vec<Sent>>,
    answering: Mutex<Option<Answering>>,
}

impl Recorder {
    pub(crate) fn before(inner: Arc<dyn Fetch>) -> Arc<Self> {
        Arc::new(Self { inner, sent: Mutex::default(), answering: Mutex::default() })
    }

    /// Every request by POST: the questions about tokens.
    pub(crate) fn questions(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().iter().filter(|sent| sent.method == "POST").cloned().collect()
    }

    pub(crate) fn question(&self) -> Sent {
        self.questions().pop().unwrap()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    pub(crate) fn answer(&self, answer: impl Fn(&Sent) -> Option<Response<Bytes>> + Send + Sync + 'static) {
        *self.answering.lock().unwrap() = Some(Box::new(answer));
    }
}

impl Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Fetch for Recorder {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let sent = Sent {
            url: request.uri().to_string(),
            method: request.method().to_string(),
            authorization: header("authorization"),
            accept: header("accept"),
            form: decoded(request.body()),
            addresses: limits.addresses,
        };
        self.sent.lock().unwrap().push(sent.clone());
        let answer = self.answering.lock().unwrap().as_ref().and_then(|answering| answering(&sent));
        match answer {
            Some(answer) => Box::pin(async move { Ok(answer) }),
            None => self.inner.fetch(request, limits),
        }
    }
}

/// The fields of a form, octet for octet, by a decoder of the test's own.
fn decoded(form: &[u8]) -> Vec<(String, Vec<u8>)> {
    let decode = |text: &[u8]| {
        let (mut octets, mut rest) = (Vec::new(), text.iter());
        while let Some(octet) = rest.next() {
            octets.push(match octet {
                b'+' => b' ',
                b'%' => {
                    let digits = [*rest.next().unwrap(), *rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                octet => *octet,
            });
        }
        octets
    };
    let fields = form.split(|octet| *octet == b'&').filter(|field| !field.is_empty());
    let pair = |field: &[u8]| {
        let at = field.iter().position(|octet| *octet == b'=').unwrap();
        (String::from_utf8(decode(&field[..at])).unwrap(), decode(&field[at + 1..]))
    };
    fields.map(pair).collect()
}

/// An answer in JSON.
pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    typed(status, "application/json", body)
}

pub(crate) fn typed(status: u16, media_type: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).header("content-type", media_type).body(body.into()).unwrap()
}

/// A listener that keeps what it is told about questions, and every word of everything.
#[derive(Default, Debug)]
pub(crate) struct Told {
    outcomes: Mutex<Vec<&'static str>>,
    halts: Mutex<Vec<Option<Spared>>>,
    words: Mutex<String>,
}

impl Told {
    /// The labels of all questions that have ended.
    pub(crate) fn outcomes(&self) -> Vec<&'static str> {
        self.outcomes.lock().unwrap().clone()
    }

    /// Why questions were not asked, and `None` where they were again.
    pub(crate) fn halts(&self) -> Vec<Option<Spared>> {
        self.halts.lock().unwrap().clone()
    }

    pub(crate) fn words(&self) -> String {
        self.words.lock().unwrap().clone()
    }

    /// Waits until so many questions have ended, and says how the last one did.
    #[track_caller]
    pub(crate) fn last_of(&self, questions: usize) -> &'static str {
        soon("the event", || self.outcomes().len() >= questions);
        self.outcomes().last().unwrap()
    }
}

impl Observe for Told {
    fn happened(&self, event: &Event) {
        self.words.lock().unwrap().push_str(&format!("{event:?}\n"));
        match event {
            Event::Introspected { outcome, .. } => {
                if let IntrospectionOutcome::Failed { error, .. } = outcome {
                    let mut cause: Option<&dyn Error> = Some(&**error);
                    while let Some(error) = cause {
                        self.words.lock().unwrap().push_str(&format!("{error} {error:?}\n"));
                        cause = error.source();
                    }
                }
                self.outcomes.lock().unwrap().push(outcome.label());
            }
            Event::IntrospectionHalted { why, .. } => self.halts.lock().unwrap().push(Some(*why)),
            Event::IntrospectionResumed { .. } => self.halts.lock().unwrap().push(None),
            _ => {}
        }
    }
}

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

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
