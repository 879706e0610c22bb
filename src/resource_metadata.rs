//! What a protected resource says of itself (RFC 9728): the document, and where it lies.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::config_error::ConfigError;
use crate::endpoint::{Endpoint, PlainHttp, origin_and_rest};
use crate::scope::Scope;

/// What this API says of itself to clients that do not know it yet (RFC 9728): where tokens for it come from, and which scopes there are.
///
/// Give it to [`ValidatorBuilder::publish_metadata`](crate::ValidatorBuilder::publish_metadata). Most of the document is made from the
/// other settings, so that it cannot differ from what is judged:
///
/// | member | comes from |
/// | --- | --- |
/// | `resource` | the audience that [`Validator::builder`](crate::Validator::builder) was given, byte for byte |
/// | `authorization_servers` | the issuers that are trusted by name and have a URL for it, in that order |
/// | `scopes_supported` | every scope in the demands of the layers that were made by `Validator::require`, and of [`scope`](Self::scope) |
/// | `bearer_methods_supported` | always `["header"]`: tokens are read from the `Authorization` field alone |
///
/// What would be empty is left out (RFC 9728 s3.2). Issuers that a resolver names are not listed, since whoever reads the document would
/// learn who the tenants are. `jwks_uri` is not there because this API signs nothing, and `signed_metadata` because it would need a key of
/// this API's own that clients know already; what vouches for the document is the TLS connection that it comes by.
///
/// ```
/// use scopegate::{Issuer, KeySet, ResourceMetadata, Scope, Validator};
/// # let keys = KeySet::from_json(br#"{"keys":[]}"#)?;
/// let metadata = ResourceMetadata::new()
///     .name("Things")
///     .documentation("https://example.com/docs/things")
///     .scope(Scope::new("things:read")?);
/// let validator = Validator::builder("https://api.example.com/things")
///     .trust(Issuer::keys("https://id.example.com", keys.clone()))
///     .publish_metadata(metadata.clone())
///     .build()?;
/// let published = validator.metadata()?;
/// assert_eq!(published.url(), "https://api.example.com/.well-known/oauth-protected-resource/things");
///
/// // An audience that is no URL has no place where clients could look.
/// let by_name = Validator::builder("things-api").trust(Issuer::keys("https://id.example.com", keys));
/// assert_eq!(by_name.publish_metadata(metadata).build().unwrap_err().setting(), "publish_metadata");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceMetadata {
    name: Option<String>,
    documentation: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
    scopes: BTreeSet<Scope>,
    left_out: BTreeSet<Scope>,
}

impl ResourceMetadata {
    /// A document that says what the validator's settings say, and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What this API is called where a person is asked about it: `resource_name`, not empty. The default is not to say.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A page for developers who use this API: `resource_documentation`, an https URL or one on loopback. The default is not to say.
    #[must_use]
    pub fn documentation(mut self, url: impl Into<String>) -> Self {
        self.documentation = Some(url.into());
        self
    }

    /// A page on what clients may do with the data: `resource_policy_uri`, an https URL or one on loopback. The default is not to say.
    #[must_use]
    pub fn policy_uri(mut self, url: impl Into<String>) -> Self {
        self.policy_uri = Some(url.into());
        self
    }

    /// A page with the terms of service: `resource_tos_uri`, an https URL or one on loopback. The default is not to say.
    #[must_use]
    pub fn tos_uri(mut self, url: impl Into<String>) -> Self {
        self.tos_uri = Some(url.into());
        self
    }

    /// A scope that no layer demands and that clients may want all the same, such as one that a handler looks at by itself. May be called
    /// for several.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scopes.insert(scope);
        self
    }

    /// A scope that is not listed although a layer demands it. May be called for several.
    ///
    /// Some clients ask for every scope that they find listed. Leave out what only few should ask for; challenges name it where it is the
    /// one that is needed (RFC 9728 s2 leaves the choice to the resource).
    #[must_use]
    pub fn leave_out_scope(mut self, scope: Scope) -> Self {
        self.left_out.insert(scope);
        self
    }

    /// The document of this resource, whose tokens come from these issuers.
    pub(crate) fn document<'a>(
        &self,
        resource: &str,
        issuers: impl Iterator<Item = &'a str>,
    ) -> Result<Document, ConfigError> {
        let url = address(resource, PlainHttp::OnLoopback)
            .map_err(|problem| ConfigError::invalid_url("publish_metadata", resource, problem))?;
        if let Some(both) = self.scopes.intersection(&self.left_out).next() {
            return Err(ConfigError::conflict("leave_out_scope", both.as_str(), "listed and left out"));
        }
        if self.name.as_ref().is_some_and(String::is_empty) {
            return Err(ConfigError::invalid("name", "", "an empty text is no name"));
        }
        let mut members = Map::new();
        let mut member = |name: &str, value: Value| members.insert(name.to_owned(), value);
        member("resource", resource.into());
        member("bearer_methods_supported", vec!["header"].into());
        // A plain name is nowhere that a client could go, and readers that expect URLs refuse the whole document for it.
        let servers: Vec<&str> = issuers.filter(|issuer| issuer.contains(':')).collect();
        if !servers.is_empty() {
            member("authorization_servers", servers.into());
        }
        if let Some(name) = &self.name {
            member("resource_name", name.as_str().into());
        }
        for (setting, name, url) in [
            ("documentation", "resource_documentation", &self.documentation),
            ("policy_uri", "resource_policy_uri", &self.policy_uri),
            ("tos_uri", "resource_tos_uri", &self.tos_uri),
        ] {
            if let Some(url) = url {
                check_page(url).map_err(|problem| ConfigError::invalid_url(setting, url, problem))?;
                member(name, url.as_str().into());
            }
        }
        Ok(Document {
            url,
            members,
            scopes: self.scopes.clone(),
            #[cfg(feature = "tower")]
            left_out: self.left_out.clone(),
        })
    }
}

