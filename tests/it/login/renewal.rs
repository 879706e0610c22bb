//! A user's tokens are renewed once, whoever asks, and what comes is believed only as far as it is good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_executor::block_on;
use scopegate::client::{Client, ClientCredentialsRequest, OAuthError, Registration, Stage, TokenSet};
use scopegate::testing::{TestClock, TestIssuer, TestToken};
use scopegate::{ClientAuth, FetchError};

use super::token_server::{Answer, Calling, NOW, TokenServer, begin, first_set, stored, tokens};

fn ok(body: impl Into<String>) -> Answer {
    Ok((200, body.into()))
}

#[test]
fn a_renewal_sends_the_refresh_token_and_keeps_what_the_answer_leaves_out() {
    let server = TokenServer::new(|_| ok(tokens("a1", None, 3600)));
    let new = block_on(server.client(&TestClock::at(NOW)).renew(&first_set(0))).unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token");
    assert_eq!(asked[0].names(), ["grant_type", "refresh_token", "resource", "resource"]);
    assert_eq!(asked[0].member("grant_type"), Some("refresh_token"));
    assert_eq!(asked[0].member("refresh_token"), Some("r0"));
    assert!(asked[0].members.contains(&("resource".to_owned(), "https://other.test/".to_owned())));
    assert_eq!(asked[0].authorization.as_deref(), Some("Basic YXBwOnMzY3JldA=="));

    assert_eq!(new.access_token(), "a1");
    assert_eq!(new.expires_at(), Some(NOW + 3600));
    assert_eq!((new.refresh_token(), new.scope()), (Some("r0"), Some("things:read")));
    assert_eq!((new.subject(), new.id_token()), (Some("alice"), Some("h.e30.s")));
    // The next one asks for the same APIs.
    assert!(serde_json::to_string(&new).unwrap().contains("https://other.test/"));
}

#[test]
fn what_the_answer_says_stands_against_what_was_before() {
    let body = r#"{"access_token":"a1","token_type":"bearer","refresh_token":"r1","scope":"less"}"#;
    let server = TokenServer::new(move |_| ok(body));
    let new = block_on(server.client(&TestClock::at(NOW)).renew(&first_set(0))).unwrap();
    assert_eq!((new.refresh_token(), new.scope(), new.expires_at()), (Some("r1"), Some("less"), None));
}

