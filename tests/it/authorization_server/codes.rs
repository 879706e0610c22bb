//! Codes and what comes of them.

use super::*;

#[test]
fn a_code_brings_an_access_token_an_id_token_and_a_refresh_token() {
    let world = World::new();
    let back = world.sign_in(&[]);
    assert_eq!((back.parameter("state"), back.parameter("iss")), (Some("state-1"), Some("https://issuer.test")));
    assert_eq!(back.response_mode(), "query");
    let (status, body) = world.exchange(back.parameter("code").unwrap(), &[]);
    assert_eq!((status, text(&body["token_type"]), body["expires_in"].as_i64()), (200, "Bearer", Some(300)));
    assert_eq!(text(&body["scope"]), "openid profile things:read");

    assert_eq!(part(&body["access_token"], 0)["typ"], "at+jwt");
    let access = part(&body["access_token"], 1);
    assert_eq!((&access["sub"], &access["client_id"]), (&"alice".into(), &"web".into()));
    assert_eq!((&access["aud"], &access["scope"]), (&"https://api.test".into(), &body["scope"]));

    assert_eq!(part(&body["id_token"], 0)["typ"], "JWT");
    let id = part(&body["id_token"], 1);
    assert_eq!((&id["iss"], &id["aud"], &id["sub"]), (&"https://issuer.test".into(), &"web".into(), &"alice".into()));
    assert_eq!((&id["nonce"], &id["acr"], &id["name"]), (&"nonce-1".into(), &"0".into(), &"alice".into()));
    assert_eq!(
        (id["iat"].as_i64(), id["auth_time"].as_i64(), id["exp"].as_i64()),
        (Some(NOW), Some(NOW), Some(NOW + 300))
    );
    for name in ["sid", "acr", "auth_time"] {
        assert_eq!(id[name], access[name], "{name}");
    }
    assert!(id.get("azp").is_none() && id.get("client_id").is_none() && id.get("email").is_none());
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text(&body["access_token"]).as_bytes());
    assert_eq!(text(&id["at_hash"]), URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
}

#[test]
fn without_openid_there_is_no_id_token() {
    let world = World::new();
    let body = world.tokens(&[("scope", "things:read")]);
    assert!(body.get("id_token").is_none() && body.get("refresh_token").is_some());
    let without = world.tokens(&[("scope", "")]);
    assert!(without.get("scope").is_none() && part(&without["access_token"], 1).get("scope").is_none());
}

#[test]
fn a_code_that_comes_again_ends_all_that_came_of_it() {
    let world = World::new();
    let code = world.code(&[]);
    let body = world.exchange(&code, &[]).1;
    assert_eq!(world.userinfo(text(&body["access_token"])).status(), 200);
    let (status, again) = world.exchange(&code, &[]);
    assert_eq!((status, text(&again["error"])), (400, "invalid_grant"));
    assert_eq!(world.userinfo(text(&body["access_token"])).status(), 401);
    assert_eq!(text(&world.refresh(text(&body["refresh_token"]), &[]).1["error"]), "invalid_grant");
}

#[test]
fn a_code_is_for_its_client_its_address_and_a_minute() {
    let world = World::new();
    let refused = |code: &str, more: &[(&str, &str)]| world.exchange(code, more).1["error"] == "invalid_grant";
    let code = world.code(&[]);
    let app =
        [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK), ("client_id", "app")];
    assert_eq!(world.post_as(None, &world.issuer.token_endpoint(), &app).1["error"], "invalid_grant");
    assert_eq!(world.exchange(&code, &[]).0, 200, "another client's try does not spoil it");

    assert!(refused(&world.code(&[]), &[("redirect_uri", "https://web.test/other")]));
    assert!(refused(&world.code(&[]), &[("redirect_uri", "")]));
    assert!(refused("never-given", &[]));
    let (soon, late) = (world.code(&[]), world.code(&[]));
    world.advance(59);
    assert_eq!(world.exchange(&soon, &[]).0, 200);
    world.advance(1);
    assert!(refused(&late, &[]));
}

