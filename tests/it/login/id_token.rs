//! ID tokens, good and bad (OpenID Connect Core 1.0 s3.1.3.7): each row is one defect of a token that is good otherwise.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_executor::block_on;
use scopegate::client::{AuthorizationRequest, Client};
use scopegate::testing::{Endpoint, Fault, TestIssuer, TestToken};
use scopegate::{Algorithm, Fetch};
use serde_json::{Value, json};

use super::world::*;

type Change = fn(TestToken) -> TestToken;

/// Each row in a login of its own: the change, and why the token is refused then.
fn each(rows: &[(&str, Change, &str)]) {
    let world = World::new();
    for (name, change, expected) in rows {
        let why = why(world.login_with(*change));
        let is_so = if *expected == "refused" { why != "accepted" } else { why.contains(expected) };
        assert!(is_so, "{name}: {why}");
    }
    assert_eq!(why(world.login_with(|token| token)), "accepted");
}

#[test]
fn an_id_token_without_a_good_signature_names_nobody() {
    each(&[
        ("alg none", TestToken::unsigned, "AlgorithmRefused"),
        ("a stranger's key", TestToken::signed_by_stranger, "BadSignature"),
        ("changed", TestToken::tampered, "BadSignature"),
        ("no signature", |token| token.signature(Vec::new()), "BadSignature"),
        (
            "the client's secret",
            |token| token.signed_with_secret(Algorithm::Hs256, SECRET.as_bytes()),
            "AlgorithmRefused",
        ),
        ("crit", |token| token.header("crit", ["exp"]), "UnsupportedExtension"),
    ]);
}

#[test]
fn a_public_key_is_no_secret_for_an_id_token() {
    let world = World::new();
    let jwk = world.issuer.jwk("es256-1").unwrap();
    let public: Value = serde_json::from_str(&jwk).unwrap();
    let point = [&public["x"], &public["y"]].map(|part| URL_SAFE_NO_PAD.decode(part.as_str().unwrap()).unwrap());
    for secret in [jwk.into_bytes(), world.issuer.jwks().into_bytes(), point.concat(), Vec::new()] {
        let result = world.login_with(move |token| token.signed_with_secret(Algorithm::Hs256, &secret));
        assert_eq!(why(result), "AlgorithmRefused");
    }
}

#[test]
fn an_id_token_is_of_the_algorithms_that_the_registration_names() {
    let world = World::signing_with(Algorithm::Es384);
    let with = |algorithm| world.client_of(world.registration().algorithms([algorithm]));
    assert_eq!(why(world.login_of(&with(Algorithm::Es384), BACK, |token| token)), "accepted");
    assert_eq!(why(world.login_of(&with(Algorithm::Es256), BACK, |token| token)), "AlgorithmRefused");
}

#[test]
fn an_id_token_of_another_issuer_names_nobody_here() {
    each(&[
        ("another", |token| token.claim("iss", "https://evil.example.com"), "UntrustedIssuer"),
        ("with a slash", |token| token.claim("iss", "https://id.example.com/"), "UntrustedIssuer"),
        ("in capitals", |token| token.claim("iss", "https://ID.example.com"), "UntrustedIssuer"),
        ("none", |token| token.without("iss"), "MissingClaim"),
        ("a list", |token| token.claim("iss", ["https://id.example.com"]), "Malformed"),
    ]);
    // Another server, with a key of its own under the same name, that says what this one would.
    let world = World::new();
    let evil = TestIssuer::new("https://evil.example.com").clock(&world.clock);
    let forged = why(world.login_with(move |token| evil.forge(token)));
    assert_eq!(forged, "BadSignature");
}

