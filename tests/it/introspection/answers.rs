//! What an answer may say, and what comes of anything else. `introspection_rows` of the list of attacks, by their numbers.

use bytes::Bytes;
use futures_executor::block_on;
use http::HeaderMap;
use scopegate::testing::{Fault, TestToken};
use scopegate::{Credentials, FetchError, Introspection, Reason, Requirement, ScopePolicy};
use serde_json::json as object;

use super::{A, API, B, World, json, same, typed, unasked};
use crate::rotation::{read, refused, seconds, soon, waits};

#[test]
fn row_i01_what_is_not_active_is_refused_whatever_else_it_says() {
    let world = World::new(same);
    for answer in
        [r#"{"active":false}"#, r#"{"active":false,"scope":"admin read"}"#, r#"{"active":false,"exp":"never","iss":7}"#]
    {
        assert_eq!(refused(world.answered(answer)), Reason::Inactive, "I01 {answer}");
    }
}

#[test]
fn row_i02_i04_active_that_is_neither_true_nor_false_says_nothing() {
    let world = World::new(same);
    let claims = format!(r#""iss":"{A}","aud":"{API}","scope":"read","token_type":"Bearer""#);
    for active in [
        r#""active":"true","#,
        r#""active":"false","#,
        r#""active":1,"#,
        r#""active":null,"#,
        r#""active":[true],"#,
        r#""active":{},"#,
        r#""Active":true,"#,
        "",
        r#""active":true,"active":false,"#,
        r#""active":false,"active":true,"#,
        r#""active":true,"active":true,"#,
        r#""active":true,"\u0061ctive":true,"#,
    ] {
        world.clock.advance(seconds(11));
        let rejection = unasked(world.answered(&format!("{{{active}{claims}}}")));
        assert!(
            super::words(&rejection).contains("RFC 7662") || super::words(&rejection).contains("strict"),
            "I02 I04"
        );
        assert_eq!(world.told.last_of(world.asked() as usize), "unusable", "I02 I04 {active}");
    }
    assert!(world.answered(&format!(r#"{{"active":true,{claims}}}"#)).is_ok(), "I02 their good twin");
}

/// What comes of a token for which the issuer answers so.
fn judged(change: impl FnOnce(TestToken) -> TestToken) -> Result<(), Reason> {
    judged_by(same, change)
}

fn judged_by(
    settings: impl FnOnce(Introspection) -> Introspection,
    change: impl FnOnce(TestToken) -> TestToken,
) -> Result<(), Reason> {
    let world = World::new(settings);
    let token = change(world.issuer.token().scope("read")).mint_opaque();
    let result = world.validate(&token).map(|_| ()).map_err(|rejection| rejection.reason());
    assert_eq!(world.check(&token).map(|_| ()).map_err(|rejection| rejection.reason()), result, "remembered");
    assert_eq!(world.asked(), 1);
    result
}

const NOW: i64 = 1_800_000_000;

#[test]
fn row_i06_an_end_in_the_past_counts_and_must_be_a_number() {
    // The issuer itself would call it inactive, so the answer is made by hand.
    let world = World::new(same);
    let with = |exp: &str| {
        world.answered(&format!(
            r#"{{"active":true,"iss":"{A}","aud":"{API}","scope":"read","token_type":"Bearer","exp":{exp}}}"#
        ))
    };
    assert_eq!(refused(with(&format!("{}", NOW - 30))), Reason::Expired, "I06 leeway over");
    assert!(with(&format!("{}", NOW - 29)).is_ok(), "I06 within the leeway");
    for unreadable in [r#""1800000300""#, "null", "1e300", "[1800000300]", "true"] {
        assert_eq!(refused(with(unreadable)), Reason::MalformedClaim, "I06 {unreadable}");
    }
    assert!(with("1800000300").is_ok(), "I06 their good twin");
}

#[test]
fn row_i06_times_that_lie_ahead_are_refused() {
    for name in ["nbf", "iat"] {
        assert_eq!(judged(|token| token.claim(name, NOW + 31)), Err(Reason::NotYetValid), "I06 {name}");
        assert_eq!(judged(|token| token.claim(name, NOW + 30)), Ok(()), "I06 {name}");
    }
}

#[test]
fn row_i07_an_answer_without_an_end_is_remembered_for_its_time_and_no_longer() {
    let world = World::new(same);
    let token = world.issuer.token().scope("read").without("exp").mint_opaque();
    assert!(world.validate(&token).is_ok(), "I07");
    world.clock.advance(seconds(30) - super::MILLISECOND);
    assert!(world.check(&token).is_ok(), "I07");
    world.clock.advance(super::MILLISECOND);
    unasked(world.check(&token));
    soon("I07 it is asked about again", || world.check(&token).is_ok());
    assert_eq!(world.asked(), 2, "I07");
}

#[test]
fn row_i09_an_answer_names_the_issuer_that_was_asked() {
    for other in [B, "https://a.example.test/", "HTTPS://a.example.test", ""] {
        assert_eq!(judged(|token| token.claim("iss", other)), Err(Reason::UntrustedIssuer), "I09 {other}");
    }
    assert_eq!(judged(|token| token.claim("iss", [A])), Err(Reason::MalformedClaim), "I09");
    assert_eq!(judged(|token| token.without("iss")), Err(Reason::MissingClaim), "I09");
    let opted = |settings: Introspection| settings.dangerous().accept_absent_issuer();
    assert_eq!(judged_by(opted, |token| token.without("iss")), Ok(()), "I09 by name");
    assert_eq!(judged_by(opted, |token| token.claim("iss", B)), Err(Reason::UntrustedIssuer), "I09 absent, not other");
}

#[test]
fn row_i10_an_answer_names_this_audience() {
    for other in ["https://other.example.test", "https://api.example.test/", ""] {
        assert_eq!(judged(|token| token.audience(other)), Err(Reason::WrongAudience), "I10 {other}");
    }
    assert_eq!(judged(|token| token.claim("aud", 7)), Err(Reason::MalformedClaim), "I10");
    assert_eq!(judged(|token| token.claim("aud", object!([]))), Err(Reason::WrongAudience), "I10");
    assert_eq!(judged(|token| token.without("aud")), Err(Reason::MissingClaim), "I10");
    assert_eq!(judged(|token| token.audiences([B, API])), Ok(()), "I10 one of several");
    let opted = |settings: Introspection| settings.dangerous().accept_absent_audience();
    assert_eq!(judged_by(opted, |token| token.without("aud")), Ok(()), "I10 by name");
    assert_eq!(judged_by(opted, |token| token.audience(B)), Err(Reason::WrongAudience), "I10 absent, not other");
}

#[test]
fn row_i12_no_other_kind_of_token_is_taken_for_an_access_token() {
    for kind in ["N_A", "refresh_token", "ID", "id_token", "mac", "", "Bearer "] {
        assert_eq!(judged(|token| token.claim("token_type", kind)), Err(Reason::WrongType), "I12 {kind}");
    }
    for kind in [object!(7), object!(["Bearer"]), object!({}), object!(true)] {
        assert_eq!(judged(|token| token.claim("token_type", &kind)), Err(Reason::WrongType), "I12 {kind}");
    }
    for kind in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(judged(|token| token.claim("token_type", kind)), Ok(()), "I12 {kind}");
    }
    let absent = |token: TestToken| token.claim("token_type", object!(null));
    assert_eq!(judged(absent), Ok(()), "I12 it carries a scope");
    assert_eq!(judged(|token| absent(token).without("scope")), Err(Reason::WrongType), "I12 nothing says what it is");
    for (name, value) in [("nonce", "n"), ("at_hash", "h"), ("token_use", "id"), ("typ", "Refresh"), ("typ", "ID")] {
        assert_eq!(judged(|token| absent(token).claim(name, value)), Err(Reason::WrongType), "I12 {name} {value}");
    }
}

#[test]
fn row_i12_an_answer_about_a_bound_token_needs_the_proof() {
    let bound = |token: TestToken| token.claim("cnf", object!({"jkt": "x"}));
    assert_eq!(judged(bound), Err(Reason::Unbound), "I12");
    assert_eq!(judged(|token| token.claim("cnf", "x")), Err(Reason::MalformedClaim), "I12");
    assert_eq!(judged(|token| token.claim("token_type", "DPoP")), Err(Reason::Unbound), "I12");
}

#[test]
fn row_i14_scopes_are_compared_as_those_of_a_jwt() {
    let demanded = Err(Reason::InsufficientScope);
    for (scope, expected) in [
        (object!("read"), Ok(())),
        (object!("write read"), Ok(())),
        (object!("readonly"), demanded),
        (object!("READ"), demanded),
        (object!("read:all"), demanded),
        (object!(""), demanded),
        (object!(["read"]), demanded),
        (object!(7), Err(Reason::MalformedClaim)),
        (object!(null), Err(Reason::MalformedClaim)),
        (object!({}), Err(Reason::MalformedClaim)),
    ] {
        assert_eq!(judged(|token| token.claim("scope", &scope)), expected, "I14 {scope}");
    }
    assert_eq!(judged(|token| token.without("scope")), demanded, "I14 absent");
}

/// Nobody knows anything after this failure: the next call asks again, and may succeed.
#[track_caller]
fn never_judged(world: &World, kind: &str, fail: impl FnOnce(&World)) -> FetchError {
    let token = world.token();
    let before = world.asked();
    fail(world);
    let rejection = unasked(world.validate(&token));
    assert_eq!(world.told.last_of(before as usize + 1), kind);
    unasked(world.check(&token));
    world.issuer.recover();
    // After as long as the answer said, or the check's own question.
    world.clock.advance(rejection.retry_after().unwrap());
    soon("nothing was remembered", || world.check(&token).is_ok());
    let cause = std::error::Error::source(&rejection).unwrap();
    cause.downcast_ref::<FetchError>().unwrap().clone()
}

#[test]
fn row_i16_i17_what_is_no_answer_is_503_and_never_inactive_and_remembered_as_neither() {
    for (row, status, kind) in [
        ("I16", 401, "client_refused"),
        ("I16", 403, "status"),
        ("I17", 400, "status"),
        ("I17", 404, "status"),
        ("I17", 405, "status"),
        ("I17", 408, "status"),
        ("I17", 429, "status"),
        ("I17", 500, "status"),
        ("I17", 502, "status"),
        ("I17", 503, "status"),
        ("I17", 504, "status"),
        ("I17", 201, "status"),
        ("I17", 204, "status"),
        ("I17", 206, "status"),
        ("I17", 304, "status"),
        ("F03", 302, "redirected"),
        ("F03", 307, "redirected"),
        ("F03", 308, "redirected"),
    ] {
        // The same words with status 200 would be an answer.
        let body = r#"{"active":false}"#;
        let fault = Fault::status(status).with_body(body).with_header("content-type", "application/json");
        let world = World::new(same);
        let error =
            never_judged(&world, kind, |world| world.script(fault.with_header("location", "https://evil.test/")));
        assert!(error.to_string().contains(&status.to_string()), "{row} {status}: {error}");
    }
    for (row, fault, kind) in [
        ("I17", Fault::disconnect(), "cut"),
        ("I17", Fault::reset(), "cut"),
        ("I17", Fault::truncated(), "cut"),
        ("I17", Fault::body(r#"{"active":true,"scope":"re"#), "unusable"),
        ("I17", Fault::body(""), "unusable"),
        ("I17", Fault::body("<html>log in</html>").with_header("content-type", "text/html"), "content_type"),
        ("I17", Fault::body(r#"{"active":false}"#).with_header("content-type", "text/html"), "content_type"),
        ("I17", Fault::body("<html>log in</html>"), "unusable"),
        ("I17", Fault::body(r#"{"active":false}{}"#), "unusable"),
        ("I17", Fault::body(r#"[{"active":true}]"#), "unusable"),
        ("I17", Fault::body("null"), "unusable"),
        ("I34", Fault::endless(), "too_large"),
    ] {
        let world = World::new(same);
        let error = never_judged(&world, kind, |world| world.script(fault));
        assert_eq!(error.label(), kind, "{row}");
    }
}

#[test]
fn row_i17_an_answer_that_does_not_come_is_503_at_the_deadline() {
    let world = World::new(same);
    let token = world.token();
    world.script(Fault::hang());
    let mut call = world.call(&token);
    assert!(waits(&mut call));
    soon("I17 it is asked", || world.asked() == 1);
    world.clock.advance(seconds(2) - super::MILLISECOND);
    assert!(waits(&mut call), "I17");
    world.clock.advance(super::MILLISECOND);
    let rejection = unasked(block_on(call));
    assert!(super::words(&rejection).contains("no complete answer within 2s"), "I17");
    assert_eq!(world.told.last_of(1), "timed_out", "I17");
    world.issuer.recover();
    assert!(world.validate(&token).is_ok(), "I17");
}

#[test]
fn row_i17_retry_after_is_obeyed_in_both_its_forms() {
    let date = "Fri, 15 Jan 2027 08:00:00 GMT";
    for (status, header, date, seconds_asked) in [
        (429, "50", None, 50),
        (503, "7", None, 7),
        (503, "Fri, 15 Jan 2027 08:00:30 GMT", Some(date), 30),
        (429, "0", None, 1),
        (429, "99999999", None, 60),
        (502, "9", None, 9),
    ] {
        let world = World::new(same);
        let token = world.issuer.token().scope("read").lifetime(seconds(7200)).mint_opaque();
        let mut fault = Fault::status(status).with_header("retry-after", header);
        if let Some(date) = date {
            fault = fault.with_header("date", date);
        }
        world.script(fault.times(1));
        unasked(world.validate(&token));
        let wait = seconds(seconds_asked);
        // Whoever comes next is told when to come again, and that waiting is of no use.
        for rejection in [world.check(&token).unwrap_err(), world.validate(&token).unwrap_err()] {
            assert_eq!(rejection.retry_after(), Some(wait + seconds(1)), "I17 {status} {header}");
            assert!(!rejection.validate_could_decide(), "I17 {status} {header}");
        }
        world.clock.advance(wait - super::MILLISECOND);
        unasked(world.validate(&token));
        assert_eq!(world.asked(), 1, "I17 {status} {header}: it is left alone");
        world.clock.advance(super::MILLISECOND);
        assert!(world.validate(&token).is_ok(), "I17 {status} {header}");
    }
}

#[test]
fn row_i28_a_token_is_sent_octet_for_octet_as_one_value() {
    let world = World::new(same);
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let strange: [&[u8]; 7] = [
        b"x&token_type_hint=refresh_token&client_id=evil",
        b"x=%00+ %26",
        b"&token=other",
        b"a+b c%20d",
        "snö☃".as_bytes(),
        b"\xff\xfe",
        &every,
    ];
    for token in strange {
        world.clock.advance(seconds(60));
        assert_eq!(refused(world.validate(token)), Reason::Inactive, "I28");
        let sent = world.way.question();
        assert_eq!(sent.form[0], ("token".to_owned(), token.to_vec()), "I28");
        assert_eq!(sent.form[1], ("token_type_hint".to_owned(), b"access_token".to_vec()), "I28");
        assert_eq!(sent.form.len(), 2, "I28 nothing was added");
    }
    // In a request they are no tokens at all.
    let asked = world.asked();
    for token in &strange[..4] {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", [b"Bearer ", *token].concat().try_into().unwrap());
        let presented = Credentials::from_headers(&headers);
        assert_eq!(
            refused(block_on(world.validator.validate(&presented, &read()))),
            Reason::MalformedCredentials,
            "I28"
        );
    }
    assert_eq!(refused(world.validate("")), Reason::Malformed, "I28 nothing is no token");
    assert_eq!(world.asked(), asked, "I28");
}

#[test]
fn row_i29_a_token_that_is_too_long_is_refused_unasked() {
    for (limit, longest) in [(None, 16_384), (Some(8_192), 8_192), (Some(1_048_576), 1_048_576)] {
        let world = World::with(same, |builder| match limit {
            Some(limit) => builder.max_token_bytes(limit),
            None => builder,
        });
        for length in [longest + 1, longest * 2, 1024 * 1024 + 1] {
            let long = "a".repeat(length);
            assert_eq!(refused(world.validate(&long)), Reason::TooLong, "I29 {length}");
            assert_eq!(refused(world.check(&long)), Reason::TooLong, "I29 {length}");
        }
        assert_eq!(world.asked(), 0, "I29");
        let longest = "a".repeat(longest);
        assert_eq!(refused(world.validate(&longest)), Reason::Inactive, "I29");
        assert_eq!(world.way.question().field("token").unwrap(), longest, "I29");
    }
}

#[test]
fn row_i34_a_long_or_compressed_answer_is_none() {
    let world = World::new(same);
    let token = world.token();
    let good = object!({"active": true, "iss": A, "aud": API, "scope": "read", "token_type": "Bearer"}).to_string();
    let padded = move |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    let (exact, long) = (padded(64 * 1024), padded(64 * 1024 + 1));
    world.way.answer(move |_| Some(json(200, long.clone())));
    let rejection = unasked(world.validate(&token));
    assert!(super::words(&rejection).contains("longer than 65536 bytes"), "I34");
    let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xec\xc1\x01\x0d\x00\x00\x00\xc2\xa0\xf7\x4f\x6d";
    world.way.answer(|_| {
        let mut response = json(200, Bytes::from_static(bomb));
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        Some(response)
    });
    unasked(world.validate(&token));
    assert_eq!(world.told.last_of(2), "unusable", "I34 nothing is unpacked");
    world.way.answer(move |_| Some(json(200, exact.clone())));
    assert!(world.validate(&token).is_ok(), "I34 the longest that is read");
}

#[test]
fn a_json_media_type_may_have_parameters_and_a_suffix() {
    let world = World::new(same);
    for (media_type, is_read) in [
        ("application/json; charset=utf-8", true),
        ("Application/JSON", true),
        ("application/token-introspection+json", true),
        ("text/plain", false),
        ("text/json", false),
        ("application/token-introspection+jwt", false),
        ("", false),
    ] {
        let media_type = media_type.to_owned();
        let named = media_type.clone();
        world.way.answer(move |_| Some(typed(200, &named, r#"{"active":false}"#)));
        let reason = world.validate(&world.token()).unwrap_err().reason();
        assert_eq!(reason == Reason::Inactive, is_read, "{media_type}");
    }
}

#[test]
fn what_a_route_demands_nothing_is_still_judged() {
    let world = World::new(same);
    let nothing = Requirement::from(ScopePolicy::none());
    let token = world.issuer.token().without("scope").mint_opaque();
    assert!(block_on(world.validator.validate(&Credentials::bearer(&token), &nothing)).is_ok());
    let dead = block_on(world.validator.validate(&Credentials::bearer("dead"), &nothing));
    assert_eq!(refused(dead), Reason::Inactive);
}
