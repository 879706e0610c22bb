//! The client itself, and what all that it does has in common.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::api::base::Base;
use crate::client::api::held::OwnTokens;
use crate::client::api::http::Http;
use crate::client::error::{OAuthError, Stage};
use crate::client::exchange::{Form, member, post};
use crate::client::registration::{Registration, Settings};
use crate::client::seen::Seen;
use crate::client::server::{At, ServerCache, needed};
use crate::client::state::Registered;
use crate::client::successors::Successors;
use crate::client::token_set::TokenSet;
use crate::config_error::ConfigError;
use crate::issuer::Issuer;
use crate::metadata::login::LoginMetadata;
use crate::validator::Validator;
use crate::wire::worker::Worker;

/// A program at one authorization server: logs users in, and has their tokens renewed.
///
/// A clone costs one reference count. Nothing is fetched before it is needed. What is sent to the server is sent by a thread of the client's
/// own, so that it works under any executor, and an exchange comes to its end though whoever waited for it has gone.
///
/// ```
/// use futures_executor::block_on;
/// use http::Request;
/// use scopegate::ClientAuth;
/// use scopegate::client::{Callback, Client, Registration};
/// use scopegate::testing::{TestClient, TestIssuer};
///
/// let issuer = TestIssuer::new("https://id.example.com"); // plays the authorization server
/// issuer.register_client(TestClient::confidential("app", "s3cret").redirect_uri("https://app.example.com/authorize"));
/// let registration = Registration::discover("https://id.example.com", ClientAuth::basic("app", "s3cret"))
///     .scope("openid profile")
///     .fetch(issuer.fetch());
/// let client = Client::new("example", registration)?;
///
/// // GET /login
/// let redirect = block_on(client.authorize_redirect("https://app.example.com/authorize"))?;
/// let cookie = redirect.cookies()[0].to_str()?.split(';').next().unwrap_or_default();
///
/// // The user logs in there, and the browser comes back.
/// let back = issuer.sign_in(redirect.location(), "alice");
/// let request = Request::get(back.url()).header("cookie", cookie).body(())?;
///
/// // GET /authorize
/// let login = block_on(client.callback(&Callback::of(&request)))?;
/// assert_eq!(login.user().map(|user| user.subject()), Some("alice"));
///
/// // The same answer again is nobody's.
/// let again = block_on(client.callback(&Callback::of(&request))).unwrap_err();
/// assert_eq!(again.error().label(), "mismatching_state");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Arc<Settings>,
    /// Which client it is, in what a login is remembered by.
    pub(super) registered: Registered,
    pub(super) server: ServerCache,
    pub(super) worker: Arc<Worker>,
    /// Judges what the server makes out to this client, where it is known who the server is.
    pub(super) judge: Option<Validator>,
    pub(super) logouts: Seen,
    /// Of users' refresh tokens.
    pub(super) successors: Successors,
    /// The program's own.
    pub(super) own: OwnTokens,
    pub(super) api_base: Option<Base>,
    pub(super) api_http: Http,
}

impl Client {
    /// Checks the registration. The name is the program's own for it; a login that was begun by a client of one name is not completed by
    /// one of another.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot be used.
    pub fn new(name: &str, registration: Registration) -> Result<Self, ConfigError> {
        Self::beside(name, registration, Arc::new(Worker::new()))
    }

    /// The same on a thread that others use too.
    pub(crate) fn beside(name: &str, registration: Registration, worker: Arc<Worker>) -> Result<Self, ConfigError> {
        let settings = registration.build(name)?;
        let judge = judge_of(&settings)?;
        if judge.is_none() && asks_for_openid(&settings.scope) {
            let problem = "an ID token is asked for, and the settings do not say whose: openid(issuer, jwks_uri)";
            return Err(ConfigError::conflict("scope", settings.scope, problem));
        }
        let read = |url: &String| {
            Base::new(url, settings.plain_http)
                .map_err(|problem| ConfigError::invalid_url("api_base_url", url, problem))
        };
        let api_base = settings.api_base_url.as_ref().map(read).transpose()?;
        Ok(Self(Arc::new(Inner {
            registered: registered(&settings),
            settings: Arc::new(settings),
            server: ServerCache::default(),
            worker,
            judge,
            logouts: Seen::default(),
            successors: Successors::default(),
            own: OwnTokens::default(),
            api_base,
            api_http: Http::default(),
        })))
    }

