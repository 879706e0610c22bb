//! Logins that succeed: what is sent, and what comes of it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_executor::block_on;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use scopegate::client::{
    AuthorizationRequest, CookieStore, MemoryStore, PushedRequests, Registration, ResponseMode, StateStore, Storing,
};
use scopegate::testing::{TestClient, TestIssuer};
use scopegate::{Algorithm, ClientAuth, ClientKey, ClientSecret, KeySet};
use serde_json::Value;

use super::world::*;

/// What an authorization request has, in its order.
fn names(url: &str) -> Vec<String> {
    params(url).into_iter().map(|(name, _)| name).collect()
}

fn by_the_browser(world: &World) -> Registration {
    world.registration().pushed_requests(PushedRequests::WhereDemanded)
}

#[test]
fn a_login_sends_exactly_these_parameters_in_this_order() {
    let world = World::new();
    let url = Browser::default().begins(&world.client_of(by_the_browser(&world)), BACK);
    assert!(url.starts_with("https://id.example.com/authorize?"));
    let expected = [
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "state",
    ];
    assert_eq!(names(&url), expected);
    let fixed = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", BACK),
        ("scope", SCOPE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in fixed {
        assert_eq!(param(&url, name).as_deref(), Some(value), "{name}");
    }
    // 256 bits each, in base64url.
    let random = ["state", "nonce", "code_challenge"].map(|name| param(&url, name).unwrap());
    assert!(random.iter().all(|text| URL_SAFE_NO_PAD.decode(text).unwrap().len() == 32));
    let again = Browser::default().begins(&world.client_of(by_the_browser(&world)), BACK);
    for (name, before) in ["state", "nonce", "code_challenge"].into_iter().zip(&random) {
        assert_ne!(param(&again, name).as_ref(), Some(before), "{name} is made anew for each login");
    }
}

#[test]
fn a_nonce_is_sent_if_and_only_if_openid_is_asked_for() {
    let world = World::new();
    for (scope, is_openid) in
        [("openid", true), ("profile openid", true), ("profile", false), ("openid2 xopenid", false)]
    {
        let url = Browser::default().begins(&world.client_of(by_the_browser(&world).scope(scope)), BACK);
        assert_eq!(param(&url, "nonce").is_some(), is_openid, "{scope}");
        assert_eq!(param(&url, "code_challenge_method").as_deref(), Some("S256"), "{scope}");
    }
    // A login's own scope stands against that of the registration.
    let client = world.client_of(by_the_browser(&world));
    let url = Browser::default().begins(&client, AuthorizationRequest::to(BACK).scope("things:read"));
    assert_eq!((param(&url, "scope").as_deref(), param(&url, "nonce")), (Some("things:read"), None));
    // With none at all the server decides.
    let url = Browser::default().begins(&world.client_of(by_the_browser(&world).scope("")), BACK);
    assert_eq!(param(&url, "scope"), None);
}

#[test]
fn a_client_proves_who_it_is_in_each_way_that_it_may() {
    let world = World::new();
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let owner = TestIssuer::with_algorithms("https://owner.test", []);
    let kid = owner.add_pkcs8(Algorithm::Es256, &pair.serialize_der());
    let keys = KeySet::from_json(owner.jwks().as_bytes()).unwrap();
    world.issuer.register_client(TestClient::private_key_jwt("signer", keys).redirect_uri(BACK));
    world.issuer.register_client(TestClient::public("native").redirect_uri(BACK));
    let key = ClientKey::from_pem(Algorithm::Es256, &pair.serialize_pem(), Some(&kid)).unwrap();
    let ways = [
        ClientAuth::basic("app", SECRET),
        ClientAuth::post("app", SECRET),
        ClientAuth::private_key_jwt("signer", key),
        ClientAuth::public("native"),
    ];
    for auth in ways {
        let client = world.client_of(world.registered(auth));
        let login = world.login(&client, BACK).unwrap();
        assert_eq!(login.user().unwrap().subject(), "alice", "{client:?}");
        assert_eq!(login.token().subject(), Some("alice"));
        assert_eq!(login.token().expires_at(), Some(NOW + 300));
        assert!(login.token().refresh_token().is_some());
    }
    let sent = world.way.to(&world.issuer.token_endpoint());
    let basic = format!("Basic {}", STANDARD.encode(format!("app:{SECRET}")));
    let shown: Vec<_> = sent
        .iter()
        .map(|seen| {
            let secret = seen.one("client_secret").is_some();
            (seen.authorization.as_deref(), seen.one("client_id"), secret, seen.one("client_assertion").is_some())
        })
        .collect();
    let expected = [
        (Some(&*basic), None, false, false),
        (None, Some("app"), true, false),
        (None, Some("signer"), false, true),
        (None, Some("native"), false, false),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_client_with_another_secret_or_key_is_refused_by_the_server() {
    let world = World::new();
    for auth in [ClientAuth::basic("app", "wrong"), ClientAuth::post("app", "wrong"), ClientAuth::public("app")] {
        let client = world.client_of(world.registered(auth).pushed_requests(PushedRequests::WhereDemanded));
        let result = world.login(&client, BACK);
        assert_eq!(server_error(&result), Some("invalid_client"));
    }
}

#[test]
fn the_code_is_exchanged_once_with_its_verifier_and_redirect_uri() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let answer = world.answer(&client, &browser, BACK);
    browser.comes_back(&client, &answer).unwrap();
    let sent = world.way.to(&world.issuer.token_endpoint());
    let [exchange] = &sent[..] else { panic!("the code was exchanged {} times", sent.len()) };
    assert_eq!(exchange.method, http::Method::POST);
    let names: Vec<&str> = exchange.form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grant_type", "code", "redirect_uri", "code_verifier"]);
    assert_eq!(exchange.one("grant_type"), Some("authorization_code"));
    assert_eq!((exchange.one("code"), exchange.one("redirect_uri")), (answer.parameter("code"), Some(BACK)));
    let verifier = exchange.one("code_verifier").unwrap();
    assert!((43..=128).contains(&verifier.len()), "RFC 7636 s4.1");
}

#[test]
fn a_form_that_the_browser_posts_is_an_answer_too() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let request = AuthorizationRequest::to(BACK).response_mode(ResponseMode::FormPost);
    let redirect = block_on(client.authorize_redirect(request)).unwrap();
    browser.keep(redirect.cookies());
    // The server's page posts it from another site, with which browsers send nothing else.
    assert!(redirect.cookies()[0].to_str().unwrap().contains("; Secure; SameSite=None"));
    let answer = world.issuer.sign_in(redirect.location(), "alice");
    assert_eq!(answer.response_mode(), "form_post");
    assert_eq!(whose(&browser.posts(&client, &answer)), "alice");
    assert!(browser.jar.borrow().is_empty());

    // Unasked it is the query, and the cookie comes with links alone.
    let redirect = block_on(client.authorize_redirect(BACK)).unwrap();
    assert!(redirect.cookies()[0].to_str().unwrap().contains("; Secure; SameSite=Lax"));
}

#[test]
fn a_request_is_pushed_where_the_server_offers_it_and_the_browser_carries_its_name_alone() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let url = browser.begins(&client, AuthorizationRequest::to(BACK).login_hint("alice"));
    assert_eq!(names(&url), ["client_id", "request_uri"]);
    let pushed = &world.way.to(&world.issuer.pushed_authorization_request_endpoint())[0];
    let sent: Vec<&str> = pushed.form.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "login_hint",
        "state",
    ];
    assert_eq!(sent, expected);
    assert!(pushed.authorization.is_some(), "the client proves who it is");
    let answer = world.issuer.sign_in(&url, "alice");
    assert_eq!(whose(&browser.comes_back(&client, &answer)), "alice");
}

