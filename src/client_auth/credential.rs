//! What a client proves itself by: a value, or a callback that is asked for it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::config_error::ConfigError;
use crate::jose::algorithm::Algorithm;
use crate::jose::base64url;
use crate::jose::crypto::sha256;
use crate::jose::crypto::signing::PrivateKey;
use crate::reason::Cause;

/// A client's secret, or its token: a value or a callback. It is never shown, and wiped from memory when it is dropped.
#[derive(Clone)]
pub struct ClientSecret(pub(super) Source<Zeroizing<String>>);

impl ClientSecret {
    /// This secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Source::Value(Arc::new(Zeroizing::new(secret.into()))))
    }

    /// A secret that the program is asked for when it is first needed, and again once when the server answers 401, or 400 with
    /// `invalid_client`.
    ///
    /// The callback runs on a thread of its own and may take its time: a request that needs it waits no longer than its deadline.
    /// It must come back: while one does not, its issuer is not asked, and 16 of tenants that do not hold up those of all other tenants.
    /// Spaces and line ends around the secret are left out, so that a file may be read as it is.
    #[must_use]
    pub fn asked<E: Into<Box<dyn Error + Send + Sync>>>(
        ask: impl Fn() -> Result<String, E> + Send + Sync + 'static,
    ) -> Self {
        let ask = move || {
            let secret = Zeroizing::new(ask().map_err(|error| Cause::from(error.into()))?);
            let trimmed = secret.trim();
            if trimmed.is_empty() {
                return Err(Cause::from(Box::<dyn Error + Send + Sync>::from("the callback gave an empty secret")));
            }
            Ok(Arc::new(Zeroizing::new(trimmed.to_owned())))
        };
        Self(Source::Asked(Arc::new(ask)))
    }
}

impl From<&str> for ClientSecret {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl From<String> for ClientSecret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// A client's private key for `private_key_jwt`: a value or a callback. It is never shown.
#[derive(Clone)]
pub struct ClientKey(pub(super) Source<Signing>);

impl ClientKey {
    /// The private key in an unencrypted PKCS#8 document (RFC 5958) in PEM, the algorithm that it signs with, and the `kid` under
    /// which the server knows it, if it has one.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if it is no such key for that algorithm. It does not show it.
    pub fn from_pem(algorithm: Algorithm, pem: &str, kid: Option<&str>) -> Result<Self, ConfigError> {
        let pkcs8 = unwrap_pem(pem).ok_or_else(|| unusable(algorithm, "is not one PRIVATE KEY in PEM"))?;
        Self::from_pkcs8(algorithm, &pkcs8, kid)
    }

    /// The same from the document in DER.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if it is no such key for that algorithm. It does not show it.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8], kid: Option<&str>) -> Result<Self, ConfigError> {
        let key = PrivateKey::from_pkcs8(algorithm, pkcs8)
            .map_err(|_| unusable(algorithm, "is not a PKCS#8 private key for it"))?;
        let kid = kid.map(Into::into);
        Ok(Self(Source::Value(Arc::new(Signing { key, algorithm, kid, made_of: sha256(pkcs8) }))))
    }

    /// A key that the program is asked for when it is first needed, and again once when the server answers 401, or 400 with
    /// `invalid_client`.
    ///
    /// The callback runs on a thread of its own and may take its time: a request that needs it waits no longer than its deadline.
    /// It must come back: while one does not, its issuer is not asked, and 16 of tenants that do not hold up those of all other tenants.
    #[must_use]
    pub fn asked<E: Into<Box<dyn Error + Send + Sync>>>(
        ask: impl Fn() -> Result<Self, E> + Send + Sync + 'static,
    ) -> Self {
        let ask = move || {
            let key: Self = ask().map_err(|error| Cause::from(error.into()))?;
            key.0.obtain()
        };
        Self(Source::Asked(Arc::new(ask)))
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(..)")
    }
}

/// A client's certificate and its private key, for mutual TLS (RFC 8705 s2): a value or a callback. It is never shown to anybody but the
/// issuer that is asked with it, and its text is wiped from memory when it is dropped; the TLS library has a copy as long as it is used.
///
/// [`from_pem`](Self::from_pem) is there with the feature `reqwest`, whose [`ReqwestFetch`](crate::ReqwestFetch) shows it.
#[derive(Clone)]
pub struct ClientCertificate(pub(super) Source<Pem>);

