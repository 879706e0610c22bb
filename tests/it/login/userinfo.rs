//! What the userinfo endpoint says (OpenID Connect Core 1.0 s5.3), and what is made of it.

use futures_executor::block_on;
use scopegate::client::{Client, Login, OAuthError, Registration, TokenSet, UserInfo};
use scopegate::testing::{Endpoint, Fault, TestClient, TestIssuer, TestUser};
use scopegate::{Algorithm, ClientAuth};
use serde_json::{Value, json};

use super::world::*;

fn logged_in(world: &World) -> (Client, Login) {
    let client = world.client();
    let login = world.login(&client, BACK).unwrap();
    (client, login)
}

fn asked(client: &Client, login: &Login) -> Result<UserInfo, OAuthError> {
    block_on(client.userinfo(login.token()))
}

fn label_of(result: &Result<UserInfo, OAuthError>) -> &'static str {
    result.as_ref().map_or_else(OAuthError::label, |_| "userinfo")
}

#[test]
fn userinfo_tells_of_the_user_who_has_logged_in() {
    #[derive(serde::Deserialize)]
    struct Claims {
        name: String,
        role: String,
    }
    let world = World::new();
    world.issuer.add_user(TestUser::new("alice").name("Alice Adams").claim("role", "admin"));
    let (client, login) = logged_in(&world);
    let info = asked(&client, &login).unwrap();
    let claims: Claims = info.claims().unwrap();
    assert_eq!((info.subject(), &*claims.name, &*claims.role), ("alice", "Alice Adams", "admin"));
    assert_eq!(serde_json::from_str::<Value>(info.json()).unwrap()["sub"], "alice");
    let sent = &world.way.to(&world.issuer.userinfo_endpoint())[0];
    assert_eq!(sent.authorization.as_deref(), Some(&*format!("Bearer {}", login.token().access_token())));
    assert_eq!((sent.method.as_str(), sent.form.len()), ("GET", 0));
}

#[test]
fn userinfo_of_another_user_is_refused() {
    let world = World::new();
    let (client, login) = logged_in(&world);
    let others = [
        json!({"sub": "mallory", "name": "alice"}),
        json!({"sub": "Alice"}),
        json!({"sub": "alice "}),
        json!({"sub": ""}),
        json!({"sub": null}),
        json!({"sub": 7}),
        json!({"sub": ["alice"]}),
        json!({"name": "alice"}),
        json!({}),
    ];
    for other in others {
        world.issuer.next_userinfo(other.clone());
        assert_eq!(label_of(&asked(&client, &login)), "invalid_userinfo", "{other}");
    }
    world.issuer.next_userinfo(json!({"sub": "alice", "name": "mallory"}));
    assert_eq!(label_of(&asked(&client, &login)), "userinfo");
}

