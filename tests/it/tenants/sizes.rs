//! What one tenant may cost.

use scopegate::{Algorithm, Health};

use super::*;

/// What becomes of the same issuer where it is trusted by name, and where a resolver names it.
fn by_name_and_resolved(issuer: &TestIssuer, clock: &TestClock) -> [Health; 2] {
    let token = issuer.token().scope("read").mint();
    let tenants = Tenants::at_most(1, |name| Some(Issuer::discover(name)));
    [Validator::builder(API).trust(Issuer::discover(issuer.id())), Validator::builder(API).trust_each(tenants)].map(
        |builder| {
            let validator = builder.fetch(issuer.fetch()).clock(clock.clone()).build().unwrap();
            let _ = block_on(validator.validate(&Credentials::bearer(&token), &read()));
            validator.health()
        },
    )
}

#[test]
fn the_set_of_a_tenant_is_read_for_32_keys_and_the_rest_is_left_out() {
    let clock = TestClock::at(1_800_000_000);
    let issuer = TestIssuer::with_algorithms(&name(0), vec![Algorithm::Es256; 33]).clock(&clock).default_audience(API);
    let [by_name, resolved] = by_name_and_resolved(&issuer, &clock);
    let keys = &by_name.issuers()[0].keys;
    assert_eq!((keys.keys().len(), keys.left_out().len()), (33, 0));
    let keys = &resolved.issuers()[0].keys;
    assert_eq!((keys.keys().len(), keys.left_out().len()), (32, 1));
    assert_eq!((keys.left_out()[0].place, keys.left_out()[0].cause.label()), (32, "too_many"));
}

#[test]
fn a_document_of_a_tenant_has_64_kib_and_not_a_byte_more() {
    let clock = TestClock::at(1_800_000_000);
    let issuer = issuer(&name(0), &clock);
    for (length, is_read) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let keys = issuer.jwks();
        issuer.publish_raw(format!("{keys}{}", " ".repeat(length - keys.len())));
        let [by_name, resolved] = by_name_and_resolved(&issuer, &clock);
        assert_eq!(by_name.issuers()[0].state, KeyState::Fresh);
        assert_eq!(resolved.issuers()[0].state == KeyState::Fresh, is_read);
        let error = resolved.issuers()[0].last_error.as_ref().map(ToString::to_string);
        assert_eq!(error, (!is_read).then(|| "the answer is longer than 65536 bytes".to_owned()));
        issuer.recover();
    }
}

/// One RSA key without `alg` is prepared for an algorithm when a token of it comes, and serves it as if it had been before.
#[test]
fn a_key_that_serves_several_algorithms_serves_each_of_them() {
    let clock = TestClock::at(1_800_000_000);
    let all =
        [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512];
    let issuer = TestIssuer::with_algorithms(&name(0), all).clock(&clock).default_audience(API);
    let jwks = issuer.jwks().replace("\"alg\"", "\"was\"");
    issuer.publish_raw(jwks);
    let tenants = Tenants::at_most(1, |name| Some(Issuer::discover(name)));
    let validator = Validator::builder(API).trust_each(tenants).fetch(issuer.fetch()).clock(clock).build().unwrap();
    let judge = |token: &str| block_on(validator.validate(&Credentials::bearer(token), &read()));
    for algorithm in all {
        let token = || issuer.token().scope("read").algorithm(algorithm);
        assert!(judge(&token().mint()).is_ok(), "{algorithm:?}");
        assert_eq!(refused(judge(&token().signed_by_stranger().mint())), Reason::BadSignature, "{algorithm:?}");
    }
}
