//! Afterwards: the API goes on, and revoking is a request of your own.

use std::io::{self, Write as _};

use axum::Router;
use axum::routing::post;
use tokio::net::TcpListener;

use crate::Failure;
use crate::paint::Paint;
use crate::world::{REMEMBERED, World};

/// Says what to try, and serves until Ctrl-C. Whoever reaches this port may revoke, which is why it is on loopback and not the API's.
pub(crate) async fn open(world: &World) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let console = format!("http://{}", listener.local_addr()?);
    screen(world, &console)?;
    let (issuer, validator) = (world.issuer.clone(), world.validator.clone());
    let revoke = move |token: String| async move { issuer.revoke(token.trim()) };
    // What a handler of logout or revocation events would call.
    let forget = move |token: String| async move { validator.forget(token.trim()) };
    let router = Router::new().route("/revoke", post(revoke)).route("/forget", post(forget));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => Ok(served?),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

fn screen(world: &World, console: &str) -> Result<(), Failure> {
    let paint = Paint::for_stdout();
    let mut out = io::stdout().lock();
    let token = world.token("alice", "things:read").mint_opaque();
    writeln!(out, "\n{}\n", paint.bold("Now you. It is good for an hour:"))?;
    writeln!(out, "TOKEN={token}")?;
    let seconds = REMEMBERED.as_secs();
    let api = format!("http://{}", world.api);
    let introspect = world.issuer.introspection_endpoint();
    for (what, command) in [
        ("call the API", format!("curl -i -H \"Authorization: Bearer $TOKEN\" {api}/things")),
        ("see what the issuer says of it", format!("curl -s -u things-api:s3cret -d token=$TOKEN {introspect}")),
        ("revoke it", format!("curl -d $TOKEN {console}/revoke")),
        ("have the API forget what it knows", format!("curl -d $TOKEN {console}/forget")),
    ] {
        writeln!(out, "  {}\n    {}", paint.faint(what), paint.command(&command))?;
    }
    let note = format!("Revoked, it is refused within {seconds} s, and at once after `forget`. Ctrl-C stops it.");
    writeln!(out, "\n{}", paint.faint(&note))?;
    out.flush()?;
    Ok(())
}