#[test]
fn an_answer_that_is_no_json_object_is_no_userinfo() {
    let world = World::new();
    let (client, login) = logged_in(&world);
    let good = r#"{"sub":"alice"}"#;
    let table = [
        ("text/html", good, "invalid_userinfo"),
        ("text/plain", good, "invalid_userinfo"),
        ("application/jsonp", good, "invalid_userinfo"),
        ("", good, "invalid_userinfo"),
        ("application/json", "<html>", "invalid_userinfo"),
        ("application/json", "", "invalid_userinfo"),
        ("application/json", "[]", "invalid_userinfo"),
        ("application/json", r#"{"sub":"alice"}{}"#, "invalid_userinfo"),
        ("application/json", r#"{"sub":"mallory","sub":"alice"}"#, "invalid_userinfo"),
        ("application/json", r#"{"sub":"alice","address":{"a":1,"a":2}}"#, "invalid_userinfo"),
        ("application/jwt", good, "invalid_userinfo"),
        ("application/jwt", "", "invalid_userinfo"),
        ("application/json", good, "userinfo"),
        ("Application/JSON; charset=utf-8", good, "userinfo"),
    ];
    for (kind, body, expected) in table {
        world.issuer.script(Fault::body(body).with_header("content-type", kind).at(Endpoint::Userinfo).times(1));
        assert_eq!(label_of(&asked(&client, &login)), expected, "{kind}: {body}");
    }
}

#[test]
fn an_answer_of_another_status_is_no_userinfo() {
    let world = World::new();
    let (client, login) = logged_in(&world);
    let table = [
        (201, "invalid_userinfo"),
        (204, "invalid_userinfo"),
        (302, "invalid_userinfo"),
        (401, "refused"),
        (403, "refused"),
        (404, "invalid_userinfo"),
        (429, "unreachable"),
        (500, "unreachable"),
        (503, "unreachable"),
    ];
    for (status, expected) in table {
        let fault =
            Fault::status(status).with_body(r#"{"sub":"alice"}"#).with_header("content-type", "application/json");
        world.issuer.script(fault.at(Endpoint::Userinfo).times(1));
        assert_eq!(label_of(&asked(&client, &login)), expected, "{status}");
    }
    for (fault, expected) in [(Fault::endless(), "unreachable"), (Fault::disconnect(), "unreachable")] {
        world.issuer.script(fault.at(Endpoint::Userinfo).times(1));
        assert_eq!(label_of(&asked(&client, &login)), expected);
    }
    // A token that has been revoked.
    world.issuer.revoke(login.token().access_token());
    let result = asked(&client, &login);
    assert_eq!(result.unwrap_err().server_error(), Some("invalid_token"));
}

#[test]
fn signed_userinfo_is_verified_and_needs_no_end() {
    let world = World::new();
    world.issuer.sign_userinfo();
    let (client, login) = logged_in(&world);
    assert_eq!(asked(&client, &login).unwrap().subject(), "alice");
    // By a process that was started since, and has no keys yet.
    let restarted = world.client();
    assert_eq!(asked(&restarted, &login).unwrap().subject(), "alice");
    // By a key that came later.
    world.issuer.rotate();
    world.clock.advance(std::time::Duration::from_secs(60));
    let result = asked(&client, &login);
    // The access token is signed with the old key, of which the server itself knows nothing any more.
    assert_eq!(label_of(&result), "refused");
    let (_, fresh) = logged_in(&world);
    assert_eq!(asked(&client, &fresh).unwrap().subject(), "alice");
}

#[test]
fn signed_userinfo_of_a_stranger_or_for_another_is_refused() {
    let world = World::new();
    let (client, login) = logged_in(&world);
    let signed = |token: scopegate::testing::TestToken| {
        let fault = Fault::body(token.mint()).with_header("content-type", "application/jwt");
        world.issuer.script(fault.at(Endpoint::Userinfo).times(1));
        label_of(&asked(&client, &login))
    };
    let good = || world.issuer.token().typ("JWT").subject("alice").audience("app").without("exp");
    assert_eq!(signed(good()), "userinfo");
    assert_eq!(signed(good().without_header("typ")), "userinfo");
    assert_eq!(signed(good().signed_by_stranger()), "invalid_userinfo");
    assert_eq!(signed(good().unsigned()), "invalid_userinfo");
    assert_eq!(signed(good().signed_with_secret(Algorithm::Hs256, SECRET.as_bytes())), "invalid_userinfo");
    assert_eq!(signed(good().audience("another")), "invalid_userinfo");
    assert_eq!(signed(good().without("aud")), "invalid_userinfo");
    assert_eq!(signed(good().claim("iss", "https://evil.example.com")), "invalid_userinfo");
    assert_eq!(signed(good().without("iss")), "invalid_userinfo");
    assert_eq!(signed(good().subject("mallory")), "invalid_userinfo");
    assert_eq!(signed(good().without("sub")), "invalid_userinfo");
    assert_eq!(signed(good().typ("at+jwt")), "invalid_userinfo");
    assert_eq!(signed(good().claim("exp", NOW - 30)), "invalid_userinfo");
    assert_eq!(signed(good().tampered()), "invalid_userinfo");
    // Keys of another issuer, under the same name.
    let evil = TestIssuer::new("https://evil.example.com").clock(&world.clock);
    assert_eq!(signed(evil.forge(good())), "invalid_userinfo");
}

#[test]
fn a_token_of_another_kind_is_no_signed_userinfo() {
    let world = World::new();
    let (client, login) = logged_in(&world);
    for (typ, claims, expected) in [
        ("logout+jwt", json!({}), "invalid_userinfo"),
        ("JWT", json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}), "invalid_userinfo"),
        ("JWT", json!({"token_use": "access"}), "invalid_userinfo"),
        ("JWT", json!({"role": "admin"}), "userinfo"),
    ] {
        let mut token = world.issuer.token().typ(typ).subject("alice").audience("app");
        for (name, value) in claims.as_object().unwrap() {
            token = token.claim(name, value);
        }
        let fault = Fault::body(token.mint()).with_header("content-type", "application/jwt");
        world.issuer.script(fault.at(Endpoint::Userinfo).times(1));
        assert_eq!(label_of(&asked(&client, &login)), expected, "{typ} {claims}");
    }
}

/// The tokens of a login as a program writes them that does not say which client they were issued to.
fn anybodys(login: &Login) -> TokenSet {
    let mut stored = serde_json::to_value(login.token()).unwrap();
    assert!(stored.as_object_mut().unwrap().remove("issued_to").is_some());
    serde_json::from_value(stored).unwrap()
}

#[test]
fn signed_userinfo_cannot_be_verified_without_keys() {
    let world = World::new();
    world.issuer.sign_userinfo();
    let issuer = &world.issuer;
    let auth = ClientAuth::basic("app", SECRET);
    let keyless = Registration::endpoints(issuer.authorization_endpoint(), issuer.token_endpoint(), auth);
    let client = world.client_of(world.on_the_way(keyless).userinfo_url(issuer.userinfo_endpoint()));
    let (_, login) = logged_in(&world);
    assert_eq!(label_of(&block_on(client.userinfo(&anybodys(&login)))), "invalid_userinfo");
    world.issuer.script(Fault::status(500).at(Endpoint::Jwks));
    // Where the keys cannot be had, it is not the answer's fault.
    assert_eq!(label_of(&asked(&world.client(), &login)), "unreachable");
}

#[test]
fn a_server_without_such_an_endpoint_is_not_asked() {
    let world = World::new();
    let (_, login) = logged_in(&world);
    let issuer = &world.issuer;
    let auth = ClientAuth::basic("app", SECRET);
    let bare = Registration::endpoints(issuer.authorization_endpoint(), issuer.token_endpoint(), auth);
    let client = world.client_of(world.on_the_way(bare));
    assert_eq!(label_of(&block_on(client.userinfo(&anybodys(&login)))), "unsupported");
    assert_eq!(issuer.requests().userinfo, 0);
}

#[test]
fn a_client_of_another_server_learns_nothing_from_a_user_of_the_same_name() {
    let world = World::new();
    let (_, login) = logged_in(&world);
    let other = World::of(TestIssuer::new("https://other.example.com"), &world.clock);
    other.issuer.register_client(TestClient::confidential("app", SECRET).redirect_uri(BACK));
    assert_eq!(label_of(&asked(&other.client(), &login)), "invalid_request");
    assert_eq!(other.issuer.requests().userinfo, 0, "the token is not even sent there");
    // Where nobody knows whose it is, the other server is asked, and knows nothing of it.
    let result = block_on(other.client().userinfo(&anybodys(&login)));
    assert_eq!(result.unwrap_err().server_error(), Some("invalid_token"));
}
