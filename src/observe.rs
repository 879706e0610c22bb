//! What an operator may listen to: every judgement, and whatever happens to the keys.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::health::KeyState;
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::reason::Reason;

/// A listener to what a validator does. Given to [`ValidatorBuilder::observe`](crate::ValidatorBuilder::observe).
///
/// Neither a token nor a claim is ever told. A panic in a listener is caught: it changes no answer and stops no fetch.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use scopegate::{Credentials, Issuer, Judged, KeySet, Observe, Requirement, ScopePolicy, Validator};
///
/// #[derive(Debug, Default)]
/// struct Refusals(AtomicU64);
/// impl Observe for Refusals {
///     fn judged(&self, judged: &Judged<'_>) {
///         self.0.fetch_add(u64::from(judged.refused.is_some()), Ordering::Relaxed);
///     }
/// }
///
/// let refusals = std::sync::Arc::new(Refusals::default());
/// let validator = Validator::builder("https://api.example.com")
///     .trust(Issuer::keys("https://id.example.com", KeySet::from_json(br#"{"keys":[]}"#)?))
///     .observe(refusals.clone())
///     .build()?;
/// validator.check(&Credentials::bearer("junk"), &Requirement::from(ScopePolicy::none())).unwrap_err();
/// assert_eq!(refusals.0.load(Ordering::Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Observe: fmt::Debug + Send + Sync {
    /// A request was judged. This runs on the request's own way, each time: count, and leave.
    fn judged(&self, judged: &Judged<'_>) {
        let _ = judged;
    }

    /// Something happened to the keys of an issuer. This runs on a thread of its own, in the order in which it happened: it may
    /// take its time, and where it takes too long some events are [lost](Event::Lost) rather than anything held up.
    fn happened(&self, event: &Event) {
        let _ = event;
    }
}

/// One judgement.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Judged<'a> {
    /// Whose token was accepted. None for a refused one: what it says of itself is not believed.
    pub issuer: Option<&'a IssuerId>,
    /// Why it was refused; `None` if it was accepted.
    pub refused: Option<Reason>,
    /// What an accepted token was accepted by; `None` for a refused one.
    pub basis: Option<Basis>,
    /// How long it took, waiting for the network included.
    pub took: Duration,
}

/// What it took to accept a token. The share of [`Memory`](Self::Memory) is the hit rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Basis {
    /// It was remembered that the signature held, or what the issuer said.
    Memory,
    /// Its signature was verified.
    Signature,
    /// The network was waited for: keys were fetched, an issuer was resolved, or asked about the token.
    Network,
}

impl Basis {
    /// All of them.
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Signature, Self::Network];

    /// The stable name, in snake case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Signature => "signature",
            Self::Network => "network",
        }
    }
}

/// What happened to the keys of an issuer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The issuer is being asked for its keys.
    FetchBegan {
        /// Whose keys.
        issuer: IssuerId,
        /// Why they are fetched.
        cause: FetchCause,
    },
    /// What came of asking.
    FetchEnded {
        /// Whose keys.
        issuer: IssuerId,
        /// Why they were fetched.
        cause: FetchCause,
        /// How long it took.
        took: Duration,
        /// What came of it.
        outcome: FetchOutcome,
    },
    /// The issuer's metadata was to be read again, and could not be. Its keys are asked for where they lay.
    MetadataFailed {
        /// Whose metadata.
        issuer: IssuerId,
        /// What went wrong.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// The keys that tokens are judged by are others than before.
    KeysChanged {
        /// Whose keys.
        issuer: IssuerId,
        /// The keys until now.
        before: KeySet,
        /// The keys from now on, with those that were left out and why.
        after: KeySet,
    },
    /// The keys came of age, were renewed, or may be used no longer.
    StateChanged {
        /// Whose keys.
        issuer: IssuerId,
        /// What they were.
        before: KeyState,
        /// What they are.
        after: KeyState,
    },
    /// Saved keys serve until the issuer has been asked.
    Restored {
        /// Whose keys.
        issuer: IssuerId,
        /// How old they are.
        age: Duration,
        /// The keys.
        keys: KeySet,
    },
    /// Saved keys do not serve.
    RestoreRefused {
        /// Whose keys.
        issuer: IssuerId,
        /// Why not.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// The resolver named an issuer as one to trust.
    IssuerResolved {
        /// Which one.
        issuer: IssuerId,
    },
    /// A resolved issuer made room for another.
    IssuerEvicted {
        /// Which one.
        issuer: IssuerId,
    },
    /// A resolved issuer is trusted no longer: the resolver said so when it was asked again, or the program had it forgotten.
    IssuerWithdrawn {
        /// Which one.
        issuer: IssuerId,
    },
    /// The resolver did not answer as it should: it failed, panicked, took more than 5 s, named another issuer, or gave settings
    /// that do not fit; or there was no room for whom it named.
    ResolverFailed {
        /// What is wrong.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// The keys could not be written to the file that keeps them.
    SaveFailed {
        /// Why not.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// An issuer was asked about a token (RFC 7662). Which one is not told.
    Introspected {
        /// Whom.
        issuer: IssuerId,
        /// How long it took, finding the endpoint and the client's secret included.
        took: Duration,
        /// What came of it.
        outcome: IntrospectionOutcome,
    },
    /// An issuer is not asked about tokens for a while, to spare it or this program. Told at most once a second.
    IntrospectionHalted {
        /// Whom.
        issuer: IssuerId,
        /// Why not.
        why: Spared,
    },
    /// It is asked again, and has been for a second.
    IntrospectionResumed {
        /// Whom.
        issuer: IssuerId,
    },
    /// So many events before this one were not told, because the listener took too long.
    Lost {
        /// How many.
        events: u64,
    },
}

/// Why keys are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchCause {
    /// There are no usable keys, and somebody needs them.
    NoKeys,
    /// The keys have come of age, or the last attempt failed.
    Timed,
    /// A token names a key that is not there.
    UnknownKey,
    /// A token names a key that did not sign it: perhaps the name was given to another key.
    BadSignature,
    /// The program asked.
    Asked,
}

impl FetchCause {
    /// A stable word for logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoKeys => "no_keys",
            Self::Timed => "timed",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Asked => "asked",
        }
    }
}

