//! The hand-over between those who ask and the thread that fetches, and the single flight of a fetch, under every interleaving of
//! three threads.
//!
//! Real: `wire/driver/hand_over.rs` and `keys/refresh.rs`, the very files of the crate, and what these two use. Modelled: the lock
//! and the counters (loom's), the channel and the reply (below, over loom's lock), the thread's loop (below: it reads a message, asks
//! the refresh machine, fetches at once, answers), and a fetch (a number that counts up). `Arc` and `OnceLock` are std's: how they
//! work is not what is tested, and each step of theirs would be another place to interleave, which makes hours of seconds.
#![expect(dead_code, reason = "the real files hold more than is asked of them here")]

#[path = "../../../src/clock.rs"]
mod clock;
#[path = "../../../src/wire/driver/hand_over.rs"]
mod hand_over;
mod health {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum KeyState {
        NeverLoaded,
        Fresh,
        Stale,
        Expired,
    }

    impl KeyState {
        pub(crate) const fn is_usable(self) -> bool {
            matches!(self, Self::Fresh | Self::Stale)
        }
    }
}
mod keys;
mod observe {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum FetchCause {
        NoKeys,
        Timed,
        UnknownKey,
        BadSignature,
        Asked,
    }
}
mod model;
#[path = "../../../src/wire/per_process.rs"]
mod per_process;
mod sync {
    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) use crate::per_process::PerProcess;
    pub(crate) use std::sync::{Arc, PoisonError, TryLockError};
}

pub use model::{Answer, Outcome, World};
