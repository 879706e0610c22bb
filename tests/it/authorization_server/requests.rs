//! Authorization requests: what is refused, and where.

use super::*;

fn error(shown: &Shown) -> (Option<String>, Option<String>, Option<String>) {
    (shown.parameter("error"), shown.parameter("state"), shown.parameter("iss"))
}

#[test]
fn an_unknown_client_or_address_gets_a_page_and_never_a_redirect() {
    let world = World::new();
    for more in [
        ("client_id", "nobody"),
        ("client_id", ""),
        ("redirect_uri", ""),
        ("redirect_uri", "https://web.test/callback/"),
        ("redirect_uri", "https://web.test/callback?x=1"),
        ("redirect_uri", "https://web.test.evil/callback"),
        ("redirect_uri", "https://app.test/callback"),
        ("redirect_uri", "HTTPS://web.test/callback"),
    ] {
        let shown = world.browser().get(&world.url(&[more]));
        assert_eq!((shown.status, &shown.location), (400, &None), "{more:?}");
        assert!(shown.html.contains("role=\"alert\""));
    }
}

#[test]
fn what_else_is_wrong_is_told_to_the_client() {
    let world = World::new();
    let known =
        |error: &str| (Some(error.to_owned()), Some("state-1".to_owned()), Some("https://issuer.test".to_owned()));
    for (more, expected) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("response_mode", "fragment"), "invalid_request"),
        (("request", "ey.."), "request_not_supported"),
        (("request_uri", "https://web.test/request"), "request_uri_not_supported"),
        (("prompt", "none login"), "invalid_request"),
        (("prompt", "create"), "invalid_request"),
        (("max_age", "-1"), "invalid_request"),
        (("claims", "[]"), "invalid_request"),
        (("claims", "{"), "invalid_request"),
        (("resource", "not-absolute"), "invalid_target"),
        (("resource", "https://api.test/#there"), "invalid_target"),
    ] {
        let shown = world.browser().get(&world.url(&[more]));
        assert_eq!((shown.status, error(&shown)), (303, known(expected)), "{more:?}");
        assert!(shown.location.as_ref().unwrap().starts_with("https://web.test/callback?"));
        assert!(shown.parameter("error_description").is_some());
    }
    let twice = format!("{}&scope=again", world.url(&[]));
    assert_eq!(error(&world.browser().get(&twice)), known("invalid_request"));
}

#[test]
fn a_denial_is_told_with_the_state_and_who_tells_it() {
    let world = World::new();
    let back = world.issuer.deny(&world.url(&[]));
    assert_eq!(back.parameter("error"), Some("access_denied"));
    assert_eq!((back.parameter("state"), back.parameter("iss")), (Some("state-1"), Some("https://issuer.test")));
    assert_eq!(back.parameter("code"), None);
}

#[test]
fn an_issuer_may_leave_its_name_out_and_then_promises_nothing() {
    let world = World::new();
    let promised = || {
        let metadata: Value = serde_json::from_str(&world.issuer.metadata()).unwrap();
        metadata["authorization_response_iss_parameter_supported"].as_bool()
    };
    assert_eq!(promised(), Some(true));
    world.issuer.omit_response_issuer();
    assert_eq!(promised(), Some(false));
    assert_eq!(world.sign_in(&[]).parameter("iss"), None);
    assert_eq!(world.issuer.deny(&world.url(&[])).parameter("iss"), None);
}

