//! The crate through its public API, one module a capability.

mod real_issuers;
