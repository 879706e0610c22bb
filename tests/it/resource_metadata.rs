//! Protected-resource metadata (RFC 9728): a client that knows nothing but the API's address finds out where to log in.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_executor::block_on;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use scopegate::testing::{TestIssuer, read_metadata};
use scopegate::{
    AccessToken, ConfigError, Credentials, Issuer, KeySet, PublishedMetadata, Requirement, ResourceMetadata, Scope,
    ScopePolicy, Tenants, Validator, ValidatorBuilder,
};
use serde_json::{Value, json};
use tower::{Layer as _, Service, ServiceExt as _};

const API: &str = "https://api.example.test/things";
const A: &str = "https://a.example.test";
const PATH: &str = "/.well-known/oauth-protected-resource/things";

fn trusted(identifier: &str) -> Issuer {
    Issuer::keys(identifier, KeySet::from_json(br#"{"keys":[]}"#).unwrap())
}

fn builder(audience: &str) -> ValidatorBuilder {
    Validator::builder(audience).trust(trusted(A))
}

fn publishing(audience: &str) -> Validator {
    builder(audience).publish_metadata(ResourceMetadata::new()).build().unwrap()
}

fn all(scopes: &str) -> ScopePolicy {
    ScopePolicy::all([scopes]).unwrap()
}

fn scope(text: &str) -> Scope {
    Scope::new(text).unwrap()
}

fn read(document: &[u8]) -> Value {
    serde_json::from_slice(document).unwrap()
}

fn scopes_of(metadata: &PublishedMetadata) -> Value {
    read(&metadata.document())["scopes_supported"].clone()
}

/// What came back.
struct Seen {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn field(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn challenge(&self) -> &str {
        self.field(WWW_AUTHENTICATE).unwrap()
    }
}

fn ask(api: &Router, method: Method, target: &str) -> Seen {
    let request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
    let (head, body) = block_on(api.clone().oneshot(request)).unwrap().into_parts();
    let body = block_on(body.collect()).unwrap().to_bytes();
    Seen { status: head.status.as_u16(), headers: head.headers, body }
}

/// The URL that a challenge names.
fn named_in(challenge: &str) -> &str {
    challenge.split_once("resource_metadata=\"").unwrap().1.split_once('"').unwrap().0
}

/// An API with two guarded routes and one that is not, in which anything else is answered by a fallback that says so.
fn api(validator: &Validator) -> Router {
    let things = get(|_: AccessToken| async {}).route_layer(validator.require(all("things:read")));
    let things = things.merge(post(|_: AccessToken| async {}).route_layer(validator.require(all("things:write"))));
    Router::new()
        .route("/things", things)
        .route("/open", get(|| async { "open" }))
        .fallback(|| async { (http::StatusCode::IM_A_TEAPOT, "the inner service") })
        .layer(validator.metadata().unwrap())
}

#[test]
fn a_challenge_leads_to_the_document_and_the_document_to_the_issuer() {
    let issuer = TestIssuer::new(A).default_audience(API);
    let validator = Validator::builder(API).trust(Issuer::discover(A)).fetch(issuer.fetch());
    let validator = validator.publish_metadata(ResourceMetadata::new()).build().unwrap();
    let api = api(&validator);
    let refused = ask(&api, Method::GET, "/things");
    assert_eq!(refused.status, 401);
    let url = named_in(refused.challenge());
    assert_eq!(url, "https://api.example.test/.well-known/oauth-protected-resource/things");

    // RFC 9728 s3.1: a GET, without a token.
    let seen = ask(&api, Method::GET, url);
    assert_eq!((seen.status, seen.field(CONTENT_TYPE)), (200, Some("application/json")));
    assert_eq!(seen.field(CACHE_CONTROL), Some("public, max-age=3600"));
    assert_eq!(seen.field("access-control-allow-origin"), Some("*"));
    assert_eq!(
        read(&seen.body),
        json!({
            "resource": API,
            "authorization_servers": [A],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["things:read", "things:write"],
        })
    );
    // What a client checks (s3.3), by the crate's own strict reader.
    assert_eq!(read_metadata("oauth-protected-resource", API, &seen.body), Ok(()));
    assert!(read_metadata("oauth-protected-resource", "https://api.example.test", &seen.body).is_err());

    // With a token from there, the API is open.
    let token = issuer.token().scope("things:read").mint();
    let request = Request::get("/things").header("authorization", format!("Bearer {token}")).body(Body::empty());
    assert_eq!(block_on(api.oneshot(request.unwrap())).unwrap().status(), 200);
}

#[test]
fn every_challenge_names_the_document_and_none_does_without_it() {
    let issuer = TestIssuer::new(A).default_audience(API);
    let judge = |publish: bool, credentials: &Credentials<'_>| {
        let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
        let builder = Validator::builder(API).trust(Issuer::keys(A, keys));
        let builder = if publish { builder.publish_metadata(ResourceMetadata::new()) } else { builder };
        let refused = builder.build().unwrap().check(credentials, &Requirement::from(all("admin"))).unwrap_err();
        (refused.status().as_u16(), refused.challenge().unwrap().to_str().unwrap().to_owned())
    };
    let expired = issuer.token().expired().mint();
    let not_enough = issuer.token().scope("things:read").mint();
    let mut twice = HeaderMap::new();
    for token in ["Bearer a", "Bearer b"] {
        twice.append("authorization", http::HeaderValue::from_static(token));
    }
    let nothing = HeaderMap::new();
    for (status, credentials) in [
        (401, Credentials::from_headers(&nothing)),
        (401, Credentials::bearer(&expired)),
        (403, Credentials::bearer(&not_enough)),
        (400, Credentials::from_headers(&twice)),
    ] {
        let (seen, challenge) = judge(true, &credentials);
        assert_eq!(seen, status);
        assert_eq!(challenge.matches("resource_metadata=").count(), 1, "RFC 9728 s5.1: {challenge}");
        assert_eq!(named_in(&challenge), format!("https://api.example.test{PATH}"));
        assert!(!judge(false, &credentials).1.contains("resource_metadata"), "the twin");
    }
}

#[test]
fn the_scopes_are_those_of_every_layer_also_of_one_that_is_made_later() {
    let validator = publishing(API);
    let metadata = validator.metadata().unwrap();
    let document = read(&metadata.document());
    assert!(document.get("scopes_supported").is_none(), "RFC 9728 s3.2: no empty list: {document}");

    let api = api(&validator);
    assert_eq!(scopes_of(&metadata), json!(["things:read", "things:write"]));

    let late = validator.require(ScopePolicy::any(["things:read", "admin", "b a"]).unwrap()).optional();
    let late = Router::new().route("/late", get(|| async {}).route_layer(late)).merge(api);
    let seen = read(&ask(&late, Method::GET, PATH).body);
    assert_eq!(seen["scopes_supported"], json!(["a", "admin", "b", "things:read", "things:write"]));

    let _ = validator.require(ScopePolicy::none());
    let clone = validator.clone();
    let _ = (clone.require(all("of-a-clone")), validator.require(all("again")), clone.require(all("again")));
    assert_eq!(scopes_of(&metadata), json!(["a", "admin", "again", "b", "of-a-clone", "things:read", "things:write"]));
    let in_hand = Requirement::from(all("judged-by-hand"));
    let _ = validator.check(&Credentials::bearer("x"), &in_hand);
    assert!(!scopes_of(&metadata).to_string().contains("by-hand"), "what is judged by hand is named by hand");
}

#[test]
fn scopes_are_added_and_left_out_by_name() {
    let settings = ResourceMetadata::new().scope(scope("profile")).scope(scope("b")).leave_out_scope(scope("admin"));
    let validator = builder(API).publish_metadata(settings).build().unwrap();
    let metadata = validator.metadata().unwrap();
    assert_eq!(scopes_of(&metadata), json!(["b", "profile"]));
    let _ = validator.require(ScopePolicy::any(["a", "admin", "admin:read"]).unwrap());
    assert_eq!(scopes_of(&metadata), json!(["a", "admin:read", "b", "profile"]));
    // The route wants it all the same, and says so.
    let refused = validator.check(&Credentials::from_headers(&HeaderMap::new()), &all("admin").into()).unwrap_err();
    assert!(refused.challenge().unwrap().to_str().unwrap().contains(r#"scope="admin""#));

    let both = ResourceMetadata::new().scope(scope("admin")).leave_out_scope(scope("admin"));
    let conflict = builder(API).publish_metadata(both).build().unwrap_err();
    assert!(matches!(conflict, ConfigError::Conflict { setting: "leave_out_scope", .. }), "{conflict}");
}

#[test]
fn validators_of_one_program_do_not_mix() {
    let (things, orders) = (publishing(API), publishing("https://api.example.test/orders"));
    let _ = (things.require(all("things")), orders.require(all("orders")));
    let of = |validator: &Validator| validator.metadata().unwrap();
    assert_eq!((scopes_of(&of(&things)), scopes_of(&of(&orders))), (json!(["things"]), json!(["orders"])));

    let both = Router::new()
        .route("/orders", get(|| async {}).route_layer(orders.require(ScopePolicy::none())))
        .layer(of(&orders))
        .layer(of(&things));
    for (path, resource) in
        [(PATH, API), ("/.well-known/oauth-protected-resource/orders", "https://api.example.test/orders")]
    {
        let seen = ask(&both, Method::GET, path);
        assert_eq!((seen.status, read(&seen.body)["resource"].as_str()), (200, Some(resource)), "{path}");
    }
    assert_eq!(ask(&both, Method::GET, "/.well-known/oauth-protected-resource").status, 404, "no resource is there");
    assert!(ask(&both, Method::GET, "/orders").challenge().contains("oauth-protected-resource/orders"));
}

#[test]
fn the_well_known_part_is_inserted_and_the_resource_stays_as_it_is() {
    for (audience, path) in [
        ("https://rs.example.test", ""),
        ("https://rs.example.test/", ""),
        ("https://rs.example.test/a/b", "/a/b"),
        ("https://rs.example.test/path/", "/path/"),
        ("https://rs.example.test/a?k=v", "/a?k=v"),
        ("https://rs.example.test?k=v", "?k=v"),
        ("https://rs.example.test/?k=v", "?k=v"),
        ("https://RS.example.test:8443/%41", "/%41"),
        ("http://127.0.0.1:3000/mcp", "/mcp"),
    ] {
        let validator = publishing(audience);
        let metadata = validator.metadata().unwrap();
        let path = format!("/.well-known/oauth-protected-resource{path}");
        assert_eq!(metadata.path(), path, "{audience}");
        assert!(metadata.url().ends_with(&path) && audience.starts_with(&metadata.url().replace(&path, "")));
        let seen = ask(&api(&validator), Method::GET, &path);
        assert_eq!(seen.status, 200, "{path}");
        assert_eq!(read(&seen.body)["resource"], audience, "RFC 9728 s3.3: byte for byte");
        assert_eq!(seen.body, metadata.document());
        assert_eq!(named_in(ask(&api(&validator), Method::GET, "/things").challenge()), metadata.url());
    }
}

#[test]
fn only_the_very_path_is_the_metadatas() {
    let validator = publishing(API);
    let api = api(&validator);
    for target in [
        "//.well-known/oauth-protected-resource/things",
        "/.well-known//oauth-protected-resource/things",
        "/.well-known/oauth-protected-resource/things/",
        "/.well-known/oauth-protected-resource/things?",
        "/.well-known/oauth-protected-resource/things?a=b",
        "/.well-known/oauth-protected-resource/things;a",
        "/.well-known/oauth-protected-resource/thing",
        "/.well-known/oauth-protected-resource/thingss",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/%74hings",
        "/%2ewell-known/oauth-protected-resource/things",
        "/.well-known%2foauth-protected-resource/things",
        "/.well-known/oauth-protected-resource/things%00",
        "/.WELL-KNOWN/oauth-protected-resource/things",
        "/a/../.well-known/oauth-protected-resource/things",
        "/./.well-known/oauth-protected-resource/things",
        "/things/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server/things",
        "/",
    ] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
            assert_eq!(ask(&api, method.clone(), target).status, 418, "{method} {target}");
        }
    }
    assert_eq!(ask(&api, Method::GET, PATH).status, 200, "the twin");
    assert_eq!(
        ask(&api, Method::GET, "https://api.example.test/.well-known/oauth-protected-resource/things").status,
        200
    );
    // All else is untouched.
    let open = ask(&api, Method::GET, "/open");
    assert_eq!((open.status, &*open.body, open.field("access-control-allow-origin")), (200, &b"open"[..], None));
    assert_eq!(ask(&api, Method::DELETE, "/things").status, 405);
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let validator = publishing(API);
    let api = api(&validator);
    let (of_head, of_get) = (ask(&api, Method::HEAD, PATH), ask(&api, Method::GET, PATH));
    assert_eq!((of_head.status, of_head.body.len()), (200, 0));
    let length = of_get.body.len().to_string();
    assert_eq!(of_head.field(CONTENT_LENGTH), Some(length.as_str()), "RFC 9110 s9.3.2");
    for name in [CONTENT_TYPE, CACHE_CONTROL, http::header::ACCESS_CONTROL_ALLOW_ORIGIN] {
        assert_eq!(of_head.field(&name), of_get.field(&name));
    }
    // Servers cut off a body; without one there is nothing to cut.
    let by_hand = validator.metadata().unwrap().answer(&Request::head(PATH).body(()).unwrap()).unwrap();
    assert!(by_hand.body().is_empty());
}

#[test]
fn a_script_of_any_origin_may_ask_and_other_methods_are_not_there() {
    let validator = publishing(API);
    let api = api(&validator);
    let preflight = ask(&api, Method::OPTIONS, PATH);
    assert_eq!((preflight.status, preflight.body.len()), (204, 0));
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD"),
        ("access-control-allow-headers", "*"),
        ("access-control-max-age", "3600"),
        ("allow", "GET, HEAD, OPTIONS"),
    ] {
        assert_eq!(preflight.field(name), Some(value), "{name}");
    }
    assert_eq!(preflight.field("access-control-allow-credentials"), None);
    let methods = ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "get", "PROPFIND"];
    for method in methods.map(|method| Method::from_bytes(method.as_bytes()).unwrap()) {
        let seen = ask(&api, method.clone(), PATH);
        assert_eq!((seen.status, seen.body.len()), (405, 0), "{method}");
        assert_eq!(seen.field("allow"), Some("GET, HEAD, OPTIONS"), "RFC 9110 s15.5.6");
        assert_eq!(seen.field(CACHE_CONTROL), None, "{method}");
    }
}

