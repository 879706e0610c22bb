//! TLS that fails, against hosts with certificates of an authority that the test makes.

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion, WantsVerifier, version};
use scopegate::{FetchError, ReqwestFetch, TlsProblem};

use super::host::{Host, again, fetch_with, limits, ok, until_closed};

/// An authority that exists for one test.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// A certificate and its key.
pub(super) struct Leaf {
    pub(super) certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::named("the test's authority")
    }

    pub(super) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { der: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// A good certificate for 127.0.0.1, but for what is changed in it.
    pub(super) fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Leaf { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    pub(super) fn trusted(&self) -> [ReqwestFetch; 2] {
        let pem = self.pem.as_bytes();
        [ReqwestFetch::new().trust_only(pem).unwrap(), ReqwestFetch::new().trust_also(pem).unwrap()]
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A host that asks for a certificate of this authority.
    pub(super) fn asking(&self, leaf: &Leaf, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder(versions)
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![leaf.certificate.der().clone()], leaf.private())
            .unwrap()
    }
}

impl Leaf {
    fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }

    pub(super) fn config(&self) -> ServerConfig {
        builder(rustls::ALL_VERSIONS)
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], self.private())
            .unwrap()
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem() + &self.key.serialize_pem()
    }
}

fn builder(versions: &[&'static SupportedProtocolVersion]) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap()
}

/// The host is asked once, hears no request, and the failure says what was wrong and nothing about the path.
fn refused(fetch: &ReqwestFetch, host: &Host, expected: TlsProblem) {
    let error = fetch_with(fetch, &host.secure_url(), limits()).unwrap_err();
    let FetchError::Tls { problem, .. } = &error else { panic!("{expected:?}: {error:?}") };
    assert_eq!(*problem, expected, "{error:?}");
    assert!(error.source().is_some());
    assert_eq!(error.to_string(), format!("no secure connection to the host (tls): {expected}"));
    assert!(!format!("{error:?}").contains("keys?v=1"), "{error:?}");
    assert_eq!((host.connections(), host.requests()), (1, vec![]), "{expected:?}");
}

#[test]
fn a_host_with_a_certificate_of_a_trusted_authority_is_asked() {
    let authority = Authority::new();
    let leaf = authority.leaf(|_| {});
    for (asked, fetch) in authority.trusted().iter().enumerate() {
        let host = Host::secure(leaf.config(), ok("{}"));
        assert_eq!(fetch_with(fetch, &host.secure_url(), limits()).unwrap().body(), "{}", "{asked}");
        assert!(host.requests()[0].starts_with("GET /keys?v=1 HTTP/1.1\r\n"));
    }
}

#[test]
fn row_f19_fault_row_23_a_certificate_that_does_not_hold_is_told_by_what_is_wrong_with_it() {
    let authority = Authority::new();
    let wrong = [
        (
            authority.leaf(|params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2020, 1, 2);
            }),
            TlsProblem::Expired,
        ),
        (authority.leaf(|params| params.not_before = date_time_ymd(4000, 1, 1)), TlsProblem::NotYetValid),
        (
            authority.leaf(|params| {
                *params = CertificateParams::new(vec!["elsewhere.example".to_owned(), "127.0.0.2".to_owned()]).unwrap();
            }),
            TlsProblem::WrongHost,
        ),
        (Authority::named("another authority").leaf(|_| {}), TlsProblem::UnknownAuthority),
        // The name of the authority is the trusted one's; its key is not.
        (Authority::new().leaf(|_| {}), TlsProblem::UnknownAuthority),
        (Leaf::self_signed(|_| {}), TlsProblem::UnknownAuthority),
        (
            Leaf::self_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            TlsProblem::AuthorityAsHost,
        ),
        (
            authority.leaf(|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]),
            TlsProblem::UnusableCertificate,
        ),
    ];
    for (leaf, expected) in wrong {
        for fetch in authority.trusted() {
            refused(&fetch, &Host::secure(leaf.config(), ok("{}")), expected);
        }
    }
}

/// What the operating system trusts is trusted, and a certificate of a test is not among it.
#[test]
fn row_f19_an_authority_that_nobody_named_is_not_trusted() {
    let leaf = Authority::new().leaf(|_| {});
    let host = Host::secure(leaf.config(), ok("{}"));
    let error = fetch_with(&ReqwestFetch::new(), &host.secure_url(), limits()).unwrap_err();
    assert!(matches!(error, FetchError::Tls { .. }), "{error:?}");
    assert!(host.requests().is_empty());
}

