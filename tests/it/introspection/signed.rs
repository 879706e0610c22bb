//! Answers that the issuer has signed (RFC 9701).

use futures_executor::block_on;
use scopegate::testing::{Endpoint, Fault, TestIssuer, TestToken};
use scopegate::{
    Algorithm, ClientAuth, Credentials, Introspection, Issuer, KeySet, Profile, Reason, Secret, Validator,
};
use serde_json::{Value, json as object};

use super::{A, API, B, World, at, typed, unasked, words};
use crate::rotation::{issuer, read, refused, seconds, soon, waits};

const SIGNED: &str = "application/token-introspection+jwt";
const NOW: i64 = 1_800_000_000;

fn signing(settings: impl FnOnce(Introspection) -> Introspection) -> World {
    World::new(|introspection| settings(introspection.signed()))
}

fn said() -> Value {
    object!({"active": true, "iss": A, "aud": API, "sub": "user-1", "scope": "read", "token_type": "Bearer"})
}

/// The claims of a good answer.
fn claims() -> Value {
    object!({"iss": A, "aud": "api", "iat": NOW, "token_introspection": said()})
}

/// A good answer, to be spoiled.
fn answer(issuer: &TestIssuer, claims: &Value) -> TestToken {
    issuer.token().typ("token-introspection+jwt").payload_json(claims.to_string())
}

fn answering(world: &World, media_type: &'static str, body: String) {
    world.way.answer(move |sent| (sent.method == "POST").then(|| typed(200, media_type, body.clone())));
}

#[test]
fn a_signed_answer_is_judged_as_any_other() {
    let world = signing(|settings| settings);
    let token = world.token();
    let accepted = world.validate(&token).unwrap();
    assert_eq!((accepted.subject(), accepted.issuer().as_str()), (Some("user-1"), A));
    assert_eq!(world.way.question().accept.as_deref(), Some(SIGNED));
    assert!(world.check(&token).is_ok());
    assert_eq!(refused(world.validate("dead")), Reason::Inactive);
    let other = world.issuer.token().scope("read").audience("https://other.example.test").mint_opaque();
    assert_eq!(refused(world.validate(&other)), Reason::WrongAudience);
    assert_eq!((world.asked(), world.issuer.requests().jwks), (3, 1));
}