#[test]
fn what_a_request_presents_is_not_looked_at() {
    let validator = publishing(API);
    let api = api(&validator);
    let plain = ask(&api, Method::GET, PATH);
    for field in ["Bearer not.a.token", "Bearer", "Basic dTpw", ""] {
        let request = Request::get(PATH).header("authorization", field).body(Body::empty()).unwrap();
        let (head, body) = block_on(api.clone().oneshot(request)).unwrap().into_parts();
        assert_eq!(head.status, 200, "{field}");
        assert_eq!(block_on(body.collect()).unwrap().to_bytes(), plain.body);
    }
    // A guard around the whole is another matter: whoever writes that has locked the document away.
    let locked = api.layer(validator.require(ScopePolicy::none()));
    assert_eq!(ask(&locked, Method::GET, PATH).status, 401);
}

#[test]
fn an_audience_that_is_no_url_is_refused_where_metadata_is_wanted() {
    for audience in
        ["things", "urn:example:things", "api://things", "http://api.example.test", "https://a.example.test/#x"]
    {
        assert!(builder(audience).build().is_ok(), "{audience} names tokens all the same");
        let refused = builder(audience).publish_metadata(ResourceMetadata::new()).build().unwrap_err();
        assert_eq!(refused.setting(), "publish_metadata");
        let message = refused.to_string();
        assert!(message.contains("audience is not an https URL") && message.contains(audience), "{message}");
        // Another name of the same API is not what clients are sent by.
        let second = builder(audience).audience(API).publish_metadata(ResourceMetadata::new()).build();
        assert_eq!(second.unwrap_err().setting(), "publish_metadata");
    }
    let hidden = builder("https://u:secret@a.example.test").publish_metadata(ResourceMetadata::new()).build();
    assert!(!hidden.unwrap_err().to_string().contains("secret"));
    let rewritten = builder("https://a.example.test/a/../b").publish_metadata(ResourceMetadata::new()).build();
    assert!(rewritten.unwrap_err().to_string().contains("clients rewrite"));
    let named = builder(API).audience("things").publish_metadata(ResourceMetadata::new()).build().unwrap();
    assert_eq!(read(&named.metadata().unwrap().document())["resource"], API, "the first audience");
}

