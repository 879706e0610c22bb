//! A JWT that its signature proves, and of which the issuer has the last word.

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestToken};
use scopegate::{Algorithm, Credentials, Denial, Introspection, Issuer, Reason, Requirement, ScopePolicy, Secret};
use serde_json::{Value, json as object};

use super::{A, API, B, MILLISECOND, World, at, json, unasked};
use crate::rotation::{refused, seconds, soon};

fn both() -> World {
    World::of(|issuer| Issuer::discover(A).and_introspect(at(issuer)), |builder| builder)
}

impl World {
    fn jwt(&self) -> TestToken {
        self.issuer.token().scope("read")
    }
}

#[test]
fn a_jwt_counts_if_its_signature_holds_and_the_issuer_says_so() {
    let world = both();
    let jwt = world.jwt().mint();
    let accepted = world.validate(&jwt).unwrap();
    assert_eq!((accepted.subject(), accepted.jwt_id().is_some()), (Some("user-1"), true));
    let requests = world.issuer.requests();
    assert_eq!((requests.metadata, requests.jwks, requests.introspection), (1, 1, 1));
    assert!(world.check(&jwt).is_ok() && world.validate(&jwt).is_ok());
    assert_eq!(world.asked(), 1, "what it said is remembered");
    assert_eq!(world.way.question().field("token").unwrap(), jwt);
}

#[test]
fn row_i25_a_jwt_that_was_revoked_is_refused_though_its_signature_holds() {
    let world = both();
    let (known, new) = (world.jwt().mint(), world.jwt().mint());
    assert!(world.validate(&known).is_ok());
    world.issuer.revoke(&known);
    world.issuer.revoke(&new);
    assert_eq!(refused(world.validate(&new)), Reason::Inactive, "I25");
    world.clock.advance(seconds(30) - MILLISECOND);
    assert!(world.check(&known).is_ok(), "I25 within the time that was said");
    world.clock.advance(MILLISECOND);
    assert_eq!(refused(world.validate(&known)), Reason::Inactive, "I25");
}

#[test]
fn a_check_from_nothing_heals_itself() {
    let world = both();
    let jwt = world.jwt().mint();
    assert_eq!(refused(world.check(&jwt)), Reason::KeysUnavailable);
    soon("the keys, and then the issuer's word", || world.check(&jwt).is_ok());
    let requests = world.issuer.requests();
    assert_eq!((requests.jwks, requests.introspection), (1, 1));
}

#[test]
fn a_key_that_is_not_known_yet_is_fetched_before_the_issuer_is_asked() {
    let world = both();
    assert!(world.validate(&world.jwt().mint()).is_ok());
    world.issuer.rotate();
    assert!(world.validate(&world.jwt().mint()).is_ok());
    let requests = world.issuer.requests();
    assert_eq!((requests.jwks, requests.introspection), (2, 2));
}

/// What comes of a good JWT with the scopes `read` and `admin` for which the issuer answers so.
fn answered(answer: &Value, demanded: &str) -> Result<(), Reason> {
    let world = both();
    let jwt = world.issuer.token().scope("read admin");
    judged(&world, &jwt.mint(), answer, demanded)
}

/// The same where its JWTs have the scopes in this claim.
fn answered_beside(claim: &'static str, answer: &Value, demanded: &str) -> Result<(), Reason> {
    let world =
        World::of(|issuer| Issuer::discover(A).and_introspect(at(issuer)).scope_claim(claim), |builder| builder);
    let jwt = world.issuer.token().without("scope").claim(claim, ["read", "admin"]);
    judged(&world, &jwt.mint(), answer, demanded)
}

fn judged(world: &World, jwt: &str, answer: &Value, demanded: &str) -> Result<(), Reason> {
    let answer = answer.to_string();
    world.way.answer(move |sent| (sent.method == "POST").then(|| json(200, answer.clone())));
    let demand = Requirement::from(ScopePolicy::all([demanded]).unwrap());
    let presented = Credentials::bearer(jwt);
    let result = block_on(world.validator.validate(&presented, &demand));
    let result = result.map(|_| ()).map_err(|rejection| rejection.reason());
    let remembered = world.validator.check(&presented, &demand);
    assert_eq!(remembered.map(|_| ()).map_err(|rejection| rejection.reason()), result);
    result
}

