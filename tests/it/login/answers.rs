//! What comes back, by the browser and from the token endpoint, where it is not as it should be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_executor::block_on;
use http::header::{CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use scopegate::client::{AuthorizationRequest, Callback, LoginError, OAuthError, ResponseMode, Stage};
use scopegate::testing::{Endpoint, Fault, TestRedirect};
use serde_json::json;

use super::world::*;

/// The same answer by a query and by a form.
fn both(change: impl Fn(TestRedirect) -> TestRedirect) -> [Result<scopegate::client::Login, LoginError>; 2] {
    [ResponseMode::Query, ResponseMode::FormPost].map(|mode| {
        let world = World::new();
        let client = world.client();
        let browser = Browser::default();
        let answer = change(world.answer(&client, &browser, AuthorizationRequest::to(BACK).response_mode(mode)));
        let result = match mode {
            ResponseMode::FormPost => browser.posts(&client, &answer),
            _ => browser.comes_back(&client, &answer),
        };
        let exchanges = world.issuer.requests().token;
        assert_eq!(exchanges > 0, result.is_ok(), "a code goes to the server if the answer is good, and not otherwise");
        result
    })
}

#[test]
fn an_error_is_told_from_a_code_in_a_query_and_in_a_form() {
    for result in both(|answer| answer) {
        assert_eq!(whose(&result), "alice");
    }
    let denied =
        |answer: TestRedirect| answer.without("code").with("error", "access_denied").with("error_description", "no");
    for result in both(denied) {
        let Err(error) = result else { panic!("a login") };
        assert_eq!(error.error().status(), StatusCode::FORBIDDEN);
        let OAuthError::Refused { stage: Stage::Authorization, error, description, .. } = error.into_error() else {
            panic!("another error")
        };
        assert_eq!((&*error, description.as_deref()), ("access_denied", Some("no")));
    }
    // With a code beside it, it is an error still.
    for result in both(|answer| answer.with("error", "access_denied")) {
        assert_eq!(server_error(&result), Some("access_denied"));
    }
    for result in both(|answer| answer.without("code")) {
        assert_eq!(label(&result), "missing_code");
    }
    for result in both(|answer| answer.with("code", "")) {
        assert_eq!(label(&result), "missing_code");
    }
}

#[test]
fn an_error_of_an_unknown_state_is_nobodys() {
    for result in both(|answer| answer.without("code").with("error", "access_denied").with("state", &"A".repeat(43))) {
        assert_eq!(label(&result), "mismatching_state");
    }
    for result in both(|answer| answer.without("code").without("state").with("error", "access_denied")) {
        assert_eq!(label(&result), "mismatching_state");
    }
}

#[test]
fn a_user_who_declines_at_the_server_has_not_logged_in() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let denied = world.issuer.deny(&browser.begins(&client, BACK));
    assert_eq!(server_error(&browser.comes_back(&client, &denied)), Some("access_denied"));
    // Whoever must not be asked is told so.
    let unasked = world.login(&client, AuthorizationRequest::to(BACK).prompt("none"));
    assert_eq!(server_error(&unasked), Some("login_required"));
}

#[test]
fn a_parameter_that_stands_twice_spoils_the_answer() {
    for name in ["code", "state", "iss", "error", "unknown"] {
        let world = World::new();
        let client = world.client();
        let browser = Browser::default();
        let answer = world.answer(&client, &browser, BACK).with("unknown", "x").with("error", "");
        let value = answer.parameter(name).unwrap().to_owned();
        let again = format!("{}&{name}={value}", answer.url());
        let error = browser.brings(&client, &browser.callback(&again)).unwrap_err();
        assert_eq!((error.error().label(), error.error().status().as_u16()), ("malformed_response", 400), "{name}");
        assert_eq!(world.issuer.requests().token, 0);
    }
}

