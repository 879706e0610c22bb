//! What a logout does to the user's access tokens at a resource server, and what the server is answered.

use http::header::CACHE_CONTROL;
use scopegate::{
    Credentials, Denial, DenyListFull, Introspection, Issuer, Requirement, ScopePolicy, Validator, ValidatorBuilder,
};

use super::*;

const HOUR: Duration = seconds(3600);

impl World {
    fn api(&self, issuer: Issuer) -> Validator {
        self.api_with(issuer, |builder| builder)
    }

    fn api_with(&self, issuer: Issuer, settings: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder) -> Validator {
        let builder = Validator::builder(API).trust(issuer).fetch(self.issuer.fetch()).clock(self.clock.clone());
        settings(builder).build().unwrap()
    }

    /// A user's access token.
    fn access(&self, user: &str) -> TestToken {
        self.issuer.token().subject(user).lifetime(HOUR)
    }

    fn tell_api(&self, token: &str, api: &Validator) -> Response<Bytes> {
        let body = format!("logout_token={token}");
        block_on(self.client.backchannel_logout(&form(), body.as_bytes(), api, HOUR))
    }
}

fn validate(api: &Validator, token: &str) -> Result<(), Reason> {
    let nothing = Requirement::from(ScopePolicy::none());
    let result = block_on(api.validate(&Credentials::bearer(token), &nothing));
    result.map(drop).map_err(|refused| refused.reason())
}

/// From memory: what is accepted is at hand.
fn check(api: &Validator, token: &str) -> Result<(), Reason> {
    let nothing = Requirement::from(ScopePolicy::none());
    api.check(&Credentials::bearer(token), &nothing).map(drop).map_err(|refused| refused.reason())
}

const REVOKED: Result<(), Reason> = Err(Reason::Revoked);

#[test]
fn the_tokens_of_a_user_who_has_logged_out_are_refused_at_once_and_nobody_elses() {
    let world = World::new();
    world.log_in();
    let api = world.api(Issuer::discover(ISSUER));
    let (one, two) = (world.access("alice").mint(), world.access("alice").claim("sid", "another session").mint());
    let never_came = world.access("alice").mint();
    let bobs = world.access("bob").mint();
    for token in [&one, &two, &bobs] {
        assert_eq!((validate(&api, token), check(&api, token)), (Ok(()), Ok(())));
    }
    let answer = world.tell_api(&world.logout_token().mint(), &api);
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
    assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(answer.extensions().get::<LogoutToken>().unwrap().subject(), Some("alice"));
    for token in [&one, &two, &never_came] {
        assert_eq!((check(&api, token), validate(&api, token)), (REVOKED, REVOKED));
    }
    assert_eq!(check(&api, &bobs), Ok(()));
}

#[test]
fn tokens_that_are_issued_later_are_accepted() {
    let world = World::new();
    let api = world.api(Issuer::discover(ISSUER));
    world.advance(10);
    assert_eq!(world.tell_api(&world.logout_token().subject("alice").mint(), &api).status(), 200);
    let issued = |seconds: i64| world.access("alice").claim("iat", NOW + 10 + seconds).mint();
    assert_eq!(validate(&api, &issued(-1)), REVOKED);
    assert_eq!(validate(&api, &issued(0)), REVOKED);
    assert_eq!(validate(&api, &issued(1)), Ok(()));
}

#[test]
fn tokens_that_are_asked_about_are_refused_from_memory_too() {
    let world = World::new();
    let asked = Introspection::at(world.issuer.introspection_endpoint(), ClientAuth::basic("api", "api"));
    let api = world.api(Issuer::introspect(ISSUER, asked));
    let (alices, bobs) = (world.access("alice").mint_opaque(), world.access("bob").mint_opaque());
    for token in [&alices, &bobs] {
        assert_eq!((validate(&api, token), check(&api, token)), (Ok(()), Ok(())));
    }
    world.advance(1);
    assert_eq!(world.tell_api(&world.logout_token().subject("alice").mint(), &api).status(), 200);
    assert_eq!(check(&api, &alices), REVOKED);
    assert_eq!(check(&api, &bobs), Ok(()));
}