#[test]
fn a_request_is_pushed_as_the_registration_and_the_server_want_it() {
    use PushedRequests::{Always, WhereDemanded, WhereOffered};
    let offered = World::new();
    let demanded = World::new();
    demanded.issuer.demand_pushed_requests();
    let table = [
        (&offered, WhereOffered, true),
        (&offered, Always, true),
        (&offered, WhereDemanded, false),
        (&demanded, WhereOffered, true),
        (&demanded, Always, true),
        (&demanded, WhereDemanded, true),
    ];
    for (world, setting, is_pushed) in table {
        let client = world.client_of(world.registration().pushed_requests(setting));
        let browser = Browser::default();
        let url = browser.begins(&client, BACK);
        assert_eq!(param(&url, "request_uri").is_some(), is_pushed, "{setting:?}");
        assert_eq!(whose(&browser.comes_back(&client, &world.issuer.sign_in(&url, "alice"))), "alice");
    }
    // Where there is no such endpoint.
    let explicit = |setting| {
        let auth = ClientAuth::basic("app", SECRET);
        let at =
            Registration::endpoints(offered.issuer.authorization_endpoint(), offered.issuer.token_endpoint(), auth);
        offered.client_of(offered.on_the_way(at).pushed_requests(setting))
    };
    for setting in [WhereOffered, WhereDemanded] {
        assert_eq!(param(&Browser::default().begins(&explicit(setting), BACK), "request_uri"), None);
    }
    let refused = block_on(explicit(Always).authorize_redirect(BACK)).unwrap_err();
    assert_eq!(refused.label(), "unsupported");
}

