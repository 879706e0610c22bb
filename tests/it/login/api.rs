//! An API is called with a token that is good, which goes nowhere else.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_executor::block_on;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use scopegate::FetchError;
use scopegate::PlainHttp;
use scopegate::client::{ApiClient, Client, ClientCredentialsRequest, OAuthError, Renewed, TokenSet};
use scopegate::testing::TestClock;
use tokio::net::TcpListener;

use super::token_server::{Calling, NOW, TokenServer, begin, first_set, stored, tokens};

/// What an API was asked.
#[derive(Clone, Debug)]
struct Called {
    method: Method,
    target: String,
    bearer: Option<String>,
    content_type: Option<String>,
    body: Bytes,
}

type Answers = dyn Fn(&Called) -> Response<Full<Bytes>> + Send + Sync;

/// An API on loopback.
struct Api {
    address: SocketAddr,
    called: Arc<Mutex<Vec<Called>>>,
}

impl Api {
    /// Served by the runtime of the test, and gone with it.
    async fn new(answers: impl Fn(&Called) -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let called = Arc::<Mutex<Vec<Called>>>::default();
        let (kept, answers) = (Arc::clone(&called), Arc::new(answers) as Arc<Answers>);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answers) = (Arc::clone(&kept), Arc::clone(&answers));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (kept, answers) = (Arc::clone(&kept), Arc::clone(&answers));
                    async move {
                        let called = called_by(request).await;
                        kept.lock().unwrap().push(called.clone());
                        Ok::<_, Infallible>(answers(&called))
                    }
                });
                // A client that hangs up is no news.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, called }
    }

    async fn fine() -> Self {
        Self::new(|_| Response::new(Full::from("fine"))).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn called(&self) -> Vec<Called> {
        self.called.lock().unwrap().clone()
    }

    fn bearers(&self) -> Vec<Option<String>> {
        self.called().into_iter().map(|called| called.bearer).collect()
    }
}

async fn called_by(request: Request<Incoming>) -> Called {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    Called {
        method: request.method().clone(),
        target: request.uri().to_string(),
        bearer: text("authorization"),
        content_type: text("content-type"),
        body: request.into_body().collect().await.unwrap().to_bytes(),
    }
}

fn redirect(status: u16, to: &str) -> Response<Full<Bytes>> {
    Response::builder().status(status).header("location", to).body(Full::default()).unwrap()
}