#[test]
fn metadata_lies_here_or_elsewhere_and_is_not_served_unasked() {
    const ELSEWHERE: &str = "https://meta.example.test/things";
    let none = builder(API).build().unwrap().metadata().unwrap_err();
    assert!(matches!(none, ConfigError::Missing { setting: "publish_metadata", .. }), "{none}");
    let elsewhere = builder(API).resource_metadata(ELSEWHERE).build().unwrap();
    assert_eq!(elsewhere.metadata().unwrap_err().setting(), "publish_metadata");
    let both = builder(API).resource_metadata(ELSEWHERE).publish_metadata(ResourceMetadata::new()).build();
    let both = both.unwrap_err();
    assert!(matches!(both, ConfigError::Conflict { setting: "resource_metadata", .. }), "{both}");
    assert!(both.to_string().contains(ELSEWHERE));
}

#[test]
fn issuers_are_listed_that_are_trusted_by_name_and_have_a_url() {
    let published = |builder: ValidatorBuilder| {
        let validator = builder.publish_metadata(ResourceMetadata::new()).build().unwrap();
        read(&validator.metadata().unwrap().document())
    };
    let several = builder(API).trust(trusted("sidecar")).trust(trusted("https://b.example.test/tenants/1/"));
    assert_eq!(published(several)["authorization_servers"], json!([A, "https://b.example.test/tenants/1/"]));
    let plain_name = Validator::builder(API).trust(trusted("sidecar"));
    assert_eq!(published(plain_name).get("authorization_servers"), None, "RFC 9728 s3.2: no empty list");

    let resolver = || Tenants::at_most(10, |issuer| (issuer == "https://b.example.test").then(|| trusted(issuer)));
    let document = published(Validator::builder(API).trust_each(resolver()));
    assert_eq!(document.get("authorization_servers"), None, "{document}");
    assert_eq!(published(builder(API).trust_each(resolver()))["authorization_servers"], json!([A]));
}

