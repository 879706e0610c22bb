//! Refreshing, userinfo, revocation, and what a test spoils.

use http::header::WWW_AUTHENTICATE;
use scopegate::testing::{Endpoint, Fault, TestUser};
use scopegate::{Credentials, Issuer, KeySet, Requirement, ScopePolicy, Validator};
use serde_json::json;

use super::*;

#[test]
fn a_refresh_token_is_replaced_and_the_old_one_ends_the_family() {
    let world = World::new();
    let first = world.tokens(&[]);
    world.advance(10);
    let (status, second) = world.refresh(text(&first["refresh_token"]), &[]);
    assert_eq!(status, 200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let id = part(&second["id_token"], 1);
    assert_eq!(
        (&id["sub"], id["auth_time"].as_i64(), id["iat"].as_i64()),
        (&"alice".into(), Some(NOW), Some(NOW + 10))
    );
    assert!(id.get("nonce").is_none());

    let third = world.refresh(text(&second["refresh_token"]), &[]).1;
    assert_eq!(world.userinfo(text(&third["access_token"])).status(), 200);
    assert_eq!(world.refresh(text(&second["refresh_token"]), &[]).1["error"], "invalid_grant");
    assert_eq!(
        world.refresh(text(&third["refresh_token"]), &[]).1["error"],
        "invalid_grant",
        "the thief's, or the victim's"
    );
    assert_eq!(world.userinfo(text(&third["access_token"])).status(), 401);
}

#[test]
fn of_many_who_come_with_one_refresh_token_a_single_one_is_served() {
    let world = World::new();
    let token = world.tokens(&[])["refresh_token"].clone();
    let served = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| world.refresh(text(&token), &[]).0)).collect();
        tries.into_iter().map(|one| one.join().unwrap()).filter(|status| *status == 200).count()
    });
    assert_eq!(served, 1);
}

#[test]
fn a_refusal_for_another_reason_does_not_use_up_a_refresh_token() {
    let world = World::new();
    let token = world.tokens(&[])["refresh_token"].clone();
    for more in [("scope", "things:write"), ("resource", "https://api.test")] {
        assert_eq!(world.refresh(text(&token), &[more]).0, 400);
    }
    assert_eq!(world.refresh(text(&token), &[]).0, 200);
}

#[test]
fn a_refresh_token_stays_where_the_issuer_keeps_it() {
    let world = World::new();
    world.issuer.keep_refresh_tokens();
    let token = world.tokens(&[])["refresh_token"].clone();
    for _ in 0..2 {
        let (status, body) = world.refresh(text(&token), &[]);
        assert_eq!((status, body.get("refresh_token")), (200, None));
    }
}

#[test]
fn a_refresh_may_narrow_the_scope_and_the_resource_and_never_widens_them() {
    let world = World::new();
    world.issuer.keep_refresh_tokens();
    let resources = [("resource", "https://one.test"), ("resource", "https://two.test")];
    let body = world.tokens(&resources);
    assert_eq!(part(&body["access_token"], 1)["aud"], json!(["https://one.test", "https://two.test"]));
    let token = text(&body["refresh_token"]);
    let narrow = world.refresh(token, &[("scope", "things:read"), ("resource", "https://two.test")]).1;
    assert_eq!((&narrow["scope"], narrow.get("id_token")), (&json!("things:read"), None));
    assert_eq!(part(&narrow["access_token"], 1)["aud"], "https://two.test");
    assert_eq!(world.refresh(token, &[("scope", "things:write")]).1["error"], "invalid_scope");
    assert_eq!(world.refresh(token, &[("resource", "https://three.test")]).1["error"], "invalid_target");
    assert_eq!(world.refresh(token, &[]).1["scope"], "openid profile things:read", "narrowing was for once");
}

