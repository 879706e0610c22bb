//! What is secret is shown by nothing: no `Debug`, no `Display`, no answer.

use futures_executor::block_on;
use http::HeaderMap;
use scopegate::ClientAuth;
use scopegate::client::{AuthorizationRequest, Callback, CookieStore, OAuth, PushedRequests, Redirect};
use scopegate::testing::{Endpoint, Fault};

use super::world::*;

/// No text shows eight characters of a secret.
fn shows_none(texts: &[String], secrets: &[&str]) {
    for text in texts {
        for secret in secrets {
            assert!(secret.len() >= 8, "{secret} is too short to be looked for");
            let pieces = secret.as_bytes().windows(8).map(|piece| std::str::from_utf8(piece).unwrap());
            for piece in pieces {
                assert!(!text.contains(piece), "{text} shows {piece} of {secret}");
            }
        }
    }
    assert!(!texts.is_empty() && !secrets.is_empty());
}

#[test]
fn no_public_type_shows_what_is_secret() {
    let world = World::new();
    let registration = world.registration().pushed_requests(PushedRequests::WhereDemanded);
    let (registered, client) = (format!("{registration:?}"), world.client_of(registration.clone()));
    let browser = Browser::default();
    let hint = "eyJhbGciOiJFUzI1NiJ9.id-token-as-a-hint";
    let request = AuthorizationRequest::to(BACK).param("id_token_hint", hint).login_hint("alice@example.com");
    let asked = format!("{request:?}");
    let redirect = block_on(client.authorize_redirect(request)).unwrap();
    browser.keep(redirect.cookies());
    let (url, cookie) = (redirect.location().to_owned(), browser.only().1);
    let answer = world.issuer.sign_in(&url, "alice");
    let callback = browser.callback(&answer.url());
    let came = format!("{callback:?}");
    let login = block_on(client.callback(&callback)).unwrap();
    let info = block_on(client.userinfo(login.token())).unwrap();
    let store = CookieStore::new(b"0123456789abcdef0123456789abcdef").unwrap();
    let oauth = OAuth::builder().register("example", registration);
    let builder = format!("{oauth:?}");
    let oauth = oauth.build().unwrap();
    let ended = format!("{:?}", login.ended());
    let user = login.user().unwrap();
    let auth = ClientAuth::basic("app", SECRET);
    let shown = [
        registered,
        asked,
        came,
        builder,
        ended,
        format!("{redirect:?}"),
        format!("{login:?}"),
        format!("{:?}", login.token()),
        format!("{user:?}"),
        format!("{info:?}"),
        format!("{store:?}"),
        format!("{oauth:?}"),
        format!("{client:?}"),
        format!("{auth:?}"),
    ];
    let exchange = &world.way.to(&world.issuer.token_endpoint())[0];
    let [state, nonce, challenge] = ["state", "nonce", "code_challenge"].map(|name| param(&url, name).unwrap());
    let secrets = [
        SECRET,
        "0123456789abcdef0123456789abcdef",
        hint,
        &state,
        &nonce,
        &challenge,
        &cookie,
        answer.parameter("code").unwrap(),
        exchange.one("code_verifier").unwrap(),
        login.token().access_token().split('.').next_back().unwrap(),
        login.token().refresh_token().unwrap(),
        login.token().id_token().unwrap().split('.').next_back().unwrap(),
    ];
    shows_none(&shown, &secrets);
    // That the names are shown says that something is.
    assert!(shown[0].contains(ISSUER) && shown[1].contains("id_token_hint") && shown[5].contains("/authorize"));
}

#[test]
fn no_error_shows_what_is_secret() {
    let spoilers: [fn(&World); 7] = [
        |world| world.issuer.next_id_token(|token| token.signed_by_stranger()),
        |world| world.issuer.next_id_token(|token| token.claim("nonce", "another")),
        |world| world.issuer.script(Fault::status(500).at(Endpoint::Token)),
        |world| world.issuer.script(Fault::body("<html>").at(Endpoint::Token)),
        |world| world.issuer.script(Fault::content_type("text/html").at(Endpoint::Token)),
        |world| world.issuer.script(Fault::disconnect().at(Endpoint::Token)),
        |world| world.issuer.script(Fault::status(400).with_body(r#"{"error":"invalid_grant"}"#).at(Endpoint::Token)),
    ];
    for spoil in spoilers {
        let world = World::new();
        let client = world.client_of(world.registration().pushed_requests(PushedRequests::WhereDemanded));
        let browser = Browser::default();
        let url = browser.begins(&client, BACK);
        let cookie = browser.only().1;
        let answer = world.issuer.sign_in(&url, "alice");
        spoil(&world);
        let error = browser.comes_back(&client, &answer).unwrap_err();
        let mut shown = vec![format!("{error:?}"), error.to_string(), format!("{:?}", error.error())];
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            shown.extend([format!("{cause:?}"), cause.to_string()]);
            source = cause.source();
        }
        shown.push(String::from_utf8(error.into_response().body().to_vec()).unwrap());
        let exchange = &world.way.to(&world.issuer.token_endpoint())[0];
        let [state, nonce] = ["state", "nonce"].map(|name| param(&url, name).unwrap());
        let secrets = [
            SECRET,
            &state,
            &nonce,
            &cookie,
            answer.parameter("code").unwrap(),
            exchange.one("code_verifier").unwrap(),
        ];
        shows_none(&shown, &secrets);
    }
}

#[test]
fn the_browser_carries_neither_verifier_nor_secret_nor_anything_that_can_be_read() {
    let world = World::new();
    let client = world.client_of(world.registration().pushed_requests(PushedRequests::WhereDemanded));
    let browser = Browser::default();
    let url = browser.begins(&client, AuthorizationRequest::to(BACK).return_to("/orders/of/alice"));
    let (name, value) = browser.only();
    let answer = world.issuer.sign_in(&url, "alice");
    browser.comes_back(&client, &answer).unwrap();
    let exchange = &world.way.to(&world.issuer.token_endpoint())[0];
    let verifier = exchange.one("code_verifier").unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| param(&url, name).unwrap());
    let decoded = value.split('.').map(|part| {
        use base64::Engine as _;
        let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        String::from_utf8_lossy(&octets).into_owned()
    });
    let mut texts: Vec<String> = decoded.collect();
    texts.extend([name, value.clone()]);
    shows_none(&texts, &[verifier, SECRET, &nonce, &state, "/orders/of/alice"]);
    shows_none(&[url], &[verifier, SECRET, "/orders/of/alice"]);
}

#[test]
fn cookies_and_the_clients_proof_are_marked_as_secret_where_http_can_say_so() {
    let world = World::new();
    let redirect: Redirect = block_on(world.client().authorize_redirect(BACK)).unwrap();
    assert!(redirect.cookies().iter().all(http::HeaderValue::is_sensitive));
    let response = redirect.into_response();
    assert!(!format!("{:?}", response.headers()["set-cookie"]).contains("oauth-login"));
    let none = Callback::of_query(&HeaderMap::new(), "state=s3cret-state&code=s3cret-code");
    assert!(!format!("{none:?}").contains("s3cret"));
}
