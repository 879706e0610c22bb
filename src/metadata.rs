//! Metadata documents: where an authorization server says what it offers, and how such a document is read.
//!
//! RFC 8414, OpenID Connect Discovery 1.0, and the check of RFC 9728 s3.3. Nothing here asks the network.

#[cfg(feature = "client")]
pub(crate) mod login;

use std::borrow::Cow;

use crate::endpoint::{Endpoint, PlainHttp, issuer_problem, origin_and_rest};
use crate::jose::json::{self, Duplicates, Limits, Value};

/// Which document is meant, and how its address is made from an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WellKnown {
    /// `openid-configuration`, appended to the issuer's path (OpenID Connect Discovery 1.0 s4).
    OpenIdAppended,
    /// `oauth-authorization-server`, inserted before the issuer's path (RFC 8414 s3.1).
    OAuthInserted,
    /// `openid-configuration`, inserted before the issuer's path (RFC 8414 s5).
    OpenIdInserted,
}

/// The address of a metadata document, or what is wrong with the identifier.
pub(crate) fn well_known(kind: WellKnown, identifier: &str, plain_http: PlainHttp) -> Result<String, &'static str> {
    if let Some(problem) = issuer_problem(identifier, plain_http) {
        return Err(problem);
    }
    let (origin, path) = origin_and_rest(identifier);
    // An issuer's terminating slash is left out (RFC 8414 s3.1, Discovery s4.1).
    let path = path.strip_suffix('/').unwrap_or(path);
    Ok(match kind {
        WellKnown::OpenIdAppended => format!("{origin}{path}/.well-known/openid-configuration"),
        WellKnown::OAuthInserted => format!("{origin}/.well-known/oauth-authorization-server{path}"),
        WellKnown::OpenIdInserted => format!("{origin}/.well-known/openid-configuration{path}"),
    })
}

/// What an authorization server says of itself, as far as it is needed here.
#[derive(Clone, Debug)]
pub(crate) struct ServerMetadata {
    jwks_uri: Option<Endpoint>,
    introspection_endpoint: Option<Result<Endpoint, MetadataFault>>,
    /// The same for clients that show a certificate (RFC 8705 s5).
    introspection_endpoint_for_certificates: Option<Result<Endpoint, MetadataFault>>,
    /// What a client needs to know.
    #[cfg(feature = "client")]
    pub(crate) login: login::LoginMetadata,
}

/// Why a metadata document does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetadataFault {
    /// It is not a metadata document at all: not strict JSON, not an object, or without the member that names its owner.
    NotMetadata(&'static str),
    /// It is one, and cannot be believed.
    Refused(&'static str),
}

impl MetadataFault {
    pub(crate) const fn problem(self) -> &'static str {
        match self {
            Self::NotMetadata(problem) | Self::Refused(problem) => problem,
        }
    }
}

