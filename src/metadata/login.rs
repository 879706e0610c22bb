//! What a client needs to know of an authorization server (RFC 8414 s2, OpenID Connect Discovery 1.0 s3).

use crate::endpoint::{Endpoint, PlainHttp};
use crate::jose::json::{self, Value};
use crate::metadata::{LIMITS, MetadataFault};

/// The part of a metadata document that is about logging in.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoginMetadata {
    pub(crate) authorization_endpoint: Named,
    pub(crate) token_endpoint: Named,
    pub(crate) userinfo_endpoint: Named,
    /// RFC 7009.
    pub(crate) revocation_endpoint: Named,
    /// OpenID Connect RP-Initiated Logout 1.0 s2.1.
    pub(crate) end_session_endpoint: Named,
    /// RFC 9126 s5.
    pub(crate) pushed_authorization_request_endpoint: Named,
    /// RFC 9126 s5.
    pub(crate) demands_pushed_requests: bool,
    /// RFC 9207 s3.
    pub(crate) names_itself_in_responses: bool,
    /// RFC 8414 s2, `code_challenge_methods_supported`: whether S256 is among them; `None` where nothing is said.
    pub(crate) takes_s256: Option<bool>,
    /// RFC 8705 s5: the same endpoints for clients that show a certificate.
    aliases: Option<Box<Self>>,
}

/// An address in a document: it may be missing, and what is wrong with it is nobody's trouble who does not need it.
#[derive(Clone, Debug, Default)]
pub(crate) enum Named {
    #[default]
    Absent,
    At(Endpoint),
    Unusable,
}

impl LoginMetadata {
    /// Reads the members that count. Members about algorithms are not read: a document never widens what an issuer may use.
    pub(crate) fn read(document: &[u8], plain_http: PlainHttp) -> Result<Self, MetadataFault> {
        let mut read = Self::default();
        let mut aliases = None;
        json::object(document, LIMITS, |name, value| match (name, value) {
            ("mtls_endpoint_aliases", Value::Object(object)) => aliases = Some(object),
            _ => read.note(name, value, plain_http),
        })
        .map_err(|_| MetadataFault::NotMetadata("the metadata document is not one strict JSON object"))?;
        if let Some(aliases) = aliases {
            read.aliases = Some(Box::new(Self::read(aliases.as_bytes(), plain_http)?));
        }
        Ok(read)
    }

    fn note(&mut self, name: &str, value: Value<'_>, plain_http: PlainHttp) {
        let place = match name {
            "authorization_endpoint" => &mut self.authorization_endpoint,
            "token_endpoint" => &mut self.token_endpoint,
            "userinfo_endpoint" => &mut self.userinfo_endpoint,
            "revocation_endpoint" => &mut self.revocation_endpoint,
            "end_session_endpoint" => &mut self.end_session_endpoint,
            "pushed_authorization_request_endpoint" => &mut self.pushed_authorization_request_endpoint,
            "require_pushed_authorization_requests" => {
                self.demands_pushed_requests = matches!(value, Value::Bool(true));
                return;
            }
            "authorization_response_iss_parameter_supported" => {
                self.names_itself_in_responses = matches!(value, Value::Bool(true));
                return;
            }
            "code_challenge_methods_supported" => {
                if let Value::Array(list) = value {
                    let methods = list.strings().unwrap_or_default();
                    self.takes_s256 = Some(methods.iter().any(|method| method == "S256"));
                }
                return;
            }
            _ => return,
        };
        *place = Named::read(&value, plain_http);
    }

    /// The endpoint that `choose` picks, for a client that shows a certificate where that has one of its own (RFC 8705 s5).
    pub(crate) fn endpoint(&self, shows_certificate: bool, choose: impl Fn(&Self) -> &Named) -> &Named {
        match self.aliases.as_deref().filter(|_| shows_certificate).map(&choose) {
            Some(alias @ (Named::At(_) | Named::Unusable)) => alias,
            Some(Named::Absent) | None => choose(self),
        }
    }
}

impl Named {
    fn read(value: &Value<'_>, plain_http: PlainHttp) -> Self {
        match value {
            Value::String(url) => Endpoint::new(&url.decoded(), plain_http).map_or(Self::Unusable, Self::At),
            // Some servers write `null` for what they do not have.
            Value::Null => Self::Absent,
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Self::Unusable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> LoginMetadata {
        LoginMetadata::read(document.as_bytes(), PlainHttp::Refused).unwrap()
    }

    #[test]
    fn each_endpoint_is_an_https_url_or_unusable() {
        let document = r#"{"token_endpoint":"https://a.test/t","authorization_endpoint":"http://a.test/a","userinfo_endpoint":7,
            "revocation_endpoint":null,"require_pushed_authorization_requests":true,"authorization_response_iss_parameter_supported":"true",
            "code_challenge_methods_supported":["plain","S256"]}"#;
        let read = read(document);
        assert!(matches!(&read.token_endpoint, Named::At(url) if url.uri() == "https://a.test/t"));
        assert!(matches!(read.authorization_endpoint, Named::Unusable));
        assert!(matches!(read.userinfo_endpoint, Named::Unusable));
        assert!(matches!(read.revocation_endpoint, Named::Absent));
        assert!(matches!(read.end_session_endpoint, Named::Absent));
        // Only `true` is true.
        assert!(read.demands_pushed_requests && !read.names_itself_in_responses);
        assert_eq!(read.takes_s256, Some(true));
    }

    #[test]
    fn a_client_with_a_certificate_has_addresses_of_its_own() {
        let read = read(
            r#"{"token_endpoint":"https://a.test/t","revocation_endpoint":"https://a.test/r",
            "mtls_endpoint_aliases":{"token_endpoint":"https://m.test/t"}}"#,
        );
        let token = |shows| match read.endpoint(shows, |read| &read.token_endpoint) {
            Named::At(url) => url.uri().to_string(),
            Named::Absent | Named::Unusable => String::new(),
        };
        assert_eq!((&*token(false), &*token(true)), ("https://a.test/t", "https://m.test/t"));
        let revocation = read.endpoint(true, |read| &read.revocation_endpoint);
        assert!(matches!(revocation, Named::At(url) if url.uri() == "https://a.test/r"));
    }
}