#[test]
fn row_i32_a_signed_answer_that_is_not_the_issuers_word_to_this_client_is_503() {
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let issuer = TestIssuer::new(A);
    let key = issuer.jwk("es256-1").unwrap();
    let good = |issuer: &TestIssuer| answer(issuer, &claims());
    type Spoil<'s> = Box<dyn Fn(&TestIssuer) -> TestToken + 's>;
    let of = |claims: Value| -> Spoil<'_> { Box::new(move |issuer| answer(issuer, &claims)) };
    let rows: Vec<(&str, Spoil<'_>)> = vec![
        ("alg none", Box::new(|issuer| good(issuer).unsigned())),
        ("a stranger's key", Box::new(|issuer| good(issuer).signed_by_stranger())),
        ("tampered", Box::new(|issuer| good(issuer).tampered())),
        ("no signature", Box::new(|issuer| good(issuer).signature(Vec::new()))),
        ("a secret", Box::new(|issuer| good(issuer).signed_with_secret(Algorithm::Hs256, key.as_bytes()))),
        ("crit", Box::new(|issuer| good(issuer).header("crit", ["exp"]))),
        ("typ JWT", Box::new(|issuer| good(issuer).typ("JWT"))),
        ("typ at+jwt", Box::new(|issuer| good(issuer).typ("at+jwt"))),
        ("typ introspection", Box::new(|issuer| good(issuer).typ("introspection+jwt"))),
        ("no typ", Box::new(|issuer| good(issuer).without_header("typ"))),
        ("aud other", of(with("aud", object!("other")))),
        ("aud the API", of(with("aud", object!(API)))),
        ("aud others", of(with("aud", object!(["other", "api2"])))),
        ("aud no text", of(with("aud", object!(7)))),
        ("aud mixed", of(with("aud", object!(["api", 7])))),
        ("aud none", of(with("aud", object!([])))),
        ("no aud", of(without("aud"))),
        ("iss other", of(with("iss", object!(B)))),
        ("iss with a slash", of(with("iss", object!("https://a.example.test/")))),
        ("iss a list", of(with("iss", object!([A])))),
        ("no iss", of(without("iss"))),
        ("no iat", of(without("iat"))),
        ("iat a text", of(with("iat", object!("1800000000")))),
        ("iat 1e300", of(with("iat", serde_json::from_str("1e300").unwrap()))),
        ("iat a minute and more before", of(with("iat", object!(NOW - 62)))),
        ("iat an hour before", of(with("iat", object!(NOW - 3600)))),
        ("iat a minute and more ahead", of(with("iat", object!(NOW + 61)))),
        ("no answer", of(without("token_introspection"))),
        ("answer a text", of(with("token_introspection", object!(said().to_string())))),
        ("answer a list", of(with("token_introspection", object!([said()])))),
        ("answer without active", of(with("token_introspection", object!({"scope": "read"})))),
        ("answer beside", of(said())),
        (
            "claims twice",
            Box::new(|issuer| {
                let text = claims().to_string().replacen('{', r#"{"iss":"https://a.example.test","#, 1);
                good(issuer).payload_json(text)
            }),
        ),
        ("no JSON", Box::new(|issuer| good(issuer).payload_json("active"))),
    ];
    for (row, spoil) in rows {
        let world = signing(|settings| settings);
        answering(&world, SIGNED, spoil(&world.issuer).mint());
        let rejection = unasked(world.validate(&world.token()));
        assert_eq!(world.told.last_of(1), "unusable", "I32 {row}: {}", words(&rejection));
        answering(&world, SIGNED, good(&world.issuer).mint());
        world.clock.advance(seconds(2));
        assert!(world.validate(&world.token()).is_ok(), "I32 {row}: its good twin");
    }
}

#[test]
fn row_i32_where_answers_are_signed_no_other_is_taken() {
    for (row, media_type, body, kind) in [
        ("plain", "application/json", said().to_string(), "content_type"),
        ("plain, called signed", SIGNED, said().to_string(), "unusable"),
        ("plain, of another type", "application/token-introspection+json", said().to_string(), "content_type"),
        ("nothing", SIGNED, String::new(), "unusable"),
        ("dots", SIGNED, "..".to_owned(), "unusable"),
    ] {
        let world = signing(|settings| settings);
        answering(&world, media_type, body);
        unasked(world.validate(&world.token()));
        assert_eq!(world.told.last_of(1), kind, "I32 {row}");
    }
    let world = signing(|settings| settings);
    answering(&world, "application/jwt", answer(&world.issuer, &claims()).mint());
    unasked(world.validate(&world.token()));
    assert_eq!(world.told.last_of(1), "content_type", "I32 signed, called otherwise");
}

#[test]
fn row_i32_what_differs_in_form_alone_is_taken() {
    for (media_type, typ, around) in [
        (SIGNED, "token-introspection+jwt", ("", "")),
        ("Application/Token-Introspection+JWT; charset=utf-8", "application/token-introspection+jwt", ("", "\n")),
        (SIGNED, "Token-Introspection+JWT", (" ", "\r\n")),
    ] {
        let world = signing(|settings| settings);
        let jwt = answer(&world.issuer, &claims()).typ(typ).mint();
        answering(&world, media_type, format!("{}{jwt}{}", around.0, around.1));
        assert!(world.validate("some-token").is_ok(), "I32 {media_type} {typ}");
    }
    let world = signing(|settings| settings);
    let mut several = claims();
    several["aud"] = object!(["other", "api"]);
    answering(&world, SIGNED, answer(&world.issuer, &several).mint());
    assert!(world.validate("some-token").is_ok(), "I32 one of several");
}

#[test]
fn row_i32_an_answer_is_no_access_token() {
    let issuer = TestIssuer::new(A);
    let mut both = claims();
    for (name, value) in said().as_object().unwrap() {
        both[name] = value.clone();
    }
    let both_ways = answer(&issuer, &both).mint();
    for profile in [Profile::Rfc9068, Profile::PlainJwt] {
        let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
        let validator = Validator::builder(API).trust(Issuer::keys(A, keys).profile(profile)).build().unwrap();
        let rejection = validator.check(&Credentials::bearer(&both_ways), &read());
        assert_eq!(refused(rejection), Reason::WrongType, "I32 {profile:?}");
    }
}

#[test]
fn row_i32_the_draft_audience_is_taken_where_that_was_said() {
    let mut drafted = claims();
    drafted["aud"] = object!(API);
    for (settings, expected) in [
        (Introspection::signed as fn(Introspection) -> Introspection, false),
        (|settings| settings.signed().dangerous().accept_draft_audience(), true),
        (|settings| settings.signed().signed_for(API), true),
        (|settings| settings.signed().signed_for("another"), false),
    ] {
        let world = World::new(settings);
        answering(&world, SIGNED, answer(&world.issuer, &drafted).mint());
        assert_eq!(world.validate("some-token").is_ok(), expected);
    }
    // By a name that is not the client's, and whoever has none says by which.
    let world = World::of(
        |issuer| {
            let bearer = ClientAuth::bearer("its-own");
            Issuer::introspect(A, Introspection::at(issuer.introspection_endpoint(), bearer).signed().signed_for("api"))
        },
        |builder| builder,
    );
    answering(&world, SIGNED, answer(&world.issuer, &claims()).mint());
    assert!(world.validate("some-token").is_ok());
}

#[test]
fn row_i32_an_answer_by_a_key_that_is_not_known_yet_has_it_fetched() {
    let world = signing(|settings| settings);
    assert!(world.validate(&world.token()).is_ok());
    world.issuer.rotate();
    assert!(world.validate(&world.token()).is_ok(), "I32");
    assert_eq!((world.asked(), world.issuer.requests().jwks), (2, 2), "I32 and the question is not asked twice");
    // A key that nobody has costs what the budget for unknown keys allows.
    let forged = answer(&world.issuer, &claims()).header("kid", "nobodys").mint();
    answering(&world, SIGNED, forged);
    for _ in 0..10 {
        unasked(world.validate(&world.token()));
    }
    assert!(world.issuer.requests().jwks <= 4, "I32 {:?}", world.issuer.requests());
}

#[test]
fn row_i32_an_answer_by_a_key_that_was_given_the_name_of_another_has_it_fetched() {
    let world = signing(|settings| settings);
    assert!(world.validate(&world.token()).is_ok());
    let successor = issuer(A, &world.clock);
    world.issuer.publish_raw(successor.jwks());
    answering(&world, SIGNED, answer(&successor, &claims()).mint());
    assert!(world.validate(&world.token()).is_ok(), "I32");
    let questions = world.way.questions().len();
    assert_eq!((questions, world.issuer.requests().jwks), (2, 2), "I32 and the question is not asked twice");
    // A signature that no key of the issuer made costs one fetch, and all of them what the budget for such allows.
    world.clock.advance(seconds(60));
    let mut fresh = claims();
    fresh["iat"] = object!(NOW + 60);
    answering(&world, SIGNED, answer(&successor, &fresh).tampered().mint());
    let fetches = world.issuer.requests().jwks;
    unasked(world.validate(&world.token()));
    assert_eq!(world.issuer.requests().jwks, fetches + 1, "I32");
    for _ in 0..10 {
        unasked(world.validate(&world.token()));
    }
    assert!(world.issuer.requests().jwks <= fetches + 2, "I32 {:?}", world.issuer.requests());
}

#[test]
fn row_i32_an_answer_is_of_the_time_when_it_was_asked_for() {
    let taken = |leeway: u64, issued: Value| {
        let world = World::with(Introspection::signed, |builder| builder.leeway(seconds(leeway)));
        let mut dated = claims();
        dated["iat"] = issued;
        answering(&world, SIGNED, answer(&world.issuer, &dated).mint());
        world.validate("some-token").is_ok()
    };
    for leeway in [0, 10, 60] {
        let span = i64::try_from(leeway).unwrap();
        for (issued, expected) in [(-span - 1, false), (-span, true), (0, true), (span, true), (span + 1, false)] {
            assert_eq!(taken(leeway, object!(NOW + issued)), expected, "I32 {leeway} {issued}");
        }
    }
    // Whoever kept one gives it again after the token was revoked.
    let world = signing(|settings| settings);
    let kept = answer(&world.issuer, &claims()).mint();
    answering(&world, SIGNED, kept);
    assert!(world.validate("some-token").is_ok());
    world.clock.advance(seconds(3600));
    unasked(world.validate("some-token"));
    assert_eq!(world.told.last_of(2), "unusable", "I32");
}

#[test]
fn row_i32_an_answer_is_as_late_as_its_issuer_is() {
    // What counts is when it was asked for, and not when it came.
    let world = World::with(|settings| settings.signed().deadline(seconds(10)), |builder| builder.leeway(seconds(0)));
    let token = world.token();
    world.script(Fault::delay(seconds(5)).times(1));
    let mut call = world.call(&token);
    assert!(waits(&mut call));
    soon("it is asked", || world.asked() == 1);
    world.clock.advance(seconds(5));
    assert!(block_on(call).is_ok(), "I32");
}

#[test]
fn an_answer_whose_keys_cannot_be_had_is_503() {
    let world = signing(|settings| settings);
    world.issuer.script(Fault::status(500).at(Endpoint::Jwks));
    let rejection = unasked(world.validate(&world.token()));
    assert!(words(&rejection).contains("no keys of the issuer"));
    world.issuer.recover();
    world.clock.advance(seconds(60));
    assert!(world.validate(&world.token()).is_ok());
}

#[test]
fn an_algorithm_that_the_issuer_may_not_use_signs_no_answer_either() {
    let world = World::of(
        |issuer| Issuer::introspect(A, at(issuer).signed()).algorithms([Algorithm::Rs256]),
        |builder| builder,
    );
    unasked(world.validate(&world.token()));
    assert_eq!(world.told.last_of(1), "unusable");
}

#[test]
fn the_keys_lie_where_the_settings_say() {
    // Nobody looks for metadata.
    let world =
        World::of(|issuer| Issuer::introspect(A, at(issuer).signed_by_keys_at(issuer.jwks_uri())), |builder| builder);
    assert!(world.validate(&world.token()).is_ok());
    let requests = world.issuer.requests();
    assert_eq!((requests.metadata, requests.jwks), (0, 1));

    let world =
        World::of(|issuer| Issuer::jwks(A, issuer.jwks_uri()).and_introspect(at(issuer).signed()), |builder| builder);
    let jwt = world.issuer.token().scope("read").mint();
    assert!(world.validate(&jwt).is_ok());
    let requests = world.issuer.requests();
    assert_eq!((requests.metadata, requests.jwks, requests.introspection), (0, 1, 1), "the keys of its JWTs");
}

#[test]
fn keys_that_contradict_each_other_are_found_when_the_validator_is_built() {
    let at = || Introspection::at("https://a.example.test/introspect", super::api());
    let secret = || Secret::new(Algorithm::Hs256, "a secret that has 32 octets, yes").unwrap();
    for (setting, issuer) in [
        ("signed_by_keys_at", Issuer::discover(A).and_introspect(at().signed_by_keys_at("https://a.example.test/k"))),
        ("signed_by_keys_at", Issuer::introspect(A, at().signed_by_keys_at("http://a.example.test/k"))),
        ("signed", Issuer::secrets(A, [secret()]).and_introspect(at().signed())),
    ] {
        let fetch = TestIssuer::new(A).fetch();
        let error = Validator::builder(API).trust(issuer).fetch(fetch).build().unwrap_err();
        assert_eq!(error.setting(), setting);
    }
}

#[test]
fn warm_up_brings_the_keys_of_signed_answers() {
    let world = signing(|settings| settings);
    assert!(!world.validator.health().is_ready());
    block_on(world.validator.warm_up()).unwrap();
    assert!(world.validator.is_ready() && world.validator.health().is_ready());
    assert_eq!(world.issuer.requests().jwks, 1);
}
