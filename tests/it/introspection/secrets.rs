//! Row I39: no secret and no token is ever shown, whatever goes wrong.

use std::error::Error;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_executor::block_on;
use scopegate::testing::{Fault, TestClock};
use scopegate::{
    Algorithm, ClientAuth, ClientKey, ClientSecret, Credentials, Fetch, FetchError, Introspection, Issuer, Validator,
};

use super::{A, API, Recorder, Told, World, json, words};
use crate::rotation::{issuer, read, seconds, soon};
use crate::watch::recorder::Kept;
use crate::watch::{Log, Watched};

const SECRET: &str = "S3cr3t-canary-of-more-than-32-octets";
const TOKEN: &str = "T0k3n-canary";

/// What must never be seen, in each of the forms in which it is sent.
fn canaries() -> Vec<String> {
    let basic = BASE64_STANDARD.encode(format!("api:{SECRET}"));
    vec!["3cr3t-canary".to_owned(), "0k3n-canary".to_owned(), basic]
}

#[track_caller]
fn is_clean(where_it_was: &str, text: &str) {
    for canary in canaries() {
        assert!(!text.contains(&canary), "I39 {where_it_was}: {text}");
    }
}

type Auths = Vec<(&'static str, ClientAuth)>;

fn auths() -> Auths {
    let asked = || ClientSecret::asked(|| Ok::<_, FetchError>(SECRET.to_owned()));
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = ClientKey::from_pem(Algorithm::Es256, &pair.serialize_pem(), None).unwrap();
    vec![
        ("basic", ClientAuth::basic("api", SECRET)),
        ("post", ClientAuth::post("api", SECRET)),
        ("secret_jwt", ClientAuth::secret_jwt("api", SECRET)),
        ("bearer", ClientAuth::bearer(SECRET)),
        ("basic, asked", ClientAuth::basic("api", asked())),
        ("private_key_jwt", ClientAuth::private_key_jwt("api", key)),
    ]
}

/// A world with every observer that there is, and what they wrote.
fn watched(auth: ClientAuth) -> (World, Log, Kept) {
    let (log, kept) = (Log::default(), Kept::default());
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(A, &clock);
    let way = Recorder::before(issuer.fetch());
    let told = Arc::new(Told::default());
    let introspection = Introspection::at(issuer.introspection_endpoint(), auth);
    is_clean("settings", &format!("{introspection:?} {introspection:#?}"));
    let trusted = Issuer::introspect(A, introspection);
    is_clean("the issuer", &format!("{trusted:?}"));
    let builder = Validator::builder(API).trust(trusted).fetch(way.clone()).clock(clock.clone());
    let builder = builder.observe(told.clone()).observe(Watched::new(log.clone(), &kept, 8));
    is_clean("the builder", &format!("{builder:?}"));
    let validator = builder.build().unwrap();
    (World { clock, issuer, validator, way, told }, log, kept)
}

#[test]
fn row_i39_no_secret_and_no_token_is_in_anything_that_a_failure_says() {
    let echo = format!(r#"{{"error":"bad","token":"{TOKEN}","secret":"{SECRET}"}}"#);
    let faults = || {
        vec![
            Fault::status(401).with_body(&*echo),
            Fault::status(403).with_body(&*echo).with_header("content-type", "text/html"),
            Fault::status(400).with_body(&*echo),
            Fault::status(500).with_body(&*echo).with_header("www-authenticate", SECRET),
            Fault::status(429).with_header("retry-after", SECRET),
            Fault::redirect(&format!("https://evil.test/?token={TOKEN}&secret={SECRET}")),
            Fault::body(&*echo),
            Fault::body(format!(r#"{{"active":"{TOKEN}"}}"#)),
            Fault::body(format!(r#"{{"active":true,"iss":"{TOKEN}","scope":"{TOKEN}","token_type":"Bearer"}}"#)),
            Fault::body(format!(r#"{{"active":true,"exp":"{TOKEN}"}}"#)),
            Fault::disconnect(),
            Fault::truncated(),
            Fault::endless(),
            Fault::hang(),
        ]
    };
    for (name, auth) in auths() {
        is_clean("the client", &format!("{auth:?} {auth:#?}"));
        let (world, log, kept) = watched(auth);
        for fault in faults() {
            world.script(fault);
            let rejection = world.late(world.call(TOKEN)).unwrap_err();
            is_clean(name, &words(&rejection));
            is_clean(name, &format!("{:?}", rejection.into_response()));
            is_clean(name, &words(&world.check(TOKEN).unwrap_err()));
            world.issuer.recover();
            world.clock.advance(seconds(3600));
        }
        // One that is good, and one that is dead.
        world.way.answer(|_| Some(json(200, r#"{"active":true,"token_type":"Bearer","scope":"read"}"#)));
        assert!(world.validate(&format!("{TOKEN}-2")).is_err());
        world.way.answer(|_| Some(json(200, r#"{"active":false}"#)));
        assert!(world.validate(&format!("{TOKEN}-3")).is_err());
        soon("all is told", || world.told.outcomes().len() >= 16 && log.lines().len() >= 16);
        is_clean("events", &world.told.words());
        is_clean("tracing", &log.lines().join("\n"));
        is_clean("metrics", &format!("{:?}", kept.scrape()));
        is_clean("the validator", &format!("{:?} {:?}", world.validator, world.validator.health()));
        for sent in world.way.questions() {
            is_clean("a URL", &sent.url);
            assert_eq!(sent.url, world.issuer.introspection_endpoint());
        }
    }
}

#[test]
fn row_i39_an_accepted_token_shows_nothing_of_itself() {
    let (world, ..) = watched(ClientAuth::basic("api", "api"));
    let token = world.issuer.token().subject(TOKEN).scope(&format!("read {TOKEN}")).mint_opaque_as(TOKEN);
    let accepted = world.validate(&token).unwrap();
    is_clean("the token", &format!("{accepted:?} {accepted:#?}"));
    is_clean("the credentials", &format!("{:?}", Credentials::bearer(&token)));
}

/// A way out that fails in its own words, which are the program's.
#[derive(Debug)]
struct Broken;

impl Fetch for Broken {
    fn fetch(&self, request: http::Request<bytes::Bytes>, _: scopegate::FetchLimits) -> scopegate::Fetching<'_> {
        let is_sensitive = request.headers().get("authorization").is_some_and(http::HeaderValue::is_sensitive);
        assert!(is_sensitive, "what a log shows of a request is told to be left out");
        is_clean("a request's headers", &format!("{:?}", request.headers()));
        Box::pin(async { panic!("a test's own") })
    }
}

#[test]
fn row_i39_a_way_out_that_panics_is_503_and_shows_nothing() {
    for auth in [ClientAuth::basic("api", SECRET), ClientAuth::bearer(SECRET)] {
        let introspection = Introspection::at("https://a.example.test/introspect", auth);
        let told = Arc::new(Told::default());
        let builder = Validator::builder(API).trust(Issuer::introspect(A, introspection)).fetch(Arc::new(Broken));
        let validator = builder.observe(told.clone()).build().unwrap();
        let rejection = super::unasked(block_on(validator.validate(&Credentials::bearer(TOKEN), &read())));
        assert!(rejection.source().is_some());
        is_clean("the rejection", &words(&rejection));
        assert_eq!(told.last_of(1), "other");
        is_clean("events", &told.words());
    }
}
