//! The API client.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::client::api::base::Base;
use crate::client::api::held::Held;
use crate::client::api::http::build;
use crate::client::api::renewed::{Renewed, SaveError};
use crate::client::api::request::{ApiRequest, Way};
use crate::client::api::tokens::Tokens;
use crate::client::error::OAuthError;
use crate::client::registered::Client;
use crate::client::token_request::ClientCredentialsRequest;
use crate::client::token_set::TokenSet;

/// Calls an API with a user's token, or the program's own, which it has renewed ahead of time.
///
/// It is cheap to make: make one for each request of a user, from the tokens in his session. All of one [`Client`] share their connections,
/// and [what they know of renewals](Client::renew). A clone shares the token too.
///
/// **Where the token goes.** To the origin of the base URL alone ([`Registration::api_base_url`](crate::client::Registration::api_base_url)
/// or [`base_url`](Self::base_url)): scheme, host and port. A path stands behind the base, with or without a slash between: behind
/// `https://api.example.com/v1` both `things` and `/things` mean `https://api.example.com/v1/things`. An absolute URL of the base's origin
/// may be called too, such as the next page that an API names. Everything else is [`OAuthError::InvalidRequest`], and nothing is sent:
/// another origin, `//host`, segments of dots, backslashes. A redirect is followed within the origin, up to ten times; any other comes back
/// as the answer.
///
/// **What comes back.** The answer as it is, whatever its status: a 401 too, since nobody knows whether what the call was for has been done.
/// See [`renew_now`](Self::renew_now).
///
/// **When the token is renewed.** 60 s ahead of its end ([`renew_ahead`](Self::renew_ahead)), and not in the first half of its life; the call
/// waits for it. If that fails while the token still lives, the token is used, and renewal is tried again after 30 s, whichever API client of
/// the user's tokens asks.
///
/// Unlike logins it needs a `tokio` runtime, the program's own, since answers are streamed.
///
/// ```
/// use scopegate::ClientAuth;
/// use scopegate::client::{Client, Registration, TokenSet};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let registration = Registration::discover("https://id.example.com", ClientAuth::basic("app", "s3cret"))
///     .api_base_url("https://api.example.com/v1");
/// let client = Client::new("example", registration)?;
///
/// // What the login has brought, from the user's session.
/// let token: TokenSet = serde_json::from_str(r#"{"access_token":"2YotnFZFEjr1","token_type":"Bearer"}"#)?;
/// let api = client.api(token);
///
/// // A token never goes to another host, whoever wrote the address.
/// let error = api.get("https://evil.example/v1/things").await.unwrap_err();
/// assert_eq!(error.label(), "invalid_request");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ApiClient {
    tokens: Tokens,
    base: Option<Base>,
    /// The client's own unless it is set.
    http: Option<reqwest::Client>,
}

const AHEAD: Duration = Duration::from_secs(60);

impl Client {
    /// An API client with a user's tokens. Where they are of another client, each call is an [`OAuthError::InvalidRequest`].
    #[must_use]
    pub fn api(&self, token: TokenSet) -> ApiClient {
        ApiClient::new(self, Arc::new(Held::of_user(token)), None)
    }

    /// An API client with a token of the program's own, for a scope or a [`ClientCredentialsRequest`] (RFC 6749 s4.4).
    ///
    /// The token is fetched when it is first needed, and anew ahead of its end. All API clients that ask for the same share it.
    #[must_use]
    pub fn api_as_itself(&self, request: impl Into<ClientCredentialsRequest>) -> ApiClient {
        let request = request.into();
        ApiClient::new(self, self.0.own.get(&request), Some(request))
    }
}

impl ApiClient {
    fn new(client: &Client, held: Arc<Held>, own: Option<ClientCredentialsRequest>) -> Self {
        let tokens = Tokens { client: client.clone(), held, own, save: None, ahead: AHEAD };
        Self { tokens, base: client.0.api_base.clone(), http: None }
    }

    /// Calls another API than the registration names.
    ///
    /// # Errors
    /// [`OAuthError::InvalidRequest`] if it is not an https URL without a query, or one of plain http that the registration does not allow
    /// ([`Registration::plain_http`](crate::client::Registration::plain_http)).
    pub fn base_url(mut self, url: &str) -> Result<Self, OAuthError> {
        let base = Base::new(url, self.tokens.client.0.settings.plain_http);
        let problem = "the base URL is none that a token may be sent to";
        self.base = Some(base.map_err(|_| OAuthError::InvalidRequest { problem })?);
        Ok(self)
    }

    /// Uses an HTTP client of its own, with these settings; the redirect policy is this crate's. See
    /// [`Registration::api_http`](crate::client::Registration::api_http) for what not to set.
    ///
    /// To make one takes longer than many calls, so keep what this gives, or set
    /// [`Registration::api_http`](crate::client::Registration::api_http).
    ///
    /// # Errors
    /// [`OAuthError::Unreachable`] if it cannot be made.
    pub fn http(mut self, builder: reqwest::ClientBuilder) -> Result<Self, OAuthError> {
        self.http = Some(build(builder)?);
        Ok(self)
    }

    /// How long ahead of its end the token is renewed: 60 s by default. Where its lifetime is known, at most half of that.
    #[must_use]
    pub const fn renew_ahead(mut self, ahead: Duration) -> Self {
        self.tokens.ahead = ahead;
        self
    }

