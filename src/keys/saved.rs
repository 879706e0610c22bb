//! Key sets written down, so that a restart can serve while the issuer is down.
//!
//! Whoever can write such a document can mint tokens, so:
//!
//! 1. It is sealed with a MAC under the operator's secret, and the seal is checked over every byte before any of it is read.
//! 2. The key of the MAC is derived from that secret under a label of its own. A token that was signed with the same secret is
//!    no seal, and a seal is no token's signature.
//! 3. What it holds is never younger than it was when it was written.
//! 4. Keys serve the issuer that they were fetched for, and only if they would be fetched from the same place today: an operator
//!    who moves an issuer may do so because its old place is not to be believed any more.
//!
//! The form is text: a line with the version and the seal, a line with the time, and a line for each issuer. All that others wrote
//! is base64url, so nothing needs escaping and the key set is byte for byte what the issuer sent.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::config_error::ConfigError;
use crate::issuer_id::IssuerId;
use crate::jose::base64url;
use crate::jose::crypto::Seal;
use crate::jose::key_set::KeySet;

/// The first word of a document of this version.
const VERSION: &str = "scopegate-keys-1";
const LABEL: &[u8] = b"scopegate saved keys, version 1";
/// The longest document that is read: some thousands of issuers with sets of usual size.
pub(crate) const LONGEST: usize = 64 * 1024 * 1024;
/// The longest body, below its line with the seal.
const LONGEST_BODY: usize = LONGEST - 1024;
/// How far ahead of this computer's clock a document may have been written. Beyond, its age cannot be known.
const AHEAD: Duration = Duration::from_secs(30);

/// The operator's secret under which saved keys are sealed: at least 32 bytes of randomness, and used for nothing else.
///
/// ```
/// use scopegate::{RestoreError, SavedKeys, SealingSecret};
/// let secret = SealingSecret::new([7; 32])?; // from where your secrets are kept
/// assert!(SealingSecret::new("a password").is_err());
/// assert!(matches!(SavedKeys::open(b"scopegate-keys-1 AAAA\n", &secret), Err(RestoreError::NotSealed)));
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SealingSecret(Seal);

impl SealingSecret {
    /// A secret of these bytes.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if there are fewer than 32 of them.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        const SHORTEST: usize = 32;
        let bytes = bytes.as_ref();
        if bytes.len() < SHORTEST {
            let length = format!("{} bytes", bytes.len());
            return Err(ConfigError::invalid("sealing secret", length, "shorter than 32 bytes"));
        }
        Ok(Self(Seal::derived(bytes, LABEL)))
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingSecret(..)")
    }
}

/// Why saved keys do not serve.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It was not sealed with this secret: it was tampered with, cut, sealed with another secret, or is something else.
    #[error("the document is not sealed with this secret")]
    NotSealed,
    /// It was sealed by another version of this crate, which writes it otherwise.
    #[error("the document is of another version")]
    OtherVersion,
    /// It is longer than any that is written.
    #[error("the document is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It was written ahead of this computer's clock, so nobody knows how old it is.
    #[error("the document was written {ahead:?} ahead of this computer's clock")]
    FromTheFuture {
        /// How far ahead.
        ahead: Duration,
    },
    /// The keys are older than keys may become.
    #[error("the keys are {age:?} old, and keys may become {limit:?} old")]
    Stale {
        /// How old they are.
        age: Duration,
        /// How old they may become.
        limit: Duration,
    },
    /// They are of an issuer that is not trusted, or is asked for its keys at another place.
    #[error("the keys are of an issuer that is not trusted, or lies elsewhere")]
    Foreign,
    /// There is no usable key in the set.
    #[error("the saved key set has no usable key")]
    NoUsableKey,
    /// The file could not be read or written.
    #[error("the file of saved keys could not be read")]
    File {
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl RestoreError {
    /// Whether there is no such file: the first start of a program is no trouble.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::File { source } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn file(error: io::Error) -> Self {
        Self::File { source: Arc::new(error) }
    }
}

/// Key sets that were saved, with their age. Opened from a sealed document, and given to
/// [`ValidatorBuilder::restore`](crate::ValidatorBuilder::restore).
#[derive(Clone)]
pub struct SavedKeys {
    saved_at: i64,
    /// When a validator took them over, and their ages were last told by the wall clock alone.
    taken_at: Option<Timestamp>,
    /// By their issuers, since a name that a token claims is looked for here.
    sets: BTreeMap<IssuerId, SavedSet>,
}

/// The keys of one issuer, as they are written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedSet {
    pub(crate) issuer: IssuerId,
    /// Where its keys are looked for: by its metadata, or at a URL.
    pub(crate) source: String,
    /// How old they are.
    pub(crate) age: Duration,
    /// The key set as the issuer wrote it.
    pub(crate) document: Bytes,
}

/// Keys that may serve.
pub(crate) struct RestoredSet {
    pub(crate) keys: KeySet,
    pub(crate) age: Duration,
    pub(crate) document: Bytes,
}

