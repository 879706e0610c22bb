//! `require_oauth`, `optional`, `current_token` and `acquire`, and what a client is answered.

use std::collections::HashMap;

use axum::Router;
use axum::routing::get;
use futures_executor::block_on;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use scopegate::testing::TestToken;
use scopegate::{AccessToken, Credentials, Reason, Requirement, ScopePolicy};
use serde_json::Value;

use super::{B, World, all, guarded, judge, send, whose};

// require_oauth: the list algebra (6.3).

#[test]
fn the_list_algebra_has_the_same_truth_table() {
    let world = World::new();
    let tokens = [Some("a"), Some("b"), Some("a b"), Some("c"), None, Some("A"), Some("a:read")];
    let any = |list: &[&str]| ScopePolicy::any(list.iter().copied()).unwrap();
    for (authlib, ours, accepted) in [
        (r#""a""#, all("a"), "a|a b"),
        (r#""a b""#, all("a b"), "a b"),
        (r#"["a","b"]"#, any(&["a", "b"]), "a|b|a b"),
        (r#"["a b"]"#, any(&["a b"]), "a b"),
        (r#"["a b","c"]"#, any(&["a b", "c"]), "a b|c"),
    ] {
        for scope in tokens {
            let token = match scope {
                Some(scope) => world.issuer.token().scope(scope),
                None => world.issuer.token().without("scope"),
            };
            let expected = scope.is_some_and(|scope| accepted.split('|').any(|one| one == scope));
            let judged = judge(&world.validator, &token.mint(), &ours);
            assert_eq!(judged.is_ok(), expected, "{authlib} with {scope:?}");
        }
    }
}

#[test]
fn no_scope_at_all_is_written_out_and_an_empty_list_opens_nothing() {
    let world = World::new();
    for token in [world.issuer.token().without("scope"), world.token()] {
        assert!(judge(&world.validator, &token.mint(), &ScopePolicy::none()).is_ok());
    }
    // `[]`, `None` and `""` let any valid token in there.
    assert!(ScopePolicy::all([]).is_err() && ScopePolicy::any([]).is_err());
    assert!(ScopePolicy::all([""]).is_err() && ScopePolicy::any([""]).is_err());
}

#[test]
fn a_scope_that_is_a_list_counts_where_the_settings_say_so() {
    let listed = |world: &World| world.issuer.token().claim("scope", ["a", "b"]);
    let world = World::with(|issuer| issuer.scope_claim("scope"), |builder| builder);
    assert!(world.judge(listed(&world)).is_ok() && world.judge(world.token()).is_ok());
    let strict = World::new();
    assert_eq!(strict.judge(listed(&strict)).unwrap_err(), Reason::InsufficientScope);
}

// optional, current_token, acquire (6.1, 6.2).

#[test]
fn optional_lets_nobody_pass_and_refuses_who_is_bad() {
    let world = World::new();
    let optional = world.validator.require(all("a")).optional();
    let router = || Router::new().route("/", get(whose).route_layer(optional.clone()));
    let sent = |token: TestToken| send(router(), &[&format!("Bearer {}", token.mint())]);
    let nobody = send(router(), &[]);
    assert_eq!((nobody.status, nobody.body.as_str()), (200, "nobody"));
    let alice = sent(world.token().subject("alice"));
    assert_eq!((alice.status, alice.body.as_str()), (200, "alice"));
    assert_eq!(sent(world.token().expired()).status, 401);
    assert_eq!(sent(world.token().scope("b")).status, 403);
    // Authlib answers 401: another scheme is other credentials there. Here it is none, as the route has said that it may be.
    assert_eq!(send(router(), &["Basic dTpw"]).body, "nobody");
    // What says that it is a bearer token and is none does not pass for nobody.
    assert_eq!(send(router(), &["Bearer"]).status, 400);
}

#[test]
fn current_token_is_an_argument_and_an_unguarded_handler_that_takes_one_is_a_fault_of_the_program() {
    let world = World::new();
    let token = format!("Bearer {}", world.token().subject("alice").claim("tenant", "t1").mint());
    async fn tenant(token: AccessToken) -> String {
        token.claims::<HashMap<String, Value>>().unwrap()["tenant"].as_str().unwrap().to_owned()
    }
    let guard = world.validator.require(all("a"));
    assert_eq!(send(Router::new().route("/", get(tenant).route_layer(guard)), &[&token]).body, "t1");
    // Outside a protected view `current_token` is falsy there, and nobody notices.
    assert_eq!(send(Router::new().route("/", get(tenant)), &[&token]).status, 500);
}

#[test]
fn acquire_is_a_call_and_errors_of_the_body_are_its_own() {
    let world = World::new();
    let demand = Requirement::from(all("a"));
    let acquire = |token: TestToken| -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {}", token.mint()).parse().unwrap());
        let judged = block_on(world.validator.validate(&Credentials::from_headers(&headers), &demand));
        let token = judged.map_err(|rejection| rejection.status().as_u16())?;
        Ok(token.subject().unwrap().to_owned())
    };
    assert_eq!(acquire(world.token().subject("alice")), Ok("alice".to_owned()));
    assert_eq!(acquire(world.token().scope("b")), Err(403));
    assert_eq!(acquire(world.token().tampered()), Err(401));
}

// Processing of the request, and answers (6.1, 6.2).

#[test]
fn the_scheme_is_of_any_case_and_a_request_has_one_token() {
    let world = World::new();
    let token = world.token().mint();
    let sent = |fields: &[&str]| send(guarded(&world.validator, all("a")), fields);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(sent(&[&format!("{scheme} {token}")]).status, 200, "{scheme}");
    }
    assert_eq!(sent(&[&format!("Bearer   {token}")]).status, 200);
    for (authlib, fields) in [
        ("200", vec![format!("Bearer\t{token}")]),
        ("401 invalid_token: the token is `TOKEN extra`", vec![format!("Bearer {token} extra")]),
        (
            "401 invalid_token: one token `TOKEN, Bearer TOKEN`",
            vec![format!("Bearer {token}"), format!("Bearer {token}")],
        ),
        ("401 unsupported_token_type", vec!["Bearer".to_owned()]),
        ("401 unsupported_token_type", vec!["Bearer ".to_owned()]),
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let seen = sent(&fields);
        assert_eq!((seen.status, seen.error().as_deref()), (400, Some("invalid_request")), "Authlib: {authlib}");
    }
}

#[test]
fn who_presents_nothing_gets_no_error_code() {
    let world = World::with(|issuer| issuer, |builder| builder.realm("api"));
    for fields in [&[][..], &[""], &["Basic dTpw"]] {
        // There it is `bearer realm="api", error="missing_authorization"`, or `unsupported_token_type`: no codes of RFC 6750.
        let seen = send(guarded(&world.validator, all("a")), fields);
        assert_eq!((seen.status, seen.error()), (401, None), "{fields:?}");
        assert_eq!(seen.challenge(), r#"Bearer realm="api", scope="a""#);
    }
}

#[test]
fn a_bad_token_is_invalid_token_with_realm_and_without_a_hint() {
    let world = World::with(
        |issuer| issuer,
        |builder| {
            builder.realm("api").resource_metadata("https://api.example.test/.well-known/oauth-protected-resource")
        },
    );
    let mut bodies = Vec::new();
    for token in
        [world.token().expired(), world.token().tampered(), world.token().audience(B), world.token().without("jti")]
    {
        let seen = send(guarded(&world.validator, all("a")), &[&format!("Bearer {}", token.mint())]);
        assert_eq!((seen.status, seen.error().as_deref()), (401, Some("invalid_token")));
        assert_eq!(seen.headers[CONTENT_TYPE], "application/json");
        assert_eq!(seen.headers[CACHE_CONTROL], "no-store");
        assert!(seen.challenge().starts_with(r#"Bearer realm="api", error="invalid_token", error_description=""#));
        assert!(seen.challenge().contains("resource_metadata="), "an attribute beyond RFC 6750");
        bodies.push(seen.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "the same sentence, whatever was wrong");
}

#[test]
fn a_403_carries_its_challenge_and_the_scope_to_ask_for() {
    let world = World::new();
    let seen = send(guarded(&world.validator, all("a b")), &[&format!("Bearer {}", world.token().mint())]);
    assert_eq!((seen.status, seen.error().as_deref()), (403, Some("insufficient_scope")));
    // Authlib leaves the header out; RFC 6750 s3.1 has it.
    assert!(seen.challenge().contains(r#"error="insufficient_scope""#) && seen.challenge().contains(r#"scope="a b""#));
}
