//! The world around the site: its socket, and an authorization server where none was given.

use std::net::Ipv4Addr;

use scopegate::testing::{TestClient, TestIssuer, TestUser};
use tokio::net::TcpListener;

use crate::arguments::{Arguments, Wanted};
use crate::{Failure, app};

/// The site, ready to serve, and the server that it made for itself.
pub(crate) struct World {
    pub(crate) listener: TcpListener,
    pub(crate) settings: Arguments,
    pub(crate) issuer: Option<TestIssuer>,
}

impl World {
    pub(crate) async fn prepare(wanted: Wanted) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted.port)).await?;
        let own_url = format!("http://{}", listener.local_addr()?);
        let (issuer, identifier) = match &wanted.issuer {
            Some(identifier) => (None, identifier.clone()),
            None => {
                let issuer = own_issuer(&own_url)?;
                let identifier = issuer.id().to_owned();
                (Some(issuer), identifier)
            }
        };
        Ok(Self { listener, settings: wanted.at(own_url, identifier), issuer })
    }
}

/// An authorization server that knows this site, and one user by name; any other name will do as well.
fn own_issuer(own_url: &str) -> Result<TestIssuer, Failure> {
    let issuer = TestIssuer::on_loopback()?;
    issuer.register_client(
        TestClient::confidential("tutorial", "tutorial")
            .redirect_uri(&format!("{own_url}/authorize"))
            .post_logout_redirect_uri(&format!("{own_url}/"))
            .backchannel_logout_uri(&format!("{own_url}/backchannel-logout")),
    );
    issuer.add_user(TestUser::new("alice").name("Alice Adams").email("alice@example.com"));
    Ok(issuer)
}

/// Serves until Ctrl-C.
pub(crate) async fn serve(wanted: Wanted) -> Result<(), Failure> {
    let World { listener, settings, issuer } = World::prepare(wanted).await?;
    let (url, identifier) = (settings.url("/"), settings.issuer.clone());
    let app = app(settings)?;
    println!("LISTENING {}", url.trim_end_matches('/'));
    match &issuer {
        Some(_) => {
            println!("\nOpen {url} and log in as alice, with any password.\nThe authorization server is {identifier}.")
        }
        None => println!("\nOpen {url}. The authorization server is {identifier}."),
    }
    tokio::select! {
        served = async { axum::serve(listener, app).await } => Ok(served?),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}