#[test]
fn row_f19_a_handshake_that_fails_is_told_by_how_it_fails() {
    let authority = Authority::new();
    let mut h2 = authority.leaf(|_| {}).config();
    h2.alpn_protocols = vec![b"h2".to_vec()];
    refused(&authority.trusted()[0], &Host::secure(h2, ok("{}")), TlsProblem::Refused);

    const PROTOCOL_VERSION: &[u8] = &[0x15, 0x03, 0x03, 0, 2, 2, 70];
    const INTERNAL_ERROR: &[u8] = &[0x15, 0x03, 0x03, 0, 2, 2, 80];
    const HALF_A_SERVER_HELLO: &[u8] = &[0x16, 0x03, 0x03, 0, 0x7A, 2, 0, 0, 0x76];
    for (said, expected) in [
        (ok("{}").as_bytes(), TlsProblem::NotTls),
        (b"HTTP/1.1 400 The plain HTTP request was sent to HTTPS port\r\n\r\n", TlsProblem::NotTls),
        (b"SSH-2.0-x\r\n", TlsProblem::NotTls),
        (b"220 mail.example ESMTP\r\n", TlsProblem::NotTls),
        (PROTOCOL_VERSION, TlsProblem::NothingInCommon),
        (INTERNAL_ERROR, TlsProblem::Refused),
        (HALF_A_SERVER_HELLO, TlsProblem::CutOff),
        (b"", TlsProblem::CutOff),
    ] {
        let said = said.to_vec();
        let host = Host::raw(move |stream, _, heard| {
            let mut hello = [0; 4096];
            let read = stream.read(&mut hello).unwrap_or(0);
            let _ = stream.write_all(&said);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut sent = hello[..read].to_vec();
            let _ = stream.read_to_end(&mut sent);
            // All that this host is ever sent is the beginning of a handshake.
            if sent.windows(4).any(|window| window == b"keys") {
                heard.lock().unwrap().push(String::from_utf8_lossy(&sent).into_owned());
            }
        });
        refused(&authority.trusted()[0], &host, expected);
    }

    // Closed with the beginning of the handshake unread, the connection is reset.
    let reset = Host::raw(|stream, _, _| drop(stream.read(&mut [0; 1])));
    refused(&authority.trusted()[0], &reset, TlsProblem::CutOff);
}

#[test]
fn row_f01_a_redirect_from_https_to_http_is_not_followed() {
    let authority = Authority::new();
    let target = Host::saying(ok("{}"));
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url());
    let host = Host::secure(authority.leaf(|_| {}).config(), redirect);
    let fetch = authority.trusted().into_iter().next().unwrap().plain_http(scopegate::PlainHttp::OnLoopback);
    assert_eq!(fetch_with(&fetch, &host.secure_url(), limits()).unwrap().status(), 302);
    assert_eq!((host.connections(), target.connections()), (1, 0));
}

#[test]
fn row_f08_a_body_without_length_that_ends_without_a_word_is_cut() {
    let authority = Authority::new();
    let config = Arc::new(authority.leaf(|_| {}).config());
    // TLS has a word for the end (RFC 8446 s6.1). Anybody on the way can end the connection without it.
    let host = Host::raw(move |stream, _, heard| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, stream);
        let _ = super::host::hear(&mut tls, heard);
        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}");
        let _ = tls.flush();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        until_closed(stream);
    });
    let error = fetch_with(&authority.trusted()[0], &host.secure_url(), limits()).unwrap_err();
    assert!(matches!(error, FetchError::Cut { .. }), "{error:?}");
}

#[test]
fn a_host_that_asks_for_a_client_certificate_answers_to_the_one_it_trusts() {
    let authority = Authority::new();
    let server = authority.leaf(|_| {});
    for version in [&version::TLS13, &version::TLS12] {
        let trusting = || ReqwestFetch::new().trust_only(authority.pem.as_bytes()).unwrap();
        let host = || Host::secure(authority.asking(&server, &[version]), ok("{}"));

        let mine = authority.leaf(|_| {}).pem();
        let fetch = trusting().client_certificate(mine.as_bytes()).unwrap();
        let accepting = host();
        assert_eq!(fetch_with(&fetch, &accepting.secure_url(), limits()).unwrap().body(), "{}");
        assert_eq!(accepting.requests().len(), 1);

        refused(&trusting(), &host(), TlsProblem::ClientCertificate);
        let strangers = Authority::named("another authority").leaf(|_| {}).pem();
        let fetch = trusting().client_certificate(strangers.as_bytes()).unwrap();
        refused(&fetch, &host(), TlsProblem::ClientCertificate);
        let expired = authority.leaf(|params| params.not_after = date_time_ymd(2020, 1, 2)).pem();
        let fetch = trusting().client_certificate(expired.as_bytes()).unwrap();
        refused(&fetch, &host(), TlsProblem::ClientCertificate);
    }
}