#[test]
fn explicit_endpoints_need_no_metadata_and_stand_against_it() {
    let world = World::new();
    let issuer = &world.issuer;
    let auth = || ClientAuth::basic("app", SECRET);
    let explicit = Registration::endpoints(issuer.authorization_endpoint(), issuer.token_endpoint(), auth());
    let explicit = explicit.openid(issuer.id(), issuer.jwks_uri()).userinfo_url(issuer.userinfo_endpoint());
    let client = world.client_of(world.on_the_way(explicit).scope(SCOPE));
    let login = world.login(&client, BACK).unwrap();
    assert_eq!(login.user().unwrap().subject(), "alice");
    assert_eq!(block_on(client.userinfo(login.token())).unwrap().subject(), "alice");
    assert_eq!(issuer.requests().metadata, 0);

    // What is set by hand is asked, whatever the metadata says.
    let elsewhere = world.registration().pushed_authorization_request_url("https://par.example.com/par");
    let error = block_on(world.client_of(elsewhere).authorize_redirect(BACK)).unwrap_err();
    assert_eq!(error.label(), "unreachable");
    assert_eq!(world.way.to("https://par.example.com/par").len(), 1);
}

#[test]
fn a_login_without_openid_brings_tokens_and_nobody() {
    let world = World::new();
    let client = world.client_of(world.registration().scope("things:read"));
    let login = world.login(&client, BACK).unwrap();
    assert!(login.user().is_none() && login.token().subject().is_none());
    assert_eq!((login.token().scope(), login.token().id_token()), (Some("things:read"), None));
    assert_eq!(world.issuer.requests().jwks, 0, "nothing had to be verified");

    // Without keys nobody could be named, so `openid` is not asked for.
    let auth = ClientAuth::basic("app", SECRET);
    let at = Registration::endpoints(world.issuer.authorization_endpoint(), world.issuer.token_endpoint(), auth);
    let keyless = world.on_the_way(at);
    let client = world.client_of(keyless.clone().scope("things:read"));
    assert!(world.login(&client, BACK).unwrap().user().is_none());
    let refused = block_on(client.authorize_redirect(AuthorizationRequest::to(BACK).scope("openid"))).unwrap_err();
    assert_eq!(refused.label(), "invalid_request");
    assert_eq!(scopegate::client::Client::new("example", keyless.scope("openid")).unwrap_err().setting(), "scope");
}

