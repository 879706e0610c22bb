//! One layer under three frameworks: axum, hyper alone, and tonic, each over real sockets.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use scopegate::testing::TestIssuer;
use scopegate::{AccessToken, Issuer, KeySet, RequireTokenLayer, ScopePolicy, Validator};
use tokio::net::{TcpListener, TcpStream};
use tonic::server::NamedService;
use tower::{Layer, Service};

const ISSUER: &str = "https://issuer.test";
const API: &str = "https://api.test";

struct World {
    issuer: TestIssuer,
    validator: Validator,
}

impl World {
    fn new() -> Self {
        let issuer = TestIssuer::new(ISSUER);
        let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
        Self { validator: Validator::builder(API).trust(Issuer::keys(ISSUER, keys)).build().unwrap(), issuer }
    }

    fn require(&self, scope: &str) -> RequireTokenLayer {
        self.validator.require(ScopePolicy::all([scope]).unwrap())
    }

    fn token(&self, scope: &str) -> String {
        self.issuer.token().audience(API).scope(scope).mint()
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The answer to one request over a connection of its own: status, challenge, body.
async fn ask(
    address: SocketAddr,
    http2: bool,
    method: Method,
    path: &str,
    token: Option<&str>,
) -> (u16, String, String) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut request =
        Request::builder().method(method).uri(format!("http://{address}{path}")).header("host", "api.test");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.header("content-type", "application/grpc").body(Empty::<Bytes>::new()).unwrap();
    let response = if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let challenge = response.headers().get("www-authenticate").map_or("", |value| value.to_str().unwrap()).to_owned();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, challenge, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn axum_guards_each_method_by_its_own_scope() {
    let world = World::new();
    let list = |token: AccessToken| async move { token.subject().unwrap_or_default().to_owned() };
    let create = |_: AccessToken| async { "made" };
    let visitor = |token: Option<AccessToken>| async move { if token.is_some() { "known" } else { "unknown" } };
    let strict = |_: AccessToken| async { "never without a token" };
    let things = get(list).route_layer(world.require("read")).merge(post(create).route_layer(world.require("write")));
    let api = Router::new()
        .route("/things", things)
        .route("/visit", get(visitor).route_layer(world.require("read").optional()))
        .route("/strict", get(strict).route_layer(world.require("read").optional()))
        .route("/forgotten", get(strict))
        .route("/forgotten-option", get(visitor));
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, api).await });
    let (read, write) = (world.token("read"), world.token("write"));
    let tampered = world.issuer.token().audience(API).scope("read").tampered().mint();
    for (method, path, token, status, says) in [
        (Method::GET, "/things", Some(&read), 200, "user-1"),
        (Method::HEAD, "/things", Some(&read), 200, ""),
        (Method::GET, "/things", Some(&write), 403, "insufficient_scope"),
        (Method::POST, "/things", Some(&write), 200, "made"),
        (Method::POST, "/things", Some(&read), 403, "insufficient_scope"),
        (Method::GET, "/things", None, 401, "bearer token"),
        (Method::HEAD, "/things", None, 401, ""),
        (Method::DELETE, "/things", None, 405, ""),
        (Method::GET, "/visit", None, 200, "unknown"),
        (Method::GET, "/visit", Some(&read), 200, "known"),
        (Method::GET, "/visit", Some(&write), 403, "insufficient_scope"),
        (Method::GET, "/visit", Some(&tampered), 401, "invalid_token"),
        (Method::GET, "/strict", None, 401, "bearer token"),
        (Method::GET, "/forgotten", Some(&read), 500, "No RequireTokenLayer"),
        (Method::GET, "/forgotten-option", Some(&read), 500, "No RequireTokenLayer"),
    ] {
        let about = format!("{method} {path}");
        let is_head = method == Method::HEAD;
        let (seen, challenge, body) = ask(address, false, method, path, token.map(String::as_str)).await;
        assert_eq!(seen, status, "{about}");
        assert!(if is_head { body.is_empty() } else { body.contains(says) }, "{about}: {body:?}");
        assert_eq!(challenge.starts_with("Bearer realm="), matches!(status, 401 | 403), "{about}: {challenge:?}");
        assert_eq!(
            challenge.contains("error="),
            matches!(status, 401 | 403) && token.is_some(),
            "{about}: {challenge:?}"
        );
    }
}

#[tokio::test]
async fn hyper_alone_needs_nothing_of_a_framework() {
    let world = World::new();
    let inner = tower::service_fn(|request: Request<hyper::body::Incoming>| {
        let token = request.extensions().get::<AccessToken>().unwrap();
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(token.client_id().unwrap().to_owned())))))
    });
    let guarded = world.require("read").layer(inner);
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(guarded.clone());
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let (read, write) = (world.token("read"), world.token("write"));
    assert_eq!(ask(address, false, Method::GET, "/", Some(&read)).await.0, 200);
    assert_eq!(ask(address, false, Method::GET, "/", Some(&read)).await.2, "client-1");
    assert_eq!(ask(address, false, Method::GET, "/", Some(&write)).await.0, 403);
    assert_eq!(ask(address, false, Method::GET, "/", None).await.0, 401);
    assert_eq!(ask(address, false, Method::GET, "/", Some("not,a,token")).await.0, 400);
}

/// A gRPC service that answers every call with nothing and success.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<Request<tonic::body::Body>> for Echo {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        assert!(request.extensions().get::<AccessToken>().is_some(), "called without a token");
        let mut response = Response::new(tonic::body::Body::empty());
        response.headers_mut().insert("grpc-status", http::HeaderValue::from_static("0"));
        ready(Ok(response))
    }
}

#[tokio::test]
async fn tonic_takes_the_layer_before_all_of_its_services() {
    let world = World::new();
    let (listener, address) = listener().await;
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().layer(world.require("read")).add_service(Echo);
    tokio::spawn(server.serve_with_incoming(incoming));
    let (read, write) = (world.token("read"), world.token("write"));
    let path = "/test.Echo/Call";
    assert_eq!(ask(address, true, Method::POST, path, Some(&read)).await.0, 200);
    // A gRPC client takes 401 for Unauthenticated and 403 for PermissionDenied, and finds the challenge in the metadata.
    let (status, challenge, _) = ask(address, true, Method::POST, path, Some(&write)).await;
    assert_eq!((status, challenge.contains("insufficient_scope")), (StatusCode::FORBIDDEN.as_u16(), true));
    let (status, challenge, _) = ask(address, true, Method::POST, path, None).await;
    assert_eq!((status, challenge.starts_with("Bearer realm=")), (StatusCode::UNAUTHORIZED.as_u16(), true));
}