#[test]
fn an_answer_may_leave_out_what_the_jwt_has_proven_and_not_contradict_it() {
    assert_eq!(answered(&object!({"active": true}), "read"), Ok(()));
    assert_eq!(answered(&object!({"active": true, "iss": A, "aud": API, "token_type": "Bearer"}), "admin"), Ok(()));
    assert_eq!(answered(&object!({"active": true, "sub": "user-1"}), "admin"), Ok(()));
    assert_eq!(answered(&object!({"active": true, "sub": null}), "admin"), Ok(()));
    for (contradiction, reason) in [
        (object!({"active": true, "iss": B}), Reason::UntrustedIssuer),
        (object!({"active": true, "aud": "https://other.example.test"}), Reason::WrongAudience),
        (object!({"active": true, "token_type": "refresh_token"}), Reason::WrongType),
        (object!({"active": true, "exp": 1_799_999_000}), Reason::Expired),
        (object!({"active": true, "nbf": 1_800_001_000}), Reason::NotYetValid),
        (object!({"active": true, "exp": "1800000300"}), Reason::MalformedClaim),
        (object!({"active": true, "cnf": {"jkt": "x"}}), Reason::Unbound),
        (object!({"active": true, "sub": "user-2"}), Reason::MalformedClaim),
        (object!({"active": true, "sub": "user-1", "jti": "another"}), Reason::MalformedClaim),
        (object!({"active": false}), Reason::Inactive),
    ] {
        assert_eq!(answered(&contradiction, "read"), Err(reason), "{contradiction}");
    }
}

#[test]
fn an_answer_with_fewer_scopes_narrows_and_one_with_more_does_not_widen() {
    let answer = |scope: &str| object!({"active": true, "scope": scope});
    assert_eq!(answered(&answer("read"), "read"), Ok(()));
    assert_eq!(answered(&answer("read"), "admin"), Err(Reason::InsufficientScope));
    assert_eq!(answered(&answer(""), "read"), Err(Reason::InsufficientScope));
    assert_eq!(answered(&answer("read admin root"), "admin"), Ok(()));
    assert_eq!(answered(&answer("read admin root"), "root"), Err(Reason::InsufficientScope));
}

#[test]
fn an_answer_that_narrows_counts_in_whatever_form_it_does() {
    // A list is not the form of RFC 7662, so it grants nothing, and does not count as silence.
    for scope in [object!(["read"]), object!(["read", "admin"]), object!([]), object!([7])] {
        for demanded in ["read", "admin"] {
            let answer = object!({"active": true, "scope": scope});
            assert_eq!(answered(&answer, demanded), Err(Reason::InsufficientScope), "{answer} {demanded}");
        }
    }
    assert_eq!(answered(&object!({"active": true, "scope": 7}), "read"), Err(Reason::MalformedClaim));
    for claim in ["permissions", "scp"] {
        let beside = |answer: Value, demanded: &str| answered_beside(claim, &answer, demanded);
        assert_eq!(beside(object!({"active": true}), "admin"), Ok(()), "{claim}");
        assert_eq!(beside(object!({"active": true, "scope": "read"}), "read"), Ok(()), "{claim}");
        assert_eq!(beside(object!({"active": true, "scope": "read"}), "admin"), Err(Reason::InsufficientScope));
        assert_eq!(beside(object!({"active": true, "scope": ["admin"]}), "admin"), Err(Reason::InsufficientScope));
        assert_eq!(beside(object!({"active": true, "scope": "read", claim: ["admin"]}), "admin"), Ok(()));
        assert_eq!(beside(object!({"active": true, claim: ["read"]}), "admin"), Err(Reason::InsufficientScope));
    }
    assert_eq!(answered_beside("scope", &object!({"active": true, "scope": ["read"]}), "read"), Ok(()));
}

/// A world whose issuer answers so, and a JWT of `carol` that it has accepted.
fn accepted(answer: &Value) -> (World, String) {
    let world = both();
    let answer = answer.to_string();
    world.way.answer(move |sent| (sent.method == "POST").then(|| json(200, answer.clone())));
    let jwt = world.jwt().subject("carol").mint();
    assert!(world.validate(&jwt).is_ok());
    (world, jwt)
}

#[test]
fn tokens_are_meant_by_what_the_jwt_says_and_by_what_the_answer_says() {
    for (answer, client) in
        [(object!({"active": true}), None), (object!({"active": true, "client_id": "x"}), Some("x"))]
    {
        let (world, jwt) = accepted(&answer);
        world.validator.forget_where(|token| token.subject() == Some("dave"));
        assert!(world.check(&jwt).is_ok(), "it was not meant");
        world.validator.forget_where(|token| token.subject() == Some("carol"));
        unasked(world.check(&jwt));
        assert!(world.validate(&jwt).is_ok());
        world.validator.forget_where(|token| token.client_id() == Some("x"));
        assert_eq!(world.check(&jwt).is_err(), client.is_some(), "{answer}");
    }
}

