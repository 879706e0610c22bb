//! A token of the program's own (RFC 6749 s4.4).

use crate::client::error::OAuthError;
use crate::client::exchange::member;
use crate::client::registered::Client;
use crate::client::token_request::ClientCredentialsRequest;
use crate::client::token_set::TokenSet;

impl Client {
    /// Gets a token of the program's own, without a user, by the client's credentials (RFC 6749 s4.4).
    ///
    /// Each call asks the server. [`api_as_itself`](Self::api_as_itself) keeps the token as long as it lives.
    ///
    /// ```
    /// use futures_executor::block_on;
    /// use scopegate::ClientAuth;
    /// use scopegate::client::{Client, Registration};
    /// use scopegate::testing::{TestClient, TestIssuer};
    ///
    /// let issuer = TestIssuer::new("https://id.example.com");
    /// issuer.register_client(TestClient::confidential("jobs", "s3cret"));
    /// let with = |secret: &str| {
    ///     let registration = Registration::discover("https://id.example.com", ClientAuth::basic("jobs", secret));
    ///     Client::new("jobs", registration.fetch(issuer.fetch()))
    /// };
    /// let token = block_on(with("s3cret")?.client_credentials("jobs:run"))?;
    /// assert_eq!((token.scope(), token.refresh_token()), (Some("jobs:run"), None));
    /// let error = block_on(with("guessed")?.client_credentials("jobs:run")).unwrap_err();
    /// assert_eq!(error.server_error(), Some("invalid_client"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OAuthError::Refused`] if the server says no, [`OAuthError::InvalidRequest`] for a parameter that this crate sets itself,
    /// [`OAuthError::InvalidAnswer`], [`OAuthError::Unsupported`] if the server has no token endpoint, [`OAuthError::Unreachable`].
    pub async fn client_credentials(
        &self,
        request: impl Into<ClientCredentialsRequest>,
    ) -> Result<TokenSet, OAuthError> {
        let request = request.into();
        request.check()?;
        let scope = Some(request.scope.as_str()).filter(|scope| !scope.is_empty());
        let mut members = vec![member("grant_type", "client_credentials")];
        members.extend(scope.map(|scope| member("scope", scope)));
        members.extend(request.resources.iter().map(|resource| member("resource", resource.as_str())));
        members.extend(request.params.iter().map(|(name, value)| member(name, value.as_str())));
        let mut token = self.request_token(members, scope).await?;
        // RFC 6749 s4.4.3: a refresh token is none of it. Nor is a user.
        token.refresh_token = None;
        token.id_token = None;
        token.resources = request.resources;
        Ok(token)
    }
}
