//! A client as it is registered with an authorization server (RFC 6749 s2).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::client::api::http::Setup;
use crate::client::authorization::{is_ours, is_scope_list, twice};
use crate::client::cookie_store::CookieStore;
use crate::client::state::StateStore;
use crate::client_auth::{ClientAuth, Credential};
use crate::clock::{Clock, SystemClock};
use crate::config_error::ConfigError;
use crate::endpoint::{Endpoint, PlainHttp, issuer_problem};
use crate::jose::algorithm::Algorithm;
use crate::wire::fetch::Fetch;
use crate::wire::reqwest::ReqwestFetch;

/// A program that is registered with an authorization server, and how it logs its users in.
///
/// ```
/// use scopegate::ClientAuth;
/// use scopegate::client::{Client, Registration};
/// let registration = Registration::discover("https://id.example.com", ClientAuth::basic("app", "s3cret"))
///     .scope("openid profile things:read")
///     .api_base_url("https://api.example.com/");
/// let client = Client::new("example", registration)?;
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Registration {
    pub(crate) auth: ClientAuth,
    pub(crate) issuer: Option<String>,
    pub(crate) endpoints: Endpoints<String>,
    pub(crate) is_discovered: bool,
    pub(crate) scope: String,
    pub(crate) api_base_url: Option<String>,
    pub(crate) api_http: Setup,
    pub(crate) authorize_params: Vec<(String, String)>,
    pub(crate) access_token_params: Vec<(String, String)>,
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    pub(crate) audiences: Vec<String>,
    pub(crate) leeway: Duration,
    pub(crate) login_time: Duration,
    pub(crate) is_without_pkce: bool,
    pub(crate) pushed: PushedRequests,
    pub(crate) plain_http: Option<PlainHttp>,
    pub(crate) fetch: Option<Arc<dyn Fetch>>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) states: Option<Arc<dyn StateStore>>,
}

/// The addresses of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints<T> {
    pub(crate) authorization: Option<T>,
    pub(crate) token: Option<T>,
    pub(crate) userinfo: Option<T>,
    pub(crate) revocation: Option<T>,
    pub(crate) end_session: Option<T>,
    pub(crate) pushed_request: Option<T>,
    pub(crate) jwks: Option<T>,
}

/// Whether what is asked of the authorization endpoint goes there by way of the browser, or is handed over directly before (RFC 9126).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushedRequests {
    /// Directly, where the server has an endpoint for it. The default.
    #[default]
    WhereOffered,
    /// Directly, and not at all where the server has no such endpoint.
    Always,
    /// By the browser, unless the server demands the other.
    WhereDemanded,
}

impl Registration {
    fn new(auth: ClientAuth) -> Self {
        Self {
            auth,
            issuer: None,
            endpoints: Endpoints::default(),
            is_discovered: false,
            scope: String::new(),
            api_base_url: None,
            api_http: Setup::default(),
            authorize_params: Vec::new(),
            access_token_params: Vec::new(),
            algorithms: None,
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            login_time: Duration::from_secs(600),
            is_without_pkce: false,
            pushed: PushedRequests::default(),
            plain_http: None,
            fetch: None,
            clock: None,
            states: None,
        }
    }

    /// At this server, whose metadata says where everything lies: OpenID Connect Discovery 1.0, or RFC 8414. It is fetched when it is first
    /// needed, and again each hour. What is set by a method of its own stands against it.
    #[must_use]
    pub fn discover(issuer: impl Into<String>, auth: ClientAuth) -> Self {
        Self { issuer: Some(issuer.into()), is_discovered: true, ..Self::new(auth) }
    }

    /// At a server that publishes no metadata: its authorization endpoint and its token endpoint. For `openid` in the scope,
    /// [`openid`](Self::openid) is needed too.
    #[must_use]
    pub fn endpoints(authorize_url: impl Into<String>, access_token_url: impl Into<String>, auth: ClientAuth) -> Self {
        let endpoints = Endpoints {
            authorization: Some(authorize_url.into()),
            token: Some(access_token_url.into()),
            ..Endpoints::default()
        };
        Self { endpoints, ..Self::new(auth) }
    }

    /// The server's identifier and the address of its keys, by which ID tokens are judged where there is no metadata.
    #[must_use]
    pub fn openid(mut self, issuer: impl Into<String>, jwks_uri: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self.endpoints.jwks = Some(jwks_uri.into());
        self
    }

