//! The API before an issuer of its own, on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use scopegate::testing::{TestIssuer, TestToken};
use scopegate::{Issuer, PlainHttp, Validator};
use tokio::net::TcpListener;

use crate::{Failure, api, screen};

/// Both halves: who makes the tokens, and what they are for.
pub(crate) struct Demo {
    pub(crate) issuer: TestIssuer,
    /// The API's own URL, which is also the audience of the tokens.
    pub(crate) url: String,
    pub(crate) validator: Validator,
    pub(crate) listener: TcpListener,
}

impl Demo {
    /// Starts the issuer and makes a validator for the API. Its keys will come from the issuer, over HTTP.
    pub(crate) async fn start(listen: SocketAddr) -> Result<Self, Failure> {
        let listener = bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let issuer = TestIssuer::on_loopback()?.default_audience(&url);
        let trusted = Issuer::discover(issuer.id()).plain_http(PlainHttp::OnLoopback);
        let validator = Validator::builder(&url).trust(trusted).build()?;
        Ok(Self { issuer, url, validator, listener })
    }

    /// A token that is good for an hour.
    pub(crate) fn token(&self, scope: &str) -> TestToken {
        self.issuer.token().subject("alice").client_id("demo").scope(scope).lifetime(Duration::from_secs(3600))
    }
}

/// Serves until Ctrl-C, after telling what to try.
pub(crate) async fn run(listen: SocketAddr) -> Result<(), Failure> {
    let demo = Demo::start(listen).await?;
    warm_up(&demo.validator).await?;
    screen::demo(&demo)?;
    serve(demo.listener, api::router(&demo.validator)?).await
}

/// Fetches the keys, so that the program does not begin without. It may also do that: requests are answered with 503 until the
/// issuer can be asked.
pub(crate) async fn warm_up(validator: &Validator) -> Result<(), Failure> {
    let warm = validator.warm_up().await;
    warm.map_err(|error| Failure::trouble("the issuer's keys could not be fetched", &error))
}

pub(crate) async fn bind(listen: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(listen).await;
    listener.map_err(|error| Failure::trouble(&format!("cannot listen on {listen}"), &error))
}

/// Serves until Ctrl-C. Connections that are open then are closed.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> Result<(), Failure> {
    tokio::select! {
        served = async { axum::serve(listener, router).await } => Ok(served?),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}