#[test]
fn names_and_pages_are_told_as_they_are_set() {
    let settings = ResourceMetadata::new()
        .name("Th\u{ef}ngs \"quoted\" \u{1}</script>")
        .documentation("https://example.test/docs?a=b#auth")
        .policy_uri("https://example.test/policy")
        .tos_uri("http://127.0.0.1:1/terms");
    let document = builder(API).publish_metadata(settings).build().unwrap().metadata().unwrap().document();
    let document = read(&document);
    for (member, value) in [
        ("resource_name", "Th\u{ef}ngs \"quoted\" \u{1}</script>"),
        ("resource_documentation", "https://example.test/docs?a=b#auth"),
        ("resource_policy_uri", "https://example.test/policy"),
        ("resource_tos_uri", "http://127.0.0.1:1/terms"),
    ] {
        assert_eq!(document[member], value);
    }
    let plain = read(&publishing(API).metadata().unwrap().document());
    assert_eq!(plain.as_object().unwrap().len(), 3, "nothing is said that was not set: {plain}");

    let refused = |settings: ResourceMetadata| builder(API).publish_metadata(settings).build().unwrap_err();
    for bad in ["", "docs", "javascript:alert(1)", "http://example.test/", "https://u:secret@example.test/"] {
        for (setting, error) in [
            ("documentation", refused(ResourceMetadata::new().documentation(bad))),
            ("policy_uri", refused(ResourceMetadata::new().policy_uri(bad))),
            ("tos_uri", refused(ResourceMetadata::new().tos_uri(bad))),
        ] {
            assert_eq!(error.setting(), setting, "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
    }
    assert_eq!(refused(ResourceMetadata::new().name("")).setting(), "name");
}

#[test]
fn what_is_published_does_not_hold_the_validator() {
    let validator = publishing(API);
    let metadata = validator.metadata().unwrap();
    let _ = validator.require(all("read"));
    drop(validator);
    assert_eq!(scopes_of(&metadata), json!(["read"]), "and outlives it");
    assert_eq!(format!("{metadata:?}"), format!("PublishedMetadata {{ url: \"https://api.example.test{PATH}\", .. }}"));
}

/// Without a layer, over a socket: what a client gets that follows the challenge, with nothing but hyper on both sides.
#[tokio::test]
async fn hyper_alone_serves_it_over_a_socket() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let audience = format!("http://{address}/things");
    let validator = publishing(&audience);
    let (metadata, demand) = (validator.metadata().unwrap(), Requirement::from(all("things:read")));
    let serve = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: Request<Incoming>| {
            let answer = metadata.answer(&request).unwrap_or_else(|| {
                let judged = validator.check(&Credentials::of(&request), &demand);
                judged.map_or_else(|rejection| rejection.into_response(), |_| Response::new(Bytes::new()))
            });
            async { Ok::<_, std::convert::Infallible>(answer.map(Full::new)) }
        });
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    });
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let drive = tokio::spawn(connection);
    let mut ask = async |method: Method, target: &str| {
        let request = Request::builder().method(method).uri(target).header("host", address.to_string());
        let (head, body) =
            sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Seen { status: head.status.as_u16(), headers: head.headers, body }
    };
    let refused = ask(Method::GET, "/things").await;
    let url = named_in(refused.challenge()).to_owned();
    let path = url.strip_prefix(&format!("http://{address}")).unwrap();
    let seen = ask(Method::GET, path).await;
    assert_eq!((refused.status, seen.status), (401, 200));
    assert_eq!(read(&seen.body)["resource"], audience);
    let head = ask(Method::HEAD, path).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field(CONTENT_LENGTH), seen.field(CONTENT_LENGTH));
    drop(sender);
    drive.await.unwrap().unwrap();
    serve.await.unwrap().unwrap();
}

#[test]
fn the_layer_is_as_ready_as_what_it_is_put_before() {
    struct Busy(bool);
    impl Service<Request<()>> for Busy {
        type Response = Response<Full<Bytes>>;
        type Error = &'static str;
        type Future = Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(Ok(()));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            ready(Err("the inner service's error"))
        }
    }
    let metadata = publishing(API).metadata().unwrap();
    let mut service = metadata.layer(Busy(false));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(service.poll_ready(&mut context).is_pending());
    assert!(service.poll_ready(&mut context).is_ready());
    let mut call = |target: &str| block_on(service.call(Request::get(target).body(()).unwrap()));
    assert_eq!(call("/things").unwrap_err(), "the inner service's error");
    let answered = call(PATH).unwrap();
    assert_eq!(hyper::body::Body::size_hint(answered.body()).exact(), Some(metadata.document().len() as u64));
    assert_eq!(block_on(answered.into_body().collect()).unwrap().to_bytes(), metadata.document());
}
