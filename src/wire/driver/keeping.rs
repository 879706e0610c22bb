//! Keeps the keys in a file, so that a restart can serve from them.
//!
//! 1. One writes at a time. What changed while it did is written after it.
//! 2. Other keys are written at once; the word that they are still the same, which only makes them younger, once a minute.
//! 3. A file that cannot be written is news, and is tried again a minute later. No request ever waits for it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::key_file::KeyFile;

const AGAIN_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Keeping {
    pub(super) file: KeyFile,
    pending: Pending,
    is_writing: bool,
    /// When it was last begun to write.
    began: Option<Timestamp>,
}

/// What the file does not know yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pending {
    Nothing,
    /// How young the keys are.
    Age,
    /// The keys.
    Keys,
}

impl Keeping {
    pub(super) const fn new(file: KeyFile) -> Self {
        Self { file, pending: Pending::Nothing, is_writing: false, began: None }
    }

    pub(super) fn changed(&mut self, what: Pending) {
        self.pending = self.pending.max(what);
    }

    /// How long until it is time to write; never if `None`.
    pub(super) fn left(&self, now: Timestamp) -> Option<Duration> {
        let waited = self.began.map(|began| now.uptime().saturating_sub(began.uptime()));
        let rest = AGAIN_AFTER.saturating_sub(waited.unwrap_or(AGAIN_AFTER));
        match self.pending {
            _ if self.is_writing => None,
            Pending::Nothing => None,
            Pending::Age => Some(rest),
            Pending::Keys => Some(Duration::ZERO),
        }
    }

    /// It is being written.
    pub(super) fn begin(&mut self, now: Timestamp) {
        (self.pending, self.is_writing, self.began) = (Pending::Nothing, true, Some(now));
    }

    /// It was written, or could not be.
    pub(super) fn ended(&mut self, is_written: bool) {
        self.is_writing = false;
        if !is_written {
            self.changed(Pending::Age);
        }
    }
}