#[test]
fn an_id_token_ends_by_the_clock_and_says_when_it_was_made() {
    each(&[
        ("expired", TestToken::expired, "Expired"),
        ("30 s past", |token| token.claim("exp", NOW - 30), "Expired"),
        ("29 s past", |token| token.claim("exp", NOW - 29), "accepted"),
        ("without exp", |token| token.without("exp"), "exp or iat"),
        ("exp null", |token| token.claim("exp", Value::Null), "refused"),
        ("exp a text", |token| token.claim("exp", "4000000000"), "Malformed"),
        ("without iat", |token| token.without("iat"), "exp or iat"),
        ("made 31 s from now", |token| token.claim("iat", NOW + 31), "NotYetValid"),
        ("made 30 s from now", |token| token.claim("iat", NOW + 30), "accepted"),
        ("not before 31 s from now", |token| token.claim("nbf", NOW + 31), "NotYetValid"),
        ("not before 30 s from now", |token| token.claim("nbf", NOW + 30), "accepted"),
    ]);
    let world = World::new();
    let strict = world.client_of(world.registration().leeway(Duration::ZERO));
    assert_eq!(why(world.login_of(&strict, BACK, |token| token.claim("exp", NOW))), "Expired");
    assert_eq!(why(world.login_of(&strict, BACK, |token| token.claim("exp", NOW + 1))), "accepted");
    assert!(Client::new("example", world.registration().leeway(Duration::from_secs(301))).is_err());
}

#[test]
fn an_id_token_names_one_user_in_at_most_255_characters() {
    each(&[
        ("without sub", |token| token.without("sub"), "sub"),
        ("null", |token| token.claim("sub", Value::Null), "refused"),
        ("empty", |token| token.subject(""), "MalformedClaim"),
        ("a number", |token| token.claim("sub", 7), "Malformed"),
        ("256 long", |token| token.subject(&"a".repeat(256)), "sub"),
        ("255 long", |token| token.subject(&"a".repeat(255)), "accepted"),
    ]);
}

#[test]
fn an_id_token_is_made_out_to_this_client() {
    each(&[
        ("another client", |token| token.audience("another"), "WrongAudience"),
        ("another, though issued to this one", |token| token.audience("another").claim("azp", "app"), "WrongAudience"),
        ("a longer name", |token| token.audience("app2"), "WrongAudience"),
        ("in capitals", |token| token.audience("App"), "WrongAudience"),
        ("others", |token| token.audiences(["one", "two"]), "WrongAudience"),
        ("nobody", |token| token.without("aud"), "MissingClaim"),
        ("an empty list", |token| token.audiences([]), "refused"),
        ("this one in a list", |token| token.audiences(["app"]), "accepted"),
        ("this one and another", |token| token.audiences(["app", "another"]).claim("azp", "app"), "somebody else"),
        ("another and this one", |token| token.audiences(["another", "app"]).claim("azp", "app"), "somebody else"),
        ("issued to another", |token| token.claim("azp", "another"), "azp"),
        ("issued to this one", |token| token.claim("azp", "app"), "accepted"),
        ("issued to a list", |token| token.claim("azp", ["app"]), "another type"),
    ]);
}

#[test]
fn beside_this_client_an_id_token_names_those_alone_that_are_trusted() {
    let world = World::new();
    let client = world.client_of(world.registration().also_audience("api"));
    let rows: [(&str, Change, &str); 6] = [
        ("both", |token| token.audiences(["app", "api"]).claim("azp", "app"), "accepted"),
        ("both and a third", |token| token.audiences(["app", "api", "x"]).claim("azp", "app"), "somebody else"),
        ("both, to nobody", |token| token.audiences(["app", "api"]), "no azp"),
        ("both, to the other", |token| token.audiences(["app", "api"]).claim("azp", "api"), "another client"),
        ("the other alone", |token| token.audience("api").claim("azp", "app"), "WrongAudience"),
        ("this one alone", |token| token, "accepted"),
    ];
    for (name, change, expected) in rows {
        let why = why(world.login_of(&client, BACK, change));
        assert!(why.contains(expected), "{name}: {why}");
    }
}

#[test]
fn an_id_token_is_of_this_very_login_by_its_nonce() {
    each(&[
        ("none", |token| token.without("nonce"), "no nonce"),
        ("null", |token| token.claim("nonce", Value::Null), "no nonce"),
        ("another", |token| token.claim("nonce", "n-0S6_WzA2Mj"), "another login"),
        ("empty", |token| token.claim("nonce", ""), "another login"),
        ("a number", |token| token.claim("nonce", 7), "another type"),
        ("a list", |token| token.claim("nonce", ["x"]), "another type"),
    ]);
}