#[test]
fn a_denial_means_what_the_answer_says_too() {
    let hour = seconds(3600);
    let answer = object!({"active": true, "sid": "session-7", "sub": "carol"});
    let (world, jwt) = accepted(&answer);
    world.validator.deny(&Denial::session(A, "session-8"), hour).unwrap();
    // The answer does not say when it was issued, and the JWT does.
    world.validator.deny(&Denial::subject(A, "carol", 1_799_999_999), hour).unwrap();
    assert!(world.check(&jwt).is_ok());
    world.validator.deny(&Denial::session(A, "session-7"), hour).unwrap();
    assert_eq!(refused(world.check(&jwt)), Reason::Revoked);
    assert_eq!(refused(world.validate(&jwt)), Reason::Revoked);
}

#[test]
fn while_the_issuer_cannot_be_asked_no_signature_is_enough() {
    let world = both();
    let known = world.jwt().mint();
    assert!(world.validate(&known).is_ok());
    world.script(Fault::disconnect());
    let new = world.jwt().mint();
    unasked(world.validate(&new));
    unasked(world.check(&new));
    assert!(world.check(&known).is_ok(), "what is remembered serves for its time");
    world.clock.advance(seconds(30));
    unasked(world.validate(&known));
    world.issuer.recover();
    assert!(world.validate(&known).is_ok() && world.validate(&new).is_ok());
}

#[test]
fn while_there_are_no_keys_nobody_is_asked_about_a_token() {
    let world = both();
    world.issuer.script(Fault::status(500).at(Endpoint::Jwks));
    assert_eq!(refused(world.validate(&world.jwt().mint())), Reason::KeysUnavailable);
    assert_eq!(world.asked(), 0);
}

#[test]
fn a_jwt_that_is_bad_in_itself_causes_no_question() {
    let world = both();
    assert!(world.validate(&world.jwt().mint()).is_ok());
    for (token, reason) in [
        (world.jwt().expired(), Reason::Expired),
        (world.jwt().not_yet_valid(), Reason::NotYetValid),
        (world.jwt().signed_by_stranger(), Reason::BadSignature),
        (world.jwt().tampered(), Reason::BadSignature),
        (world.jwt().unsigned(), Reason::AlgorithmRefused),
        (world.jwt().audience("https://other.example.test"), Reason::WrongAudience),
        (world.jwt().claim("iss", B), Reason::UntrustedIssuer),
        (world.jwt().typ("JWT"), Reason::WrongType),
        (world.jwt().id_token(), Reason::WrongType),
        (world.jwt().without("sub"), Reason::MissingClaim),
        (world.jwt().header("kid", "nobodys"), Reason::UnknownKey),
    ] {
        let token = token.mint();
        assert_eq!(refused(world.validate(&token)), reason);
        assert!(world.check(&token).is_err());
    }
    for opaque in ["opaque", "a.b.c", "..", "eyJhbGciOiJub25lIn0.e30."] {
        assert!(matches!(refused(world.validate(opaque)), Reason::Malformed | Reason::AlgorithmRefused), "{opaque}");
    }
    assert_eq!(world.asked(), 1);
}

#[test]
fn tokens_under_a_shared_secret_are_asked_about_too() {
    let octets = "a secret that has 32 octets, yes";
    let secret = Secret::new(Algorithm::Hs256, octets).unwrap();
    let world = World::of(|issuer| Issuer::secrets(A, [secret]).and_introspect(at(issuer)), |builder| builder);
    world.way.answer(|sent| (sent.method == "POST").then(|| json(200, r#"{"active":true}"#)));
    let jwt = world.jwt().signed_with_secret(Algorithm::Hs256, octets.as_bytes()).without_header("kid").mint();
    assert!(world.validate(&jwt).is_ok());
    world.way.answer(|sent| (sent.method == "POST").then(|| json(200, r#"{"active":false}"#)));
    world.validator.forget(&jwt);
    assert_eq!(refused(world.validate(&jwt)), Reason::Inactive);
    assert_eq!(world.issuer.requests().jwks, 0);
}

#[test]
fn a_busy_jwt_is_asked_about_ahead_where_that_was_said() {
    let world =
        World::of(|issuer| Issuer::discover(A).and_introspect(Introspection::ask_ahead(at(issuer))), |builder| builder);
    let jwt = world.jwt().mint();
    assert!(world.validate(&jwt).is_ok());
    world.clock.advance(seconds(24));
    assert!(world.check(&jwt).is_ok());
    soon("it is asked about", || world.asked() == 2);
}
