//! Where an API lies, and which addresses are a part of it.

use reqwest::Url;

use crate::client::error::OAuthError;
use crate::endpoint::{Endpoint, PlainHttp};

/// The base URL of an API. Only what is checked against it is sent a token.
#[derive(Clone)]
pub(crate) struct Base {
    /// As it was given.
    text: String,
    url: Url,
    plain_http: PlainHttp,
}

impl Base {
    /// Reads a base URL, or says what is wrong with it.
    pub(crate) fn new(text: &str, plain_http: PlainHttp) -> Result<Self, &'static str> {
        Endpoint::new(text, plain_http)?;
        if text.contains('?') {
            return Err("has a query, which would stand before the path");
        }
        if has_dots(text) {
            return Err("has a segment of dots");
        }
        let url: Url = text.parse().map_err(|_| "is not a URL")?;
        Ok(Self { text: text.to_owned(), url, plain_http })
    }

    /// The address of a path, which stands behind the base, or of an absolute URL of the base's origin.
    pub(crate) fn join(&self, path: &str) -> Result<Url, OAuthError> {
        let refused = |problem| Err(OAuthError::InvalidRequest { problem });
        // What two parsers read differently is refused: blanks, controls, a backslash that some take for a slash.
        if !path.bytes().all(|byte| matches!(byte, 0x21..=0x7E) && byte != b'\\') {
            return refused("the path has a character that no URL has: write it in percent encoding");
        }
        if path.contains('#') {
            return refused("the path has a fragment");
        }
        if path.starts_with("//") {
            return refused("the path begins with two slashes, by which another host would be meant");
        }
        if has_dots(path) {
            return refused("the path has a segment of dots, which would lead elsewhere");
        }
        let is_absolute = path.split(['/', '?']).next().is_some_and(|first| first.contains(':'));
        if is_absolute && Endpoint::new(path, self.plain_http).is_err() {
            return refused("the path begins as a URL does, and is none that may be asked");
        }
        let address = if is_absolute { path.to_owned() } else { self.behind(path) };
        let Ok(url) = address.parse::<Url>() else { return refused("the path makes no URL behind the base") };
        if !self.is_home_of(&url) {
            return refused(ELSEWHERE);
        }
        Ok(url)
    }

    fn behind(&self, path: &str) -> String {
        if path.is_empty() || path.starts_with('?') {
            return format!("{}{path}", self.text);
        }
        let base = self.text.strip_suffix('/').unwrap_or(&self.text);
        format!("{base}/{}", path.strip_prefix('/').unwrap_or(path))
    }

    /// Whether it is of the base's origin: scheme, host and port (RFC 6454 s5).
    pub(crate) fn is_home_of(&self, url: &Url) -> bool {
        is_same_origin(&self.url, url)
    }
}

pub(crate) const ELSEWHERE: &str = "the address is of another origin than the API, where the token does not go";

/// Whether what is sent to the one may be sent to the other.
pub(crate) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin() && other.username().is_empty() && other.password().is_none()
}

/// Whether a segment of the path is `.` or `..`, which parsers take out, in percent encoding too.
fn has_dots(address: &str) -> bool {
    let path = address.split('?').next().unwrap_or_default();
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Base {
        Base::new(text, PlainHttp::OnLoopback).unwrap()
    }

    #[test]
    fn a_path_stands_behind_the_base_with_or_without_slashes() {
        let rows = [
            ("https://api.test", "things", "https://api.test/things"),
            ("https://api.test", "/things", "https://api.test/things"),
            ("https://api.test/", "things", "https://api.test/things"),
            ("https://api.test/", "/things", "https://api.test/things"),
            ("https://api.test/v1", "things", "https://api.test/v1/things"),
            ("https://api.test/v1", "/things", "https://api.test/v1/things"),
            ("https://api.test/v1/", "things/", "https://api.test/v1/things/"),
            ("https://api.test/v1/", "/things?x=1&y=/../a", "https://api.test/v1/things?x=1&y=/../a"),
            ("https://api.test/v1", "", "https://api.test/v1"),
            ("https://api.test/v1/", "", "https://api.test/v1/"),
            ("https://api.test/v1", "/", "https://api.test/v1/"),
            ("https://api.test/v1", "?x=1", "https://api.test/v1?x=1"),
            ("https://api.test/v1", "/urn:a:b", "https://api.test/v1/urn:a:b"),
            ("https://api.test/v1", "a/b:c@d", "https://api.test/v1/a/b:c@d"),
            ("https://api.test/v1", "a..b/...", "https://api.test/v1/a..b/..."),
            (
                "https://api.test/v1",
                "things?next=https://evil.test",
                "https://api.test/v1/things?next=https://evil.test",
            ),
            ("https://api.test/v1", "https://api.test/v1/things?page=2", "https://api.test/v1/things?page=2"),
            ("https://api.test/v1", "https://api.test:443/v2", "https://api.test/v2"),
            ("https://api.test/v1", "HTTPS://API.test/v1", "https://api.test/v1"),
            ("http://127.0.0.1:80/", "http://127.0.0.1/x", "http://127.0.0.1/x"),
        ];
        for (text, path, expected) in rows {
            assert_eq!(base(text).join(path).unwrap().as_str(), expected, "{text} {path}");
        }
    }

    #[test]
    fn nothing_leads_to_another_origin_or_out_of_the_base() {
        let rows = [
            "https://evil.test/",
            "https://api.test.evil.test/",
            "https://api.test:8443/",
            "http://api.test/v1",
            "http://127.0.0.1/",
            "https://api.test@evil.test/",
            "https://user@api.test/v1",
            "https://user:pw@api.test/v1",
            "//evil.test/things",
            "//api.test/v1/things",
            "///evil.test",
            "https:/api.test/v1",
            "https:api.test",
            "https:///api.test/v1",
            "https:/\\evil.test",
            "\\\\evil.test",
            "/\\evil.test",
            "\t//evil.test",
            "//\tevil.test",
            " https://evil.test",
            "ftp://api.test/",
            "file:///etc/passwd",
            "data:text/plain,x",
            "javascript:alert(1)",
            "@evil.test:x",
            "../admin",
            "/../admin",
            "things/../../admin",
            "things/..",
            "./things",
            "%2e%2E/admin",
            ".%2e/admin",
            "things/%2E/x",
            "https://api.test/v1/../admin",
            "things#x",
            "a b",
            "caf\u{e9}",
            "things\r\nhost: evil.test",
        ];
        for path in rows {
            let error = base("https://api.test/v1").join(path).map(String::from).unwrap_err();
            assert_eq!(error.label(), "invalid_request", "{path:?}");
        }
    }

    #[test]
    fn a_base_is_an_https_url_without_query_and_dots() {
        for bad in [
            "api.test",
            "http://api.test/",
            "https://api.test/?x=1",
            "https://api.test/#x",
            "https://user@api.test/",
            "https://api.test/a/../b",
            "https://api.test/%2e%2e/b",
            "ftp://api.test/",
            "",
        ] {
            assert!(Base::new(bad, PlainHttp::OnLoopback).is_err(), "{bad}");
        }
        assert!(Base::new("http://127.0.0.1:8080/api", PlainHttp::OnLoopback).is_ok());
        assert!(Base::new("http://127.0.0.1:8080/api", PlainHttp::Refused).is_err());
    }
}