#[test]
fn without_a_refresh_token_nothing_is_asked() {
    let server = TokenServer::new(|_| ok(tokens("a1", None, 3600)));
    let token = stored(r#"{"access_token":"a0","token_type":"Bearer","expires_at":1}"#);
    let error = block_on(server.client(&TestClock::at(NOW)).renew(&token)).unwrap_err();
    assert!(matches!(error, OAuthError::TokenExpired), "{error}");
    assert!(server.asked().is_empty());
}

/// The attack that is none: two tabs of one user must not look like a thief to the server.
#[test]
fn a_race_of_50_callers_at_a_rotating_server_is_one_request_and_one_answer_for_all() {
    let server = TokenServer::rotating(3600);
    let clock = TestClock::at(NOW);
    let client = server.client(&clock);
    server.hold();
    let mut callers: Vec<Calling<TokenSet>> = Vec::new();
    for _ in 0..50 {
        // Each comes with a set of its own from the session, by a handle of its own.
        let client = client.clone();
        callers.push(Box::pin(async move { client.renew(&first_set(0)).await }));
    }
    for caller in &mut callers {
        begin(caller);
    }
    server.release();
    let sets: Vec<TokenSet> = callers.into_iter().map(|caller| block_on(caller).unwrap()).collect();
    assert!(sets.iter().all(|set| set.access_token() == "a1" && set.refresh_token() == Some("r1")));
    assert_eq!(server.asked().len(), 1);

    // Those who come late with the old set get the same.
    clock.advance(Duration::from_secs(59));
    assert_eq!(block_on(client.renew(&first_set(0))).unwrap(), sets[0]);
    assert_eq!(server.asked().len(), 1);
    // And the new one is good for the next renewal.
    assert_eq!(block_on(client.renew(&sets[0])).unwrap().access_token(), "a2");

    // The twin: a refresh token that comes after that is used twice, and the server sees it.
    clock.advance(Duration::from_secs(1));
    let error = block_on(client.renew(&first_set(0))).unwrap_err();
    assert_eq!(error.server_error(), Some("invalid_grant"));
}

#[test]
fn callers_on_many_threads_share_one_request_too() {
    let server = TokenServer::rotating(3600);
    let client = server.client(&TestClock::at(NOW));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(block_on(client.renew(&first_set(0))).unwrap().access_token(), "a1"));
        }
    });
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn users_do_not_wait_for_each_other() {
    let server = TokenServer::new(|asked| ok(tokens(asked.member("refresh_token").unwrap(), None, 3600)));
    let client = server.client(&TestClock::at(NOW));
    let of = |refresh| stored(&format!(r#"{{"access_token":"a","token_type":"Bearer","refresh_token":"{refresh}"}}"#));
    server.hold();
    let (one, other) = (of("one"), of("other"));
    let (mut one, mut other) = (Box::pin(client.renew(&one)), Box::pin(client.renew(&other)));
    begin(&mut one);
    begin(&mut other);
    server.release();
    assert_eq!(block_on(one).unwrap().access_token(), "one");
    assert_eq!(block_on(other).unwrap().access_token(), "other");
}

#[test]
fn a_caller_who_goes_away_cancels_nothing() {
    let server = TokenServer::rotating(3600);
    let client = server.client(&TestClock::at(NOW));
    server.hold();
    let token = first_set(0);
    let mut gone = Box::pin(client.renew(&token));
    begin(&mut gone);
    drop(gone);
    server.release();
    // The answer is there for the next one: at a rotating server a second request would have been the end.
    assert_eq!(block_on(client.renew(&token)).unwrap().access_token(), "a1");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_failure_is_shared_by_those_who_waited_and_not_remembered() {
    let calls = AtomicUsize::new(0);
    let server = TokenServer::new(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Err(FetchError::other("the cable is out")),
        1 => Ok((503, String::new())),
        2 => Ok((401, r#"{"error":"invalid_client"}"#.to_owned())),
        _ => ok(tokens("a1", None, 3600)),
    });
    let client = server.client(&TestClock::at(NOW));
    let token = first_set(0);
    server.hold();
    let (mut one, mut other) = (Box::pin(client.renew(&token)), Box::pin(client.renew(&token)));
    begin(&mut one);
    begin(&mut other);
    server.release();
    assert_eq!(block_on(one).unwrap_err().label(), "unreachable");
    assert_eq!(block_on(other).unwrap_err().label(), "unreachable");
    assert_eq!(server.asked().len(), 1);
    assert_eq!(block_on(client.renew(&token)).unwrap_err().label(), "unreachable");
    assert_eq!(block_on(client.renew(&token)).unwrap_err().server_error(), Some("invalid_client"));
    assert_eq!(block_on(client.renew(&token)).unwrap().access_token(), "a1");
}

#[test]
fn invalid_grant_is_told_apart_and_stands_for_60_s() {
    let body = r#"{"error":"invalid_grant","error_description":"it was \r\n revoked"}"#;
    let server = TokenServer::new(|_| Ok((400, body.to_owned())));
    let clock = TestClock::at(NOW);
    let client = server.client(&clock);
    for _ in 0..3 {
        let error = block_on(client.renew(&first_set(0))).unwrap_err();
        let OAuthError::Refused { stage: Stage::Token, error, description, .. } = error else { panic!("{error}") };
        assert_eq!((&*error, description.as_deref()), ("invalid_grant", Some("it was ?? revoked")));
    }
    assert_eq!(server.asked().len(), 1);
    clock.advance(Duration::from_secs(60));
    block_on(client.renew(&first_set(0))).unwrap_err();
    assert_eq!(server.asked().len(), 2);
}

/// A server with keys, which rotates, and whose answer to a refresh token holds the ID token that `of` makes.
struct WithIdToken {
    server: Arc<TokenServer>,
    client: Client,
    before: TokenSet,
}

impl WithIdToken {
    fn new(
        clock: &TestClock,
        old_id_token: impl FnOnce(TestToken) -> TestToken,
        of: impl Fn(TestToken) -> TestToken + Send + 'static,
    ) -> Self {
        let issuer = TestIssuer::new("https://id.test").clock(clock);
        let id_token = |issuer: &TestIssuer| {
            let token = issuer.token().header("typ", "JWT").without("client_id").audience("app").subject("alice");
            token.claim("auth_time", NOW - 100)
        };
        let old = old_id_token(id_token(&issuer)).mint();
        let (fetch, jwks_uri) = (issuer.fetch(), issuer.jwks_uri());
        let server =
            TokenServer::beside(Some(fetch), move |asked| match (asked.path.as_str(), asked.member("refresh_token")) {
                ("/token", Some("r0")) => {
                    let jwt = of(id_token(&issuer)).mint();
                    ok(format!(
                        r#"{{"access_token":"a1","token_type":"Bearer","refresh_token":"r1","id_token":"{jwt}"}}"#
                    ))
                }
                ("/token", Some("r1")) => ok(tokens("a2", Some("r2"), 3600)),
                _ => ok(""),
            });
        let registration = server.registration(clock).openid("https://id.test", jwks_uri);
        let before = format!(
            r#"{{"access_token":"a0","token_type":"Bearer","refresh_token":"r0","subject":"alice","id_token":"{old}"}}"#
        );
        let client = Client::new("example", registration).unwrap();
        Self { server, client, before: stored(&before) }
    }

    fn renew(&self) -> Result<TokenSet, OAuthError> {
        block_on(self.client.renew(&self.before))
    }
}

fn with_id_token(
    clock: &TestClock,
    old_id_token: impl FnOnce(TestToken) -> TestToken,
    of: impl Fn(TestToken) -> TestToken + Send + 'static,
) -> Result<TokenSet, OAuthError> {
    WithIdToken::new(clock, old_id_token, of).renew()
}

#[test]
fn a_new_id_token_of_the_same_user_and_login_takes_the_place_of_the_old_one() {
    let clock = TestClock::at(NOW);
    let new = with_id_token(&clock, |old| old, |new| new.claim("name", "Alice")).unwrap();
    assert_eq!((new.access_token(), new.subject()), ("a1", Some("alice")));
    let payload = new.id_token().unwrap().split('.').nth(1).unwrap();
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    assert!(String::from_utf8(payload).unwrap().contains(r#""name":"Alice""#));
    // No nonce is demanded, and that of the login may stand in it.
    with_id_token(&clock, |old| old.claim("nonce", "n"), |new| new).unwrap();
    with_id_token(&clock, |old| old.claim("nonce", "n"), |new| new.claim("nonce", "n")).unwrap();
    with_id_token(&clock, |old| old.without("auth_time"), |new| new).unwrap();
}

type Change = fn(TestToken) -> TestToken;

#[test]
fn a_refresh_answer_with_an_id_token_of_another_user_is_refused_and_its_tokens_are_revoked() {
    let rows: [(&str, Change); 7] = [
        ("it is about another user than before (sub)", |token| token.subject("mallory")),
        ("it is about another user than before (sub)", |token| token.subject("mallory").signed_by_stranger()),
        ("it is about another user than before (sub)", |token| token.subject("mallory").expired()),
        ("it is made out to another client (aud)", |token| token.audience("other")),
        ("it is made out to another client (aud)", |token| token.audiences(["other", "another"])),
        ("it is of another issuer than before (iss)", |token| token.claim("iss", "https://evil.test")),
        ("it is about another login than before (nonce)", |token| token.claim("nonce", "other")),
    ];
    for (expected, change) in rows {
        let clock = TestClock::at(NOW);
        let world = WithIdToken::new(&clock, |old| old.claim("nonce", "n"), change);
        for _ in 0..2 {
            let OAuthError::InvalidIdToken { problem, .. } = world.renew().unwrap_err() else { panic!("{expected}") };
            assert_eq!(problem, expected);
            clock.advance(Duration::from_secs(59));
        }
        let asked = world.server.asked();
        let shown: Vec<_> = asked.iter().map(|asked| (asked.path.as_str(), asked.member("token"))).collect();
        let expected = [("/token", None), ("/revoke", Some("r1")), ("/revoke", Some("a1"))];
        assert_eq!(shown, expected, "the old refresh token is not sent again");
    }
}

/// The old refresh token has been used up by then: to use it again would end the session.
#[test]
fn a_renewed_id_token_that_is_not_good_is_left_out_and_the_tokens_are_kept() {
    let rows: [(&str, Change); 9] = [
        ("a key that is not known", TestToken::signed_by_stranger),
        ("a clock that is late", TestToken::expired),
        ("a clock that is early", |token| token.claim("iat", NOW + 3600).claim("nbf", NOW + 3600)),
        ("another time of login, as Cognito has it", |token| token.claim("auth_time", NOW - 99)),
        ("somebody else's too", |token| token.audiences(["app", "other"]).claim("azp", "app")),
        ("another party", |token| token.claim("azp", "other")),
        ("another access token", |token| token.claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")),
        ("no iat", |token| token.without("iat")),
        ("no sub", |token| token.without("sub")),
    ];
    for (row, change) in rows {
        let world = WithIdToken::new(&TestClock::at(NOW), |old| old.claim("nonce", "n"), change);
        let new = world.renew().unwrap_or_else(|error| panic!("{row}: {error}"));
        assert_eq!((new.access_token(), new.refresh_token()), ("a1", Some("r1")), "{row}");
        assert_eq!((new.id_token(), new.subject()), (world.before.id_token(), Some("alice")), "{row}");
        let next = block_on(world.client.renew(&new)).unwrap();
        assert_eq!((next.access_token(), next.id_token()), ("a2", world.before.id_token()), "{row}");
        assert_eq!(world.server.asked().len(), 2, "{row}");
    }
}

#[test]
fn an_id_token_that_cannot_be_verified_is_left_out() {
    let body = r#"{"access_token":"a1","token_type":"Bearer","id_token":"e30.e30.e30"}"#;
    let server = TokenServer::new(move |_| ok(body));
    let new = block_on(server.client(&TestClock::at(NOW)).renew(&first_set(0))).unwrap();
    assert_eq!((new.access_token(), new.id_token(), new.subject()), ("a1", Some("h.e30.s"), Some("alice")));

    // The same where the keys are out of reach: the refresh token has been used up, and the tokens are good.
    let issuer = TestIssuer::new("https://id.test");
    let jwt = issuer.token().audience("app").subject("alice").mint();
    let (fetch, clock) = (TestIssuer::new("https://elsewhere.test").fetch(), TestClock::at(NOW));
    let server = TokenServer::beside(Some(fetch), move |_| {
        ok(format!(r#"{{"access_token":"a1","token_type":"Bearer","id_token":"{jwt}"}}"#))
    });
    let registration = server.registration(&clock).openid("https://id.test", issuer.jwks_uri());
    let client = Client::new("example", registration).unwrap();
    let new = block_on(client.renew(&first_set(0))).unwrap();
    assert_eq!((new.access_token(), new.id_token()), ("a1", Some("h.e30.s")));
}

/// The strict twin of `row`: each differs in what its name says.
#[test]
fn an_answer_that_is_malformed_or_oversized_is_refused() {
    let long = format!(r#"{{"access_token":"a1","token_type":"Bearer","x":"{}"}}"#, "x".repeat(300 * 1024));
    let rows: [(&str, &str); 34] = [
        ("", "invalid_answer"),
        ("null", "invalid_answer"),
        ("[]", "invalid_answer"),
        ("\"a\"", "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer"} {}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer""#, "invalid_answer"),
        (r#"{"token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"a1"}"#, "invalid_answer"),
        (r#"{"access_token":null,"token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"","token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":7,"token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":["a1"],"token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"a1\r\nx: y","token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"a1\n","token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"a 1","token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"\u00e9","token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":""}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"mac"}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"DPoP"}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":["Bearer"]}"#, "invalid_answer"),
        (r#"{"access_token":"a1","access_token":"a2","token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"a1","access\u005ftoken":"a2","token_type":"Bearer"}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","token_type":"mac"}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","x":{"y":1,"y":2}}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","expires_in":-1}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","expires_in":"+5"}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","expires_in":"soon"}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","expires_in":true}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","expires_in":1.5}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","expires_in":99999999999999999999}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","refresh_token":7}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","scope":["a",7]}"#, "invalid_answer"),
        (r#"{"access_token":"a1","token_type":"Bearer","id_token":{}}"#, "invalid_answer"),
        (&long, "unreachable"),
    ];
    for (body, label) in rows {
        let answer = body.to_owned();
        let server = TokenServer::new(move |_| ok(answer.clone()));
        let clock = TestClock::at(NOW);
        let client = server.client(&clock);
        let shown = body.get(..80).unwrap_or(body);
        for _ in 0..2 {
            assert_eq!(block_on(client.renew(&first_set(0))).unwrap_err().label(), label, "{shown}");
            clock.advance(Duration::from_secs(59));
        }
        // The server has answered: the old refresh token may be used up.
        assert_eq!(server.asked().len(), if label == "invalid_answer" { 1 } else { 2 }, "{shown}");
    }
}

#[test]
fn a_lifetime_is_read_in_each_form_that_servers_write_it_in() {
    let rows: [(&str, Option<i64>); 8] = [
        ("3600", Some(NOW + 3600)),
        ("\"3600\"", Some(NOW + 3600)),
        ("3600.0", Some(NOW + 3600)),
        ("0", Some(NOW)),
        ("null", None),
        ("18446744073709551615", Some(i64::MAX / 1000)),
        ("\"0060\"", Some(NOW + 60)),
        ("1", Some(NOW + 1)),
    ];
    for (life, end) in rows {
        let body = format!(r#"{{"access_token":"a1","token_type":"BEARER","expires_in":{life}}}"#);
        let server = TokenServer::new(move |_| ok(body.clone()));
        let new = block_on(server.client(&TestClock::at(NOW)).renew(&first_set(0))).unwrap();
        assert_eq!(new.expires_at(), end, "{life}");
    }
}

#[test]
fn an_id_token_that_comes_with_a_renewal_names_nobody_where_the_login_had_none() {
    let clock = TestClock::at(NOW);
    let world = WithIdToken::new(&clock, |old| old, |new| new);
    let nameless = stored(r#"{"access_token":"a0","token_type":"Bearer","refresh_token":"r0"}"#);
    let new = block_on(world.client.renew(&nameless)).unwrap();
    assert_eq!((new.access_token(), new.subject(), new.id_token()), ("a1", None, None));
    // The twin, of a login that had one.
    let new = with_id_token(&clock, |old| old, |new| new).unwrap();
    assert_eq!(new.subject(), Some("alice"));
    assert!(new.id_token().is_some());
}

#[test]
fn a_parameter_of_the_request_stands_against_that_of_the_registration() {
    let server = TokenServer::new(|_| ok(tokens("own", None, 60)));
    let registration = server.registration(&TestClock::at(NOW));
    let registration = registration.access_token_param("audience", "usual").access_token_param("tenant", "one");
    let client = Client::new("example", registration).unwrap();
    let request = || ClientCredentialsRequest::scope("jobs:run").param("audience", "this");
    block_on(client.client_credentials(request())).unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].names(), ["grant_type", "scope", "audience", "tenant"]);
    assert_eq!((asked[0].member("audience"), asked[0].member("tenant")), (Some("this"), Some("one")));
    let twice = block_on(client.client_credentials(request().param("audience", "that"))).unwrap_err();
    assert_eq!(twice.label(), "invalid_request");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_program_gets_a_token_of_its_own_without_a_refresh_token() {
    let body =
        r#"{"access_token":"own","token_type":"Bearer","expires_in":60,"refresh_token":"r","id_token":"e30.e30.e30"}"#;
    let server = TokenServer::new(move |_| ok(body));
    let client = server.client(&TestClock::at(NOW));
    let token = block_on(client.client_credentials("jobs:run")).unwrap();
    assert_eq!((token.access_token(), token.scope()), ("own", Some("jobs:run")));
    assert_eq!((token.refresh_token(), token.id_token(), token.subject()), (None, None, None));
    let request = ClientCredentialsRequest::scope("").resource("https://api.test/").param("audience", "api");
    block_on(client.client_credentials(request)).unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].names(), ["grant_type", "scope"]);
    assert_eq!(asked[0].member("grant_type"), Some("client_credentials"));
    assert_eq!(asked[1].names(), ["grant_type", "resource", "audience"]);

    for ours in ["client_id", "scope", "grant_type", "client_secret"] {
        let request = ClientCredentialsRequest::scope("").param(ours, "x");
        assert_eq!(block_on(client.client_credentials(request)).unwrap_err().label(), "invalid_request", "{ours}");
    }
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_revocation_takes_back_the_refresh_token_and_then_the_access_token() {
    let server = TokenServer::new(|_| ok(""));
    block_on(server.client(&TestClock::at(NOW)).revoke(&first_set(0))).unwrap();
    let asked = server.asked();
    let shown: Vec<_> = asked.iter().map(|asked| (asked.member("token"), asked.member("token_type_hint"))).collect();
    assert_eq!(shown, [(Some("r0"), Some("refresh_token")), (Some("a0"), Some("access_token"))]);
    assert!(asked.iter().all(|asked| asked.path == "/revoke" && asked.authorization.is_some()));
}

#[test]
fn a_server_may_refuse_to_revoke_access_tokens_and_nothing_else() {
    let refuse = |error: &'static str, kind: &'static str| {
        TokenServer::new(move |asked| match asked.member("token_type_hint") {
            Some(hint) if hint == kind => Ok((400, format!(r#"{{"error":"{error}"}}"#))),
            _ => ok(""),
        })
    };
    let clock = TestClock::at(NOW);
    let rows = [
        ("unsupported_token_type", "access_token", None),
        ("invalid_token", "access_token", None),
        ("invalid_token", "refresh_token", Some("invalid_token")),
        ("invalid_request", "access_token", Some("invalid_request")),
        ("unsupported_token_type", "refresh_token", Some("unsupported_token_type")),
        ("invalid_client", "refresh_token", Some("invalid_client")),
    ];
    for (error, kind, expected) in rows {
        let server = refuse(error, kind);
        let outcome = block_on(server.client(&clock).revoke(&first_set(0)));
        assert_eq!(outcome.as_ref().err().and_then(OAuthError::server_error), expected, "{error} {kind}");
        assert_eq!(server.asked().len(), 2, "both are tried");
    }
    for status in [200, 202, 204] {
        let server = TokenServer::new(move |_| Ok((status, String::new())));
        block_on(server.client(&clock).revoke(&first_set(0))).unwrap();
    }
    let busy = TokenServer::new(|_| Ok((503, String::new())));
    assert_eq!(block_on(busy.client(&clock).revoke(&first_set(0))).unwrap_err().label(), "unreachable");
    let registration =
        Registration::endpoints("https://id.test/authorize", "https://id.test/token", ClientAuth::public("app"));
    let client = Client::new("example", registration.fetch(busy)).unwrap();
    assert_eq!(block_on(client.revoke(&first_set(0))).unwrap_err().label(), "unsupported");
}

#[test]
fn a_logout_with_the_old_set_revokes_what_it_was_renewed_to_as_well() {
    let server = TokenServer::new(|asked| match asked.path.as_str() {
        "/token" => ok(tokens("a1", Some("r1"), 3600)),
        _ => ok(""),
    });
    let client = server.client(&TestClock::at(NOW));
    block_on(client.renew(&first_set(0))).unwrap();
    block_on(client.revoke(&first_set(0))).unwrap();
    let revoked: Vec<_> =
        server.asked().iter().skip(1).map(|asked| asked.member("token").unwrap().to_owned()).collect();
    assert_eq!(revoked, ["r1", "r0", "a1", "a0"]);
    // Nobody gets it from memory after that, and nobody asks.
    for token in [first_set(0), stored(r#"{"access_token":"a1","token_type":"Bearer","refresh_token":"r1"}"#)] {
        let resources = r#","resources":["https://api.test/","https://other.test/"]}"#;
        let token = serde_json::to_string(&token).unwrap();
        let token = if token.contains("resources") { token } else { token.replace('}', resources) };
        assert_eq!(block_on(client.renew(&stored(&token))).unwrap_err().label(), "token_expired");
    }
    assert_eq!(server.asked().len(), 5);
}

/// Tokens `a1` and `r1`; the revocation endpoint answers with these, in turn, and then as it should.
fn revoking(answers: impl IntoIterator<Item = Answer>) -> Arc<TokenServer> {
    let mut answers: std::collections::VecDeque<_> = answers.into_iter().collect();
    TokenServer::new(move |asked| match asked.path.as_str() {
        "/token" => ok(tokens("a1", Some("r1"), 3600)),
        _ => answers.pop_front().unwrap_or_else(|| ok("")),
    })
}

fn revoked(server: &TokenServer) -> Vec<String> {
    server.asked().iter().filter_map(|asked| asked.member("token").map(str::to_owned)).collect()
}

#[test]
fn a_logout_revokes_what_a_renewal_under_way_brings_and_nobody_gets_it() {
    let server = revoking([]);
    let client = server.client(&TestClock::at(NOW));
    let token = first_set(0);
    server.hold();
    let (mut one, mut other) = (Box::pin(client.renew(&token)), Box::pin(client.renew(&token)));
    begin(&mut one);
    begin(&mut other);
    let mut revocation = Box::pin(client.revoke(&token));
    begin(&mut revocation);
    server.release();
    block_on(revocation).unwrap();
    for waiting in [one, other] {
        assert_eq!(block_on(waiting).unwrap_err().label(), "token_expired");
    }
    assert_eq!(block_on(client.renew(&token)).unwrap_err().label(), "token_expired");
    assert_eq!(revoked(&server), ["r1", "r0", "a1", "a0"]);
    assert_eq!(server.asked().len(), 5);
}

#[test]
fn a_local_logout_asks_nobody_and_a_renewal_under_way_comes_to_nothing() {
    let server = revoking([]);
    let clock = TestClock::at(NOW);
    let client = server.client(&clock);
    let token = first_set(0);
    server.hold();
    let mut waiting = Box::pin(client.renew(&token));
    begin(&mut waiting);
    client.forget(&token);
    server.release();
    assert_eq!(block_on(waiting).unwrap_err().label(), "token_expired");
    assert_eq!(block_on(client.renew(&token)).unwrap_err().label(), "token_expired");
    assert_eq!(server.asked().len(), 1);
    // What came of it is revoked by whoever wants that afterwards.
    block_on(client.revoke(&token)).unwrap();
    assert_eq!(revoked(&server), ["r1", "r0", "a1", "a0"]);
    // The twin: another user's.
    let other = stored(r#"{"access_token":"b0","token_type":"Bearer","refresh_token":"other"}"#);
    assert_eq!(block_on(client.renew(&other)).unwrap().access_token(), "a1");
}

#[test]
fn a_revocation_that_failed_revokes_the_successors_when_it_is_tried_again() {
    let server = revoking((0..4).map(|_| Ok((503, String::new()))));
    let client = server.client(&TestClock::at(NOW));
    block_on(client.renew(&first_set(0))).unwrap();
    assert_eq!(block_on(client.revoke(&first_set(0))).unwrap_err().label(), "unreachable");
    assert_eq!(block_on(client.renew(&first_set(0))).unwrap_err().label(), "token_expired", "it is over all the same");
    block_on(client.revoke(&first_set(0))).unwrap();
    assert_eq!(revoked(&server), ["r1", "r0", "a1", "a0", "r1", "r0", "a1", "a0"]);
}

#[test]
fn a_revocation_whose_caller_goes_away_comes_to_its_end() {
    let (told, heard) = std::sync::mpsc::channel();
    let server = TokenServer::new(move |asked| {
        told.send(asked.member("token").map(str::to_owned)).unwrap();
        if asked.path == "/token" { ok(tokens("a1", Some("r1"), 3600)) } else { ok("") }
    });
    let client = server.client(&TestClock::at(NOW));
    block_on(client.renew(&first_set(0))).unwrap();
    server.hold();
    let token = first_set(0);
    let mut gone = Box::pin(client.revoke(&token));
    begin(&mut gone);
    drop(gone);
    server.release();
    for expected in [None, Some("r1"), Some("r0"), Some("a1"), Some("a0")] {
        assert_eq!(heard.recv_timeout(Duration::from_secs(10)).unwrap().as_deref(), expected);
    }
}

/// What a session keeps of each server's tokens may be mixed up by the program that keeps it.
#[test]
fn tokens_of_one_server_are_not_sent_to_another_one() {
    let (server, other) = (TokenServer::rotating(3600), TokenServer::rotating(3600));
    let clock = TestClock::at(NOW);
    let elsewhere = Registration::endpoints(
        "https://other.test/authorize",
        "https://other.test/token",
        ClientAuth::basic("app", "s3cret"),
    );
    let elsewhere = elsewhere.revocation_url("https://other.test/revoke").userinfo_url("https://other.test/userinfo");
    let elsewhere = Client::new("example", elsewhere.fetch(other.clone()).clock(clock.clone())).unwrap();
    let token = block_on(server.client(&clock).renew(&first_set(0))).unwrap();
    // As it is kept in a session.
    let token = stored(&serde_json::to_string(&token).unwrap());
    let errors = [
        block_on(elsewhere.renew(&token)).unwrap_err(),
        block_on(elsewhere.revoke(&token)).unwrap_err(),
        block_on(elsewhere.userinfo(&token)).unwrap_err(),
        block_on(elsewhere.api(token.clone()).fresh_token()).unwrap_err(),
        block_on(elsewhere.api(token.clone()).renew_now()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.label(), "invalid_request", "{error}");
    }
    assert!(other.asked().is_empty());

    // The twins: the same client by another name, and a set that does not say whose it is.
    let renamed = Client::new("renamed", server.registration(&clock)).unwrap();
    assert_eq!(block_on(renamed.renew(&token)).unwrap().access_token(), "a2");
    assert_eq!(block_on(elsewhere.renew(&first_set(0))).unwrap().access_token(), "a1");
}

#[test]
fn a_handle_that_is_dropped_meanwhile_is_no_trouble() {
    let server = TokenServer::rotating(3600);
    let client = server.client(&TestClock::at(NOW));
    server.hold();
    let token = first_set(0);
    let mut waiting = Box::pin({
        let client = client.clone();
        async move { client.renew(&token).await }
    });
    begin(&mut waiting);
    drop(client);
    server.release();
    assert_eq!(block_on(waiting).unwrap().access_token(), "a1");
}
