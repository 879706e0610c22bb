//! What a token grants, however its issuer writes it.

use scopegate::testing::TestIssuer;
use scopegate::{AccessToken, Credentials, Issuer, KeySet, Profile, Reason, Rejection, ScopePolicy, Validator};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.test";
const API: &str = "https://api.test";

/// Judges a token with this claim where `demanded` is needed.
fn judge(settings: fn(Issuer) -> Issuer, claim: &str, value: &Value, demanded: &str) -> Result<AccessToken, Reason> {
    let issuer = TestIssuer::new(ISSUER);
    let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    let trusted = settings(Issuer::keys(ISSUER, keys));
    let validator = Validator::builder(API).trust(trusted).build().unwrap();
    let token = issuer.token().audience(API).without("scope").claim(claim, value).mint();
    let demand = ScopePolicy::all([demanded]).unwrap().into();
    validator.check(&Credentials::bearer(&token), &demand).map_err(|rejection| Rejection::reason(&rejection))
}

#[test]
fn a_string_holds_scopes_parted_by_spaces_and_an_element_of_a_list_is_one() {
    let plain: fn(Issuer) -> Issuer = |issuer| issuer.profile(Profile::PlainJwt);
    let permissions: fn(Issuer) -> Issuer = |issuer| issuer.scope_claim("permissions");
    for (settings, claim, value, granted) in [
        (plain, "scope", json!("request admin"), true),
        (plain, "scp", json!("request admin"), true),
        (plain, "scp", json!(["request", "admin"]), true),
        (plain, "scp", json!(["request admin"]), false),
        (permissions, "permissions", json!(["request", "admin"]), true),
        (permissions, "permissions", json!("request admin"), true),
        (permissions, "permissions", json!(["request admin"]), false),
        (permissions, "permissions", json!([" admin"]), false),
        (permissions, "scope", json!("admin"), false),
    ] {
        let judged = judge(settings, claim, &value, "admin");
        let expected = if granted { None } else { Some(Reason::InsufficientScope) };
        assert_eq!(judged.err(), expected, "{claim}: {value}");
    }
}

#[test]
fn a_handler_sees_the_scopes_as_they_were_granted() {
    let token = judge(|issuer| issuer.scope_claim("roles"), "roles", &json!(["a b", "c"]), "c").unwrap();
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["a b", "c"]);
    assert!(token.has_scope("a b") && !token.has_scope("a"));
    let token = judge(|issuer| issuer, "scope", &json!("a  b c"), "c").unwrap();
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["a", "b", "c"]);
}