#[test]
fn a_verifier_is_demanded_where_there_is_a_challenge_and_nowhere_else() {
    let world = World::new();
    let with = |verifier: &str| world.exchange(&world.code(&PKCE), &[("code_verifier", verifier)]);
    assert_eq!(with(VERIFIER).0, 200);
    let other = VERIFIER.replace('d', "e");
    for wrong in ["", &*other, CHALLENGE, "short"] {
        assert_eq!(with(wrong).1["error"], "invalid_grant", "{wrong:?}");
    }
    // RFC 7636 s4.1: a verifier that is too short to be unguessable does not count, whatever its challenge.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"short");
    let weak = world.code(&[("code_challenge", &*URL_SAFE_NO_PAD.encode(digest)), PKCE[1]]);
    assert_eq!(world.exchange(&weak, &[("code_verifier", "short")]).1["error"], "invalid_grant");
    let downgraded = world.exchange(&world.code(&[]), &[("code_verifier", VERIFIER)]);
    assert_eq!(downgraded.1["error"], "invalid_grant");
}

#[test]
fn pkce_is_s256_and_may_be_demanded() {
    let world = World::new();
    let error = |more: &[(&str, &str)]| world.sign_in(more).parameter("error").map(str::to_owned);
    let invalid = Some("invalid_request".to_owned());
    assert_eq!(error(&[("code_challenge", CHALLENGE), ("code_challenge_method", "plain")]), invalid);
    assert_eq!(error(&[("code_challenge", CHALLENGE)]), invalid);
    assert_eq!(error(&[("code_challenge", "short"), ("code_challenge_method", "S256")]), invalid);
    assert_eq!(error(&[]), None);
    world.issuer.demand_pkce();
    assert_eq!(error(&[]), invalid);
    assert_eq!(error(&PKCE), None);
}

#[test]
fn a_public_client_needs_no_secret_and_a_confidential_one_does() {
    let world = World::new();
    let app = [("client_id", "app"), ("redirect_uri", "https://app.test/callback")];
    let code = world.code(&[app, PKCE].concat());
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", "https://app.test/callback"),
        ("client_id", "app"),
        ("code_verifier", VERIFIER),
    ];
    let endpoint = world.issuer.token_endpoint();
    assert_eq!(world.post_as(None, &endpoint, &fields).0, 200);
    let code = world.code(&[]);
    let fields =
        [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK), ("client_id", "web")];
    assert_eq!(world.post_as(None, &endpoint, &fields).0, 401);
    assert_eq!(world.post_as(None, &endpoint, &[&fields[..], &[("client_secret", "wrong")]].concat()).0, 401);
    assert_eq!(world.post_as(None, &endpoint, &[&fields[..], &[("client_secret", "s3cret")]].concat()).0, 200);
}

#[test]
fn the_secret_of_a_registered_client_can_be_changed() {
    let world = World::new();
    let ask = || world.token(&[("grant_type", "client_credentials")]).0;
    assert_eq!(ask(), 200);
    world.issuer.client_secret("web", "another");
    assert_eq!(ask(), 401);
    world.issuer.register_client(TestClient::confidential("web", "s3cret"));
    assert_eq!(ask(), 200);
}

#[test]
fn a_client_with_a_key_proves_itself_by_an_assertion_that_counts_once() {
    let world = World::new();
    let keys = TestIssuer::new("signer");
    let set = scopegate::KeySet::from_json(keys.jwks().as_bytes()).unwrap();
    world.issuer.register_client(TestClient::private_key_jwt("signer", set));
    let assertion = |audience: &str| {
        let token = keys.token().typ("JWT").subject("signer").audience(audience);
        token.claim("iat", NOW).claim("exp", NOW + 60)
    };
    let ask = |assertion: &str| {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let fields =
            [("grant_type", "client_credentials"), ("client_assertion_type", kind), ("client_assertion", assertion)];
        world.post_as(None, &world.issuer.token_endpoint(), &fields).0
    };
    let good = assertion("https://issuer.test").mint();
    assert_eq!((ask(&good), ask(&good)), (200, 401));
    assert_eq!(ask(&assertion(&world.issuer.token_endpoint()).mint()), 200);
    assert_eq!(ask(&assertion("https://other.test").mint()), 401);
    assert_eq!(ask(&assertion("https://issuer.test").signed_by_stranger().mint()), 401);
    assert_eq!(ask(&assertion("https://issuer.test").claim("iss", "web").mint()), 401);
    assert_eq!(ask(&assertion("https://issuer.test").claim("exp", NOW).mint()), 401);
}