impl ClientCertificate {
    /// One that can be used.
    #[cfg(feature = "reqwest")]
    pub(crate) fn of(pem: &[u8]) -> Self {
        Self(Source::Value(Arc::new(Pem::new(pem.to_vec()))))
    }

    /// A certificate that the program is asked for when it is first needed, and again once when the server refuses this one: in the
    /// handshake, or with 401, or 400 and `invalid_client`.
    ///
    /// The callback runs on a thread of its own and may take its time: a request that needs it waits no longer than its deadline.
    /// It must come back: while one does not, its issuer is not asked, and 16 of tenants that do not hold up those of all other tenants.
    #[must_use]
    pub fn asked<E: Into<Box<dyn Error + Send + Sync>>>(
        ask: impl Fn() -> Result<Self, E> + Send + Sync + 'static,
    ) -> Self {
        let ask = move || {
            let certificate: Self = ask().map_err(|error| Cause::from(error.into()))?;
            certificate.0.obtain()
        };
        Self(Source::Asked(Arc::new(ask)))
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

/// A certificate, those between it and its authority, and the private key, in PEM.
pub(crate) type Pem = Zeroizing<Vec<u8>>;

/// Stands in the extensions of a request: which certificate its connection is to show.
#[derive(Clone)]
#[cfg_attr(not(feature = "reqwest"), expect(dead_code, reason = "a way out of the program's own shows its own"))]
pub(crate) enum ShownCertificate {
    OfTheFetch,
    This(Arc<Pem>),
}

/// What a client proves itself by, at hand. It is wiped when it is dropped.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The connection proves it.
    None,
    Secret(Arc<Zeroizing<String>>),
    Key(Arc<Signing>),
    Certificate(Arc<Pem>),
}

/// A value, or somebody who is asked for it.
pub(super) enum Source<T> {
    Value(Arc<T>),
    Asked(Ask<T>),
}

type Ask<T> = Arc<dyn Fn() -> Result<Arc<T>, Cause> + Send + Sync>;

impl<T> Source<T> {
    pub(super) fn at_hand(&self) -> Option<Arc<T>> {
        match self {
            Self::Value(value) => Some(Arc::clone(value)),
            Self::Asked(_) => None,
        }
    }

    pub(super) fn obtain(&self) -> Result<Arc<T>, Cause> {
        match self {
            Self::Value(value) => Ok(Arc::clone(value)),
            Self::Asked(ask) => ask(),
        }
    }
}

/// Values by what they are, callbacks by which they are: what one will say is not known.
impl<T: PartialEq> PartialEq for Source<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(one), Self::Value(other)) => one == other,
            (Self::Asked(one), Self::Asked(other)) => Arc::ptr_eq(one, other),
            (Self::Value(_), Self::Asked(_)) | (Self::Asked(_), Self::Value(_)) => false,
        }
    }
}

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(Arc::clone(value)),
            Self::Asked(ask) => Self::Asked(Arc::clone(ask)),
        }
    }
}

/// A private key, and how it is used.
pub(crate) struct Signing {
    pub(super) key: PrivateKey,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Box<str>>,
    /// The hash of the document that it was made of.
    made_of: [u8; 32],
}

impl PartialEq for Signing {
    fn eq(&self, other: &Self) -> bool {
        (self.algorithm, &self.kid, self.made_of) == (other.algorithm, &other.kid, other.made_of)
    }
}

fn unusable(algorithm: Algorithm, problem: &'static str) -> ConfigError {
    ConfigError::invalid("private_key_jwt", algorithm.name(), problem)
}

/// RFC 7468 s10: the octets of the one private key in the text.
fn unwrap_pem(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, after) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, rest) = after.split_once("-----END PRIVATE KEY-----")?;
    if rest.contains("-----BEGIN PRIVATE KEY-----") {
        return None;
    }
    let text: Zeroizing<Vec<u8>> = Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    base64url::decode_with_padding(&text).map(Zeroizing::new)
}