/// A setting that is made later does not undo one that was made before.
#[test]
fn settings_add_up_in_any_order() {
    let authority = Authority::new();
    let mine = authority.leaf(|_| {}).pem();
    let fetch = ReqwestFetch::new().client_certificate(mine.as_bytes()).unwrap();
    let fetch = fetch.trust_only(authority.pem.as_bytes()).unwrap().plain_http(scopegate::PlainHttp::OnLoopback);
    let host = Host::secure(authority.asking(&authority.leaf(|_| {}), rustls::ALL_VERSIONS), ok("{}"));
    assert!(fetch_with(&fetch, &host.secure_url(), limits()).is_ok());
    assert!(fetch_with(&fetch, &Host::saying(ok("{}")).url(), limits()).is_ok());
}

#[test]
fn certificates_are_read_when_they_are_given() {
    for bad in [&b""[..], b"x", b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"] {
        assert_eq!(ReqwestFetch::new().trust_only(bad).unwrap_err().setting(), "trust_only");
        assert_eq!(ReqwestFetch::new().trust_also(bad).unwrap_err().setting(), "trust_also");
        assert_eq!(ReqwestFetch::new().client_certificate(bad).unwrap_err().setting(), "client_certificate");
    }
}

#[test]
fn a_client_certificate_comes_with_its_own_key_and_is_never_shown() {
    let authority = Authority::new();
    let (one, other) = (authority.leaf(|_| {}), authority.leaf(|_| {}));
    let (certificate, key) = (one.certificate.pem(), one.key.serialize_pem());
    for pem in
        [format!("{certificate}{key}"), format!("{key}{certificate}"), format!("{certificate}{}{key}", authority.pem)]
    {
        let fetch = ReqwestFetch::new().client_certificate(pem.as_bytes()).unwrap();
        let secret = key.lines().nth(1).unwrap();
        assert!(!format!("{fetch:?}").contains(secret) && !format!("{fetch:#?}").contains("PRIVATE"));
    }
    for pem in [certificate.clone(), key, format!("{certificate}{}", other.key.serialize_pem())] {
        let error = ReqwestFetch::new().client_certificate(pem.as_bytes()).unwrap_err();
        let secret = pem.lines().nth(1).unwrap();
        assert!(error.source().is_some() && !format!("{error:?} {error}").contains(secret), "{error:?}");
    }
}

/// What a container without certificates of authorities looks like, until somebody mounts them; on other systems they are not
/// in files. A failure to set up is not kept.
#[cfg(target_os = "linux")]
#[test]
fn a_machine_that_trusts_nobody_is_told_from_a_host_that_is_not_trusted_and_may_learn_to_trust() {
    const TARGET: &str = "SCOPEGATE_TEST_UNTRUSTED";
    if let Ok(target) = std::env::var(TARGET) {
        let fetch = ReqwestFetch::new();
        let error = fetch_with(&fetch, &target, limits()).unwrap_err();
        assert!(matches!(error, FetchError::Tls { problem: TlsProblem::Setup, .. }), "{error:?}");
        let [authorities, pem] = ["SSL_CERT_FILE", "SCOPEGATE_TEST_AUTHORITY"].map(|name| std::env::var(name).unwrap());
        std::fs::write(authorities, pem).unwrap();
        assert_eq!(fetch_with(&fetch, &target, limits()).unwrap().body(), "{}");
        return;
    }
    let authority = Authority::new();
    let host = Host::secure(authority.leaf(|_| {}).config(), ok("{}"));
    let file = std::env::temp_dir().join(format!("scopegate-it-authorities-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let variables = [
        (TARGET, &*host.secure_url()),
        ("SSL_CERT_FILE", file.to_str().unwrap()),
        ("SSL_CERT_DIR", "/dev/null"),
        ("SCOPEGATE_TEST_AUTHORITY", &authority.pem),
    ];
    let test = "a_machine_that_trusts_nobody_is_told_from_a_host_that_is_not_trusted_and_may_learn_to_trust";
    again(&format!("wire::tls::{test}"), &variables);
    std::fs::remove_file(file).unwrap();
    assert_eq!(host.connections(), 1);
}
