//! What a user is sent to the authorization endpoint with (RFC 6749 s4.1.1, OpenID Connect Core 1.0 s3.1.2.1).

use std::fmt;
use std::time::Duration;

use crate::client::error::OAuthError;
use crate::scope::Scope;

/// How the server brings its answer back (OAuth 2.0 Multiple Response Type Encoding Practices s2.1, OAuth 2.0 Form Post Response Mode).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseMode {
    /// In the query of a redirect, which is what servers do unasked. The default.
    #[default]
    Query,
    /// In a form that the browser posts, so that the code is in no URL, log or history. The login's cookie is then sent along with requests
    /// of other sites (`SameSite=None`).
    FormPost,
}

/// One login: where its answer is to come, and what is asked of the server.
///
/// ```
/// use std::time::Duration;
/// use scopegate::client::AuthorizationRequest;
/// let request = AuthorizationRequest::to("https://app.example.com/authorize")
///     .prompt("login")
///     .max_age(Duration::from_secs(300))
///     .return_to("/profile");
/// // A plain address will do for the usual login.
/// let usual = AuthorizationRequest::from("https://app.example.com/authorize");
/// # let _ = (request, usual);
/// ```
#[derive(Clone)]
pub struct AuthorizationRequest {
    pub(crate) redirect_uri: String,
    pub(crate) scope: Option<String>,
    pub(crate) response_mode: ResponseMode,
    pub(crate) max_age: Option<Duration>,
    pub(crate) acr: Option<Vec<String>>,
    pub(crate) resources: Vec<String>,
    pub(crate) return_to: Option<String>,
    pub(crate) params: Vec<(String, String)>,
}

impl AuthorizationRequest {
    /// The answer is to come to this address of the program's own, which the server knows (RFC 6749 s3.1.2). Each registration needs one of
    /// its own: where servers do not name themselves in their answers, it is what tells them apart (RFC 9700 s4.4.2.2).
    #[must_use]
    pub fn to(redirect_uri: impl Into<String>) -> Self {
        Self {
            redirect_uri: redirect_uri.into(),
            scope: None,
            response_mode: ResponseMode::default(),
            max_age: None,
            acr: None,
            resources: Vec::new(),
            return_to: None,
            params: Vec::new(),
        }
    }

    /// This scope instead of that of the registration (RFC 6749 s3.3).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// How the answer is to come. [`ResponseMode::Query`] by default.
    #[must_use]
    pub const fn response_mode(mut self, response_mode: ResponseMode) -> Self {
        self.response_mode = response_mode;
        self
    }

    /// Whether the server may ask the user anything, or must: `none`, `login`, `consent`, `select_account`, or several with spaces between
    /// (OpenID Connect Core 1.0 s3.1.2.1).
    #[must_use]
    pub fn prompt(self, prompt: impl Into<String>) -> Self {
        self.param("prompt", prompt)
    }

    /// Who is likely to log in, so that the server may fill in the name.
    #[must_use]
    pub fn login_hint(self, hint: impl Into<String>) -> Self {
        self.param("login_hint", hint)
    }

    /// The user must have shown who he is no longer ago than that, in whole seconds, else he has to again. The ID token says when he did,
    /// and is refused if it does not, or if that was longer ago.
    /// Without `openid` in the scope there is none, and it is an [`OAuthError::InvalidRequest`].
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// The user must show who he is in one of these ways, the first being preferred (`acr_values`). An ID token that names none of them is
    /// refused; an empty list, or a scope without `openid`, is an [`OAuthError::InvalidRequest`]. To ask without demanding it, use [`param`](Self::param).
    #[must_use]
    pub fn require_acr(mut self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.acr = Some(values.into_iter().map(Into::into).collect());
        self
    }

    /// The claims that are wished for, as the JSON of OpenID Connect Core 1.0 s5.5.
    #[must_use]
    pub fn claims(self, json: impl Into<String>) -> Self {
        self.param("claims", json)
    }

    /// The API that the access token is to be for (RFC 8707 s2). Call it again for another. It is sent with the code too.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// Where the user wanted to go: a path of this program, such as `/orders?page=2`. It comes back with the login.
    ///
    /// It may come from the request (`?next=`): what leads to another host is an [`OAuthError::InvalidRequest`].
    #[must_use]
    pub fn return_to(mut self, path: impl Into<String>) -> Self {
        self.return_to = Some(path.into());
        self
    }

