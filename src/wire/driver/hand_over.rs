//! How questions reach a thread that begins with the first of them, and is replaced when it is gone.
//!
//! 1. Of those who ask at once, one begins the thread, and all reach it.
//! 2. Who may not wait takes no lock that somebody else holds, and leaves at most so many questions unread. Each has a place, and
//!    gives it back: when it is read, or when it could not be sent.
//! 3. A thread that has ended is replaced by whoever asks next. The places of its questions are gone with it.
//! 4. A process that was forked off has a line of its own, and a lock: its parent's may have been held at that moment, by a thread
//!    that the child does not have.
//! 5. The thread's end of the line closes when the last of our ends is dropped, so the thread ends too.
//!
//! `tests/loom` runs this very file under every interleaving of three threads.

use super::sync::{Arc, AtomicUsize, Mutex, Ordering, PerProcess, PoisonError, TryLockError};

/// Questions that nobody waits for and that may lie unread. More would only repeat them.
const UNREAD: usize = 1024;

/// What became of a question that nobody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// It is on its way.
    Sent,
    /// Others ask at this very moment, or too much lies unread: it was dropped, and the next asks again. Who may wait is served.
    Crowded,
    /// There is no thread to ask.
    Nobody,
}

/// Somebody else holds the lock.
struct InUse;

/// Our end of a line to a thread.
pub(super) trait Sender<M>: Clone {
    /// Whether the message will be read, unless the thread ends before.
    fn send(&self, message: M) -> bool;
    /// Whether the thread has ended.
    fn is_closed(&self) -> bool;
}

/// The near end.
pub(super) struct HandOver<S> {
    lines: PerProcess<Mutex<Option<Line<S>>>>,
}

/// The line to one thread.
#[derive(Clone)]
struct Line<S> {
    sender: S,
    unread: Unread,
}

/// Questions that nobody waits for and that lie unread before one thread.
#[derive(Clone)]
pub(super) struct Unread(Arc<AtomicUsize>);

impl Unread {
    fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(0)))
    }

    /// Takes a place for one; none is left if `false`.
    fn take(&self) -> bool {
        let has_room = self.0.fetch_add(1, Ordering::Relaxed) < UNREAD;
        if !has_room {
            self.give_back();
        }
        has_room
    }

    /// One was read, or never came to lie there.
    pub(super) fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S> HandOver<S> {
    pub(super) fn new() -> Self {
        Self { lines: PerProcess::new() }
    }

    /// Sends a question that nobody waits for.
    pub(super) fn start<M>(&self, process: u32, begin: impl FnOnce(Unread) -> Option<S>, question: M) -> Started
    where
        S: Sender<M>,
    {
        // Invariant 2.
        let line = match self.line_at_once(process, begin) {
            Ok(Some(line)) => line,
            Ok(None) => return Started::Nobody,
            Err(InUse) => return Started::Crowded,
        };
        if !line.unread.take() {
            return Started::Crowded;
        }
        if line.sender.send(question) {
            return Started::Sent;
        }
        line.unread.give_back();
        Started::Nobody
    }

    /// Sends a question whose answer somebody waits for, and gives him the line to watch: a thread that ends while the question is
    /// sent may leave it in there, unread and not dropped.
    pub(super) fn ask<M>(&self, process: u32, begin: impl FnOnce(Unread) -> Option<S>, question: M) -> Option<S>
    where
        S: Sender<M>,
    {
        let line = living(&mut self.line(process).lock().unwrap_or_else(PoisonError::into_inner), begin);
        line.map(|line| {
            line.sender.send(question);
            line.sender
        })
    }

    /// Has the thread look around, without waiting.
    pub(super) fn wake<M>(&self, process: u32, begin: impl FnOnce(Unread) -> Option<S>, word: M)
    where
        S: Sender<M>,
    {
        if let Ok(Some(line)) = self.line_at_once(process, begin) {
            line.sender.send(word);
        }
    }

    /// Tells the thread, if there is one.
    pub(super) fn tell<M>(&self, process: u32, word: M)
    where
        S: Sender<M>,
    {
        if let Some(line) = &*self.line(process).lock().unwrap_or_else(PoisonError::into_inner) {
            line.sender.send(word);
        }
    }

    /// Invariant 4.
    fn line(&self, process: u32) -> &Mutex<Option<Line<S>>> {
        self.lines.get_or_make(process, || Mutex::new(None))
    }

    fn line_at_once<M>(&self, process: u32, begin: impl FnOnce(Unread) -> Option<S>) -> Result<Option<Line<S>>, InUse>
    where
        S: Sender<M>,
    {
        match self.line(process).try_lock() {
            Ok(mut line) => Ok(living(&mut line, begin)),
            Err(TryLockError::Poisoned(line)) => Ok(living(&mut line.into_inner(), begin)),
            Err(TryLockError::WouldBlock) => Err(InUse),
        }
    }
}

/// Invariant 3.
fn living<M, S: Sender<M>>(line: &mut Option<Line<S>>, begin: impl FnOnce(Unread) -> Option<S>) -> Option<Line<S>> {
    if line.as_ref().is_none_or(|line| line.sender.is_closed()) {
        let unread = Unread::new();
        *line = begin(unread.clone()).map(|sender| Line { sender, unread });
    }
    line.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears everything.
    #[derive(Clone)]
    struct Ear;

    impl Sender<()> for Ear {
        fn send(&self, (): ()) -> bool {
            true
        }

        fn is_closed(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_lock_that_was_held_at_a_fork_holds_up_nobody_in_the_child() {
        let hand_over = HandOver::new();
        // The lock is held while a thread begins.
        let in_the_parent = |_| {
            assert!(hand_over.ask(2, |_| Some(Ear), ()).is_some());
            assert_eq!(hand_over.start(2, |_| None, ()), Started::Sent, "it is the child's own line");
            assert_eq!(hand_over.start(1, |_| Some(Ear), ()), Started::Crowded);
            None
        };
        assert_eq!(hand_over.start(1, in_the_parent, ()), Started::Nobody);
    }
}
