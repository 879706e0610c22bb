//! A ready way out: HTTP/1.1 over rustls.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::tls::Certificate;

use crate::config_error::ConfigError;
use crate::endpoint::{self, PlainHttp};
use crate::wire::fetch::{Fetch, FetchError, FetchLimits, Fetching};

/// The [`Fetch`] that a validator uses unless it is given another.
///
/// It speaks HTTPS alone, believes the certificates that the operating system trusts, follows no redirect, minds no proxy in
/// the environment, keeps no cookies, offers no compression, sends nothing twice, and stops reading at the limit. Making one
/// does no I/O: the system's certificates are read at the first exchange, on the thread that fetches.
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
    /// Made once, at the first exchange; a failure is as lasting as a client.
    client: OnceLock<Result<reqwest::Client, Arc<dyn Error + Send + Sync>>>,
}

enum Roots {
    System,
    SystemAnd(Vec<Certificate>),
    Only(Vec<Certificate>),
}

impl ReqwestFetch {
    /// A way out over HTTPS.
    #[must_use]
    pub const fn new() -> Self {
        Self { plain_http: PlainHttp::Refused, roots: Roots::System, client: OnceLock::new() }
    }

    /// Whether plain HTTP will do; [`PlainHttp::Refused`] by default.
    #[must_use]
    pub fn plain_http(self, plain_http: PlainHttp) -> Self {
        Self { plain_http, client: OnceLock::new(), ..self }
    }

    /// Trusts these certificate authorities besides those of the operating system: one or more certificates in PEM.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no certificate in it, or one that cannot be read.
    pub fn trust_also(self, pem: &[u8]) -> Result<Self, ConfigError> {
        let roots = Roots::SystemAnd(certificates("trust_also", pem)?);
        Ok(Self { roots, client: OnceLock::new(), ..self })
    }

    /// Trusts these certificate authorities and no other: one or more certificates in PEM.
    ///
    /// Those of the operating system are then not even read, which makes the first exchange faster.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no certificate in it, or one that cannot be read.
    pub fn trust_only(self, pem: &[u8]) -> Result<Self, ConfigError> {
        let roots = Roots::Only(certificates("trust_only", pem)?);
        Ok(Self { roots, client: OnceLock::new(), ..self })
    }

    async fn exchange(
        &self,
        request: http::Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<http::Response<Bytes>, FetchError> {
        if let Some(problem) = endpoint::problem(request.uri(), self.plain_http) {
            return Err(FetchError::NotAllowed { problem });
        }
        let client = self.client.get_or_init(|| self.client(limits.connect));
        let client = client.as_ref().map_err(|source| FetchError::Tls { source: Arc::clone(source) })?;
        let mut request = reqwest::Request::try_from(request).map_err(FetchError::other)?;
        *request.timeout_mut() = Some(limits.total);
        let mut answer = client.execute(request).await.map_err(|error| failure(error, limits))?;
        if answer
            .content_length()
            .is_some_and(|announced| usize::try_from(announced).map_or(true, |long| long > limits.body))
        {
            return Err(FetchError::TooLarge { limit: limits.body });
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failure(error, limits))? {
            if body.len().saturating_add(chunk.len()) > limits.body {
                return Err(FetchError::TooLarge { limit: limits.body });
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }

    fn client(&self, connect: Duration) -> Result<reqwest::Client, Arc<dyn Error + Send + Sync>> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("scopegate/", env!("CARGO_PKG_VERSION")))
            .https_only(self.plain_http == PlainHttp::Refused)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(connect)
            // Long enough for a metadata document and the keys it points to, too short for a connection to go stale.
            .pool_idle_timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(1);
        let builder = match &self.roots {
            Roots::System => builder,
            Roots::SystemAnd(roots) => builder.tls_certs_merge(roots.iter().cloned()),
            Roots::Only(roots) => builder.tls_certs_only(roots.iter().cloned()),
        };
        builder.build().map_err(|error| Arc::from(Box::<dyn Error + Send + Sync>::from(error)))
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
        Box::pin(self.exchange(request, limits))
    }
}

fn certificates(setting: &'static str, pem: &[u8]) -> Result<Vec<Certificate>, ConfigError> {
    let problem = "is not a list of certificates in PEM";
    let found = Certificate::from_pem_bundle(pem).map_err(|error| ConfigError::Unusable {
        setting,
        problem,
        source: Arc::new(error),
    })?;
    if found.is_empty() { Err(ConfigError::Missing { setting, problem: "holds no certificate" }) } else { Ok(found) }
}

/// What kind of failure it is, so that an operator knows where to look.
fn failure(error: reqwest::Error, limits: FetchLimits) -> FetchError {
    if error.is_timeout() {
        return FetchError::TimedOut(if error.is_connect() { limits.connect } else { limits.total });
    }
    let (unresolved, connect, tls) = (error.is_dns(), error.is_connect(), is_tls(&error));
    // The address is known to whoever asked, and may hold a tenant's name.
    let source: Arc<dyn Error + Send + Sync> = Arc::new(error.without_url());
    if unresolved {
        FetchError::Unresolved { source }
    } else if connect && tls {
        FetchError::Tls { source }
    } else if connect {
        FetchError::Unreachable { source }
    } else {
        FetchError::Cut { source }
    }
}

/// A handshake fails as "invalid data" among the causes, or as an end of file; a connection that is refused as neither.
fn is_tls(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |cause| inner(*cause)).any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(io, Some(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof))
    })
}

/// The next cause. An [`io::Error`] that wraps an error passes over it in its own `source`.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
