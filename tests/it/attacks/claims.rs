//! Rows C: what the claims say.

use scopegate::Reason::{
    Expired, InsufficientScope, Malformed, MalformedClaim, MissingClaim, NotYetValid, UnknownKey, UntrustedIssuer,
    WrongAudience,
};
use scopegate::testing::TestToken;
use scopegate::{Reason, ScopePolicy};
use serde_json::{Value, json};

use super::rows::{Row, accepted, refused, run, scope};
use super::world::{A, A1, API, B, B1, LEEWAY, NOW, base, base_by, base_claims, with_first};

/// BASE with this claim, as text, so that a number stays as it is written.
fn with_claim(name: &str, value: &str) -> String {
    let mut claims: serde_json::Map<String, Value> = serde_json::from_str(&base_claims()).unwrap();
    claims.remove(name);
    let rest = Value::Object(claims).to_string();
    base().payload_json(with_first(&format!("\"{name}\":{value}"), &rest)).mint()
}

/// A row whose claim has this value.
fn wrong(id: &str, name: &str, value: &str, reason: Reason) -> Row {
    refused(&format!("{id} {name} = {value}"), with_claim(name, value), reason)
}

fn good(id: &str, name: &str, value: &str) -> Row {
    accepted(&format!("{id} {name} = {value}"), with_claim(name, value))
}

fn absent(id: &str, name: &str) -> Row {
    refused(&format!("{id} no {name}"), base().without(name).mint(), MissingClaim)
}

