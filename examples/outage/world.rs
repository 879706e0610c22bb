//! An API, its issuer, what stands between them, and one clock for all.

use std::sync::{Arc, LazyLock};
use std::task::Waker;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use scopegate::testing::TestClock;
use scopegate::{
    AccessToken, Algorithm, Clock, Credentials, Issuer, Observe, PlainHttp, Rejection, Requirement, ScopePolicy,
    SystemClock, Timestamp, Validator, ValidatorBuilder,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::between::{Between, Kind};
use crate::issuer_process::IssuerProcess;

pub(crate) const API: &str = "https://api.example.test";
pub(crate) const START: i64 = 1_800_000_000;
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) struct World {
    pub(crate) issuer: IssuerProcess,
    pub(crate) proxy: Between,
    pub(crate) validator: Validator,
    pub(crate) read: Requirement,
    /// The API, to be served on more sockets than one.
    pub(crate) router: Router,
    clock: TestClock,
    client: SendRequest<Empty<Bytes>>,
    server: JoinHandle<()>,
}

/// The clock that is turned by hand, whose uptime goes on by itself too.
#[derive(Debug)]
struct Lively(TestClock);

impl Clock for Lively {
    fn now(&self) -> Timestamp {
        let now = self.0.now();
        Timestamp::new(now.unix_millis(), now.uptime().saturating_add(uptime()))
    }

    fn wake_when_turned(&self, waker: Waker) {
        self.0.wake_when_turned(waker);
    }
}

/// What the API answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
}

impl World {
    pub(crate) async fn start(kind: Kind) -> Result<Self, Failure> {
        Self::with(kind, |_, builder| builder).await
    }

    async fn with(
        kind: Kind,
        settings: impl FnOnce(TestClock, ValidatorBuilder) -> ValidatorBuilder,
    ) -> Result<Self, Failure> {
        let proxy = Between::start(kind)?;
        let issuer = IssuerProcess::start(proxy.url())?;
        proxy.forward_to(issuer.address)?;
        let clock = TestClock::at(START);
        let trusted = Issuer::discover(proxy.url()).plain_http(PlainHttp::OnLoopback).algorithms([Algorithm::Ed25519]);
        let builder = Validator::builder(API).trust(trusted).clock(clock.clone());
        let validator = settings(clock.clone(), builder).build()?;
        let policy = ScopePolicy::all(["read"])?;
        let router = Router::new().route("/", get(|| async { "here you are\n" }));
        let router = router.route_layer(validator.require(policy.clone()));
        let api = router.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, api).await;
        });
        let (client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { issuer, proxy, validator, read: policy.into(), router, clock, client, server })
    }

    pub(crate) async fn warm(kind: Kind) -> Result<Self, Failure> {
        let world = Self::start(kind).await?;
        world.validator.warm_up().await?;
        Ok(world)
    }

    /// With keys, and with each signature verified each time: what is measured beside something takes as long as that takes to happen.
    pub(crate) async fn verifying(kind: Kind) -> Result<Self, Failure> {
        let world = Self::with(kind, |_, builder| builder.remember_signatures(Duration::ZERO)).await?;
        world.validator.warm_up().await?;
        Ok(world)
    }

    /// Without keys, with an observer, and with durations that are real.
    pub(crate) async fn cold(kind: Kind, observer: Arc<dyn Observe>) -> Result<Self, Failure> {
        Self::with(kind, |clock, builder| builder.clock(Lively(clock)).observe(observer)).await
    }

    /// The same, with keys.
    pub(crate) async fn watched(kind: Kind, observer: Arc<dyn Observe>) -> Result<Self, Failure> {
        let world = Self::cold(kind, observer).await?;
        world.validator.warm_up().await?;
        Ok(world)
    }

    pub(crate) fn mint(&mut self, lifetime: Duration) -> Result<String, Failure> {
        self.issuer.tell(&format!("mint {}", lifetime.as_secs()))
    }

    /// Time passes, for everybody.
    pub(crate) fn advance(&mut self, by: Duration) -> Result<(), Failure> {
        self.issuer.tell(&format!("advance {}", by.as_secs()))?;
        self.clock.advance(by);
        Ok(())
    }

    /// Time so short that no token notices it.
    pub(crate) fn pass(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Waits until what time has made due is done: half a second, where it will not be.
    pub(crate) async fn settle(&self) {
        let begun = uptime();
        while uptime().saturating_sub(begun) < Duration::from_millis(500) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let health = self.validator.health();
            if health.issuers().iter().all(|issuer| issuer.next_try.is_none_or(|left| !left.is_zero())) {
                return;
            }
        }
    }

    pub(crate) fn check(&self, token: &str) -> Result<AccessToken, Rejection> {
        self.validator.check(&Credentials::bearer(token), &self.read)
    }

    /// Asks the API, over HTTP.
    pub(crate) async fn ask(&mut self, token: &str) -> Result<Answer, Failure> {
        let request = Request::get("/").header("host", "api").header("authorization", format!("Bearer {token}"));
        self.client.ready().await?;
        let response = self.client.send_request(request.body(Empty::new())?).await?;
        let (head, body) = response.into_parts();
        body.collect().await?;
        let retry_after = head.headers.get("retry-after").and_then(|value| value.to_str().ok());
        Ok(Answer { status: head.status, retry_after: retry_after.map(str::to_owned) })
    }

    /// How often the issuer was asked for its key set, answered or not.
    pub(crate) fn fetches(&self) -> Result<u64, Failure> {
        self.proxy.requests("/jwks")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The real time, for what is measured.
pub(crate) fn uptime() -> Duration {
    static STOPWATCH: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);
    STOPWATCH.now().uptime()
}

/// The token with another name of a key, as a stranger would make it: no signature is needed for a key that nobody has.
pub(crate) fn with_unknown_key(token: &str, number: u64) -> String {
    let header = format!(r#"{{"alg":"Ed25519","typ":"at+jwt","kid":"unknown-{number}"}}"#);
    let rest = token.split_once('.').map_or("", |(_, rest)| rest);
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

/// The middle, and the slowest of a hundred and of a thousand.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spread {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
}

pub(crate) fn spread(mut times: Vec<Duration>) -> Spread {
    times.sort_unstable();
    let at = |per_mille: usize| {
        let place = times.len().saturating_mul(per_mille).checked_div(1000).unwrap_or(0);
        times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    Spread { p50: at(500), p99: at(990), p999: at(999) }
}
