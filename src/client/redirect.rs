//! Where a browser is sent, and what a login comes to.

use std::fmt;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};

use crate::client::error::OAuthError;
use crate::client::id_token::IdToken;
use crate::client::token_set::TokenSet;

/// Where the browser is to go next, and what it is to keep until it comes back.
#[derive(Clone)]
pub struct Redirect {
    location: HeaderValue,
    cookies: Vec<HeaderValue>,
}

impl Redirect {
    pub(crate) fn new(location: &str, cookies: Vec<HeaderValue>) -> Result<Self, OAuthError> {
        let problem = "the address is none that a browser could be sent to";
        let location = HeaderValue::from_str(location).map_err(|_| OAuthError::InvalidRequest { problem })?;
        Ok(Self { location, cookies })
    }

    /// The address.
    #[must_use]
    pub fn location(&self) -> &str {
        self.location.to_str().unwrap_or_default()
    }

    /// Values of `Set-Cookie` for the same answer: without them the login cannot be completed.
    #[must_use]
    pub fn cookies(&self) -> &[HeaderValue] {
        &self.cookies
    }

    /// The answer: 303 (RFC 9700 s4.12), the cookies, `Cache-Control: no-store`.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().insert(LOCATION, self.location);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for cookie in self.cookies {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // State and nonce stand in the query.
        let place = self.location().split('?').next().unwrap_or_default();
        f.debug_struct("Redirect").field("to", &place).finish_non_exhaustive()
    }
}

/// A login that has succeeded: the user's tokens, and who he is.
#[derive(Clone)]
pub struct Login {
    pub(crate) token: TokenSet,
    pub(crate) user: Option<IdToken>,
    pub(crate) return_to: Option<String>,
    pub(crate) cookies: Vec<HeaderValue>,
}

impl Login {
    /// The tokens.
    #[must_use]
    pub const fn token(&self) -> &TokenSet {
        &self.token
    }

    /// Takes the tokens out.
    #[must_use]
    pub fn into_token(self) -> TokenSet {
        self.token
    }

    /// Who the user is; `None` where `openid` was not asked for, since nothing else says so.
    #[must_use]
    pub const fn user(&self) -> Option<&IdToken> {
        self.user.as_ref()
    }

    /// Where the user wanted to go ([`AuthorizationRequest::return_to`](crate::client::AuthorizationRequest::return_to)): a path of this
    /// program.
    #[must_use]
    pub fn return_to(&self) -> Option<&str> {
        self.return_to.as_deref()
    }

    /// Values of `Set-Cookie` for the answer to the browser, whatever that is: they take away what the login had kept there.
    #[must_use]
    pub fn cookies(&self) -> &[HeaderValue] {
        &self.cookies
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("token", &self.token).field("user", &self.user).finish_non_exhaustive()
    }
}