/// A document, but for the scopes, which are known when the routes are.
#[derive(Debug)]
pub(crate) struct Document {
    /// Where it lies.
    pub(crate) url: String,
    members: Map<String, Value>,
    /// Those that were named by hand.
    pub(crate) scopes: BTreeSet<Scope>,
    #[cfg(feature = "tower")]
    left_out: BTreeSet<Scope>,
}

impl Document {
    /// Whether a scope that a layer demands is listed.
    #[cfg(feature = "tower")]
    pub(crate) fn lists(&self, scope: &Scope) -> bool {
        !self.left_out.contains(scope)
    }

    /// The document as it is sent, with these scopes in order.
    pub(crate) fn with_scopes(&self, scopes: &BTreeSet<Scope>) -> Bytes {
        let mut members = self.members.clone();
        if !scopes.is_empty() {
            let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
            members.insert("scopes_supported".to_owned(), scopes.into());
        }
        Bytes::from(Value::Object(members).to_string())
    }
}

/// Where the metadata of a resource lies, or why it lies nowhere: the well-known part is inserted before the resource's path and query
/// (RFC 9728 s3.1).
pub(crate) fn address(resource: &str, plain_http: PlainHttp) -> Result<String, &'static str> {
    // A resource is an https URL without a fragment (RFC 9728 s1.2). What is not one says so here by what it is used for.
    Endpoint::new(resource, plain_http).map_err(|_| NOT_A_RESOURCE)?;
    let (origin, rest) = origin_and_rest(resource);
    // Clients tidy up an address before they ask it, and would then ask another one.
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    if rest.contains(['"', '<', '>', '^', '`', '{', '|', '}']) || path.split('/').any(is_dots) {
        return Err(REWRITTEN);
    }
    // A slash is left out only where it is all that there is of a path.
    let rest = match rest.strip_prefix('/') {
        Some(after) if after.is_empty() || after.starts_with('?') => after,
        _ => rest,
    };
    Ok(format!("{origin}/.well-known/oauth-protected-resource{rest}"))
}

const NOT_A_RESOURCE: &str = "the audience is not an https URL without fragment, so it has no metadata (RFC 9728 s1.2)";
const REWRITTEN: &str = "the audience is a URL that clients rewrite before they ask it (RFC 3986 s2 and s5.2.4)";

/// `.` or `..`, plainly or percent-encoded.
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// What is wrong with the address of a page, which may point into the page.
fn check_page(url: &str) -> Result<(), &'static str> {
    let (page, within) = url.split_once('#').unwrap_or((url, ""));
    if within.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Err("has a character that no URL has (RFC 3986 s2)");
    }
    Endpoint::new(page, PlainHttp::OnLoopback).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERTED: &str = "/.well-known/oauth-protected-resource";

    #[test]
    fn the_well_known_part_is_inserted_before_path_and_query() {
        for (origin, rest, inserted) in [
            ("https://a.example", "", ""),
            ("https://a.example", "/", ""),
            ("https://a.example:8443", "/p", "/p"),
            ("https://a.example", "/p/", "/p/"),
            ("https://a.example", "//", "//"),
            ("https://a.example", "/p?k=v", "/p?k=v"),
            ("https://a.example", "?k=v", "?k=v"),
            ("https://a.example", "/?k=v", "?k=v"),
            ("https://a.example", "/p?k=/../v", "/p?k=/../v"),
            ("https://[2001:db8::1]:1", "/...", "/..."),
        ] {
            let address = address(&format!("{origin}{rest}"), PlainHttp::Refused);
            assert_eq!(address, Ok(format!("{origin}{INSERTED}{inserted}")), "{rest}");
        }
    }

    #[test]
    fn what_is_no_https_url_has_no_metadata() {
        for bad in [
            "",
            "things",
            "urn:things",
            "api://things",
            "/things",
            "https://",
            "https://a.example/#x",
            "https://u@a.example/",
        ] {
            assert_eq!(address(bad, PlainHttp::OnLoopback), Err(NOT_A_RESOURCE), "{bad}");
        }
        assert_eq!(address("http://127.0.0.1:3000/p", PlainHttp::Refused), Err(NOT_A_RESOURCE));
        assert_eq!(address("http://a.example", PlainHttp::OnLoopback), Err(NOT_A_RESOURCE));
        assert!(address("http://127.0.0.1:3000/p", PlainHttp::OnLoopback).is_ok());
    }

    #[test]
    fn what_clients_would_rewrite_is_refused() {
        for path in ["/..", "/.", "/a/../b", "/a/%2e%2E/b", "/a/.%2e", "/a\"b", "/{a}", "/a|b", "/a?{b}"] {
            let resource = format!("https://a.example{path}");
            assert_eq!(address(&resource, PlainHttp::Refused), Err(REWRITTEN), "{path}");
        }
    }

    #[test]
    fn a_page_may_be_pointed_into() {
        assert_eq!(check_page("https://a.example/docs#auth"), Ok(()));
        for bad in ["https://a.example/docs#a b", "javascript:alert(1)", "http://a.example/", "#auth", ""] {
            assert!(check_page(bad).is_err(), "{bad}");
        }
    }
}
