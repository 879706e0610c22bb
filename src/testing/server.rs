//! An issuer's HTTP server on loopback.

use std::convert::Infallible;
use std::future::{self, Future};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};

use super::answer::Answer;
use super::backchannel;
use super::fault::Delivery;
use super::line::{Line, Scissors};
use super::state::State;

/// The thread that serves, told to stop and waited for when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// A socket that listens, on loopback alone.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let problem = "a test issuer gives tokens to whoever asks, so it listens on loopback alone";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Server {
    /// Serves an issuer.
    pub(super) fn start(listener: TcpListener, issuer: Arc<State>) -> io::Result<Self> {
        let (courier, news) = mpsc::unbounded_channel();
        issuer.lock().courier = Some(courier);
        Self::run("test-issuer", || {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok(async move {
                tokio::spawn(backchannel::carry(news));
                accept(listener, issuer).await;
            })
        })
    }

    /// A thread of this name with a runtime of its own, in which the task is made and runs.
    pub(super) fn run<T>(name: &str, task: impl FnOnce() -> io::Result<T>) -> io::Result<Self>
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let task = {
            let _context = runtime.enter();
            task()?
        };
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.spawn(task);
            // Nothing is ever sent: the sender's end is the signal. Then the runtime is dropped with every connection.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(serve)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, issuer: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some may be free a moment later.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let issuer = Arc::clone(&issuer);
        tokio::spawn(async move {
            let line = Line::new(stream);
            let scissors = line.scissors();
            let service = service_fn(move |request| respond(Arc::clone(&issuer), scissors.clone(), request));
            // A client that hangs up is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(line), service).await;
        });
    }
}

async fn respond(
    issuer: Arc<State>,
    scissors: Scissors,
    request: Request<Incoming>,
) -> Result<Response<Delivered>, io::Error> {
    let Some(request) = whole(request).await else { return Ok(too_large()) };
    let path = request.uri().path().to_owned();
    let answer = Answer::of(&issuer, &path, &request);
    drop(issuer);
    deliver(answer, &scissors).await
}

/// The request with its body; none if that is too long, or breaks off.
pub(super) async fn whole(request: Request<Incoming>) -> Option<Request<Bytes>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_REQUEST).collect().await.ok()?;
    Some(Request::from_parts(head, body.to_bytes()))
}

pub(super) fn too_large() -> Response<Delivered> {
    let mut response = Response::new(Delivered::Whole(None));
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}

/// Sends an answer on its way, with all that is to become of it there.
pub(super) async fn deliver(answer: Answer, scissors: &Scissors) -> Result<Response<Delivered>, io::Error> {
    if let Some(delay) = answer.delay {
        tokio::time::sleep(delay).await;
    }
    let (mut head, body) = answer.response.into_parts();
    let body = match answer.delivery {
        Delivery::Whole => Delivered::Whole(Some(body)),
        Delivery::Endless => Delivered::Endless,
        Delivery::Never => future::pending().await,
        Delivery::Closed => return Err(cut()),
        Delivery::Reset => {
            scissors.cut();
            return Err(cut());
        }
        Delivery::Truncated => {
            let half = body.slice(..body.len() / 2);
            head.headers.insert(CONTENT_LENGTH, body.len().max(1).into());
            Delivered::Truncated(Progress::Sending(half))
        }
    };
    Ok(Response::from_parts(head, body))
}

fn cut() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// The body of an answer, on its way over a socket.
#[derive(Debug)]
pub(super) enum Delivered {
    Whole(Option<Bytes>),
    Truncated(Progress),
    Endless,
}

/// How far a body is that will be cut.
#[derive(Debug)]
pub(super) enum Progress {
    Sending(Bytes),
    Sent,
    Flushed,
}

impl Body for Delivered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Endless => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 8192]))))),
            Self::Truncated(progress) => match std::mem::replace(progress, Progress::Flushed) {
                Progress::Sending(half) => {
                    *progress = Progress::Sent;
                    Poll::Ready(Some(Ok(Frame::data(half))))
                }
                // hyper writes what it has when a body lets it wait.
                Progress::Sent => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Progress::Flushed => Poll::Ready(Some(Err(cut()))),
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => {
                let length = body.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Truncated(_) | Self::Endless => SizeHint::default(),
        }
    }
}

const LONGEST_REQUEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;
    use crate::testing::{Fault, TestIssuer};

    fn open(issuer: &TestIssuer, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(issuer.id().strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nhost: issuer\r\nconnection: close\r\n\r\n").unwrap();
        stream
    }

    fn get(issuer: &TestIssuer, path: &str) -> String {
        let mut answer = String::new();
        open(issuer, &format!("GET {path}")).read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn documents_are_served_under_every_address() {
        let issuer = TestIssuer::on_loopback().unwrap();
        assert!(get(&issuer, "/jwks").ends_with(&issuer.jwks()));
        for name in ["openid-configuration", "oauth-authorization-server"] {
            let answer = get(&issuer, &format!("/.well-known/{name}"));
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&issuer.metadata()));
        }
        assert!(get(&issuer, "/token").starts_with("HTTP/1.1 405"));
        assert!(get(&issuer, "/nothing").starts_with("HTTP/1.1 404"));
        let requests = issuer.requests();
        assert_eq!((requests.metadata, requests.jwks, requests.token, requests.other), (2, 1, 1, 1));
    }

    #[test]
    fn faults_cross_the_socket() {
        let issuer = TestIssuer::on_loopback().unwrap();
        issuer.script(Fault::status(503).with_header("retry-after", "9").times(1));
        let answer = get(&issuer, "/jwks");
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 9"));

        issuer.script(Fault::truncated().times(1));
        let answer = get(&issuer, "/jwks");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", issuer.jwks().len())));
        assert_eq!(body, &issuer.jwks()[..issuer.jwks().len() / 2]);

        issuer.script(Fault::disconnect().times(1));
        assert_eq!(get(&issuer, "/jwks"), "");

        issuer.script(Fault::reset().times(1));
        let error = open(&issuer, "GET /jwks").read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        issuer.script(Fault::endless().times(1));
        let mut stream = open(&issuer, "GET /jwks");
        stream.read_exact(&mut vec![0; 4 << 20]).unwrap();
        drop(stream);
        assert!(get(&issuer, "/jwks").starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn the_last_clone_closes_every_socket_even_while_an_answer_hangs() {
        let issuer = TestIssuer::on_loopback().unwrap();
        let (twin, address) = (issuer.clone(), issuer.id().strip_prefix("http://").unwrap().to_owned());
        issuer.script(Fault::hang().times(1));
        let mut hanging = open(&issuer, "GET /jwks");
        drop(issuer);
        while twin.requests().jwks == 0 {
            thread::yield_now();
        }
        assert!(get(&twin, "/jwks").starts_with("HTTP/1.1 200"));
        drop(twin);
        assert!(matches!(hanging.read(&mut [0]), Ok(0) | Err(_)));
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn an_issuer_listens_nowhere_but_on_loopback() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let error = TestIssuer::on_loopback_at(everywhere, []).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
