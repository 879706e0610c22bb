//! What can stand in the way of a secure connection.

use std::fmt;

/// Why there was no secure connection, as far as it can be told; part of [`FetchError::Tls`](crate::FetchError::Tls).
///
/// ```
/// use scopegate::TlsProblem;
/// assert_eq!(TlsProblem::Expired.to_string(), "its certificate has expired");
/// assert_ne!(TlsProblem::Expired, TlsProblem::NotYetValid);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsProblem {
    /// The host's certificate has expired, or the clock of this machine is wrong.
    Expired,
    /// The host's certificate is not valid yet, or the clock of this machine is wrong.
    NotYetValid,
    /// The host's certificate is for another name.
    WrongHost,
    /// The host's certificate comes from no authority that is trusted here. It may be self-signed, or the host may leave out
    /// the certificates between its own and the authority's.
    UnknownAuthority,
    /// The host shows a certificate that is an authority's and no host's, as many self-signed ones are.
    AuthorityAsHost,
    /// The host's certificate was revoked.
    Revoked,
    /// The host's certificate cannot be used for another reason, which the source tells.
    UnusableCertificate,
    /// The host asks for a client certificate, or does not accept the one that it was shown.
    ClientCertificate,
    /// The host refused the handshake.
    Refused,
    /// Host and client have no version or cipher in common.
    NothingInCommon,
    /// What answers there is not TLS; often plain HTTP on that port.
    NotTls,
    /// The connection ended in the handshake.
    CutOff,
    /// This side could not be set up; often because the system has no certificates of authorities.
    Setup,
    /// Something else, which the source tells.
    Other,
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet",
            Self::WrongHost => "its certificate is for another name",
            Self::UnknownAuthority => "its certificate comes from no trusted authority",
            Self::AuthorityAsHost => "its certificate is an authority's and no host's (self-signed?)",
            Self::Revoked => "its certificate was revoked",
            Self::UnusableCertificate => "its certificate cannot be used",
            Self::ClientCertificate => "it asks for another client certificate",
            Self::Refused => "it refused the handshake",
            Self::NothingInCommon => "no version or cipher in common",
            Self::NotTls => "it does not speak tls on this port",
            Self::CutOff => "the connection ended in the handshake",
            Self::Setup => "tls could not be set up here",
            Self::Other => "the handshake failed",
        })
    }
}
