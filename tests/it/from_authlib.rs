//! What `manual/howto/from-authlib.md` maps from Authlib, line by line: the same where Authlib 1.9.9 does right, as it was measured, and
//! stricter where what it does is no good.

mod asking;
mod requests;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_executor::block_on;
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer, TestToken};
use scopegate::{
    AccessToken, Algorithm, Credentials, Issuer, KeySet, Profile, Reason, Requirement, ScopePolicy, Secret, Validator,
    ValidatorBuilder,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const API: &str = "https://api.example.test";
const A: &str = "https://a.example.test";
const B: &str = "https://b.example.test";
const NOW: i64 = 1_800_000_000;

/// `ResourceProtector` with a `JWTBearerTokenValidator(A, API)`: the keys are fetched, and the clocks are one.
struct World {
    clock: TestClock,
    issuer: TestIssuer,
    validator: Validator,
}

impl World {
    fn new() -> Self {
        Self::with(|issuer| issuer, |builder| builder)
    }

    fn with(issuer: impl FnOnce(Issuer) -> Issuer, builder: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder) -> Self {
        let clock = TestClock::at(NOW);
        let issues = issues([Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa], &clock);
        let trusted = issuer(Issuer::discover(A));
        let built = Validator::builder(API).trust(trusted).fetch(issues.fetch()).clock(clock.clone());
        Self { clock, issuer: issues, validator: builder(built).build().unwrap() }
    }

    fn token(&self) -> TestToken {
        self.issuer.token().scope("a")
    }

    fn judge(&self, token: TestToken) -> Result<AccessToken, Reason> {
        judge(&self.validator, &token.mint(), &all("a"))
    }
}

fn issues(algorithms: impl IntoIterator<Item = Algorithm>, clock: &TestClock) -> TestIssuer {
    TestIssuer::with_algorithms(A, algorithms).clock(clock).default_audience(API)
}

fn all(scopes: &str) -> ScopePolicy {
    ScopePolicy::all([scopes]).unwrap()
}

fn judge(validator: &Validator, token: &str, demand: &ScopePolicy) -> Result<AccessToken, Reason> {
    let demand = Requirement::from(demand.clone());
    block_on(validator.validate(&Credentials::bearer(token), &demand)).map_err(|rejection| rejection.reason())
}

/// What came back from a router whose one route is guarded.
struct Seen {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Seen {
    fn challenge(&self) -> &str {
        self.headers.get(WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap())
    }

    fn error(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["error"].as_str().map(str::to_owned)
    }
}

/// `current_token`: whoever is there, or nobody.
async fn whose(token: Option<AccessToken>) -> String {
    token.and_then(|token| token.subject().map(str::to_owned)).unwrap_or_else(|| "nobody".to_owned())
}

fn send(router: Router, authorization: &[&str]) -> Seen {
    let mut request = Request::get("/");
    for field in authorization {
        request = request.header(AUTHORIZATION, *field);
    }
    block_on(async {
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Seen { status: head.status.as_u16(), headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    })
}

fn guarded(validator: &Validator, demand: ScopePolicy) -> Router {
    Router::new().route("/", get(whose).route_layer(validator.require(demand)))
}

// JWTBearerTokenValidator (6.4).

#[test]
fn a_jwt_has_the_same_claims_or_is_refused() {
    let world = World::new();
    assert!(world.judge(world.token()).is_ok());
    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert!(world.judge(world.token().without(claim)).is_err(), "{claim}");
    }
    assert!(world.judge(world.token().audiences([B, API])).is_ok());
    assert_eq!(world.judge(world.token().audience(B)).unwrap_err(), Reason::WrongAudience);
    assert_eq!(world.judge(world.token().claim("iss", format!("{A}/"))).unwrap_err(), Reason::UntrustedIssuer);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        assert!(world.judge(world.token().typ(typ)).is_ok(), "{typ}");
    }
    assert_eq!(world.judge(world.token().typ("JWT")).unwrap_err(), Reason::WrongType);
}

#[test]
fn a_jwt_without_typ_is_refused_unless_the_profile_is_the_plain_one() {
    // Authlib accepts it: an ID token passes for an access token then.
    let world = World::new();
    assert_eq!(world.judge(world.token().without_header("typ")).unwrap_err(), Reason::WrongType);
    let plain = World::with(|issuer| issuer.profile(Profile::PlainJwt), |builder| builder);
    assert!(plain.judge(plain.token().without_header("typ")).is_ok());
    assert_eq!(plain.judge(plain.token().without_header("typ").claim("nonce", "n")).unwrap_err(), Reason::WrongType);
}

#[test]
fn a_token_is_measured_as_a_whole() {
    // There a header has 512 bytes at most, and a payload 128,000.
    let world = World::with(|issuer| issuer, |builder| builder.max_token_bytes(16_384));
    let long = |bytes: usize| world.token().claim("note", "x".repeat(bytes));
    assert!(world.judge(world.token().header("note", "x".repeat(600))).is_ok());
    assert!(world.judge(long(8_000)).is_ok());
    assert_eq!(world.judge(long(13_000)).unwrap_err(), Reason::TooLong);
}

#[test]
fn without_leeway_times_are_judged_as_there() {
    let world = World::with(|issuer| issuer, |builder| builder.leeway(Duration::ZERO));
    for (claim, time, holds) in [
        ("exp", json!(NOW), false),
        ("exp", json!(NOW + 1), true),
        ("exp", json!(1_800_000_000.5), true),
        ("nbf", json!(NOW + 1), false),
        ("nbf", json!(NOW), true),
        ("iat", json!(NOW + 1), false),
        ("iat", json!(1_799_999_999.25), true),
    ] {
        assert_eq!(world.judge(world.token().claim(claim, &time)).is_ok(), holds, "{claim} {time}");
    }
    let usual = World::new();
    assert!(usual.judge(usual.token().claim("exp", NOW)).is_ok(), "30 s of leeway unless the settings say otherwise");
}

#[test]
fn algorithms_are_a_list_of_each_issuer() {
    let world = World::new();
    for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa] {
        assert!(world.judge(world.token().algorithm(algorithm)).is_ok(), "{algorithm:?}");
    }
    // What joserfc recommends, and no more.
    let narrow = World::with(|issuer| issuer.algorithms([Algorithm::Rs256, Algorithm::Es256]), |builder| builder);
    assert!(narrow.judge(narrow.token().algorithm(Algorithm::Rs256)).is_ok());
    assert_eq!(narrow.judge(narrow.token().algorithm(Algorithm::EdDsa)).unwrap_err(), Reason::AlgorithmRefused);
    // HS256 has a secret of its own there and here.
    let secret = [7_u8; 32];
    let shared = Issuer::secrets(A, [Secret::new(Algorithm::Hs256, secret.to_vec()).unwrap()]);
    let shared = Validator::builder(API).trust(shared).clock(world.clock.clone()).build().unwrap();
    let signed = world.token().without_header("kid").signed_with_secret(Algorithm::Hs256, &secret).mint();
    assert!(judge(&shared, &signed, &all("a")).is_ok());
    assert_eq!(judge(&world.validator, &signed, &all("a")).unwrap_err(), Reason::AlgorithmRefused);
}

