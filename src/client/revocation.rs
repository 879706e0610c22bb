//! Giving tokens back (RFC 7009).

use crate::client::error::{OAuthError, Stage};
use crate::client::exchange::{member, post};
use crate::client::registered::Client;
use crate::client::server::{At, needed};
use crate::client::token_set::TokenSet;

impl Client {
    /// Revokes a user's tokens at the server (RFC 7009): the refresh token, and the access token where the server takes it. What this client
    /// has had them renewed to in the last 60 s is revoked too, and what they are being renewed to, for which it waits.
    ///
    /// From the moment at which it is called it does what [`forget`](Self::forget) does, whatever comes of the rest. Dropping the future
    /// cancels nothing. All tokens are tried, whatever comes of one; after an error all are tried again by the next call, for 60 s. A token
    /// that the server does not know counts as revoked (s2.2). An access token that is a JWT may be believed by APIs until it ends all the
    /// same.
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
    /// assert_eq!(error.label(), "token_expired");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// That of the first that could not be revoked: [`OAuthError::Refused`] if the server says no, but `unsupported_token_type` or
    /// `invalid_token` for an access token, which is none; [`OAuthError::Unreachable`], also if it asks to come back later (s2.2.1);
    /// [`OAuthError::Unsupported`] if it has no revocation endpoint; [`OAuthError::InvalidRequest`] for tokens of another client.
    pub async fn revoke(&self, token: &TokenSet) -> Result<(), OAuthError> {
        self.check_own(token)?;
        self.forget(token);
        let (client, token) = (self.clone(), token.clone());
        self.0.worker.run(async move { client.revoke_what_came_of(&token).await }).await?
    }

    /// Ends a user's tokens here, without asking the server: for 60 s they are not [renewed](Self::renew), nor what they were renewed to, and
    /// whoever waits for a renewal that is under way gets [`OAuthError::TokenExpired`], and not the new tokens. So no request that runs
    /// beside the logout brings the session back.
    ///
    /// The tokens live on at the server until they end; [`revoke`](Self::revoke) ends them there too.
    ///
    /// ```
    /// use futures_executor::block_on;
    /// use scopegate::ClientAuth;
    /// use scopegate::client::{Client, Registration, TokenSet};
    ///
    /// let client = Client::new("example", Registration::discover("https://id.example.com", ClientAuth::basic("app", "s3cret")))?;
    /// let token: TokenSet =
    ///     serde_json::from_str(r#"{"access_token":"2YotnFZFEjr1","token_type":"Bearer","refresh_token":"tGzv3JOkF0XG"}"#)?;
    /// client.forget(&token);
    /// assert_eq!(block_on(client.renew(&token)).unwrap_err().label(), "token_expired");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn forget(&self, token: &TokenSet) {
        self.0.successors.bury(token, self.0.settings.clock.now());
    }

    async fn revoke_what_came_of(&self, token: &TokenSet) -> Result<(), OAuthError> {
        let sets = loop {
            let buried = self.0.successors.bury(token, self.0.settings.clock.now());
            match buried.waiting {
                // What comes of it is in the table, and told to nobody.
                Some(under_way) => drop(under_way.outcome().await),
                None => break buried.sets,
            }
        };
        self.revoke_all(&sets).await?;
        self.0.successors.drop_those_of(&sets);
        Ok(())
    }

    /// Tries them all.
    pub(super) async fn revoke_all(&self, sets: &[TokenSet]) -> Result<(), OAuthError> {
        let settings = &self.0.settings;
        let metadata = self.metadata().await?;
        let endpoint = needed(settings, &metadata, At::Revocation, "the server has no revocation endpoint")?;
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
            // Some servers revoke refresh tokens alone, or do not know an access token that went with its refresh token.
            let is_forgiven = |error: &OAuthError| {
                hint == "access_token"
                    && matches!(error.server_error(), Some("unsupported_token_type" | "invalid_token"))
            };
            if let Err(error) = answer
                && !is_forgiven(&error)
            {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}
