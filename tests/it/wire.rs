//! The ready way out, against sockets that speak whatever a test tells them to.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use scopegate::{Fetch, FetchError, FetchLimits, PlainHttp, ReqwestFetch};

/// A host on loopback; each connection is handled by `speak` on a thread of its own.
struct Host {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<String>>,
}

impl Host {
    /// Reads the request's head, then lets `speak` answer.
    fn new(speak: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let heard = Arc::new(Mutex::new(String::new()));
        let head = Arc::clone(&heard);
        Self::raw(heard, move |stream| {
            *head.lock().unwrap() = read_head(stream);
            speak(stream);
        })
    }

    fn saying(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::new(move |stream| drop(stream.write_all(answer.as_bytes())))
    }

    fn raw(heard: Arc<Mutex<String>>, speak: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counter, speak) = (Arc::clone(&connections), Arc::new(speak));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                let (mut stream, speak) = (stream.unwrap(), Arc::clone(&speak));
                std::thread::spawn(move || speak(&mut stream));
            }
        });
        Self { address, connections, heard }
    }

    fn url(&self) -> String {
        format!("http://{}/keys?v=1", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn limits() -> FetchLimits {
    let mut limits = FetchLimits::default();
    limits.body = 1024;
    limits
}

fn fetch_with(fetch: &ReqwestFetch, url: &str, limits: FetchLimits) -> Result<http::Response<Bytes>, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = http::Request::get(url).body(Bytes::new()).unwrap();
    runtime.block_on(fetch.fetch(request, limits))
}

fn fetch(url: &str) -> Result<http::Response<Bytes>, FetchError> {
    fetch_with(&ReqwestFetch::new().plain_http(PlainHttp::OnLoopback), url, limits())
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn an_answer_comes_back_as_it_was_sent() {
    let host = Host::saying(ok("{\"keys\":[]}"));
    let response = fetch(&host.url()).unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.body(), "{\"keys\":[]}");
    let heard = host.heard.lock().unwrap().to_ascii_lowercase();
    assert!(heard.starts_with("get /keys?v=1 http/1.1\r\n"), "{heard}");
    assert!(heard.contains(&format!("user-agent: scopegate/{}\r\n", env!("CARGO_PKG_VERSION"))), "{heard}");
    for absent in ["accept-encoding", "cookie", "referer", "authorization", "proxy"] {
        assert!(!heard.contains(absent), "{heard}");
    }
}

#[test]
fn a_status_is_for_the_caller_to_judge() {
    for status in [204, 304, 404, 429, 503] {
        let host = Host::saying(format!("HTTP/1.1 {status} X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"));
        let response = fetch(&host.url()).unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "7");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let target = Host::saying(ok("{}"));
    for status in [301, 302, 303, 307, 308] {
        let host = Host::saying(format!(
            "HTTP/1.1 {status} X\r\nlocation: {}\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n",
            target.url()
        ));
        assert_eq!(fetch(&host.url()).unwrap().status(), status);
        assert_eq!(host.connections(), 1);
    }
    assert_eq!(target.connections(), 0);
}

#[test]
fn plain_http_to_another_host_or_without_the_opt_in_sends_nothing() {
    let host = Host::saying(ok("{}"));
    let error = fetch_with(&ReqwestFetch::new(), &host.url(), limits()).unwrap_err();
    assert!(matches!(error, FetchError::NotAllowed { .. }), "{error}");
    assert_eq!(host.connections(), 0);
    for url in ["http://192.0.2.1/", "http://169.254.169.254/", "ftp://127.0.0.1/", "http://me@127.0.0.1/"] {
        let error = fetch(url).unwrap_err();
        assert!(matches!(error, FetchError::NotAllowed { .. }), "{url}: {error}");
    }
}

#[test]
fn a_body_is_read_up_to_the_limit_and_no_further() {
    let exact = "x".repeat(1024);
    assert_eq!(fetch(&Host::saying(ok(&exact)).url()).unwrap().body().len(), 1024);

    let announced = Host::saying(ok(&"x".repeat(1025)));
    assert!(matches!(fetch(&announced.url()), Err(FetchError::TooLarge { limit: 1024 })));

    // The other end is heard to close while it still has an endless body to send.
    let endless = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while stream.write_all(b"10\r\nxxxxxxxxxxxxxxxx\r\n").is_ok() {}
    });
    assert!(matches!(fetch(&endless.url()), Err(FetchError::TooLarge { limit: 1024 })));

    let until_closed = Host::saying(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000)));
    assert!(matches!(fetch(&until_closed.url()), Err(FetchError::TooLarge { limit: 1024 })));
}

#[test]
fn nothing_is_unpacked() {
    let packed = "\u{1f}packed";
    let host = Host::saying(format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n{packed}",
        packed.len()
    ));
    assert_eq!(fetch(&host.url()).unwrap().body(), packed);
}

#[test]
fn a_host_that_is_silent_or_slow_runs_into_the_total_limit() {
    let mut short = limits();
    short.total = Duration::from_millis(100);
    let hang = |stream: &mut TcpStream| drop(stream.read(&mut [0; 64]));
    let silent = Host::new(hang);
    let half_a_head = Host::new(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-");
        hang(stream);
    });
    let half_a_body = Host::new(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"keys\":");
        hang(stream);
    });
    let deaf_to_tls = Host::raw(Arc::default(), move |stream| {
        let _ = stream.read(&mut [0; 4096]);
        hang(stream);
    });
    let allowed = ReqwestFetch::new().plain_http(PlainHttp::OnLoopback);
    for url in [silent.url(), half_a_head.url(), half_a_body.url(), format!("https://{}/", deaf_to_tls.address)] {
        let error = fetch_with(&allowed, &url, short).unwrap_err();
        assert!(matches!(error, FetchError::TimedOut(limit) if limit == short.total), "{url}: {error:?}");
    }
}

#[test]
fn each_failure_has_its_own_kind_and_keeps_its_cause() {
    let port_of_nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fetch(&format!("http://{port_of_nobody}/")).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }) && error.source().is_some(), "{error:?}");

    // A name that never exists (RFC 6761 s6.4).
    let error = fetch(&format!("https://scopegate-{}.invalid/", "a")).unwrap_err();
    assert!(matches!(error, FetchError::Unresolved { .. }), "{error:?}");

    for broken in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
        "SSH-2.0-x\r\n",
    ] {
        let error = fetch(&Host::saying(broken).url()).unwrap_err();
        assert!(matches!(error, FetchError::Cut { .. }) && error.source().is_some(), "{broken:?}: {error:?}");
    }
}

#[test]
fn a_host_that_does_not_speak_tls_hears_no_request() {
    let heard = Arc::new(Mutex::new(String::new()));
    let note = Arc::clone(&heard);
    let host = Host::raw(heard, move |stream| {
        let mut hello = [0; 4096];
        let read = stream.read(&mut hello).unwrap_or(0);
        note.lock().unwrap().push_str(&String::from_utf8_lossy(&hello[..read]));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    });
    let error = fetch(&format!("https://{}/secret-path", host.address)).unwrap_err();
    assert!(matches!(error, FetchError::Tls { .. }) && error.source().is_some(), "{error:?}");
    assert!(!host.heard.lock().unwrap().contains("secret-path"));
    assert!(!format!("{error:?}").contains("secret-path"));
}

#[test]
fn certificates_are_read_when_they_are_given() {
    for bad in [&b""[..], b"x", b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"] {
        assert!(ReqwestFetch::new().trust_only(bad).is_err());
        assert!(ReqwestFetch::new().trust_also(bad).is_err());
    }
}
