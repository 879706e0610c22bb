//! axum: which routes a guard guards, and what its extractors find.

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, any, get as on_get, post};
use scopegate::{Reason, Rejection};

use super::requests::{Row, rows};
use super::sockets::{Server, same_length_or_none};
use super::*;

impl World {
    fn ask(&self, api: &Router, request: Request<Body>) -> Seen {
        let before = self.inner.calls();
        let response = block_on(api.clone().oneshot(request)).unwrap();
        Seen::new(response, self.inner.calls().abs_diff(before))
    }

    fn write(&self) -> RequireTokenLayer {
        self.validator.require(ScopePolicy::all(["write"]).unwrap())
    }

    /// A handler that counts its calls and needs no token.
    fn handler(&self) -> impl Fn(AxumRequest) -> Ready<String> + Clone + Send + Sync + 'static + use<> {
        let inner = self.inner.clone();
        move |request| {
            inner.0.fetch_add(1, Ordering::SeqCst);
            ready(whose(request.extensions().get::<AccessToken>()))
        }
    }
}

fn ask(method: Method, path: &str, token: Option<TestToken>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.mint()));
    }
    request.body(Body::empty()).unwrap()
}

#[test]
fn every_row_is_answered_the_same_under_a_router() {
    let world = World::new();
    let of_method = Router::new().route("/things", any(world.handler()).layer(world.read()));
    let of_router = Router::new().route("/things", any(world.handler())).route_layer(world.read());
    let of_all = Router::new().route("/things", any(world.handler())).layer(world.read());
    let nested = Router::new().merge(Router::new().route("/other", any(world.handler())).merge(of_method.clone()));
    for api in [of_method, of_router, of_all, nested] {
        for row in rows(&world) {
            world.ask(&api, row.request(Body::from)).is(row.status, &row.name);
        }
    }
}