/// What came of asking for keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FetchOutcome {
    /// Keys, which are in use from now on.
    Fetched,
    /// The word that nothing has changed (304).
    NotModified,
    /// A set without a usable key. The keys at hand stay until it is confirmed.
    Unconfirmed,
    /// An answer to an older question than the keys at hand are the answer to. It changes nothing.
    Late,
    /// Nothing that counts. The keys at hand stay.
    Failed {
        /// A stable word for the kind of failure: the label of a `FetchError`.
        kind: &'static str,
        /// What went wrong.
        error: Arc<dyn Error + Send + Sync>,
        /// When the next try is due.
        next_try: Duration,
    },
}

impl FetchOutcome {
    /// A stable word for logs and metrics: of a failure, its kind.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::NotModified => "not_modified",
            Self::Unconfirmed => "unconfirmed",
            Self::Late => "late",
            Self::Failed { kind, .. } => kind,
        }
    }
}

/// Why an issuer is not asked just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Spared {
    /// As many questions are open as may be.
    InFlight,
    /// It was asked as often in this second as it may be.
    Rate,
    /// It has failed too often of late.
    Breaker,
    /// It asked to be left alone.
    RetryAfter,
}

impl Spared {
    /// A stable word for logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::RetryAfter => "retry_after",
        }
    }

    /// The same in words.
    #[cfg(feature = "driver")]
    pub(crate) const fn problem(self) -> &'static str {
        match self {
            Self::InFlight => "as many questions are open as may be",
            Self::Rate => "it was asked as often as it may be",
            Self::Breaker => "it has failed too often of late",
            Self::RetryAfter => "it asked to be left alone",
        }
    }
}

/// What came of asking an issuer about a token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IntrospectionOutcome {
    /// The token is active, and what the issuer says of it is what an access token for this program says.
    Active,
    /// It is not, or says of itself what no access token for this program says.
    Refused(Reason),
    /// The program had it forgotten while the issuer was asked, so the answer does not count.
    Forgotten,
    /// No answer that counts. Nothing is known of the token.
    Failed {
        /// A stable word for the kind of failure: the label of a `FetchError`.
        kind: &'static str,
        /// What went wrong.
        error: Arc<dyn Error + Send + Sync>,
    },
}

impl IntrospectionOutcome {
    /// A stable word for logs and metrics: of a failure, its kind.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Refused(reason) => reason.label(),
            Self::Forgotten => "forgotten",
            Self::Failed { kind, .. } => kind,
        }
    }
}

/// All who listen to one validator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listeners(Vec<Arc<dyn Observe>>);

impl Listeners {
    pub(crate) fn add(&mut self, listener: Arc<dyn Observe>) {
        self.0.push(listener);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn judged(&self, judged: &Judged<'_>) {
        self.tell(|listener| listener.judged(judged));
    }

    #[cfg(feature = "driver")]
    pub(crate) fn happened(&self, event: &Event) {
        self.tell(|listener| listener.happened(event));
    }

    /// A listener that panics is as if it had not listened. Nothing of ours is shared with it, so nothing can be left half done.
    fn tell(&self, tell: impl Fn(&dyn Observe)) {
        for listener in &self.0 {
            let _ = catch_unwind(AssertUnwindSafe(|| tell(&**listener)));
        }
    }
}
