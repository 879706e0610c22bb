//! The crate through its public API, one module a capability.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

mod answers;
mod attacks;
mod authorization_server;
mod differential;
mod faults;
mod from_authlib;
mod introspection;
mod layer;
mod login;
mod naive;
mod real_introspections;
mod real_issuers;
mod remembered;
mod resource_metadata;
mod rotation;
mod saved;
mod scopes;
mod settings;
mod tenants;
mod watch;
mod wire;
