//! An issuer as the judge and the driver know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::claims::rules::Rules;
#[cfg(feature = "driver")]
use crate::endpoint::{Endpoint, PlainHttp, PrivateAddresses};
use crate::introspection::memory::Standing;
#[cfg(feature = "driver")]
use crate::introspection::setup::Asked;
use crate::jose::algorithm::Algorithms;
use crate::keys::store::KeyStore;

/// What an issuer takes from its validator where it says nothing itself.
#[derive(Clone)]
pub(crate) struct Defaults {
    pub(crate) audiences: Vec<String>,
    pub(crate) leeway: Duration,
    /// How old fetched keys may become.
    #[cfg(feature = "driver")]
    pub(crate) max_stale: Duration,
    /// How many numbers were given to issuers.
    pub(crate) numbers: Arc<AtomicU64>,
}

impl Defaults {
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// What decides about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JudgedBy {
    /// Its signature.
    Keys,
    /// The issuer, which is asked.
    Introspection,
    /// Its signature first, and then the issuer.
    #[cfg(feature = "driver")]
    KeysAndIntrospection,
}

/// An issuer as the judge knows it.
pub(crate) struct TrustedIssuer {
    /// No other issuer of a validator has it, nor has the same one under other settings. Those that are trusted by name have their
    /// places.
    pub(crate) number: u64,
    pub(crate) algorithms: Algorithms,
    pub(crate) judged_by: JudgedBy,
    /// Where it is asked about its tokens.
    pub(crate) standing: Option<Arc<Standing>>,
    #[cfg(feature = "driver")]
    pub(crate) asked: Option<Arc<Asked>>,
    /// What its opaque tokens begin with, if that was said.
    pub(crate) opaque_prefix: Option<Box<str>>,
    pub(crate) keys: Arc<KeyStore>,
    pub(crate) rules: Rules,
    #[cfg(feature = "driver")]
    pub(crate) remote: Option<RemoteKeys>,
}

/// Where keys are fetched from.
#[cfg(feature = "driver")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteKeys {
    pub(crate) place: Place,
    pub(crate) plain_http: PlainHttp,
    pub(crate) addresses: PrivateAddresses,
}

#[cfg(feature = "driver")]
impl RemoteKeys {
    /// Where keys are looked for, in words: saved ones serve only if they came from there.
    pub(crate) fn source(&self) -> String {
        match &self.place {
            Place::Jwks(url) => url.uri().to_string(),
            Place::Discovery => "discovery".to_owned(),
        }
    }
}

#[cfg(feature = "driver")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Jwks(Endpoint),
    /// Where the issuer's metadata says.
    Discovery,
}
