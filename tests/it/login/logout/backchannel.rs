//! Logout tokens: which are taken, and which are not (OpenID Connect Back-Channel Logout 1.0 s2.4 to s2.8).

use scopegate::testing::Fault;

use super::*;

/// Why a token is not taken: the problem, and the judge's reason.
#[track_caller]
fn refused(result: Result<LogoutToken, OAuthError>) -> (&'static str, Option<Reason>) {
    match result {
        Err(OAuthError::InvalidLogoutToken { problem, reason }) => (problem, reason),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_refused(world: &World, token: TestToken, why: &str) {
    let (problem, reason) = refused(world.tell(&token.mint()));
    assert!(problem.contains(why), "{problem}");
    assert_eq!(reason, None);
}

#[track_caller]
fn is_refused_by_the_judge(world: &World, token: TestToken, why: Reason) {
    assert_eq!(refused(world.tell(&token.mint())).1, Some(why));
}

#[test]
fn a_logout_token_names_the_session_and_the_subject_that_the_id_token_named() {
    let world = World::new();
    let login = world.log_in();
    world.advance(7);
    let told = world.tell(&world.logout_token().mint()).unwrap();
    let user = login.user().unwrap();
    assert_eq!(told.issuer().as_str(), ISSUER);
    assert_eq!((told.subject(), told.session_id()), (Some("alice"), user.session_id()));
    assert!(told.session_id().is_some());
    assert_eq!(told.issued_at(), NOW + 7);
    assert!(!format!("{told:?}").contains("alice"));
}

#[test]
fn it_may_name_either_alone_and_not_neither() {
    let world = World::new();
    let token = || world.logout_token().claim("sid", "session-1").subject("alice");
    let told = world.tell(&token().without("sub").mint()).unwrap();
    assert_eq!((told.subject(), told.session_id()), (None, Some("session-1")));
    let told = world.tell(&token().without("sid").mint()).unwrap();
    assert_eq!((told.subject(), told.session_id()), (Some("alice"), None));
    is_refused(&world, token().without("sub").without("sid"), "neither a subject nor a session");
}

#[test]
fn it_says_what_it_is_or_is_an_old_one_that_does_not() {
    let world = World::new();
    for typ in ["logout+jwt", "application/logout+jwt", "LOGOUT+JWT", "JWT"] {
        assert!(world.tell(&world.logout_token().typ(typ).mint()).is_ok(), "{typ}");
    }
    assert!(world.tell(&world.logout_token().without_header("typ").mint()).is_ok());
    for typ in ["at+jwt", "secevent+jwt", "token-introspection+jwt", ""] {
        is_refused_by_the_judge(&world, world.logout_token().typ(typ), Reason::WrongType);
    }
}

#[test]
fn one_that_is_replayed_is_refused() {
    let world = World::new();
    let token = world.logout_token().lifetime(seconds(3600)).mint();
    assert!(world.tell(&token).is_ok());
    assert!(refused(world.tell(&token)).0.contains("came before"));
    world.advance(300 + LEEWAY);
    assert!(refused(world.tell(&token)).0.contains("came before"), "it is remembered for as long as it is good");
    world.advance(1);
    assert!(refused(world.tell(&token)).0.contains("more than 5 min ago"));
    // A clock that is set back makes it young, and not new.
    world.clock.set_wall(NOW);
    assert!(refused(world.tell(&token)).0.contains("came before"));
}

#[test]
fn another_token_of_the_same_name_is_a_replay_too() {
    let world = World::new();
    let token = |subject: &str| world.logout_token().claim("jti", "logout-1").subject(subject).mint();
    assert!(world.tell(&token("alice")).is_ok());
    assert!(refused(world.tell(&token("bob"))).0.contains("came before"));
}

#[test]
fn one_that_was_refused_takes_no_name() {
    let world = World::new();
    let token = || world.logout_token().claim("jti", "logout-1");
    is_refused(&world, token().claim("nonce", "n"), "nonce");
    is_refused_by_the_judge(&world, token().signed_by_stranger(), Reason::BadSignature);
    assert!(world.tell(&token().mint()).is_ok());
}

#[test]
fn one_with_a_nonce_is_refused() {
    let world = World::new();
    for nonce in [json!("nonce-1"), json!(""), json!(null), json!(7)] {
        is_refused(&world, world.logout_token().claim("nonce", nonce), "nonce");
    }
}

#[test]
fn one_whose_events_do_not_say_so_is_refused() {
    let world = World::new();
    is_refused(&world, world.logout_token().without("events"), "another kind");
    for events in [
        json!({}),
        json!(null),
        json!(EVENT),
        json!([EVENT]),
        json!({ EVENT: null }),
        json!({ EVENT: true }),
        json!({ EVENT: "{}" }),
        json!({ EVENT: [] }),
        json!({ "http://schemas.openid.net/event/backchannel-logout/": {} }),
        json!({ "http://schemas.openid.net/secevent/risc/event-type/account-disabled": {} }),
        json!({ "a": { EVENT: {} } }),
    ] {
        is_refused(&world, world.logout_token().claim("events", &events), "another kind");
    }
    let more = json!({ "https://example.test/event": 1, EVENT: { "a": 1 } });
    assert!(world.tell(&world.logout_token().claim("events", more).mint()).is_ok());
}

#[test]
fn one_for_another_client_is_refused() {
    let world = World::new();
    is_refused_by_the_judge(&world, world.issuer.logout_token("another"), Reason::WrongAudience);
    is_refused_by_the_judge(&world, world.logout_token().without("aud"), Reason::MissingClaim);
    is_refused(&world, world.logout_token().audiences(["app", "another"]), "somebody else");
    assert!(world.tell(&world.logout_token().audiences(["app"]).mint()).is_ok());
    let both = World::with(|registration| registration.also_audience("another"));
    assert!(both.tell(&both.logout_token().audiences(["app", "another"]).mint()).is_ok());
}

#[test]
fn one_of_another_issuer_is_refused() {
    let world = World::new();
    let stranger = TestIssuer::new("https://other.example.test").clock(&world.clock);
    is_refused_by_the_judge(&world, stranger.logout_token("app"), Reason::UntrustedIssuer);
}

#[test]
fn one_with_alg_none_is_refused() {
    let world = World::new();
    is_refused_by_the_judge(&world, world.logout_token().unsigned(), Reason::AlgorithmRefused);
}

#[test]
fn one_by_a_strangers_key_is_refused() {
    let world = World::new();
    is_refused_by_the_judge(&world, world.logout_token().signed_by_stranger(), Reason::BadSignature);
    is_refused_by_the_judge(&world, world.logout_token().tampered(), Reason::BadSignature);
}

#[test]
fn an_id_token_is_no_logout_token() {
    let world = World::new();
    let login = world.log_in();
    let id_token = login.token().id_token().unwrap();
    assert!(refused(world.tell(id_token)).0.contains("nonce"));
    // One that was renewed has no nonce.
    let renewed = world.issuer.token().id_token().audience("app").without("nonce").claim("jti", "token-1");
    is_refused(&world, renewed, "another kind");
}

#[test]
fn a_logout_token_is_no_id_token() {
    let world = World::new();
    let log_in = || {
        let redirect = block_on(world.client.authorize_redirect(BACK)).unwrap();
        let back = world.issuer.sign_in(redirect.location(), "alice");
        block_on(world.client.callback(&callback(&back.url(), &[&cookie(&redirect)])))
    };
    assert!(log_in().is_ok());
    // The nonce is left in, so that nothing but its kind can give it away.
    world.issuer.next_id_token(|token| token.typ("logout+jwt"));
    world.issuer.next_id_token(|token| token.claim("events", json!({ EVENT: {} })));
    for _ in 0..2 {
        let error = log_in().unwrap_err();
        let is_told = |problem: &str| problem.contains("another kind");
        assert!(matches!(error.error(), OAuthError::InvalidIdToken { problem, .. } if is_told(problem)), "{error}");
    }
}

#[test]
fn one_that_is_too_old_is_refused() {
    let world = World::new();
    let token = |issued: i64| world.logout_token().claim("iat", issued).claim("exp", NOW + 3600).mint();
    let oldest = NOW - 300 - 30;
    assert!(world.tell(&token(oldest)).is_ok());
    assert!(refused(world.tell(&token(oldest - 1))).0.contains("more than 5 min ago"));
    assert!(world.tell(&token(NOW + 30)).is_ok());
    assert_eq!(refused(world.tell(&token(NOW + 31))).1, Some(Reason::NotYetValid));
    is_refused_by_the_judge(&world, world.logout_token().claim("exp", NOW - 30), Reason::Expired);
}

#[test]
fn one_that_lacks_what_every_one_has_is_refused() {
    let world = World::new();
    is_refused(&world, world.logout_token().without("exp"), "exp or iat");
    is_refused(&world, world.logout_token().without("iat"), "exp or iat");
    is_refused(&world, world.logout_token().without("jti"), "jti");
    is_refused_by_the_judge(&world, world.logout_token().without("iss"), Reason::MissingClaim);
}

#[test]
fn names_that_are_none_are_refused() {
    let world = World::new();
    let long = "a".repeat(256);
    for sid in [json!(7), json!(null), json!(""), json!(["a"]), json!(long)] {
        is_refused(&world, world.logout_token().claim("sid", sid), "sid");
    }
    for sub in [json!(null), json!(long)] {
        is_refused(&world, world.logout_token().claim("sub", sub).claim("sid", "a"), "sub");
    }
    for (name, value) in [("sub", json!("")), ("sub", json!(7)), ("jti", json!("")), ("jti", json!(7))] {
        is_refused_by_the_judge(&world, world.logout_token().claim(name, value), Reason::MalformedClaim);
    }
}

#[test]
fn it_comes_once_in_a_form() {
    let world = World::new();
    let post = |kind: Option<&'static str>, body: String| {
        let kind = kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
        block_on(world.client.logout_token(&HeaderMap::from_iter(kind), body.as_bytes()))
    };
    let token = || world.logout_token().mint();
    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
    for (kind, body, why) in [
        (None, format!("logout_token={}", token()), "not a form"),
        (Some("application/json"), format!("logout_token={}", token()), "not a form"),
        (Some("application/x-www-form-urlencoded-2"), format!("logout_token={}", token()), "not a form"),
        (FORM, String::new(), "no logout_token"),
        (FORM, "logout_token=".to_owned(), "no logout_token"),
        (FORM, format!("id_token={}", token()), "no logout_token"),
        (FORM, format!("logout_token={}&logout_token={}", token(), token()), "twice"),
        (FORM, format!("logout_token={}&a={}", token(), "a".repeat(32 * 1024)), "32 KiB"),
    ] {
        let (problem, reason) = refused(post(kind, body));
        assert!(problem.contains(why) && reason.is_none(), "{why}: {problem}");
    }
    assert!(
        post(Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"), format!("a=1&logout_token={}", token())).is_ok()
    );
    assert_eq!(refused(post(FORM, "logout_token=a.b".to_owned())).1, Some(Reason::Malformed));
}

#[test]
fn without_the_servers_keys_none_is_judged_and_the_same_may_come_again() {
    let world = World::new();
    let token = world.logout_token().mint();
    world.issuer.script(Fault::status(503));
    let error = world.tell(&token).unwrap_err();
    assert!(matches!(error, OAuthError::Unreachable(_)), "{error}");
    world.issuer.recover();
    world.advance(60);
    assert!(world.tell(&token).is_ok());
}

#[test]
fn a_registration_that_does_not_say_whose_they_are_takes_none() {
    let world = World::new();
    let endpoints = Registration::endpoints(
        world.issuer.authorization_endpoint(),
        world.issuer.token_endpoint(),
        ClientAuth::basic("app", "s3cret"),
    );
    let bare = Client::new("bare", endpoints.fetch(world.issuer.fetch()).clock(world.clock.clone())).unwrap();
    let body = format!("logout_token={}", world.logout_token().mint());
    let error = block_on(bare.logout_token(&form(), body.as_bytes())).unwrap_err();
    assert!(matches!(error, OAuthError::Unsupported { .. }), "{error}");
}
