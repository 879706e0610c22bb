//! Tokens whose signature held, remembered with the key that it held by.
//!
//! 1. Facts lie here, never verdicts: what a route demands, what was denied and what an issuer says is asked each time.
//! 2. An entry is found by every byte of the token.
//! 3. It serves only while the very key that proved it is among those that its issuer has, and under the very settings by which it
//!    was judged.
//! 4. It is as old as its proof, by whichever clock says longer, and ends with the token at the latest; the token's own times are judged
//!    each time besides.
//! 5. Nothing enters whose signature and claims did not hold, so that junk never makes a good token leave. One of which its issuer has
//!    the last word enters before that word has come: it says nothing of the proof, and is asked each time.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::cache::{Bounded, Bounds, Equivalent};
use crate::clock::Timestamp;
use crate::jose::key_set::Witness;
use crate::jose::known_headers::KnownHeaders;
use crate::token::{AccessToken, SharedToken};

/// What an entry takes beside its token and the claims, with the counts of threads that use it at once.
const OVERHEAD: usize = 1_280;

/// Whose token it is, what has proven it, and how long that may count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// The number of the issuer, and of the settings under which the token was judged.
    pub(crate) issuer: u64,
    pub(crate) witness: Witness,
    /// Until the token's end, as it was when it was proven: a wall clock that is set back gives it no more.
    pub(crate) lasts: Duration,
}

/// A token's octets. They are never shown.
#[derive(PartialEq, Eq)]
struct Text(Box<[u8]>);

/// The same, borrowed.
struct Octets<'t>(&'t [u8]);

/// So many octets at the end of a token are hashed: it ends with its signature, and no two that hold have that in common. Whatever the
/// hash says, the tokens are compared in full.
const HASHED: usize = 64;

impl Hash for Octets<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let start = self.0.len().saturating_sub(HASHED);
        state.write(self.0.get(start..).unwrap_or_default());
        state.write_usize(self.0.len());
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Octets(&self.0).hash(state);
    }
}

impl Equivalent<Text> for Octets<'_> {
    fn equivalent(&self, text: &Text) -> bool {
        *self.0 == *text.0
    }
}

/// What a signature has proven, and when.
pub(crate) struct Proven {
    pub(crate) token: SharedToken,
    pub(crate) evidence: Evidence,
    at: Timestamp,
}

impl Proven {
    /// Whether the token has not come to its end since, by whichever clock says longer.
    pub(crate) fn lasts(&self, now: Timestamp) -> bool {
        now.since(self.at) < self.evidence.lasts
    }
}

/// The memory of one validator.
pub(crate) struct TokenCache {
    /// `None` if nothing is to be remembered.
    proven: Option<Bounded<Text, Proven>>,
    life: Duration,
    /// Known to be headers of tokens that enter, also where none is remembered.
    pub(crate) headers: KnownHeaders,
}

impl TokenCache {
    /// Of so many tokens, each for so long.
    pub(crate) fn new(bounds: Bounds, life: Duration) -> Self {
        let size = |text: &Text, proven: &Proven| {
            text.0.len().saturating_add(proven.token.get().stated().size()).saturating_add(OVERHEAD)
        };
        let is_off = life.is_zero() || bounds.entries == 0 || bounds.bytes == 0;
        Self { proven: (!is_off).then(|| Bounded::new(bounds, size)), life, headers: KnownHeaders::default() }
    }

    /// One that remembers nothing.
    pub(crate) fn nothing() -> Self {
        Self::new(Bounds { entries: 0, bytes: 0 }, Duration::ZERO)
    }

    /// What is read of what was proven of a token.
    pub(crate) fn recall<R>(
        &self,
        octets: &[u8],
        now: Timestamp,
        read: impl FnOnce(&Proven) -> Option<R>,
    ) -> Option<R> {
        let is_young = |proven: &Proven| now.since(proven.at) < self.life;
        self.proven.as_ref()?.find(&Octets(octets), |proven| if is_young(proven) { read(proven) } else { None })
    }

    /// Remembers what was proven of a token just now.
    pub(crate) fn remember(&self, octets: &[u8], token: &AccessToken, evidence: Evidence, now: Timestamp) {
        self.headers.keep(octets);
        if let Some(proven) = &self.proven {
            proven.insert(Text(octets.into()), Proven { token: SharedToken::new(token.clone()), evidence, at: now });
        }
    }
}

#[cfg(test)]
#[path = "token_cache/tests.rs"]
mod tests;
