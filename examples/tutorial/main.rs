//! Authlib's tutorial in Rust: a site where people log in, an API that is guarded by scope, and the site calling the API for them.
//!
//! ```text
//! cargo run --example tutorial                      with an authorization server of its own; open the address that it prints
//! cargo run --example tutorial -- --self-test       walks through it all over HTTP, without a browser
//! cargo run --example tutorial -- --issuer URL --client-id ID --client-secret SECRET --resource URI
//!                                                   with a real one, which knows the redirect URI http://127.0.0.1:PORT/authorize
//! ```
//!
//! This file is the tutorial. `pages.rs` is what it looks like, `sessions.rs` who is logged in, and the rest plays the world around it.

mod arguments;
mod pages;
mod self_test;
mod sessions;
mod world;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect as GoTo, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use scopegate::client::{
    AuthorizationRequest, Callback, Client, LoginError, LogoutRequest, LogoutToken, OAuth, OAuthError, Redirect,
    Registration, Renewed,
};
use scopegate::{AccessToken, ClientAuth, Issuer, PlainHttp, Validator};
use serde_json::{Value, json};

use arguments::Arguments;
use sessions::{Session, Sessions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What all handlers share.
#[derive(Clone)]
struct App {
    oauth: OAuth,
    sessions: Sessions,
    settings: Arc<Arguments>,
}

/// 1. Install: `cargo add scopegate --features axum,client`. 2. Register the client, and say whose tokens the API takes.
fn app(settings: Arguments) -> Result<Router, Failure> {
    let issuer = Issuer::discover(&settings.issuer).profile(settings.profile).plain_http(PlainHttp::OnLoopback);
    let validator = Validator::builder(&settings.resource).trust(issuer).build()?;
    let auth = ClientAuth::basic(&settings.client_id, &*settings.client_secret);
    let mut registration =
        Registration::discover(&settings.issuer, auth).scope(&settings.scope).api_base_url(settings.url("/api/"));
    if let Some(also) = &settings.also_audience {
        registration = registration.also_audience(also); // a server that names the API in ID tokens too
    }
    let oauth = OAuth::builder()
        .register("example", registration)
        .resource_server(validator)
        .plain_http(PlainHttp::OnLoopback) // for this demonstration; leave it out where a real issuer has https
        .build()?;

    let guard = oauth.require_oauth("things:read")?;
    let app = App { oauth, sessions: Sessions::default(), settings: Arc::new(settings) };
    Ok(Router::new()
        .route("/", get(home))
        .route("/login", get(login))
        .route("/authorize", get(authorize).post(authorize))
        .route("/profile", get(profile))
        .route("/call-api", post(call_api))
        .route("/logout", post(logout))
        .route("/backchannel-logout", post(backchannel_logout))
        .route("/api/things", get(things).route_layer(guard))
        .with_state(app))
}

/// 3. `/login` sends the browser to the authorization server.
async fn login(State(app): State<App>) -> Result<Redirect, Oops> {
    let request = AuthorizationRequest::to(app.settings.url("/authorize"))
        .resource(&app.settings.resource) // the API that the token is to be for
        .return_to("/profile");
    Ok(app.oauth.authorize_redirect("example", request).await?)
}

/// 4. `/authorize` is where the browser comes back with a code, which is exchanged for tokens. Who the user is has been verified by then.
async fn authorize(State(app): State<App>, headers: HeaderMap, callback: Callback) -> Result<impl IntoResponse, Oops> {
    let login = app.oauth.authorize_access_token("example", &callback).await?;
    let user = login.user().ok_or(OAuthError::MissingToken)?.clone();
    // Some servers say no more than who it is in the ID token, and the rest here.
    let info = app.client()?.userinfo(login.token()).await.ok();
    let cookie = app.sessions.begin(&headers, Session { token: login.token().clone(), user, info })?;
    let next = login.return_to().unwrap_or("/").to_owned();
    Ok((login.ended(), cookie, GoTo::to(&next)))
}

/// 5. The user is shown.
async fn profile(State(app): State<App>, headers: HeaderMap) -> Response {
    match app.sessions.of(&headers) {
        Some(session) => pages::profile(&session, app.settings.shows_token).into_response(),
        None => GoTo::to("/login").into_response(),
    }
}

/// 6. An API that only a token of the right scope opens; the current token is the handler's argument.
async fn things(current_token: AccessToken) -> Json<Value> {
    Json(json!({ "things": ["a lamp", "a chair"], "asked_by": current_token.subject() }))
}

/// 7. The site calls the API with the user's token, which is renewed when it is about to end.
async fn call_api(State(app): State<App>, headers: HeaderMap) -> Result<Response, Oops> {
    let Some(session) = app.sessions.of(&headers) else { return Ok(GoTo::to("/login").into_response()) };
    let sessions = app.sessions.clone();
    let keep = move |renewed: Renewed| {
        sessions.renew(&headers, renewed);
        std::future::ready(Ok::<(), Infallible>(()))
    };
    let answer = app.client()?.api(session.token).on_renewal(keep).get("things").await?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| Oops::of(StatusCode::BAD_GATEWAY, &error))?;
    Ok(pages::answer(status, &body).into_response())
}