    /// Any other parameter. Those that this crate sets itself cannot be set so, and none twice.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), OAuthError> {
        let invalid = |problem| Err(OAuthError::InvalidRequest { problem });
        if self.params.iter().any(|(name, _)| is_ours(name)) {
            return invalid("a parameter that this crate sets itself was given as another one");
        }
        if self.scope.as_deref().is_some_and(|scope| !is_scope_list(scope)) {
            return invalid("the scope is not a list of scopes");
        }
        if self.acr.as_ref().is_some_and(Vec::is_empty) {
            return invalid("require_acr demands none of no ways to log in");
        }
        let demands_acr = self.acr.is_some() && self.params.iter().any(|(name, _)| name == ACR_VALUES);
        if demands_acr || twice(&self.params).is_some() {
            return invalid("a parameter was given twice");
        }
        if self.return_to.as_deref().is_some_and(|path| !is_local(path)) {
            return invalid("return_to is not a path of this program");
        }
        Ok(())
    }
}

impl fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What else is asked for may say who the user is.
        let names: Vec<_> = self.params.iter().map(|(name, _)| name).collect();
        f.debug_struct("AuthorizationRequest")
            .field("redirect_uri", &self.redirect_uri)
            .field("scope", &self.scope)
            .field("params", &names)
            .finish_non_exhaustive()
    }
}

impl From<&str> for AuthorizationRequest {
    fn from(redirect_uri: &str) -> Self {
        Self::to(redirect_uri)
    }
}

impl From<String> for AuthorizationRequest {
    fn from(redirect_uri: String) -> Self {
        Self::to(redirect_uri)
    }
}

/// Of what kind the user's login is to be: demanded, or asked for as a parameter like others.
pub(crate) const ACR_VALUES: &str = "acr_values";

/// Parameters that decide what the answer is worth.
pub(crate) fn is_ours(name: &str) -> bool {
    const OURS: [&str; 20] = [
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "response_mode",
        "max_age",
        "resource",
        "request",
        "request_uri",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "grant_type",
        "code",
        "code_verifier",
        "refresh_token",
    ];
    OURS.contains(&name)
}

/// Whether it is a list of scopes with spaces between (RFC 6749 s3.3); more of them than one do no harm.
pub(crate) fn is_scope_list(text: &str) -> bool {
    text.split(' ').all(|scope| scope.is_empty() || Scope::new(scope).is_ok())
}

/// A name that stands there twice, which no server takes (RFC 6749 s3.1 and s3.2).
pub(crate) fn twice(params: &[(String, String)]) -> Option<&str> {
    let before = |at: usize, name: &str| params.iter().take(at).any(|(before, _)| before == name);
    params.iter().enumerate().find(|(at, (name, _))| before(*at, name)).map(|(_, (name, _))| name.as_str())
}

/// Whether a browser that is sent there stays at this host: browsers take `//`, `/\` and what follows a tab or a line end for a host.
/// No URL has quotes and angle brackets (RFC 3986 s2), which are of use in a page alone, to whoever wants to break out of its markup.
pub(crate) fn is_local(path: &str) -> bool {
    let fits = |byte| matches!(byte, 0x21..=0x7E) && !b"\"<>\\".contains(&byte);
    let is_plain = path.len() <= 512 && path.bytes().all(fits);
    is_plain && path.starts_with('/') && !path.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_at_this_host() {
        for local in ["/", "/profile", "/orders?page=2&q=a%20b#x", "/a//b", "/@evil.test"] {
            assert!(is_local(local), "{local}");
        }
        let foreign = [
            "",
            "profile",
            "//evil.test",
            "/\\evil.test",
            "\\/evil.test",
            "/\t/evil.test",
            "\t//evil.test",
            "/a\r\nset-cookie: x",
            "https://evil.test",
            "javascript:alert(1)",
            "/caf\u{e9}",
            "/\"onload=",
            "/<script>",
            " /",
        ];
        for foreign in foreign {
            assert!(!is_local(foreign), "{foreign:?}");
        }
        assert!(is_local(&format!("/{}", "a".repeat(511))) && !is_local(&format!("/{}", "a".repeat(512))));
    }
}
