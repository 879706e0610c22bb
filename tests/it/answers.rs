//! What a client is told: status, challenge, headers and body of each refusal, and nothing of what it sent.

mod reader;

use std::collections::BTreeSet;
use std::error::Error as _;

use axum::extract::FromRequestParts;
use futures_executor::block_on;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response};
use scopegate::testing::{Fault, TestClock, TestIssuer, TestToken};
use scopegate::{
    AccessToken, Algorithm, Challenge, Credentials, Family, Issuer, KeySet, Reason, Rejection, Requirement,
    ScopePolicy, Validator, ValidatorBuilder,
};

use reader::parse;

const API: &str = "https://api.example.test";
const ISSUER: &str = "https://a.example.test";

/// An issuer whose keys the validator has, and the clock of both.
struct World {
    issuer: TestIssuer,
    clock: TestClock,
    validator: Validator,
    read: Requirement,
}

impl World {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl FnOnce(ValidatorBuilder) -> ValidatorBuilder) -> Self {
        let clock = TestClock::at(1_800_000_000);
        let issuer = TestIssuer::new(ISSUER).clock(&clock).default_audience(API);
        let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
        let builder = Validator::builder(API).trust(Issuer::keys(ISSUER, keys)).clock(clock.clone());
        Self { issuer, clock, validator: settings(builder).build().unwrap(), read: demand(&["read"]) }
    }

    fn token(&self) -> TestToken {
        self.issuer.token().scope("read write")
    }

    fn refused(&self, credentials: &Credentials<'_>) -> Rejection {
        self.validator.check(credentials, &self.read).unwrap_err()
    }

    fn refused_token(&self, token: TestToken) -> Rejection {
        self.refused(&Credentials::bearer(&token.mint()))
    }

    fn refused_fields(&self, fields: &[&str]) -> Rejection {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
        }
        self.refused(&Credentials::from_headers(&headers))
    }

    /// Nothing has been fetched, and nothing has failed.
    fn keyless(&self) -> Validator {
        let remote = Issuer::discover(ISSUER);
        Validator::builder(API).trust(remote).fetch(self.issuer.fetch()).clock(self.clock.clone()).build().unwrap()
    }
}

fn demand(any: &[&str]) -> Requirement {
    ScopePolicy::any(any.iter().copied()).unwrap().into()
}

/// Every reason that a request can be refused for, each brought about by one defect.
fn every_reason() -> Vec<(Reason, Rejection)> {
    let world = World::new();
    let token = || world.token();
    let fields = |fields: &[&str]| world.refused_fields(fields);
    let secret = [7; 32];
    let mut all = vec![
        (Reason::NoCredentials, fields(&[])),
        (Reason::AmbiguousCredentials, fields(&["Bearer a.b.c", "Bearer a.b.c"])),
        (Reason::MalformedCredentials, fields(&["Bearer a b"])),
        (Reason::TooLong, fields(&[&format!("Bearer {}", "a".repeat(16_385))])),
        (Reason::Malformed, fields(&["Bearer not.a.token"])),
        (Reason::Encrypted, fields(&["Bearer e30.e30.e30.e30.e30"])),
        (Reason::UnknownKey, world.refused_token(token().header("kid", "nobody"))),
        (Reason::InsufficientScope, world.refused_token(token().scope("write"))),
    ];
    all.extend(
        [
            (Reason::UnsupportedExtension, token().header("crit", ["exp"])),
            (Reason::AlgorithmRefused, token().signed_with_secret(Algorithm::Hs256, &secret)),
            (Reason::UntrustedIssuer, token().claim("iss", "https://b.example.test")),
            (Reason::BadSignature, token().signed_by_stranger()),
            (Reason::WrongType, token().typ("JWT")),
            (Reason::WrongAudience, token().audience("https://other.example.test")),
            (Reason::Expired, token().expired()),
            (Reason::NotYetValid, token().not_yet_valid()),
            (Reason::MissingClaim, token().without("sub")),
            (Reason::MalformedClaim, token().claim("exp", "tomorrow")),
            (Reason::Unbound, token().claim("cnf", std::collections::BTreeMap::from([("jkt", "x")]))),
        ]
        .map(|(reason, token)| (reason, world.refused_token(token))),
    );
    let good = token().mint();
    let keyless = world.keyless().check(&Credentials::bearer(&good), &world.read).unwrap_err();
    all.push((Reason::KeysUnavailable, keyless));
    let (mut parts, ()) = http::Request::new(()).into_parts();
    let unguarded = block_on(<AccessToken as FromRequestParts<()>>::from_request_parts(&mut parts, &())).unwrap_err();
    all.push((Reason::Misconfigured, unguarded));
    all
}

