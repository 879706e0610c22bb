//! Which hosts are reached.

use std::error::Error;
use std::net::TcpListener;

use scopegate::{Addresses, FetchError, FetchLimits, PlainHttp, ReqwestFetch, TlsProblem};

use super::host::{Host, fetch, fetch_with, limits, ok, on_loopback};

fn public() -> FetchLimits {
    let mut limits = limits();
    limits.addresses = Addresses::Public;
    limits
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

/// Each is loopback, written as the URL standard and the system's resolver read it.
#[test]
fn a_private_address_is_not_connected_to_however_it_is_written() {
    let host = Host::raw(|_, _, _| {});
    let port = host.address.port();
    for name in ["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1.", "localhost"] {
        let url = format!("https://{name}:{port}/");
        let error = fetch_with(&ReqwestFetch::new(), &url, public()).unwrap_err();
        let FetchError::PrivateAddress { address } = error else { panic!("{url}: {error:?}") };
        assert!(address.is_loopback(), "{url}: {address}");
        assert_eq!(host.connections(), 0, "{url}");
    }
    // The twin: the same addresses are connected to where they may be.
    for (made, name) in ["127.0.0.1", "127.1", "2130706433", "localhost"].iter().enumerate() {
        let error = fetch_with(&ReqwestFetch::new(), &format!("https://{name}:{port}/"), limits()).unwrap_err();
        assert!(matches!(error, FetchError::Tls { problem: TlsProblem::CutOff, .. }), "{name}: {error:?}");
        assert_eq!(host.connections(), made + 1, "{name}");
    }
}

#[test]
fn no_address_behind_the_public_internet_is_connected_to() {
    for name in [
        "169.254.169.254",
        "10.0.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "0",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[64:ff9b::10.0.0.1]",
        "[2002:a00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ] {
        let error =
            fetch_with(&ReqwestFetch::new(), &format!("https://{name}/latest/meta-data"), public()).unwrap_err();
        assert!(matches!(error, FetchError::PrivateAddress { .. }), "{name}: {error:?}");
        let said = error.to_string();
        assert!(said.contains("is not public, and is not connected to") && !said.contains("meta-data"), "{said}");
    }
}

#[test]
fn a_connection_that_was_made_to_a_private_address_is_not_lent_to_who_may_not_make_it() {
    let host = Host::raw(|stream, _, heard| {
        while super::host::hear(stream, heard) {
            let _ = std::io::Write::write_all(stream, ok("{}").as_bytes());
        }
    });
    let fetch = on_loopback();
    let url = format!("http://localhost:{}/", host.address.port());
    let (runtime, request) = (super::host::runtime(), || http::Request::get(&url).body(bytes::Bytes::new()).unwrap());
    runtime.block_on(async {
        use scopegate::Fetch;
        assert!(fetch.fetch(request(), limits()).await.is_ok());
        let error = fetch.fetch(request(), public()).await.unwrap_err();
        assert!(matches!(error, FetchError::PrivateAddress { .. }), "{error:?}");
    });
    assert_eq!(host.requests().len(), 1);
}

#[test]
fn plain_http_on_loopback_does_not_make_loopback_public() {
    let host = Host::saying(ok("{}"));
    let fetch = ReqwestFetch::new().plain_http(PlainHttp::OnLoopback);
    let error = fetch_with(&fetch, &host.url(), public()).unwrap_err();
    assert!(matches!(error, FetchError::PrivateAddress { .. }), "{error:?}");
    assert_eq!(host.connections(), 0);
}

/// A name that never exists (RFC 6761 s6.4).
#[test]
fn row_f22_fault_row_21_a_name_that_cannot_be_resolved_is_a_failure_of_its_own_kind() {
    for limits in [limits(), public()] {
        let error = fetch_with(&ReqwestFetch::new(), "https://scopegate.invalid/secret-path", limits).unwrap_err();
        assert!(matches!(error, FetchError::Unresolved { .. }) && error.source().is_some(), "{error:?}");
        assert!(!format!("{error:?}").contains("secret-path"));
    }
}

#[test]
fn a_port_where_nobody_listens_is_a_failure_of_its_own_kind() {
    let port_of_nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["http", "https"] {
        let error = fetch(&format!("{scheme}://{port_of_nobody}/")).unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }) && error.source().is_some(), "{error:?}");
    }
}
