//! What comes back, whole, broken or without end.

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use scopegate::testing::TestIssuer;
use scopegate::{FetchError, FetchLimits};

use super::host::{Host, fetch, fetch_with, limits, ok, on_loopback, until_closed};

#[test]
fn an_answer_comes_back_as_it_was_sent() {
    let host = Host::saying(ok("{\"keys\":[]}"));
    let response = fetch(&host.url()).unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.body(), "{\"keys\":[]}");
    let heard = host.requests()[0].to_ascii_lowercase();
    assert!(heard.starts_with("get /keys?v=1 http/1.1\r\n"), "{heard}");
    assert!(heard.contains(&format!("user-agent: scopegate/{}\r\n", env!("CARGO_PKG_VERSION"))), "{heard}");
    for absent in ["accept-encoding", "cookie", "referer", "authorization", "proxy"] {
        assert!(!heard.contains(absent), "{heard}");
    }
}

#[test]
fn fault_row_09_status_and_content_type_are_for_the_caller_to_judge() {
    for status in [101, 204, 206, 304, 404, 429, 503] {
        let host = Host::saying(format!(
            "HTTP/1.1 {status} X\r\nretry-after: 7\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n"
        ));
        let response = fetch(&host.url()).unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers()["content-type"], "text/html");
    }
}

#[test]
fn row_f01_a_redirect_is_not_followed() {
    let target = Host::saying(ok("{}"));
    for status in [300, 301, 302, 303, 307, 308] {
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
fn a_body_is_read_up_to_the_limit_and_no_further() {
    let exact = "x".repeat(1024);
    assert_eq!(fetch(&Host::saying(ok(&exact)).url()).unwrap().body().len(), 1024);

    let announced = Host::saying(ok(&"x".repeat(1025)));
    assert!(matches!(fetch(&announced.url()), Err(FetchError::TooLarge { limit: 1024 })));

    // Nothing of it is waited for: it is not even sent.
    let huge = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n");
        until_closed(stream);
    });
    assert!(fetch(&huge.url()).is_err());

    let until_closed = Host::saying(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000)));
    assert!(matches!(fetch(&until_closed.url()), Err(FetchError::TooLarge { limit: 1024 })));
}

/// The host has sent so much, and waits: if the client wanted more, it would run into its time limit.
#[test]
fn row_f10_fault_row_10_an_endless_body_is_given_up_after_512_kib_and_at_most_64_more() {
    let default = FetchLimits::default();
    assert_eq!(default.body, 512 * 1024);
    for (announcing, piece) in
        [("transfer-encoding: chunked\r\n", format!("400\r\n{}\r\n", "x".repeat(1024))), ("", "x".repeat(1024))]
    {
        let head = format!("HTTP/1.1 200 OK\r\n{announcing}\r\n");
        let enough = Host::new(move |stream| {
            let _ = stream.write_all(head.as_bytes());
            for _ in 0..512 + 64 {
                let _ = stream.write_all(piece.as_bytes());
            }
            until_closed(stream);
        });
        let error = fetch_with(&on_loopback(), &enough.url(), default).unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 524_288 }), "{error:?}");
    }

    let exact = Host::saying(ok(&"x".repeat(512 * 1024)));
    assert_eq!(fetch_with(&on_loopback(), &exact.url(), default).unwrap().body().len(), 512 * 1024);
}

/// Good keys come first, so that only the length speaks against it. Sent whole where no length gives it away beforehand.
#[test]
fn row_j08_row_f10_fault_row_10_a_hundred_megabytes_behind_good_keys_are_too_large() {
    const LENGTH: usize = 100 * 1024 * 1024;
    let keys = TestIssuer::new("https://a.example.test").jwks();
    let begun = format!("{},\"padding\":\"", keys.strip_suffix('}').unwrap());
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n{begun}");
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{begun}\r\n", begun.len());
    for (about, head, piece) in
        [("announced", announced, "x".repeat(1024)), ("chunked", chunked, format!("400\r\n{}\r\n", "x".repeat(1024)))]
    {
        let host = Host::new(move |stream| {
            let _ = stream.write_all(head.as_bytes());
            for _ in 0..LENGTH / 1024 {
                if stream.write_all(piece.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let error = fetch_with(&on_loopback(), &host.url(), FetchLimits::default()).unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 524_288 }), "{about}: {error:?}");
        assert_eq!(host.connections(), 1, "{about}");
    }
}

#[test]
fn row_f10_the_host_of_an_endless_body_hears_that_it_is_not_wanted() {
    let sent = Arc::new(AtomicUsize::new(0));
    let (count, (done, ended)) = (Arc::clone(&sent), std::sync::mpsc::channel());
    let endless = Host::new(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while stream.write_all(b"10\r\nxxxxxxxxxxxxxxxx\r\n").is_ok() {
            count.fetch_add(16, Ordering::Relaxed);
        }
        let _ = done.send(());
    });
    assert!(matches!(fetch(&endless.url()), Err(FetchError::TooLarge { limit: 1024 })));
    ended.recv().unwrap();
    // What the buffers of two sockets hold is beyond our say.
    assert!(sent.load(Ordering::Relaxed) < 32 * 1024 * 1024);
}