#[test]
fn each_method_has_its_own_demand_from_one_validator() {
    let world = World::new();
    let (list, create) = (on_get(world.handler()), post(world.handler()));
    let things: MethodRouter = list.route_layer(world.read()).merge(create.route_layer(world.write()));
    let api = Router::new().route("/things", things);
    let scopes = [None, Some(""), Some("read"), Some("write"), Some("read write")];
    for (method, statuses) in [
        (Method::GET, [401, 403, 200, 403, 200]),
        (Method::HEAD, [401, 403, 200, 403, 200]),
        (Method::POST, [401, 403, 403, 200, 200]),
    ] {
        for (scope, status) in scopes.into_iter().zip(statuses) {
            let token = scope.map(|scope| world.token().scope(scope));
            world.ask(&api, ask(method.clone(), "/things", token)).is(status, &format!("{method} {scope:?}"));
        }
    }
    // What has no handler has nothing to guard.
    for (method, path, status) in [(Method::PUT, "/things", 405), (Method::GET, "/nothing", 404)] {
        let seen = world.ask(&api, ask(method, path, None));
        assert_eq!((seen.status, seen.calls), (status, 0), "{path}");
    }
    let told = world.ask(&api, ask(Method::POST, "/things", Some(world.token())));
    assert!(told.challenge().unwrap().ends_with(r#"scope="write""#));
}

#[test]
fn r12_a_path_that_is_written_otherwise_opens_nothing() {
    let world = World::new();
    let public = on_get(|| async { "public" });
    let bare = Router::new()
        .route("/public", public.clone())
        .route("/admin", on_get(world.handler()).route_layer(world.read()));
    let below = bare.clone().route("/public/{*rest}", public);
    for api in [bare, below] {
        let server = Server::new(api.clone());
        for target in [
            "/admin",
            "/public/../admin",
            "/public%2f..%2fadmin",
            "/public/..%2fadmin",
            "/public/..%2Fadmin",
            "/public/%2e%2e/admin",
            "/public/./../admin",
            "/public/..;/admin",
            "/public//admin",
            "/public/..\\admin",
            "//admin",
            "/./admin",
            "/admin/",
            "/admin/.",
            "/admin?/public",
            "/admin;/public",
            "/%61dmin",
            "/ADMIN",
            "http://api/admin",
            "http://public/admin",
        ] {
            let mut row = rows(&world).swap_remove(0);
            target.clone_into(&mut row.target);
            let (status, ..) =
                server.exchange(format!("GET {target} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n").as_bytes());
            assert_eq!(world.inner.calls(), 0, "R12 {target} {status}");
            if target.parse::<http::Uri>().is_ok() {
                world.ask(&api, row.request(Body::from));
                assert_eq!(world.inner.calls(), 0, "R12 {target}");
            }
        }
        let row = Row { target: "/admin".to_owned(), ..good_row(&world) };
        server.send(&row, &world.inner).is(200, "R12 control");
        world.inner.0.store(0, Ordering::SeqCst);
    }
}

fn good_row(world: &World) -> Row {
    rows(world).into_iter().find(|row| row.status == 200).unwrap()
}

#[test]
fn r14_no_field_moves_a_request_to_another_route() {
    let world = World::new();
    let api = Router::new()
        .route("/public", on_get(|| async { "public" }))
        .route("/admin", on_get(world.handler()).route_layer(world.read()));
    for name in ["x-forwarded-uri", "x-original-url", "x-rewrite-url", "x-forwarded-path", "forwarded"] {
        let mut request = ask(Method::GET, "/admin", None);
        request.headers_mut().insert(name, http::HeaderValue::from_static("/public"));
        world.ask(&api, request).is(401, &format!("R14 {name}"));
    }
}

#[test]
fn a_handler_that_takes_a_token_cannot_be_reached_without_a_guard() {
    let world = World::new();
    let needs = |token: AccessToken| async move { whose(Some(&token)) };
    let may_have = |token: Option<AccessToken>| async move { whose(token.as_ref()) };
    let api = Router::new()
        .route("/needs", on_get(needs))
        .route("/may", on_get(may_have))
        .route("/guarded", on_get(needs).route_layer(world.read()))
        .route("/guarded/may", on_get(may_have).route_layer(world.read()))
        .route("/optional", on_get(needs).route_layer(world.read().optional()))
        .route("/optional/may", on_get(may_have).route_layer(world.read().optional()));
    let seen = |path: &str, token: Option<TestToken>| world.ask(&api, ask(Method::GET, path, token));
    let alice = || Some(world.token().subject("alice"));

    for path in ["/needs", "/may"] {
        for token in [None, alice(), Some(world.token().expired())] {
            let seen = seen(path, token);
            seen.is(500, path);
            let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            assert!(body["error_description"].as_str().unwrap().contains("RequireTokenLayer"), "{path}");
            assert_eq!(body["error"], "server_error", "{path}");
        }
    }
    for path in ["/guarded", "/guarded/may", "/optional", "/optional/may"] {
        assert_eq!(seen(path, alice()).body, "alice", "{path}");
        assert_eq!(seen(path, Some(world.token().expired())).status, 401, "{path}");
        assert_eq!(seen(path, Some(world.token().scope("write"))).status, 403, "{path}");
    }
    assert_eq!(seen("/guarded", None).status, 401);
    assert_eq!(seen("/guarded/may", None).status, 401);
    let nobody = seen("/optional/may", None);
    assert_eq!((nobody.status, nobody.body), (200, Bytes::from_static(b"nobody")));
    let refused = seen("/optional", None);
    refused.is(401, "a token that is needed and not there");
    assert_eq!(refused.challenge(), Some(r#"Bearer realm="https://api.example.test", scope="read""#));
}

#[test]
fn the_extractor_finds_what_the_innermost_guard_found() {
    let world = World::new();
    let needs = |token: AccessToken| async move { whose(Some(&token)) };
    let may_have = |token: Option<AccessToken>| async move { whose(token.as_ref()) };
    let api = Router::new()
        .route("/inner", on_get(needs).route_layer(world.write()))
        .route("/optional", on_get(may_have).route_layer(world.write().optional()))
        .route("/none", on_get(may_have))
        .layer(world.read());
    let seen = |path: &str, scope: &str| {
        world.ask(&api, ask(Method::GET, path, Some(world.token().subject("alice").scope(scope))))
    };
    assert_eq!(seen("/inner", "read write").body, "alice");
    assert_eq!(seen("/optional", "read write").body, "alice");
    assert_eq!(seen("/none", "read").body, "alice");
    assert_eq!(seen("/inner", "read").status, 403);
    assert_eq!(seen("/optional", "read").status, 403);
    assert_eq!(seen("/inner", "write").status, 403);
}

#[test]
fn a_rejection_is_a_response() {
    let world = World::new();
    let validator = world.validator.clone();
    let by_hand = async move |request: AxumRequest| -> Result<String, Rejection> {
        let demand = ScopePolicy::all(["read"]).unwrap().into();
        Ok(whose(Some(&validator.check(&Credentials::of(&request), &demand)?)))
    };
    let api = Router::new().route("/things", on_get(by_hand));
    let by_layer = Router::new().route("/things", on_get(|| async {}).route_layer(world.read()));
    let tokens = [None, Some(world.token().expired()), Some(world.token().scope("write"))];
    for (token, status) in tokens.into_iter().zip([401, 401, 403]) {
        let seen = world.ask(&api, ask(Method::GET, "/things", token.clone()));
        seen.is(status, "by hand");
        let same = world.ask(&by_layer, ask(Method::GET, "/things", token));
        assert_eq!((seen.status, seen.headers, seen.body), (same.status, same.headers, same.body));
    }
    let anybody = ScopePolicy::none().into();
    let rejection = world.validator.check(&Credentials::bearer("x"), &anybody).unwrap_err();
    assert_eq!(rejection.reason(), Reason::Malformed);
    assert_eq!(axum::response::IntoResponse::into_response(rejection).status(), 401);
    assert_eq!((http::StatusCode::OK, "a tuple").into_response().status(), 200);
}

#[test]
fn the_first_request_of_a_router_waits_for_the_keys() {
    let world = World::cold();
    world.issuer.recover();
    let api = Router::new().route("/things", on_get(world.handler()).route_layer(world.read()));
    let token = || Some(world.token().subject("alice"));
    assert_eq!(world.ask(&api, ask(Method::GET, "/things", token())).body, "alice");
    assert_eq!((world.issuer.requests().metadata, world.issuer.requests().jwks), (1, 1));
}

#[test]
fn an_answer_to_head_announces_the_length_of_get_or_none() {
    let world = World::new();
    let api = Router::new().route("/things", on_get(world.handler()).route_layer(world.read()));
    let of = |method: Method| world.ask(&api, ask(method, "/things", None));
    let (of_head, of_get) = (of(Method::HEAD), of(Method::GET));
    of_head.is(401, "HEAD");
    assert!(of_head.body.is_empty());
    same_length_or_none(&of_head.headers, &of_get.headers);

    let server = Server::new(api);
    let over = |method: &str| {
        server.exchange(format!("{method} /things HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n").as_bytes())
    };
    let (of_head, of_get) = (over("HEAD"), over("GET"));
    assert!(of_head.2.is_empty() && !of_get.2.is_empty());
    same_length_or_none(&of_head.1, &of_get.1);
}