impl SavedKeys {
    /// Opens a document that was sealed with this secret.
    ///
    /// # Errors
    /// [`RestoreError`] if the seal does not hold, or the document is of another version or too long.
    pub fn open(document: &[u8], secret: &SealingSecret) -> Result<Self, RestoreError> {
        if document.len() > LONGEST {
            return Err(RestoreError::TooLarge { limit: LONGEST });
        }
        let text = std::str::from_utf8(document).map_err(|_| RestoreError::NotSealed)?;
        let (head, body) = text.split_once('\n').ok_or(RestoreError::NotSealed)?;
        let (version, seal) = head.split_once(' ').ok_or(RestoreError::NotSealed)?;
        let seal = base64url::decode(seal.as_bytes()).ok_or(RestoreError::NotSealed)?;
        if version != VERSION {
            return Err(RestoreError::OtherVersion);
        }
        // Invariant 1.
        if !secret.0.holds(body.as_bytes(), &seal) {
            return Err(RestoreError::NotSealed);
        }
        // What was sealed was written below, so it can be read.
        Self::read(body).ok_or(RestoreError::OtherVersion)
    }

    fn read(body: &str) -> Option<Self> {
        let mut lines = body.strip_suffix('\n')?.split('\n');
        let saved_at = lines.next()?.parse().ok()?;
        let mut sets = BTreeMap::new();
        for line in lines {
            let set = SavedSet::read(line)?;
            // Of two the first counts: what was in use is written before what was left.
            sets.entry(set.issuer.clone()).or_insert(set);
        }
        Some(Self { saved_at, taken_at: None, sets })
    }

    /// Writes key sets down.
    pub(crate) fn seal(sets: impl IntoIterator<Item = SavedSet>, now: Timestamp, secret: &SealingSecret) -> Vec<u8> {
        let mut body = format!("{}\n", now.unix_millis());
        for set in sets {
            let line = set.line();
            // What would make it too long to be read again is left out, so that one issuer's set of keys costs no other its own.
            if body.len().saturating_add(line.len()) <= LONGEST_BODY {
                body.push_str(&line);
            }
        }
        let seal = base64url::encode(&secret.0.over(body.as_bytes()));
        format!("{VERSION} {seal}\n{body}").into_bytes()
    }

    /// Takes out what is there of an issuer; `None` if there is nothing.
    pub(crate) fn take(
        &mut self,
        issuer: &IssuerId,
        source: &str,
        now: Timestamp,
        max_stale: Duration,
    ) -> Option<Result<RestoredSet, RestoreError>> {
        let set = self.sets.remove(issuer)?;
        Some(self.judge(set, source, now, max_stale))
    }

    fn judge(&self, set: SavedSet, source: &str, now: Timestamp, limit: Duration) -> Result<RestoredSet, RestoreError> {
        // Invariant 4.
        if set.source != source {
            return Err(RestoreError::Foreign);
        }
        // Invariant 3.
        let age = set.age.saturating_add(self.passed(now)?);
        if age > limit {
            return Err(RestoreError::Stale { age, limit });
        }
        let keys = KeySet::from_json(&set.document).map_err(|_| RestoreError::NoUsableKey)?;
        if keys.keys().is_empty() {
            return Err(RestoreError::NoUsableKey);
        }
        Ok(RestoredSet { keys, age, document: set.document })
    }

    /// How long ago it was written; from when a validator took it over by whichever clock says longer, so that a wall clock
    /// which is set back makes nothing young.
    fn passed(&self, now: Timestamp) -> Result<Duration, RestoreError> {
        let (then, since) = self.taken_at.map_or((now, Duration::ZERO), |taken| (taken, now.since(taken)));
        let passed = then.unix_millis().saturating_sub(self.saved_at);
        let ahead = Duration::from_millis(u64::try_from(passed.saturating_neg()).unwrap_or(0));
        if ahead > AHEAD {
            return Err(RestoreError::FromTheFuture { ahead });
        }
        Ok(Duration::from_millis(u64::try_from(passed).unwrap_or(0)).saturating_add(since))
    }

    /// A validator takes them over.
    pub(crate) fn taken(mut self, now: Timestamp) -> Self {
        self.taken_at = Some(now);
        self
    }

    /// What nobody has asked for yet and may still serve, as old as it is, to be written down again.
    pub(crate) fn left(&self, now: Timestamp, limit: Duration) -> impl Iterator<Item = SavedSet> {
        let passed = self.passed(now).unwrap_or(Duration::MAX);
        let aged = move |set: &SavedSet| SavedSet { age: set.age.saturating_add(passed), ..set.clone() };
        self.sets.values().map(aged).filter(move |set| set.age <= limit)
    }

    /// Drops what is there of an issuer. Says whether there was something.
    pub(crate) fn remove(&mut self, issuer: &str) -> bool {
        self.sets.remove(issuer).is_some()
    }

    /// Whether there is something of an issuer.
    pub(crate) fn has(&self, issuer: &str) -> bool {
        self.sets.contains_key(issuer)
    }

    /// Whose keys are left.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &IssuerId> {
        self.sets.keys()
    }
}

impl SavedSet {
    fn line(&self) -> String {
        let age = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        let words = [
            base64url::encode(self.issuer.as_str().as_bytes()),
            base64url::encode(self.source.as_bytes()),
            age.to_string(),
            base64url::encode(&self.document),
        ];
        words.join(" ") + "\n"
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let text = |word: &str| String::from_utf8(base64url::decode(word.as_bytes())?).ok();
        let set = Self {
            issuer: IssuerId::new(&text(words.next()?)?),
            source: text(words.next()?)?,
            age: Duration::from_millis(words.next()?.parse().ok()?),
            document: base64url::decode(words.next()?.as_bytes())?.into(),
        };
        words.next().is_none().then_some(set)
    }
}

impl fmt::Debug for SavedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedKeys").field("issuers", &self.issuers().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "saved/tests.rs"]
mod tests;
