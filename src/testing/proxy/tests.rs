use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use super::*;
use crate::Algorithm;
use crate::testing::{Endpoint, TestIssuer};

fn pair() -> (FaultProxy, TestIssuer) {
    let proxy = FaultProxy::start().unwrap();
    let issuer = TestIssuer::on_loopback_as(proxy.url(), [Algorithm::Es256]).unwrap();
    proxy.forward_to(issuer.address().unwrap());
    (proxy, issuer)
}

fn connect(proxy: &FaultProxy) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(proxy.url().strip_prefix("http://").unwrap())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

fn open(proxy: &FaultProxy, request: &str) -> TcpStream {
    let mut stream = connect(proxy).unwrap();
    write!(stream, "{request}\r\n\r\n").unwrap();
    stream
}

fn get(proxy: &FaultProxy, path: &str) -> String {
    let mut answer = String::new();
    open(proxy, &format!("GET {path} HTTP/1.1\r\nhost: issuer")).read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_the_issuer_says_passes_unchanged_and_is_counted() {
    let (proxy, issuer) = pair();
    let answer = get(&proxy, "/jwks?x=1");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("content-type: application/jwk-set+json"));
    assert!(answer.ends_with(&issuer.jwks()));
    let metadata = get(&proxy, "/.well-known/openid-configuration");
    assert!(metadata.ends_with(&issuer.metadata()) && metadata.contains(&format!("{}/jwks", proxy.url())));
    assert!(get(&proxy, "/nothing").starts_with("HTTP/1.1 404"));
    assert_eq!((proxy.requests("/jwks"), proxy.requests("/token"), proxy.all_requests()), (1, 0, 3));
    assert_eq!((issuer.requests().jwks, issuer.requests().metadata, issuer.requests().other), (1, 1, 1));
}

#[test]
fn a_request_with_a_body_arrives_whole() {
    let (proxy, _issuer) = pair();
    let form = "grant_type=client_credentials&scope=a";
    let head = "POST /token HTTP/1.1\r\nhost: issuer\r\nauthorization: Basic ZGVtbzpkZW1v";
    let mut answer = String::new();
    let mut stream = open(&proxy, &format!("{head}\r\ncontent-length: {}\r\n\r\n{form}", form.len()));
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""scope":"a""#), "{answer}");
}

#[test]
fn faults_befall_the_answers_that_they_are_meant_for() {
    let (proxy, issuer) = pair();
    proxy.script(Fault::status(503).with_header("retry-after", "9").at(Endpoint::Jwks));
    let answer = get(&proxy, "/jwks");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 9"));
    assert!(get(&proxy, "/.well-known/openid-configuration").starts_with("HTTP/1.1 200"));
    assert_eq!((issuer.requests().jwks, proxy.requests("/jwks")), (0, 1));

    proxy.script(Fault::truncated().times(1));
    let answer = get(&proxy, "/jwks");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", issuer.jwks().len())));
    assert_eq!(body, &issuer.jwks()[..issuer.jwks().len() / 2]);

    proxy.script(Fault::body("%%%").times(1));
    let answer = get(&proxy, "/jwks");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n%%%"));

    proxy.recover().unwrap();
    assert!(get(&proxy, "/jwks").ends_with(&issuer.jwks()));
}

#[test]
fn a_reset_is_told_from_an_end() {
    let (proxy, _issuer) = pair();
    proxy.script(Fault::disconnect().times(1));
    assert_eq!(get(&proxy, "/jwks"), "");
    proxy.script(Fault::reset().times(1));
    let mut stream = open(&proxy, "GET /jwks HTTP/1.1\r\nhost: issuer");
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_proxy_that_refuses_closes_what_is_open_and_comes_back_at_its_port() {
    let (proxy, issuer) = pair();
    proxy.script(Fault::hang().times(1));
    let mut hanging = open(&proxy, "GET /jwks HTTP/1.1\r\nhost: issuer");
    while proxy.requests("/jwks") == 0 {
        thread::yield_now();
    }
    for _ in 0..3 {
        proxy.refuse().unwrap();
        assert_eq!(connect(&proxy).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        proxy.refuse().unwrap();
        proxy.recover().unwrap();
        assert!(get(&proxy, "/jwks").ends_with(&issuer.jwks()));
    }
    assert!(matches!(hanging.read(&mut [0]), Ok(0) | Err(_)), "an open connection outlived the proxy's absence");
    assert_eq!(proxy.requests("/jwks"), 4);
}

#[test]
fn the_port_of_a_proxy_that_refuses_is_taken_until_the_proxy_is_gone() {
    let proxy = FaultProxy::start().unwrap();
    let address: SocketAddr = proxy.url().strip_prefix("http://").unwrap().parse().unwrap();
    // `TcpListener::bind` would ask to share the port.
    let take = || TcpSocket::new_v4().unwrap().bind(address).map_err(|error| error.kind());
    proxy.refuse().unwrap();
    assert_eq!(take(), Err(ErrorKind::AddrInUse));
    drop(proxy);
    assert_eq!(take(), Ok(()));
}

#[test]
fn a_proxy_that_swallows_connects_and_says_nothing_until_it_recovers() {
    let (proxy, issuer) = pair();
    proxy.swallow().unwrap();
    let mut swallowed = open(&proxy, "GET /jwks HTTP/1.1\r\nhost: issuer");
    swallowed.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let silence = swallowed.read(&mut [0]).unwrap_err().kind();
    assert!(matches!(silence, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence:?}");
    assert_eq!(proxy.all_requests(), 0);

    proxy.recover().unwrap();
    swallowed.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(matches!(swallowed.read(&mut [0]), Ok(0) | Err(_)));
    assert!(get(&proxy, "/jwks").ends_with(&issuer.jwks()));
}

#[test]
fn without_an_issuer_the_answer_is_502() {
    let proxy = FaultProxy::start().unwrap();
    assert!(get(&proxy, "/jwks").starts_with("HTTP/1.1 502"));
    let issuer = TestIssuer::on_loopback_as(proxy.url(), [Algorithm::Es256]).unwrap();
    let address = issuer.address().unwrap();
    proxy.forward_to(address);
    assert!(get(&proxy, "/jwks").starts_with("HTTP/1.1 200"));
    drop(issuer);
    assert!(get(&proxy, "/jwks").starts_with("HTTP/1.1 502"));
}
