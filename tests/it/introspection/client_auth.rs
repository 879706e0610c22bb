//! How the program proves to the issuer who it is.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use rcgen::KeyPair;
use scopegate::testing::{TestClock, TestIssuer};
use scopegate::{
    AccessToken, Algorithm, ClientAuth, ClientKey, ClientSecret, ConfigError, Credentials, Introspection, Issuer,
    KeySet, Profile, Reason, Rejection, Requirement, ScopePolicy, Secret, Spared, Validator,
};
use serde_json::{Value, json as object};

use super::{A, API, Sent, World, json, unasked, words};
use crate::rotation::{seconds, soon};

const SECRET: &str = "p@ss:w/rd+%= x";
const LONG: &str = "a secret of more than 32 octets, as HS256 wants";

/// A world whose issuer is asked as this client.
pub(crate) fn world(auth: impl FnOnce(&TestIssuer) -> ClientAuth) -> World {
    World::of(|issuer| Issuer::introspect(A, Introspection::at(issuer.introspection_endpoint(), auth(issuer))), |it| it)
}

/// The same with an issuer that believes everybody.
fn believed(auth: ClientAuth) -> World {
    let world = world(|_| auth);
    world.way.answer(|sent| (sent.method == "POST").then(|| json(200, r#"{"active":false}"#)));
    world
}

/// The question that is sent about a token.
fn question(world: &World) -> Sent {
    assert!(world.validate("some-token").is_err());
    world.clock.advance(seconds(60));
    world.way.question()
}

fn names(sent: &Sent) -> Vec<&str> {
    sent.form.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn basic_sends_both_parts_in_the_encoding_of_forms() {
    let world = world(|issuer| {
        issuer.client_secret("cli:ent 1", SECRET);
        ClientAuth::basic("cli:ent 1", SECRET)
    });
    let token = world.token();
    assert!(world.validate(&token).is_ok());
    let sent = world.way.question();
    let pair = sent.authorization.as_deref().unwrap().strip_prefix("Basic ").unwrap();
    // RFC 6749 s2.3.1.
    assert_eq!(BASE64_STANDARD.decode(pair).unwrap(), b"cli%3Aent+1:p%40ss%3Aw%2Frd%2B%25%3D+x");
    assert_eq!(names(&sent), ["token", "token_type_hint"]);
    assert_eq!(
        (sent.field("token").unwrap(), sent.field("token_type_hint").unwrap()),
        (token, "access_token".to_owned())
    );
    assert_eq!(
        (sent.url.as_str(), sent.accept.as_deref()),
        ("https://a.example.test/introspect", Some("application/json"))
    );
}

#[test]
fn post_sends_both_in_the_form() {
    let world = world(|issuer| {
        issuer.client_secret("cli:ent 1", SECRET);
        ClientAuth::post("cli:ent 1", SECRET)
    });
    assert!(world.validate(&world.token()).is_ok());
    let sent = world.way.question();
    assert_eq!(names(&sent), ["token", "token_type_hint", "client_id", "client_secret"]);
    assert_eq!(
        (sent.field("client_id").unwrap(), sent.field("client_secret").unwrap()),
        ("cli:ent 1".to_owned(), SECRET.to_owned())
    );
    assert_eq!(sent.authorization, None);
}

#[test]
fn a_bearer_token_of_the_programs_own_stands_in_the_header_alone() {
    let sent = question(&believed(ClientAuth::bearer("its.own~token")));
    assert_eq!(sent.authorization.as_deref(), Some("Bearer its.own~token"));
    assert_eq!(names(&sent), ["token", "token_type_hint"]);
}

#[test]
fn a_certificate_needs_the_clients_name_in_the_form() {
    let sent = question(&believed(ClientAuth::certificate("things-api")));
    assert_eq!((sent.authorization.as_ref(), sent.field("client_id").as_deref()), (None, Some("things-api")));
    assert_eq!(names(&sent), ["token", "token_type_hint", "client_id"]);
}

#[test]
fn a_certificate_is_shown_at_the_address_that_is_meant_for_certificates() {
    let discovered = |auth| World::of(|_| Issuer::introspect(A, Introspection::discover(auth)), |builder| builder);
    for (auth, address) in [
        (ClientAuth::certificate("api"), "https://mtls.example.test/i"),
        (super::api(), "https://a.example.test/plain"),
    ] {
        let world = discovered(auth);
        world.way.answer(|sent| {
            let metadata = object!({
                "issuer": A, "introspection_endpoint": "https://a.example.test/plain",
                "mtls_endpoint_aliases": { "introspection_endpoint": "https://mtls.example.test/i" },
            });
            Some(json(200, if sent.method == "GET" { metadata } else { object!({"active": false}) }.to_string()))
        });
        assert_eq!(question(&world).url, address);
    }
    // Without an alias it is the address of everybody.
    let world = discovered(ClientAuth::certificate("api"));
    world.way.answer(|sent| (sent.method == "POST").then(|| json(200, r#"{"active":false}"#)));
    assert_eq!(question(&world).url, "https://a.example.test/introspect");
}

/// The claims of an assertion that is good by the rules of JWTs: signed, the client's, for this audience.
fn verified(assertion: &str, client: Issuer, audience: &str) -> Value {
    judged(assertion, client, audience).unwrap().claims().unwrap()
}

fn judged(assertion: &str, client: Issuer, audience: &str) -> Result<AccessToken, Rejection> {
    let client = client.profile(Profile::PlainJwt);
    let validator = Validator::builder(audience).trust(client).leeway(seconds(0)).clock(TestClock::at(1_800_000_000));
    let nothing = Requirement::from(ScopePolicy::none());
    validator.build().unwrap().check(&Credentials::bearer(assertion), &nothing)
}

fn header(jwt: &str) -> Value {
    part(jwt, 0)
}

fn part(jwt: &str, at: usize) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(at).unwrap()).unwrap()).unwrap()
}

/// What RFC 7523 s3 wants of an assertion.
#[track_caller]
fn is_sound(claims: &Value, audience: &str, jtis: &mut HashSet<String>) {
    assert_eq!((&claims["iss"], &claims["sub"]), (&object!("client-1"), &object!("client-1")));
    assert_eq!(claims["aud"], audience);
    assert_eq!(claims["iat"], 1_800_000_000);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    let jti = claims["jti"].as_str().unwrap();
    assert!(jti.len() >= 22 && jtis.insert(jti.to_owned()), "a name of its own: {jti}");
    assert_eq!(claims.as_object().unwrap().len(), 6);
}

fn assertion(sent: &Sent) -> String {
    assert_eq!(sent.authorization, None);
    assert_eq!(names(sent), ["token", "token_type_hint", "client_id", "client_assertion_type", "client_assertion"]);
    assert_eq!(sent.field("client_id").unwrap(), "client-1");
    let kind = sent.field("client_assertion_type").unwrap();
    assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    sent.field("client_assertion").unwrap()
}

#[test]
fn a_secret_signs_an_assertion_and_is_not_sent() {
    let mut jtis = HashSet::new();
    let plain = || ClientAuth::secret_jwt("client-1", LONG);
    let token_endpoint = "https://a.example.test/token";
    for (auth, audience, kind) in [
        (plain(), A, "JWT"),
        (plain().assertion_audience(token_endpoint), token_endpoint, "JWT"),
        (plain().explicitly_typed(), A, "client-authentication+jwt"),
    ] {
        let world = believed(auth);
        for number in 0..3 {
            assert!(world.validate(&format!("token-{number}")).is_err());
            let sent = world.way.question();
            let assertion = assertion(&sent);
            assert_eq!(header(&assertion), object!({"alg": "HS256", "typ": kind}));
            let secret = Secret::new(Algorithm::Hs256, LONG).unwrap();
            let client = Issuer::secrets("client-1", [secret]);
            match judged(&assertion, client, audience) {
                Ok(token) => is_sound(&token.claims().unwrap(), audience, &mut jtis),
                // It says of itself that it is no access token.
                Err(rejection) => {
                    assert_eq!((rejection.reason(), kind), (Reason::WrongType, "client-authentication+jwt"));
                    is_sound(&part(&assertion, 1), audience, &mut jtis);
                }
            }
            assert!(!format!("{sent:?}").contains(LONG));
        }
    }
    assert_eq!(jtis.len(), 9);
}

fn key_pair(algorithm: Algorithm) -> KeyPair {
    match algorithm {
        Algorithm::Es256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        Algorithm::Es384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        Algorithm::EdDsa => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        _ => KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256),
    }
    .unwrap()
}

#[test]
fn a_private_key_signs_an_assertion_that_its_public_half_verifies() {
    let mut jtis = HashSet::new();
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Ps256] {
        let pair = key_pair(algorithm);
        // A test issuer makes the public half of it.
        let owner = TestIssuer::with_algorithms("https://owner.test", []);
        let kid = owner.add_pkcs8(algorithm, &pair.serialize_der());
        for (key, named) in [
            (ClientKey::from_pem(algorithm, &pair.serialize_pem(), Some(&kid)).unwrap(), true),
            (ClientKey::from_pkcs8(algorithm, &pair.serialize_der(), None).unwrap(), false),
            (ClientKey::asked(move || ClientKey::from_pkcs8(algorithm, &pair.serialize_der(), None)), false),
        ] {
            let world = believed(ClientAuth::private_key_jwt("client-1", key));
            let assertion = assertion(&question(&world));
            let mut expected = object!({"alg": algorithm.name(), "typ": "JWT"});
            if named {
                expected["kid"] = kid.as_str().into();
            }
            assert_eq!(header(&assertion), expected);
            let keys = KeySet::from_json(owner.jwks().as_bytes()).unwrap();
            let client = Issuer::keys("client-1", keys).algorithms([algorithm]);
            is_sound(&verified(&assertion, client, A), A, &mut jtis);
        }
    }
}

#[test]
fn row_i16_a_secret_that_the_issuer_does_not_believe_is_503_and_stops_at_twenty() {
    let world = world(|_| ClientAuth::basic("api", "wrong"));
    for failures in 1..=20 {
        let rejection = unasked(world.validate(&world.token()));
        assert!(words(&rejection).contains("401"), "I16");
        assert_eq!(world.asked(), failures, "I16 a value is not asked for again");
    }
    unasked(world.validate(&world.token()));
    assert_eq!(world.asked(), 20, "I16");
    soon("I16 it is told", || world.told.halts() == [Some(Spared::Breaker)]);
    assert!(world.told.outcomes().iter().all(|label| *label == "client_refused"), "I16");
}

#[test]
fn what_cannot_prove_anything_is_found_when_the_validator_is_built() {
    let built = |auth| {
        let introspection = Introspection::at("https://as.example.test/introspect", auth);
        let builder = Validator::builder(API).trust(Issuer::introspect(A, introspection));
        builder.fetch(TestIssuer::new(A).fetch()).build().map(|_| ())
    };
    for auth in [
        ClientAuth::basic("api", ""),
        ClientAuth::basic("", "secret"),
        ClientAuth::post("api", ""),
        ClientAuth::post("", "secret"),
        ClientAuth::bearer(""),
        ClientAuth::bearer("S3cr3t-canary\n"),
        ClientAuth::secret_jwt("api", ""),
        ClientAuth::secret_jwt("api", "S3cr3t-canary-of-31-octets-long"),
        ClientAuth::secret_jwt("", LONG),
        ClientAuth::certificate(""),
    ] {
        let error = built(auth.clone()).unwrap_err();
        assert_eq!(error.setting(), "authenticate", "{auth:?}");
        assert!(!words(&error).contains("canary"), "{error}");
    }
    assert!(built(ClientAuth::secret_jwt("api", "a secret that has 32 octets, yes")).is_ok());
    assert!(built(ClientAuth::basic("api", ClientSecret::asked(|| Ok::<_, ConfigError>(String::new())))).is_ok());
}

#[test]
fn what_is_no_private_key_for_its_algorithm_is_refused_and_not_shown() {
    let (pair, other) = (key_pair(Algorithm::Es256), key_pair(Algorithm::Es256));
    let pem = pair.serialize_pem();
    let renamed = |name: &str| pem.replace("PRIVATE KEY", name);
    let body = pem.lines().nth(1).unwrap();
    for bad in [
        String::new(),
        "S3cr3t-canary".to_owned(),
        renamed("EC PRIVATE KEY"),
        renamed("ENCRYPTED PRIVATE KEY"),
        renamed("PUBLIC KEY"),
        format!("{pem}{}", other.serialize_pem()),
        pem.replacen(body, &body[..body.len() - 4], 1),
        pem.replacen(body, "!!!!", 1),
        pem.replace("-----END PRIVATE KEY-----", ""),
    ] {
        let error = ClientKey::from_pem(Algorithm::Es256, &bad, None).unwrap_err();
        assert_eq!(error.setting(), "private_key_jwt");
        assert!(!words(&error).contains("canary") && !words(&error).contains(&body[..16]), "{error}");
    }
    for algorithm in [Algorithm::Es384, Algorithm::Rs256, Algorithm::EdDsa, Algorithm::Hs256] {
        assert!(ClientKey::from_pem(algorithm, &pem, None).is_err(), "{algorithm:?}");
    }
    assert!(ClientKey::from_pem(Algorithm::Es256, &pem.replace('\n', "\r\n"), None).is_ok());
    assert!(ClientKey::from_pem(Algorithm::Es256, &format!("a comment\n{pem}\n"), None).is_ok());
}
