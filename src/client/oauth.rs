//! One object for a program that logs users in and guards an API, under axum, with the names that Authlib has for it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRequest, Request};
use axum_core::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{Extensions, HeaderValue, Method};

use crate::client::authorization::AuthorizationRequest;
use crate::client::callback::Callback;
use crate::client::cookie_store::CookieStore;
use crate::client::error::{LoginError, OAuthError};
use crate::client::logout::LoggedOut;
use crate::client::redirect::{Login, Redirect};
use crate::client::registered::Client;
use crate::client::registration::Registration;
use crate::client::state::StateStore;
use crate::clock::Clock;
use crate::config_error::ConfigError;
use crate::endpoint::PlainHttp;
use crate::scope::ScopePolicy;
use crate::token::AccessToken;
use crate::tower::RequireTokenLayer;
use crate::validator::Validator;
use crate::wire::fetch::Fetch;
use crate::wire::worker::Worker;

/// Both halves of OAuth in one object: clients by their names, and the guard of an API. Needs the features `client` and `axum`.
///
/// It has no logic of its own: [`Client`] logs users in, [`Validator`] judges tokens, and both can be had from it. A clone costs one
/// reference count, so it serves as axum's state.
///
/// ```
/// use axum::{Router, extract::State, response::IntoResponse, routing::get};
/// use scopegate::client::{Callback, LoginError, OAuth, OAuthError, Redirect, Registration};
/// use scopegate::{AccessToken, ClientAuth, Issuer, Validator};
///
/// let validator = Validator::builder("https://api.example.com").trust(Issuer::discover("https://id.example.com")).build()?;
/// let oauth = OAuth::builder()
///     .register(
///         "example",
///         Registration::discover("https://id.example.com", ClientAuth::basic("app", "s3cret")).scope("openid profile things:read"),
///     )
///     .resource_server(validator)
///     .build()?;
///
/// async fn login(State(oauth): State<OAuth>) -> Result<Redirect, OAuthError> {
///     oauth.authorize_redirect("example", "https://app.example.com/authorize").await
/// }
/// async fn authorize(State(oauth): State<OAuth>, callback: Callback) -> Result<impl IntoResponse, LoginError> {
///     let login = oauth.authorize_access_token("example", &callback).await?;
///     let user = login.user().map_or("somebody", |user| user.subject()).to_owned();
///     Ok((login.ended(), format!("hello, {user}")))
/// }
/// async fn things(current_token: AccessToken) -> String {
///     format!("things of {}", current_token.subject().unwrap_or_default())
/// }
/// let app: Router = Router::new()
///     .route("/login", get(login))
///     .route("/authorize", get(authorize))
///     .route("/things", get(things).route_layer(oauth.require_oauth("things:read")?))
///     .with_state(oauth);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OAuth(Arc<Inner>);

struct Inner {
    clients: BTreeMap<String, Client>,
    resource_server: Option<Validator>,
}

impl OAuth {
    /// Begins with nothing registered.
    pub fn builder() -> OAuthBuilder {
        OAuthBuilder::default()
    }

    /// The client of this name; `None` if none was registered under it.
    #[must_use]
    pub fn create_client(&self, name: &str) -> Option<&Client> {
        self.0.clients.get(name)
    }

    /// What guards the API, where that was given.
    #[must_use]
    pub fn resource_server(&self) -> Option<&Validator> {
        self.0.resource_server.as_ref()
    }

    /// Begins a login with the client of this name: [`Client::authorize_redirect`].
    ///
    /// # Errors
    /// [`OAuthError`]; [`OAuthError::InvalidRequest`] also if there is no client of that name.
    pub async fn authorize_redirect(
        &self,
        name: &str,
        request: impl Into<AuthorizationRequest>,
    ) -> Result<Redirect, OAuthError> {
        self.client(name)?.authorize_redirect(request).await
    }

    /// Completes a login with the client of this name: [`Client::callback`].
    ///
    /// # Errors
    /// [`LoginError`], which is an answer too.
    pub async fn authorize_access_token(&self, name: &str, callback: &Callback) -> Result<Login, LoginError> {
        match self.client(name) {
            Ok(client) => client.callback(callback).await,
            Err(error) => Err(LoginError::new(error, Vec::new())),
        }
    }

    /// A layer that demands a token of this scope, in Authlib's form: `"a b"` is a and b, `["a b", "c"]` is (a and b) or c. The accepted
    /// token is the handler's argument [`AccessToken`]. [`Validator::require`] takes every other policy.
    ///
    /// # Errors
    /// [`ConfigError`] if the scope is empty or none, or no [resource server](OAuthBuilder::resource_server) was given.
    pub fn require_oauth(&self, scope: impl Into<RequiredScope>) -> Result<RequireTokenLayer, ConfigError> {
        let Some(validator) = &self.0.resource_server else {
            let problem = "by what tokens are to be judged";
            return Err(ConfigError::Missing { setting: "resource_server", problem });
        };
        let RequiredScope(alternatives) = scope.into();
        Ok(validator.require(ScopePolicy::any(alternatives.iter().map(String::as_str))?))
    }

    /// The token that the guard of this request accepted, for code that has no handler's arguments: `request.extensions()`.
    #[must_use]
    pub fn current_token(extensions: &Extensions) -> Option<&AccessToken> {
        extensions.get()
    }

