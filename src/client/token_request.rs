//! What a program asks for on its own account (RFC 6749 s4.4.2).

use std::fmt;

use crate::client::authorization::{is_ours, twice};
use crate::client::error::OAuthError;

/// What a program asks for on its own account, without a user. A text is a scope.
///
/// ```
/// use scopegate::client::ClientCredentialsRequest;
/// let plain = ClientCredentialsRequest::from("jobs:run");
/// let for_one_api = ClientCredentialsRequest::scope("jobs:run").resource("https://api.example.com/");
/// assert_ne!(plain, for_one_api);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ClientCredentialsRequest {
    pub(crate) scope: String,
    pub(crate) resources: Vec<String>,
    pub(crate) params: Vec<(String, String)>,
}

impl ClientCredentialsRequest {
    /// For this scope: names with spaces between. An empty one leaves it to the server.
    #[must_use]
    pub fn scope(scope: impl Into<String>) -> Self {
        Self { scope: scope.into(), ..Self::default() }
    }

    /// An API that the token is for (RFC 8707).
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// Any other parameter, such as `audience`.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), OAuthError> {
        if self.params.iter().any(|(name, _)| is_ours(name)) {
            let problem = "a parameter that this crate sets itself was given as another one";
            return Err(OAuthError::InvalidRequest { problem });
        }
        if twice(&self.params).is_some() {
            return Err(OAuthError::InvalidRequest { problem: "a parameter was given twice" });
        }
        Ok(())
    }
}

impl From<&str> for ClientCredentialsRequest {
    fn from(scope: &str) -> Self {
        Self::scope(scope)
    }
}

impl From<String> for ClientCredentialsRequest {
    fn from(scope: String) -> Self {
        Self::scope(scope)
    }
}

impl fmt::Debug for ClientCredentialsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentialsRequest")
            .field("scope", &self.scope)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}
