//! What no host on loopback can see: which client speaks to hosts that are confined to public addresses.

use super::*;

fn with_certificate() -> ReqwestFetch {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["api.example.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    ReqwestFetch::new().client_certificate(pem.as_bytes()).unwrap()
}

#[test]
fn the_client_certificate_is_shown_to_hosts_of_ours_and_to_none_that_a_resolver_names() {
    let fetch = with_certificate();
    assert!(fetch.shown_to(Addresses::Any).is_some());
    assert!(fetch.shown_to(Addresses::Public).is_none());
    // Nor is there one where none was given.
    assert!(ReqwestFetch::new().shown_to(Addresses::Any).is_none());
}

#[test]
fn no_connection_that_was_made_with_the_certificate_serves_hosts_that_a_resolver_names() {
    let fetch = with_certificate().trust_only(authority().as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Nothing answers there, and a client is made all the same: one for each kind of host.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ask = |addresses| {
        let request = http::Request::get(format!("https://localhost:{port}/")).body(Bytes::new()).unwrap();
        let limits = FetchLimits { addresses, ..FetchLimits::default() };
        runtime.block_on(fetch.fetch(request, limits)).unwrap_err()
    };
    let error = ask(Addresses::Any);
    assert!(!matches!(error, FetchError::PrivateAddress { .. }), "{error:?}");
    assert!(fetch.free.get(std::process::id()).is_some() && fetch.confined.get(std::process::id()).is_none());
    let error = ask(Addresses::Public);
    assert!(matches!(error, FetchError::PrivateAddress { .. }), "{error:?}");
    assert!(fetch.confined.get(std::process::id()).is_some());
}

fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(vec!["root.example.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
}