impl ServerMetadata {
    /// Reads the document of the issuer that was asked (RFC 8414 s3.3, OpenID Connect Discovery 1.0 s4.3).
    ///
    /// Members that say which algorithms the server uses are not read: a document never widens what an issuer may use.
    pub(crate) fn from_json(document: &[u8], issuer: &str, plain_http: PlainHttp) -> Result<Self, MetadataFault> {
        let [named, jwks_uri, introspection, aliases] =
            members(document, ["issuer", "jwks_uri", "introspection_endpoint", "mtls_endpoint_aliases"])?;
        match named {
            Member::Absent => return Err(MetadataFault::NotMetadata("the metadata document names no issuer")),
            Member::Text(named) if named == issuer => {}
            Member::Text(_) | Member::Object(_) | Member::Other => {
                return Err(MetadataFault::Refused("the metadata document is another issuer's (RFC 8414 s3.3)"));
            }
        }
        let jwks_uri = match jwks_uri {
            // OPTIONAL in RFC 8414 s2.
            Member::Absent => None,
            Member::Text(url) => Some(Endpoint::new(&url, plain_http).map_err(|_| BAD_JWKS_URI)?),
            Member::Object(_) | Member::Other => return Err(BAD_JWKS_URI),
        };
        // What is wrong with these is nobody's trouble who needs keys alone.
        let endpoint = |member: Member<'_>| match member {
            Member::Absent => None,
            Member::Text(url) => Some(Endpoint::new(&url, plain_http).map_err(|_| BAD_INTROSPECTION_ENDPOINT)),
            Member::Object(_) | Member::Other => Some(Err(BAD_INTROSPECTION_ENDPOINT)),
        };
        let alias = match aliases {
            Member::Object(aliases) => {
                let [alias] = members(aliases, ["introspection_endpoint"])?;
                endpoint(alias)
            }
            Member::Absent | Member::Text(_) | Member::Other => None,
        };
        Ok(Self {
            jwks_uri,
            introspection_endpoint: endpoint(introspection),
            introspection_endpoint_for_certificates: alias,
            #[cfg(feature = "client")]
            login: login::LoginMetadata::read(document, plain_http)?,
        })
    }

    /// Where the server is asked about tokens (RFC 8414 s2), and by clients that show a certificate (RFC 8705 s5).
    pub(crate) fn introspection_endpoint(&self, shows_certificate: bool) -> Option<Result<Endpoint, MetadataFault>> {
        let alias = self.introspection_endpoint_for_certificates.as_ref().filter(|_| shows_certificate);
        alias.or(self.introspection_endpoint.as_ref()).cloned()
    }

    /// Where the server's keys are.
    pub(crate) const fn jwks_uri(&self) -> Option<&Endpoint> {
        self.jwks_uri.as_ref()
    }
}

const BAD_INTROSPECTION_ENDPOINT: MetadataFault =
    MetadataFault::Refused("the metadata document's introspection_endpoint is not a URL that may be asked");

const BAD_JWKS_URI: MetadataFault =
    MetadataFault::Refused("the metadata document's jwks_uri is not a URL that may be asked");

/// Checks that a document is the metadata of this very resource (RFC 9728 s3.3).
#[cfg(any(test, feature = "testing"))]
pub(crate) fn check_resource(document: &[u8], resource: &str) -> Result<(), MetadataFault> {
    let [named] = members(document, ["resource"])?;
    match named {
        Member::Absent => Err(MetadataFault::NotMetadata("the metadata document names no resource")),
        Member::Text(named) if named == resource => Ok(()),
        Member::Text(_) | Member::Object(_) | Member::Other => {
            Err(MetadataFault::Refused("the metadata document is another resource's (RFC 9728 s3.3)"))
        }
    }
}

/// Large enough for the documents of real servers, which list a hundred members and nest three deep.
const LIMITS: Limits = Limits { depth: 16, members: 4096, duplicates: Duplicates::Refused };