#[test]
fn the_issuer_is_one_string_and_byte_for_byte_the_trusted_one() {
    let iss = |id: &str, value: &str, reason: Reason| wrong(id, "iss", value, reason);
    run([
        absent("C01", "iss"),
        iss("C02", "5", MalformedClaim),
        iss("C02", "{}", MalformedClaim),
        iss("C02", "null", MalformedClaim),
        iss("C02", "true", MalformedClaim),
        iss("C03", &format!(r#"["https://evil.test","{A}"]"#), MalformedClaim),
        iss("C03", &format!(r#"["{A}"]"#), MalformedClaim),
        iss("C05", &format!(r#""{A}/""#), UntrustedIssuer),
        iss("C05", r#""https://a.example.test.evil.test""#, UntrustedIssuer),
        iss("C05", r#""http://a.example.test""#, UntrustedIssuer),
        iss("C05", r#""https://A.example.test""#, UntrustedIssuer),
        iss("C05", r#""https://a.example.test:443""#, UntrustedIssuer),
        iss("C05", r#""https://a.example.test ""#, UntrustedIssuer),
        iss("C05", r#""https://a.example.tes""#, UntrustedIssuer),
        iss("C05", r#""""#, UntrustedIssuer),
    ]);
}

/// Nothing is remembered of a token that is refused so early: there is no cache that could have an entry (C10).
#[test]
fn a_token_of_another_issuer_is_judged_by_that_issuer_or_not_at_all() {
    let of_b = |token: TestToken| token.claim("iss", B).mint();
    run([
        refused("C09 iss B by A1", of_b(base()), UnknownKey).only_a(UntrustedIssuer).may_ask_b(),
        // B trusts nothing that A says: a key of B makes it a token of B, which A's validator alone does not know.
        refused("C09 iss A by B1 under the kid of A1", base_by(&B1).header("kid", A1.kid).mint(), Reason::BadSignature),
        wrong("C10", "iss", r#""https://unlisted.test""#, UntrustedIssuer),
        wrong("C10", "iss", r#""http://169.254.169.254/latest/meta-data""#, UntrustedIssuer),
        wrong("C10", "iss", r#""file:///etc/passwd""#, UntrustedIssuer),
    ]);
}

#[test]
fn the_audience_is_this_api() {
    let aud = |id: &str, value: &str, reason: Reason| wrong(id, "aud", value, reason);
    run([
        absent("C13", "aud"),
        aud("C13", "1", MalformedClaim),
        aud("C13", "{}", MalformedClaim),
        aud("C13", "true", MalformedClaim),
        aud("C13", "null", MalformedClaim),
        aud("C14", "[]", WrongAudience),
        aud("C14", r#""""#, WrongAudience),
        aud("C14", r#"[""]"#, WrongAudience),
        aud("C15", &format!(r#"[1,"{API}"]"#), MalformedClaim),
        aud("C15", &format!(r#"["{API}",null]"#), MalformedClaim),
        aud("C15", &format!(r#"[["{API}"]]"#), MalformedClaim),
        aud("C17", &format!(r#""{API}.evil""#), WrongAudience),
        aud("C17", r#""https://api.example.tes""#, WrongAudience),
        aud("C17", &format!(r#""{API}/""#), WrongAudience),
        aud("C17", r#""https://API.example.test""#, WrongAudience),
        aud("C17", &format!(r#""other {API}""#), WrongAudience),
        good("C19", "aud", &format!(r#"["other","{API}"]"#)),
        good("C19", "aud", &format!(r#"["{API}"]"#)),
        aud("C19", r#"["other","another"]"#, WrongAudience),
        aud("C20", r#""client-1""#, WrongAudience),
    ]);
}

#[test]
fn the_end_is_a_number_between_1970_and_9999() {
    let exp = |id: &str, value: &str, reason: Reason| wrong(id, "exp", value, reason);
    run([
        absent("C22", "exp"),
        exp("C22", "null", MalformedClaim),
        exp("C22", r#""1800000300""#, MalformedClaim),
        exp("C22", "true", MalformedClaim),
        exp("C22", "[1800000300]", MalformedClaim),
        exp("C23", "-1", MalformedClaim),
        exp("C23", "0", Expired),
        exp("C23", "-9223372036854775808", MalformedClaim),
        good("C24", "exp", "1800000300.9"),
        good("C24", "exp", "1.8000003e9"),
        good("C24", "exp", "253402300799"),
        exp("C25", "253402300800", MalformedClaim),
        exp("C25", "1e19", MalformedClaim),
        exp("C25", "1e300", MalformedClaim),
        // Beyond what a double can hold it is no number at all.
        exp("C25", "1e400", Malformed),
        exp("C25", "1e99999999999999999999", Malformed),
        exp("C25", "18446744073709551615", MalformedClaim),
        exp("C25", "18446744073709551616", MalformedClaim),
        exp("C25", "9007199254740993", MalformedClaim),
        exp("C25", "1e-99999999999999999999", MalformedClaim),
    ]);
}

#[test]
fn a_token_is_good_from_nbf_less_the_leeway_until_exp_and_the_leeway() {
    let at = |moment: i64| moment.to_string();
    let ahead = |name: &str, id: &str| wrong(id, name, &at(NOW + LEEWAY + 1), NotYetValid);
    run([
        wrong("C27", "exp", &at(NOW - LEEWAY - 1), Expired),
        wrong("C27", "exp", &at(NOW - LEEWAY), Expired),
        good("C27", "exp", &at(NOW - LEEWAY + 1)),
        good("C27", "exp", &at(NOW)),
        good("C27", "exp", &at(NOW + 1)),
        wrong("C27", "exp", &format!("{}.0000000001", NOW - LEEWAY), Expired),
        good("C27", "exp", &format!("{}.001", NOW - LEEWAY)),
        ahead("nbf", "C28"),
        good("C28", "nbf", &at(NOW + LEEWAY)),
        good("C28", "nbf", "0"),
        wrong("C28", "nbf", r#""1700000000""#, MalformedClaim),
        wrong("C28", "nbf", "null", MalformedClaim),
        wrong("C28", "nbf", "-1", MalformedClaim),
        ahead("iat", "C30"),
        good("C30", "iat", &at(NOW + LEEWAY)),
        wrong("C31", "iat", r#""x""#, MalformedClaim),
        wrong("C31", "iat", "null", MalformedClaim),
        wrong("C31", "iat", "1e300", MalformedClaim),
        wrong("C31", "iat", "{}", MalformedClaim),
    ]);
}

/// Only keys that were handed over: fetched ones grow old under such clocks, which other rows are about.
#[test]
fn no_clock_is_too_wrong() {
    let base = base().mint();
    let day = 24 * 60 * 60;
    let row = |clock: &str, wall: i64, reason| refused(&format!("C32 {clock}"), base.clone(), reason).at(wall);
    run([
        row("1969-12-31", -day, NotYetValid),
        row("1970-01-01", 0, NotYetValid),
        row("the first moment that can be said", i64::MIN, NotYetValid),
        row("2262", 9_223_372_037, Expired),
        row("the last moment that can be said", i64::MAX, Expired),
    ]);
}

#[test]
fn a_leeway_longer_than_the_time_since_1970_is_no_underflow() {
    let times = |issued: i64, end: i64| base().claim("iat", issued).claim("exp", end).mint();
    run([
        refused("C33 BASE, half a minute after 1970", base().mint(), NotYetValid).at(30),
        accepted("C33 a good token of that time", times(20, 330)).at(30),
        // Valid while now < exp + leeway: nothing that has a date can have expired by then.
        accepted("C33 expired at 0, judged at 30", times(0, 0)).at(30),
        accepted("C33 expired at 0, judged at 59", times(0, 0)).at(59),
        refused("C33 expired at 0, judged at 60", times(0, 0), Expired).at(60),
        refused("C33 expired before 1970", times(0, -1), MalformedClaim).at(30),
        accepted("C33 made within the leeway to come", times(90, 330)).at(30),
        refused("C33 made after it", times(91, 330), NotYetValid).at(30),
    ]);
}

#[test]
fn scopes_are_compared_whole_in_the_claim_that_holds_them() {
    let list = || base().claim("scope", ["read"]).mint();
    let scoped = |id: &str, value: &str| wrong(id, "scope", value, InsufficientScope);
    run([
        scoped("C34", r#""readonly""#),
        scoped("C34", r#""read:all""#),
        scoped("C34", r#""READ""#),
        scoped("C34", r#""write,read""#),
        scoped("C34", r#""write\tread""#),
        good("C34", "scope", r#""write read""#),
        refused("C36 a list, by default", list(), InsufficientScope),
        accepted("C36 a list, where the settings name the claim", list())
            .with(|settings| settings.scope_claim = Some("scope")),
        refused(
            "C36 a list without it, where the settings name the claim",
            base().claim("scope", ["readonly"]).mint(),
            InsufficientScope,
        )
        .with(|settings| settings.scope_claim = Some("scope")),
        refused(
            "C36 a list of others, where the settings name the claim",
            base().claim("scope", json!(["read", 1])).mint(),
            MalformedClaim,
        )
        .with(|settings| settings.scope_claim = Some("scope")),
        wrong("C38", "scope", "7", MalformedClaim),
        wrong("C38", "scope", "{}", MalformedClaim),
        wrong("C38", "scope", "null", MalformedClaim),
        wrong("C38", "scope", "true", MalformedClaim),
    ]);
}

#[test]
fn a_token_without_scope_does_where_none_is_needed() {
    let (none, empty) = (|| base().without("scope").mint(), || base().scope("").mint());
    run([
        accepted("C39 no scope, none needed", none()).demanding(ScopePolicy::none()),
        accepted("C39 an empty scope, none needed", empty()).demanding(ScopePolicy::none()),
        refused("C39 no scope, read needed", none(), InsufficientScope).demanding(scope("read")),
        refused("C39 an empty scope, read needed", empty(), InsufficientScope).demanding(scope("read")),
    ]);
}

#[test]
fn the_strict_profile_asks_for_all_of_rfc_9068() {
    let lenient = |name: &str| accepted(&format!("C42 no {name}, lenient"), base().without(name).mint()).lenient();
    run([
        absent("C42", "sub").strict(),
        absent("C42", "client_id").strict(),
        absent("C42", "jti").strict(),
        absent("C42", "iat").strict(),
        lenient("sub"),
        lenient("client_id"),
        lenient("jti"),
        lenient("iat"),
        wrong("C42", "sub", r#""""#, MalformedClaim),
        wrong("C42", "sub", "1", MalformedClaim),
        wrong("C42", "sub", "null", MalformedClaim).strict(),
        wrong("C42", "client_id", r#""""#, MalformedClaim),
        wrong("C42", "client_id", "null", MalformedClaim),
        wrong("C42", "jti", r#""""#, MalformedClaim),
    ]);
}
