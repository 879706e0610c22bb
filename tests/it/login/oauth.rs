//! The one object for axum: a program as the tutorial writes it, asked over its router.

use axum::body::Body;
use axum::extract::{Request as AxumRequest, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Router, body};
use futures_executor::block_on;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{Request, Response, StatusCode};
use scopegate::client::{AuthorizationRequest, Callback, LoginError, OAuth, OAuthError, Redirect, ResponseMode};
use scopegate::{AccessToken, Issuer, Validator};
use tower::ServiceExt as _;

use super::world::*;

fn validator(world: &World) -> Validator {
    let issuer = Issuer::discover(ISSUER);
    Validator::builder("https://api.test")
        .trust(issuer)
        .fetch(world.issuer.fetch())
        .clock(world.clock.clone())
        .build()
        .unwrap()
}

fn oauth(world: &World) -> OAuth {
    OAuth::builder().register("example", world.registration()).resource_server(validator(world)).build().unwrap()
}

async fn login(State(oauth): State<OAuth>) -> Result<Redirect, OAuthError> {
    oauth.authorize_redirect("example", BACK).await
}

async fn login_by_form(State(oauth): State<OAuth>) -> Result<Redirect, OAuthError> {
    let request = AuthorizationRequest::to(BACK).response_mode(ResponseMode::FormPost);
    oauth.authorize_redirect("example", request).await
}

async fn login_nowhere(State(oauth): State<OAuth>) -> Result<Redirect, OAuthError> {
    oauth.authorize_redirect("nobody", BACK).await
}

async fn authorize(State(oauth): State<OAuth>, callback: Callback) -> Result<impl IntoResponse, LoginError> {
    let login = oauth.authorize_access_token("example", &callback).await?;
    let user = login.user().map_or("nobody", |user| user.subject()).to_owned();
    Ok((login.ended(), format!("hello, {user}")))
}

async fn things(current_token: AccessToken) -> String {
    format!("things of {}", current_token.subject().unwrap_or_default())
}

async fn by_extensions(request: AxumRequest) -> String {
    OAuth::current_token(request.extensions()).and_then(|token| token.subject()).unwrap_or("nobody").to_owned()
}

fn program(oauth: OAuth) -> Router {
    Router::new()
        .route("/login", get(login))
        .route("/login-by-form", post(login_by_form))
        .route("/login-nowhere", get(login_nowhere))
        .route("/authorize", get(authorize).post(authorize))
        .with_state(oauth)
}

fn ask(program: &Router, request: Request<Body>) -> Response<Body> {
    block_on(program.clone().oneshot(request)).unwrap()
}

fn text(response: Response<Body>) -> String {
    String::from_utf8(block_on(body::to_bytes(response.into_body(), 1 << 20)).unwrap().to_vec()).unwrap()
}

