//! Having a user's tokens renewed (RFC 6749 s6, OpenID Connect Core 1.0 s12).

use std::borrow::Cow;

use crate::client::error::OAuthError;
use crate::client::exchange::member;
use crate::client::id_token::{Expected, IdToken, judge};
use crate::client::registered::Client;
use crate::client::successors::{Begun, Joined, Outcome};
use crate::client::token_set::TokenSet;
use crate::jose::base64url;
use crate::jose::json::{self, Duplicates, Value};
use crate::validator::Validator;

impl Client {
    /// Has a user's tokens renewed by their refresh token (RFC 6749 s6). What the server leaves out stays as it was: the refresh token, the
    /// scope, the ID token, the user.
    ///
    /// All who come with one refresh token share one request to the server, and whoever comes with it within 60 s after gets the same new
    /// set, so that requests that run side by side are no theft to a server that rotates refresh tokens (RFC 9700 s4.14.2). That
    /// holds for all clones of this client, in this process: programs that keep one user's tokens in several processes need a server that
    /// forgives a second use. Dropping the future cancels nothing.
    ///
    /// A new ID token takes the place of the old one where it is verified as that was, and is about the same login (OpenID Connect Core 1.0
    /// s12.2). Otherwise it is left out and the old one stays: the tokens that came with it are good, and may be the only ones left. One that
    /// names another user, issuer or client, or the nonce of another login, is an error: what came with it is handed to nobody, and revoked
    /// where the server takes it.
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
    /// assert_eq!(error.label(), "token_expired");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OAuthError::TokenExpired`] if there is no refresh token, or it was [revoked](Self::revoke) or [forgotten](Self::forget) here;
    /// [`OAuthError::Refused`] if the server says no: with `invalid_grant` the user has to log in again; [`OAuthError::InvalidIdToken`] for
    /// an ID token of another user; [`OAuthError::InvalidAnswer`] for an answer that cannot be read; [`OAuthError::Unreachable`]. The refresh
    /// token is worth nothing after `invalid_grant`, `InvalidIdToken` and `InvalidAnswer`: these stand for 60 s, and the server is not asked.
    /// [`OAuthError::InvalidRequest`] for tokens of another client.
    pub async fn renew(&self, token: &TokenSet) -> Result<TokenSet, OAuthError> {
        self.check_own(token)?;
        match self.0.successors.join(token, self.0.settings.clock.now()) {
            Joined::Ended(outcome) => *outcome,
            Joined::Waiting(under_way) => under_way.outcome().await?,
            Joined::Begun(begun) => {
                let (client, under_way, token) = (self.clone(), begun.under_way.clone(), begun.token.clone());
                let started = self.0.worker.start(Box::pin(async move { client.carry_out(*begun).await }));
                started.inspect_err(|_| self.0.successors.lose(&token))?;
                under_way.outcome().await?
            }
        }
    }

    async fn carry_out(self, begun: Begun) {
        let outcome = self.exchange_refresh_token(&begun.token).await;
        begun.conclusion.reach(self.0.successors.end(&begun.token, outcome, self.0.settings.clock.now()));
    }

    /// Once the server has answered the old refresh token may be used up, so that whatever else is wrong then, the new one is kept: all but
    /// that it is another user's.
    async fn exchange_refresh_token(&self, old: &TokenSet) -> Outcome {
        let refresh_token = old.refresh_token().ok_or(OAuthError::TokenExpired)?;
        let mut members = vec![member("grant_type", "refresh_token"), member("refresh_token", refresh_token)];
        members.extend(old.resources.iter().map(|resource| member("resource", resource.as_str())));
        let mut new = self.request_token(members, old.scope()).await?;
        // Where the login had none, nothing tells whose this one is.
        let had_one = old.subject().is_some() || old.id_token().is_some();
        if let (Some(jwt), Some(by), true) = (new.id_token.take(), &self.0.judge, had_one) {
            let (before, after) = (old.id_token().map(Said::read).unwrap_or_default(), Said::read(&jwt));
            let subject = old.subject().or(before.subject.as_deref());
            if let Some(problem) = after.foreign_to(&before, subject, self.client_id()) {
                // Nobody here has a use for them. What the server says to that changes nothing.
                drop(self.revoke_all(&[new]).await);
                return Err(OAuthError::InvalidIdToken { problem, reason: None });
            }
            if after.is_of_the_login(&before)
                && let Some(user) = self.verified_after_renewal(by, &jwt, &new).await
            {
                new.subject = Some(user.subject().to_owned());
                new.id_token = Some(jwt);
            }
        }
        Ok(new.renewing(old))
    }

    /// Who a new ID token is about, if it is good and can be verified.
    async fn verified_after_renewal(&self, by: &Validator, jwt: &str, new: &TokenSet) -> Option<IdToken> {
        let settings = &self.0.settings;
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
        judge(by, jwt, &expected).await.ok()
    }
}

/// What an ID token says of whom and which login it is about, whether or not it is verified. That it came with the tokens, from the server
/// itself, is enough to take them for another user's (OpenID Connect Core 1.0 s3.1.3.7, rule 6); who the user is, it does not prove.
#[derive(Default)]
struct Said {
    issuer: Option<String>,
    subject: Option<String>,
    audience: Option<Vec<String>>,
    nonce: Option<String>,
    /// As it is written.
    auth_time: Option<String>,
}

const LIMITS: json::Limits = json::Limits { depth: 16, members: 1024, duplicates: Duplicates::Refused };

impl Said {
    fn read(jwt: &str) -> Self {
        let mut said = Self::default();
        let payload = jwt.split('.').nth(1).and_then(|payload| base64url::decode(payload.as_bytes()));
        let read = json::object(&payload.unwrap_or_default(), LIMITS, |name, value| match (name, value) {
            ("iss", Value::String(text)) => said.issuer = Some(text.decoded().into_owned()),
            ("sub", Value::String(text)) => said.subject = Some(text.decoded().into_owned()),
            ("nonce", Value::String(text)) => said.nonce = Some(text.decoded().into_owned()),
            ("aud", Value::String(text)) => said.audience = Some(vec![text.decoded().into_owned()]),
            ("aud", Value::Array(array)) => {
                said.audience = array.strings().map(|all| all.into_iter().map(Cow::into_owned).collect());
            }
            ("auth_time", Value::Number(digits)) => said.auth_time = Some(digits.to_owned()),
            _ => {}
        });
        if read.is_ok() { said } else { Self::default() }
    }

    /// By what it is about somebody else, or made out to somebody else (OpenID Connect Core 1.0 s12.2).
    fn foreign_to(&self, before: &Self, subject: Option<&str>, client_id: &str) -> Option<&'static str> {
        if differ(subject, self.subject.as_deref()) {
            return Some("it is about another user than before (sub)");
        }
        if differ(before.issuer.as_deref(), self.issuer.as_deref()) {
            return Some("it is of another issuer than before (iss)");
        }
        if self.audience.as_ref().is_some_and(|all| all.iter().all(|audience| audience != client_id)) {
            return Some("it is made out to another client (aud)");
        }
        // It need not be there, but a nonce of another login must not.
        if differ(before.nonce.as_deref(), self.nonce.as_deref()) {
            return Some("it is about another login than before (nonce)");
        }
        None
    }

    /// Some servers say here when the tokens were renewed.
    fn is_of_the_login(&self, before: &Self) -> bool {
        !differ(before.auth_time.as_deref(), self.auth_time.as_deref())
    }
}

/// Whether both are there, and not the same.
fn differ(before: Option<&str>, after: Option<&str>) -> bool {
    before.zip(after).is_some_and(|(before, after)| before != after)
}
