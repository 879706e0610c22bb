//! The way out: one trait with one method.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// How a validator reaches its issuers.
///
/// The `reqwest` feature brings a ready one, which is the default. Write your own to go through a sidecar, a proxy or a test
/// double. An implementation follows no redirect, uses no proxy that was not asked for, keeps to the [`FetchLimits`], and does
/// not judge the answer: the status, the content type and the body are judged by the caller.
pub trait Fetch: fmt::Debug + Send + Sync {
    /// Sends one request and reads the whole answer.
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetching<'_>;
}

/// An answer on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, FetchError>> + Send + 'a>>;

/// What one exchange may cost.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FetchLimits {
    /// How long a connection may take to stand, TLS included.
    pub connect: Duration,
    /// How long the whole exchange may take.
    pub total: Duration,
    /// How many bytes the body may have.
    pub body: usize,
}

/// Why the issuer could not be asked, or why its answer does not count. The operator's news, never the client's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The exchange took longer than its limit.
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
}
