//! A ready way out: HTTP/1.1 over rustls.

mod certificate;
mod failure;
mod resolver;
mod stale;

use std::fmt;
use std::net::IpAddr;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::tls::{Certificate, Identity};

use crate::client_auth::ShownCertificate;
use crate::config_error::ConfigError;
use crate::endpoint::{self, PlainHttp};
use crate::wire::addresses::Addresses;
use crate::wire::fetch::{Fetch, FetchError, FetchLimits, Fetching, Repeatable};
use crate::wire::per_process::PerProcess;
use crate::wire::tls_problem::TlsProblem;
use certificate::{Clients, identity};
pub(crate) use failure::failure;

/// The [`Fetch`] that a validator uses unless it is given another.
///
/// It speaks HTTPS alone, believes the certificates that the operating system trusts, follows no redirect, minds no proxy in
/// the environment, keeps no cookies, offers no compression, and stops reading at the limit. It sends nothing twice, but for a
/// question that a host did not answer because it was closing an idle connection: that one is asked once more, on a fresh
/// connection. Making one does no I/O: the system's certificates are read at the first exchange, on the thread that fetches.
///
/// ```
/// use scopegate::ReqwestFetch;
/// let fetch = ReqwestFetch::new();
/// assert!(fetch.trust_only(b"not a certificate").is_err());
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
pub struct ReqwestFetch {
    plain_http: PlainHttp,
    roots: Roots,
    identity: Option<Identity>,
    /// May connect anywhere.
    free: Client,
    /// Connects to public addresses alone. They are two, so that none uses a connection which the other made.
    confined: Client,
    /// For issuers that are asked with a certificate of their own.
    own: Clients,
}

/// Made once, at the first exchange of a process: its connections are served by tasks, which a forked child does not have. A
/// failure is not kept: the certificates that were missing may be there the next time.
type Client = PerProcess<reqwest::Client>;

enum Roots {
    System,
    SystemAnd(Vec<Certificate>),
    Only(Vec<Certificate>),
}

