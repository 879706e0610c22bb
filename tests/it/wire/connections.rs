//! Which connections are made, and how often a question is sent.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use scopegate::{Fetch, FetchError, FetchLimits, TlsProblem};

use super::host::{Answer, Host, again, fetch, hear, limits, ok, on_loopback, runtime, until_closed};

/// Answers the first request on its first connection, and does `rest` with whatever comes on it then; `later` is for the
/// connections after that.
fn worn(
    rest: impl Fn(&mut std::net::TcpStream) + Send + Sync + 'static,
    later: impl Fn(&mut std::net::TcpStream) + Send + Sync + 'static,
) -> Host {
    Host::raw(move |stream, number, heard| {
        let _ = hear(stream, heard);
        if number > 0 {
            return later(stream);
        }
        let _ = stream.write_all(ok("{}").as_bytes());
        let _ = hear(stream, heard);
        rest(stream);
    })
}

/// One exchange after the other, by one client: the first is good and leaves a connection behind. The limits are the second's.
fn second(host: &Host, method: &Method, limits_of_second: FetchLimits) -> Answer {
    let fetch = on_loopback();
    let request = |method: &Method| {
        http::Request::builder().method(method.clone()).uri(host.url()).body(Bytes::from_static(b"a=b")).unwrap()
    };
    runtime().block_on(async {
        // The client is made by the first, which takes as long as it takes.
        assert!(fetch.fetch(request(&Method::GET), limits()).await.is_ok());
        // It takes its connection back in a task of its own.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        fetch.fetch(request(method), limits_of_second).await
    })
}

fn closes(_: &mut std::net::TcpStream) {}

fn answers(stream: &mut std::net::TcpStream) {
    let _ = stream.write_all(ok("[]").as_bytes());
}

#[test]
fn a_connection_is_kept_for_the_next_question() {
    let host = worn(answers, closes);
    assert_eq!(second(&host, &Method::GET, limits()).unwrap().body(), "[]");
    assert_eq!((host.connections(), host.requests().len()), (1, 2));
}

#[test]
fn row_f14_fault_row_39_a_question_that_a_kept_connection_swallows_is_asked_once_more_on_a_fresh_one() {
    let host = worn(closes, answers);
    assert_eq!(second(&host, &Method::GET, limits()).unwrap().body(), "[]");
    assert_eq!((host.connections(), host.requests().len()), (2, 3));
}

#[test]
fn row_f14_fault_row_39_it_is_not_asked_a_third_time() {
    let host = worn(closes, closes);
    let error = second(&host, &Method::GET, limits()).unwrap_err();
    assert!(matches!(error, FetchError::Cut { .. }), "{error:?}");
    assert_eq!((host.connections(), host.requests().len()), (2, 3));
}

#[test]
fn row_f14_a_host_that_cuts_a_fresh_connection_is_asked_once() {
    let host = Host::new(closes);
    assert!(matches!(fetch(&host.url()), Err(FetchError::Cut { .. })));
    assert_eq!((host.connections(), host.requests().len()), (1, 1));
}

#[test]
fn row_f14_what_may_not_be_done_twice_is_not_sent_twice() {
    let host = worn(closes, answers);
    let error = second(&host, &Method::POST, limits()).unwrap_err();
    assert!(matches!(error, FetchError::Cut { .. }), "{error:?}");
    assert_eq!((host.connections(), host.requests().len()), (1, 2));
}

#[test]
fn row_f14_an_answer_that_has_begun_is_not_asked_for_again() {
    let begins = |stream: &mut std::net::TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{");
    };
    let host = worn(begins, answers);
    let error = second(&host, &Method::GET, limits()).unwrap_err();
    assert!(matches!(error, FetchError::Cut { .. }), "{error:?}");
    assert_eq!((host.connections(), host.requests().len()), (1, 2));
}

#[test]
fn row_f14_the_total_limit_covers_both_tries() {
    let mut short = limits();
    short.total = Duration::from_millis(200);
    for (host, connections) in [(worn(until_closed, answers), 1), (worn(closes, until_closed), 2)] {
        let error = second(&host, &Method::GET, short).unwrap_err();
        assert!(matches!(error, FetchError::TimedOut(limit) if limit == short.total), "{error:?}");
        assert_eq!(host.connections(), connections);
    }
}

/// The test runs itself with the variables set; it is the child then.
#[test]
fn row_f21_no_variable_in_the_environment_names_a_proxy() {
    const TARGET: &str = "SCOPEGATE_TEST_TARGET";
    if let Ok(target) = std::env::var(TARGET) {
        assert_eq!(fetch(&format!("http://{target}/")).unwrap().body(), "{}");
        let error = fetch(&format!("https://{target}/")).unwrap_err();
        assert!(matches!(error, FetchError::Tls { problem: TlsProblem::NotTls, .. }), "{error:?}");
        return;
    }
    let target = Host::raw(|stream, _, heard| {
        let mut first = [0];
        let tls = stream.peek(&mut first).is_ok() && first[0] == 0x16;
        let _ = tls || hear(stream, heard);
        let _ = stream.write_all(ok("{}").as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        until_closed(stream);
    });
    let proxy = Host::saying(ok("[]"));
    let (address, url) = (target.address.to_string(), format!("http://{}", proxy.address));
    let mut variables = vec![(TARGET, address.as_str()), ("NO_PROXY", ""), ("no_proxy", "")];
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        variables.push((name, &url));
    }
    again("wire::connections::row_f21_no_variable_in_the_environment_names_a_proxy", &variables);
    assert_eq!((target.connections(), proxy.connections()), (2, 0));
}