    /// Has renewed tokens of a user saved by this callback. Without one they are lost with the last clone of this API client, and with
    /// them, at most servers, the means to renew them again.
    ///
    /// **Save in place of the old ones, and only there.** The user may have logged out while the renewal was under way: a callback that puts
    /// the tokens into a session which has ended brings it back to life. Change a session only if it is there and still holds
    /// [`Renewed::previous`], in one step, as below; in SQL that is an `UPDATE` with both in its `WHERE`. What was
    /// [revoked](Client::revoke) or [forgotten](Client::forget) by then is not saved.
    ///
    /// **What it may do.** It runs on the one thread of the client's that also sends its requests, and to its end though the caller has
    /// gone. It may await a database driver, a channel, or a task of your own runtime; it must not block, which holds up all renewals and
    /// logins of the client, nor wait for a call of this very API client, which waits for it. It has no limit of time: set one of your own.
    ///
    /// **Where it fails.** The call that caused the renewal waits for it, and fails with [`OAuthError::Store`] if it fails or panics. The new
    /// tokens are kept here all the same ([`token`](Self::token)), and the next call runs the callback again before anything else. Another
    /// API client that is made of the tokens before, within 60 s, has them saved by its own callback.
    ///
    /// Set it before the API client is cloned: a clone that was made before has no callback, and tokens that it has renewed count as saved.
    ///
    /// It is not called for a token of the program's own.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::{Arc, Mutex};
    /// use scopegate::client::{ApiClient, Client, Renewed, TokenSet};
    ///
    /// type Sessions = Arc<Mutex<HashMap<u64, TokenSet>>>;
    ///
    /// fn api_of(client: &Client, sessions: &Sessions, session: u64, token: TokenSet) -> ApiClient {
    ///     let sessions = Arc::clone(sessions);
    ///     client.api(token).on_renewal(move |renewed: Renewed| {
    ///         let sessions = Arc::clone(&sessions);
    ///         async move {
    ///             let mut sessions = sessions.lock().map_err(|_| "the sessions are lost")?;
    ///             // One that has ended meanwhile stays so, and one that has newer tokens keeps them.
    ///             if let Some(held) = sessions.get_mut(&session).filter(|held| *held == renewed.previous()) {
    ///                 *held = renewed.into_token();
    ///             }
    ///             Ok::<(), &str>(())
    ///         }
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn on_renewal<F, E>(mut self, save: impl Fn(Renewed) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.tokens.save = Some(Arc::new(move |renewed| {
            let saving = save(renewed);
            Box::pin(async move { saving.await.map_err(|error| SaveError::from(error.into())) })
        }));
        self
    }

    /// The tokens that it has, renewed or not; `None` where a token of the program's own has not been needed yet.
    #[must_use]
    pub fn token(&self) -> Option<TokenSet> {
        self.tokens.held.token()
    }

    /// The tokens that a call would be made with, renewed if it is time for that: to be used by another means than this client.
    ///
    /// Works under any executor.
    ///
    /// # Errors
    /// [`OAuthError::TokenExpired`] if the token has ended and there is no refresh token; what
    /// [`renew`](Client::renew) or [`client_credentials`](Client::client_credentials) may say, where the token has ended;
    /// [`OAuthError::Store`] if the callback failed.
    pub async fn fresh_token(&self) -> Result<TokenSet, OAuthError> {
        self.tokens.current().await
    }

    /// Has the token replaced now, whenever it ends: for an API that refuses it though it should live. A token of which nobody knows when it
    /// ends, or that was revoked, is replaced in no other way.
    ///
    /// All who ask at a time share one replacement, and one that came less than 10 s ago is not replaced again, so that many calls which
    /// were refused together cost one request. A call is not sent again by itself, since nobody knows whether what it was for has been done;
    /// this is how to do it:
    ///
    /// ```
    /// use http::StatusCode;
    /// use scopegate::client::{ApiClient, OAuthError};
    ///
    /// async fn things(api: &ApiClient) -> Result<reqwest::Response, OAuthError> {
    ///     let answer = api.get("things").await?;
    ///     if answer.status() != StatusCode::UNAUTHORIZED {
    ///         return Ok(answer);
    ///     }
    ///     api.renew_now().await?;
    ///     api.get("things").await
    /// }
    /// ```
    ///
    /// # Errors
    /// What [`fresh_token`](Self::fresh_token) may say, also where the token before still lives.
    pub async fn renew_now(&self) -> Result<TokenSet, OAuthError> {
        self.tokens.another().await
    }

    /// A GET request for this path.
    pub fn get(&self, path: &str) -> ApiRequest {
        self.request(Method::GET, path)
    }

    /// A POST request to this path.
    pub fn post(&self, path: &str) -> ApiRequest {
        self.request(Method::POST, path)
    }

    /// A PUT request to this path.
    pub fn put(&self, path: &str) -> ApiRequest {
        self.request(Method::PUT, path)
    }

    /// A PATCH request to this path.
    pub fn patch(&self, path: &str) -> ApiRequest {
        self.request(Method::PATCH, path)
    }

    /// A DELETE request for this path.
    pub fn delete(&self, path: &str) -> ApiRequest {
        self.request(Method::DELETE, path)
    }

    /// A request of any method. What is wrong with the path is said when it is sent.
    pub fn request(&self, method: Method, path: &str) -> ApiRequest {
        ApiRequest::new(self.way(path), method)
    }

    fn way(&self, path: &str) -> Result<Way, OAuthError> {
        let problem = "there is no base URL: set api_base_url, or base_url";
        let base = self.base.clone().ok_or(OAuthError::InvalidRequest { problem })?;
        let url = base.join(path)?;
        let http = match &self.http {
            Some(http) => http.clone(),
            None => self.tokens.client.0.api_http.client(&self.tokens.client.0.settings.api_http)?,
        };
        Ok(Way { tokens: self.tokens.clone(), base, url, http })
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient")
            .field("client", &self.tokens.client)
            .field("token", &self.token())
            .finish_non_exhaustive()
    }
}
