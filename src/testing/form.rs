//! Parameters of a query or a form.

use bytes::Bytes;
use http::{Method, Request};

/// Names and values in their order. A parameter without a value counts as left out (RFC 6749 s3.1 and s3.2).
#[derive(Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(octets: &[u8]) -> Self {
        let parameters = form_urlencoded::parse(octets).filter(|(_, value)| !value.is_empty());
        Self(parameters.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// What a request says: in its body if it is a POST, else in its query.
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        if *request.method() == Method::POST {
            return Self::read(request.body());
        }
        Self::read(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// The same with this value alone under this name.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is there twice that may be there once. Only `resource` and `audience` are lists (RFC 8707 s2).
    pub(super) fn repeats_itself(&self) -> bool {
        let is_list = |name: &str| name == "resource" || name == "audience";
        self.0.iter().any(|(name, _)| !is_list(name) && self.all(name).nth(1).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_parameters_are_left_out_and_repeated_ones_are_seen() {
        let form = Form::read(b"scope=a+b&state=&resource=x&resource=y");
        assert_eq!((form.one("scope"), form.one("state")), (Some("a b"), None));
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["x", "y"]);
        assert!(!form.repeats_itself());
        assert!(Form::read(b"scope=a&scope=a").repeats_itself());
    }
}
