//! What no host on loopback can see: which client speaks to hosts that are confined to public addresses.

use std::pin::Pin;
use std::task::Poll;

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
    let runtime = runtime();
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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn client_for(
    fetch: &ReqwestFetch,
    shown: Option<&ShownCertificate>,
    limits: FetchLimits,
) -> Result<reqwest::Client, FetchError> {
    runtime().block_on(fetch.client_for(shown, limits))
}

fn own(pem: &str) -> ShownCertificate {
    ShownCertificate::This(Arc::new(Pem::new(pem.as_bytes().to_vec())))
}

#[test]
fn an_issuer_that_a_resolver_names_is_told_what_it_lacks_before_anything_is_sent() {
    let of_the_fetch = ShownCertificate::OfTheFetch;
    let error = client_for(&with_certificate(), Some(&of_the_fetch), PUBLIC).unwrap_err();
    assert!(matches!(error, FetchError::NotAllowed { problem } if problem.contains("with_certificate")), "{error:?}");
    assert!(client_for(&with_certificate(), Some(&of_the_fetch), LIMITS).is_ok());
    assert!(client_for(&with_certificate(), None, PUBLIC).is_ok());
    // A sidecar may show one.
    assert!(client_for(&ReqwestFetch::new(), Some(&of_the_fetch), PUBLIC).is_ok());
}

#[test]
fn a_certificate_of_an_issuers_own_has_a_client_of_its_own_at_any_address() {
    let fetch = with_certificate().trust_only(authority().as_bytes()).unwrap();
    let ask = |shown: &ShownCertificate, limits| client_for(&fetch, Some(shown), limits).unwrap();
    let (one, other) = (pem(), pem());
    let first = [own(&one), own(&one)];
    ask(&first[0], LIMITS);
    ask(&first[1], PUBLIC);
    assert_eq!(fetch.own.count(), 2);
    let process = std::process::id();
    assert!(fetch.free.get(process).is_none() && fetch.confined.get(process).is_none());
    // A callback that gives the same once more has no client made.
    let again = [own(&one), own(&one)];
    ask(&again[0], LIMITS);
    ask(&again[1], PUBLIC);
    drop(first);
    assert_eq!(fetch.own.count(), 2);
    // What was renewed is let go, with its key.
    drop(again);
    let renewed = own(&other);
    ask(&renewed, LIMITS);
    assert_eq!(fetch.own.count(), 1);
    // No more are kept than there is room for.
    let many: Vec<_> = (0..70).map(|n| own(&format!("{other}{}", "\n".repeat(n + 1)))).collect();
    many.iter().for_each(|shown| drop(ask(shown, LIMITS)));
    assert_eq!(fetch.own.count(), 64);
}

#[test]
fn a_client_is_made_beside_the_thread_that_fetches_and_kept_though_nobody_waits_for_it_any_more() {
    let fetch = ReqwestFetch::new().trust_only(authority().as_bytes()).unwrap();
    let (one, other) = (own(&pem()), own(&pem()));
    runtime().block_on(async {
        let call = |shown| Box::pin(fetch.client_for(Some(shown), LIMITS));
        let mut calls = [call(&one), call(&one), call(&other)];
        for call in &mut calls {
            assert!(is_waiting(call).await, "the thread is free for others");
        }
        let [first, second, third] = calls;
        drop((first, third));
        second.await.unwrap();
        assert_eq!(
            fetch.own.count(),
            1,
            "the second has what was made for the first, and the third has left the queue"
        );
        call(&other).await.unwrap();
        assert_eq!(fetch.own.count(), 2);
        assert!(!is_waiting(&mut call(&one)).await && !is_waiting(&mut call(&other)).await);
    });
}

/// Whether a call waits when it is looked at for once.
async fn is_waiting(call: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *call).poll(context).is_pending())).await
}

#[test]
fn a_certificate_that_no_client_can_be_made_with_is_told_and_leaves_the_way_to_others() {
    let fetch = ReqwestFetch::new().trust_only(authority().as_bytes()).unwrap();
    let error = client_for(&fetch, Some(&own("no certificate")), LIMITS).unwrap_err();
    assert!(matches!(error, FetchError::Tls { problem: TlsProblem::Setup, .. }), "{error:?}");
    assert!(client_for(&fetch, Some(&own(&pem())), LIMITS).is_ok());
}

fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(vec!["root.example.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
}
