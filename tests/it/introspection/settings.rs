//! Settings that cannot be kept, found when the validator is built.

use scopegate::{ClientAuth, Introspection, Issuer, PlainHttp, Validator};

use super::{A, API, api};

#[test]
fn row_i38_an_endpoint_is_an_https_url_without_more() {
    let build = |url: &str, plain_http: PlainHttp| {
        let issuer = Issuer::introspect(A, Introspection::at(url, api())).plain_http(plain_http);
        Validator::builder(API).trust(issuer).fetch(scopegate::testing::TestIssuer::new(A).fetch()).build()
    };
    for url in [
        "http://as.example.test/introspect",
        "http://127.0.0.1:8080/introspect",
        "https://user:S3cr3t-canary@as.example.test/introspect",
        "https://S3cr3t-canary@as.example.test/introspect",
        "https://as.example.test/introspect#fragment",
        "ftp://as.example.test/introspect",
        "file:///etc/passwd",
        "/introspect",
        "as.example.test/introspect",
        "https:///introspect",
        "https://as.example.test:99999/introspect",
        "https://as.example.test\\@evil.test/introspect",
        "https://as.example.test/in trospect",
        "",
    ] {
        let error = build(url, PlainHttp::Refused).unwrap_err();
        assert_eq!(error.setting(), "introspect", "I38 {url}");
        assert!(!super::words(&error).contains("S3cr3t-canary"), "I38 {error}");
    }
    assert!(build("http://as.example.test/introspect", PlainHttp::OnLoopback).is_err(), "I38");
    assert!(build("http://127.0.0.1:8080/introspect", PlainHttp::OnLoopback).is_ok(), "I38");
    assert!(build("https://as.example.test/introspect?tenant=7", PlainHttp::Refused).is_ok(), "I38");
}

#[test]
fn what_settings_cannot_be_kept_is_found_when_the_validator_is_built() {
    let long = |seconds_long| std::time::Duration::from_secs(seconds_long);
    let at = || Introspection::at("https://as.example.test/introspect", api());
    for (setting, introspection) in [
        ("remember", at().remember(long(3601))),
        ("remember_inactive", at().remember_inactive(long(61))),
        ("deadline", at().deadline(super::MILLISECOND * 99)),
        ("deadline", at().deadline(long(11))),
        ("at_most_in_flight", at().at_most_in_flight(0)),
        ("at_most_in_flight", at().at_most_in_flight(4097)),
        ("at_most_per_second", at().at_most_per_second(0)),
        ("at_most_per_second", at().at_most_per_second(100_001)),
        ("signed_for", at().signed_for("x")),
        ("accept_draft_audience", at().dangerous().accept_draft_audience()),
        ("signed_for", Introspection::at("https://as.example.test/introspect", ClientAuth::bearer("token")).signed()),
    ] {
        let builder = Validator::builder(API).trust(Issuer::introspect(A, introspection));
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
    let bounds = at().remember(long(3600)).remember_inactive(long(60)).deadline(long(10));
    let bounds = bounds.at_most_in_flight(4096).at_most_per_second(100_000);
    let bearer = Introspection::at("https://as.example.test/introspect", ClientAuth::bearer("token")).signed();
    for good in [bounds, bearer.dangerous().accept_draft_audience()] {
        assert!(Validator::builder(API).trust(Issuer::introspect(A, good)).build().is_ok());
    }
}
