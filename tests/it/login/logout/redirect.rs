//! The browser goes to the server and comes back (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use scopegate::client::{MemoryStore, StateStore};

use super::*;

impl World {
    fn log_out(&self, request: LogoutRequest) -> Result<Redirect, OAuthError> {
        block_on(self.client.logout_redirect(request))
    }

    fn logged_out(&self, url: &str, cookies: &[&str]) -> Result<LoggedOut, LoginError> {
        block_on(self.client.logout_callback(&callback(url, cookies)))
    }

    /// What the server answers to the browser.
    fn answers(&self, url: &str) -> Response<Bytes> {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        block_on(self.issuer.fetch().fetch(request, FetchLimits::default())).unwrap()
    }

    /// The address to which the server sends the browser.
    fn sends_on(&self, redirect: &Redirect) -> String {
        let answer = self.answers(redirect.location());
        assert_eq!(answer.status(), 303, "{answer:?}");
        answer.headers()[LOCATION].to_str().unwrap().to_owned()
    }

    /// A logout that has begun: where the browser comes back to, and with which cookie.
    fn begun(&self) -> (String, String) {
        let redirect = self.log_out(coming_back().return_to("/bye")).unwrap();
        (self.sends_on(&redirect), cookie(&redirect))
    }
}

fn coming_back() -> LogoutRequest {
    LogoutRequest::new().post_logout_redirect_uri(LOGGED_OUT)
}

fn query(redirect: &Redirect) -> Vec<(String, String)> {
    let query = redirect.location().split_once('?').unwrap().1;
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[track_caller]
fn mismatching(result: Result<LoggedOut, LoginError>) {
    let error = result.unwrap_err();
    assert!(matches!(error.error(), OAuthError::MismatchingState), "{error}");
}

#[test]
fn a_user_logs_out_at_the_server_and_comes_back() {
    let world = World::new();
    let login = world.log_in();
    let request = LogoutRequest::of(login.token()).post_logout_redirect_uri(LOGGED_OUT).return_to("/bye?a=1");
    let redirect = world.log_out(request.ui_locales("de en").param("theme", "dark")).unwrap();
    assert!(redirect.location().starts_with(&format!("{}?", world.issuer.end_session_endpoint())));
    let query = query(&redirect);
    let names: Vec<_> = query.iter().map(|(name, _)| name.as_str()).collect();
    let order = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales", "theme"];
    assert_eq!(names, order);
    let hint = login.token().id_token().unwrap();
    assert_eq!([&query[0].1, &query[1].1, &query[2].1, &query[4].1], [hint, "app", LOGGED_OUT, "de en"]);

    let back = world.sends_on(&redirect);
    assert_eq!(back, format!("{LOGGED_OUT}?state={}", query[3].1));
    let done = world.logged_out(&back, &[&cookie(&redirect)]).unwrap();
    assert_eq!(done.return_to(), Some("/bye?a=1"));
    let taken_away = done.cookies().iter().map(|cookie| cookie.to_str().unwrap());
    let name = cookie(&redirect).split_once('=').unwrap().0.to_owned();
    assert!(
        taken_away.into_iter().any(|cookie| cookie.starts_with(&format!("{name}=;")) && cookie.ends_with("Max-Age=0"))
    );
}

#[test]
fn the_way_back_is_kept_in_a_cookie_that_no_other_site_and_no_script_sees() {
    let redirect = World::new().log_out(coming_back()).unwrap();
    let cookie = redirect.cookies()[0].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-"), "{cookie}");
    for attribute in ["Path=/", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=600"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{attribute}: {cookie}");
    }
}

#[test]
fn a_browser_that_does_not_come_back_keeps_nothing() {
    let world = World::new();
    let login = world.log_in();
    let redirect = world.log_out(LogoutRequest::of(login.token())).unwrap();
    assert_eq!(redirect.cookies().len(), 0);
    let names: Vec<_> = query(&redirect).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["id_token_hint", "client_id"]);
    let answer = world.answers(redirect.location());
    assert_eq!((answer.status().as_u16(), answer.headers().get(LOCATION)), (200, None));
    assert_eq!(world.issuer.requests().end_session, 1);
}