#[test]
fn parameters_of_a_login_stand_against_those_of_the_registration() {
    let world = World::new();
    let registration =
        by_the_browser(&world).authorize_param("audience", "https://api.test").authorize_param("prompt", "consent");
    let client = world.client_of(registration.access_token_param("audience", "https://api.test"));
    let usual = Browser::default().begins(&client, BACK);
    assert_eq!(param(&usual, "audience").as_deref(), Some("https://api.test"));
    assert_eq!(param(&usual, "prompt").as_deref(), Some("consent"));
    let request = AuthorizationRequest::to(BACK)
        .prompt("login")
        .login_hint("alice@example.com")
        .max_age(Duration::from_secs(300))
        .claims(r#"{"id_token":{"email":null}}"#)
        .param("ui_locales", "de en");
    let url = Browser::default().begins(&client, request);
    let more = [
        ("audience", "https://api.test"),
        ("prompt", "login"),
        ("login_hint", "alice@example.com"),
        ("max_age", "300"),
        ("claims", r#"{"id_token":{"email":null}}"#),
        ("ui_locales", "de en"),
    ];
    for (name, value) in more {
        assert_eq!(param(&url, name).as_deref(), Some(value), "{name}");
    }
    world.login(&client, BACK).unwrap();
    assert_eq!(world.way.to(&world.issuer.token_endpoint())[0].one("audience"), Some("https://api.test"));
}

#[test]
fn a_parameter_that_decides_what_the_answer_is_worth_cannot_be_set_from_outside() {
    let world = World::new();
    let client = world.client();
    let ours = [
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "response_mode",
        "max_age",
        "resource",
        "request",
        "request_uri",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "code",
        "code_verifier",
        "grant_type",
        "refresh_token",
    ];
    for name in ours {
        let refused = block_on(client.authorize_redirect(AuthorizationRequest::to(BACK).param(name, "x")));
        assert_eq!(refused.unwrap_err().label(), "invalid_request", "{name}");
        for registration in
            [world.registration().authorize_param(name, "x"), world.registration().access_token_param(name, "x")]
        {
            assert!(scopegate::client::Client::new("example", registration).is_err(), "{name}");
        }
    }
    assert!(block_on(client.authorize_redirect(AuthorizationRequest::to(BACK).param("audience", "x"))).is_ok());
}

#[test]
fn no_parameter_is_sent_twice() {
    let world = World::new();
    let client = world.client();
    let twice = [
        AuthorizationRequest::to(BACK).prompt("none").prompt("login"),
        AuthorizationRequest::to(BACK).param("audience", "a").param("audience", "b"),
        AuthorizationRequest::to(BACK).require_acr(["gold"]).param("acr_values", "silver"),
    ];
    for request in twice {
        assert_eq!(block_on(client.authorize_redirect(request)).unwrap_err().label(), "invalid_request");
    }
    for registration in [
        world.registration().authorize_param("audience", "a").authorize_param("audience", "b"),
        world.registration().access_token_param("audience", "a").access_token_param("audience", "b"),
    ] {
        assert!(scopegate::client::Client::new("example", registration).is_err());
    }
    // What a login demands stands against what the registration asks for.
    let client = world.client_of(by_the_browser(&world).authorize_param("acr_values", "silver"));
    let url = Browser::default().begins(&client, AuthorizationRequest::to(BACK).require_acr(["gold"]));
    assert_eq!(param(&url, "acr_values").as_deref(), Some("gold"));
    assert_eq!(param(&Browser::default().begins(&client, BACK), "acr_values").as_deref(), Some("silver"));
}

#[test]
fn the_apis_that_a_token_is_for_are_named_twice_and_it_is_for_them() {
    let world = World::new();
    let client = world.client_of(by_the_browser(&world));
    let browser = Browser::default();
    let request = AuthorizationRequest::to(BACK).resource("https://one.test").resource("https://two.test");
    let url = browser.begins(&client, request);
    let resources = |fields: &[(String, String)]| -> Vec<String> {
        fields.iter().filter(|(name, _)| name == "resource").map(|(_, value)| value.clone()).collect()
    };
    assert_eq!(resources(&params(&url)), ["https://one.test", "https://two.test"]);
    let login = browser.comes_back(&client, &world.issuer.sign_in(&url, "alice")).unwrap();
    let exchange = &world.way.to(&world.issuer.token_endpoint())[0];
    assert_eq!(resources(&exchange.form), ["https://one.test", "https://two.test"]);
    let payload = login.token().access_token().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(claims["aud"], serde_json::json!(["https://one.test", "https://two.test"]));
}

#[test]
fn where_the_user_wanted_to_go_comes_back_with_the_login() {
    let world = World::new();
    let client = world.client();
    let login = world.login(&client, AuthorizationRequest::to(BACK).return_to("/orders?page=2&q=a%20b")).unwrap();
    assert_eq!(login.return_to(), Some("/orders?page=2&q=a%20b"));
    assert_eq!(world.login(&client, BACK).unwrap().return_to(), None);
}

#[test]
fn several_logins_go_on_side_by_side_in_one_browser() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let urls: Vec<String> = (0..3).map(|_| browser.begins(&client, BACK)).collect();
    assert_eq!(browser.jar.borrow().len(), 3);
    let answers: Vec<_> = urls.iter().map(|url| world.issuer.sign_in(url, "alice")).collect();
    for (left, place) in [(2, 1), (1, 2), (0, 0)] {
        assert_eq!(whose(&browser.comes_back(&client, &answers[place])), "alice");
        assert_eq!(browser.jar.borrow().len(), left, "each takes its own cookie along");
    }
}

#[test]
fn two_processes_with_one_secret_complete_each_others_logins() {
    let world = World::new();
    let process =
        |secret: &[u8]| world.client_of(world.registration().state_store(Arc::new(CookieStore::new(secret).unwrap())));
    let (one, two, stranger) = (process(&[1; 32]), process(&[1; 32]), process(&[2; 32]));
    let browser = Browser::default();
    let answer = world.answer(&one, &browser, BACK);
    let spare = Browser::default();
    spare.jar.replace(browser.jar.borrow().clone());
    assert_eq!(label(&spare.comes_back(&stranger, &answer)), "mismatching_state");
    assert_eq!(whose(&browser.comes_back(&two, &answer)), "alice");
    assert!(CookieStore::new(&[1; 31]).is_err());
}

#[test]
fn a_login_that_is_remembered_in_memory_leaves_no_record_in_the_browser() {
    let world = World::new();
    let client = world.client_of(world.registration().state_store(Arc::new(MemoryStore::at_most(2))));
    let browsers = [Browser::default(), Browser::default(), Browser::default()];
    let answers = browsers.each_ref().map(|browser| world.answer(&client, browser, BACK));
    assert!(browsers.iter().all(|browser| browser.only().1.len() == 43), "a secret of 256 bits and nothing else");
    let labels = [0, 1, 2].map(|place| label(&browsers[place].comes_back(&client, &answers[place])));
    assert_eq!(labels, ["mismatching_state", "a login", "a login"], "the oldest has made room");
}

/// A store as a program has it: a database that takes its time, and may fail.
#[derive(Debug, Default)]
struct Database {
    records: Mutex<HashMap<String, Vec<u8>>>,
    fails: Mutex<[bool; 2]>,
}

/// Lets others run once.
struct Later(bool);

impl Future for Later {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl StateStore for Database {
    fn put<'a>(&'a self, state: &'a str, record: &'a [u8], lifetime: Duration) -> Storing<'a, Option<String>> {
        Box::pin(async move {
            Later(false).await;
            assert_eq!(lifetime, Duration::from_secs(600));
            if self.fails.lock().unwrap()[0] {
                return Err(Arc::from(Box::from("the disk is full")));
            }
            self.records.lock().unwrap().insert(state.to_owned(), record.to_vec());
            Ok(None)
        })
    }

    fn take<'a>(&'a self, state: &'a str, _: Option<&'a str>) -> Storing<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            Later(false).await;
            if self.fails.lock().unwrap()[1] {
                return Err(Arc::from(Box::from("the disk is full")));
            }
            Ok(self.records.lock().unwrap().remove(state))
        })
    }
}

