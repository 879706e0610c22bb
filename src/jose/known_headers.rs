//! Headers that were read of late, so that they are not read again: those of one issuer's tokens are alike, octet for octet.
//!
//! 1. A header is found by every octet of its segment, and what is found is what [`Header::of`] made of that very text: to look here
//!    changes what a token costs, and nothing that is said of it.
//! 2. There are few, so that a look is short. One that is not among them takes the place of another seldom, so that an issuer
//!    whose headers differ from token to token does not make the others' leave all the time.
//! 3. Readers take no lock, and write nothing that others read.
//!
//! Whoever [keeps](KnownHeaders::keep) one sees to it that the token's signature held: else strangers could fill it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwap;
use memchr::memchr;

use crate::jose::compact::Header;

/// So many are known at most: a few issuers with two keys each.
const AT_MOST: usize = 4;
/// No longer segment is kept, in characters: a `kid` of the greatest length fits.
const LONGEST: usize = 512;
/// Once there is no room, one of so many that are to be kept is.
const SELDOM: usize = 16;

/// The headers that are known.
#[derive(Default)]
pub(crate) struct KnownHeaders {
    known: ArcSwap<Vec<Arc<Known>>>,
    /// How many were to be kept when there was no room.
    strange: AtomicUsize,
}

struct Known {
    /// In base64url, as the token has it.
    segment: Box<[u8]>,
    header: Header,
}

impl Known {
    fn is(&self, segment: &[u8]) -> bool {
        *self.segment == *segment
    }
}

impl KnownHeaders {
    /// What the segment says, if it is known.
    pub(crate) fn find(&self, segment: &[u8]) -> Option<Header> {
        self.known.load().iter().find(|known| known.is(segment)).map(|known| known.header.clone())
    }

    /// Keeps the header of a token whose signature held.
    pub(crate) fn keep(&self, token: &[u8]) {
        let segment = memchr(b'.', token).and_then(|dot| token.get(..dot)).unwrap_or_default();
        let known = self.known.load();
        if segment.len() > LONGEST || known.iter().any(|known| known.is(segment)) {
            return;
        }
        if known.len() >= AT_MOST && !self.strange.fetch_add(1, Relaxed).is_multiple_of(SELDOM) {
            return;
        }
        let Ok(header) = Header::of(segment) else { return };
        let stay = known.iter().skip(known.len().saturating_sub(AT_MOST - 1)).map(Arc::clone);
        let new = Arc::new(Known { segment: segment.into(), header });
        // Where two threads do this at once one of the headers is lost, and is kept when it comes again.
        self.known.store(Arc::new(stay.chain([new]).collect()));
    }
}

#[cfg(test)]
#[path = "known_headers/tests.rs"]
mod tests;
