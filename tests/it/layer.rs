//! The layer itself: what reaches the inner service, and what never does.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_executor::block_on;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use scopegate::testing::{Fault, TestIssuer};
use scopegate::{
    AccessToken, Guarded, GuardedBody, Issuer, KeySet, Preflight, RequireTokenLayer, ScopePolicy, Validator,
};
use tower::{Layer, Service};

const ISSUER: &str = "https://issuer.test";
const API: &str = "https://api.test";

/// A body without `Default`, `From`, `Send` or `Body`: the layer asks nothing of it.
#[derive(Debug, PartialEq)]
struct OddBody(Rc<str>);

/// Counts its calls, and knows which of its clones was made ready. It is not `Send`.
#[derive(Default)]
struct Inner {
    calls: Rc<Cell<u32>>,
    is_ready: bool,
    fails: bool,
}

impl Clone for Inner {
    /// A clone is not ready, whatever its original was.
    fn clone(&self) -> Self {
        Self { calls: Rc::clone(&self.calls), is_ready: false, fails: self.fails }
    }
}

impl Service<Request<OddBody>> for Inner {
    type Response = Response<OddBody>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.is_ready = true;
        Poll::Ready(if self.fails { Err("out of order") } else { Ok(()) })
    }

    fn call(&mut self, request: Request<OddBody>) -> Self::Future {
        assert!(self.is_ready, "R19 the instance that was made ready is the one that is called");
        self.is_ready = false;
        self.calls.set(self.calls.get() + 1);
        let seen = request.extensions().get::<AccessToken>().map_or("nobody", |token| token.subject().unwrap());
        ready(Ok(Response::new(OddBody(seen.into()))))
    }
}

struct World {
    issuer: TestIssuer,
    validator: Validator,
    inner: Inner,
}

impl World {
    fn new() -> Self {
        let issuer = TestIssuer::new(ISSUER);
        let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
        let validator = Validator::builder(API).trust(Issuer::keys(ISSUER, keys)).build().unwrap();
        Self { issuer, validator, inner: Inner::default() }
    }

    fn read(&self) -> RequireTokenLayer {
        self.validator.require(ScopePolicy::all(["read"]).unwrap())
    }

    fn token(&self) -> String {
        self.issuer.token().audience(API).scope("read").mint()
    }

    /// Sends one request through the layer: its status, and whom the inner service saw if it was called.
    fn send(&self, layer: &RequireTokenLayer, request: Request<OddBody>) -> (u16, Option<String>) {
        let before = self.inner.calls.get();
        let mut service = layer.layer(self.inner.clone());
        let mut context = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut context).is_ready());
        let future: Guarded<Inner, OddBody, OddBody> = service.call(request);
        let response: Response<GuardedBody<OddBody>> = block_on(future).unwrap();
        let calls = self.inner.calls.get() - before;
        assert_eq!(calls, u32::from(response.status() == 200), "R18");
        let seen = format!("{:?}", response.body());
        (response.status().as_u16(), (calls == 1).then(|| seen.split('"').nth(1).unwrap().to_owned()))
    }
}

