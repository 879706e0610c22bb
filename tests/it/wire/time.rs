//! The limit of the whole exchange holds in each part of it.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use scopegate::{FetchError, FetchLimits};

use super::host::{Host, fetch_with, limits, ok, on_loopback, until_closed};

fn short() -> FetchLimits {
    let mut short = limits();
    short.total = Duration::from_millis(200);
    short
}

fn times_out(url: &str) {
    // The client is made by the first request, which takes as long as it takes.
    let (fetch, good) = (on_loopback(), Host::saying(ok("{}")));
    assert!(fetch_with(&fetch, &good.url(), limits()).is_ok());
    let error = fetch_with(&fetch, url, short()).unwrap_err();
    assert!(matches!(error, FetchError::TimedOut(limit) if limit == short().total), "{url}: {error:?}");
}

/// One byte again and again, as long as somebody is there to take it. The pause is what keeps the body from being too long.
fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    while stream.write_all(bytes).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_limits_are_2_and_5_seconds() {
    let default = FetchLimits::default();
    assert_eq!((default.connect, default.total), (Duration::from_secs(2), Duration::from_secs(5)));
}

#[test]
fn row_f05_fault_row_05_a_server_that_accepts_and_never_answers_fails_at_the_total_limit() {
    let host = Host::silent();
    times_out(&host.url());
    assert_eq!((host.connections(), host.requests().len()), (1, 1));
}

#[test]
fn row_f06_fault_row_05_a_head_that_drips_fails_at_the_total_limit() {
    let in_a_name = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        drip(stream, b"x");
    });
    let field_by_field = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        for byte in [b"a".as_slice(), b":", b"b", b"\r", b"\n"].iter().cycle().take(300) {
            if stream.write_all(byte).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let half = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-");
        until_closed(stream);
    });
    let hints_forever = Host::new(|stream| drip(stream, b"HTTP/1.1 103 Early Hints\r\n\r\n"));
    for host in [in_a_name, field_by_field, half, hints_forever] {
        times_out(&host.url());
    }
}

#[test]
fn row_f06_fault_row_05_a_body_that_drips_fails_at_the_total_limit() {
    let by_length = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        drip(stream, b"x");
    });
    let by_chunks = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        drip(stream, b"1\r\nx\r\n");
    });
    let until_the_end = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        drip(stream, b"x");
    });
    let half = Host::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"keys\":");
        until_closed(stream);
    });
    for host in [by_length, by_chunks, until_the_end, half] {
        times_out(&host.url());
    }
}

#[test]
fn row_f05_fault_row_05_a_handshake_that_is_not_answered_fails_at_the_total_limit() {
    let silent = Host::raw(|stream, _, _| until_closed(stream));
    // The beginning of a record that never ends.
    let half = Host::raw(|stream, _, _| {
        let _ = stream.write_all(&[0x16, 0x03, 0x03, 0x40, 0x00]);
        drip(stream, b"\x02");
    });
    for host in [silent, half] {
        times_out(&host.secure_url());
    }
}

#[test]
fn a_handshake_that_is_not_answered_fails_at_the_limit_to_connect_where_that_is_shorter() {
    let mut short = limits();
    short.connect = Duration::from_millis(50);
    let host = Host::raw(|stream, _, _| until_closed(stream));
    let error = fetch_with(&on_loopback(), &host.secure_url(), short).unwrap_err();
    assert!(matches!(error, FetchError::TimedOut(limit) if limit == short.connect), "{error:?}");
}