#[test]
fn an_answer_is_at_most_32_kib_and_64_parameters_long() {
    let table = [
        (32 * 1024, 0, "a login"),
        (32 * 1024 + 1, 0, "malformed_response"),
        (0, 60, "a login"),
        (0, 62, "malformed_response"),
    ];
    for (length, more, expected) in table {
        let world = World::new();
        let client = world.client();
        let browser = Browser::default();
        let answer = world.answer(&client, &browser, BACK);
        let (_, mut body) = answer.form();
        for place in 0..more {
            body.push_str(&format!("&p{place}=x"));
        }
        if length > 0 {
            body.push_str("&padding=");
            body.push_str(&"a".repeat(length - body.len()));
        }
        let callback = Callback::of_form(&browser.headers(), body.as_bytes());
        assert_eq!(label(&browser.brings(&client, &callback)), expected, "{length} {more}");
    }
}

#[test]
fn an_answer_in_a_body_is_a_form() {
    let table = [
        (None, "a login"),
        (Some("application/x-www-form-urlencoded"), "a login"),
        (Some("Application/X-WWW-Form-URLEncoded; charset=utf-8"), "a login"),
        (Some("text/plain"), "malformed_response"),
        (Some("multipart/form-data; boundary=x"), "malformed_response"),
        (Some("application/json"), "malformed_response"),
    ];
    for (kind, expected) in table {
        let world = World::new();
        let client = world.client();
        let browser = Browser::default();
        let answer = world.answer(&client, &browser, BACK);
        let mut headers = browser.headers();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let callback = Callback::of_form(&headers, answer.form().1.as_bytes());
        assert_eq!(label(&browser.brings(&client, &callback)), expected, "{kind:?}");
    }
}

#[test]
fn octets_of_any_kind_are_an_answer_and_never_a_panic() {
    let world = World::new();
    let client = world.client();
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_static("__Host-oauth-login-=; oauth-login-; __Host-oauth-login-x=.;=;a"));
    let odd: [&[u8]; 8] =
        [b"", b"&&&", b"=", b"state", b"state=%", b"state=%zz&code=%ff", b"\xff\xfe=\x00", b"state=\xc3\xa4&code=x"];
    for body in odd {
        let error = block_on(client.callback(&Callback::of_form(&headers, body))).unwrap_err();
        assert_eq!(error.error().label(), "mismatching_state", "{body:?}");
        assert_eq!(error.into_response().status(), 400);
    }
}

