use super::*;

const LIMITS: FetchLimits =
    FetchLimits { connect: Duration::from_secs(2), total: Duration::from_secs(5), body: 16, addresses: Addresses::Any };

/// 08:49:37 GMT on Sunday, 6 November 1994.
const ASKED: Timestamp = Timestamp::new(784_111_777_000, Duration::ZERO);

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), http::HeaderValue::from_bytes(value.as_bytes()).unwrap()))
        .collect()
}

fn judged(status: u16, fields: &[(&'static str, &str)], body: &'static str) -> Result<Bytes, FetchError> {
    let mut response = http::Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = headers(fields);
    judge(response, LIMITS, ASKED)
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn only_200_with_json_within_the_limit_is_read() {
    assert_eq!(judged(200, &[JSON], "0123456789abcdef").unwrap(), "0123456789abcdef");
    assert!(matches!(judged(200, &[JSON], "0123456789abcdefg"), Err(FetchError::TooLarge { limit: 16 })));
    for status in [100, 201, 202, 203, 204, 206, 226, 304, 400, 401, 403, 404, 410, 429, 500, 502, 503, 504, 599] {
        assert!(matches!(judged(status, &[JSON], "{}"), Err(FetchError::Status { .. })), "{status}");
    }
    for status in [300, 301, 302, 303, 307, 308] {
        assert!(matches!(judged(status, &[JSON], "{}"), Err(FetchError::Redirected { .. })), "{status}");
    }
}

#[test]
fn json_goes_by_several_names_and_nothing_else_is_json() {
    for name in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/jwk-set+json",
        "application/jwk-set+json; v=1",
        "application/vnd.example.v2+json",
    ] {
        assert!(judged(200, &[("content-type", name)], "{}").is_ok(), "{name}");
    }
    for name in [
        "",
        "json",
        "text/html",
        "text/json",
        "text/plain; charset=application/json",
        "application/jsonp",
        "application/+json",
        "application/jwt",
        "application/octet-stream",
        "application/json, text/html",
        "application/x, application/a+json",
        "application/json/x+json",
        "image/svg+json",
        "applicati\u{f6}n/json",
    ] {
        assert!(matches!(judged(200, &[("content-type", name)], "{}"), Err(FetchError::ContentType { .. })), "{name}");
    }
    assert!(judged(200, &[], "{}").is_err());
}

#[test]
fn what_a_host_says_is_shown_short_and_escaped() {
    let long = format!("\u{1b}[31m<script>\"{}", "x".repeat(10_000));
    let error = FetchError::ContentType { found: String::new() };
    assert_eq!(error.to_string(), "unexpected content type \"\"");
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, http::HeaderValue::from_bytes(&[b'a', 0xFF, b'\t', b'"']).unwrap());
    let mut response = http::Response::new(Bytes::from_static(b"secret"));
    *response.headers_mut() = fields;
    let shown = judge(response, LIMITS, ASKED).unwrap_err().to_string();
    assert!(shown.is_ascii() && !shown.contains('\t') && !shown.contains("secret"), "{shown}");
    assert!(http::HeaderValue::from_str(&long).is_err(), "an escape character is no header at all");
    let shown = judged(200, &[("content-type", &"x".repeat(10_000))], "{}").unwrap_err().to_string();
    assert!(shown.len() < 300, "{shown}");
}

#[test]
fn retry_after_is_read_in_both_forms_and_kept_within_bounds() {
    const SENT: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let asked = |fields: &[(&'static str, &str)]| {
        judged(503, fields, "").unwrap_err().retry_after().map(|asked| asked.as_secs())
    };
    for (value, expected) in [
        ("120", Some(120)),
        (" 120 ", Some(120)),
        ("0", Some(1)),
        ("3601", Some(3600)),
        ("99999999999999999999999999", Some(3600)),
        ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
        ("Sunday, 06-Nov-94 08:51:37 GMT", Some(120)),
        ("Sun Nov  6 08:51:37 1994", Some(120)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(1)),
        ("Fri, 31 Dec 1999 23:59:59 GMT", Some(3600)),
        ("", None),
        ("-1", None),
        ("+5", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 99 Nov 1994 08:51:37 GMT", None),
    ] {
        assert_eq!(asked(&[SENT, ("retry-after", value)]), expected, "{value}");
    }
    // Without a `Date`, or with one that cannot be read, from when we asked.
    for date in [&[][..], &[("date", "junk")]] {
        let asked = |value| asked(&[date, &[("retry-after", value)]].concat());
        assert_eq!(asked("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(1));
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT"), Some(3600));
        assert_eq!(asked("Sun, 99 Nov 1994 08:51:37 GMT"), None);
    }
    assert_eq!(asked(&[]), None);
}

#[test]
fn a_lifetime_is_kept_between_a_minute_and_an_hour_and_is_five_minutes_where_headers_are_useless() {
    const SENT: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let table: &[(&[(&'static str, &str)], u64)] = &[
        (&[], 300),
        (&[("cache-control", "max-age=600")], 600),
        (&[("cache-control", "public, MAX-AGE=\"600\", must-revalidate")], 600),
        (&[("cache-control", "max-age=600"), ("age", "500")], 100),
        (&[("cache-control", "max-age=600"), ("age", "590")], 60),
        (&[("cache-control", "max-age=600"), ("age", "900")], 60),
        (&[("cache-control", "max-age=600"), ("age", "old")], 600),
        (&[("cache-control", "max-age=0")], 60),
        (&[("cache-control", "max-age=31536000")], 3600),
        (&[("cache-control", "max-age=99999999999999999999999")], 3600),
        (&[("cache-control", "max-age=600, max-age=1200")], 600),
        (&[("cache-control", "public"), ("cache-control", "max-age=600")], 600),
        (&[("cache-control", "s-maxage=600")], 300),
        (&[("cache-control", "no-store")], 300),
        (&[("cache-control", "no-cache, max-age=600")], 300),
        (&[("cache-control", "max-age=600, no-store")], 300),
        (&[("cache-control", "max-age")], 300),
        (&[("cache-control", "max-age=-1")], 300),
        (&[("cache-control", "max-age=x"), SENT, ("expires", "Sun, 06 Nov 1994 08:59:37 GMT")], 300),
        (&[SENT, ("expires", "Sun, 06 Nov 1994 08:59:37 GMT")], 600),
        (&[("cache-control", "max-age=900"), SENT, ("expires", "Sun, 06 Nov 1994 08:59:37 GMT")], 900),
        (&[SENT, ("expires", "Sun, 06 Nov 1994 08:00:00 GMT")], 60),
        (&[SENT, ("expires", "0")], 300),
        (&[("expires", "Sun, 06 Nov 1994 08:59:37 GMT")], 300),
    ];
    for (fields, expected) in table {
        assert_eq!(lifetime(&headers(fields)).unwrap_or(DEFAULT_LIFETIME).as_secs(), *expected, "{fields:?}");
    }
}

#[test]
fn a_failure_of_somebody_elses_keeps_its_cause() {
    let error = FetchError::other(std::io::Error::other("no sidecar"));
    assert_eq!(error.source().unwrap().to_string(), "no sidecar");
    assert!(error.retry_after().is_none());
}