/// The answers, as one would write them by hand.
const fn expected(family: Family) -> (u16, Option<&'static str>, Option<&'static str>, &'static str) {
    match family {
        Family::NothingPresented => (
            401,
            Some(r#"Bearer realm="https://api.example.test", scope="read""#),
            None,
            r#"{"error_description":"This request needs a bearer token."}"#,
        ),
        Family::InvalidRequest => (
            400,
            Some(
                r#"Bearer realm="https://api.example.test", error="invalid_request", error_description="The credentials of this request cannot be read, or there is more than one set of them.""#,
            ),
            None,
            r#"{"error":"invalid_request","error_description":"The credentials of this request cannot be read, or there is more than one set of them."}"#,
        ),
        Family::InvalidToken => (
            401,
            Some(
                r#"Bearer realm="https://api.example.test", error="invalid_token", error_description="The access token is malformed, expired, revoked, or not meant for this service.""#,
            ),
            None,
            r#"{"error":"invalid_token","error_description":"The access token is malformed, expired, revoked, or not meant for this service."}"#,
        ),
        Family::InsufficientScope => (
            403,
            Some(
                r#"Bearer realm="https://api.example.test", error="insufficient_scope", error_description="The access token does not carry the scope that this request needs.", scope="read""#,
            ),
            None,
            r#"{"error":"insufficient_scope","error_description":"The access token does not carry the scope that this request needs."}"#,
        ),
        Family::Unavailable => (
            503,
            None,
            Some("1"),
            r#"{"error":"temporarily_unavailable","error_description":"The access token cannot be judged at the moment."}"#,
        ),
        _ => (
            500,
            None,
            None,
            r#"{"error":"server_error","error_description":"No RequireTokenLayer guards this route, so it has no access token to hand out."}"#,
        ),
    }
}

fn text<'r, B>(response: &'r Response<B>, name: &http::HeaderName) -> Option<&'r str> {
    let mut all = response.headers().get_all(name).iter();
    let first = all.next().map(|value| value.to_str().unwrap());
    assert!(all.next().is_none(), "{name} stands twice");
    first
}

/// Everything that a client sees, as text.
fn seen(rejection: &Rejection) -> String {
    let response = rejection.clone().into_response();
    format!("{:?} {:?} {:?}", response.status(), response.headers(), response.body())
}

#[test]
fn each_reason_is_answered_as_its_family_is() {
    let mut labels = BTreeSet::new();
    for (reason, rejection) in every_reason() {
        assert_eq!(rejection.reason(), reason, "the defect made is not the one that was found");
        labels.insert(reason.label());
        let (status, challenge, retry_after, body) = expected(reason.family());
        assert_eq!(rejection.status(), status, "{reason}");
        assert_eq!(rejection.challenge().map(|value| value.to_str().unwrap()), challenge, "{reason}");
        assert_eq!(
            rejection.retry_after().map(|after| after.as_secs().to_string()).as_deref(),
            retry_after,
            "{reason}"
        );

        let response = rejection.into_response();
        assert_eq!(response.status(), status, "{reason}");
        assert_eq!(text(&response, &WWW_AUTHENTICATE), challenge, "{reason}");
        assert_eq!(text(&response, &RETRY_AFTER), retry_after, "{reason}");
        assert_eq!(text(&response, &CACHE_CONTROL), Some("no-store"), "{reason}");
        assert_eq!(text(&response, &CONTENT_TYPE), Some("application/json"), "{reason}");
        let known = 2 + usize::from(challenge.is_some()) + usize::from(retry_after.is_some());
        assert_eq!(response.headers().len(), known, "{reason}");
        assert_eq!(response.body(), body, "{reason}");
    }
    assert_eq!(labels.len(), 21, "a reason of the crate is missing here: {labels:?}");
}

#[test]
fn the_body_says_what_the_challenge_says() {
    for (reason, rejection) in every_reason() {
        let challenge = rejection.challenge().map(|value| parse(value.to_str().unwrap()).unwrap());
        let body: serde_json::Value = serde_json::from_slice(rejection.into_response().body()).unwrap();
        let body = body.as_object().unwrap();
        assert!(body.keys().all(|name| name == "error" || name == "error_description"), "{reason}");
        let Some(challenge) = challenge else { continue };
        assert_eq!(challenge.scheme, "Bearer", "{reason}");
        let in_body = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
        assert_eq!(challenge.get("error"), in_body("error"), "{reason}");
        if reason != Reason::NoCredentials {
            assert_eq!(challenge.get("error_description"), in_body("error_description"), "{reason}");
        }
    }
}

