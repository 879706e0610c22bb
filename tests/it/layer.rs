//! The guard as a layer: which requests reach the inner service, and what the others are told.

mod contract;
mod grpc;
mod requests;
mod routes;
mod sockets;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_executor::block_on;
use http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer, TestToken};
use scopegate::{
    AccessToken, Credentials, GuardedBody, Issuer, KeySet, Preflight, RequireTokenLayer, ScopePolicy, Validator,
};
use tower::{Layer as _, Service, ServiceExt as _};

const API: &str = "https://api.example.test";
const A: &str = "https://a.example.test";

struct World {
    clock: TestClock,
    issuer: TestIssuer,
    validator: Validator,
    inner: Inner,
}

impl World {
    /// The validator has the keys: every judgement is made at once.
    fn new() -> Self {
        let (clock, issuer) = issuer();
        let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
        let validator = Validator::builder(API).trust(Issuer::keys(A, keys)).clock(clock.clone()).build().unwrap();
        Self { clock, issuer, validator, inner: Inner::default() }
    }

    /// The validator has no keys yet: the first judgement waits for them, until the clock is turned by a second.
    fn cold() -> Self {
        let (clock, issuer) = issuer();
        issuer.script(Fault::delay(Duration::from_secs(1)).at(Endpoint::Jwks).times(1));
        let remote = Issuer::discover(A);
        let builder = Validator::builder(API).trust(remote).fetch(issuer.fetch()).clock(clock.clone());
        Self { clock, issuer, validator: builder.build().unwrap(), inner: Inner::default() }
    }

    fn token(&self) -> TestToken {
        self.issuer.token().scope("read")
    }

    fn read(&self) -> RequireTokenLayer {
        self.validator.require(ScopePolicy::all(["read"]).unwrap())
    }

    /// Sends a request through this layer to the counting service.
    fn send(&self, layer: &RequireTokenLayer, request: Request<()>) -> Seen {
        let before = self.inner.calls();
        let response = block_on(layer.layer(self.inner.clone()).oneshot(request)).unwrap();
        Seen::new(response, self.inner.calls().abs_diff(before))
    }

    /// Brings on the keys that are a second late. The issuer counts a question a moment before its answer begins to be late,
    /// so that one second may not be enough. A machine that is busy needs time of its own and not more of ours: the clock is
    /// turned four times at most, which is before anybody's deadline.
    fn keys_arrive(&self) {
        let (token, anything) = (self.token().mint(), ScopePolicy::none().into());
        let asked = || self.issuer.requests().jwks > 0;
        let arrived = || self.validator.check(&Credentials::bearer(&token), &anything).is_ok();
        assert!(within(5_000, asked), "the keys were not asked for");
        for _ in 0..4 {
            self.clock.advance(Duration::from_secs(1));
            if within(250, arrived) {
                return;
            }
        }
        assert!(within(20_000, arrived), "the keys did not arrive");
    }
}

/// Whether it comes to hold within so many milliseconds.
fn within(millis: usize, holds: impl Fn() -> bool) -> bool {
    (0..millis).inspect(|_| std::thread::sleep(Duration::from_millis(1))).any(|_| holds())
}

fn issuer() -> (TestClock, TestIssuer) {
    let clock = TestClock::at(1_800_000_000);
    let issuer = TestIssuer::new(A).clock(&clock).default_audience(API);
    (clock, issuer)
}

/// A service that counts its calls and says whose token it found.
#[derive(Clone, Debug, Default)]
struct Inner(Arc<AtomicUsize>);

impl Inner {
    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl<B> Service<Request<B>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Response::new(Full::from(whose(request.extensions().get::<AccessToken>())))))
    }
}

fn whose(token: Option<&AccessToken>) -> String {
    token.and_then(AccessToken::subject).unwrap_or("nobody").to_owned()
}

/// What came back.
struct Seen {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    calls: usize,
}

impl Seen {
    fn new<B>(response: Response<B>, calls: usize) -> Self
    where
        B: http_body_util::BodyExt,
        B::Error: std::fmt::Debug,
    {
        let (head, body) = response.into_parts();
        let body = block_on(body.collect()).unwrap().to_bytes();
        Self { status: head.status.as_u16(), headers: head.headers, body, calls }
    }

    fn challenge(&self) -> Option<&str> {
        self.headers.get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap())
    }

    /// What the head of attack-cases.md asks of every answer, whatever the request was.
    #[track_caller]
    fn is(&self, status: u16, row: &str) {
        assert_eq!(self.status, status, "{row}");
        assert_eq!(self.calls, usize::from(status == 200), "R18 {row}: calls of the inner service");
        if status == 200 {
            return;
        }
        assert_eq!(self.headers.get(CACHE_CONTROL).unwrap(), "no-store", "{row}");
        assert_eq!(self.challenge().is_some(), status < 500, "{row}");
        assert_eq!(self.headers.contains_key(RETRY_AFTER), status == 503, "{row}");
        assert_eq!(self.headers.get_all(WWW_AUTHENTICATE).iter().count(), usize::from(status < 500), "{row}");
        let shown = format!("{:?} {:?}", self.headers, self.body);
        assert!(!shown.contains("c4n4ry") && !shown.contains("eyJ"), "{row}: something of the token is in {shown}");
    }
}