enum Member<'a> {
    Absent,
    Text(Cow<'a, str>),
    Object(&'a [u8]),
    Other,
}

fn members<'a, const N: usize>(document: &'a [u8], names: [&str; N]) -> Result<[Member<'a>; N], MetadataFault> {
    let mut found = [const { Member::Absent }; N];
    let read = json::object(document, LIMITS, |name, value| {
        for (wanted, slot) in names.iter().zip(&mut found) {
            if *wanted == name {
                *slot = match value {
                    Value::String(text) => Member::Text(text.decoded()),
                    Value::Object(object) => Member::Object(object.as_bytes()),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Member::Other,
                };
            }
        }
    });
    read.map_err(|_| MetadataFault::NotMetadata("the metadata document is not one strict JSON object"))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://as.example.com";

    fn read(document: &str) -> Result<ServerMetadata, MetadataFault> {
        ServerMetadata::from_json(document.as_bytes(), ISSUER, PlainHttp::Refused)
    }

    #[test]
    fn each_kind_makes_its_own_address() {
        use WellKnown::{OAuthInserted, OpenIdAppended, OpenIdInserted};
        for (kind, identifier, expected) in [
            (OAuthInserted, "https://a.example", "https://a.example/.well-known/oauth-authorization-server"),
            (OAuthInserted, "https://a.example/", "https://a.example/.well-known/oauth-authorization-server"),
            (OAuthInserted, "https://a.example/p", "https://a.example/.well-known/oauth-authorization-server/p"),
            (
                OAuthInserted,
                "https://a.example:1/p/q/",
                "https://a.example:1/.well-known/oauth-authorization-server/p/q",
            ),
            (OpenIdAppended, "https://a.example", "https://a.example/.well-known/openid-configuration"),
            (OpenIdAppended, "https://a.example/p/", "https://a.example/p/.well-known/openid-configuration"),
            (OpenIdInserted, "https://a.example/p", "https://a.example/.well-known/openid-configuration/p"),
        ] {
            assert_eq!(well_known(kind, identifier, PlainHttp::Refused).as_deref(), Ok(expected));
        }
        for bad in ["http://a.example", "https://a.example?k=v", "https://a.example#f", "a.example", ""] {
            assert!(well_known(OAuthInserted, bad, PlainHttp::Refused).is_err(), "{bad}");
        }
        assert!(well_known(OAuthInserted, "http://127.0.0.1:8080", PlainHttp::OnLoopback).is_ok());
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        assert!(read(r#"{"issuer":"https://as.example.com","jwks_uri":"https://as.example.com/k"}"#).is_ok());
        assert!(read(r#"{"issuer":"https:\/\/as.example.com"}"#).is_ok());
        for other in
            ["https://as.example.com/", "https://AS.example.com", "https://as.example.com:443", "https://evil.test", ""]
        {
            let fault = read(&format!(r#"{{"issuer":"{other}"}}"#)).unwrap_err();
            assert!(matches!(fault, MetadataFault::Refused(_)), "{other}");
        }
        for other in ["null", "1", r#"["https://as.example.com"]"#] {
            let fault = read(&format!(r#"{{"issuer":{other}}}"#)).unwrap_err();
            assert!(matches!(fault, MetadataFault::Refused(_)), "{other}");
        }
    }

    #[test]
    fn what_is_not_one_strict_object_is_not_metadata() {
        let named = r#""issuer":"https://as.example.com""#;
        for document in ["", "[]", "null", "{}", "<html>", &format!("{{{named}}} x"), &format!("{{{named},{named}}}")] {
            assert!(matches!(read(document), Err(MetadataFault::NotMetadata(_))), "{document}");
        }
    }

    #[test]
    fn a_jwks_uri_is_an_https_url_or_absent() {
        let with = |jwks_uri: &str| read(&format!(r#"{{"issuer":"{ISSUER}","jwks_uri":{jwks_uri}}}"#));
        assert!(with(r#""https://keys.example.net/k""#).unwrap().jwks_uri().is_some());
        assert!(read(&format!(r#"{{"issuer":"{ISSUER}"}}"#)).unwrap().jwks_uri().is_none());
        for bad in [
            r#""http://as.example.com/k""#,
            r#""file:///etc/passwd""#,
            r#""http://169.254.169.254/""#,
            r#""/k""#,
            "null",
            "1",
        ] {
            assert_eq!(with(bad).unwrap_err(), BAD_JWKS_URI, "{bad}");
        }
    }

    #[test]
    fn a_resource_document_names_the_resource() {
        assert_eq!(check_resource(br#"{"resource":"https://rs.example.com"}"#, "https://rs.example.com"), Ok(()));
        for other in [r#"{"resource":null}"#, r#"{"resource":"https://rs.example.com/"}"#, "{}", "[]"] {
            assert!(check_resource(other.as_bytes(), "https://rs.example.com").is_err(), "{other}");
        }
    }
}
