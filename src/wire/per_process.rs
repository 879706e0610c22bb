//! What a process must make for itself.
//!
//! A child that was forked off has a copy of its parent's memory and none of its threads: a lock in that copy may be held for ever, a
//! connection in it is one that the parent uses too, and the task that would serve it does not run.

use std::sync::OnceLock;

/// One for each process, made when it is first needed. Nothing here waits: what the parent had stays where it is, untouched.
pub(crate) struct PerProcess<T> {
    own: OnceLock<(u32, T)>,
    /// Those of processes that were forked off since.
    forked: OnceLock<Box<Self>>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { own: OnceLock::new(), forked: OnceLock::new() }
    }

    /// What this process has made, or what this makes, which takes but a moment.
    pub(crate) fn get_or_make(&self, process: u32, make: impl Fn() -> T) -> &T {
        match self.own.get_or_init(|| (process, make())) {
            (of, own) if *of == process => own,
            _ => self.forked.get_or_init(|| Box::new(Self::new())).get_or_make(process, make),
        }
    }

    /// What this process has made.
    #[cfg(any(test, feature = "reqwest"))]
    pub(crate) fn get(&self, process: u32) -> Option<&T> {
        match self.own.get()? {
            (of, own) if *of == process => Some(own),
            _ => self.forked.get()?.get(process),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_its_own_and_makes_it_once() {
        let own = PerProcess::new();
        assert_eq!(own.get(1), None);
        for process in [1, 2, 3, 2, 1] {
            let made: *const u32 = own.get_or_make(process, || 7);
            assert!(std::ptr::eq(made, own.get(process).unwrap()));
        }
        let places = [1, 2, 3].map(|process| std::ptr::from_ref(own.get(process).unwrap()));
        assert!(places[0] != places[1] && places[1] != places[2] && places[0] != places[2]);
        assert_eq!(own.get(4), None);
    }
}
