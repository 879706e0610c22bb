//! Addresses that a validator may be told to ask.

use std::fmt;
use std::net::Ipv4Addr;

/// Whether plain HTTP will do.
///
/// Keys that come over plain HTTP can be swapped by anybody on the way, so it is refused unless a test or a sidecar on this
/// very machine asks for it by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainHttp {
    /// Every address begins with `https://`. The default.
    #[default]
    Refused,
    /// `http://` will do for `localhost`, `127.0.0.0/8` and `[::1]`, and for no other host.
    OnLoopback,
}

/// Whether an issuer may lie at a loopback, private or link-local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrivateAddresses {
    Refused,
    Allowed,
}

/// An absolute URL that may be asked: checked once, when it is made.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(http::Uri);

impl Endpoint {
    /// Reads a URL, or says what is wrong with it.
    pub(crate) fn new(text: &str, plain_http: PlainHttp) -> Result<Self, &'static str> {
        // What two parsers read differently is refused: blanks, controls, a backslash that some take for a slash.
        if !text.bytes().all(|byte| matches!(byte, 0x21..=0x7E) && byte != b'\\') {
            return Err("has a character that no URL has (RFC 3986 s2)");
        }
        // `http::Uri` drops a fragment without a word.
        if text.contains('#') {
            return Err("has a fragment");
        }
        let uri: http::Uri = text.parse().map_err(|_| "is not a URL")?;
        problem(&uri, plain_http).map_or(Ok(Self(uri)), Err)
    }

    #[cfg(feature = "driver")]
    pub(crate) const fn uri(&self) -> &http::Uri {
        &self.0
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// What is wrong with a URL that is about to be asked.
pub(crate) fn problem(uri: &http::Uri, plain_http: PlainHttp) -> Option<&'static str> {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Some("is not an absolute URL");
    };
    if authority.as_str().contains('@') {
        return Some("holds a user name");
    }
    let host = authority.host();
    if host.is_empty() {
        return Some("names no host");
    }
    if authority.as_str().len() > host.len() && authority.port_u16().is_none() {
        return Some("has an unusable port");
    }
    match (scheme, plain_http) {
        ("https", _) => None,
        ("http", PlainHttp::OnLoopback) if is_loopback(host) => None,
        ("http", PlainHttp::OnLoopback) => Some("is plain http to a host that is not loopback"),
        _ => Some("does not begin with https://"),
    }
}

/// What is wrong with an issuer identifier: it is an https URL without query and fragment (RFC 8414 s2).
///
/// The text is then kept as it is, since identifiers are compared byte for byte (RFC 8414 s4).
pub(crate) fn issuer_problem(text: &str, plain_http: PlainHttp) -> Option<&'static str> {
    if text.contains('?') {
        return Some("has a query, which no issuer identifier has (RFC 8414 s2)");
    }
    Endpoint::new(text, plain_http).err()
}

/// A URL up to its host and port, and its path and query.
pub(crate) fn origin_and_rest(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |colon| colon.saturating_add(3));
    let length = url.get(host..).and_then(|after| after.find(['/', '?'])).unwrap_or(url.len());
    url.split_at_checked(host.saturating_add(length)).unwrap_or((url, ""))
}

/// The names of this machine that nobody else can answer for.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_urls_with_a_host_are_endpoints() {
        for good in
            ["https://id.example.com", "https://id.example.com:8443/keys?v=1", "https://[2001:db8::1]/", "HTTPS://a/"]
        {
            assert!(Endpoint::new(good, PlainHttp::Refused).is_ok(), "{good}");
        }
        let bad = [
            "",
            "id.example.com",
            "/keys",
            "https://",
            "https:///keys",
            "https://id.example.com:",
            "https://id.example.com:99999/",
            "https://id.example.com/keys#k",
            "https://user@id.example.com/",
            "https://user:secret@id.example.com/",
            "https://good.example\\@evil.example/",
            "https://id.example.com/a b",
            "https://id.example.com/\u{e9}",
            " https://id.example.com",
            "https://id.example.com\n",
            "http://id.example.com/keys",
            "http://127.0.0.1/keys",
            "file:///etc/passwd",
            "ftp://id.example.com/",
        ];
        for bad in bad {
            assert!(Endpoint::new(bad, PlainHttp::Refused).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn plain_http_reaches_loopback_alone_and_only_when_asked_for() {
        for loopback in ["http://127.0.0.1:8080/keys", "http://127.9.9.9/", "http://localhost:1/", "http://[::1]:80/"] {
            assert!(Endpoint::new(loopback, PlainHttp::OnLoopback).is_ok(), "{loopback}");
            assert!(Endpoint::new(loopback, PlainHttp::Refused).is_err(), "{loopback}");
        }
        for other in [
            "http://128.0.0.1/",
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "http://0.0.0.0/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://127.1/",
            "http://0177.0.0.1/",
            "http://[::2]/",
            "http://[::ffff:10.0.0.1]/",
            "http://localhost@evil.example/",
        ] {
            assert!(Endpoint::new(other, PlainHttp::OnLoopback).is_err(), "{other}");
        }
    }

    #[test]
    fn an_issuer_has_neither_query_nor_fragment() {
        for good in ["https://id.example.com", "https://id.example.com/", "https://id.example.com/tenants/1"] {
            assert_eq!(issuer_problem(good, PlainHttp::Refused), None, "{good}");
        }
        for bad in [
            "https://id.example.com/?a=b",
            "https://id.example.com?",
            "https://id.example.com/#",
            "http://id.example.com",
        ] {
            assert!(issuer_problem(bad, PlainHttp::Refused).is_some(), "{bad}");
        }
    }
}
