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
    pub(crate) router: Router,
    pub(crate) listener: TcpListener,
}

impl Demo {
    /// Starts the issuer, and makes the API ready: its keys come from the issuer, over HTTP.
    pub(crate) async fn start(listen: SocketAddr) -> Result<Self, Failure> {
        let listener = bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let issuer = TestIssuer::on_loopback()?.default_audience(&url);

        let trusted = Issuer::discover(issuer.id()).plain_http(PlainHttp::OnLoopback);
        let validator = Validator::builder(&url).trust(trusted).build()?;
        validator.warm_up().await.map_err(|error| Failure::trouble("the issuer's keys could not be fetched", &error))?;
        Ok(Self { router: api::router(&validator)?, issuer, url, listener })
    }

    /// A token that is good for an hour.
    pub(crate) fn token(&self, scope: &str) -> TestToken {
        self.issuer.token().subject("alice").client_id("demo").scope(scope).lifetime(Duration::from_secs(3600))
    }
}

/// Serves until Ctrl-C, after telling what to try.
pub(crate) async fn run(listen: SocketAddr) -> Result<(), Failure> {
    let demo = Demo::start(listen).await?;
    screen::demo(&demo)?;
    serve(demo.listener, demo.router).await
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