/// A bomb is as long as it was sent, and it is for the caller to find that it is no JSON.
#[test]
fn row_f11_nothing_is_unpacked() {
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let packed = "\u{1f}packed";
        let host = Host::saying(format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n{packed}",
            packed.len()
        ));
        let response = fetch(&host.url()).unwrap();
        assert_eq!(response.body(), packed);
        assert_eq!(response.headers()["content-encoding"], encoding);
    }
    // Neither is a transfer coding that was not asked for (RFC 9112 s6.1).
    let host = Host::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
    assert!(fetch(&host.url()).map_or(true, |response| response.body() == "{}"));
}

#[test]
fn row_f08_fault_row_22_an_answer_that_breaks_off_is_no_answer() {
    for broken in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
    ] {
        let host = Host::saying(broken);
        let error = fetch(&host.url()).unwrap_err();
        assert!(matches!(error, FetchError::Cut { .. }) && error.source().is_some(), "{broken:?}: {error:?}");
        assert_eq!(host.connections(), 1, "{broken:?}");
    }
    let whole = Host::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
    assert_eq!(fetch(&whole.url()).unwrap().body(), "{}");
}

/// A socket that is closed with something unread is reset, and not ended.
#[test]
fn row_f08_fault_row_22_an_answer_that_is_reset_is_no_answer() {
    for begun in ["", "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{", "HTTP/1.1 200 OK\r\n\r\n{}"] {
        let host = Host::raw(move |stream, _, _| {
            let _ = stream.read(&mut [0; 1]);
            let _ = stream.write_all(begun.as_bytes());
        });
        let error = fetch(&host.url()).unwrap_err();
        assert!(matches!(error, FetchError::Cut { .. }), "{begun:?}: {error:?}");
        assert_eq!(host.connections(), 1, "{begun:?}");
    }
}

#[test]
fn what_is_no_http_is_no_answer() {
    let long = "x".repeat(1024 * 1024);
    let many = "a: b\r\n".repeat(200);
    for broken in [
        "SSH-2.0-x\r\n",
        "{\"keys\":[]}",
        "{\"keys\":[]}\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999999\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-type: a\r\n b\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-type : a\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\n: a\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;{long}\r\n{{}}\r\n0\r\n\r\n"),
        &format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\na: {long}\r\n\r\n"),
        &format!("HTTP/1.1 200 OK\r\na: {long}\r\n\r\n{{}}"),
        &format!("HTTP/1.1 200 {long}\r\n\r\n{{}}"),
        &format!("HTTP/1.1 200 OK\r\n{many}\r\n{{}}"),
    ] {
        let error = fetch(&Host::saying(broken).url()).unwrap_err();
        let shown: String = broken.chars().take(80).collect();
        assert!(matches!(error, FetchError::Cut { .. }) && error.source().is_some(), "{shown:?}: {error:?}");
    }
}

#[test]
fn a_length_that_is_longer_than_any_memory_reserves_none() {
    let mut most = limits();
    most.body = usize::MAX;
    let host = Host::saying("HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n{}");
    assert!(matches!(fetch_with(&on_loopback(), &host.url(), most), Err(FetchError::Cut { .. })));
}

#[test]
fn what_comes_before_the_answer_is_not_the_answer() {
    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n";
    let response = fetch(&Host::saying(format!("{hints}{}", ok("{}"))).url()).unwrap();
    assert_eq!((response.status().as_u16(), &response.body()[..]), (200, &b"{}"[..]));
    assert!(!response.headers().contains_key("link"));
    // What comes after it is not either.
    let twice = Host::saying(format!("{}{}", ok("{}"), ok("[]")));
    assert_eq!(fetch(&twice.url()).unwrap().body(), "{}");
}
