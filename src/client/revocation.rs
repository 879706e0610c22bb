//! Giving tokens back (RFC 7009).

use crate::client::error::{OAuthError, Stage};
use crate::client::exchange::{member, post};
use crate::client::registered::Client;
use crate::client::server::{At, needed};
use crate::client::token_set::TokenSet;

impl Client {
    /// Revokes a user's tokens at the server (RFC 7009): the refresh token, and the access token where the server takes it. What this client
    /// has had them renewed to in the last 60 s is revoked too.
    ///
    /// All of them are tried, whatever comes of one. A token that the server does not know counts as revoked (s2.2). An access token that is
    /// a JWT may be believed by APIs until it ends all the same.
    ///
    /// ```
    /// # use futures_executor::block_on;
    /// # use http::Request;
    /// # use scopegate::ClientAuth;
    /// # use scopegate::client::{Callback, Client, Registration};
    /// # use scopegate::testing::{TestClient, TestIssuer};
    /// # let issuer = TestIssuer::new("https://id.example.com");
    /// # let back = "https://app.example.com/authorize";
    /// # issuer.register_client(TestClient::confidential("app", "s3cret").redirect_uri(back));
    /// # let registration = Registration::discover("https://id.example.com", ClientAuth::basic("app", "s3cret"));
    /// # let client = Client::new("example", registration.scope("openid").fetch(issuer.fetch()))?;
    /// # let redirect = block_on(client.authorize_redirect(back))?;
    /// # let cookie = redirect.cookies()[0].to_str()?.split(';').next().unwrap_or_default();
    /// # let back = issuer.sign_in(redirect.location(), "alice");
    /// # let request = Request::get(back.url()).header("cookie", cookie).body(())?;
    /// // GET /logout
    /// let login = block_on(client.callback(&Callback::of(&request)))?;
    /// block_on(client.revoke(login.token()))?;
    /// let error = block_on(client.renew(login.token())).unwrap_err();
    /// assert_eq!(error.server_error(), Some("invalid_grant"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// That of the first that could not be revoked: [`OAuthError::Refused`] if the server says no, but `unsupported_token_type` for an access
    /// token, which is none; [`OAuthError::Unreachable`], also if it asks to come back later (s2.2.1);
    /// [`OAuthError::Unsupported`] if it has no revocation endpoint.
    pub async fn revoke(&self, token: &TokenSet) -> Result<(), OAuthError> {
        let settings = &self.0.settings;
        let metadata = self.metadata().await?;
        let endpoint = needed(settings, &metadata, At::Revocation, "the server has no revocation endpoint")?;
        let mut sets = self.0.successors.take(token);
        sets.push(token.clone());
        let refresh = sets.iter().filter_map(|set| set.refresh_token().map(|token| (token, "refresh_token")));
        let access = sets.iter().map(|set| (set.access_token(), "access_token"));
        let mut tried: Vec<&str> = Vec::new();
        let mut first_error = None;
        // RFC 7009 s2.1: with a refresh token most servers revoke what came of it, so that one is first.
        for (token, hint) in refresh.chain(access) {
            if tried.contains(&token) {
                continue;
            }
            tried.push(token);
            let members = vec![member("token", token), member("token_type_hint", hint)];
            let answer = post(settings, &self.0.worker, endpoint.clone(), Stage::Revocation, members).await;
            match answer {
                Err(error) if !(hint == "access_token" && error.server_error() == Some("unsupported_token_type")) => {
                    first_error.get_or_insert(error);
                }
                Ok(_) | Err(_) => {}
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}