    fn client(&self, name: &str) -> Result<&Client, OAuthError> {
        self.create_client(name).ok_or(OAuthError::InvalidRequest { problem: "no client of that name was registered" })
    }
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.clients.keys().collect();
        f.debug_struct("OAuth").field("clients", &names).field("resource_server", &self.0.resource_server).finish()
    }
}

/// Scopes as Authlib's `require_oauth` takes them: of several texts one is enough, and of one text all parts are needed.
#[derive(Clone, Debug)]
pub struct RequiredScope(Vec<String>);

impl From<&str> for RequiredScope {
    fn from(scope: &str) -> Self {
        Self(vec![scope.to_owned()])
    }
}

impl<const N: usize> From<[&str; N]> for RequiredScope {
    fn from(scopes: [&str; N]) -> Self {
        Self(scopes.map(str::to_owned).into())
    }
}

impl From<Vec<String>> for RequiredScope {
    fn from(scopes: Vec<String>) -> Self {
        Self(scopes)
    }
}

/// Puts an [`OAuth`] together.
#[derive(Default)]
#[must_use = "an OAuth is made by `build`"]
pub struct OAuthBuilder {
    registrations: Vec<(String, Registration)>,
    resource_server: Option<Validator>,
    plain_http: Option<PlainHttp>,
    fetch: Option<Arc<dyn Fetch>>,
    clock: Option<Arc<dyn Clock>>,
    states: Option<Arc<dyn StateStore>>,
}

impl OAuthBuilder {
    /// Registers a client under a name of the program's own. A name that was used before is an error of [`build`](Self::build).
    pub fn register(mut self, name: impl Into<String>, registration: Registration) -> Self {
        self.registrations.push((name.into(), registration));
        self
    }

    /// What guards the API.
    pub fn resource_server(mut self, validator: Validator) -> Self {
        self.resource_server = Some(validator);
        self
    }

    /// Where logins are remembered, for clients that say nothing else: [`Registration::state_store`].
    pub fn state_store(mut self, states: Arc<dyn StateStore>) -> Self {
        self.states = Some(states);
        self
    }

    /// Whether plain HTTP will do, for clients that say nothing else: [`Registration::plain_http`].
    pub const fn plain_http(mut self, plain_http: PlainHttp) -> Self {
        self.plain_http = Some(plain_http);
        self
    }

    /// The way to the servers, for clients that say nothing else: [`Registration::fetch`].
    pub fn fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.fetch = Some(fetch);
        self
    }

    /// The clock, for clients that say nothing else: [`Registration::clock`].
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Checks it all. Nothing is fetched.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot be used.
    pub fn build(self) -> Result<OAuth, ConfigError> {
        let states = match self.states {
            Some(states) => states,
            None => Arc::new(CookieStore::for_this_process()?),
        };
        let worker = Arc::new(Worker::new());
        let mut clients = BTreeMap::new();
        for (name, mut registration) in self.registrations {
            registration.plain_http = registration.plain_http.or(self.plain_http);
            registration.fetch = registration.fetch.or_else(|| self.fetch.clone());
            registration.clock = registration.clock.or_else(|| self.clock.clone());
            registration.states.get_or_insert_with(|| Arc::clone(&states));
            let client = Client::beside(&name, registration, Arc::clone(&worker))?;
            match clients.entry(name) {
                Entry::Vacant(place) => drop(place.insert(client)),
                Entry::Occupied(taken) => {
                    return Err(ConfigError::conflict("register", taken.key(), "is registered twice"));
                }
            }
        }
        Ok(OAuth(Arc::new(Inner { clients, resource_server: self.resource_server })))
    }
}

impl fmt::Debug for OAuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.registrations.iter().map(|(name, _)| name).collect();
        f.debug_struct("OAuthBuilder").field("clients", &names).finish_non_exhaustive()
    }
}

/// The answer of the authorization endpoint, from the query of a GET or the form of a POST. What cannot be read is refused by
/// [`Client::callback`].
impl<S: Send + Sync> FromRequest<S> for Callback {
    type Rejection = LoginError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let malformed = |problem| LoginError::new(OAuthError::MalformedResponse { problem }, Vec::new());
        match *request.method() {
            Method::POST => {}
            // axum answers it by what stands there for GET, and whoever looks ahead must not use a login up.
            Method::HEAD => return Err(malformed("a HEAD request completes nothing")),
            _ => return Ok(Self::of(&request)),
        }
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state).await.map_err(|_| malformed("the form could not be read"))?;
        Ok(Self::of_form(&headers, &body))
    }
}

impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}

impl IntoResponse for LoginError {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}

/// The part of an answer that ends a login, or a logout, in the browser: put it before the body, `(login.ended(), page)`.
#[derive(Clone)]
pub struct Ended(Vec<HeaderValue>);

impl Login {
    /// What takes away in the browser what the login had kept there, as a part of axum's answers.
    #[must_use]
    pub fn ended(&self) -> Ended {
        Ended(self.cookies.clone())
    }
}

impl LoggedOut {
    /// What takes away in the browser what the logout had kept there, as a part of axum's answers.
    #[must_use]
    pub fn ended(&self) -> Ended {
        Ended(self.cookies().to_vec())
    }
}

impl IntoResponseParts for Ended {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        for cookie in self.0 {
            parts.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(parts)
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ended(..)")
    }
}
