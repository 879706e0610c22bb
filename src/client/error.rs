//! What can go wrong on the client's side.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};

use crate::reason::Reason;
use crate::wire::fetch::FetchError;

/// Which of a server's endpoints said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The authorization endpoint, by what the browser brought back (RFC 6749 s4.1.2.1).
    Authorization,
    /// The token endpoint (RFC 6749 s5.2).
    Token,
    /// The endpoint for pushed authorization requests (RFC 9126 s2.3).
    PushedRequest,
    /// The userinfo endpoint (OpenID Connect Core 1.0 s5.3.3).
    UserInfo,
    /// The revocation endpoint (RFC 7009 s2.2.1).
    Revocation,
}

/// Why a login, or a call with its token, did not succeed.
///
/// It never shows a token, a code, a verifier or a secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OAuthError {
    /// The answer belongs to no login that this browser has begun: the state is unknown, was used before, is too old, was begun with
    /// another client, or in another browser (RFC 6749 s10.12).
    #[error("mismatching_state: the answer belongs to no login that this browser has begun")]
    MismatchingState,
    /// The answer has no `code` (RFC 6749 s4.1.2).
    #[error("missing_code: the answer has no code")]
    MissingCode,
    /// The answer cannot be read: a parameter stands in it twice, or it is too long.
    #[error("malformed_response: {problem}")]
    MalformedResponse {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The answer comes from another server than the one that was asked (RFC 9207 s2.4).
    #[error("mismatching_issuer: {problem}")]
    MismatchingIssuer {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The server said no.
    #[error("{error}: the server refused at its {stage:?} endpoint{}", .description.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused {
        /// Which endpoint.
        stage: Stage,
        /// The server's error code, such as `access_denied` or `invalid_grant`: at most 64 printable characters.
        error: String,
        /// What it adds for a developer: at most 256 printable characters. Do not show it as if it were your own word.
        description: Option<String>,
    },
    /// The ID token is not good (OpenID Connect Core 1.0 s3.1.3.7).
    #[error("invalid_id_token: {problem}")]
    InvalidIdToken {
        /// What is wrong with it.
        problem: &'static str,
        /// The judge's reason, where its signature, issuer, audience or times are at fault.
        reason: Option<Reason>,
    },
    /// What the userinfo endpoint answered is not about this user, or cannot be believed (OpenID Connect Core 1.0 s5.3).
    #[error("invalid_userinfo: {problem}")]
    InvalidUserInfo {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A logout token is not good (OpenID Connect Back-Channel Logout 1.0 s2.6).
    #[error("invalid_logout_token: {problem}")]
    InvalidLogoutToken {
        /// What is wrong with it.
        problem: &'static str,
        /// The judge's reason, where its signature, issuer, audience or times are at fault.
        reason: Option<Reason>,
    },
    /// The server's answer is not what the standard says it is.
    #[error("invalid_answer: {problem}")]
    InvalidAnswer {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The program asked for what cannot be: an address that is none, a parameter that this crate sets itself.
    #[error("invalid_request: {problem}")]
    InvalidRequest {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The server does not have what it takes.
    #[error("unsupported: {problem}")]
    Unsupported {
        /// What is missing.
        problem: &'static str,
    },
    /// There is no token to send.
    #[error("missing_token: there is no token")]
    MissingToken,
    /// The token has expired and nothing can renew it: the user has to log in again.
    #[error("token_expired: the token has expired and nothing can renew it")]
    TokenExpired,
    /// The server could not be reached, or not be understood.
    #[error("unreachable: {0}")]
    Unreachable(#[source] FetchError),
    /// The store of the program's own failed.
    #[error("store: the program's store failed")]
    Store(#[source] Arc<dyn Error + Send + Sync>),
}

impl OAuthError {
    /// A stable word for it, for logs and metrics. That of [`Refused`](Self::Refused) is `refused`, whatever the server's code is.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::MismatchingState => "mismatching_state",
            Self::MissingCode => "missing_code",
            Self::MalformedResponse { .. } => "malformed_response",
            Self::MismatchingIssuer { .. } => "mismatching_issuer",
            Self::Refused { .. } => "refused",
            Self::InvalidIdToken { .. } => "invalid_id_token",
            Self::InvalidUserInfo { .. } => "invalid_userinfo",
            Self::InvalidLogoutToken { .. } => "invalid_logout_token",
            Self::InvalidAnswer { .. } => "invalid_answer",
            Self::InvalidRequest { .. } => "invalid_request",
            Self::Unsupported { .. } => "unsupported",
            Self::MissingToken => "missing_token",
            Self::TokenExpired => "token_expired",
            Self::Unreachable(_) => "unreachable",
            Self::Store(_) => "store",
        }
    }

    /// The server's own error code, where it said no.
    #[must_use]
    pub fn server_error(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whose fault it is, as a status: 400 for an answer that the browser brought and that is not good, 403 where the user or the server
    /// said no, 401 where the user has to log in, 502 where the server's answer cannot be believed, 503 where it is out of reach, 500
    /// where the program or its store is at fault.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::MismatchingState
            | Self::MissingCode
            | Self::MalformedResponse { .. }
            | Self::MismatchingIssuer { .. }
            | Self::InvalidLogoutToken { .. }
            | Self::InvalidRequest { .. } => StatusCode::BAD_REQUEST,
            Self::Refused { .. } => StatusCode::FORBIDDEN,
            Self::MissingToken | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::InvalidIdToken { .. } | Self::InvalidUserInfo { .. } | Self::InvalidAnswer { .. } => {
                StatusCode::BAD_GATEWAY
            }
            Self::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unsupported { .. } | Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A plain answer for the browser: the status, and one sentence that holds nothing which came from outside.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let text = match self.status() {
            StatusCode::BAD_REQUEST => "The login could not be completed. Please start again.",
            StatusCode::FORBIDDEN => "The login was refused.",
            StatusCode::UNAUTHORIZED => "Please log in.",
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => {
                "The login service does not answer as it should. Please try again later."
            }
            _ => "The login is not set up correctly.",
        };
        let mut response = Response::new(Bytes::from_static(text.as_bytes()));
        *response.status_mut() = self.status();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl From<FetchError> for OAuthError {
    fn from(error: FetchError) -> Self {
        Self::Unreachable(error)
    }
}

/// Why a login did not succeed, and the cookies that end it in the browser.
#[derive(Clone)]
pub struct LoginError {
    error: OAuthError,
    cookies: Vec<HeaderValue>,
}

impl LoginError {
    pub(crate) const fn new(error: OAuthError, cookies: Vec<HeaderValue>) -> Self {
        Self { error, cookies }
    }

    /// Why.
    #[must_use]
    pub const fn error(&self) -> &OAuthError {
        &self.error
    }

    /// Why, without the cookies.
    #[must_use]
    pub fn into_error(self) -> OAuthError {
        self.error
    }

    /// Values of `Set-Cookie` for the answer to the browser, whatever that is: they take away what the login had kept there.
    #[must_use]
    pub fn cookies(&self) -> &[HeaderValue] {
        &self.cookies
    }

    /// A plain answer, with the cookies.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = self.error.into_response();
        for cookie in self.cookies {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

impl fmt::Debug for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoginError").field(&self.error).finish()
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for LoginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// What a server said of an error, fit to be shown: RFC 6749 s5.2 allows it printable ASCII without quotes and backslashes.
pub(crate) fn refused(stage: Stage, error: &str, description: Option<&str>) -> OAuthError {
    OAuthError::Refused {
        stage,
        error: printable(error, 64),
        description: description.map(|text| printable(text, 256)),
    }
}

fn printable(text: &str, most: usize) -> String {
    let shown = |character| if matches!(character, ' '..='~') { character } else { '?' };
    text.chars().take(most).map(shown).collect()
}