#[test]
fn where_access_tokens_name_their_session_it_may_be_that_one_alone() {
    let world = World::new();
    let login = world.log_in();
    let sid = login.user().unwrap().session_id().unwrap();
    let api = world.api(Issuer::discover(ISSUER));
    let of = |session: &str| world.access("alice").claim("sid", session).mint();
    let (ended, another) = (of(sid), of("another session"));
    let told = world.tell(&world.logout_token().mint()).unwrap();
    told.deny_session_only(&api, HOUR).unwrap();
    assert_eq!((validate(&api, &ended), validate(&api, &another)), (REVOKED, Ok(())));
    // Also what is issued in it later: a session that has ended stays so.
    world.advance(60);
    assert_eq!((validate(&api, &of(sid)), validate(&api, &of("another session"))), (REVOKED, Ok(())));
    told.deny(&api, HOUR).unwrap();
    assert_eq!(check(&api, &another), REVOKED);
}

#[test]
fn where_no_session_is_named_all_of_the_user_have_ended() {
    let world = World::new();
    let api = world.api(Issuer::discover(ISSUER));
    let token = world.access("alice").claim("sid", "session-1").mint();
    let told = world.tell(&world.logout_token().subject("alice").without("sid").mint()).unwrap();
    told.deny_session_only(&api, HOUR).unwrap();
    assert_eq!(validate(&api, &token), REVOKED);
}

#[test]
fn where_no_subject_is_named_the_session_has_ended_alone() {
    let world = World::new();
    let api = world.api(Issuer::discover(ISSUER));
    let told = world.tell(&world.logout_token().without("sub").claim("sid", "session-1").mint()).unwrap();
    told.deny(&api, HOUR).unwrap();
    assert_eq!(api.denials(), 1);
    assert_eq!(validate(&api, &world.access("alice").claim("sid", "session-1").mint()), REVOKED);
    assert_eq!(validate(&api, &world.access("alice").mint()), Ok(()));
}

#[test]
fn it_lasts_for_as_long_as_is_said() {
    let world = World::new();
    let api = world.api(Issuer::discover(ISSUER));
    let token = world.access("alice").lifetime(seconds(7200)).mint();
    assert_eq!(world.tell_api(&world.logout_token().subject("alice").mint(), &api).status(), 200);
    world.advance(3599);
    assert_eq!(validate(&api, &token), REVOKED);
    world.advance(1);
    assert_eq!(validate(&api, &token), Ok(()));
}

#[test]
fn what_is_refused_denies_nobody_and_the_answer_says_why_and_is_not_stored() {
    let world = World::new();
    let api = world.api(Issuer::discover(ISSUER));
    let token = world.access("alice").mint();
    for (bad, why) in [
        (world.logout_token().subject("alice").claim("nonce", "a").mint(), "nonce"),
        (world.logout_token().subject("alice").signed_by_stranger().mint(), "good JWT"),
        ("eyJhbGciOiJub25lIn0".to_owned(), "good JWT"),
    ] {
        let answer = world.tell_api(&bad, &api);
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(body["error"], "invalid_request");
        assert!(body["error_description"].as_str().unwrap().contains(why), "{body}");
        assert_eq!(answer.extensions().get::<OAuthError>().unwrap().label(), "invalid_logout_token");
        assert!(answer.extensions().get::<LogoutToken>().is_none());
    }
    assert_eq!((api.denials(), validate(&api, &token)), (0, Ok(())));
}

#[test]
fn a_list_that_is_full_fails_the_logout_and_the_server_may_tell_again() {
    let world = World::new();
    let api = world.api_with(Issuer::discover(ISSUER), |builder| builder.deny_at_most(1));
    api.deny(&Denial::jwt_id(ISSUER, "token-1"), seconds(60)).unwrap();
    let logout = world.logout_token().subject("alice").without("sid").mint();
    let answer = world.tell_api(&logout, &api);
    assert_eq!(answer.status(), 400);
    let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(body["error"], "server_error");
    let Some(OAuthError::Store(source)) = answer.extensions().get() else { panic!("{answer:?}") };
    assert!(source.is::<DenyListFull>());
    let token = world.access("alice").mint();
    assert_eq!(validate(&api, &token), Ok(()));

    world.advance(60);
    assert_eq!(world.tell_api(&logout, &api).status(), 200);
    assert_eq!(validate(&api, &token), REVOKED);
    let again = world.tell_api(&logout, &api);
    assert_eq!(again.status(), 400, "it was taken");
}

#[test]
fn a_logout_token_is_no_access_token() {
    let world = World::new();
    let api = world.api(Issuer::discover(ISSUER));
    let as_access = |typ: &str| world.logout_token().typ(typ).audience(API).claim("client_id", "app").mint();
    assert_eq!(validate(&api, &as_access("logout+jwt")), Err(Reason::WrongType));
    assert_eq!(validate(&api, &as_access("JWT")), Err(Reason::WrongType));
}