    /// What is asked for unless a login says otherwise: names with spaces between (RFC 6749 s3.3). With `openid` the user's identity comes
    /// in an ID token, which is always verified. Empty by default: the server decides.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// Where the API lies that is called with the user's token. Paths are joined to it, and the token goes to its origin alone.
    #[must_use]
    pub fn api_base_url(mut self, url: impl Into<String>) -> Self {
        self.api_base_url = Some(url.into());
        self
    }

    /// A parameter of every authorization request, such as `audience` or `access_type`.
    #[must_use]
    pub fn authorize_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.authorize_params.push((name.into(), value.into()));
        self
    }

    /// A parameter of every request for a token.
    #[must_use]
    pub fn access_token_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.access_token_params.push((name.into(), value.into()));
        self
    }

    /// The userinfo endpoint (OpenID Connect Core 1.0 s5.3).
    #[must_use]
    pub fn userinfo_url(mut self, url: impl Into<String>) -> Self {
        self.endpoints.userinfo = Some(url.into());
        self
    }

    /// The revocation endpoint (RFC 7009).
    #[must_use]
    pub fn revocation_url(mut self, url: impl Into<String>) -> Self {
        self.endpoints.revocation = Some(url.into());
        self
    }

    /// Where the user's session at the server is ended (OpenID Connect RP-Initiated Logout 1.0).
    #[must_use]
    pub fn end_session_url(mut self, url: impl Into<String>) -> Self {
        self.endpoints.end_session = Some(url.into());
        self
    }

    /// The endpoint for pushed authorization requests (RFC 9126).
    #[must_use]
    pub fn pushed_authorization_request_url(mut self, url: impl Into<String>) -> Self {
        self.endpoints.pushed_request = Some(url.into());
        self
    }

    /// Whether requests are pushed. [`PushedRequests::WhereOffered`] by default.
    #[must_use]
    pub const fn pushed_requests(mut self, pushed: PushedRequests) -> Self {
        self.pushed = pushed;
        self
    }

    /// The algorithms that ID tokens may be signed with. All sound asymmetric ones by default, as for
    /// [`Issuer::algorithms`](crate::Issuer::algorithms).
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// An audience that an ID token may name beside this client; none by default. One that names anybody else is refused
    /// (OpenID Connect Core 1.0 s3.1.3.7, rule 3).
    #[must_use]
    pub fn also_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// How far the server's clock may be from this one's when an ID token is judged: 30 s by default, at most 5 min.
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How long a user may take to log in: 10 min by default, from 1 min to 1 h.
    #[must_use]
    pub const fn login_time(mut self, limit: Duration) -> Self {
        self.login_time = limit;
        self
    }

    /// Whether plain HTTP will do: [`PlainHttp::Refused`] by default.
    #[must_use]
    pub const fn plain_http(mut self, plain_http: PlainHttp) -> Self {
        self.plain_http = Some(plain_http);
        self
    }

    /// The way to the server. [`ReqwestFetch`] by default.
    #[must_use]
    pub fn fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.fetch = Some(fetch);
        self
    }

    /// The clock. The system's by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Where logins are remembered while the user is away. By default in an encrypted cookie under a secret that is made when the client is,
    /// so that a login does not outlive the process, and is known to no other one: give a
    /// [`CookieStore`] with a secret of your own to all of them.
    #[must_use]
    pub fn state_store(mut self, states: Arc<dyn StateStore>) -> Self {
        self.states = Some(states);
        self
    }

    /// What weakens a login, each by its name.
    #[must_use]
    pub const fn dangerous(self) -> DangerousRegistration {
        DangerousRegistration(self)
    }

    /// Checks the settings.
    pub(crate) fn build(self, name: &str) -> Result<Settings, ConfigError> {
        if name.is_empty() {
            return Err(ConfigError::invalid("register", "", "a client has a name"));
        }
        let Some(client_id) = self.auth.client_id().map(str::to_owned) else {
            let problem = "a client logs in by its client_id, and not by a bearer token";
            return Err(ConfigError::Missing { setting: "register", problem });
        };
        self.auth.check()?;
        if self.is_discovered && self.endpoints.jwks.is_some() {
            let problem = "an issuer that is discovered names its keys itself";
            return Err(ConfigError::conflict("openid", self.issuer.unwrap_or_default(), problem));
        }
        self.check_times()?;
        if !is_scope_list(&self.scope) {
            return Err(ConfigError::invalid("scope", &self.scope, "is not a list of scopes"));
        }
        let own = self.authorize_params.iter().chain(&self.access_token_params);
        if let Some((name, _)) = own.into_iter().find(|(name, _)| is_ours(name)) {
            return Err(ConfigError::invalid("authorize_param", name, "is set by this crate"));
        }
        if let Some(name) = twice(&self.authorize_params).or_else(|| twice(&self.access_token_params)) {
            return Err(ConfigError::invalid("authorize_param", name, "is set twice"));
        }
        let plain_http = self.plain_http.unwrap_or_default();
        if let Some(issuer) = &self.issuer
            && let Some(problem) = issuer_problem(issuer, plain_http)
        {
            return Err(ConfigError::invalid_url("issuer", issuer, problem));
        }
        let endpoints = self.endpoints.check(plain_http)?;
        let fetch = self.fetch.unwrap_or_else(|| Arc::new(ReqwestFetch::new().plain_http(plain_http)));
        let states = match self.states {
            Some(states) => states,
            None => Arc::new(CookieStore::for_this_process()?),
        };
        Ok(Settings {
            name: name.into(),
            client_id: client_id.into(),
            auth: self.auth,
            issuer: self.issuer.map(Into::into),
            endpoints,
            is_discovered: self.is_discovered,
            scope: self.scope,
            api_base_url: self.api_base_url,
            api_http: self.api_http,
            authorize_params: self.authorize_params,
            access_token_params: self.access_token_params,
            algorithms: self.algorithms,
            audiences: self.audiences,
            leeway: self.leeway,
            login_time: self.login_time,
            is_without_pkce: self.is_without_pkce,
            pushed: self.pushed,
            plain_http,
            fetch,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            states,
            credential: Mutex::default(),
        })
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        let shown = |duration: Duration| format!("{duration:?}");
        if self.leeway > Duration::from_secs(300) {
            return Err(ConfigError::invalid("leeway", shown(self.leeway), "is more than 5 min"));
        }
        if !(Duration::from_secs(60)..=Duration::from_secs(3600)).contains(&self.login_time) {
            return Err(ConfigError::invalid("login_time", shown(self.login_time), "is not between 1 min and 1 h"));
        }
        Ok(())
    }
}

