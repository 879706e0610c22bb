//! What kind of failure it is, so that an operator knows where to look.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error as Tls};

use super::resolver::NotPublic;
use crate::wire::fetch::{FetchError, FetchLimits};
use crate::wire::tls_problem::TlsProblem;

pub(crate) fn failure(error: reqwest::Error, limits: FetchLimits) -> FetchError {
    if error.is_timeout() {
        return FetchError::TimedOut(if error.is_connect() { limits.connect } else { limits.total });
    }
    if let Some(NotPublic(address)) = causes(&error).find_map(|cause| cause.downcast_ref()) {
        return FetchError::PrivateAddress { address: *address };
    }
    let (unresolved, connect, problem) = (error.is_dns(), error.is_connect(), problem(&error));
    // The address is known to whoever asked, and may hold a tenant's name.
    let source: Arc<dyn Error + Send + Sync> = Arc::new(error.without_url());
    match problem {
        _ if unresolved => FetchError::Unresolved { source },
        Some(problem) => FetchError::Tls { problem, source },
        None if connect => FetchError::Unreachable { source },
        None => FetchError::Cut { source },
    }
}

/// What was wrong with the handshake, if it was the handshake.
fn problem(error: &reqwest::Error) -> Option<TlsProblem> {
    let rustls = causes(error).find_map(|cause| cause.downcast_ref());
    if !error.is_connect() {
        // With TLS 1.3 the handshake is over for the client before the host has seen the client's certificate (RFC 8446 s2),
        // so that a word on that one comes instead of an answer.
        return rustls.filter(|rustls| error.is_request() && matches!(rustls, Tls::AlertReceived(_))).map(of_handshake);
    }
    let io = causes(error).filter_map(|cause| cause.downcast_ref().map(io::Error::kind));
    rustls.map(of_handshake).or_else(|| io.into_iter().any(cuts_off).then_some(TlsProblem::CutOff))
}

/// To connect, before the handshake, fails in other ways: refused, unreachable, timed out.
fn cuts_off(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn of_handshake(error: &Tls) -> TlsProblem {
    match error {
        Tls::InvalidCertificate(error) => of_certificate(error),
        Tls::NoCertificatesPresented => TlsProblem::UnusableCertificate,
        Tls::AlertReceived(alert) => of_alert(*alert),
        Tls::InvalidMessage(_) => TlsProblem::NotTls,
        Tls::PeerIncompatible(_) => TlsProblem::NothingInCommon,
        _ => TlsProblem::Other,
    }
}

fn of_certificate(error: &CertificateError) -> TlsProblem {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsProblem::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsProblem::WrongHost,
        // An authority that was made anew has the name of the old one, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UnknownAuthority,
        CertificateError::Revoked => TlsProblem::Revoked,
        // The error of the verifier's own library has no type that rustls passes on.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            TlsProblem::AuthorityAsHost
        }
        _ => TlsProblem::UnusableCertificate,
    }
}

/// What a server says (RFC 8446 s6.2). When it speaks of certificates, it speaks of the client's.
fn of_alert(alert: AlertDescription) -> TlsProblem {
    match alert {
        AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::CertificateRequired => TlsProblem::ClientCertificate,
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => TlsProblem::NothingInCommon,
        _ => TlsProblem::Refused,
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| inner(*cause))
}

/// The next cause. An [`io::Error`] that wraps an error passes over it in its own `source`.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases that no host on loopback can bring about; the others are in `tests/it/wire/tls.rs`.
    #[test]
    fn what_rustls_says_is_told_apart() {
        for (error, problem) in [
            (Tls::InvalidCertificate(CertificateError::Revoked), TlsProblem::Revoked),
            (Tls::InvalidCertificate(CertificateError::BadEncoding), TlsProblem::UnusableCertificate),
            (Tls::InvalidCertificate(CertificateError::Expired), TlsProblem::Expired),
            (Tls::InvalidCertificate(CertificateError::NotValidYet), TlsProblem::NotYetValid),
            (Tls::InvalidCertificate(CertificateError::NotValidForName), TlsProblem::WrongHost),
            (Tls::NoCertificatesPresented, TlsProblem::UnusableCertificate),
            (Tls::AlertReceived(AlertDescription::UnknownCA), TlsProblem::ClientCertificate),
            (Tls::AlertReceived(AlertDescription::HandshakeFailure), TlsProblem::Refused),
            (Tls::AlertReceived(AlertDescription::UnrecognisedName), TlsProblem::Refused),
            (Tls::AlertReceived(AlertDescription::ProtocolVersion), TlsProblem::NothingInCommon),
            (Tls::DecryptError, TlsProblem::Other),
        ] {
            assert_eq!(of_handshake(&error), problem, "{error}");
        }
    }
}
