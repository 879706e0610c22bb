//! What threads share, by one name for each: where `hand_over.rs` is tested, a model of them stands here.

pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
pub(super) use std::sync::{Arc, Mutex, PoisonError, TryLockError};

pub(super) use crate::wire::per_process::PerProcess;
