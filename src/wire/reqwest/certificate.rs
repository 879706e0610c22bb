//! Certificates that this program shows (mutual TLS), one for all hosts or one for the questions to one issuer.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::tls::Identity;

use crate::client_auth::{ClientCertificate, Pem};
use crate::config_error::ConfigError;
use crate::wire::addresses::Addresses;
use crate::wire::per_process::PerProcess;

impl ClientCertificate {
    /// The certificate, those between it and its authority, and the private key, in PEM and in any order.
    ///
    /// ```
    /// use scopegate::{ClientAuth, ClientCertificate};
    /// let read = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
    ///     Ok(ClientCertificate::from_pem(&std::fs::read("/run/secrets/introspection.pem")?)?)
    /// };
    /// let rotating = ClientAuth::with_certificate("things-api", ClientCertificate::asked(read));
    /// assert_eq!(ClientCertificate::from_pem(b"no certificate").unwrap_err().setting(), "client_certificate");
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] if a certificate or a private key is missing or cannot be read, or if they do not belong together. It
    /// does not show them.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        identity(pem).map(|_| Self::of(pem))
    }
}

/// What is in the text, if it can be used.
pub(super) fn identity(pem: &[u8]) -> Result<Identity, ConfigError> {
    let unusable = |error| ConfigError::Unusable {
        setting: "client_certificate",
        problem: "is not a certificate and its private key in PEM",
        source: Arc::new(error),
    };
    let identity = Identity::from_pem(pem).map_err(unusable)?;
    // Only a client puts the two together, and the one that is made at the first exchange could tell nobody.
    let tried = reqwest::Client::builder().tls_certs_only([]).identity(identity.clone());
    tried.build().map_err(unusable)?;
    Ok(identity)
}

/// A client for each certificate: a connection belongs to who has shown his on it.
pub(super) struct Clients(PerProcess<Arc<Kept>>);

/// More certificates than this have their clients made anew, which reads the certificates that the system trusts.
const AT_MOST: usize = 64;

#[derive(Default)]
struct Kept {
    made: Mutex<Vec<Made>>,
    /// One is made at a time, which takes a core for some ten milliseconds: whoever waits lets the others go on.
    making: Arc<tokio::sync::Mutex<()>>,
}

struct Made {
    pem: Arc<Pem>,
    addresses: Addresses,
    client: reqwest::Client,
}

type Failure = Arc<dyn Error + Send + Sync>;

impl Clients {
    pub(super) const fn new() -> Self {
        Self(PerProcess::new())
    }

    /// The client that shows this certificate to hosts at such addresses. A certificate that a callback has given once more is the same.
    ///
    /// Where there is none it is made on a thread for what takes its time, and kept also if nobody waits for it any more.
    pub(super) async fn get_or_make(
        &self,
        process: u32,
        pem: &Arc<Pem>,
        addresses: Addresses,
        begun: impl FnOnce() -> reqwest::ClientBuilder,
    ) -> Result<reqwest::Client, Failure> {
        let kept = Arc::clone(self.0.get_or_make(process, Arc::default));
        if let Some(client) = kept.find(pem, addresses) {
            return Ok(client);
        }
        let turn = Arc::clone(&kept.making).lock_owned().await;
        if let Some(client) = kept.find(pem, addresses) {
            return Ok(client);
        }
        let (pem, begun) = (Arc::clone(pem), begun());
        let make = move || -> Result<_, Failure> {
            let _turn = turn;
            let identity = identity(&pem).map_err(|error| -> Failure { Arc::new(error) })?;
            let client = begun.identity(identity).build().map_err(|error| -> Failure { Arc::new(error) })?;
            kept.keep(Made { pem, addresses, client: client.clone() });
            Ok(client)
        };
        tokio::task::spawn_blocking(make).await.map_err(|error| -> Failure { Arc::new(error) })?
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.get(std::process::id()).map_or(0, |kept| kept.made.lock().unwrap().len())
    }
}

impl Kept {
    fn find(&self, pem: &Arc<Pem>, addresses: Addresses) -> Option<reqwest::Client> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let at = made.iter().position(|made| made.addresses == addresses && made.pem == *pem)?;
        // The ones in use stay.
        let client = made.remove(at).client;
        made.push(Made { pem: Arc::clone(pem), addresses, client: client.clone() });
        Some(client)
    }

    fn keep(&self, new: Made) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was renewed has no other holder.
        made.retain(|made| Arc::strong_count(&made.pem) > 1);
        if made.len() >= AT_MOST {
            made.remove(0);
        }
        made.push(new);
    }
}
