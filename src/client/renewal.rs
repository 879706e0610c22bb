//! Having a user's tokens renewed (RFC 6749 s6, OpenID Connect Core 1.0 s12).

use serde::Deserialize;

use crate::client::error::OAuthError;
use crate::client::exchange::member;
use crate::client::id_token::{Expected, IdToken, judge};
use crate::client::registered::Client;
use crate::client::successors::{Begun, Joined, Outcome};
use crate::client::token_set::TokenSet;
use crate::jose::base64url;

impl Client {
    /// Has a user's tokens renewed by their refresh token (RFC 6749 s6). What the server leaves out stays as it was: the refresh token, the
    /// scope, the ID token, the user.
    ///
    /// All who come with one refresh token share one request to the server, and whoever comes with it within 60 s after gets the same new
    /// set, so that requests that run side by side are no theft to a server that rotates refresh tokens (RFC 9700 s4.14.2). That
    /// holds for all clones of this client, in this process: programs that keep one user's tokens in several processes need a server that
    /// forgives a second use. Dropping the future cancels nothing.
    ///
    /// A new ID token is verified as the first one was, and must be about the same user and the same login (OpenID Connect Core 1.0 s12.2).
    /// Where the keys for that cannot be had it is left out, and the one before stays.
    ///
    /// [`ApiClient`](crate::client::ApiClient) does this by itself, ahead of time.
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
    /// let login = block_on(client.callback(&Callback::of(&request)))?;
    /// let renewed = block_on(client.renew(login.token()))?;
    /// assert_ne!(renewed.access_token(), login.token().access_token());
    /// assert_eq!(renewed.subject(), Some("alice"));
    ///
    /// // Another request of the user that has the tokens before gets the same new ones.
    /// assert_eq!(block_on(client.renew(login.token()))?, renewed);
    ///
    /// // What was revoked is not renewed.
    /// block_on(client.revoke(&renewed))?;
    /// let error = block_on(client.renew(&renewed)).unwrap_err();
    /// assert_eq!(error.server_error(), Some("invalid_grant"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OAuthError::TokenExpired`] if there is no refresh token; [`OAuthError::Refused`] if the server says no: with `invalid_grant` the user
    /// has to log in again, and the answer stands for 60 s; [`OAuthError::InvalidIdToken`] for an ID token that is not good, or of another
    /// user; [`OAuthError::InvalidAnswer`]; [`OAuthError::Unreachable`].
    pub async fn renew(&self, token: &TokenSet) -> Result<TokenSet, OAuthError> {
        match self.0.successors.join(token, self.0.settings.clock.now()) {
            Joined::Ended(outcome) => outcome,
            Joined::Waiting(under_way) => under_way.outcome().await?,
            Joined::Begun(begun) => {
                let (client, under_way) = (self.clone(), begun.under_way.clone());
                self.0.worker.start(Box::pin(async move { client.carry_out(begun).await }))?;
                under_way.outcome().await?
            }
        }
    }

    async fn carry_out(self, begun: Begun) {
        let outcome = self.exchange_refresh_token(&begun.token).await;
        self.0.successors.end(&begun.token, &outcome, self.0.settings.clock.now());
        begun.conclusion.reach(outcome);
    }

    async fn exchange_refresh_token(&self, old: &TokenSet) -> Outcome {
        let refresh_token = old.refresh_token().ok_or(OAuthError::TokenExpired)?;
        let mut members = vec![member("grant_type", "refresh_token"), member("refresh_token", refresh_token)];
        members.extend(old.resources.iter().map(|resource| member("resource", resource.as_str())));
        let mut new = self.request_token(members, old.scope()).await?;
        if let Some(jwt) = new.id_token.take()
            && let Some(user) = self.user_after_renewal(&jwt, old, &new).await?
        {
            new.subject = Some(user.subject().to_owned());
            new.id_token = Some(jwt);
        }
        Ok(new.renewing(old))
    }

    /// Who a new ID token is about, as far as that can be known.
    async fn user_after_renewal(
        &self,
        jwt: &str,
        old: &TokenSet,
        new: &TokenSet,
    ) -> Result<Option<IdToken>, OAuthError> {
        let settings = &self.0.settings;
        let Some(by) = &self.0.judge else { return Ok(None) };
        let expected = Expected {
            client_id: &settings.client_id,
            audiences: &settings.audiences,
            nonce: None,
            access_token: Some(new.access_token()),
            code: None,
            max_age: None,
            acr: &[],
            leeway: settings.leeway,
            now: settings.clock.now(),
        };
        let user = match judge(by, jwt, &expected).await {
            Ok(user) => user,
            // The tokens are good, and the refresh token may be the only one that is left: who the user is has been verified before.
            Err(OAuthError::Unreachable(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        match difference(old, &user) {
            None => Ok(Some(user)),
            Some(problem) => Err(OAuthError::InvalidIdToken { problem, reason: None }),
        }
    }
}

/// What an ID token says of the login that it is about.
#[derive(Default, Deserialize)]
struct AboutLogin {
    sub: Option<String>,
    auth_time: Option<f64>,
    nonce: Option<String>,
}

/// What is different about a new ID token that must not be (OpenID Connect Core 1.0 s12.2). Issuer and audience are those of this client.
fn difference(old: &TokenSet, user: &IdToken) -> Option<&'static str> {
    let before = old.id_token().map(read_verified).unwrap_or_default();
    let Ok(after) = user.claims::<AboutLogin>() else { return Some("a claim is of another type than it should be") };
    if old.subject().or(before.sub.as_deref()).is_some_and(|subject| subject != user.subject()) {
        return Some("it is about another user than before (sub)");
    }
    if before.auth_time.is_some() && after.auth_time.is_some() && before.auth_time != after.auth_time {
        return Some("it is about another login than before (auth_time)");
    }
    // It need not be there, but a nonce of another login must not.
    if before.nonce.is_some() && after.nonce.is_some() && before.nonce != after.nonce {
        return Some("it is about another login than before (nonce)");
    }
    None
}

/// The claims of an ID token that was verified when it came.
fn read_verified(jwt: &str) -> AboutLogin {
    let payload = jwt.split('.').nth(1).and_then(|payload| base64url::decode(payload.as_bytes()));
    payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
}
