//! What no host on loopback can see: which client speaks to hosts that are confined to public addresses.

use super::*;
use crate::client_auth::Pem;

fn pem() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["api.example.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    format!("{}{}", certificate.pem(), key.serialize_pem())
}

fn with_certificate() -> ReqwestFetch {
    ReqwestFetch::new().client_certificate(pem().as_bytes()).unwrap()
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

const PUBLIC: FetchLimits = FetchLimits { addresses: Addresses::Public, ..LIMITS };
const LIMITS: FetchLimits = FetchLimits {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(5),
    body: 1024,
    addresses: Addresses::Any,
};

#[test]
fn an_issuer_that_a_resolver_names_is_told_what_it_lacks_before_anything_is_sent() {
    let of_the_fetch = ShownCertificate::OfTheFetch;
    let error = with_certificate().client_for(Some(&of_the_fetch), PUBLIC).unwrap_err();
    assert!(matches!(error, FetchError::NotAllowed { problem } if problem.contains("with_certificate")), "{error:?}");
    assert!(with_certificate().client_for(Some(&of_the_fetch), LIMITS).is_ok());
    assert!(with_certificate().client_for(None, PUBLIC).is_ok());
    // A sidecar may show one.
    assert!(ReqwestFetch::new().client_for(Some(&of_the_fetch), PUBLIC).is_ok());
}

#[test]
fn a_certificate_of_an_issuers_own_has_a_client_of_its_own_at_any_address() {
    let fetch = with_certificate().trust_only(authority().as_bytes()).unwrap();
    let shown = |pem: &str| ShownCertificate::This(Arc::new(Pem::new(pem.as_bytes().to_vec())));
    let ask = |shown: &ShownCertificate, limits| fetch.client_for(Some(shown), limits).unwrap();
    let (one, other) = (pem(), pem());
    let first = [shown(&one), shown(&one)];
    ask(&first[0], LIMITS);
    ask(&first[1], PUBLIC);
    assert_eq!(fetch.own.count(), 2);
    let process = std::process::id();
    assert!(fetch.free.get(process).is_none() && fetch.confined.get(process).is_none());
    // A callback that gives the same once more has no client made.
    let again = [shown(&one), shown(&one)];
    ask(&again[0], LIMITS);
    ask(&again[1], PUBLIC);
    drop(first);
    assert_eq!(fetch.own.count(), 2);
    // What was renewed is let go, with its key.
    drop(again);
    let renewed = shown(&other);
    ask(&renewed, LIMITS);
    assert_eq!(fetch.own.count(), 1);
    // No more are kept than there is room for.
    let many: Vec<_> = (0..70).map(|n| shown(&format!("{other}{}", "\n".repeat(n + 1)))).collect();
    many.iter().for_each(|shown| drop(ask(shown, LIMITS)));
    assert_eq!(fetch.own.count(), 64);
}

fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(vec!["root.example.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
}
