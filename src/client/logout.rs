//! Ending a user's session at the server, from here (OpenID Connect RP-Initiated Logout 1.0).

use std::fmt;

use http::HeaderValue;

use crate::client::authorization::{is_local, is_ours, twice};
use crate::client::callback::Callback;
use crate::client::error::{LoginError, OAuthError};
use crate::client::exchange::{Form, member};
use crate::client::login::with_query;
use crate::client::redirect::Redirect;
use crate::client::registered::Client;
use crate::client::server::{At, needed};
use crate::client::state::{self, Begun, CookieRules, Kind, Record};
use crate::client::token_set::TokenSet;
use crate::endpoint::Endpoint;

/// One logout: whose session is to end, and where the browser is to go after that.
///
/// ```
/// use scopegate::client::{LogoutRequest, TokenSet};
/// let token: TokenSet = serde_json::from_str(r#"{"access_token":"2YotnFZFEjr1","token_type":"Bearer"}"#)?;
/// let request = LogoutRequest::of(&token).post_logout_redirect_uri("https://app.example.com/logged-out");
/// # let _ = request;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct LogoutRequest {
    id_token_hint: Option<String>,
    post_logout_redirect_uri: Option<String>,
    return_to: Option<String>,
    params: Vec<(String, String)>,
}

impl LogoutRequest {
    /// The session of whoever uses the browser. Most servers then ask the user whether that is what he wants.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The session in which these tokens were had: their ID token goes along as `id_token_hint`, if there is one, so that servers need not
    /// ask the user. It may have expired.
    ///
    /// It goes in the address, since the browser carries it, and is seen in the server's logs. One that lists many groups can make an
    /// address longer than the 8 KiB that some servers take: ask without it, by [`new`](Self::new) and [`logout_hint`](Self::logout_hint).
    #[must_use]
    pub fn of(token: &TokenSet) -> Self {
        Self { id_token_hint: token.id_token().map(str::to_owned), ..Self::default() }
    }

    /// Where the browser is to come when the server is done: an address of the program's own, which the server knows (s3). Without it the
    /// browser stays at the server, and there is nothing for [`Client::logout_callback`] to take.
    #[must_use]
    pub fn post_logout_redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.post_logout_redirect_uri = Some(uri.into());
        self
    }

    /// Whose session it is, in words that the server knows: a name, an e-mail address, a session's identifier (s2).
    #[must_use]
    pub fn logout_hint(self, hint: impl Into<String>) -> Self {
        self.param("logout_hint", hint)
    }

    /// The languages that the user reads, the preferred one first, with spaces between (s2, RFC 5646).
    #[must_use]
    pub fn ui_locales(self, locales: impl Into<String>) -> Self {
        self.param("ui_locales", locales)
    }

    /// Where the user is to go in the end: a path of this program, such as `/`. It comes back with the logout.
    ///
    /// It may come from the request (`?next=`): what leads to another host is an [`OAuthError::InvalidRequest`].
    #[must_use]
    pub fn return_to(mut self, path: impl Into<String>) -> Self {
        self.return_to = Some(path.into());
        self
    }

    /// Any other parameter. Those that this crate sets itself cannot be set so.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// What is wrong with it.
    fn check(&self) -> Result<(), OAuthError> {
        let invalid = |problem| Err(OAuthError::InvalidRequest { problem });
        let is_set = |name: &str| is_ours(name) || matches!(name, "id_token_hint" | "post_logout_redirect_uri");
        if self.params.iter().any(|(name, _)| is_set(name)) {
            return invalid("a parameter that this crate sets itself was given as another one");
        }
        if twice(&self.params).is_some() {
            return invalid("a parameter was given twice");
        }
        match self.return_to.as_deref() {
            Some(path) if !is_local(path) => invalid("return_to is not a path of this program"),
            Some(_) if self.post_logout_redirect_uri.is_none() => {
                invalid("return_to needs post_logout_redirect_uri: without it the browser does not come back")
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Debug for LogoutRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hints say who the user is.
        f.debug_struct("LogoutRequest")
            .field("has_id_token_hint", &self.id_token_hint.is_some())
            .field("post_logout_redirect_uri", &self.post_logout_redirect_uri)
            .finish_non_exhaustive()
    }
}

/// A browser that has come back from the logout that it was sent to.
///
/// It says that this browser was sent, and not what the server did there: the user may have changed his mind.
#[derive(Clone)]
pub struct LoggedOut {
    return_to: Option<String>,
    cookies: Vec<HeaderValue>,
}

impl LoggedOut {
    /// Where the user is to go ([`LogoutRequest::return_to`]): a path of this program.
    #[must_use]
    pub fn return_to(&self) -> Option<&str> {
        self.return_to.as_deref()
    }

    /// Values of `Set-Cookie` for the answer to the browser, whatever that is: they take away what the logout had kept there.
    #[must_use]
    pub fn cookies(&self) -> &[HeaderValue] {
        &self.cookies
    }
}

impl fmt::Debug for LoggedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedOut").field("return_to", &self.return_to).finish_non_exhaustive()
    }
}

