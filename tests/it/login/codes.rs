//! Codes that were stolen, sent again or put into another's login, and PKCE left out on the way (RFC 9700 s2.1.1, s4.5, s4.8).

use futures_executor::block_on;
use scopegate::client::{Client, LoginError, PushedRequests};
use scopegate::testing::{Endpoint, Fault};

use super::world::*;

fn by_the_browser(world: &World) -> Client {
    world.client_of(world.registration().pushed_requests(PushedRequests::WhereDemanded))
}

fn without_pkce(world: &World) -> Client {
    let registration = world.registration().dangerous().without_pkce();
    world.client_of(registration.pushed_requests(PushedRequests::WhereDemanded))
}

/// The address without these parameters.
fn stripped(url: &str, names: &[&str]) -> String {
    let kept = params(url).into_iter().filter(|(name, _)| !names.contains(&name.as_str()));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    format!("{}?{query}", url.split_once('?').unwrap().0)
}

#[test]
fn a_stolen_code_is_worth_nothing_in_the_thiefs_own_login() {
    let world = World::new();
    let client = world.client();
    let (victim, thief) = (Browser::default(), Browser::default());
    let stolen = world.answer(&client, &victim, BACK);
    let own = world.issuer.sign_in(&thief.begins(&client, BACK), "mallory");
    // The thief's state with the victim's code: the server has another challenge for it.
    let injected = own.with("code", stolen.parameter("code").unwrap());
    let result = thief.comes_back(&client, &injected);
    assert_eq!((label(&result), server_error(&result)), ("refused", Some("invalid_grant")));
}

#[test]
fn a_stolen_code_is_told_by_the_nonce_where_pkce_is_left_out() {
    let world = World::new();
    let client = without_pkce(&world);
    let (victim, thief) = (Browser::default(), Browser::default());
    let stolen = world.answer(&client, &victim, BACK);
    let own = world.issuer.sign_in(&thief.begins(&client, BACK), "mallory");
    let injected = own.with("code", stolen.parameter("code").unwrap());
    let result = thief.comes_back(&client, &injected).map_err(LoginError::into_error);
    assert_eq!(why(result), "its nonce is that of another login");
    // The twin: each brings its own.
    let browser = Browser::default();
    let own = world.answer(&client, &browser, BACK);
    assert_eq!(whose(&browser.comes_back(&client, &own)), "alice");
}

#[test]
fn a_code_that_was_exchanged_is_worth_nothing_in_a_later_login() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let first = world.answer(&client, &browser, BACK);
    browser.comes_back(&client, &first).unwrap();
    let second = world.answer(&client, &browser, BACK).with("code", first.parameter("code").unwrap());
    assert_eq!(server_error(&browser.comes_back(&client, &second)), Some("invalid_grant"));
}

#[test]
fn a_login_whose_challenge_was_stripped_on_the_way_fails_at_the_exchange() {
    let world = World::new();
    let client = by_the_browser(&world);
    let pkce = ["code_challenge", "code_challenge_method"];
    for names in [&pkce[..], &[]] {
        let browser = Browser::default();
        let url = stripped(&browser.begins(&client, BACK), names);
        let result = browser.comes_back(&client, &world.issuer.sign_in(&url, "alice"));
        if names.is_empty() {
            assert_eq!(whose(&result), "alice", "the twin");
        } else {
            assert_eq!(server_error(&result), Some("invalid_grant"), "the verifier is sent whatever the server knows");
        }
    }
    // Without the method it is plain, which the server does not take, nor would the client have meant it.
    let browser = Browser::default();
    let url = stripped(&browser.begins(&client, BACK), &["code_challenge_method"]);
    let result = browser.comes_back(&client, &world.issuer.sign_in(&url, "alice"));
    assert_eq!(server_error(&result), Some("invalid_request"));
}

#[test]
fn a_login_whose_nonce_was_stripped_on_the_way_fails() {
    let world = World::new();
    let client = by_the_browser(&world);
    let browser = Browser::default();
    let url = stripped(&browser.begins(&client, BACK), &["nonce"]);
    let result = browser.comes_back(&client, &world.issuer.sign_in(&url, "alice")).map_err(LoginError::into_error);
    assert_eq!(why(result), "it has no nonce");
}

#[test]
fn a_server_that_says_that_it_lacks_s256_is_not_logged_in_at_unless_by_name() {
    let table = [
        (r#"["S256"]"#, true),
        (r#"["plain","S256"]"#, true),
        (r#"["plain"]"#, false),
        ("[]", false),
        (r#"["s256"]"#, false),
        (r#"[7,"S256"]"#, false),
        // Nothing is said: older servers take it without a word.
        ("null", true),
    ];
    for (methods, is_taken) in table {
        let world = World::new();
        let document = world.issuer.metadata().replace(r#"["S256"]"#, methods);
        world.issuer.script(Fault::body(document).at(Endpoint::OpenIdConfiguration));
        let begun = block_on(by_the_browser(&world).authorize_redirect(BACK));
        match begun {
            Ok(_) => assert!(is_taken, "{methods}"),
            Err(error) => assert_eq!((error.label(), is_taken), ("unsupported", false), "{methods}"),
        }
        let url = Browser::default().begins(&without_pkce(&world), BACK);
        assert_eq!((param(&url, "code_challenge"), param(&url, "code_challenge_method")), (None, None));
    }
}

#[test]
fn without_pkce_no_verifier_is_sent_and_a_server_that_demands_it_refuses() {
    let world = World::new();
    let client = without_pkce(&world);
    assert_eq!(whose(&world.login(&client, BACK)), "alice");
    assert_eq!(world.way.to(&world.issuer.token_endpoint())[0].one("code_verifier"), None);
    world.issuer.demand_pkce();
    assert_eq!(server_error(&world.login(&client, BACK)), Some("invalid_request"));
    assert_eq!(whose(&world.login(&world.client(), BACK)), "alice");
}

#[test]
fn a_code_that_the_server_lets_expire_is_refused_by_it() {
    let world = World::new();
    let client = world.client();
    let browser = Browser::default();
    let answer = world.answer(&client, &browser, BACK);
    world.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(server_error(&browser.comes_back(&client, &answer)), Some("invalid_grant"));
}
