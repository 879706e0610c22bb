//! What goes wrong between a program and its issuer.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::answer::Answer;
use super::endpoint::Addresses;
use super::fault::{Fault, Script};
use super::line::{Line, Scissors};
use super::reply::plain;
use super::server::{self, Delivered, Server};

/// An HTTP proxy on loopback that spoils what passes through it, and counts.
///
/// It stands before an issuer in another process or in this one, which must go by the proxy's [URL](Self::url). Where a
/// [`TestIssuer`](super::TestIssuer) can only answer badly, a proxy can also be [gone](Self::refuse) or
/// [silent](Self::swallow). Each request has a connection of its own, so that each meets what is in force then. It runs on a
/// thread of its own, which ends, and closes every socket, when the proxy is dropped.
///
/// ```
/// use scopegate::testing::{Fault, FaultProxy, TestIssuer};
/// use scopegate::{Algorithm, Credentials, Issuer, PlainHttp, Requirement, ScopePolicy, Validator};
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let proxy = FaultProxy::start()?;
/// let issuer = TestIssuer::on_loopback_as(proxy.url(), [Algorithm::Es256])?.default_audience("https://api.example.com");
/// proxy.forward_to(issuer.address().ok_or("it listens")?);
/// let validator = Validator::builder("https://api.example.com")
///     .trust(Issuer::discover(proxy.url()).plain_http(PlainHttp::OnLoopback))
///     .build()?;
///
/// proxy.script(Fault::status(503));
/// assert!(validator.warm_up().await.is_err());
/// assert_eq!(issuer.requests().metadata, 0);
///
/// proxy.recover()?;
/// let token = issuer.token().mint();
/// assert!(validator.wait_until_ready(std::time::Duration::from_secs(10)).await.is_ok());
/// assert!(validator.check(&Credentials::bearer(&token), &Requirement::from(ScopePolicy::none())).is_ok());
/// assert_eq!(proxy.requests("/jwks"), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FaultProxy {
    url: String,
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
    _server: Server,
}

/// What the proxy's thread and its owner share.
struct Shared {
    addresses: Addresses,
    changing: Mutex<Changing>,
}

#[derive(Default)]
struct Changing {
    issuer: Option<SocketAddr>,
    script: Script,
    requests: BTreeMap<String, u64>,
}

/// The word to change the gate, and where to say that it is done.
struct Order {
    gate: Gate,
    done: std::sync::mpsc::Sender<io::Result<()>>,
}

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// They are served.
    Open,
    /// Nobody listens.
    Refusing,
    /// They come about, and nobody reads what is sent on them.
    Silent,
}

impl FaultProxy {
    /// A proxy on a port of 127.0.0.1 that the system picks. Until it knows an [issuer](Self::forward_to) it answers 502.
    ///
    /// # Errors
    ///
    /// If the system refuses the socket or the thread.
    pub fn start() -> io::Result<Self> {
        let listener = server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let url = format!("http://{address}");
        let shared = Arc::new(Shared { addresses: Addresses::of(&url), changing: Mutex::default() });
        let (orders, inbox) = mpsc::unbounded_channel();
        let serving = Arc::clone(&shared);
        let server = Server::run("fault-proxy", || keep_gate(address, listener, serving, inbox))?;
        Ok(Self { url, shared, orders, _server: server })
    }

    /// Its URL, without a slash at the end: the identifier by which the issuer behind it must go.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Passes requests on to whoever listens there, from now on.
    pub fn forward_to(&self, issuer: SocketAddr) {
        self.shared.lock().issuer = Some(issuer);
    }

    /// Spoils answers to come. Faults add up and wear off as those of an issuer do; one [`at`](Fault::at) an endpoint meets
    /// issuers whose identifier has no path.
    ///
    /// The issuer is asked only where its answer has a part in what the client gets.
    pub fn script(&self, fault: Fault) {
        self.shared.lock().script.push(fault);
    }

    /// Refuses every connection, as a machine does on which nobody listens, and closes those that there are. The port stays
    /// taken, so the system picks it for nobody else.
    ///
    /// # Errors
    ///
    /// If the system does not give the port back to the proxy.
    pub fn refuse(&self) -> io::Result<()> {
        self.turn(Gate::Refusing)
    }

    /// Lets connections come about and never reads what is sent on them, as behind a firewall that drops everything. Those
    /// that there are are closed.
    ///
    /// # Errors
    ///
    /// If the system does not give the port back to the proxy.
    pub fn swallow(&self) -> io::Result<()> {
        self.turn(Gate::Silent)
    }

    /// Passes everything on again: forgets every fault, and listens.
    ///
    /// # Errors
    ///
    /// If the system does not give the port back to the proxy.
    pub fn recover(&self) -> io::Result<()> {
        self.shared.lock().script.clear();
        self.turn(Gate::Open)
    }