impl Endpoints<String> {
    fn check(self, plain_http: PlainHttp) -> Result<Endpoints<Endpoint>, ConfigError> {
        let read = |setting, url: Option<String>| {
            url.map(|url| {
                Endpoint::new(&url, plain_http).map_err(|problem| ConfigError::invalid_url(setting, &url, problem))
            })
            .transpose()
        };
        Ok(Endpoints {
            authorization: read("authorize_url", self.authorization)?,
            token: read("access_token_url", self.token)?,
            userinfo: read("userinfo_url", self.userinfo)?,
            revocation: read("revocation_url", self.revocation)?,
            end_session: read("end_session_url", self.end_session)?,
            pushed_request: read("pushed_authorization_request_url", self.pushed_request)?,
            jwks: read("openid", self.jwks)?,
        })
    }
}

/// Settings that were checked.
pub(crate) struct Settings {
    pub(crate) name: Box<str>,
    pub(crate) client_id: Box<str>,
    pub(crate) auth: ClientAuth,
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) endpoints: Endpoints<Endpoint>,
    pub(crate) is_discovered: bool,
    pub(crate) scope: String,
    pub(crate) api_base_url: Option<String>,
    pub(crate) api_http: Setup,
    pub(crate) authorize_params: Vec<(String, String)>,
    pub(crate) access_token_params: Vec<(String, String)>,
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    pub(crate) audiences: Vec<String>,
    pub(crate) leeway: Duration,
    pub(crate) login_time: Duration,
    pub(crate) is_without_pkce: bool,
    pub(crate) pushed: PushedRequests,
    pub(crate) plain_http: PlainHttp,
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) states: Arc<dyn StateStore>,
    /// What a callback has given, as long as the server takes it.
    pub(crate) credential: Mutex<Option<Credential>>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("auth", &self.auth)
            .field("issuer", &self.issuer)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Settings of a registration that weaken its logins.
#[derive(Debug)]
pub struct DangerousRegistration(Registration);

impl DangerousRegistration {
    /// Leaves PKCE out (RFC 7636), for a server that chokes on its parameters. A code that is stolen on its way can then be used in another
    /// browser's login, unless the nonce of an ID token tells them apart (RFC 9700 s2.1.1).
    #[must_use]
    pub fn without_pkce(mut self) -> Registration {
        self.0.is_without_pkce = true;
        self.0
    }
}