/// # Logging out
///
/// There are two ways, and a program may have both: the user logs out here and is sent to the server
/// ([`logout_redirect`](Client::logout_redirect)), or the server tells this program that he has logged out elsewhere
/// ([`backchannel_logout`](Client::backchannel_logout)). The third that is known, by which the server shows a page of this program in a frame
/// of its own (OpenID Connect Front-Channel Logout 1.0), is left out: browsers send no cookies of this program into another's frame, so that
/// the page would not know whose session it is to end, and it proves to nobody that the server asked.
impl Client {
    /// Begins a logout: where to send the browser, so that the server ends the user's session too.
    ///
    /// End the program's own session before, in the same answer: the browser may not come back. The user's tokens are not ended by it, since
    /// a program may go on with them on the user's behalf: see [`revoke`](Self::revoke), and [`forget`](Self::forget), which asks nobody; and
    /// [`backchannel_logout`](Self::backchannel_logout).
    ///
    /// `client_id` always goes along (s2). Where the browser is to come back it keeps a cookie until then, for as long as a login may take
    /// ([`Registration::login_time`](crate::client::Registration::login_time)).
    ///
    /// # Errors
    /// [`OAuthError::InvalidRequest`] for an address that is none, or what else cannot be asked; [`OAuthError::Unsupported`] if the server
    /// has no such endpoint; [`OAuthError::Unreachable`] if its metadata cannot be had; [`OAuthError::Store`] if the
    /// [`StateStore`](crate::client::StateStore) fails.
    pub async fn logout_redirect(&self, request: LogoutRequest) -> Result<Redirect, OAuthError> {
        request.check()?;
        let metadata = self.metadata().await?;
        let lacks = "the server has no endpoint that ends its session (end_session_endpoint)";
        let endpoint = needed(&self.0.settings, &metadata, At::EndSession, lacks)?;
        let mut params = Form::new();
        params.extend(request.id_token_hint.as_deref().map(|hint| member("id_token_hint", hint)));
        params.push(member("client_id", self.client_id()));
        let mut cookies = Vec::new();
        if let Some(uri) = request.post_logout_redirect_uri {
            let begun = self.begin_logout(&uri, request.return_to).await?;
            params.extend([member("post_logout_redirect_uri", uri), member("state", begun.state)]);
            cookies.push(begun.cookie);
        }
        params.extend(request.params.into_iter().map(|(name, value)| member(&name, value)));
        Redirect::new(&with_query(&endpoint, &params), cookies)
    }

    async fn begin_logout(&self, uri: &str, return_to: Option<String>) -> Result<Begun, OAuthError> {
        let settings = &self.0.settings;
        let problem = "the post-logout redirect URI is not a URL that may be used";
        let back = Endpoint::new(uri, settings.plain_http).map_err(|_| OAuthError::InvalidRequest { problem })?;
        // The browser comes back by following a link, with which `Lax` cookies are sent.
        let rules = CookieRules { secure: back.uri().scheme_str() == Some("https"), cross_site: false };
        let record = Record { return_to, ..Record::new(Kind::Logout, &self.0.registered, uri) };
        state::begin(&*settings.states, rules, settings.login_time, settings.clock.now(), record).await
    }

    /// Completes a logout: takes what the browser brought back to the post-logout redirect URI.
    ///
    /// The logout is over by then, whatever comes of it. Put the [cookies](LoggedOut::cookies) of the result into the answer to the browser,
    /// those of an error too.
    ///
    /// # Errors
    /// [`OAuthError::MismatchingState`] if this browser was sent to no logout that has not come back, which is no reason to alarm the user:
    /// he may have come by the browser's history. [`OAuthError::MalformedResponse`], [`OAuthError::Store`].
    pub async fn logout_callback(&self, callback: &Callback) -> Result<LoggedOut, LoginError> {
        let (begun, cookies) = self.begun(Kind::Logout, callback).await;
        match begun {
            Ok(record) => Ok(LoggedOut { return_to: record.return_to, cookies }),
            Err(error) => Err(LoginError::new(error, cookies)),
        }
    }
}