#[test]
fn a_validator_accepts_the_access_token_for_as_long_as_the_issuer_says() {
    let world = World::new();
    world.issuer.access_token_lifetime(Duration::from_secs(20));
    let body = world.tokens(&[]);
    assert_eq!(body["expires_in"], 20);
    let trusted = Issuer::keys("https://issuer.test", KeySet::from_json(world.issuer.jwks().as_bytes()).unwrap());
    let validator = Validator::builder("https://api.test").trust(trusted).clock(world.clock.clone()).build().unwrap();
    let reads = Requirement::from(ScopePolicy::all(["things:read"]).unwrap());
    let judge = |token: &Value| validator.check(&Credentials::bearer(text(token)), &reads).is_ok();
    assert!(judge(&body["access_token"]) && !judge(&body["id_token"]));
    world.advance(50);
    assert!(!judge(&body["access_token"]));
}

#[test]
fn userinfo_tells_what_the_scope_and_the_claims_parameter_allow() {
    let world = World::new();
    world.issuer.add_user(TestUser::new("alice").name("Alice Adams").email("alice@example.com").claim("role", "admin"));
    let told = |more: &[(&str, &str)]| -> Value {
        let response = world.userinfo(text(&world.tokens(more)["access_token"]));
        serde_json::from_slice(response.body()).unwrap()
    };
    let profile = json!({ "sub": "alice", "name": "Alice Adams", "preferred_username": "alice", "role": "admin" });
    assert_eq!(told(&[]), profile);
    let email = json!({ "sub": "alice", "email": "alice@example.com", "email_verified": true, "role": "admin" });
    assert_eq!(told(&[("scope", "openid email")]), email);
    let by_name = r#"{"userinfo":{"email":{"essential":true}},"id_token":{"acr":{"values":["high"]},"name":null}}"#;
    let claims = [("scope", "openid"), ("claims", by_name)];
    assert_eq!(told(&claims), json!({ "sub": "alice", "email": "alice@example.com", "role": "admin" }));
    let id = part(&world.tokens(&claims)["id_token"], 1);
    assert_eq!((&id["acr"], &id["name"], id.get("email")), (&json!("high"), &json!("Alice Adams"), None));
    let id = part(&world.tokens(&[("acr_values", "gold silver")])["id_token"], 1);
    assert_eq!(id["acr"], "gold");
}

#[test]
fn userinfo_is_for_good_access_tokens_with_openid() {
    let world = World::new();
    let body = world.tokens(&[]);
    let challenge = |token: &str| {
        let response = world.userinfo(token);
        let header = response.headers().get(WWW_AUTHENTICATE).map(|it| it.to_str().unwrap().to_owned());
        (response.status().as_u16(), header.unwrap_or_default())
    };
    assert_eq!(challenge(text(&body["access_token"])).0, 200);
    let invalid = (401, "Bearer error=\"invalid_token\"".to_owned());
    assert_eq!(challenge(text(&body["id_token"])), invalid);
    assert_eq!(challenge("nonsense"), invalid);
    assert_eq!(challenge(&world.issuer.token().scope("openid").signed_by_stranger().mint()), invalid);
    let (status, header) = challenge(text(&world.tokens(&[("scope", "things:read")])["access_token"]));
    assert!(status == 403 && header.contains("insufficient_scope"));
    let nobody = world.ask(Request::get(world.issuer.userinfo_endpoint()).body(Bytes::new()).unwrap());
    assert_eq!((nobody.status().as_u16(), &nobody.headers()[WWW_AUTHENTICATE]), (401, &"Bearer".parse().unwrap()));
    let posted =
        world.post_as(None, &world.issuer.userinfo_endpoint(), &[("access_token", text(&body["access_token"]))]);
    assert_eq!((posted.0, &posted.1["sub"]), (200, &json!("alice")));
    world.advance(300);
    assert_eq!(challenge(text(&body["access_token"])), invalid);
}