#[test]
fn r01_who_presented_nothing_is_told_the_realm_and_the_scope_and_no_error() {
    let world = World::new();
    for fields in [&[][..], &["Basic dTpw"], &["DPoP a.b.c"], &[""]] {
        let challenge = parse(world.refused_fields(fields).challenge().unwrap().to_str().unwrap()).unwrap();
        assert_eq!(challenge.names(), ["realm", "scope"], "R01 {fields:?}");
        assert_eq!((challenge.get("realm"), challenge.get("scope")), (Some(API), Some("read")), "R01 {fields:?}");
    }
}

#[test]
fn r25_the_metadata_url_stands_once_in_every_challenge() {
    const URL: &str = "https://api.example.test/.well-known/oauth-protected-resource";
    let world = World::with(|builder| builder.resource_metadata(URL));
    let tokens = [world.token().expired(), world.token().scope("write")];
    let mut rejections: Vec<_> = tokens.into_iter().map(|token| world.refused_token(token)).collect();
    rejections.extend([&[][..], &["Bearer a", "Bearer b"]].map(|fields| world.refused_fields(fields)));
    for rejection in rejections {
        let value = rejection.challenge().unwrap().to_str().unwrap();
        let challenge = parse(value).unwrap();
        assert!(value.starts_with("Bearer realm=\""), "R25 a comma follows the scheme: {value}");
        assert_eq!(challenge.get("resource_metadata"), Some(URL), "R25 {value}");
        assert_eq!(value.matches("Bearer").count(), 1, "R25 more than one challenge: {value}");
    }
}

#[test]
fn a_realm_comes_back_from_its_quotes_as_it_went_in() {
    let every_character: String = (' '..='~').collect();
    let traps =
        [r#"""#, r"\", r#"\""#, r#"a", error="invalid_token"#, r#"x\", scope="admin"#, "a, Basic realm=b", "\\\\"];
    let realms = (' '..='~').map(String::from).chain(traps.map(String::from)).chain([every_character]);
    for realm in realms {
        let world = World::with(|builder| builder.realm(&*realm));
        let rejection = world.refused_fields(&[]);
        let challenge = parse(rejection.challenge().unwrap().to_str().unwrap()).unwrap();
        assert_eq!(challenge.names(), ["realm", "scope"], "{realm:?}");
        assert_eq!(challenge.get("realm"), Some(&*realm), "{realm:?}");
    }
}

#[test]
fn no_value_ends_its_quotes_or_the_field() {
    for hostile in ["\"", "\\", "\r\nX-Evil: 1", "\0", "\u{7f}", "é", "\u{2028}", "a\", error=\"x", "\\\", error=\"x"]
    {
        let of = |set: fn(Challenge, &str) -> Challenge| set(Challenge::new().realm("r"), hostile).to_header_value();
        let setters: [fn(Challenge, &str) -> Challenge; 6] = [
            Challenge::realm,
            Challenge::error,
            Challenge::error_description,
            Challenge::error_uri,
            Challenge::scope,
            Challenge::resource_metadata,
        ];
        for set in setters {
            let value = of(set);
            let challenge = parse(value.to_str().unwrap()).unwrap_or_else(|| panic!("{hostile:?} breaks {value:?}"));
            assert!(challenge.names().len() <= 2, "{hostile:?} adds a parameter: {value:?}");
            let others = challenge.parameters.iter().filter(|(name, _)| name != "realm");
            for (name, text) in others {
                assert!(!text.contains(['"', '\\']), "RFC 6750 s3 allows neither in {name}: {value:?}");
            }
        }
    }
}

#[test]
fn a_client_is_told_the_shortest_alternative() {
    let world = World::new();
    let told = |demand: &Requirement, token: &Credentials<'_>| {
        let rejection = world.validator.check(token, demand).unwrap_err();
        let challenge = parse(rejection.challenge().unwrap().to_str().unwrap()).unwrap();
        challenge.get("scope").map(str::to_owned)
    };
    let poor = world.issuer.token().scope("other").mint();
    let (nothing, poor) = (HeaderMap::new(), Credentials::bearer(&poor));
    let nothing = Credentials::from_headers(&nothing);
    for (any, shortest) in [
        (&["a b c", "d e", "f"][..], "f"),
        (&["a b c", "d e"], "d e"),
        (&["a b", "c d"], "a b"),
        (&["a a a", "b c"], "a"),
        (&["!#$%&'()*+,-./:;<=>?@[]^_`{|}~"], "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"),
    ] {
        for presented in [&nothing, &poor] {
            assert_eq!(told(&demand(any), presented).as_deref(), Some(shortest), "{any:?}");
        }
    }
    assert_eq!(told(&ScopePolicy::none().into(), &nothing), None);
}

