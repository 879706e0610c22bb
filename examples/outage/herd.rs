//! Very many requests at once, over HTTP/2: a stream each, so that a few sockets carry them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use http::Request;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use scopegate::{Judged, Observe};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::between::{Kind, Spoil};
use crate::world::{HOUR, World};
use crate::{Failure, Scale};

const CONNECTIONS: u64 = 20;

/// As many as are asked at once.
pub(crate) const fn size(scale: Scale) -> u64 {
    match scale {
        Scale::Full => 10_000,
        Scale::Quick => 1_000,
    }
}

/// What became of a herd, and what its issuer was asked.
pub(crate) struct Herd {
    pub(crate) accepted: u64,
    /// Those that waited for the keys, rather than finding them.
    pub(crate) waited: u64,
    pub(crate) metadata: u64,
    pub(crate) keys: u64,
}

/// Counts judgements that were waited for: none from memory takes nearly so long.
#[derive(Debug, Default)]
struct Waited(AtomicU64);

impl Observe for Waited {
    fn judged(&self, judged: &Judged<'_>) {
        self.0.fetch_add(u64::from(judged.took >= Duration::from_millis(50)), Ordering::Relaxed);
    }
}

/// Of a program that has just started. The issuer takes a second for each answer, so that all of them are there before the keys.
pub(crate) async fn cold(scale: Scale, kind: Kind) -> Result<Herd, Failure> {
    let waited = Arc::new(Waited::default());
    let mut world = World::cold(kind, Arc::<Waited>::clone(&waited)).await?;
    let token = world.mint(HOUR)?;
    world.proxy.spoil(Spoil::Slow(Duration::from_secs(1)))?;
    let accepted = ask_at_once(&world.router, &[token.into()], size(scale)).await?;
    Ok(Herd {
        accepted,
        waited: waited.0.load(Ordering::Relaxed),
        metadata: world.proxy.requests("/.well-known/openid-configuration")?,
        keys: world.fetches()?,
    })
}

/// J52, fault row 14: the issuer signs with another key at once, and the herd comes with tokens of that one. How many were
/// accepted, and what that cost. Those who wait do so by a clock that stands still: what is counted is not how fast this machine is.
pub(crate) async fn after_a_rotation(scale: Scale, kind: Kind) -> Result<(u64, u64), Failure> {
    let mut world = World::warm(kind).await?;
    world.issuer.tell("rotate")?;
    let mut tokens = Vec::new();
    for _ in 0..100 {
        tokens.push(world.mint(HOUR)?.into());
    }
    let before = world.fetches()?;
    world.proxy.spoil(Spoil::Slow(Duration::from_millis(300)))?;
    let accepted = ask_at_once(&world.router, &tokens, size(scale)).await?;
    Ok((accepted, world.fetches()?.saturating_sub(before)))
}

/// Asks the API so many times at once; says how often it said 200.
async fn ask_at_once(router: &Router, tokens: &[Arc<str>], count: u64) -> Result<u64, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = router.clone();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(router.clone());
            builder.max_concurrent_streams(1_000);
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TokioIo::new(TcpStream::connect(address).await?);
        let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        clients.push(client);
    }
    let mut herd = JoinSet::new();
    for ((_, client), token) in (0..count).zip(clients.iter().cycle()).zip(tokens.iter().cycle()) {
        herd.spawn(ask(client.clone(), Arc::clone(token)));
    }
    let mut accepted = 0_u64;
    while let Some(answer) = herd.join_next().await {
        accepted = accepted.saturating_add(u64::from(answer?? == 200));
    }
    server.abort();
    Ok(accepted)
}

async fn ask(mut client: SendRequest<Empty<Bytes>>, token: Arc<str>) -> Result<u16, Failure> {
    let request = Request::get("http://api/").header("authorization", format!("Bearer {token}"));
    client.ready().await?;
    let answer = client.send_request(request.body(Empty::new())?).await?;
    Ok(answer.status().as_u16())
}