#[test]
fn userinfo_may_be_signed_and_may_be_another() {
    let world = World::new();
    let token = world.tokens(&[])["access_token"].clone();
    world.issuer.next_userinfo(json!({ "sub": "mallory" }));
    assert_eq!(world.userinfo(text(&token)).body(), r#"{"sub":"mallory"}"#);
    world.issuer.sign_userinfo();
    let response = world.userinfo(text(&token));
    assert_eq!(response.headers()[CONTENT_TYPE], "application/jwt");
    let claims = part(&String::from_utf8(response.body().to_vec()).unwrap().into(), 1);
    assert_eq!((&claims["sub"], &claims["iss"]), (&json!("alice"), &json!("https://issuer.test")));
    assert_eq!((&claims["aud"], &claims["name"]), (&json!("web"), &json!("alice")));
}

#[test]
fn the_next_id_token_is_spoiled_and_the_one_after_it_is_good() {
    let world = World::new();
    world.issuer.next_id_token(|token| token.audience("another").claim("nonce", "stale"));
    world.issuer.next_id_token(|token| token.unsigned());
    let spoiled = world.tokens(&[])["id_token"].clone();
    assert_eq!((&part(&spoiled, 1)["aud"], &part(&spoiled, 1)["nonce"]), (&json!("another"), &json!("stale")));
    assert_eq!(part(&world.tokens(&[])["id_token"], 0)["alg"], "none");
    let good = world.tokens(&[])["id_token"].clone();
    assert_eq!((&part(&good, 0)["alg"], &part(&good, 1)["aud"]), (&json!("ES256"), &json!("web")));
    world.issuer.next_id_token(|token| token.expired());
    world.issuer.recover();
    assert_eq!(part(&world.tokens(&[])["id_token"], 1)["exp"], NOW + 300);
}

#[test]
fn revocation_ends_tokens_of_the_client_and_knows_no_others() {
    let world = World::new();
    let revoke = |token: &str| world.post(&world.issuer.revocation_endpoint(), &[("token", token)]).0;
    let body = world.tokens(&[]);
    let (access, refresh) = (text(&body["access_token"]), text(&body["refresh_token"]));
    assert_eq!(revoke("never-given"), 200);
    for token in [access, refresh] {
        let app = [("client_id", "app"), ("token", token)];
        assert_eq!(world.post_as(None, &world.issuer.revocation_endpoint(), &app).0, 200);
    }
    assert_eq!(world.userinfo(access).status(), 200, "another client ends nothing");

    assert_eq!(revoke(access), 200);
    assert_eq!(world.userinfo(access).status(), 401);
    let (status, second) = world.refresh(refresh, &[]);
    assert_eq!(status, 200);
    assert_eq!(revoke(text(&second["refresh_token"])), 200);
    assert_eq!(world.userinfo(text(&second["access_token"])).status(), 401);
    assert_eq!(world.refresh(text(&second["refresh_token"]), &[]).1["error"], "invalid_grant");
    let nobody = world.post_as(None, &world.issuer.revocation_endpoint(), &[("token", access)]);
    assert_eq!((nobody.0, &nobody.1["error"]), (401, &json!("invalid_client")));
    let introspected = world.post(&world.issuer.introspection_endpoint(), &[("token", access)]).1;
    assert_eq!(introspected, json!({ "active": false }));
}

#[test]
fn every_endpoint_can_be_spoiled_and_is_counted() {
    let world = World::new();
    let endpoints = [
        (Endpoint::Authorization, world.issuer.authorization_endpoint()),
        (Endpoint::PushedRequest, world.issuer.pushed_authorization_request_endpoint()),
        (Endpoint::Userinfo, world.issuer.userinfo_endpoint()),
        (Endpoint::Revocation, world.issuer.revocation_endpoint()),
        (Endpoint::EndSession, world.issuer.end_session_endpoint()),
    ];
    for (endpoint, url) in &endpoints {
        world.issuer.script(Fault::status(503).at(*endpoint).times(1));
        let asked: Vec<u16> = endpoints.iter().map(|(_, url)| world.post(url, &[]).0).collect();
        assert_eq!(asked.iter().filter(|status| **status == 503).count(), 1, "{url}");
        assert_ne!(world.post(url, &[]).0, 503);
    }
    let requests = world.issuer.requests();
    let new = [requests.authorization, requests.pushed, requests.userinfo, requests.revocation, requests.end_session];
    assert_eq!((new, requests.other), ([6; 5], 0));
}