#[test]
fn the_id_token_of_an_earlier_login_is_not_that_of_a_later_one() {
    let world = World::new();
    let client = world.client();
    let earlier = world.login(&client, BACK).unwrap();
    world.bring_again(&earlier);
    let result = world.login(&client, BACK);
    assert_eq!(why(result.map_err(|error| error.into_error())), "its nonce is that of another login");
    // The twin: that of the same login is good, in the same answer but for what is the server's to choose.
    assert_eq!(whose(&world.login(&client, BACK)), "alice");
}

#[test]
fn a_jwt_of_another_kind_is_no_id_token() {
    each(&[
        ("at+jwt", |token| token.typ("at+jwt"), "WrongType"),
        ("application/at+jwt", |token| token.typ("application/at+jwt"), "WrongType"),
        ("logout+jwt", |token| token.typ("logout+jwt"), "another kind"),
        ("dpop+jwt", |token| token.typ("dpop+jwt"), "WrongType"),
        ("token-introspection+jwt", |token| token.typ("token-introspection+jwt"), "WrongType"),
        ("events", |token| token.claim("events", json!({})), "another kind"),
        ("token_use access", |token| token.claim("token_use", "access"), "another kind"),
        ("token_use id", |token| token.claim("token_use", "id"), "accepted"),
        ("typ Bearer", |token| token.claim("typ", "Bearer"), "another kind"),
        ("typ ID", |token| token.claim("typ", "ID"), "accepted"),
        ("no typ", |token| token.without_header("typ"), "accepted"),
        ("jwt", |token| token.typ("jwt"), "accepted"),
    ]);
    // Whole tokens of the server's other endpoints, with everything that an ID token needs.
    let world = World::new();
    let issuer = world.issuer.clone();
    assert_eq!(why(world.login_with(move |_| issuer.token().audience("app"))), "WrongType");
    for typ in ["logout+jwt", "JWT"] {
        let issuer = world.issuer.clone();
        let logout = why(world.login_with(move |_| issuer.logout_token("app").typ(typ)));
        assert_eq!(logout, "it is a JWT of another kind", "{typ}");
    }
}