#[test]
fn what_an_error_says_reaches_no_answer_to_the_browser() {
    let hostile = [
        "<script>alert(1)</script>",
        "a\r\nset-cookie: session=evil",
        "\u{202e}evil\u{0}\u{7}",
        "\"quoted\" \\ 'and' more",
        &"long ".repeat(2000),
    ];
    for text in hostile {
        let bad = |answer: TestRedirect| answer.without("code").with("error", text).with("error_description", text);
        for result in both(bad) {
            let error = result.unwrap_err();
            assert_eq!(error.error().label(), "refused");
            let shown = [error.to_string(), format!("{error:?}")];
            for shown in &shown {
                assert!(shown.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{shown:?}");
                assert!(shown.len() < 1000, "{}", shown.len());
            }
            let response = error.into_response();
            assert_eq!(response.body(), "The login was refused.");
            assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
            assert_eq!(response.headers()["cache-control"], "no-store");
            let set: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
            assert!(set.iter().all(|cookie| cookie.to_str().unwrap().contains("oauth-login-")), "{set:?}");
        }
    }
    // The same by way of the token endpoint.
    let world = World::new();
    let client = world.client();
    for text in hostile {
        let body = json!({"error": text, "error_description": text}).to_string();
        let fault = Fault::status(400).with_body(body).with_header("content-type", "application/json");
        world.issuer.script(fault.at(Endpoint::Token).times(1));
        let error = world.login(&client, BACK).unwrap_err();
        assert!(error.to_string().bytes().all(|byte| matches!(byte, b' '..=b'~')), "{error}");
        assert!(error.to_string().len() < 1000);
        assert_eq!(error.into_response().body(), "The login was refused.");
    }
}

/// The answer of the token endpoint, and what comes of a login with it.
fn exchanged(status: u16, kind: &str, body: &str) -> Result<scopegate::client::Login, LoginError> {
    let world = World::new();
    let client = world.client_of(world.registration().scope("things:read"));
    let fault = Fault::status(status).with_body(body).with_header("content-type", kind);
    world.issuer.script(fault.at(Endpoint::Token));
    let result = world.login(&client, BACK);
    assert_eq!(world.issuer.requests().token, 1, "a code is sent once, whatever comes of it");
    result
}

#[test]
fn an_answer_of_the_token_endpoint_is_a_strict_json_object_with_a_bearer_token() {
    let json = "application/json";
    let table = [
        (200, json, r#"{"access_token":"t","token_type":"Bearer"}"#, "a login"),
        (200, "application/json;charset=UTF-8", r#"{"access_token":"t","token_type":"bearer"}"#, "a login"),
        (200, json, r#"{"access_token":"t","token_type":"Bearer","expires_in":"3600","x":{"y":[1]}}"#, "a login"),
        (200, "text/html", r#"{"access_token":"t","token_type":"Bearer"}"#, "unreachable"),
        (200, "text/html", "<html><body>Sign in</body></html>", "unreachable"),
        (200, "application/x-www-form-urlencoded", "access_token=t&token_type=Bearer", "unreachable"),
        (200, json, "<html>", "invalid_answer"),
        (200, json, "", "invalid_answer"),
        (200, json, "null", "invalid_answer"),
        (200, json, r#"["access_token"]"#, "invalid_answer"),
        (200, json, "{}", "invalid_answer"),
        (200, json, r#"{"token_type":"Bearer"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":null,"token_type":"Bearer"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"","token_type":"Bearer"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":7,"token_type":"Bearer"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"a b","token_type":"Bearer"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t\r\nx: y","token_type":"Bearer"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","token_type":"mac"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","token_type":"DPoP"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","token_type":["Bearer"]}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","access_token":"u","token_type":"Bearer"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","token_type":"Bearer"} x"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","token_type":"Bearer","expires_in":-1}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","token_type":"Bearer","expires_in":"soon"}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","token_type":"Bearer","refresh_token":7}"#, "invalid_answer"),
        (200, json, r#"{"access_token":"t","token_type":"Bearer","scope":["a","b"]}"#, "a login"),
        (200, json, r#"{"access_token":"t","token_type":"Bearer","scope":["a",7]}"#, "invalid_answer"),
        (201, json, r#"{"access_token":"t","token_type":"Bearer"}"#, "unreachable"),
        (302, json, r#"{"access_token":"t","token_type":"Bearer"}"#, "unreachable"),
        (400, json, r#"{"error":"invalid_grant"}"#, "refused"),
        (401, json, r#"{"error":"invalid_client"}"#, "refused"),
        (400, json, r#"{"access_token":"t","token_type":"Bearer"}"#, "unreachable"),
        (400, json, "<html>", "unreachable"),
        (500, json, r#"{"error":"server_error"}"#, "unreachable"),
        (503, "text/html", "<html>", "unreachable"),
    ];
    for (status, kind, body, expected) in table {
        assert_eq!(label(&exchanged(status, kind, body)), expected, "{status} {kind} {body}");
    }
}

#[test]
fn an_error_of_the_token_endpoint_is_one_under_any_status() {
    // Some servers refuse with 200.
    let body = r#"{"error":"bad_verification_code","error_description":"The code is incorrect."}"#;
    for status in [200, 400, 403] {
        assert_eq!(
            server_error(&exchanged(status, "application/json", body)),
            Some("bad_verification_code"),
            "{status}"
        );
    }
    // With a token beside it, it is an error still.
    let both = r#"{"access_token":"t","token_type":"Bearer","error":"invalid_grant"}"#;
    assert_eq!(server_error(&exchanged(200, "application/json", both)), Some("invalid_grant"));
    let none = r#"{"access_token":"t","token_type":"Bearer","error":null}"#;
    assert_eq!(label(&exchanged(200, "application/json", none)), "a login");
}

#[test]
fn an_answer_that_never_ends_or_is_too_large_is_no_login() {
    let world = World::new();
    let client = world.client_of(world.registration().scope("things:read"));
    for (size, expected) in [(250 * 1024, "a login"), (256 * 1024, "unreachable")] {
        let body = json!({"access_token": "t", "token_type": "Bearer", "x": "a".repeat(size)});
        world.next_token_answer(body.to_string());
        assert_eq!(label(&world.login(&client, BACK)), expected, "{size}");
    }
    for fault in [Fault::endless(), Fault::truncated(), Fault::disconnect(), Fault::reset()] {
        world.issuer.script(fault.at(Endpoint::Token).times(1));
        let result = world.login(&client, BACK);
        assert_eq!(label(&result), "unreachable");
        assert_eq!(result.unwrap_err().error().status().as_u16(), 503);
    }
    // Deeper than anything that a server has to say.
    let deep = format!(r#"{{"access_token":"t","token_type":"Bearer","x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    world.next_token_answer(deep);
    assert_eq!(label(&world.login(&client, BACK)), "invalid_answer");
}

#[test]
fn a_server_that_hangs_is_given_up_after_ten_seconds() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let answer = world.answer(&client, &browser, BACK);
    world.issuer.script(Fault::hang().at(Endpoint::Token).times(1));
    let has_ended = AtomicBool::new(false);
    let callback = browser.callback(&answer.url());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let result = label(&block_on(client.callback(&callback)));
            has_ended.store(true, Ordering::SeqCst);
            result
        });
        while world.issuer.requests().token == 0 {
            thread::yield_now();
        }
        world.clock.advance(Duration::from_millis(9_999));
        assert!(!has_ended.load(Ordering::SeqCst));
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(waiting.join().unwrap(), "unreachable");
    });
    assert_eq!(whose(&world.login(&client, BACK)), "alice");
}

#[test]
fn the_answer_to_a_pushed_request_names_it_or_there_is_no_login() {
    let json = "application/json";
    let table = [
        (201, json, r#"{"request_uri":"urn:x:1","expires_in":60}"#, "begun"),
        (200, json, r#"{"request_uri":"urn:x:1","expires_in":60}"#, "begun"),
        (201, json, "{}", "invalid_answer"),
        (201, json, r#"{"request_uri":""}"#, "invalid_answer"),
        (201, json, r#"{"request_uri":7}"#, "invalid_answer"),
        (201, json, r#"{"request_uri":"a","request_uri":"b"}"#, "invalid_answer"),
        (201, json, "<html>", "invalid_answer"),
        (201, "text/html", r#"{"request_uri":"urn:x:1"}"#, "unreachable"),
        (202, json, r#"{"request_uri":"urn:x:1"}"#, "unreachable"),
        (302, json, r#"{"request_uri":"urn:x:1"}"#, "unreachable"),
        (400, json, r#"{"error":"invalid_request","error_description":"no"}"#, "refused"),
        (401, json, r#"{"error":"invalid_client"}"#, "refused"),
        (500, json, r#"{"error":"server_error"}"#, "unreachable"),
        (201, json, r#"{"error":"invalid_request"}"#, "refused"),
    ];
    for (status, kind, body, expected) in table {
        let world = World::new();
        let fault = Fault::status(status).with_body(body).with_header("content-type", kind);
        world.issuer.script(fault.at(Endpoint::PushedRequest));
        let begun = block_on(world.client().authorize_redirect(BACK));
        assert_eq!(begun.map_or_else(|error| error.label(), |_| "begun"), expected, "{status} {kind} {body}");
    }
    // Whatever the name says, it stays one parameter of the server's own address.
    for name in ["https://evil.example.com/?a=b&client_id=x#y", "a\r\nset-cookie: x", "\u{e4} "] {
        let world = World::new();
        let body = json!({"request_uri": name}).to_string();
        world
            .issuer
            .script(Fault::status(201).with_body(body).with_header("content-type", json).at(Endpoint::PushedRequest));
        let url = Browser::default().begins(&world.client(), BACK);
        assert!(url.starts_with("https://id.example.com/authorize?client_id=app&request_uri="), "{url}");
        assert_eq!((param(&url, "request_uri").as_deref(), params(&url).len()), (Some(name), 2));
    }
}
