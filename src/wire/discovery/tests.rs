use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::wire::fetch::Fetching;

const ISSUER: &str = "https://id.example/t";
const APPENDED: &str = "https://id.example/t/.well-known/openid-configuration";
const INSERTED: &str = "https://id.example/.well-known/oauth-authorization-server/t";
const OPENID_INSERTED: &str = "https://id.example/.well-known/openid-configuration/t";
const GOOD: &str = r#"{"issuer":"https://id.example/t","jwks_uri":"https://id.example/k"}"#;

/// Answers by address; 404 where nothing was put.
#[derive(Debug, Default)]
struct Web {
    pages: HashMap<&'static str, (u16, &'static str)>,
    asked: Mutex<Vec<String>>,
}

impl Web {
    fn of(pages: &[(&'static str, u16, &'static str)]) -> Self {
        Self { pages: pages.iter().map(|(url, status, body)| (*url, (*status, *body))).collect(), ..Self::default() }
    }

    fn discover(&self, issuer: &str) -> Result<ServerMetadata, FetchError> {
        let now = Timestamp::new(0, Duration::ZERO);
        let found = discover(self, issuer, PlainHttp::Refused, FetchLimits::default(), Forms::All(None), now);
        futures_executor::block_on(found).map(|(metadata, _)| metadata)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Fetch for Web {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        let url = request.uri().to_string();
        let (status, body) = self.pages.get(&*url).copied().unwrap_or((404, "{}"));
        self.asked.lock().unwrap().push(url);
        Box::pin(async move {
            if status == 0 {
                return Err(FetchError::TimedOut(limits.total));
            }
            let response = http::Response::builder().status(status).header("content-type", "application/json");
            Ok(response.header("retry-after", "7").body(Bytes::from_static(body.as_bytes())).unwrap())
        })
    }
}

#[test]
fn the_forms_are_tried_in_order_until_one_leads_to_the_document() {
    for (page, asked) in [
        (APPENDED, &[APPENDED][..]),
        (INSERTED, &[APPENDED, INSERTED]),
        (OPENID_INSERTED, &[APPENDED, INSERTED, OPENID_INSERTED]),
    ] {
        let web = Web::of(&[(page, 200, GOOD)]);
        let found = web.discover(ISSUER).unwrap();
        assert_eq!(found.jwks_uri().unwrap().uri(), "https://id.example/k");
        assert_eq!(web.asked(), asked);
    }
}

#[test]
fn what_is_not_a_metadata_document_leads_to_the_next_form() {
    for (status, body) in
        [(400, ""), (403, GOOD), (404, ""), (410, ""), (302, GOOD), (200, "<html>"), (200, "{}"), (200, "[]")]
    {
        let web = Web::of(&[(APPENDED, status, body), (INSERTED, 200, GOOD)]);
        assert!(web.discover(ISSUER).is_ok(), "{status} {body}");
    }
}

#[test]
fn a_server_in_trouble_is_asked_once() {
    for status in [0, 408, 429, 500, 502, 503, 504] {
        let web = Web::of(&[(APPENDED, status, GOOD), (INSERTED, 200, GOOD)]);
        assert!(web.discover(ISSUER).is_err(), "{status}");
        assert_eq!(web.asked(), [APPENDED], "{status}");
    }
    let busy = Web::of(&[(APPENDED, 429, "")]);
    assert_eq!(busy.discover(ISSUER).unwrap_err().retry_after(), Some(Duration::from_secs(7)));
}

#[test]
fn a_document_that_cannot_be_believed_ends_the_search() {
    for body in [
        r#"{"issuer":"https://evil.test","jwks_uri":"https://evil.test/k"}"#,
        r#"{"issuer":"https://id.example/t/","jwks_uri":"https://id.example/k"}"#,
        r#"{"issuer":"https://id.example/t","jwks_uri":"http://id.example/k"}"#,
        r#"{"issuer":"https://id.example/t","jwks_uri":"file:///etc/passwd"}"#,
    ] {
        let web = Web::of(&[(APPENDED, 200, body), (INSERTED, 200, GOOD)]);
        assert!(matches!(web.discover(ISSUER), Err(FetchError::Unusable { .. })), "{body}");
        assert_eq!(web.asked(), [APPENDED], "{body}");
    }
}

#[test]
fn where_no_form_leads_anywhere_the_first_error_is_told_and_no_address_is_asked_twice() {
    let web = Web::of(&[(APPENDED, 403, "")]);
    let error = web.discover(ISSUER).unwrap_err();
    assert!(matches!(error, FetchError::Status { status: http::StatusCode::FORBIDDEN, .. }), "{error}");
    assert_eq!(web.asked(), [APPENDED, INSERTED, OPENID_INSERTED]);

    let web = Web::default();
    assert!(web.discover("https://id.example").is_err());
    assert_eq!(web.asked().len(), 2);

    let web = Web::default();
    assert!(matches!(web.discover("http://id.example"), Err(FetchError::NotAllowed { .. })));
    assert!(web.asked().is_empty());
}