    /// The name that the program gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.settings.name
    }

    /// The client's name at the server.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.0.settings.client_id
    }

    pub(crate) async fn metadata(&self) -> Result<Arc<LoginMetadata>, OAuthError> {
        self.0.server.metadata(&self.0.settings, &self.0.worker).await
    }

    /// Asks the token endpoint.
    pub(crate) async fn request_token(&self, mut members: Form, scope: Option<&str>) -> Result<TokenSet, OAuthError> {
        let settings = &self.0.settings;
        let metadata = self.metadata().await?;
        let endpoint = needed(settings, &metadata, At::Token, "the server has no token endpoint")?;
        // What this request says stands against what the registration does, and nothing stands there twice (RFC 6749 s3.2).
        let is_set = |name: &str| members.iter().any(|(set, _)| set == name);
        let usual = settings.access_token_params.iter().filter(|(name, _)| !is_set(name));
        members.extend(usual.map(|(name, value)| member(name, value.as_str())).collect::<Form>());
        let answer = post(settings, &self.0.worker, endpoint, Stage::Token, members).await?;
        let mut token = TokenSet::read(&answer, scope, settings.clock.now())?;
        token.issued_to = Some(self.0.registered.tokens.clone());
        Ok(token)
    }

    /// A token goes to the server that it came from, and to no other one that would then have it. Of one that does not say where it came
    /// from, the program has to know.
    pub(crate) fn check_own(&self, token: &TokenSet) -> Result<(), OAuthError> {
        if token.issued_to.as_ref().is_some_and(|client| *client != self.0.registered.tokens) {
            return Err(OAuthError::InvalidRequest {
                problem: "the tokens are of another client, or of another server",
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name())
            .field("client_id", &self.client_id())
            .finish_non_exhaustive()
    }
}

fn registered(settings: &Settings) -> Registered {
    let token_endpoint = || settings.endpoints.token.as_ref().map(|endpoint| endpoint.uri().to_string());
    let server = settings.issuer.as_deref().map(str::to_owned).or_else(token_endpoint).unwrap_or_default();
    Registered::new(&settings.name, &settings.client_id, &server)
}

/// The longest JWT that is made out to a client: some servers list all groups of a user.
const LONGEST_JWT: usize = 64 * 1024;

/// The judge of what the server makes out to this client.
fn judge_of(settings: &Settings) -> Result<Option<Validator>, ConfigError> {
    let Some(identifier) = settings.issuer.as_deref() else { return Ok(None) };
    let issuer = match &settings.endpoints.jwks {
        Some(jwks) => Issuer::jwks(identifier, jwks.uri().to_string()),
        None => Issuer::discover(identifier),
    };
    let issuer = issuer.for_a_client().plain_http(settings.plain_http);
    let issuer = match &settings.algorithms {
        Some(algorithms) => issuer.algorithms(algorithms.iter().copied()),
        None => issuer,
    };
    let builder = Validator::builder(&*settings.client_id).trust(issuer);
    // Each comes once.
    let builder = builder.leeway(settings.leeway).remember_signatures(Duration::ZERO).max_token_bytes(LONGEST_JWT);
    let builder = builder.fetch(Arc::clone(&settings.fetch)).shared_clock(Arc::clone(&settings.clock));
    builder.build().map(Some)
}

pub(crate) fn asks_for_openid(scope: &str) -> bool {
    scope.split(' ').any(|scope| scope == "openid")
}