#[test]
fn without_an_id_token_a_hint_may_say_whose_session_it_is() {
    let world = World::new();
    let bare: TokenSet = serde_json::from_value(json!({ "access_token": "a", "token_type": "Bearer" })).unwrap();
    for request in [LogoutRequest::of(&bare), LogoutRequest::new()] {
        let redirect = world.log_out(request.logout_hint("alice@example.test")).unwrap();
        let expected = [("client_id", "app"), ("logout_hint", "alice@example.test")];
        assert_eq!(query(&redirect), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

#[test]
fn a_state_from_another_browser_is_refused() {
    let world = World::new();
    let (back, own) = world.begun();
    let (_, strangers) = world.begun();
    mismatching(world.logged_out(&back, &[]));
    let (back, _) = (world.begun().0, back);
    mismatching(world.logged_out(&back, &[&strangers]));
    // Under the right name, and with what belongs to another.
    let swapped = format!("{}={}", own.split_once('=').unwrap().0, strangers.split_once('=').unwrap().1);
    mismatching(world.logged_out(&back, &[&swapped]));
}

#[test]
fn a_state_is_taken_once() {
    for store in [None, Some(Arc::new(MemoryStore::default()) as Arc<dyn StateStore>)] {
        let world = World::with(|registration| match &store {
            Some(store) => registration.state_store(Arc::clone(store)),
            None => registration,
        });
        let (back, cookie) = world.begun();
        assert_eq!(world.logged_out(&back, &[&cookie]).unwrap().return_to(), Some("/bye"));
        mismatching(world.logged_out(&back, &[&cookie]));
    }
}

#[test]
fn a_state_that_was_made_up_or_left_out_is_refused() {
    let world = World::new();
    let (_, cookie) = world.begun();
    for query in ["", "?state=", "?state=bye", "?state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        mismatching(world.logged_out(&format!("{LOGGED_OUT}{query}"), &[&cookie]));
    }
    let (back, cookie) = world.begun();
    let twice = world.logged_out(&format!("{back}&state=a"), &[&cookie]).unwrap_err();
    assert!(matches!(twice.error(), OAuthError::MalformedResponse { .. }), "{twice}");
}

#[test]
fn a_state_is_too_old_after_the_time_for_a_login() {
    let world = World::new();
    let (back, cookie) = world.begun();
    let (late, late_cookie) = world.begun();
    world.advance(599);
    assert!(world.logged_out(&back, &[&cookie]).is_ok());
    world.advance(1);
    mismatching(world.logged_out(&late, &[&late_cookie]));
}

#[test]
fn the_state_of_a_login_is_none_of_a_logout_and_the_other_way_round() {
    let world = World::new();
    let redirect = block_on(world.client.authorize_redirect(BACK)).unwrap();
    let back = world.issuer.sign_in(redirect.location(), "alice");
    let (state, own) = (back.parameter("state").unwrap(), cookie(&redirect));
    mismatching(world.logged_out(&format!("{LOGGED_OUT}?state={state}"), &[&own]));

    let (back, own) = world.begun();
    let state = back.split_once("?state=").unwrap().1;
    let login = block_on(world.client.callback(&callback(&format!("{BACK}?code=a&state={state}"), &[&own])));
    assert!(matches!(login.unwrap_err().error(), OAuthError::MismatchingState));
}

#[test]
fn the_state_of_one_client_is_none_of_another_though_they_share_a_store() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::default());
    let world = World::with(|registration| registration.state_store(Arc::clone(&store)));
    let another = registration(&world.issuer, &world.clock).state_store(store);
    let another = Client::new("another", another).unwrap();
    let (back, cookie) = world.begun();
    mismatching(block_on(another.logout_callback(&callback(&back, &[&cookie]))));
    mismatching(world.logged_out(&back, &[&cookie]));
}

#[test]
fn what_cannot_be_asked_is_refused_before_anybody_is() {
    let world = World::new();
    let to = |uri: &str| LogoutRequest::new().post_logout_redirect_uri(uri);
    for (request, why) in [
        (coming_back().param("state", "a"), "this crate sets"),
        (coming_back().param("client_id", "a"), "this crate sets"),
        (coming_back().param("id_token_hint", "a"), "this crate sets"),
        (coming_back().param("post_logout_redirect_uri", "https://evil.test"), "this crate sets"),
        (coming_back().logout_hint("a").param("logout_hint", "b"), "twice"),
        (coming_back().return_to("//evil.test"), "not a path"),
        (coming_back().return_to("https://evil.test/"), "not a path"),
        (LogoutRequest::new().return_to("/bye"), "post_logout_redirect_uri"),
        (to("/logged-out"), "not a URL"),
        (to("http://app.example.test/"), "not a URL"),
        (to("javascript:alert(1)"), "not a URL"),
        (to(""), "not a URL"),
    ] {
        let error = world.log_out(request.clone()).unwrap_err();
        assert!(
            matches!(&error, OAuthError::InvalidRequest { problem, .. } if problem.contains(why)),
            "{request:?}: {error}"
        );
    }
}

#[test]
fn a_server_that_cannot_end_its_session_is_said_to_lack_it() {
    let world = World::new();
    let login = world.log_in();
    let endpoints = Registration::endpoints(
        world.issuer.authorization_endpoint(),
        world.issuer.token_endpoint(),
        ClientAuth::basic("app", "s3cret"),
    );
    let bare = Client::new("bare", endpoints.clone()).unwrap();
    let error = block_on(bare.logout_redirect(LogoutRequest::of(login.token()))).unwrap_err();
    assert!(matches!(error, OAuthError::Unsupported { problem, .. } if problem.contains("end_session_endpoint")));
    let told = Client::new("told", endpoints.end_session_url("https://id.example.test/bye?a=1")).unwrap();
    let redirect = block_on(told.logout_redirect(LogoutRequest::new())).unwrap();
    assert_eq!(redirect.location(), "https://id.example.test/bye?a=1&client_id=app");
}

#[test]
fn nothing_shows_whose_logout_it_is() {
    let world = World::new();
    let login = world.log_in();
    let request = LogoutRequest::of(login.token()).logout_hint("alice").post_logout_redirect_uri(LOGGED_OUT);
    let shown = format!("{request:?} {:?}", world.log_out(request.clone()).unwrap());
    assert!(shown.contains(LOGGED_OUT) && !shown.contains("alice"), "{shown}");
    assert!(!shown.contains(login.token().id_token().unwrap()) && !shown.contains("state="), "{shown}");
}
