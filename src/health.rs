//! How the keys are: for probes, status pages and alarms.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;

/// How the keys of every trusted issuer are. Made by [`Validator::health`](crate::Validator::health).
///
/// ```
/// use scopegate::{Issuer, KeySet, KeyState, Validator};
/// let validator = Validator::builder("https://api.example.com")
///     .trust(Issuer::keys("https://id.example.com", KeySet::from_json(br#"{"keys":[]}"#)?))
///     .build()?;
/// let health = validator.health();
/// assert_eq!(health.issuer("https://id.example.com").map(|issuer| issuer.state), Some(KeyState::NeverLoaded));
/// assert!(!health.is_ready());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Health {
    issuers: Vec<IssuerHealth>,
    configured: usize,
}

impl Health {
    /// The first `configured` were trusted by name; those after them were resolved.
    pub(crate) const fn new(issuers: Vec<IssuerHealth>, configured: usize) -> Self {
        Self { issuers, configured }
    }

    /// Every issuer: those that were trusted by name in that order, and then those that were resolved.
    #[must_use]
    pub fn issuers(&self) -> &[IssuerHealth] {
        &self.issuers
    }

    /// The issuer of this identifier.
    #[must_use]
    pub fn issuer(&self, identifier: &str) -> Option<&IssuerHealth> {
        self.issuers.iter().find(|issuer| issuer.issuer.as_str() == identifier)
    }

    /// Whether tokens of every issuer that was trusted by name can be judged. Issuers that were resolved do not count: one
    /// tenant's trouble must not take a program out of service.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().take(self.configured).all(|issuer| issuer.state.is_usable())
    }
}

/// How the keys of one issuer are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuerHealth {
    /// Which one.
    pub issuer: IssuerId,
    /// How its keys are.
    pub state: KeyState,
    /// How long ago the issuer last vouched for them; `None` for keys that the program hands over, and where there are none.
    pub age: Option<Duration>,
    /// The keys, and those that were left out and why.
    pub keys: KeySet,
    /// What went wrong the last time, if nothing has gone well since.
    pub last_error: Option<Arc<dyn Error + Send + Sync>>,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// How soon the issuer is asked again, if nothing else makes it asked earlier; zero while it is being asked. `None` where
    /// nothing is ever asked, or nothing has been yet.
    pub next_try: Option<Duration>,
}

/// How keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// There have never been any.
    NeverLoaded,
    /// The issuer has vouched for them within their lifetime. Keys that the program hands over always are.
    Fresh,
    /// They are older than their lifetime, and serve on: the issuer could not be asked.
    Stale,
    /// They are older than the hard limit, and serve no longer.
    Expired,
    /// None are needed: the issuer is asked about each token (RFC 7662).
    NotNeeded,
}

impl KeyState {
    /// A stable word for logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NeverLoaded => "never_loaded",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
            Self::NotNeeded => "not_needed",
        }
    }

    /// Whether tokens are judged by them, or need none.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Fresh | Self::Stale | Self::NotNeeded)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
