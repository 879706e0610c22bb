//! Rows J47 to J50: what the metadata of an issuer may say, and where it may lead.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_executor::block_on;
use scopegate::Reason::AlgorithmRefused;
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer};
use scopegate::{Algorithm, Credentials, Fetch, FetchError, FetchLimits, Fetching, Issuer, Validator};
use serde_json::json;

use super::rows::scope;
use super::world::{A, API, NOW};

/// What went wrong with the one issuer that there is.
pub(crate) fn cause(error: &FetchError) -> &FetchError {
    match error {
        FetchError::Issuer { source, .. } => source.downcast_ref().unwrap(),
        error => error,
    }
}

/// The way to an issuer, which remembers every address that was asked, whosever it is.
#[derive(Debug)]
struct Recording(Arc<dyn Fetch>, Mutex<Vec<String>>);

impl Fetch for Recording {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        self.1.lock().unwrap().push(request.uri().to_string());
        self.0.fetch(request, limits)
    }
}

impl Recording {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.1.lock().unwrap())
    }
}

/// An issuer A that is found by its metadata, and who it is asked by.
fn discovering() -> (TestClock, TestIssuer, Arc<Recording>, Validator) {
    let clock = TestClock::at(NOW);
    let issuer = TestIssuer::new(A).clock(&clock).default_audience(API);
    let way = Arc::new(Recording(issuer.fetch(), Mutex::default()));
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(Arc::<Recording>::clone(&way) as _);
    let validator = builder.clock(clock.clone()).build().unwrap();
    (clock, issuer, way, validator)
}

fn says(metadata: &str) -> Fault {
    Fault::body(metadata).at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata)
}

const GOOD_PLACE: &str = "https://a.example.test/jwks";

/// Metadata that is not followed, and what the row says it is.
fn leading_elsewhere() -> [(&'static str, String); 8] {
    let of = |issuer: &str, jwks_uri: &str| json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string();
    [
        ("J47 another issuer", of("https://evil.test", GOOD_PLACE)),
        ("J47 another issuer, and its keys", of("https://evil.test", "https://evil.test/jwks")),
        ("J47 a slash more", of("https://a.example.test/", GOOD_PLACE)),
        ("J47 no issuer", json!({"jwks_uri": GOOD_PLACE}).to_string()),
        ("J48 http", of(A, "http://a.example.test/jwks")),
        ("J48 file", of(A, "file:///etc/passwd")),
        ("J48 the metadata of a cloud", of(A, "http://169.254.169.254/")),
        ("J48 the same in full", of(A, "http://169.254.169.254/latest/meta-data/")),
    ]
}

fn is_metadata(url: &str) -> bool {
    url.starts_with("https://a.example.test/") && url.contains("/.well-known/")
}

#[test]
fn row_j47_row_j48_metadata_that_leads_elsewhere_is_not_followed() {
    for (about, metadata) in leading_elsewhere() {
        let (_, issuer, way, validator) = discovering();
        issuer.script(says(&metadata));
        let error = block_on(validator.warm_up()).unwrap_err();
        assert!(matches!(cause(&error), FetchError::Unusable { .. }), "{about}: {error:?}");
        let asked = way.asked();
        assert!(
            !asked.is_empty() && asked.iter().all(|url| is_metadata(url)),
            "{about}: 0 connections elsewhere, {asked:?}"
        );
    }
    let (_, issuer, way, validator) = discovering();
    issuer.script(says(&json!({"issuer": A, "jwks_uri": GOOD_PLACE}).to_string()));
    block_on(validator.warm_up()).unwrap();
    assert_eq!(way.asked().iter().filter(|url| !is_metadata(url)).collect::<Vec<_>>(), [GOOD_PLACE], "the twin");
}

#[test]
fn row_j47_row_j48_metadata_that_leads_elsewhere_takes_no_key_away() {
    for (about, metadata) in leading_elsewhere() {
        let (clock, issuer, way, validator) = discovering();
        block_on(validator.warm_up()).unwrap();
        issuer.script(says(&metadata));
        way.asked();
        let mut asked = Vec::new();
        for _ in 0..3 {
            clock.advance(std::time::Duration::from_secs(3_600));
            let _ = block_on(validator.refresh_now());
            let token = issuer.token().scope("read").mint();
            assert!(validator.check(&Credentials::bearer(&token), &scope("read").into()).is_ok(), "{about}: KEEP");
            asked.extend(way.asked());
        }
        assert!(asked.iter().any(|url| is_metadata(url)), "{about}: it was read");
        assert!(asked.iter().all(|url| is_metadata(url) || url == GOOD_PLACE), "{about}: {asked:?}");
    }
}

#[test]
fn row_j50_metadata_does_not_widen_the_list_of_algorithms() {
    let clock = TestClock::at(NOW);
    let issuer = TestIssuer::new(A).clock(&clock).default_audience(API);
    let metadata = json!({
        "issuer": A, "jwks_uri": issuer.jwks_uri(), "id_token_signing_alg_values_supported": ["none", "HS256"],
    });
    issuer.script(Fault::body(metadata.to_string()).at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
    let builder = Validator::builder(API).trust(Issuer::discover(A)).fetch(issuer.fetch()).clock(clock);
    let validator = Arc::new(builder.build().unwrap());
    block_on(validator.warm_up()).unwrap();
    let judge = |token: String| {
        let judged = validator.check(&Credentials::bearer(&token), &scope("read").into());
        judged.err().map(|rejection| rejection.reason())
    };
    let token = || issuer.token().scope("read");
    let by_public_key = token().signed_with_secret(Algorithm::Hs256, issuer.jwks().as_bytes()).mint();
    assert_eq!(judge(by_public_key), Some(AlgorithmRefused), "J50 HS256");
    assert_eq!(judge(token().unsigned().mint()), Some(AlgorithmRefused), "J50 none");
    assert_eq!(judge(token().mint()), None, "J50 the twin");
}