fn request(fields: &[(&str, &[u8])]) -> Request<OddBody> {
    let mut request = Request::new(OddBody("".into()));
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

#[test]
fn what_a_request_presents_is_read_as_the_standards_say() {
    let world = World::new();
    let token = world.token();
    let bearer = |scheme: &str| format!("{scheme} {token}").into_bytes();
    let twice = [("authorization", &*bearer("Bearer")), ("authorization", &*bearer("Bearer"))];
    let long = [b"Bearer ".as_slice(), &[b'a'; 65_536]].concat();
    let high: Vec<u8> = b"Bearer ".iter().copied().chain(0x80..=0xff).collect();
    type Fields<'a> = &'a [(&'a str, &'a [u8])];
    let table: [(&str, Fields<'_>, u16); 16] = [
        ("R01 nothing", &[], 401),
        ("R02 Bearer", &[("authorization", b"Bearer")], 400),
        ("R02 Bearer and a blank", &[("authorization", b"Bearer ")], 400),
        ("R02 an empty field", &[("authorization", b"")], 401),
        ("R03 bearer", &[("authorization", &bearer("bearer"))], 200),
        ("R03 BEARER", &[("authorization", &bearer("BEARER"))], 200),
        ("R03 several blanks", &[("authorization", &bearer("Bearer   "))], 200),
        ("R04 twice the same", &twice, 400),
        ("R04 a good one and a bad one", &[("authorization", &bearer("Bearer")), ("authorization", b"Bearer x")], 400),
        ("R04 Basic and Bearer", &[("authorization", b"Basic eDp5"), ("authorization", &bearer("Bearer"))], 400),
        ("R07 Basic", &[("authorization", b"Basic eDp5")], 401),
        ("R07 DPoP", &[("authorization", &bearer("DPoP"))], 401),
        ("R07 the proxy's field", &[("proxy-authorization", &bearer("Bearer"))], 401),
        ("R11 bytes over 0x7f", &[("authorization", &high)], 400),
        ("R11 64 KiB", &[("authorization", &long)], 401),
        ("R14 what a proxy says of the path", &[("x-forwarded-uri", b"/public"), ("x-original-url", b"/public")], 401),
    ];
    for (row, fields, status) in table {
        assert_eq!(world.send(&world.read(), request(fields)).0, status, "{row}");
    }
}

#[test]
fn r08_a_token_in_the_query_is_not_looked_at() {
    let world = World::new();
    let mut request = request(&[]);
    *request.uri_mut() = format!("/things?access_token={}", world.token()).parse().unwrap();
    assert_eq!(world.send(&world.read(), request).0, 401);
}

#[test]
fn r15_a_preflight_passes_only_where_that_was_asked_for() {
    let world = World::new();
    let preflight = |method: Method, fields: &[(&str, &[u8])]| {
        let mut request = request(fields);
        *request.method_mut() = method;
        request
    };
    let whole: &[(&str, &[u8])] = &[("origin", b"https://web.test"), ("access-control-request-method", b"GET")];
    let open = world.read().preflight(Preflight::Passes);
    assert_eq!(world.send(&world.read(), preflight(Method::OPTIONS, whole)).0, 401, "the default");
    assert_eq!(world.send(&open, preflight(Method::OPTIONS, whole)), (200, Some("nobody".to_owned())));
    for (method, fields) in
        [(Method::GET, whole), (Method::OPTIONS, &whole[..1]), (Method::OPTIONS, &whole[1..]), (Method::POST, whole)]
    {
        assert_eq!(world.send(&open, preflight(method.clone(), fields)).0, 401, "{method}");
    }
}

#[test]
fn an_optional_guard_lets_pass_who_presents_nothing_and_nobody_else() {
    let world = World::new();
    let optional = world.read().optional();
    let field = |token: String| format!("Bearer {token}").into_bytes();
    let too_little = field(world.issuer.token().audience(API).scope("write").mint());
    let tampered = field(world.issuer.token().audience(API).scope("read").tampered().mint());
    let good = field(world.token());
    assert_eq!(world.send(&optional, request(&[])), (200, Some("nobody".to_owned())));
    assert_eq!(world.send(&optional, request(&[("authorization", &good)])), (200, Some("user-1".to_owned())));
    for (bad, status) in [(&too_little[..], 403), (&tampered, 401), (b"Bearer", 400), (b",Bearer x", 400)] {
        assert_eq!(world.send(&optional, request(&[("authorization", bad)])).0, status);
    }
}

#[test]
fn what_an_outer_layer_found_does_not_count() {
    let world = World::new();
    let headers =
        HeaderMap::from_iter([(http::header::AUTHORIZATION, format!("Bearer {}", world.token()).parse().unwrap())]);
    let accepted =
        world.validator.check(&scopegate::Credentials::from_headers(&headers), &ScopePolicy::none().into()).unwrap();
    for (layer, expected) in [(world.read(), (401, None)), (world.read().optional(), (200, Some("nobody".to_owned())))]
    {
        let mut request = request(&[]);
        request.extensions_mut().insert(accepted.clone());
        assert_eq!(world.send(&layer, request), expected);
    }
}

#[test]
fn r19_readiness_is_the_inner_services() {
    let world = World::new();
    let failing = Inner { fails: true, ..world.inner.clone() };
    let mut service = world.read().layer(failing);
    let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert_eq!(ready, Poll::Ready(Err("out of order")));
}

/// The first request waits for the keys; the instance that was ready when it came is called when they are there.
#[test]
fn a_request_that_waits_for_keys_reaches_the_instance_that_was_ready() {
    let issuer = TestIssuer::new(ISSUER);
    let validator = Validator::builder(API).trust(Issuer::discover(ISSUER)).fetch(issuer.fetch()).build().unwrap();
    let world = World { issuer, validator, inner: Inner::default() };
    let field = format!("Bearer {}", world.token()).into_bytes();
    assert_eq!(world.send(&world.read(), request(&[("authorization", &field)])), (200, Some("user-1".to_owned())));
    let stranger = world.issuer.token().audience(API).scope("read").signed_by_stranger().mint();
    let field = format!("Bearer {stranger}").into_bytes();
    assert_eq!(world.send(&world.read(), request(&[("authorization", &field)])), (401, None));
}

#[test]
fn a_request_that_waits_in_vain_is_told_when_to_come_again() {
    let issuer = TestIssuer::new(ISSUER);
    issuer.script(Fault::status(503));
    let validator = Validator::builder(API).trust(Issuer::discover(ISSUER)).fetch(issuer.fetch()).build().unwrap();
    let world = World { issuer, validator, inner: Inner::default() };
    let field = format!("Bearer {}", world.token()).into_bytes();
    let mut service = world.read().layer(world.inner.clone());
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    let response = block_on(service.call(request(&[("authorization", &field)]))).unwrap();
    assert_eq!((response.status().as_u16(), world.inner.calls.get()), (503, 0));
    assert!(response.headers().contains_key("retry-after") && !response.headers().contains_key("www-authenticate"));
    assert_eq!(response.extensions().get(), Some(&scopegate::Reason::KeysUnavailable), "for whoever logs it");
}

#[test]
fn each_route_of_one_validator_has_its_own_demand() {
    let world = World::new();
    let field = format!("Bearer {}", world.token()).into_bytes();
    for (policy, status) in [
        (ScopePolicy::all(["read"]).unwrap(), 200),
        (ScopePolicy::all(["write"]).unwrap(), 403),
        (ScopePolicy::any(["write", "read"]).unwrap(), 200),
        (ScopePolicy::none(), 200),
    ] {
        let layer = world.validator.require(policy);
        assert_eq!(world.send(&layer, request(&[("authorization", &field)])).0, status, "{layer:?}");
    }
}

/// The error type of a service that cannot fail is kept as it is.
#[test]
fn the_layer_adds_no_error_of_its_own() {
    fn error_of<S: Service<Request<()>, Error = Infallible>>(_: &S) {}
    let inner = tower::service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(()))));
    error_of(&World::new().read().layer(inner));
}
