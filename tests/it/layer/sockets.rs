//! hyper alone, over a socket: bytes as a client sends them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::requests::{Row, rows};
use super::*;

/// A server on loopback, for as long as it is kept.
pub(super) struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    /// Any service whose answers hyper can send.
    pub(super) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: hyper::body::Body + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    // A client that hangs up is no news.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, _runtime: runtime }
    }

    /// Sends these bytes and reads all that comes back: the head, and what follows it.
    pub(super) fn exchange(&self, bytes: &[u8]) -> (u16, HeaderMap, Bytes) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A server that has read enough may reset the connection after its answer.
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let (head, body) = answer.split_at(end.saturating_add(4));
        let head = std::str::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, http::HeaderValue::from_str(value).unwrap());
        }
        (status.unwrap(), headers, Bytes::copy_from_slice(body))
    }

    /// The same, for a request and with the calls that it caused.
    pub(super) fn send(&self, row: &Row, inner: &Inner) -> Seen {
        let before = inner.calls();
        let (status, headers, body) = self.exchange(&on_the_wire(row));
        Seen { status, headers, body, calls: inner.calls().abs_diff(before) }
    }
}

fn on_the_wire(row: &Row) -> Vec<u8> {
    let mut bytes =
        format!("{} {} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n", row.method, row.target).into_bytes();
    for (name, value) in &row.fields {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if !row.body.is_empty() {
        bytes.extend(format!("content-length: {}\r\n", row.body.len()).into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(row.body.as_bytes());
    bytes
}

#[test]
fn every_row_is_answered_the_same_over_a_socket() {
    let world = World::new();
    let server = Server::new(world.read().layer(world.inner.clone()));
    for row in rows(&world) {
        server.send(&row, &world.inner).is(row.status, &row.name);
    }
}

#[test]
fn r11_what_is_no_http_does_not_reach_the_guard_or_the_service() {
    let world = World::new();
    let server = Server::new(world.read().layer(world.inner.clone()));
    let good = world.token().mint();
    for (name, field) in [
        ("a NUL in the token", format!("authorization: Bearer {good}\0")),
        ("a bare CR", format!("authorization: Bearer {good}\rx: y")),
        ("a line that is folded", format!("authorization: Bearer\r\n {good}")),
        ("a space before the colon", format!("authorization : Bearer {good}")),
        ("no name", format!(": Bearer {good}")),
    ] {
        let (status, ..) = server.exchange(format!("GET / HTTP/1.1\r\nhost: api\r\n{field}\r\n\r\n").as_bytes());
        assert_eq!((status, world.inner.calls()), (400, 0), "R11 {name}");
    }
    // The field's name has no case, and blanks around its value are not part of it (RFC 9110 s5.1, s5.5).
    for field in [format!("AUTHORIZATION:Bearer {good}"), format!("aUtHoRiZaTiOn: \t Bearer {good} \t ")] {
        let request = format!("GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\n{field}\r\n\r\n");
        assert_eq!(server.exchange(request.as_bytes()).0, 200, "R03 control");
    }
}

#[test]
fn one_connection_carries_requests_of_different_people() {
    let world = World::new();
    let server = Server::new(world.read().layer(world.inner.clone()));
    let alice = world.token().subject("alice").mint();
    let first = format!("GET / HTTP/1.1\r\nhost: api\r\nauthorization: Bearer {alice}\r\n\r\n");
    let both = format!("{first}GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n");
    let (status, _, rest) = server.exchange(both.as_bytes());
    let rest = std::str::from_utf8(&rest).unwrap();
    assert_eq!(status, 200);
    assert!(rest.starts_with("aliceHTTP/1.1 401 "), "nothing stays on the connection: {rest}");
    assert_eq!(world.inner.calls(), 1);
}

#[test]
fn an_answer_to_head_ends_with_its_head() {
    let world = World::new();
    let server = Server::new(world.read().layer(world.inner));
    let head = |method: &str| {
        server.exchange(format!("{method} / HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n").as_bytes())
    };
    let (of_head, of_get) = (head("HEAD"), head("GET"));
    assert_eq!((of_head.0, of_get.0), (401, 401));
    assert!(of_head.2.is_empty() && !of_get.2.is_empty());
    same_length_or_none(&of_head.1, &of_get.1);
}

/// RFC 9110 s8.6: a `Content-Length` in an answer to HEAD is the one of GET, or there is none.
pub(super) fn same_length_or_none(of_head: &HeaderMap, of_get: &HeaderMap) {
    let length = |headers: &HeaderMap| headers.get("content-length").cloned();
    assert!(length(of_get).is_some());
    assert!(length(of_head).is_none() || length(of_head) == length(of_get), "{of_head:?} {of_get:?}");
}

#[test]
fn the_first_request_waits_for_keys_that_are_fetched() {
    let world = World::cold();
    world.issuer.recover();
    let server = Server::new(world.read().layer(world.inner.clone()));
    let token = world.token().subject("alice").mint();
    let request = format!("GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n");
    let (status, _, body) = server.exchange(request.as_bytes());
    assert_eq!((status, body), (200, Bytes::from_static(b"alice")));
    assert_eq!((world.issuer.requests().metadata, world.issuer.requests().jwks), (1, 1));
}
