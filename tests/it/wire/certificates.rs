//! Issuers that are asked about tokens with a certificate of their own (RFC 8705), which a callback may renew.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_executor::block_on;
use rustls::{SupportedProtocolVersion, version};
use scopegate::{
    ClientAuth, ClientCertificate, Credentials, FetchError, Introspection, Issuer, Reason, Rejection, Requirement,
    ReqwestFetch, ScopePolicy, TlsProblem, Validator,
};

use super::host::{Host, hear, ok};
use super::tls::{Authority, Leaf};
use crate::introspection::{A, API, words};

const ACTIVE: &str =
    r#"{"active":true,"iss":"https://a.example.test","aud":"https://api.example.test","token_type":"Bearer"}"#;

/// Asks for a certificate of the authority, and answers as who has shown his deserves.
fn server(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    answer: impl Fn(&[u8]) -> String + Send + Sync + 'static,
) -> Host {
    let config = Arc::new(authority.asking(&authority.leaf(|_| {}), &[version]));
    Host::raw(move |stream, _, heard| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, stream);
        if hear(&mut tls, heard) {
            let shown = tls.conn.peer_certificates().unwrap()[0].to_vec();
            let _ = tls.write_all(answer(&shown).as_bytes());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// Believes this certificate and no other.
fn believing(leaf: &Leaf, otherwise: &str) -> impl Fn(&[u8]) -> String + Send + Sync + 'static {
    let (believed, otherwise) = (leaf.certificate.der().to_vec(), otherwise.to_owned());
    move |shown| if shown == believed { ok(ACTIVE) } else { otherwise.clone() }
}

fn of(leaf: &Leaf) -> ClientCertificate {
    ClientCertificate::from_pem(leaf.pem().as_bytes()).unwrap()
}

/// Gives one after the other, and the last for ever.
fn vault(leaves: &[&Leaf]) -> (ClientCertificate, Arc<AtomicUsize>) {
    let certificates: Vec<_> = leaves.iter().map(|leaf| of(leaf)).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let certificate = ClientCertificate::asked(move || {
        let at = counter.fetch_add(1, Ordering::SeqCst).min(certificates.len() - 1);
        Ok::<_, FetchError>(certificates[at].clone())
    });
    (certificate, asked)
}

/// A validator whose way out shows nothing of itself.
fn asking(authority: &Authority, host: &Host, certificate: ClientCertificate) -> Validator {
    let auth = ClientAuth::with_certificate("api", certificate);
    assert!(!format!("{auth:?}").contains("PRIVATE") && format!("{auth:?}").contains("tls_client_auth"));
    let [only, _] = authority.trusted();
    let trusted = Issuer::introspect(A, Introspection::at(host.secure_url(), auth));
    Validator::builder(API).trust(trusted).fetch(Arc::new(only)).build().unwrap()
}

fn judge(validator: &Validator, token: &str) -> Result<(), Rejection> {
    let nothing = Requirement::from(ScopePolicy::none());
    block_on(validator.validate(&Credentials::bearer(token), &nothing)).map(drop)
}

const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
const INVALID_CLIENT: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 26\r\n\r\n\
                              {\"error\":\"invalid_client\"}";

#[test]
fn the_issuer_that_is_asked_sees_its_certificate_and_no_other_does() {
    let authority = Authority::new();
    let (ours, others) = (authority.leaf(|_| {}), authority.leaf(|_| {}));
    for version in [&version::TLS13, &version::TLS12] {
        let host = server(&authority, version, believing(&ours, REFUSED));
        assert!(judge(&asking(&authority, &host, of(&ours)), "a").is_ok());
        let rejection = judge(&asking(&authority, &host, of(&others)), "a").unwrap_err();
        assert_eq!(rejection.reason(), Reason::IntrospectionUnavailable);
        assert!(words(&rejection).contains("does not accept this program's credentials"), "{rejection:?}");
    }
    // Two issuers of one validator, over one way out.
    let hosts = [&ours, &others].map(|leaf| server(&authority, &version::TLS13, believing(leaf, REFUSED)));
    let [fetch, _] = authority.trusted();
    let at = |host: &Host, leaf| Introspection::at(host.secure_url(), ClientAuth::with_certificate("api", of(leaf)));
    let validator = Validator::builder(API)
        .trust(Issuer::introspect(A, at(&hosts[0], &ours).opaque_prefix("a")))
        .trust(Issuer::introspect("https://b.example.test", at(&hosts[1], &others).opaque_prefix("b")))
        .fetch(Arc::new(fetch))
        .build()
        .unwrap();
    assert!(judge(&validator, "a").is_ok());
    // It is the other's answer, which names the first one: nothing but the certificate is believed of it.
    assert_eq!(judge(&validator, "b").unwrap_err().reason(), Reason::UntrustedIssuer);
    // A way out's own is not shown where the issuer has one.
    let fetch = ReqwestFetch::new().trust_only(authority.pem().as_bytes()).unwrap();
    let fetch = fetch.client_certificate(others.pem().as_bytes()).unwrap();
    let trusted = Issuer::introspect(A, at(&hosts[0], &ours));
    let validator = Validator::builder(API).trust(trusted).fetch(Arc::new(fetch)).build().unwrap();
    assert!(judge(&validator, "a").is_ok());
}

#[test]
fn fault_row_26_a_rotated_certificate_costs_no_failed_request() {
    let (authority, strangers) = (Authority::new(), Authority::named("another authority"));
    let new = authority.leaf(|_| {});
    for version in [&version::TLS13, &version::TLS12] {
        for (old, answer) in [
            (authority.leaf(|_| {}), REFUSED),
            (authority.leaf(|_| {}), INVALID_CLIENT),
            // The handshake fails.
            (strangers.leaf(|_| {}), "nothing"),
        ] {
            let host = server(&authority, version, believing(&new, answer));
            let (certificate, asked) = vault(&[&old, &new]);
            let validator = asking(&authority, &host, certificate);
            assert_eq!(asked.load(Ordering::SeqCst), 0, "it is asked when it is needed");
            assert!(judge(&validator, "a").is_ok(), "{answer}");
            assert!(judge(&validator, "b").is_ok(), "{answer}");
            assert_eq!((asked.load(Ordering::SeqCst), host.connections()), (2, 3), "{answer}");
        }
    }
}

#[test]
fn a_certificate_that_stays_refused_is_asked_for_once_more_for_each_question() {
    let (authority, strangers) = (Authority::new(), Authority::named("another authority"));
    for version in [&version::TLS13, &version::TLS12] {
        let wrong = strangers.leaf(|_| {});
        let host = server(&authority, version, |_| ok(ACTIVE));
        let (certificate, asked) = vault(&[&wrong]);
        let validator = asking(&authority, &host, certificate);
        for question in 1..=2 {
            let rejection = judge(&validator, &question.to_string()).unwrap_err();
            assert_eq!(rejection.reason(), Reason::IntrospectionUnavailable);
            let said = TlsProblem::ClientCertificate.to_string();
            assert!(words(&rejection).contains(&said), "{rejection:?}");
            assert!(!words(&rejection).contains("PRIVATE"));
            assert_eq!((asked.load(Ordering::SeqCst), host.requests().len()), (question + 1, 0));
        }
        // A value is what it is.
        let host = server(&authority, version, |_| ok(ACTIVE));
        assert!(judge(&asking(&authority, &host, of(&wrong)), "a").is_err());
        assert_eq!(host.connections(), 1);
    }
}

#[test]
fn a_callback_for_a_certificate_that_fails_is_503_and_heals() {
    let authority = Authority::new();
    let ours = authority.leaf(|_| {});
    let host = server(&authority, &version::TLS13, believing(&ours, REFUSED));
    let given = Arc::new(Mutex::new(None));
    let gives = Arc::clone(&given);
    let certificate = ClientCertificate::asked(move || gives.lock().unwrap().clone().ok_or("the vault is sealed"));
    let validator = asking(&authority, &host, certificate);
    let rejection = judge(&validator, "a").unwrap_err();
    assert!(words(&rejection).contains("the vault is sealed"), "{rejection:?}");
    assert_eq!(host.connections(), 0);
    *given.lock().unwrap() = Some(of(&ours));
    assert!(judge(&validator, "a").is_ok());
}

#[test]
fn what_is_no_certificate_with_its_key_is_refused_and_not_shown() {
    let authority = Authority::new();
    let leaf = authority.leaf(|_| {});
    for bad in [String::new(), "x".to_owned(), leaf.certificate.pem(), leaf.pem().replace("PRIVATE", "PUBLIC")] {
        let error = ClientCertificate::from_pem(bad.as_bytes()).unwrap_err();
        assert_eq!(error.setting(), "client_certificate");
        assert!(!words(&error).contains(leaf.pem().lines().nth(1).unwrap()));
    }
    assert_eq!(format!("{:?}", of(&leaf)), "ClientCertificate(..)");
}