impl ReqwestFetch {
    /// A way out over HTTPS.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            plain_http: PlainHttp::Refused,
            roots: Roots::System,
            identity: None,
            free: PerProcess::new(),
            confined: PerProcess::new(),
            own: Clients::new(),
        }
    }

    /// Whether plain HTTP will do; [`PlainHttp::Refused`] by default.
    #[must_use]
    pub fn plain_http(self, plain_http: PlainHttp) -> Self {
        Self { plain_http, ..self.unused() }
    }

    /// Trusts these certificate authorities besides those of the operating system: one or more certificates in PEM.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no certificate in it, or one that cannot be read.
    pub fn trust_also(self, pem: &[u8]) -> Result<Self, ConfigError> {
        let roots = Roots::SystemAnd(certificates("trust_also", pem)?);
        Ok(Self { roots, ..self.unused() })
    }

    /// Trusts these certificate authorities and no other: one or more certificates in PEM.
    ///
    /// Those of the operating system are then not even read, which makes the first exchange faster.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no certificate in it, or one that cannot be read.
    pub fn trust_only(self, pem: &[u8]) -> Result<Self, ConfigError> {
        let roots = Roots::Only(certificates("trust_only", pem)?);
        Ok(Self { roots, ..self.unused() })
    }

    /// Shows this certificate to a host that asks for one (mutual TLS): the certificate, those between it and its authority,
    /// and the private key, in PEM and in any order.
    ///
    /// None by default. Hosts of issuers that a resolver names do not see it, unless they may lie at private addresses
    /// ([`DangerousTenants::allow_private_addresses`](crate::DangerousTenants::allow_private_addresses)). An issuer that is asked with
    /// a certificate of its own ([`ClientAuth::with_certificate`](crate::ClientAuth::with_certificate)) sees that one.
    ///
    /// # Errors
    /// [`ConfigError`] if a certificate or a private key is missing or cannot be read, or if they do not belong together. It
    /// does not show them.
    pub fn client_certificate(self, pem: &[u8]) -> Result<Self, ConfigError> {
        Ok(Self { identity: Some(identity(pem)?), ..self.unused() })
    }

    /// Without the clients, which were made with the settings of their time.
    fn unused(self) -> Self {
        Self { free: PerProcess::new(), confined: PerProcess::new(), own: Clients::new(), ..self }
    }

    async fn exchange(
        &self,
        request: http::Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<http::Response<Bytes>, FetchError> {
        if let Some(problem) = endpoint::problem(request.uri(), self.plain_http) {
            return Err(FetchError::NotAllowed { problem });
        }
        // RFC 9110 s9.2.2.
        let is_repeatable = request.method().is_idempotent() || request.extensions().get::<Repeatable>().is_some();
        let client = self.client_for(request.extensions().get(), limits).await?;
        let request = reqwest::Request::try_from(request)
            .map_err(|_| FetchError::NotAllowed { problem: "is no URL to the client that would ask it" })?;
        // No resolver is asked for these.
        if let Some(address) = literal(request.url()).filter(|address| !limits.addresses.allow(*address)) {
            return Err(FetchError::PrivateAddress { address });
        }
        let mut answer = stale::send(&client, request, is_repeatable).await.map_err(|error| failure(error, limits))?;
        let announced = answer.content_length().map(|announced| usize::try_from(announced).unwrap_or(usize::MAX));
        if announced.is_some_and(|announced| announced > limits.body) {
            return Err(FetchError::TooLarge { limit: limits.body });
        }
        // All at once: what grows is there twice while it does. Where nothing is announced, what is not filled is given back.
        let mut body = Vec::with_capacity(announced.unwrap_or(limits.body).min(MOST_RESERVED));
        while let Some(chunk) = answer.chunk().await.map_err(|error| failure(error, limits))? {
            if body.len().saturating_add(chunk.len()) > limits.body {
                return Err(FetchError::TooLarge { limit: limits.body });
            }
            body.extend_from_slice(&chunk);
        }
        body.shrink_to_fit();
        let mut response = http::Response::new(Bytes::from(body));
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }

    async fn client_for(
        &self,
        shown: Option<&ShownCertificate>,
        limits: FetchLimits,
    ) -> Result<reqwest::Client, FetchError> {
        let process = process::id();
        let setup = |source| FetchError::Tls { problem: TlsProblem::Setup, source };
        let identity = self.shown_to(limits.addresses);
        let client = match (shown, limits.addresses) {
            (Some(ShownCertificate::This(pem)), addresses) => {
                let begun = || self.begun(limits, None);
                return self.own.get_or_make(process, pem, addresses, begun).await.map_err(setup);
            }
            (Some(ShownCertificate::OfTheFetch), Addresses::Public) if self.identity.is_some() => {
                return Err(FetchError::NotAllowed { problem: NOT_SHOWN });
            }
            (_, Addresses::Any) => &self.free,
            (_, Addresses::Public) => &self.confined,
        };
        if let Some(client) = client.get(process) {
            return Ok(client.clone());
        }
        let made = self.begun(limits, identity.cloned()).build().map_err(|error| setup(Arc::new(error)))?;
        Ok(client.get_or_make(process, || made.clone()).clone())
    }

    /// The client certificate for hosts at such addresses. Those that somebody else may name are confined to public ones, and whoever
    /// may name a host is no friend who should learn which program this is.
    const fn shown_to(&self, addresses: Addresses) -> Option<&Identity> {
        match addresses {
            Addresses::Any => self.identity.as_ref(),
            Addresses::Public => None,
        }
    }

    /// What is left to do takes its time.
    fn begun(&self, limits: FetchLimits, identity: Option<Identity>) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("scopegate/", env!("CARGO_PKG_VERSION")))
            .https_only(self.plain_http == PlainHttp::Refused)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(limits.connect)
            .connector_layer(stale::Watch)
            // Long enough for a metadata document and the keys it points to, too short for a connection to go stale.
            .pool_idle_timeout(Duration::from_secs(10))
            // As many as questions about tokens may be open at a time, unless it is set higher.
            .pool_max_idle_per_host(256);
        let builder = match &self.roots {
            Roots::System => builder,
            Roots::SystemAnd(roots) => builder.tls_certs_merge(roots.iter().cloned()),
            Roots::Only(roots) => builder.tls_certs_only(roots.iter().cloned()),
        };
        let builder = match identity {
            Some(identity) => builder.identity(identity),
            None => builder,
        };
        match limits.addresses {
            Addresses::Any => builder,
            confined @ Addresses::Public => builder.dns_resolver(resolver::Filtered(confined)),
        }
    }
}

impl Default for ReqwestFetch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ReqwestFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestFetch").field("plain_http", &self.plain_http).finish_non_exhaustive()
    }
}

/// The connect limit of the first exchange holds for all, since a client is made with it; the total limit is each exchange's
/// own.
impl Fetch for ReqwestFetch {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        let exchange = self.exchange(request, limits);
        // Around everything: resolving, connecting, the handshake, a second try and the last byte of the body.
        Box::pin(async move {
            let timely = tokio::time::timeout(limits.total, exchange).await;
            timely.unwrap_or(Err(FetchError::TimedOut(limits.total)))
        })
    }
}

const NOT_SHOWN: &str = "is one that a resolver named, which is not shown the certificate of ReqwestFetch: \
                         give the issuer its own with ClientAuth::with_certificate";

/// What is reserved for a body before any of it has come, whatever is announced.
const MOST_RESERVED: usize = 512 * 1024;

fn certificates(setting: &'static str, pem: &[u8]) -> Result<Vec<Certificate>, ConfigError> {
    let problem = "is not a list of certificates in PEM";
    let found = Certificate::from_pem_bundle(pem).map_err(|error| ConfigError::Unusable {
        setting,
        problem,
        source: Arc::new(error),
    })?;
    if found.is_empty() { Err(ConfigError::Missing { setting, problem: "holds no certificate" }) } else { Ok(found) }
}

/// The address that stands in the URL itself, as the client reads it: `127.1`, `0x7f000001` and `2130706433` are addresses too.
fn literal(url: &reqwest::Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

#[cfg(test)]
#[path = "reqwest/tests.rs"]
mod tests;
