//! The crate through its public API, one module a capability.

#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing, reason = "tests")]

mod differential;
mod naive;
mod real_issuers;
