//! `IntrospectTokenValidator`, `BearerTokenValidator`, and several of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use scopegate::testing::{Endpoint, Fault, TestClock, TestIssuer};
use scopegate::{Algorithm, ClientAuth, Fetch, FetchLimits, Fetching, Introspection, Issuer, Reason, Validator};
use serde_json::json;

use super::{A, API, B, NOW, all, issues, judge};

// IntrospectTokenValidator (6.4).

fn asking(settings: impl FnOnce(Introspection) -> Introspection) -> (TestIssuer, Validator) {
    let clock = TestClock::at(NOW);
    let issuer = issues([Algorithm::Es256], &clock);
    let introspection = settings(Introspection::at(issuer.introspection_endpoint(), ClientAuth::basic("api", "api")));
    let trusted = Issuer::introspect(A, introspection);
    let validator = Validator::builder(API).trust(trusted).fetch(issuer.fetch()).clock(clock).build().unwrap();
    (issuer, validator)
}

#[test]
fn introspect_token_is_a_setting_and_its_answer_is_judged() {
    let (issuer, validator) = asking(|settings| settings);
    let good = issuer.token().scope("a").mint_opaque();
    assert!(judge(&validator, &good, &all("a")).is_ok());
    assert_eq!(judge(&validator, &good, &all("b")).unwrap_err(), Reason::InsufficientScope);
    assert_eq!(judge(&validator, "unknown", &all("a")).unwrap_err(), Reason::Inactive);
    issuer.revoke(&good);
    validator.forget(&good);
    assert_eq!(judge(&validator, &good, &all("a")).unwrap_err(), Reason::Inactive);
    // It is asked on every request there.
    assert_eq!(issuer.requests().introspection, 3);
    let (issuer, validator) = asking(|settings| settings.remember(Duration::ZERO));
    let good = issuer.token().scope("a").mint_opaque();
    for _ in 0..3 {
        assert!(judge(&validator, &good, &all("a")).is_ok());
    }
    assert_eq!(issuer.requests().introspection, 3);
}

#[test]
fn active_is_a_boolean_exp_counts_and_no_answer_is_no_500() {
    for (authlib, answer, reason) in [
        ("accepts", r#"{"active":"false","scope":"a"}"#, Reason::IntrospectionUnavailable),
        ("accepts", r#"{"active":1,"scope":"a"}"#, Reason::IntrospectionUnavailable),
        ("500", r#"{"scope":"a"}"#, Reason::IntrospectionUnavailable),
        (
            "accepts",
            r#"{"active":true,"scope":"a","exp":1700000000,"iss":"https://a.example.test","aud":"https://api.example.test"}"#,
            Reason::Expired,
        ),
        (
            "accepts",
            r#"{"active":true,"scope":"a","iss":"https://a.example.test","aud":"https://b.example.test"}"#,
            Reason::WrongAudience,
        ),
        (
            "accepts",
            r#"{"active":true,"scope":"a","iss":"https://b.example.test","aud":"https://api.example.test"}"#,
            Reason::UntrustedIssuer,
        ),
        ("accepts", r#"{"active":true,"scope":"a"}"#, Reason::MissingClaim),
    ] {
        let (issuer, validator) = asking(|settings| settings);
        issuer.script(Fault::body(answer).at(Endpoint::Introspection));
        assert_eq!(judge(&validator, "token", &all("a")).unwrap_err(), reason, "Authlib {authlib} {answer}");
    }
    let (issuer, validator) = asking(|settings| settings);
    let good = r#"{"active":true,"scope":"a","iss":"https://a.example.test","aud":"https://api.example.test"}"#;
    issuer.script(Fault::body(good).at(Endpoint::Introspection));
    assert!(judge(&validator, "token", &all("a")).is_ok());
}

// BearerTokenValidator (6.4): the program looks the token up itself.

/// `authenticate_token`, `is_expired`, `is_revoked` and `get_scope` in one: what the program's own table says, in the form of RFC 7662.
#[derive(Debug)]
struct Table(Mutex<HashMap<String, (&'static str, i64)>>);

impl Fetch for Table {
    fn fetch(&self, request: Request<Bytes>, _limits: FetchLimits) -> Fetching<'_> {
        let form = String::from_utf8(request.body().to_vec()).unwrap();
        let token = form.split('&').find_map(|field| field.strip_prefix("token=")).unwrap();
        let answer = match self.0.lock().unwrap().get(token) {
            Some((scope, exp)) => {
                json!({"active": true, "iss": A, "aud": API, "token_type": "Bearer", "scope": scope, "exp": exp})
            }
            None => json!({"active": false}),
        };
        let response = Response::builder().header(CONTENT_TYPE, "application/json").body(answer.to_string().into());
        Box::pin(async move { Ok(response.unwrap()) })
    }
}

#[test]
fn a_table_of_the_programs_own_is_asked_like_an_issuer() {
    let table = Table(Mutex::new(HashMap::from([("good".into(), ("a b", NOW + 60)), ("old".into(), ("a", NOW - 60))])));
    let introspection = Introspection::at("https://a.example.test/own-table", ClientAuth::bearer("unused"));
    let validator = Validator::builder(API)
        .trust(Issuer::introspect(A, introspection))
        .fetch(Arc::new(table))
        .clock(TestClock::at(NOW))
        .build()
        .unwrap();
    assert!(judge(&validator, "good", &all("a b")).is_ok());
    assert_eq!(judge(&validator, "good", &all("c")).unwrap_err(), Reason::InsufficientScope);
    assert_eq!(judge(&validator, "old", &all("a")).unwrap_err(), Reason::Expired);
    assert_eq!(judge(&validator, "unknown", &all("a")).unwrap_err(), Reason::Inactive);
}

// Several validators (6.1).

#[test]
fn each_issuer_that_is_trusted_counts_and_not_the_first_alone() {
    // There a second validator for `Bearer` is ignored.
    let clock = TestClock::at(NOW);
    let a = issues([Algorithm::Es256], &clock);
    let b = TestIssuer::new(B).clock(&clock).default_audience(API);
    let asked = Introspection::at(b.introspection_endpoint(), ClientAuth::basic("api", "api"));
    let validator = Validator::builder(API)
        .trust(Issuer::discover(A))
        .trust(Issuer::introspect(B, asked))
        .fetch(TestIssuer::fetch_from([&a, &b]))
        .clock(clock)
        .build()
        .unwrap();
    let [jwt, opaque] = [a.token().scope("a").mint(), b.token().scope("a").mint_opaque()];
    for (token, issuer) in [(&jwt, A), (&opaque, B)] {
        assert_eq!(judge(&validator, token, &all("a")).unwrap().issuer().as_str(), issuer);
    }
    // Nobody is asked about another's token.
    assert_eq!((a.requests().introspection, b.requests().introspection), (0, 1));
    assert_eq!(judge(&validator, &a.token().tampered().mint(), &all("a")).unwrap_err(), Reason::BadSignature);
    assert_eq!(b.requests().introspection, 1);
}