/// A client whose API lies there. Its HTTP client minds no proxy of the machine's.
fn client_of(server: &Arc<TokenServer>, clock: &TestClock, base: &str) -> Client {
    let registration = server.registration(clock).plain_http(PlainHttp::OnLoopback).api_base_url(base);
    Client::new("example", registration.api_http(|| reqwest::Client::builder().no_proxy())).unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// A client with a token that lives, and a server that is asked nothing.
fn calm(base: &str) -> (ApiClient, Arc<TokenServer>) {
    let server = TokenServer::rotating(3600);
    let api = client_of(&server, &TestClock::at(NOW), base).api(first_set(3600));
    (api, server)
}

fn a(number: u8) -> Option<String> {
    Some(format!("Bearer a{number}"))
}

#[test]
fn each_method_reaches_the_api_with_the_token() {
    run(async {
        let host = Api::fine().await;
        let (api, server) = calm(&host.url("/v1"));
        assert_eq!(api.get("things").await.unwrap().text().await.unwrap(), "fine");
        api.post("/things").query([("a b", "c&d")]).json(&serde_json::json!({"name": "x"})).await.unwrap();
        api.put("things/1?x=1").query([("y", "2")]).form([("name", "a&b")]).await.unwrap();
        api.patch("things/1").body("text").header("content-type", "text/plain").await.unwrap();
        api.delete("things/1").with(|request| request.timeout(Duration::from_secs(9))).await.unwrap();
        api.request(Method::OPTIONS, "").send().await.unwrap();
        let shown: Vec<_> = host
            .called()
            .into_iter()
            .map(|called| {
                assert_eq!(called.bearer, a(0));
                let body = String::from_utf8(called.body.to_vec()).unwrap();
                let kind = called.content_type.unwrap_or_default();
                format!("{} {} {kind} {body}", called.method, called.target).trim().to_owned()
            })
            .collect();
        let expected = [
            "GET /v1/things",
            r#"POST /v1/things?a+b=c%26d application/json {"name":"x"}"#,
            "PUT /v1/things/1?x=1&y=2 application/x-www-form-urlencoded name=a%26b",
            "PATCH /v1/things/1 text/plain text",
            "DELETE /v1/things/1",
            "OPTIONS /v1",
        ];
        assert_eq!(shown, expected);
        assert!(server.asked().is_empty());
    });
}

#[test]
fn the_answer_comes_back_as_it_is_a_401_too_and_nothing_is_sent_twice() {
    run(async {
        let host = Api::new(|_| Response::builder().status(401).body(Full::default()).unwrap()).await;
        let (api, server) = calm(&host.url("/"));
        assert_eq!(api.post("things").await.unwrap().status(), 401);
        assert_eq!((host.called().len(), server.asked().len()), (1, 0));
    });
}

#[test]
fn a_token_is_not_sent_to_a_foreign_origin_by_an_absolute_url() {
    run(async {
        let (host, evil) = (Api::fine().await, Api::fine().await);
        let (api, _server) = calm(&host.url("/"));
        let at = evil.address;
        for address in [
            evil.url("/things"),
            format!("http://{}@{at}/things", host.address),
            format!("http:{at}/things"),
            format!("http:/{at}/things"),
            format!("http:/\\{at}/things"),
            format!("https://{}/things", host.address),
            format!("ftp://{at}/"),
        ] {
            let error = api.get(&address).await.unwrap_err();
            assert_eq!(error.label(), "invalid_request", "{address}");
        }
        assert!(evil.called().is_empty() && host.called().is_empty());
        // The twin: an absolute URL of the API's own.
        api.get(&host.url("/next?page=2")).await.unwrap();
        assert_eq!(host.bearers(), [a(0)]);
    });
}

#[test]
fn a_token_is_not_sent_to_a_foreign_origin_by_a_protocol_relative_url() {
    run(async {
        let (host, evil) = (Api::fine().await, Api::fine().await);
        let (api, _server) = calm(&host.url("/v1"));
        let at = evil.address;
        for path in
            [format!("//{at}/"), format!("/\\{at}/"), format!("\\\\{at}/"), format!("\t//{at}"), format!("/\n/{at}")]
        {
            assert_eq!(api.get(&path).await.unwrap_err().label(), "invalid_request", "{path:?}");
        }
        assert_eq!(api.get("../admin").await.unwrap_err().label(), "invalid_request");
        assert!(evil.called().is_empty() && host.called().is_empty());
    });
}

#[test]
fn a_token_is_not_sent_to_a_foreign_origin_by_a_redirect() {
    run(async {
        let evil = Api::fine().await;
        let at = evil.address;
        let host = Api::new(move |called| match called.target.as_str() {
            "/away/307" => redirect(307, &format!("http://{at}/stolen")),
            "/away/302" => redirect(302, &format!("//{at}/stolen")),
            // One port is as good as another to whoever listens there.
            "/away/308" => redirect(308, &format!("http://localhost:{}/stolen", at.port())),
            "/by/stages" => redirect(307, "/away/307"),
            "/within" => redirect(307, "/home"),
            _ => Response::new(Full::from("home")),
        })
        .await;
        let (api, _server) = calm(&host.url("/"));
        for path in ["away/307", "away/302", "away/308", "by/stages"] {
            let answer = api.post(path).body("secret").await.unwrap();
            assert!(answer.status().is_redirection(), "{path}");
            assert!(answer.headers().contains_key("location"));
        }
        assert!(evil.called().is_empty(), "neither the token nor the request arrives");
        // The twin: within the origin it is followed, with the token.
        assert_eq!(api.post("within").body("x").await.unwrap().text().await.unwrap(), "home");
        assert_eq!(host.called().last().unwrap().bearer, a(0));
    });
}

#[test]
fn redirects_in_a_circle_end() {
    run(async {
        let host = Api::new(|_| redirect(307, "/again")).await;
        let (api, _server) = calm(&host.url("/"));
        assert_eq!(api.get("again").await.unwrap().status(), 307);
        assert_eq!(host.called().len(), 11);
    });
}

/// A host that speaks TLS once, and sends whoever asks to itself without: its certificate, its address, and the connections that it had.
fn downgrading_host() -> (String, SocketAddr, Arc<AtomicUsize>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    std::thread::spawn(move || {
        let config = Arc::new(config);
        // The second would be the one that must not come.
        for stream in listener.incoming().take(2) {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = stream.unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && tls.read(&mut byte).is_ok_and(|read| read > 0) {
                head.push(byte[0]);
            }
            let away = format!("http://{address}/stolen");
            let answer =
                format!("HTTP/1.1 307 T\r\nlocation: {away}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = tls.write_all(answer.as_bytes());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    (certificate.pem(), address, connections)
}

#[test]
fn a_redirect_from_https_to_http_is_not_followed() {
    let (certificate, address, connections) = downgrading_host();
    run(async {
        let server = TokenServer::rotating(3600);
        let registration = server.registration(&TestClock::at(NOW)).plain_http(PlainHttp::OnLoopback);
        let registration = registration.api_base_url(format!("https://{address}/")).api_http(move || {
            let certificate = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
            reqwest::Client::builder().no_proxy().tls_certs_only([certificate])
        });
        let api = Client::new("example", registration).unwrap().api(first_set(3600));
        assert_eq!(api.get("things").await.unwrap().status(), 307);
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    });
    // Lets the host end.
    drop(std::net::TcpStream::connect(address));
}

#[test]
fn plain_http_is_for_loopback_alone_and_only_where_the_registration_says_so() {
    let server = TokenServer::rotating(3600);
    let clock = TestClock::at(NOW);
    for base in ["http://127.0.0.1:1/", "http://api.test/"] {
        assert!(Client::new("example", server.registration(&clock).api_base_url(base)).is_err(), "{base}");
        assert!(server.client(&clock).api(first_set(9)).base_url(base).is_err(), "{base}");
    }
    let on_loopback = server.registration(&clock).plain_http(PlainHttp::OnLoopback);
    let client = Client::new("example", on_loopback.clone().api_base_url("http://127.0.0.1:1/")).unwrap();
    assert!(Client::new("example", on_loopback.api_base_url("http://api.test/")).is_err());
    let error = client.api(first_set(9)).base_url("http://api.test/").unwrap_err();
    assert_eq!(error.label(), "invalid_request");
    assert!(client.api(first_set(9)).base_url("http://[::1]:1/").is_ok());
}

#[test]
fn an_authorization_header_of_the_callers_own_is_refused() {
    run(async {
        let host = Api::fine().await;
        let (api, _server) = calm(&host.url("/"));
        let own = [
            api.get("x").header("authorization", "Bearer other"),
            api.get("x").header("Authorization", "Basic b3RoZXI="),
            api.get("x").with(|request| request.bearer_auth("other")),
            api.get("x").with(|request| request.basic_auth("user", Some("password"))),
        ];
        for request in own {
            assert_eq!(request.await.unwrap_err().label(), "invalid_request");
        }
        assert!(host.called().is_empty());
        // Where no token is sent, it is the caller's business.
        api.get("x").without_token().await.unwrap();
        api.get("x").header("authorization", "Bearer other").without_token().await.unwrap();
        assert_eq!(host.bearers(), [None, Some("Bearer other".to_owned())]);
    });
}

#[test]
fn a_request_that_was_swapped_for_one_to_another_origin_is_not_sent() {
    run(async {
        let (host, evil) = (Api::fine().await, Api::fine().await);
        let (api, _server) = calm(&host.url("/"));
        let other = reqwest::Client::builder().no_proxy().build().unwrap();
        let (same, away) = (host.url("/swapped"), evil.url("/stolen"));
        let swapped = api.get("x").with(|_| other.post(away.as_str()));
        assert_eq!(swapped.await.unwrap_err().label(), "invalid_request");
        let swapped = api.get("x").without_token().with(|_| other.post(away.as_str()));
        assert_eq!(swapped.await.unwrap_err().label(), "invalid_request");
        assert!(evil.called().is_empty());
        api.get("x").with(|_| other.post(same.as_str())).await.unwrap();
        assert_eq!(host.called()[0].target, "/swapped");
    });
}

#[test]
fn what_cannot_be_sent_is_said_when_it_is_sent() {
    run(async {
        let server = TokenServer::rotating(3600);
        let api = server.client(&TestClock::at(NOW)).api(first_set(3600));
        assert_eq!(api.get("x").await.unwrap_err().label(), "invalid_request", "no base URL");
        let (api, _server) = calm("http://127.0.0.1:1/");
        assert_eq!(api.get("x").header("a b", "c").await.unwrap_err().label(), "invalid_request");
        assert_eq!(api.get("x").header("a", "b\r\nc: d").await.unwrap_err().label(), "invalid_request");
        let no_json = std::collections::HashMap::from([([1_u8], 1_u8)]);
        assert_eq!(api.get("x").json(&no_json).await.unwrap_err().label(), "invalid_request");
        let error = api.get("x").await.unwrap_err();
        assert!(matches!(error, OAuthError::Unreachable(FetchError::Unreachable { .. })), "{error:?}");
        let bad = stored(r#"{"access_token":"a\r\nx: y","token_type":"Bearer"}"#);
        let api = client_of(&server, &TestClock::at(NOW), "http://127.0.0.1:1/").api(bad);
        assert_eq!(api.get("x").await.unwrap_err().label(), "invalid_request");
    });
    let (api, _server) = calm("http://127.0.0.1:1/");
    assert_eq!(block_on(api.get("x").send()).unwrap_err().label(), "unsupported", "no runtime");
}

#[test]
fn nothing_shows_a_token() {
    let (api, _server) = calm("http://127.0.0.1:1/");
    let shown = format!("{api:?} {:?} {:?}", api.get("x"), api.token());
    assert!(!shown.contains("a0") && !shown.contains("r0") && shown.contains("ApiClient"), "{shown}");
}

#[test]
fn a_token_is_renewed_ahead_of_its_end() {
    run(async {
        let host = Api::fine().await;
        let clock = TestClock::at(NOW);
        let server = TokenServer::rotating(3600);
        let client = client_of(&server, &clock, &host.url("/"));
        client.api(first_set(61)).get("x").await.unwrap();
        assert!(server.asked().is_empty());
        let api = client.api(first_set(60));
        api.get("x").await.unwrap();
        api.get("x").await.unwrap();
        assert_eq!(host.bearers(), [a(0), a(1), a(1)]);
        assert_eq!(server.asked().len(), 1);
        assert_eq!(api.token().unwrap().access_token(), "a1");
        // 60 s ahead of the hour.
        clock.advance(Duration::from_secs(3539));
        api.get("x").await.unwrap();
        clock.advance(Duration::from_secs(1));
        api.get("x").await.unwrap();
        assert_eq!(host.bearers().into_iter().skip(3).collect::<Vec<_>>(), [a(1), a(2)]);
    });
}

#[test]
fn how_far_ahead_is_the_programs_choice() {
    run(async {
        let host = Api::fine().await;
        let server = TokenServer::rotating(3600);
        let client = client_of(&server, &TestClock::at(NOW), &host.url("/"));
        client.api(first_set(300)).renew_ahead(Duration::from_secs(299)).get("x").await.unwrap();
        client.api(first_set(1)).renew_ahead(Duration::ZERO).get("x").await.unwrap();
        client.api(first_set(300)).renew_ahead(Duration::from_secs(300)).get("x").await.unwrap();
        assert_eq!(host.bearers(), [a(0), a(0), a(1)]);
    });
}

#[test]
fn a_token_that_lives_a_minute_is_not_renewed_with_each_call() {
    run(async {
        let host = Api::fine().await;
        let clock = TestClock::at(NOW);
        let server = TokenServer::rotating(60);
        let api = client_of(&server, &clock, &host.url("/")).api(first_set(0));
        for _ in 0..3 {
            api.get("x").await.unwrap();
        }
        clock.advance(Duration::from_secs(29));
        api.get("x").await.unwrap();
        assert_eq!(server.asked().len(), 1);
        clock.advance(Duration::from_secs(1));
        api.get("x").await.unwrap();
        assert_eq!(server.asked().len(), 2);
    });
}

#[test]
fn a_token_that_has_ended_and_cannot_be_renewed_is_told() {
    run(async {
        let host = Api::fine().await;
        let server = TokenServer::rotating(3600);
        let client = client_of(&server, &TestClock::at(NOW), &host.url("/"));
        let without_refresh =
            |end: i64| stored(&format!(r#"{{"access_token":"a0","token_type":"Bearer","expires_at":{end}}}"#));
        let error = client.api(without_refresh(NOW)).get("x").await.unwrap_err();
        assert!(matches!(error, OAuthError::TokenExpired), "{error}");
        assert!(host.called().is_empty());
        client.api(without_refresh(NOW + 1)).get("x").await.unwrap();
        client.api(stored(r#"{"access_token":"a0","token_type":"Bearer"}"#)).get("x").await.unwrap();
        assert_eq!((host.called().len(), server.asked().len()), (2, 0));
    });
}

#[test]
fn a_token_that_lives_is_used_where_it_cannot_be_renewed_and_that_is_tried_again_after_30_s() {
    run(async {
        let host = Api::fine().await;
        let clock = TestClock::at(NOW);
        let server = TokenServer::new(|_| Ok((503, String::new())));
        let api = client_of(&server, &clock, &host.url("/")).api(first_set(40));
        for _ in 0..3 {
            api.get("x").await.unwrap();
        }
        assert_eq!((host.bearers(), server.asked().len()), (vec![a(0); 3], 1));
        clock.advance(Duration::from_secs(29));
        api.get("x").await.unwrap();
        assert_eq!(server.asked().len(), 1);
        clock.advance(Duration::from_secs(1));
        api.get("x").await.unwrap();
        assert_eq!(server.asked().len(), 2);
        clock.advance(Duration::from_secs(10));
        assert_eq!(api.get("x").await.unwrap_err().label(), "unreachable");
        assert_eq!((host.called().len(), server.asked().len()), (5, 3));
    });
}

#[test]
fn api_clients_of_one_users_tokens_rest_together_after_a_failed_renewal() {
    let clock = TestClock::at(NOW);
    let server = TokenServer::new(|_| Ok((503, String::new())));
    let client = server.client(&clock);
    let fresh = || block_on(client.api(first_set(40)).fresh_token());
    for _ in 0..3 {
        assert_eq!(fresh().unwrap().access_token(), "a0");
    }
    clock.advance(Duration::from_secs(29));
    fresh().unwrap();
    assert_eq!(server.asked().len(), 1);
    let other = stored(&format!(
        r#"{{"access_token":"b0","token_type":"Bearer","expires_at":{},"refresh_token":"other"}}"#,
        NOW + 40
    ));
    block_on(client.api(other).fresh_token()).unwrap();
    assert_eq!(server.asked().len(), 2, "another user's is another matter");
    clock.advance(Duration::from_secs(1));
    fresh().unwrap();
    assert_eq!(server.asked().len(), 3);
    // One that has ended cannot rest.
    clock.advance(Duration::from_secs(10));
    fresh().unwrap_err();
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_token_that_an_api_refuses_is_replaced_at_once_by_request_and_once_for_all() {
    run(async {
        let host = Api::new(|called| {
            let is_refused = matches!(called.bearer.as_deref(), Some("Bearer a0" | "Bearer own1"));
            Response::builder().status(if is_refused { 401 } else { 200 }).body(Full::default()).unwrap()
        })
        .await;
        let clock = TestClock::at(NOW);
        let server = TokenServer::rotating(3600);
        let client = client_of(&server, &clock, &host.url("/"));
        // A user's, without an end that anybody knows.
        let api = client.api(stored(r#"{"access_token":"a0","token_type":"Bearer","refresh_token":"r0"}"#));
        for _ in 0..2 {
            if api.get("x").await.unwrap().status() == 401 {
                assert_eq!(api.renew_now().await.unwrap().access_token(), "a1");
            }
        }
        // Those who were refused with it too, but come late.
        assert_eq!(api.renew_now().await.unwrap().access_token(), "a1");
        assert_eq!((host.bearers(), server.asked().len()), (vec![a(0), a(1)], 1));
        clock.advance(Duration::from_secs(10));
        assert_eq!(api.renew_now().await.unwrap().access_token(), "a2");

        // The program's own, which lives for an hour.
        let server = own_tokens(3600);
        let client = client_of(&server, &clock, &host.url("/"));
        let api = client.api_as_itself("jobs:run");
        assert_eq!(api.get("x").await.unwrap().status(), 401);
        assert_eq!(api.renew_now().await.unwrap().access_token(), "own1", "it has just come");
        clock.advance(Duration::from_secs(10));
        for _ in 0..3 {
            assert_eq!(client.api_as_itself("jobs:run").renew_now().await.unwrap().access_token(), "own2");
        }
        assert_eq!((api.get("x").await.unwrap().status(), server.asked().len()), (http::StatusCode::OK, 2));
    });
}

#[test]
fn a_replacement_by_request_that_fails_is_told_and_harms_no_call_with_what_lives() {
    let server = TokenServer::new(|_| Ok((503, String::new())));
    let api = server.client(&TestClock::at(NOW)).api(first_set(3600));
    for asked in 1..3 {
        assert_eq!(block_on(api.renew_now()).unwrap_err().label(), "unreachable");
        assert_eq!(block_on(api.fresh_token()).unwrap().access_token(), "a0");
        assert_eq!(server.asked().len(), asked, "whoever wants it now is not put off");
    }
    let lasting = stored(r#"{"access_token":"a0","token_type":"Bearer"}"#);
    let error = block_on(server.client(&TestClock::at(NOW)).api(lasting).renew_now()).unwrap_err();
    assert!(matches!(error, OAuthError::TokenExpired), "{error}");
}

#[test]
fn tokens_that_were_logged_out_meanwhile_are_not_saved() {
    let server = TokenServer::rotating(3600);
    let client = client_of(&server, &TestClock::at(NOW), "http://127.0.0.1:1/");
    let (saves, save) = saver([]);
    let api = client.api(first_set(0)).on_renewal(save);
    server.hold();
    let mut waiting = Box::pin(api.fresh_token());
    begin(&mut waiting);
    client.forget(&first_set(0));
    server.release();
    assert_eq!(block_on(waiting).unwrap_err().label(), "token_expired");
    assert!(saves.lock().unwrap().is_empty());

    // The same where they came before, and saving them had failed.
    let (server, clock) = (TokenServer::rotating(3600), TestClock::at(NOW));
    let client = client_of(&server, &clock, "http://127.0.0.1:1/");
    let (saves, save) = saver([Err("the disk is full")]);
    let api = client.api(first_set(0)).on_renewal(save);
    assert_eq!(block_on(api.fresh_token()).unwrap_err().label(), "store");
    client.forget(&first_set(0));
    // Also when nobody remembers the logout.
    for _ in 0..3 {
        assert_eq!(block_on(api.fresh_token()).unwrap_err().label(), "token_expired");
        assert_eq!(block_on(api.renew_now()).unwrap_err().label(), "token_expired");
        clock.advance(Duration::from_secs(60));
    }
    assert!(api.token().is_none());
    assert_eq!((saves.lock().unwrap().len(), server.asked().len()), (1, 1));
}

#[test]
fn each_request_of_a_user_makes_an_api_client_and_all_share_one_renewal() {
    run(async {
        let host = Api::fine().await;
        let server = TokenServer::rotating(3600);
        let client = client_of(&server, &TestClock::at(NOW), &host.url("/"));
        server.hold();
        let saved = Arc::new(Mutex::new(Vec::new()));
        let mut calls: Vec<Calling<reqwest::Response>> = Vec::new();
        for number in 0..50 {
            let saved = Arc::clone(&saved);
            let api = client.api(first_set(0)).on_renewal(move |renewed: Renewed| {
                saved.lock().unwrap().push((number, renewed.token().access_token().to_owned()));
                async { Ok::<(), Infallible>(()) }
            });
            calls.push(Box::pin(api.get("x").send()));
        }
        for call in &mut calls {
            begin(call);
        }
        server.release();
        for call in calls {
            assert_eq!(call.await.unwrap().status(), 200);
        }
        assert_eq!(server.asked().len(), 1);
        assert_eq!(host.bearers(), vec![a(1); 50]);
        // Each has a session of its own to save it in.
        let mut saved = saved.lock().unwrap().clone();
        saved.sort_unstable();
        assert_eq!(saved, (0..50).map(|number| (number, "a1".to_owned())).collect::<Vec<_>>());
    });
}

/// Callbacks that fail or not, in turn, and what they were told.
fn saver(
    outcomes: impl IntoIterator<Item = Result<(), &'static str>>,
) -> (Saves, impl Fn(Renewed) -> Saving + Send + Sync) {
    let saves = Saves::default();
    let (kept, outcomes) = (Arc::clone(&saves), Mutex::new(outcomes.into_iter().collect::<VecDeque<_>>()));
    let save = move |renewed: Renewed| {
        let names = [renewed.previous(), renewed.token()].map(|set| set.access_token().to_owned());
        kept.lock().unwrap().push(names);
        let outcome = outcomes.lock().unwrap().pop_front().unwrap_or(Ok(()));
        Box::pin(async move { outcome }) as Saving
    };
    (saves, save)
}

type Saves = Arc<Mutex<Vec<[String; 2]>>>;
type Saving = Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;

fn names(old: &str, new: &str) -> [String; 2] {
    [old.to_owned(), new.to_owned()]
}

#[test]
fn renewed_tokens_are_saved_though_the_caller_has_gone() {
    let server = TokenServer::rotating(3600);
    let client = client_of(&server, &TestClock::at(NOW), "http://127.0.0.1:1/");
    let (told, heard) = std::sync::mpsc::channel();
    server.hold();
    let api = client.api(first_set(0)).on_renewal(move |renewed| {
        told.send(renewed.into_token()).unwrap();
        async { Ok::<(), Infallible>(()) }
    });
    let mut gone = Box::pin(async move { api.fresh_token().await });
    begin(&mut gone);
    drop(gone);
    drop(client);
    server.release();
    let saved = heard.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((saved.access_token(), saved.refresh_token()), ("a1", Some("r1")));
}

#[test]
fn a_callback_that_fails_fails_the_call_and_the_tokens_are_not_lost() {
    run(async {
        let host = Api::fine().await;
        let server = TokenServer::rotating(3600);
        let client = client_of(&server, &TestClock::at(NOW), &host.url("/"));
        let (saves, save) = saver([Err("the disk is full"), Err("still"), Ok(())]);
        let api = client.api(first_set(0)).on_renewal(save);
        for problem in ["the disk is full", "still"] {
            let error = api.get("x").await.unwrap_err();
            let OAuthError::Store(source) = error else { panic!("{error}") };
            assert_eq!(source.to_string(), problem);
            assert_eq!(api.token().unwrap().access_token(), "a1");
        }
        assert!(host.called().is_empty());
        api.get("x").await.unwrap();
        api.get("x").await.unwrap();
        assert_eq!((host.bearers(), server.asked().len()), (vec![a(1); 2], 1));
        assert_eq!(*saves.lock().unwrap(), vec![names("a0", "a1"); 3]);

        // The next request of the user comes with the old set still, and saves the new one.
        let (saves, save) = saver([]);
        client.api(first_set(0)).on_renewal(save).get("x").await.unwrap();
        assert_eq!((saves.lock().unwrap().clone(), server.asked().len()), (vec![names("a0", "a1")], 1));
    });
}

#[test]
fn a_callback_that_panics_harms_nobody_else() {
    let server = TokenServer::rotating(3600);
    let client = client_of(&server, &TestClock::at(NOW), "http://127.0.0.1:1/");
    let calls = Mutex::new(0);
    let api = client.api(first_set(0)).on_renewal(move |_| {
        let mut calls = calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *calls += 1;
        assert!(*calls > 1, "as it is meant to");
        async { Ok::<(), Infallible>(()) }
    });
    assert_eq!(block_on(api.fresh_token()).unwrap_err().label(), "store");
    // Neither another user of the client's, nor another call with these tokens.
    let other =
        stored(r#"{"access_token":"b0","token_type":"Bearer","expires_at":4000000000,"refresh_token":"other"}"#);
    assert_eq!(block_on(client.api(other).fresh_token()).unwrap().access_token(), "b0");
    assert_eq!(block_on(client.api(first_set(0)).fresh_token()).unwrap().access_token(), "a1");
    assert_eq!(block_on(api.fresh_token()).unwrap().access_token(), "a1");
    assert_eq!(server.asked().len(), 1);

    // The same in the future that it gives back, and while the token before still lives.
    let server = TokenServer::rotating(3600);
    let client = client_of(&server, &TestClock::at(NOW), "http://127.0.0.1:1/");
    let api = client.api(first_set(10)).on_renewal(|_| async move {
        assert!(std::env::args().count() == 0, "as it is meant to");
        Ok::<(), Infallible>(())
    });
    assert_eq!(block_on(api.fresh_token()).unwrap_err().label(), "store");
}

#[test]
fn a_callback_is_not_called_where_nothing_was_renewed() {
    let server = TokenServer::new(|_| Err(FetchError::other("out")));
    let client = client_of(&server, &TestClock::at(NOW), "http://127.0.0.1:1/");
    let (saves, save) = saver([]);
    let api = client.api(first_set(10)).on_renewal(save);
    assert_eq!(block_on(api.fresh_token()).unwrap().access_token(), "a0");
    assert!(saves.lock().unwrap().is_empty());
}

#[test]
fn a_refresh_token_that_was_revoked_ends_in_a_refusal_and_not_in_a_call() {
    run(async {
        let host = Api::fine().await;
        let server = TokenServer::new(|_| Ok((400, r#"{"error":"invalid_grant"}"#.to_owned())));
        let client = client_of(&server, &TestClock::at(NOW), &host.url("/"));
        let error = client.api(first_set(0)).get("x").await.unwrap_err();
        assert_eq!(error.server_error(), Some("invalid_grant"));
        assert!(host.called().is_empty());
    });
}

/// Tokens `own1`, `own2`, and so on.
fn own_tokens(life: u64) -> Arc<TokenServer> {
    let mut count = 0;
    TokenServer::new(move |asked| {
        assert_eq!(asked.member("grant_type"), Some("client_credentials"));
        count += 1;
        Ok((200, tokens(&format!("own{count}"), Some("dropped"), life)))
    })
}

#[test]
fn a_program_calls_as_itself_and_its_api_clients_share_the_token() {
    run(async {
        let host = Api::fine().await;
        let clock = TestClock::at(NOW);
        let server = own_tokens(3600);
        let client = client_of(&server, &clock, &host.url("/"));
        let api = client.api_as_itself("jobs:run");
        assert!(api.token().is_none() && server.asked().is_empty(), "nothing is fetched before it is needed");
        api.get("x").await.unwrap();
        client.api_as_itself("jobs:run").get("x").await.unwrap();
        assert_eq!(api.token().unwrap().refresh_token(), None);
        assert_eq!(server.asked().len(), 1);
        client.api_as_itself("other").get("x").await.unwrap();
        let for_an_api = ClientCredentialsRequest::scope("jobs:run").resource("https://api.test/");
        client.api_as_itself(for_an_api).get("x").await.unwrap();
        assert_eq!(server.asked().len(), 3);
        clock.advance(Duration::from_secs(3540));
        client.api_as_itself("jobs:run").get("x").await.unwrap();
        let own = |number| Some(format!("Bearer own{number}"));
        assert_eq!(host.bearers(), [own(1), own(1), own(2), own(3), own(4)]);
    });
}

#[test]
fn callers_share_the_fetch_of_the_programs_own_token() {
    let server = own_tokens(3600);
    let client = server.client(&TestClock::at(NOW));
    server.hold();
    let mut callers: Vec<Calling<TokenSet>> = Vec::new();
    for _ in 0..50 {
        let api = client.api_as_itself("jobs:run");
        callers.push(Box::pin(async move { api.fresh_token().await }));
    }
    for caller in &mut callers {
        begin(caller);
    }
    server.release();
    for caller in callers {
        assert_eq!(block_on(caller).unwrap().access_token(), "own1");
    }
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_program_without_credentials_for_it_is_told_so() {
    let server = TokenServer::new(|_| Ok((400, r#"{"error":"unauthorized_client"}"#.to_owned())));
    let api = server.client(&TestClock::at(NOW)).api_as_itself("jobs:run");
    assert_eq!(block_on(api.fresh_token()).unwrap_err().server_error(), Some("unauthorized_client"));
}

#[test]
fn an_http_client_of_the_programs_own_follows_the_same_rule() {
    run(async {
        let evil = Api::fine().await;
        let away = evil.url("/stolen");
        let host = Api::new(move |_| redirect(307, &away)).await;
        let (api, _server) = calm(&host.url("/"));
        let open = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::limited(5));
        let api = api.http(open).unwrap();
        assert_eq!(api.get("x").await.unwrap().status(), 307);
        assert!(evil.called().is_empty());
    });
}