#[test]
fn a_judgement_that_was_not_made_says_when_to_come_again_and_challenges_nobody() {
    let world = World::new();
    let validator = world.keyless();
    let good = world.token().mint();
    let started = validator.check(&Credentials::bearer(&good), &world.read).unwrap_err();
    assert!(started.validate_could_decide());
    assert!(started.source().is_none());

    let validator = world.keyless();
    world.issuer.script(Fault::disconnect());
    let failed = block_on(validator.validate(&Credentials::bearer(&good), &world.read)).unwrap_err();
    assert!(!failed.validate_could_decide());
    assert!(failed.source().is_some(), "the operator is told why");
    for rejection in [started, failed] {
        assert_eq!((rejection.reason(), rejection.status().as_u16()), (Reason::KeysUnavailable, 503));
        let after = rejection.retry_after().unwrap();
        let after = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let response = rejection.into_response();
        assert_eq!(text(&response, &RETRY_AFTER), Some(after.to_string().as_str()));
        assert!((1..=2).contains(&after));
        assert_eq!(text(&response, &WWW_AUTHENTICATE), None);
    }
}

const HOSTILE: [&str; 8] = [
    "c4n4ry\"",
    "c4n4ry\\",
    "c4n4ry\r\nX-Evil: 1",
    "c4n4ry\u{e9}\u{20ac}",
    "c4n4ry\0",
    "c4n4ry\u{7f}\u{85}",
    "c4n4ry <b>",
    "c4n4ry\", error=\"x",
];

#[test]
fn r22_nothing_that_a_token_says_changes_a_byte_of_the_answer() {
    let world = World::new();
    let plain = seen(&world.refused_token(world.token().expired()));
    for hostile in HOSTILE {
        let spoiled = [
            ("kid", world.token().header("kid", hostile)),
            ("kid and signature", world.token().header("kid", hostile).signed_by_stranger()),
            ("typ", world.token().typ(hostile)),
            ("alg", world.token().header("alg", hostile)),
            ("iss", world.token().claim("iss", hostile)),
            ("aud", world.token().audience(hostile)),
            ("sub", world.token().subject(hostile).expired()),
            ("client_id", world.token().client_id(hostile).expired()),
            ("jti", world.token().claim("jti", hostile).expired()),
            ("scope", world.token().scope(hostile).expired()),
            ("exp", world.token().claim("exp", hostile)),
            ("another claim", world.token().claim(hostile, hostile).expired()),
            ("another parameter", world.token().header(hostile, hostile).expired()),
        ];
        for (place, token) in spoiled {
            let rejection = world.refused_token(token);
            assert_eq!(rejection.reason().family(), Family::InvalidToken, "R22 {place} {hostile:?}");
            assert_eq!(seen(&rejection), plain, "R22 {place} {hostile:?}");
            for shown in [format!("{rejection}"), format!("{rejection:?}")] {
                assert!(!shown.contains("c4n4ry"), "R22 {place} {hostile:?} is in {shown}");
            }
        }
    }
}

#[test]
fn r22_nothing_that_a_good_token_says_changes_a_byte_of_the_answer_to_too_little_scope() {
    let world = World::new();
    let plain = seen(&world.refused_token(world.issuer.token().scope("write")));
    for hostile in HOSTILE {
        let token = || world.issuer.token().subject(hostile).client_id(hostile).claim("jti", hostile);
        for token in [token().scope("write"), token().scope(hostile), token().claim("scope", ["read"])] {
            let rejection = world.refused_token(token);
            match rejection.reason().family() {
                Family::InsufficientScope => assert_eq!(seen(&rejection), plain, "R22 {hostile:?}"),
                family => assert_eq!(family, Family::InvalidToken, "R22 {hostile:?}"),
            }
            assert!(!format!("{rejection:?} {rejection}").contains("c4n4ry"), "R22 {hostile:?}");
        }
    }
}

#[test]
fn r23_no_more_than_five_answers_are_ever_given_for_what_was_presented() {
    let mut answers = BTreeSet::new();
    for (reason, rejection) in every_reason() {
        if reason != Reason::Misconfigured {
            answers.insert(seen(&rejection));
        }
    }
    assert_eq!(answers.len(), 5, "R23 {answers:#?}");
}

#[test]
fn r23_no_answer_holds_anything_of_the_token_or_the_keys() {
    let world = World::new();
    let token = world.token().subject("c4n4ry").expired().mint();
    let rejection = world.refused(&Credentials::bearer(&token));
    let shown = format!("{} {rejection:?} {rejection}", seen(&rejection));
    let kid = "es256-1";
    assert!(world.issuer.jwks().contains(kid));
    for part in token.split('.').chain(["c4n4ry", kid, "jsonwebtoken", "aws", "serde", ISSUER]) {
        assert!(!shown.contains(part), "R23 {part} is in {shown}");
    }
}
