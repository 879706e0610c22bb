//! A client with one connection a request, and what it sees of the answer.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Failure;

/// What an answer says of the judgement.
pub(crate) struct Seen {
    /// Status and challenge, such as `401 Bearer error="invalid_token"`, or `503 Retry-After`.
    pub(crate) verdict: String,
    pub(crate) body: String,
}

/// Sends a request without a body and reads the whole answer.
pub(crate) async fn ask(
    api: SocketAddr,
    method: &Method,
    path: &str,
    authorization: &[String],
) -> Result<Seen, Failure> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, api.to_string());
    for field in authorization {
        request = request.header(header::AUTHORIZATION, field);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| Failure::trouble("no request", &error))?;
    match timeout(PATIENCE, exchange(api, request)).await {
        Ok(answered) => answered,
        Err(_) => Err(Failure::Trouble(format!("{method} {path} was not answered within {PATIENCE:?}"))),
    }
}

async fn exchange(api: SocketAddr, request: Request<Empty<Bytes>>) -> Result<Seen, Failure> {
    let broken = |error: hyper::Error| Failure::trouble("the connection to the API broke off", &error);
    let stream = TcpStream::connect(api).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends when the sender is dropped. What goes wrong on it is told to the sender too.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let body = match Limited::new(body, LONGEST_BODY).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(error) => return Err(Failure::Trouble(format!("the answer's body could not be read: {error}"))),
    };
    Ok(Seen { verdict: verdict(head.status, &head.headers), body })
}

/// The status, and of the challenge the scheme, the error code and the scope, which are for programs to read.
fn verdict(status: StatusCode, headers: &HeaderMap) -> String {
    let mut verdict = status.as_str().to_owned();
    for challenge in headers.get_all(header::WWW_AUTHENTICATE) {
        let challenge = challenge.to_str().unwrap_or("(not text)");
        let scheme = challenge.split(' ').next().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(verdict, " {scheme}");
        for name in ["error", "scope"] {
            if let Some(value) = parameter(challenge, name) {
                let _ = write!(verdict, " {name}=\"{value}\"");
            }
        }
    }
    if headers.contains_key(header::RETRY_AFTER) {
        verdict.push_str(" Retry-After");
    }
    verdict
}

/// The value of an auth-param. Those that are looked for hold no quotes (RFC 6750 s3).
fn parameter<'c>(challenge: &'c str, name: &str) -> Option<&'c str> {
    let (_, from_value) = challenge.split_once(&format!(" {name}=\""))?;
    from_value.split('"').next()
}

const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST_BODY: usize = 65_536;