fn get(fields: &[(&str, &str)]) -> Request<()> {
    request(Method::GET, fields)
}

fn request(method: Method, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("/things");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn bearer(token: TestToken) -> Request<()> {
    get(&[("authorization", &format!("Bearer {}", token.mint()))])
}

#[test]
fn what_reaches_the_inner_service_carries_the_accepted_token() {
    let world = World::new();
    let read = world.read();
    let seen = world.send(&read, bearer(world.token().subject("alice")));
    seen.is(200, "good");
    assert_eq!(seen.body, "alice");
    for (status, token) in [
        (401, world.token().expired()),
        (401, world.token().signed_by_stranger()),
        (401, world.token().audience("https://other.example.test")),
        (403, world.token().scope("write")),
        (403, world.token().without("scope")),
    ] {
        world.send(&read, bearer(token.subject("c4n4ry"))).is(status, "bad");
    }
}

#[test]
fn a_validator_makes_a_layer_for_each_demand() {
    let world = World::new();
    let layer = |any: &[&str]| world.validator.require(ScopePolicy::any(any.iter().copied()).unwrap());
    let (read, write, both) = (layer(&["read"]), layer(&["write"]), layer(&["read write"]));
    for (scope, of_read, of_write, of_both) in
        [("read", 200, 403, 403), ("write", 403, 200, 403), ("write read", 200, 200, 200), ("", 403, 403, 403)]
    {
        for (layer, status) in [(&read, of_read), (&write, of_write), (&both, of_both)] {
            world.send(layer, bearer(world.token().scope(scope))).is(status, scope);
        }
    }
    let anybody = world.validator.require(ScopePolicy::none());
    world.send(&anybody, bearer(world.token().without("scope"))).is(200, "no scope is needed");
    world.send(&anybody, get(&[])).is(401, "but a token is");
    let told = world.send(&write, bearer(world.token()));
    assert!(told.challenge().unwrap().ends_with(r#"scope="write""#));
}

#[test]
fn an_optional_guard_lets_pass_who_presents_nothing_and_no_bad_token() {
    let world = World::new();
    let optional = world.read().optional();
    let nobody = world.send(&optional, get(&[]));
    nobody.is(200, "nothing");
    assert_eq!(nobody.body, "nobody");
    for scheme in ["Basic dTpw", "DPoP a.b.c", "Digest x=1", ""] {
        let seen = world.send(&optional, get(&[("authorization", scheme)]));
        seen.is(200, scheme);
        assert_eq!(seen.body, "nobody", "{scheme}");
    }
    let seen = world.send(&optional, bearer(world.token().subject("alice")));
    seen.is(200, "good");
    assert_eq!(seen.body, "alice");
    world.send(&optional, bearer(world.token().expired())).is(401, "expired");
    world.send(&optional, bearer(world.token().signed_by_stranger())).is(401, "forged");
    world.send(&optional, bearer(world.token().scope("write"))).is(403, "too little scope");
    world.send(&optional, get(&[("authorization", "Bearer")])).is(400, "half of it");
    world.send(&optional, get(&[("authorization", "Basic x"), ("authorization", "Basic x")])).is(400, "two");
}

#[test]
fn r15_a_preflight_is_judged_unless_it_was_said_to_pass() {
    const ORIGIN: (&str, &str) = ("origin", "https://app.example.test");
    const ASKS: (&str, &str) = ("access-control-request-method", "POST");
    let world = World::new();
    let (judged, passes) = (world.read(), world.read().preflight(Preflight::Passes));
    let preflight = || request(Method::OPTIONS, &[ORIGIN, ASKS]);
    world.send(&judged, preflight()).is(401, "R15 the default");
    world.send(&world.read().preflight(Preflight::Judged), preflight()).is(401, "R15 the default, said");
    let seen = world.send(&passes, preflight());
    seen.is(200, "R15 passed");
    assert_eq!(seen.body, "nobody");
    for (row, request) in [
        ("R15 no Origin", request(Method::OPTIONS, &[ASKS])),
        ("R15 no Access-Control-Request-Method", request(Method::OPTIONS, &[ORIGIN])),
        ("R15 neither", request(Method::OPTIONS, &[])),
        ("R15 GET", request(Method::GET, &[ORIGIN, ASKS])),
        ("R15 HEAD", request(Method::HEAD, &[ORIGIN, ASKS])),
        ("R15 POST", request(Method::POST, &[ORIGIN, ASKS, ("x-http-method-override", "OPTIONS")])),
        ("R15 a method in lower case", request(Method::from_bytes(b"options").unwrap(), &[ORIGIN, ASKS])),
    ] {
        world.send(&passes, request).is(401, row);
    }
    let optional = world.read().optional().preflight(Preflight::Judged);
    world.send(&optional, preflight()).is(200, "R15 nothing was presented");
}

/// A request that an outer layer of another validator has put a token on.
fn with_an_older_token(world: &World, mut request: Request<()>) -> Request<()> {
    let mallory = world.token().subject("mallory").mint();
    let anything = ScopePolicy::none().into();
    let token = world.validator.check(&Credentials::bearer(&mallory), &anything).unwrap();
    request.extensions_mut().insert(token);
    request
}

#[test]
fn what_an_outer_layer_found_does_not_count() {
    let world = World::new();
    let older = |request| with_an_older_token(&world, request);
    let (read, optional) = (world.read(), world.read().optional());
    world.send(&read, older(get(&[]))).is(401, "nothing presented");
    world.send(&optional, older(bearer(world.token().expired()))).is(401, "optional, expired");
    for (layer, request, subject) in [
        (&read, bearer(world.token().subject("alice")), "alice"),
        (&optional, bearer(world.token().subject("alice")), "alice"),
        (&optional, get(&[]), "nobody"),
        (&optional, get(&[("authorization", "Basic dTpw")]), "nobody"),
    ] {
        let seen = world.send(layer, older(request));
        seen.is(200, subject);
        assert_eq!(seen.body, subject);
    }
    let preflight = [("origin", "https://app.example.test"), ("access-control-request-method", "POST")];
    let passes = world.read().preflight(Preflight::Passes);
    let seen = world.send(&passes, older(request(Method::OPTIONS, &preflight)));
    seen.is(200, "preflight");
    assert_eq!(seen.body, "nobody", "a preflight is nobody's");
}

#[test]
fn of_two_guards_the_inner_one_decides_what_the_service_sees() {
    let world = World::new();
    let other = TestIssuer::new("https://b.example.test").clock(&world.clock).default_audience(API);
    let keys = KeySet::from_json(other.jwks().as_bytes()).unwrap();
    let outer =
        Validator::builder(API).trust(Issuer::keys(other.id(), keys)).clock(world.clock.clone()).build().unwrap();
    let outer = outer.require(ScopePolicy::none());
    let through = |inner: &RequireTokenLayer, request: Request<()>| {
        let before = world.inner.calls();
        let service = outer.layer(inner.layer(world.inner.clone()));
        let response: Response<GuardedBody<GuardedBody<Full<Bytes>>>> = block_on(service.oneshot(request)).unwrap();
        Seen::new(response, world.inner.calls().abs_diff(before))
    };
    through(&world.read(), bearer(other.token().scope("read"))).is(401, "good for the outer one alone");
    through(&world.read().optional(), bearer(other.token().scope("read"))).is(401, "the inner one is optional");
    through(&world.read(), bearer(world.token())).is(401, "good for the inner one alone");
}

#[test]
fn an_answer_to_head_has_no_body() {
    let (world, token) = (World::new(), |token: TestToken| format!("Bearer {}", token.mint()));
    for (status, field) in [
        (401, "Basic dTpw".to_owned()),
        (400, "Bearer".to_owned()),
        (401, token(world.token().expired())),
        (403, token(world.token().scope("write"))),
    ] {
        let fields = [("authorization", field.as_str())];
        let head = world.send(&world.read(), request(Method::HEAD, &fields));
        head.is(status, "HEAD");
        assert_eq!(head.body, "", "{field}");
        let get = world.send(&world.read(), request(Method::GET, &fields));
        assert!(!get.body.is_empty());
        assert_eq!(head.challenge(), get.challenge(), "RFC 9110 s9.3.2: the header fields of GET");
    }
}

#[test]
fn a_request_waits_for_the_first_keys_and_then_goes_its_way() {
    for (status, subject) in [(200, "alice"), (403, "c4n4ry")] {
        let world = World::cold();
        let scope = if status == 200 { "read" } else { "write" };
        let request = with_an_older_token(&World::new(), bearer(world.token().subject(subject).scope(scope)));
        let mut waiting = Box::pin(world.read().layer(world.inner.clone()).oneshot(request));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(world.inner.calls(), 0, "nothing is passed on before it is judged");
        world.keys_arrive();
        let seen = Seen::new(block_on(waiting).unwrap(), world.inner.calls());
        seen.is(status, "after waiting");
        assert!(status != 200 || seen.body == "alice", "the older token is gone");
    }
}

#[test]
fn a_request_that_waited_in_vain_is_503_and_goes_nowhere() {
    let world = World::cold();
    world.issuer.script(Fault::disconnect());
    for method in [Method::GET, Method::HEAD] {
        let field = format!("Bearer {}", world.token().mint());
        let request = request(method.clone(), &[("authorization", &field)]);
        let response = block_on(world.read().layer(world.inner.clone()).oneshot(request)).unwrap();
        let seen = Seen::new(response, world.inner.calls());
        seen.is(503, "no keys");
        assert_eq!(seen.body.is_empty(), method == Method::HEAD);
    }
    // Neither is one that is optional let through because nobody can judge it.
    let optional = world.read().optional();
    world.send(&optional, bearer(world.token())).is(503, "no keys, optional");
    world.send(&optional, get(&[])).is(200, "nothing to judge");
}
