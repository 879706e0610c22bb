//! The other end of the wire, and how it is asked.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustls::ServerConfig;
use scopegate::{Fetch, FetchError, FetchLimits, PlainHttp, ReqwestFetch};

/// A host on loopback, until it is dropped; each connection is handled on a thread of its own.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: Heard,
    stopped: Arc<AtomicBool>,
}

/// The heads of the requests that arrived.
pub(super) type Heard = Arc<Mutex<Vec<String>>>;

impl Host {
    /// Is given each connection with its number, from 0.
    pub(super) fn raw(speak: impl Fn(&mut TcpStream, usize, &Heard) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heard: Arc::default(),
            stopped: Arc::default(),
        };
        let (counter, heard, stopped) =
            (Arc::clone(&host.connections), Arc::clone(&host.heard), Arc::clone(&host.stopped));
        let speak = Arc::new(speak);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let (mut stream, speak, heard) = (stream.unwrap(), Arc::clone(&speak), Arc::clone(&heard));
                std::thread::spawn(move || speak(&mut stream, number, &heard));
            }
        });
        host
    }

    /// Reads the head of one request, then lets `speak` answer.
    pub(super) fn new(speak: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::raw(move |stream, _, heard| {
            let _ = hear(stream, heard);
            speak(stream);
        })
    }

    pub(super) fn saying(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::new(move |stream| drop(stream.write_all(answer.as_bytes())))
    }

    /// Over TLS.
    pub(super) fn secure(config: ServerConfig, answer: impl Into<String>) -> Self {
        let (config, answer) = (Arc::new(config), answer.into());
        Self::raw(move |stream, _, heard| {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, stream);
            if hear(&mut tls, heard) {
                let _ = tls.write_all(answer.as_bytes());
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
            // A close with something unread would be a reset, which can overtake the alert that tells what is wrong.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    /// Deaf and dumb, until the other end closes.
    pub(super) fn silent() -> Self {
        Self::new(until_closed)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/keys?v=1", self.address)
    }

    pub(super) fn secure_url(&self) -> String {
        format!("https://{}/keys?v=1", self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads the head of a request; whether there was one.
pub(super) fn hear(stream: &mut impl Read, heard: &Heard) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        head.push(byte[0]);
    }
    if !head.is_empty() {
        heard.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    }
    head.ends_with(b"\r\n\r\n")
}

pub(super) fn until_closed(stream: &mut TcpStream) {
    while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
}

pub(super) fn limits() -> FetchLimits {
    let mut limits = FetchLimits::default();
    limits.body = 1024;
    limits
}

pub(super) type Answer = Result<http::Response<Bytes>, FetchError>;

pub(super) fn fetch_with(fetch: &ReqwestFetch, url: &str, limits: FetchLimits) -> Answer {
    let request = http::Request::get(url).body(Bytes::new()).unwrap();
    runtime().block_on(fetch.fetch(request, limits))
}

pub(super) fn fetch(url: &str) -> Answer {
    fetch_with(&on_loopback(), url, limits())
}

pub(super) fn on_loopback() -> ReqwestFetch {
    ReqwestFetch::new().plain_http(PlainHttp::OnLoopback)
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Runs one test of this very binary again, with variables in its environment: a process must not change its own, since other
/// threads read it at the same time.
pub(super) fn again(test: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", test]).envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