    /// How often this path was asked for so far, the query left out. Whoever was refused or never read is not counted.
    #[must_use]
    pub fn requests(&self, path: &str) -> u64 {
        self.shared.lock().requests.get(path).copied().unwrap_or(0)
    }

    /// How often anything was asked for so far.
    #[must_use]
    pub fn all_requests(&self) -> u64 {
        self.shared.lock().requests.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// It has happened when this returns.
    fn turn(&self, gate: Gate) -> io::Result<()> {
        let (done, answer) = std::sync::mpsc::channel();
        let gone = || io::Error::other("the proxy's thread has ended");
        self.orders.send(Order { gate, done }).map_err(|_| gone())?;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets connections in, or not, as it is told.
fn keep_gate(
    address: SocketAddr,
    listener: TcpListener,
    shared: Arc<Shared>,
    mut inbox: mpsc::UnboundedReceiver<Order>,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(async move {
        let mut open = tokio::spawn(accept(listener, Arc::clone(&shared)));
        let mut gate = Gate::Open;
        // Holds the port where nobody listens.
        let mut held = None;
        while let Some(order) = inbox.recv().await {
            let turned = if order.gate == gate {
                Ok(())
            } else {
                open.abort();
                // Its sockets are closed once it has ended.
                let _ = (&mut open).await;
                let socket = held.take().map_or_else(|| hold(address), Ok);
                socket.and_then(|socket| pass_through(order.gate, socket, &shared)).map(|(task, socket)| {
                    (open, held, gate) = (task, socket, order.gate);
                })
            };
            let is_lost = turned.is_err();
            let _ = order.done.send(turned);
            if is_lost {
                // Without its port it is of no use, and says so from here on.
                return;
            }
        }
    })
}

/// Takes the port without listening on it.
fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Lets connections in by this rule, and says what holds the port if nothing listens on it.
fn pass_through(
    gate: Gate,
    socket: TcpSocket,
    shared: &Arc<Shared>,
) -> io::Result<(JoinHandle<()>, Option<TcpSocket>)> {
    Ok(match gate {
        Gate::Open => (tokio::spawn(accept(socket.listen(BACKLOG)?, Arc::clone(shared))), None),
        Gate::Silent => (tokio::spawn(hoard(socket.listen(BACKLOG)?)), None),
        Gate::Refusing => (tokio::spawn(async {}), Some(socket)),
    })
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    // When this task is ended, so is every connection.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some may be free a moment later.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let line = Line::new(stream);
            let scissors = line.scissors();
            let service = service_fn(move |request| pass_on(Arc::clone(&shared), scissors.clone(), request));
            // A client that hangs up is no news.
            let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(line), service).await;
        });
    }
}

/// Accepts connections and does nothing with them.
async fn hoard(listener: tokio::net::TcpListener) {
    let mut streams = Vec::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => streams.push(stream),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn pass_on(
    shared: Arc<Shared>,
    scissors: Scissors,
    request: Request<Incoming>,
) -> Result<Response<Delivered>, io::Error> {
    let Some(request) = server::whole(request).await else { return Ok(server::too_large()) };
    let (fault, issuer) = {
        let path = request.uri().path();
        let mut changing = shared.lock();
        let count = changing.requests.entry(path.to_owned()).or_default();
        *count = count.saturating_add(1);
        (changing.script.next(shared.addresses.endpoint(path)), changing.issuer)
    };
    let response = match issuer.filter(|_| fault.as_ref().is_none_or(Fault::needs_an_answer)) {
        Some(issuer) => ask(issuer, request).await,
        None => None,
    };
    let answer = Answer::whole(response.unwrap_or_else(|| plain(StatusCode::BAD_GATEWAY)));
    let answer = match fault {
        Some(fault) => answer.spoiled(fault),
        None => answer,
    };
    server::deliver(answer, &scissors).await
}

/// The issuer's own answer, if it gives one.
async fn ask(issuer: SocketAddr, mut request: Request<Bytes>) -> Option<Response<Bytes>> {
    let stream = TcpStream::connect(issuer).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    // It ends when the sender is dropped. What goes wrong on it is told to the sender too.
    tokio::spawn(connection);
    of_this_connection(request.headers_mut());
    let (mut head, body) = sender.send_request(request.map(Full::new)).await.ok()?.into_parts();
    of_this_connection(&mut head.headers);
    let body = Limited::new(body, LONGEST_ANSWER).collect().await.ok()?;
    Some(Response::from_parts(head, body.to_bytes()))
}

/// Takes away what is not passed on (RFC 9110 s7.6.1): it is written anew for each connection.
fn of_this_connection(headers: &mut http::HeaderMap) {
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

const BACKLOG: u32 = 1024;
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

#[cfg(test)]
#[path = "proxy/tests.rs"]
mod tests;
