//! The API before the tokens of a real issuer.

use std::net::SocketAddr;

use scopegate::{Issuer, PlainHttp, Validator};

use crate::arguments::Server;
use crate::{Failure, api, demo, screen};

/// Guards the API until Ctrl-C, or says why it cannot.
pub(crate) async fn run(listen: SocketAddr, server: Server) -> Result<(), Failure> {
    let validator = validator(&server)?;
    demo::warm_up(&validator).await?;
    let listener = demo::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    screen::real(&url, &server)?;
    demo::serve(listener, api::router(&validator)?).await
}

fn validator(server: &Server) -> Result<Validator, Failure> {
    let issuer = match &server.jwks {
        Some(url) => Issuer::jwks(&server.issuer, url),
        None => Issuer::discover(&server.issuer),
    };
    // Plain http is for an issuer on this very machine. Leave this out where the issuer is elsewhere.
    let issuer = issuer.profile(server.profile).plain_http(PlainHttp::OnLoopback);
    Ok(Validator::builder(&server.audience).trust(issuer).build()?)
}
