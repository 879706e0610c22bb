//! The API before the tokens of a real issuer.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use scopegate::{Issuer, PlainHttp, ReqwestFetch, Validator};

use crate::arguments::Server;
use crate::asking::Order;
use crate::{Failure, api, demo, screen};

/// Guards the API until Ctrl-C, or says why it cannot.
pub(crate) async fn run(listen: SocketAddr, server: &Server) -> Result<(), Failure> {
    let validator = validator(server)?;
    demo::warm_up(&validator).await?;
    let listener = demo::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    screen::real(&url, server)?;
    demo::serve(listener, api::router(&validator)?).await
}

fn validator(server: &Server) -> Result<Validator, Failure> {
    let by_keys = || match &server.jwks {
        Some(url) => Issuer::jwks(&server.issuer, url),
        None => Issuer::discover(&server.issuer),
    };
    let issuer = match &server.asking {
        None => by_keys(),
        Some(asking) if asking.order == Order::KeysFirst => by_keys().and_introspect(asking.introspection()),
        Some(asking) => Issuer::introspect(&server.issuer, asking.introspection()),
    };
    let also = server.also.as_ref().map(Issuer::discover);
    let mut builder = Validator::builder(&server.audience).fetch(Arc::new(way_out(server)?));
    for issuer in [issuer].into_iter().chain(also) {
        builder = builder.trust(issuer.profile(server.profile).plain_http(LOCAL));
    }
    Ok(builder.build()?)
}

/// As a validator makes one by itself, but with the certificates of the command line.
fn way_out(server: &Server) -> Result<ReqwestFetch, Failure> {
    let mut fetch = ReqwestFetch::new().plain_http(LOCAL);
    if let Some(file) = &server.authorities {
        fetch = fetch.trust_only(&fs::read(file)?)?;
    }
    if let Some(file) = &server.certificate {
        fetch = fetch.client_certificate(&fs::read(file)?)?;
    }
    Ok(fetch)
}

/// Plain http is for an issuer on this very machine. Leave this out where the issuer is elsewhere.
const LOCAL: PlainHttp = PlainHttp::OnLoopback;
