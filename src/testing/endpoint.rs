//! What an issuer serves, and under which addresses.

/// A resource of a [`TestIssuer`](super::TestIssuer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Endpoint {
    /// The document at `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 s4).
    OpenIdConfiguration,
    /// The document at `/.well-known/oauth-authorization-server` (RFC 8414 s3).
    OAuthMetadata,
    /// The key set, at `/jwks`.
    Jwks,
    /// The token endpoint, at `/token`.
    Token,
    /// The introspection endpoint, at `/introspect`.
    Introspection,
    /// The authorization endpoint and its pages, at `/authorize`.
    Authorization,
    /// The pushed authorization request endpoint, at `/par` (RFC 9126).
    PushedRequest,
    /// The userinfo endpoint, at `/userinfo` (OpenID Connect Core 1.0 s5.3).
    Userinfo,
    /// The revocation endpoint, at `/revoke` (RFC 7009).
    Revocation,
    /// The logout endpoint and its page, at `/end_session` (OpenID Connect RP-Initiated Logout 1.0 s2).
    EndSession,
}

/// The addresses of one issuer.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// Scheme and authority, no slash at the end.
    origin: String,
    /// The identifier's path: empty, or `/` and more, no slash at the end.
    path: String,
}

impl Addresses {
    pub(super) fn of(identifier: &str) -> Self {
        let after_scheme = identifier.find("://").map_or(0, |at| at.saturating_add(3));
        let (scheme, rest) = identifier.split_at_checked(after_scheme).unwrap_or(("", identifier));
        let authority = rest.split('/').next().unwrap_or(rest);
        let path = rest.strip_prefix(authority).unwrap_or_default();
        Self { origin: format!("{scheme}{authority}"), path: path.trim_end_matches('/').to_owned() }
    }

    /// The address of a resource below the identifier.
    pub(super) fn below(&self, name: &str) -> String {
        format!("{}{}/{name}", self.origin, self.path)
    }

    /// The path for the browser's cookies: the identifier's own.
    pub(super) fn cookie_path(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }

    /// Whether the URL begins with this origin.
    pub(super) fn path_of<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(self.origin.as_str()).filter(|path| path.starts_with('/'))
    }

    /// What is served at this path, the query left out.
    pub(super) fn endpoint(&self, path: &str) -> Option<Endpoint> {
        let path = path.split('?').next().unwrap_or_default();
        for (name, endpoint) in [
            ("openid-configuration", Endpoint::OpenIdConfiguration),
            ("oauth-authorization-server", Endpoint::OAuthMetadata),
        ] {
            // RFC 8414 s3.1 puts the name before the issuer's path, OpenID Connect Discovery s4 after it; s5 allows both.
            let before = format!("/.well-known/{name}{}", self.path);
            let after = format!("{}/.well-known/{name}", self.path);
            if path == before || path == after {
                return Some(endpoint);
            }
        }
        match path.strip_prefix(self.path.as_str())? {
            "/jwks" => Some(Endpoint::Jwks),
            "/token" => Some(Endpoint::Token),
            "/introspect" => Some(Endpoint::Introspection),
            "/authorize" => Some(Endpoint::Authorization),
            "/par" => Some(Endpoint::PushedRequest),
            "/userinfo" => Some(Endpoint::Userinfo),
            "/revoke" => Some(Endpoint::Revocation),
            "/end_session" => Some(Endpoint::EndSession),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_an_issuer_with_a_path_is_found_in_both_forms() {
        let addresses = Addresses::of("https://issuer.test/tenant/");
        assert_eq!(addresses.below("jwks"), "https://issuer.test/tenant/jwks");
        for (path, endpoint) in [
            ("/.well-known/openid-configuration/tenant", Some(Endpoint::OpenIdConfiguration)),
            ("/tenant/.well-known/openid-configuration", Some(Endpoint::OpenIdConfiguration)),
            ("/.well-known/oauth-authorization-server/tenant", Some(Endpoint::OAuthMetadata)),
            ("/tenant/jwks?x=1", Some(Endpoint::Jwks)),
            ("/tenant/token", Some(Endpoint::Token)),
            ("/.well-known/openid-configuration", None),
            ("/jwks", None),
            ("/tenant/jwks/", None),
        ] {
            assert_eq!(addresses.endpoint(path), endpoint, "{path}");
        }
    }

    #[test]
    fn an_address_belongs_to_an_origin_as_a_whole() {
        let addresses = Addresses::of("https://issuer.test");
        assert_eq!(addresses.path_of("https://issuer.test/jwks"), Some("/jwks"));
        assert_eq!(addresses.path_of("https://issuer.test.evil/jwks"), None);
        assert_eq!(addresses.path_of("http://issuer.test/jwks"), None);
        assert_eq!(Addresses::of("").below("jwks"), "/jwks");
    }
}