#[test]
fn a_pushed_request_counts_once_for_its_client_and_for_a_minute() {
    let world = World::new();
    let endpoint = world.issuer.pushed_authorization_request_endpoint();
    let fields = [("response_type", "code"), ("redirect_uri", CALLBACK), ("scope", "openid"), ("state", "pushed")];
    let push = || {
        let (status, body) = world.post(&endpoint, &fields);
        assert_eq!((status, body["expires_in"].as_i64()), (201, Some(60)));
        text(&body["request_uri"]).to_owned()
    };
    let url = |client: &str, uri: &str| {
        format!("{}?{}", world.issuer.authorization_endpoint(), form([("client_id", client), ("request_uri", uri)]))
    };
    let is_refused = |url: &str| world.browser().get(url).status == 400;

    let first = push();
    assert!(first.starts_with("urn:ietf:params:oauth:request_uri:"));
    let back = world.issuer.sign_in(&url("web", &first), "alice");
    assert_eq!(back.parameter("state"), Some("pushed"));
    assert_eq!(world.exchange(back.parameter("code").unwrap(), &[]).0, 200);
    assert!(is_refused(&url("web", &first)));
    assert!(is_refused(&url("app", &push())));
    let (soon, late) = (push(), push());
    world.advance(59);
    assert_eq!(world.browser().get(&url("web", &soon)).status, 200);
    world.advance(1);
    assert!(is_refused(&url("web", &late)));
}

#[test]
fn a_request_that_would_be_refused_is_refused_when_it_is_pushed() {
    let world = World::new();
    let endpoint = world.issuer.pushed_authorization_request_endpoint();
    let error = |fields: &[(&str, &str)]| {
        let (status, body) = world.post(&endpoint, fields);
        (status, text(&body["error"]).to_owned())
    };
    let invalid = (400, "invalid_request".to_owned());
    assert_eq!(error(&[("response_type", "code"), ("redirect_uri", "https://evil.test/")]), invalid);
    assert_eq!(error(&[("redirect_uri", CALLBACK)]), invalid);
    assert_eq!(error(&[("response_type", "code"), ("redirect_uri", CALLBACK), ("request_uri", "x")]), invalid);
    let token = [("response_type", "token"), ("redirect_uri", CALLBACK)];
    assert_eq!(error(&token), (400, "unsupported_response_type".to_owned()));
    let another = [("response_type", "code"), ("redirect_uri", CALLBACK), ("client_id", "app")];
    assert_eq!(error(&another), (401, "invalid_client".to_owned()));
    assert_eq!(world.post_as(None, &endpoint, &[("response_type", "code")]).0, 401);
}

#[test]
fn an_issuer_may_demand_that_requests_are_pushed() {
    let world = World::new();
    world.issuer.demand_pushed_requests();
    let metadata: Value = serde_json::from_str(&world.issuer.metadata()).unwrap();
    assert_eq!(metadata["require_pushed_authorization_requests"], true);
    assert_eq!(world.sign_in(&[]).parameter("error"), Some("invalid_request"));
    let fields = [("response_type", "code"), ("redirect_uri", CALLBACK)];
    let body = world.post(&world.issuer.pushed_authorization_request_endpoint(), &fields).1;
    let query = form([("client_id", "web"), ("request_uri", text(&body["request_uri"]))]);
    let back = world.issuer.sign_in(&format!("{}?{query}", world.issuer.authorization_endpoint()), "alice");
    assert!(back.parameter("code").is_some());
}

#[test]
fn every_address_in_the_metadata_is_served() {
    let world = World::new();
    let metadata: Value = serde_json::from_str(&world.issuer.metadata()).unwrap();
    let addresses = metadata.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint"));
    let asked: Vec<u16> = addresses.map(|(_, url)| world.post(text(url), &[]).0).collect();
    assert_eq!(asked.len(), 7);
    assert!(asked.iter().all(|status| *status != 404 && *status != 405), "{asked:?}");
}

#[test]
#[should_panic(expected = "the browser sees an error page: The client is not registered.")]
fn a_shortcut_does_not_hide_an_error_page() {
    let world = World::new();
    let _ = world.sign_in(&[("client_id", "nobody")]);
}

#[test]
#[should_panic(expected = "not an address of the authorization endpoint of https://issuer.test")]
fn a_shortcut_is_for_the_issuers_own_address() {
    let world = World::new();
    let _ = world.issuer.sign_in("https://other.test/authorize?client_id=web", "alice");
}
