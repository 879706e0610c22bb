//! How clients learn that a session has ended (OpenID Connect Back-Channel Logout 1.0 s2.5).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;

use super::state::Notice;

/// Carries news to clients, each by itself: one that does not answer holds nobody up.
pub(super) async fn carry(mut news: UnboundedReceiver<Notice>) {
    while let Some(notice) = news.recv().await {
        tokio::spawn(async move {
            // What came of it is the client's matter: s2.7 lets a logout go on.
            let _ = tokio::time::timeout(DEADLINE, deliver(&notice)).await;
        });
    }
}

async fn deliver(notice: &Notice) -> io::Result<()> {
    let refused = || io::Error::from(io::ErrorKind::InvalidInput);
    let uri: Uri = notice.uri.parse().map_err(|_| refused())?;
    let address = loopback(&uri).ok_or_else(refused)?;
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let form =
        form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &notice.logout_token).finish();
    let request = Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form)))
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await;
    connection.abort();
    answer.map(drop).map_err(io::Error::other)
}

/// Where an `http` address on loopback leads, without asking anybody for a name.
fn loopback(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host().filter(|_| uri.scheme_str() == Some("http"))?;
    let ip = match host.trim_start_matches('[').trim_end_matches(']') {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        literal => literal.parse().ok()?,
    };
    ip.is_loopback().then(|| SocketAddr::new(ip, uri.port_u16().unwrap_or(80)))
}

/// For one client to answer.
const DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_goes_to_loopback_alone() {
        let leads_to = |uri: &str| loopback(&uri.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(leads_to("http://127.0.0.1:8000/logout").as_deref(), Some("127.0.0.1:8000"));
        assert_eq!(leads_to("http://localhost/logout").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(leads_to("http://[::1]:8000/").as_deref(), Some("[::1]:8000"));
        for elsewhere in ["https://127.0.0.1/", "http://10.0.0.1/", "http://localhost.evil.test/", "/logout"] {
            assert_eq!(leads_to(elsewhere), None, "{elsewhere}");
        }
    }
}
