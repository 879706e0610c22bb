//! The way out: one trait with one method, and how an answer is judged.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_TYPE, DATE, ETAG, EXPIRES, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::clock::Timestamp;
use crate::issuer_id::IssuerId;
use crate::keys::refresh::as_long_as_is_sane;
use crate::observe::Spared;
use crate::wire::addresses::Addresses;
use crate::wire::tls_problem::TlsProblem;

/// How a validator reaches its issuers.
///
/// The `reqwest` feature brings a ready one, which is the default. Write your own to go through a sidecar, a proxy or a test
/// double. It runs on the thread that serves all issuers of a validator, and must not block it: wrap a client that blocks in a
/// thread of its own. An implementation follows no redirect, uses no proxy that was not asked for, keeps to the [`FetchLimits`], and does
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
    /// Which addresses may be connected to, judged where the connection is made and not by the name.
    pub addresses: Addresses,
}

/// 2 s to connect, 5 s in all, 512 KiB, any address.
impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            total: Duration::from_secs(5),
            body: 512 * 1024,
            addresses: Addresses::Any,
        }
    }
}

/// Why the issuer could not be asked, or why its answer does not count. The operator's news, never the client's.
///
/// It never holds the body of an answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is one that may not be asked; nothing was sent.
    #[error("the url {problem}")]
    NotAllowed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The host's name could not be resolved.
    #[error("the host name could not be resolved")]
    Unresolved {
        /// What the resolver said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The host's address is none that may be connected to ([`Addresses::Public`]); nothing was sent.
    #[error("the host's address {address} is not public, and is not connected to")]
    PrivateAddress {
        /// The address, or the first if there are several.
        address: IpAddr,
    },
    /// No connection could be made.
    #[error("no connection to the host")]
    Unreachable {
        /// What the network said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// No secure connection could be agreed on. A host that could not prove who it is was sent nothing.
    #[error("no secure connection to the host (tls): {problem}")]
    Tls {
        /// What stands in the way.
        problem: TlsProblem,
        /// What was found wrong, in detail.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The exchange took longer than its limit.
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    /// The connection ended, or stopped to speak HTTP, before the answer was complete.
    #[error("the connection broke off before the answer was complete")]
    Cut {
        /// What the network said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The answer points elsewhere. No redirect is followed: it could lead to keys of somebody else.
    #[error("a redirect (status {status}), which is not followed")]
    Redirected {
        /// The status of the answer.
        status: StatusCode,
    },
    /// The answer is not a success.
    #[error("unexpected status {status}")]
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// How long the host asks to be left alone, between 1 s and 1 h.
        retry_after: Option<Duration>,
    },
    /// The answer does not say that it is JSON.
    #[error("unexpected content type {found:?}")]
    ContentType {
        /// The beginning of what it says, escaped; empty if it says nothing.
        found: String,
    },
    /// The body is longer than the limit.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer came whole, and is not the document that was asked for.
    #[error("{problem}")]
    Unusable {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The issuer was not asked about the token, to spare it, or us.
    #[error("the issuer was not asked: {}", .why.problem())]
    Spared {
        /// Why not.
        why: Spared,
    },
    /// The issuer does not believe that this program is who it says (RFC 6749 s5.2, `invalid_client`).
    #[error("the issuer does not accept this program's credentials (status {status})")]
    ClientRefused {
        /// The status of the answer.
        status: StatusCode,
        /// How long the host asks to be left alone, between 1 s and 1 h.
        retry_after: Option<Duration>,
    },
    /// The callback of a [`ClientSecret`](crate::ClientSecret), a [`ClientKey`](crate::ClientKey) or a
    /// [`ClientCertificate`](crate::ClientCertificate) had nothing to give.
    #[error("there is no secret to ask the issuer with")]
    NoClientSecret {
        /// What the callback said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The keys of one of several issuers could not be had.
    #[error("no keys of the issuer {issuer}")]
    Issuer {
        /// The issuer.
        issuer: IssuerId,
        /// Why.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// It could not be found out what it takes to ask an issuer about tokens (RFC 7662): where, or as whom.
    #[error("the issuer {issuer} cannot be asked about tokens")]
    Introspection {
        /// The issuer.
        issuer: IssuerId,
        /// Why.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A [`Fetch`] that does not belong to this crate failed in a way of its own.
    #[error("the fetch failed")]
    Other {
        /// Why.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl FetchError {
    /// The failure of a [`Fetch`] of your own, where no other kind fits.
    ///
    /// ```
    /// use std::error::Error;
    /// let error = scopegate::FetchError::other("the sidecar is not there");
    /// assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("the sidecar is not there"));
    /// assert_eq!(error.retry_after(), None);
    /// ```
    pub fn other(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other { source: Arc::from(source.into()) }
    }

    /// A stable word for the kind of failure, for logs and metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } => "not_allowed",
            Self::PrivateAddress { .. } => "private_address",
            Self::Unresolved { .. } => "unresolved",
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::TimedOut(_) => "timed_out",
            Self::Cut { .. } => "cut",
            Self::Redirected { .. } => "redirected",
            Self::Status { .. } => "status",
            Self::ContentType { .. } => "content_type",
            Self::TooLarge { .. } => "too_large",
            Self::Unusable { .. } => "unusable",
            Self::Spared { why } => why.label(),
            Self::ClientRefused { .. } => "client_refused",
            Self::NoClientSecret { .. } => "no_client_secret",
            Self::Issuer { .. } => "issuer",
            Self::Introspection { .. } => "introspection",
            Self::Other { .. } => "other",
        }
    }

    /// How long the host asks to be left alone, between 1 s and 1 h.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::ClientRefused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Stands in the extensions of a request that may be sent twice, whatever its method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeatable;

/// The body of an answer that may be read: 200, JSON, no longer than the limit. It was asked for at that time.
pub(crate) fn judge(
    response: http::Response<Bytes>,
    limits: FetchLimits,
    asked: Timestamp,
) -> Result<Bytes, FetchError> {
    judge_as(response, limits, asked, is_json)
}

/// The same for another media type, which is told without its parameters.
pub(crate) fn judge_as(
    response: http::Response<Bytes>,
    limits: FetchLimits,
    asked: Timestamp,
    is_meant: impl FnOnce(&str) -> bool,
) -> Result<Bytes, FetchError> {
    let status = response.status();
    // 304 is no redirect. Whoever asked a question that it answers has looked before.
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        return Err(FetchError::Redirected { status });
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status { status, retry_after: retry_after(response.headers(), asked) });
    }
    let content_type = response.headers().get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let essence = std::str::from_utf8(content_type).ok().and_then(|text| text.split(';').next()).unwrap_or_default();
    if !is_meant(essence.trim()) {
        let found =
            content_type.iter().take(64).copied().flat_map(std::ascii::escape_default).map(char::from).collect();
        return Err(FetchError::ContentType { found });
    }
    let body = response.into_body();
    // A `Fetch` that did not keep to the limit gains nothing by it.
    if body.len() > limits.body {
        return Err(FetchError::TooLarge { limit: limits.body });
    }
    Ok(body)
}

/// How long a document may be believed without asking again, where its headers are silent on it.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How long a document may be believed without asking again (RFC 9111 s4.2); `None` where the headers are silent on it.
///
/// `Cache-Control: max-age` less `Age`, else `Expires` less `Date`, kept between 1 min and 1 h. Where the headers are
/// unreadable or forbid to keep the document at all, it is 5 min: an issuer cannot ask to be asked for each token.
pub(crate) fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    const SHORTEST: Duration = Duration::from_secs(60);
    const LONGEST: Duration = Duration::from_secs(60 * 60);
    let age = text(headers, AGE).and_then(seconds).unwrap_or_default();
    let lifetime = match cache_control(headers) {
        CacheControl::MaxAge(max_age) => Some(max_age.saturating_sub(age)),
        CacheControl::Useless => return Some(DEFAULT_LIFETIME),
        CacheControl::Silent => from_date(headers, EXPIRES),
    };
    lifetime.map(|lifetime| lifetime.clamp(SHORTEST, LONGEST))
}

/// Whether a cache on the way kept the answer for a while (RFC 9111 s5.1).
pub(crate) fn is_relayed(headers: &HeaderMap) -> bool {
    text(headers, AGE).and_then(seconds).is_some_and(|age| !age.is_zero())
}

/// Asks for the server's own word: caches on the way are to ask it, whatever they hold (RFC 9111 s5.2.1.4).
pub(crate) fn ask_past_caches(request: &mut http::Request<Bytes>) {
    request.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// By what a document that is at hand is asked for again: answered with 304 if it has not changed (RFC 9110 s13.1).
#[derive(Clone, Debug, Default)]
pub(crate) struct Validators {
    entity_tag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

impl Validators {
    /// Of this answer.
    ///
    /// The date of the last change is of use only where the document was a minute old when it was sent: it counts in seconds,
    /// and a key set can change twice in one (RFC 9110 s8.8.2.2).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        const LONGEST: usize = 1024;
        let short = |name: HeaderName| headers.get(name).filter(|value| value.len() <= LONGEST).cloned();
        let settled = match (date(headers, DATE), date(headers, LAST_MODIFIED)) {
            (Some(sent), Some(changed)) => sent.duration_since(changed).is_ok_and(|age| age.as_secs() >= 60),
            _ => false,
        };
        Self { entity_tag: short(ETAG), last_modified: short(LAST_MODIFIED).filter(|_| settled) }
    }

    /// Makes a request conditional; says whether it is.
    pub(crate) fn ask(&self, request: &mut http::Request<Bytes>) -> bool {
        let headers = request.headers_mut();
        if let Some(entity_tag) = &self.entity_tag {
            headers.insert(IF_NONE_MATCH, entity_tag.clone());
        }
        if let Some(last_modified) = &self.last_modified {
            headers.insert(IF_MODIFIED_SINCE, last_modified.clone());
        }
        self.entity_tag.is_some() || self.last_modified.is_some()
    }
}

enum CacheControl {
    MaxAge(Duration),
    Useless,
    Silent,
}

/// Of several `max-age` the first counts (RFC 9111 s4.2.1).
fn cache_control(headers: &HeaderMap) -> CacheControl {
    let mut found = CacheControl::Silent;
    for value in headers.get_all(CACHE_CONTROL) {
        let Ok(value) = value.to_str() else { return CacheControl::Useless };
        for directive in value.split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return CacheControl::Useless;
            }
            if name.eq_ignore_ascii_case("max-age") && matches!(found, CacheControl::Silent) {
                found = seconds(argument.trim().trim_matches('"')).map_or(CacheControl::Useless, CacheControl::MaxAge);
            }
        }
    }
    found
}

/// How long the host asks to be left alone (RFC 9110 s10.2.3), as far as that is sane.
///
/// A date is measured from the answer's own `Date`, or, where there is none, from when we asked: a little before the answer was
/// received (RFC 9110 s6.6.1). A clock of ours that is wrong then leaves the host alone too long or too short, within the bounds.
pub(crate) fn retry_after(headers: &HeaderMap, asked: Timestamp) -> Option<Duration> {
    if let Some(seconds) = text(headers, RETRY_AFTER).and_then(seconds) {
        return Some(as_long_as_is_sane(seconds));
    }
    let then = date(headers, RETRY_AFTER)?;
    let since_epoch = Duration::from_millis(u64::try_from(asked.unix_millis()).unwrap_or_default());
    let sent = date(headers, DATE).or_else(|| SystemTime::UNIX_EPOCH.checked_add(since_epoch))?;
    Some(as_long_as_is_sane(then.duration_since(sent).unwrap_or_default()))
}

/// `1*DIGIT`; more than can be counted is the most that can be (RFC 9111 s1.2.2).
fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// The time from an answer's own `Date` to the date in another of its headers, so that no clock of ours need be right; none if
/// that date has passed.
fn from_date(headers: &HeaderMap, name: HeaderName) -> Option<Duration> {
    let (sent, then) = (date(headers, DATE)?, date(headers, name)?);
    Some(then.duration_since(sent).unwrap_or_default())
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?).ok()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `application/json`, `application/jwk-set+json` (RFC 7517 s8.5) or any other `application/*+json`.
fn is_json(essence: &str) -> bool {
    let essence = essence.to_ascii_lowercase();
    let Some(subtype) = essence.strip_prefix("application/") else { return false };
    let kind = subtype.strip_suffix("+json").unwrap_or(if subtype == "json" { "json" } else { "" });
    // A name of RFC 6838 s4.2, so that `application/json, text/html` is none.
    !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
}

#[cfg(test)]
#[path = "fetch/tests.rs"]
mod tests;