#[test]
fn a_store_of_the_programs_own_may_wait_and_may_fail() {
    let world = World::new();
    let store = Arc::new(Database::default());
    let client = world.client_of(world.registration().state_store(Arc::clone(&store) as Arc<dyn StateStore>));
    assert_eq!(whose(&world.login(&client, BACK)), "alice");
    assert!(store.records.lock().unwrap().is_empty());

    *store.fails.lock().unwrap() = [true, false];
    let error = block_on(client.authorize_redirect(BACK)).unwrap_err();
    assert_eq!((error.label(), error.status().as_u16()), ("store", 500));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the disk is full");

    *store.fails.lock().unwrap() = [false, true];
    let before = world.issuer.requests().token;
    assert_eq!(label(&world.login(&client, BACK)), "store");
    assert_eq!(world.issuer.requests().token, before, "no code is exchanged for a login that nobody knows");
}

#[test]
fn a_secret_that_was_rotated_is_asked_for_once_more_and_costs_no_login() {
    let world = World::new();
    let vault = Arc::new(Mutex::new((SECRET.to_owned(), 0)));
    let asked = Arc::clone(&vault);
    let secret = ClientSecret::asked(move || {
        let mut vault = asked.lock().map_err(|_| "the vault is lost")?;
        vault.1 += 1;
        Ok::<_, &str>(vault.0.clone())
    });
    let client = world.client_of(world.registered(ClientAuth::basic("app", secret)));
    let times = || vault.lock().unwrap().1;
    for _ in 0..3 {
        assert_eq!(label(&world.login(&client, BACK)), "a login");
    }
    assert_eq!(times(), 1, "as long as the server takes it");
    world.issuer.client_secret("app", "rotated");
    vault.lock().unwrap().0 = "rotated".to_owned();
    assert_eq!(label(&world.login(&client, BACK)), "a login");
    assert_eq!(times(), 2);
    // One that is wrong now is tried twice, and the next login asks again.
    world.issuer.client_secret("app", "rotated once more");
    for asked in [3, 4] {
        let error = block_on(client.authorize_redirect(BACK)).unwrap_err();
        assert_eq!((error.server_error(), times()), (Some("invalid_client"), asked));
        assert_eq!(error.status().as_u16(), 500, "the registration is at fault, and not the user");
    }
}
