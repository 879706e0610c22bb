//! A call to an API.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use reqwest::{RequestBuilder, Response, Url};
use serde::Serialize;
use tokio::runtime::Handle;

use crate::client::api::base::{Base, ELSEWHERE};
use crate::client::api::http::problem;
use crate::client::api::tokens::Tokens;
use crate::client::error::OAuthError;

/// A call to an API that is being put together. Awaiting it sends it.
///
/// It wraps a [`reqwest::RequestBuilder`]; what has no method of its own here is set by [`with`](Self::with).
///
/// ```
/// use std::time::Duration;
/// use scopegate::client::{ApiClient, OAuthError};
///
/// async fn rename(api: &ApiClient, id: u64, name: &str) -> Result<bool, OAuthError> {
///     let answer = api
///         .put(&format!("things/{id}"))
///         .query([("notify", "no")])
///         .json(&serde_json::json!({ "name": name }))
///         .with(|request| request.timeout(Duration::from_secs(5)))
///         .await?;
///     Ok(answer.status().is_success())
/// }
/// ```
#[must_use = "a call is sent when it is awaited"]
pub struct ApiRequest(Result<Parts, OAuthError>);

/// What it takes to send a request.
pub(crate) struct Way {
    pub(crate) tokens: Tokens,
    pub(crate) base: Base,
    pub(crate) url: Url,
    pub(crate) http: reqwest::Client,
}

struct Parts {
    way: Way,
    builder: RequestBuilder,
    /// Pairs to stand behind the query that the address has.
    query: Vec<(String, String)>,
    is_without_token: bool,
}

impl ApiRequest {
    pub(crate) fn new(way: Result<Way, OAuthError>, method: Method) -> Self {
        Self(way.map(|way| {
            let builder = way.http.request(method, way.url.clone());
            Parts { way, builder, query: Vec::new(), is_without_token: false }
        }))
    }

    /// Adds a header. `Authorization` is this crate's own: a request that has another is not sent, unless it goes
    /// [without a token](Self::without_token).
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        HeaderName: TryFrom<N>,
        <HeaderName as TryFrom<N>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with(|builder| builder.header(name, value))
    }

    /// Adds parameters to the query.
    pub fn query<N: Into<String>, V: Into<String>>(mut self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        if let Ok(parts) = &mut self.0 {
            parts.query.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
        }
        self
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        self.with(|builder| builder.body(body))
    }

    /// Sets the body to JSON. What cannot be written as JSON is [`OAuthError::InvalidRequest`] when it is sent.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.header(CONTENT_TYPE, "application/json").body(json),
            Err(_) => {
                Self(self.0.and(Err(OAuthError::InvalidRequest { problem: "the body cannot be written as JSON" })))
            }
        }
    }

    /// Sets the body to a form.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
    }

    /// Sets whatever else `reqwest` lets a program set. The call is made by this client all the same, and not at all if it leads to another
    /// origin then.
    pub fn with(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Self(self.0.map(|parts| Parts { builder: change(parts.builder), ..parts }))
    }

    /// Sends no token with it.
    pub fn without_token(mut self) -> Self {
        if let Ok(parts) = &mut self.0 {
            parts.is_without_token = true;
        }
        self
    }

    /// Sends it, with the token, which is renewed before if it is time for that. Awaiting the request does the same.
    ///
    /// # Errors
    /// [`OAuthError::InvalidRequest`] if the token may not go there or the request cannot be made, and nothing was sent then; whatever
    /// [`ApiClient::fresh_token`](crate::client::ApiClient::fresh_token) says; [`OAuthError::Unreachable`] if no answer came;
    /// [`OAuthError::Unsupported`] outside a `tokio` runtime. An answer is none, whatever its status.
    pub async fn send(self) -> Result<Response, OAuthError> {
        let Parts { way, builder, query, is_without_token } = self.0?;
        if Handle::try_current().is_err() {
            return Err(OAuthError::Unsupported { problem: "calls to an API need a tokio runtime" });
        }
        let mut request = builder.build().map_err(problem)?;
        if !query.is_empty() {
            request.url_mut().query_pairs_mut().extend_pairs(query);
        }
        if !way.base.is_home_of(request.url()) {
            return Err(OAuthError::InvalidRequest { problem: ELSEWHERE });
        }
        if !is_without_token {
            if request.headers().contains_key(AUTHORIZATION) {
                let problem = "the request has an Authorization header of its own: send it without_token";
                return Err(OAuthError::InvalidRequest { problem });
            }
            let token = way.tokens.current().await?;
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.access_token())).map_err(|_| {
                OAuthError::InvalidRequest { problem: "the access token has a character that no header has" }
            })?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        way.http.execute(request).await.map_err(problem)
    }
}

impl IntoFuture for ApiRequest {
    type Output = Result<Response, OAuthError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0.as_ref().err();
        f.debug_struct("ApiRequest").field("error", &error).finish_non_exhaustive()
    }
}
