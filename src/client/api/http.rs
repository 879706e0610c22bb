//! The HTTP client that calls APIs.

use std::process;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;

use crate::client::api::base::is_same_origin;
use crate::client::error::OAuthError;
use crate::wire::fetch::{FetchError, FetchLimits};
use crate::wire::per_process::PerProcess;
use crate::wire::reqwest::failure;
use crate::wire::tls_problem::TlsProblem;

/// How the program wants its HTTP client.
#[derive(Clone, Default)]
pub(crate) struct Setup(Option<Arc<dyn Fn() -> reqwest::ClientBuilder + Send + Sync>>);

impl Setup {
    pub(crate) fn new(builder: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(builder)))
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        match &self.0 {
            Some(builder) => builder(),
            None => reqwest::Client::builder()
                .user_agent(concat!("scopegate/", env!("CARGO_PKG_VERSION")))
                // One of the environment's would see what goes over plain HTTP.
                .no_proxy()
                .connect_timeout(Duration::from_secs(10))
                .read_timeout(Duration::from_secs(30)),
        }
    }
}

/// Made at the first call: it reads the system's certificates then. A failure is not kept.
pub(crate) struct Http(PerProcess<reqwest::Client>);

impl Default for Http {
    fn default() -> Self {
        Self(PerProcess::new())
    }
}

impl Http {
    pub(crate) fn client(&self, setup: &Setup) -> Result<reqwest::Client, OAuthError> {
        let process = process::id();
        if let Some(made) = self.0.get(process) {
            return Ok(made.clone());
        }
        let made = build(setup.builder())?;
        Ok(self.0.get_or_make(process, || made.clone()).clone())
    }
}

/// Builds it, such that a redirect never carries a token elsewhere.
pub(crate) fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, OAuthError> {
    let built = builder.redirect(within_the_origin()).build();
    let setup = |error| FetchError::Tls { problem: TlsProblem::Setup, source: Arc::new(error) };
    Ok(built.map_err(setup)?)
}

/// Follows up to ten redirects within an origin; any other answer is handed to the caller as it is.
fn within_the_origin() -> Policy {
    const MOST: usize = 10;
    Policy::custom(|attempt| {
        let is_home = attempt.previous().iter().all(|from| is_same_origin(from, attempt.url()));
        if is_home && attempt.previous().len() <= MOST { attempt.follow() } else { attempt.stop() }
    })
}

/// Why a call had no answer.
pub(crate) fn problem(error: reqwest::Error) -> OAuthError {
    if error.is_builder() {
        return OAuthError::InvalidRequest { problem: "the request cannot be made: a header, a body or an address" };
    }
    if error.is_timeout() {
        // The limit is the program's own.
        return FetchError::other(error.without_url()).into();
    }
    failure(error, FetchLimits::default()).into()
}