/// 8. Logging out ends the session here, and then the one at the authorization server.
async fn logout(State(app): State<App>, headers: HeaderMap) -> Result<Response, Oops> {
    let Some(session) = app.sessions.end(&headers) else { return Ok(GoTo::to("/").into_response()) };
    // A renewal that is under way must not be handed to anybody any more.
    app.client()?.forget(&session.token);
    let request = LogoutRequest::of(&session.token).post_logout_redirect_uri(app.settings.url("/"));
    Ok(match app.client()?.logout_redirect(request).await {
        Ok(redirect) => (sessions::no_cookie(), redirect).into_response(),
        // Not every server has such a thing.
        Err(OAuthError::Unsupported { .. }) => (sessions::no_cookie(), GoTo::to("/")).into_response(),
        Err(error) => return Err(error.into()),
    })
}

/// The browser comes back from there, or just comes.
async fn home(State(app): State<App>, headers: HeaderMap, callback: Callback) -> Result<Response, Oops> {
    if callback.param("state").is_some() {
        let done = app.client()?.logout_callback(&callback).await?;
        return Ok((done.ended(), GoTo::to("/")).into_response());
    }
    Ok(match app.sessions.of(&headers) {
        Some(session) => pages::profile(&session, app.settings.shows_token).into_response(),
        None => pages::welcome().into_response(),
    })
}

/// 9. The authorization server tells of a logout that began elsewhere: the user's tokens end at once, here and at the API.
async fn backchannel_logout(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Oops> {
    let Some(api) = app.oauth.resource_server() else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let answer = app.client()?.backchannel_logout(&headers, &body, api, Duration::from_secs(3600)).await;
    match (answer.extensions().get::<LogoutToken>(), answer.extensions().get::<OAuthError>()) {
        (Some(token), _) => app.sessions.end_those_of(token),
        (None, error) => eprintln!("tutorial: a logout token was refused: {error:?}"),
    }
    Ok(answer.map(Body::from))
}

impl App {
    fn client(&self) -> Result<&Client, OAuthError> {
        self.oauth.create_client("example").ok_or(OAuthError::MissingToken)
    }
}

/// What went wrong, as a page.
struct Oops {
    status: StatusCode,
    text: String,
    cookies: Vec<axum::http::HeaderValue>,
}

impl Oops {
    fn of(status: StatusCode, error: &dyn std::error::Error) -> Self {
        Self { status, text: error.to_string(), cookies: Vec::new() }
    }
}

impl From<OAuthError> for Oops {
    fn from(error: OAuthError) -> Self {
        Self::of(error.status(), &error)
    }
}

impl From<LoginError> for Oops {
    fn from(error: LoginError) -> Self {
        Self { cookies: error.cookies().to_vec(), ..Self::of(error.error().status(), &error) }
    }
}

impl IntoResponse for Oops {
    fn into_response(self) -> Response {
        let mut response = (self.status, pages::error(&self.text)).into_response();
        for cookie in self.cookies {
            response.headers_mut().append("set-cookie", cookie);
        }
        response
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match arguments::read(std::env::args().skip(1)) {
        Ok(arguments::Run::Help) => {
            print!("{}", arguments::HELP);
            Ok(())
        }
        Ok(arguments::Run::SelfTest) => self_test::run().await,
        Ok(arguments::Run::Serve(settings)) => world::serve(settings).await,
        Err(problem) => {
            eprintln!("tutorial: {problem}\ntutorial: --help says what it takes");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tutorial: {failure}");
            ExitCode::FAILURE
        }
    }
}