#[test]
fn what_is_no_jwt_is_no_id_token() {
    let world = World::new();
    let client = world.client();
    let jwe = "a.b.c.d.e";
    let long = format!("{}.b.c", "a".repeat(64 * 1024));
    for id_token in ["", "x", "a.b", "..", jwe, "eyJhbGciOiJub25lIn0.e30.", "\u{e4}", &long] {
        world.next_token_answer(json!({"access_token": "t", "token_type": "Bearer", "id_token": id_token}).to_string());
        assert_eq!(label(&world.login(&client, BACK)), "invalid_id_token", "{id_token:.20}");
    }
    // Named twice, or of another type.
    for id_token in ["7", "[]", "{}", "true"] {
        world.next_token_answer(format!(r#"{{"access_token":"t","token_type":"Bearer","id_token":{id_token}}}"#));
        assert_eq!(label(&world.login(&client, BACK)), "invalid_answer", "{id_token}");
    }
    let payload = format!(r#"{{"iss":"{ISSUER}","aud":"app","sub":"a","sub":"b","iat":{NOW},"exp":{}}}"#, NOW + 60);
    assert_eq!(why(world.login_with(move |token| token.payload_json(payload.clone()))), "Malformed");
}

#[test]
fn whoever_asks_for_openid_gets_an_id_token_or_no_login() {
    let world = World::new();
    let client = world.client();
    for none in [
        json!({"access_token": "t", "token_type": "Bearer"}),
        json!({"access_token": "t", "token_type": "Bearer", "id_token": null}),
    ] {
        world.next_token_answer(none.to_string());
        assert_eq!(label(&world.login(&client, BACK)), "invalid_answer");
    }
    // One that comes unasked has no nonce that would tell it from another login's: it is believed by nobody, and not handed on.
    let unasked = world.client_of(world.registration().scope("things:read"));
    for id_token in [
        world.issuer.token().typ("JWT").audience("app").subject("alice"),
        world.issuer.token().typ("JWT").audience("app").subject("alice").signed_by_stranger(),
    ] {
        let id_token = id_token.mint();
        world.next_token_answer(json!({"access_token": "t", "token_type": "Bearer", "id_token": id_token}).to_string());
        let login = world.login(&unasked, BACK).unwrap();
        assert!(login.user().is_none() && login.token().id_token().is_none() && login.token().subject().is_none());
    }
}

/// The left half of a digest (OpenID Connect Core 1.0 s3.1.3.6).
fn half(hash: &'static digest::Algorithm, text: &str) -> String {
    let digest = digest::digest(hash, text.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..digest.as_ref().len() / 2])
}

#[test]
fn at_hash_and_c_hash_belong_to_the_token_and_the_code_that_came_along() {
    let (sha256, sha384, sha512) = (&digest::SHA256, &digest::SHA384, &digest::SHA512);
    let table =
        [(Algorithm::Rs256, sha256, sha512), (Algorithm::Es384, sha384, sha256), (Algorithm::EdDsa, sha512, sha256)];
    for (algorithm, hash, other) in table {
        let world = World::signing_with(algorithm);
        let client = world.client();
        // The issuer puts the right at_hash in.
        assert_eq!(why(world.login_of(&client, BACK, |token| token)), "accepted", "{algorithm:?}");
        assert_eq!(why(world.login_of(&client, BACK, |token| token.without("at_hash"))), "accepted", "it is optional");
        for wrong in [half(hash, "another token"), String::new(), "x".to_owned()] {
            let result = world.login_of(&client, BACK, move |token| token.claim("at_hash", &wrong));
            assert!(why(result).contains("at_hash"), "{algorithm:?}");
        }
        let with_c_hash = |made: &dyn Fn(&str) -> String| {
            let browser = Browser::default();
            let answer = world.answer(&client, &browser, BACK);
            let c_hash = made(answer.parameter("code").unwrap());
            world.issuer.next_id_token(move |token| token.claim("c_hash", &c_hash));
            why(browser.comes_back(&client, &answer).map_err(|error| error.into_error()))
        };
        assert_eq!(with_c_hash(&|code| half(hash, code)), "accepted", "{algorithm:?}");
        assert!(with_c_hash(&|code| half(other, code)).contains("c_hash"), "{algorithm:?}: of another algorithm");
        assert!(with_c_hash(&|_| half(hash, "another code")).contains("c_hash"), "{algorithm:?}");
        let whole = |code: &str| URL_SAFE_NO_PAD.encode(digest::digest(hash, code.as_bytes()));
        assert!(with_c_hash(&whole).contains("c_hash"), "{algorithm:?}: the whole digest");
    }
}

#[test]
fn the_user_has_logged_in_no_longer_ago_than_was_demanded() {
    let world = World::new();
    let client = world.client();
    let max_age = |seconds| AuthorizationRequest::to(BACK).max_age(Duration::from_secs(seconds));
    // 30 s of leeway on either side.
    let rows: [(u64, i64, &str); 8] = [
        (300, NOW - 330, "accepted"),
        (300, NOW - 331, "auth_time"),
        (300, NOW + 30, "accepted"),
        (300, NOW + 31, "auth_time"),
        (0, NOW - 30, "accepted"),
        (0, NOW - 31, "auth_time"),
        (u64::MAX, 0, "accepted"),
        (300, 0, "auth_time"),
    ];
    for (seconds, at, expected) in rows {
        // The test server takes no max_age beyond 32 bits; the number is the client's.
        let request = if seconds == u64::MAX { max_age(u32::MAX.into()) } else { max_age(seconds) };
        let result = why(world.login_of(&client, request, move |token| token.claim("auth_time", at)));
        assert!(result.contains(expected), "max_age {seconds}, auth_time {at}: {result}");
    }
    let spoilt: [(Change, &str); 5] = [
        (|token| token.without("auth_time"), "auth_time"),
        (|token| token.claim("auth_time", Value::Null), "MalformedClaim"),
        (|token| token.claim("auth_time", "1700000000"), "MalformedClaim"),
        (|token| token.claim("auth_time", 1e300), "MalformedClaim"),
        (|token| token.claim("auth_time", i64::MIN), "MalformedClaim"),
    ];
    for (change, expected) in spoilt {
        let result = why(world.login_of(&client, max_age(300), change));
        assert!(result.contains(expected), "{result}, not {expected}");
    }
    assert_eq!(
        why(world.login_of(&client, max_age(300), |token| token.claim("auth_time", NOW as f64 - 0.5))),
        "accepted"
    );
    // Where it was not demanded it is not asked for.
    assert_eq!(why(world.login_of(&client, BACK, |token| token.without("auth_time"))), "accepted");
    assert_eq!(why(world.login_of(&client, BACK, |token| token.claim("auth_time", 0))), "accepted");
}

#[test]
fn max_age_is_measured_by_the_clock_at_the_callback() {
    for (seconds, expected) in [(40, "accepted"), (41, "auth_time")] {
        let world = World::new();
        let client = world.client();
        let browser = Browser::default();
        let answer = world.answer(&client, &browser, AuthorizationRequest::to(BACK).max_age(Duration::from_secs(10)));
        world.clock.advance(Duration::from_secs(seconds));
        let result = why(browser.comes_back(&client, &answer).map_err(|error| error.into_error()));
        assert!(result.contains(expected), "{seconds}: {result}");
    }
}

#[test]
fn the_user_has_logged_in_in_a_way_that_was_demanded() {
    let world = World::new();
    let client = world.client();
    let demanded = || AuthorizationRequest::to(BACK).require_acr(["gold", "silver"]);
    // The test server grants the first.
    assert_eq!(why(world.login_of(&client, demanded(), |token| token)), "accepted");
    let rows: [(Change, &str); 7] = [
        (|token| token.claim("acr", "silver"), "accepted"),
        (|token| token.claim("acr", "bronze"), "acr"),
        (|token| token.claim("acr", "gold silver"), "acr"),
        (|token| token.claim("acr", "Gold"), "acr"),
        (|token| token.claim("acr", ""), "acr"),
        (|token| token.without("acr"), "acr"),
        (|token| token.claim("acr", ["gold"]), "MalformedClaim"),
    ];
    for (change, expected) in rows {
        let result = why(world.login_of(&client, demanded(), change));
        assert!(result.contains(expected), "{result}");
    }
    // Asked for without demanding it.
    let asked = AuthorizationRequest::to(BACK).param("acr_values", "gold");
    assert_eq!(why(world.login_of(&client, asked, |token| token.claim("acr", "bronze"))), "accepted");
}

#[test]
fn new_keys_of_the_server_are_fetched_and_trouble_with_them_is_not_the_tokens_fault() {
    let world = World::new();
    let client = world.client();
    world.login(&client, BACK).unwrap();
    world.issuer.rotate();
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(whose(&world.login(&client, BACK)), "alice", "by a key that came later");

    let fresh = world.client();
    world.issuer.script(Fault::status(500).at(Endpoint::Jwks));
    let result = world.login(&fresh, BACK);
    assert_eq!(label(&result), "unreachable");
    assert_eq!(result.unwrap_err().error().status().as_u16(), 503);
}

#[test]
fn what_the_server_says_of_the_user_can_be_read_from_the_id_token() {
    #[derive(serde::Deserialize)]
    struct Claims {
        name: String,
        preferred_username: String,
    }
    let world = World::new();
    let login = world.login(&world.client(), BACK).unwrap();
    let user = login.user().unwrap();
    let claims: Claims = user.claims().unwrap();
    assert_eq!((&*claims.name, &*claims.preferred_username), ("alice", "alice"));
    assert_eq!((user.subject(), user.issuer().as_str()), ("alice", ISSUER));
    assert!(user.session_id().is_some() && user.json().contains("\"preferred_username\":\"alice\""));
    let _: &dyn Fetch = &*world.way;
}

#[test]
fn what_the_id_token_is_to_hold_cannot_be_demanded_where_there_is_none() {
    let world = World::new();
    let client = world.client_of(world.registration().scope(""));
    let begins = |request: AuthorizationRequest| block_on(client.authorize_redirect(request)).map(drop);
    let to = || AuthorizationRequest::to(BACK);
    for scope in ["", "things:read"] {
        for request in [to().require_acr(["urn:example:mfa"]), to().max_age(Duration::from_secs(60))] {
            assert_eq!(begins(request.clone().scope(scope)).unwrap_err().label(), "invalid_request", "{scope}");
            assert!(begins(request.scope("openid")).is_ok());
        }
        assert!(begins(to().scope(scope)).is_ok());
    }
}