#[test]
fn keys_are_fetched_once_and_not_for_each_request() {
    let world = World::new();
    for _ in 0..20 {
        assert!(world.judge(world.token()).is_ok());
    }
    assert_eq!(world.issuer.requests().jwks, 1);
    // There an unknown kid is 401 until the program's own cache is over.
    world.issuer.rotate();
    assert!(world.judge(world.token()).is_ok());
    assert_eq!(world.issuer.requests().jwks, 2);
}

#[test]
fn a_token_without_kid_may_be_of_several_keys() {
    // There it needs a set of one key.
    let world = World::new();
    assert!(world.judge(world.token().without_header("kid")).is_ok());
}

#[test]
fn trouble_with_the_keys_is_503_and_no_500() {
    let world = World::new();
    world.issuer.script(Fault::status(500).at(Endpoint::Jwks));
    let seen = send(guarded(&world.validator, all("a")), &[&format!("Bearer {}", world.token().mint())]);
    assert_eq!((seen.status, seen.headers.contains_key(RETRY_AFTER)), (503, true));
    // Keys that are at hand serve on, whatever becomes of the issuer.
    world.issuer.recover();
    world.clock.advance(Duration::from_secs(60));
    assert!(world.judge(world.token()).is_ok());
    world.issuer.script(Fault::disconnect());
    world.clock.advance(Duration::from_secs(3600));
    assert!(world.judge(world.token()).is_ok());
    // A known kind of key on a curve that nobody knows: 500 there, and one key less here.
    let mut set: Value = serde_json::from_str(&world.issuer.jwks()).unwrap();
    set["keys"].as_array_mut().unwrap().push(json!({"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "odd"}));
    let keys = KeySet::from_json(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.left_out().len(), 1);
    let handed = Validator::builder(API).trust(Issuer::keys(A, keys)).clock(world.clock.clone()).build().unwrap();
    assert!(judge(&handed, &world.token().mint(), &all("a")).is_ok());
}

#[test]
fn groups_roles_and_entitlements_are_a_claim_that_the_settings_name() {
    let world = World::with(|issuer| issuer.scope_claim("roles"), |builder| builder);
    let token = |roles: &[&str]| format!("Bearer {}", world.issuer.token().claim("roles", roles).mint());
    let sent = |token: &str| send(guarded(&world.validator, all("editor")), &[token]);
    assert_eq!(sent(&token(&["editor", "reader"])).status, 200);
    // There it is 401 invalid_token, without the realm: a client would fetch a new token in vain.
    assert_eq!(sent(&token(&["reader"])).status, 403);
}
