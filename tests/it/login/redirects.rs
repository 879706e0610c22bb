//! Where a browser is sent: to the server, and back into the program (RFC 9700 s4.11, s4.12).

use futures_executor::block_on;
use scopegate::client::{AuthorizationRequest, Client, OAuthError, PushedRequests, Redirect};

use super::world::*;

fn begun(client: &Client, request: AuthorizationRequest) -> Result<Redirect, OAuthError> {
    block_on(client.authorize_redirect(request))
}

#[test]
fn a_user_is_not_led_to_another_host_by_the_place_to_go_back_to() {
    let world = World::new();
    let client = world.client();
    let foreign = [
        "https://evil.example.com",
        "http:evil.example.com",
        "//evil.example.com",
        "///evil.example.com",
        "/\\evil.example.com",
        "\\\\evil.example.com",
        "/\t/evil.example.com",
        "/\n/evil.example.com",
        " //evil.example.com",
        "\u{feff}//evil.example.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.example.com",
        "@evil.example.com",
        ".evil.example.com",
        "?next=x",
        "",
        "/a\r\nset-cookie: x=y",
        "/\u{0}",
        "/\"><script>",
        "/\u{ff0f}evil.example.com",
    ];
    for next in foreign {
        let error = begun(&client, AuthorizationRequest::to(BACK).return_to(next)).unwrap_err();
        assert_eq!((error.label(), error.status().as_u16()), ("invalid_request", 400), "{next:?}");
    }
    // What stays here comes back as it was.
    for next in
        ["/", "/a", "/a//b", "/a?b=https://evil.example.com", "/@evil.example.com", "/%2f%2fevil.example.com", "/a#b"]
    {
        let login = world.login(&client, AuthorizationRequest::to(BACK).return_to(next)).unwrap();
        assert_eq!(login.return_to(), Some(next));
    }
}

#[test]
fn the_place_to_go_back_to_is_that_of_the_login_whatever_the_answer_says() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let answer = world.answer(&client, &browser, AuthorizationRequest::to(BACK).return_to("/orders"));
    let answer = answer.with("return_to", "https://evil.example.com").with("next", "https://evil.example.com");
    assert_eq!(browser.comes_back(&client, &answer).unwrap().return_to(), Some("/orders"));
}

#[test]
fn nothing_that_is_asked_for_leaves_its_parameter() {
    let world = World::new();
    let client = world.client_of(world.registration().pushed_requests(PushedRequests::WhereDemanded));
    let hostile = [
        "a\r\nset-cookie: x=y",
        "a&redirect_uri=https://evil.example.com",
        "#x",
        "%0d%0a",
        "\u{e4}\u{0}",
        "a;b",
        "a+b c",
    ];
    for text in hostile {
        let request = AuthorizationRequest::to(BACK).login_hint(text).param("a&b=c", text).resource(text);
        let redirect = begun(&client, request).unwrap();
        let url = redirect.location().to_owned();
        assert!(url.starts_with("https://id.example.com/authorize?response_type=code&"), "{url}");
        assert!(url.bytes().all(|byte| matches!(byte, 0x21..=0x7E)) && !url.contains('#'), "{url}");
        assert_eq!(param(&url, "redirect_uri").as_deref(), Some(BACK));
        for name in ["login_hint", "a&b=c", "resource"] {
            assert_eq!(param(&url, name).as_deref(), Some(text));
        }
        let response = redirect.into_response();
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 1);
        assert_eq!(response.headers()["location"], url.as_str());
    }
}

#[test]
fn a_redirect_uri_is_a_url_of_the_programs_own() {
    let world = World::new();
    let client = world.client();
    let bad = [
        "",
        "/authorize",
        "app.example.com",
        "javascript:alert(1)",
        "http://app.example.com/authorize",
        "https://app.example.com/authorize#x",
        "https://app.example.com/a b",
        "https://app.example.com/\r\nset-cookie: x",
        "https://user@app.example.com/",
        "https://app.example.com\\@evil.example.com/",
    ];
    for redirect_uri in bad {
        let error = begun(&client, AuthorizationRequest::to(redirect_uri)).unwrap_err();
        assert_eq!(error.label(), "invalid_request", "{redirect_uri:?}");
    }
    assert_eq!(world.issuer.requests().pushed, 0);
    begun(&client, AuthorizationRequest::to(BACK)).unwrap();
}

#[test]
fn a_scope_that_is_none_is_not_asked_for() {
    let world = World::new();
    let client = world.client();
    for scope in ["a\"b", "a\\b", "openid\tprofile", "a\nb", "\u{e4}"] {
        let error = begun(&client, AuthorizationRequest::to(BACK).scope(scope)).unwrap_err();
        assert_eq!(error.label(), "invalid_request", "{scope:?}");
        assert!(Client::new("example", world.registration().scope(scope)).is_err());
    }
    begun(&client, AuthorizationRequest::to(BACK).scope("openid https://api.test/a:b")).unwrap();
}

#[test]
fn a_browser_goes_to_the_server_by_get_and_keeps_nothing_of_the_answer() {
    let world = World::new();
    let response = begun(&world.client(), AuthorizationRequest::to(BACK)).unwrap().into_response();
    // With 307 a form that began the login would be sent along (RFC 9700 s4.12).
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    let (name, rest) = cookie.split_once('=').unwrap();
    assert!(name.starts_with("__Host-oauth-login-"), "{cookie}");
    let attributes: Vec<&str> = rest.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=600"]);
    assert!(cookie.len() <= 4096);
}