fn cookie(response: &Response<Body>) -> String {
    response.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// Whether each cookie of the login is taken away.
fn takes_away(response: &Response<Body>) -> bool {
    let cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
    !cookies.is_empty() && cookies.iter().all(|cookie| cookie.contains("Max-Age=0"))
}

#[test]
fn a_program_logs_in_by_a_query_under_axum() {
    let world = World::new();
    let program = program(oauth(&world));
    let response = ask(&program, Request::get("/login").body(Body::empty()).unwrap());
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let answer = world.issuer.sign_in(response.headers()[LOCATION].to_str().unwrap(), "alice");
    let back = answer.url().replace("https://app.example.com", "");
    let request = |cookie: &str| Request::get(&back).header(COOKIE, cookie).body(Body::empty()).unwrap();
    let kept = cookie(&response);
    let response = ask(&program, request(&kept));
    assert!(response.status() == StatusCode::OK && takes_away(&response));
    assert_eq!(text(response), "hello, alice");
    let again = ask(&program, request(&kept));
    assert!(again.status() == StatusCode::BAD_REQUEST && takes_away(&again));
    assert_eq!(text(again), "The login could not be completed. Please start again.");
}

#[test]
fn a_program_logs_in_by_a_form_under_axum() {
    let world = World::new();
    let program = program(oauth(&world));
    let response = ask(&program, Request::post("/login-by-form").body(Body::empty()).unwrap());
    let kept = cookie(&response);
    let answer = world.issuer.sign_in(response.headers()[LOCATION].to_str().unwrap(), "alice");
    let request = |kind: &str, body: String| {
        let request = Request::post("/authorize").header(COOKIE, &kept).header(CONTENT_TYPE, kind);
        request.body(Body::from(body)).unwrap()
    };
    let (_, form) = answer.form();
    assert_eq!(ask(&program, request("text/plain", form.clone())).status(), StatusCode::BAD_REQUEST);
    let long = format!("{form}&x={}", "a".repeat(33 * 1024));
    assert_eq!(ask(&program, request("application/x-www-form-urlencoded", long)).status(), StatusCode::BAD_REQUEST);
    let huge = "a".repeat(3 << 20);
    assert_eq!(ask(&program, request("application/x-www-form-urlencoded", huge)).status(), StatusCode::BAD_REQUEST);
    let response = ask(&program, request("application/x-www-form-urlencoded", form));
    assert!(response.status() == StatusCode::OK && takes_away(&response));
    assert_eq!(text(response), "hello, alice");
}

#[test]
fn a_login_that_fails_is_an_answer_that_takes_the_cookie_away() {
    let world = World::new();
    let program = program(oauth(&world));
    let response = ask(&program, Request::get("/login").body(Body::empty()).unwrap());
    let denied = world.issuer.deny(response.headers()[LOCATION].to_str().unwrap());
    let denied = denied.with("error_description", "<script>alert(1)</script>");
    let back = denied.url().replace("https://app.example.com", "");
    let request = Request::get(back).header(COOKIE, cookie(&response)).body(Body::empty()).unwrap();
    let response = ask(&program, request);
    assert!(response.status() == StatusCode::FORBIDDEN && takes_away(&response));
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(text(response), "The login was refused.");
}

#[test]
fn a_client_of_no_such_name_is_an_error() {
    let world = World::new();
    let oauth = oauth(&world);
    assert!(oauth.create_client("nobody").is_none() && oauth.create_client("example").is_some());
    let response = ask(&program(oauth.clone()), Request::get("/login-nowhere").body(Body::empty()).unwrap());
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let callback = Browser::default().callback("https://app.example.com/authorize?code=x&state=y");
    let error = block_on(oauth.authorize_access_token("nobody", &callback)).unwrap_err();
    assert_eq!(error.error().label(), "invalid_request");
}

#[test]
fn a_name_is_registered_once() {
    let world = World::new();
    let twice = OAuth::builder().register("example", world.registration()).register("example", world.registration());
    assert_eq!(twice.build().unwrap_err().setting(), "register");
    assert!(OAuth::builder().register("", world.registration()).build().is_err());
    let two = OAuth::builder().register("one", world.registration()).register("two", world.registration());
    let two = two.build().unwrap();
    let browser = Browser::default();
    let answer = world.answer(two.create_client("one").unwrap(), &browser, BACK);
    let kept = browser.jar.borrow().clone();
    assert_eq!(label(&browser.comes_back(two.create_client("two").unwrap(), &answer)), "mismatching_state");
    browser.jar.replace(kept);
    let answer = world.answer(two.create_client("one").unwrap(), &browser, BACK);
    assert_eq!(label(&browser.comes_back(two.create_client("one").unwrap(), &answer)), "a login");
}

#[test]
fn require_oauth_takes_scopes_as_authlib_does() {
    let world = World::new();
    let oauth = oauth(&world);
    let api = Router::new()
        .route("/one", get(things).route_layer(oauth.require_oauth("a").unwrap()))
        .route("/both", get(things).route_layer(oauth.require_oauth("a b").unwrap()))
        .route("/either", get(things).route_layer(oauth.require_oauth(["a b", "c"]).unwrap()))
        .route("/current", get(by_extensions).route_layer(oauth.require_oauth(vec!["a".to_owned()]).unwrap()))
        .route("/open", get(by_extensions));
    let status = |path: &str, scope: &str| {
        let token = world.issuer.token().audience("https://api.test").subject("alice").scope(scope).mint();
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {token}"));
        ask(&api, request.body(Body::empty()).unwrap()).status().as_u16()
    };
    let table = [
        ("/one", "a", 200),
        ("/one", "a b", 200),
        ("/one", "b", 403),
        ("/one", "A", 403),
        ("/both", "b a", 200),
        ("/both", "a", 403),
        ("/either", "a b", 200),
        ("/either", "c", 200),
        ("/either", "a", 403),
        ("/current", "a", 200),
    ];
    for (path, scope, expected) in table {
        assert_eq!(status(path, scope), expected, "{path} {scope}");
    }
    let token = world.issuer.token().audience("https://api.test").subject("alice").scope("a").mint();
    let of = |path: &str| {
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {token}"));
        text(ask(&api, request.body(Body::empty()).unwrap()))
    };
    assert_eq!((of("/one"), of("/current"), of("/open")), ("things of alice".into(), "alice".into(), "nobody".into()));
    assert_eq!(ask(&api, Request::get("/one").body(Body::empty()).unwrap()).status(), StatusCode::UNAUTHORIZED);
    // A user's token of a login is for whom the server made it out to: an ID token opens nothing.
    let login = world.login(oauth.create_client("example").unwrap(), BACK).unwrap();
    let id_token = login.token().id_token().unwrap();
    let request = Request::get("/one").header(AUTHORIZATION, format!("Bearer {id_token}"));
    assert_eq!(ask(&api, request.body(Body::empty()).unwrap()).status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn require_oauth_demands_something() {
    let world = World::new();
    let oauth = oauth(&world);
    for empty in ["", " ", "a  \"b"] {
        assert!(oauth.require_oauth(empty).is_err(), "{empty:?}");
    }
    assert!(oauth.require_oauth(Vec::<String>::new()).is_err());
    assert!(oauth.require_oauth(["a", ""]).is_err());
    assert!(oauth.require_oauth("a").is_ok());
    let clients_alone = OAuth::builder().register("example", world.registration()).build().unwrap();
    assert_eq!(clients_alone.require_oauth("a").unwrap_err().setting(), "resource_server");
}
