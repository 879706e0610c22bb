//! The manual: how to use this crate, and why it is as it is.
//!
//! It is there in the generated documentation alone.

#[doc = include_str!("howto/axum.md")]
pub mod axum {}

#[doc = include_str!("howto/gateway.md")]
pub mod gateway {}

#[doc = include_str!("howto/testing.md")]
pub mod testing {}

#[cfg(all(feature = "axum", feature = "client"))]
#[doc = include_str!("howto/login.md")]
pub mod login {}

#[doc = include_str!("howto/issuers.md")]
pub mod issuers {}

#[doc = include_str!("interop.md")]
pub mod interop {}

#[doc = include_str!("howto/introspection.md")]
pub mod introspection {}

#[doc = include_str!("howto/from-authlib.md")]
pub mod from_authlib {}

#[doc = include_str!("howto/many-tenants.md")]
pub mod many_tenants {}

#[doc = include_str!("howto/survive-an-outage.md")]
pub mod survive_an_outage {}

#[cfg(all(feature = "metrics", feature = "tracing"))]
#[doc = include_str!("howto/watch-it.md")]
#[doc = include_str!("howto/dashboard.svg")]
pub mod watch_it {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("design.md")]
pub mod design {}

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("decisions-on-disputed-input.md")]
pub mod decisions_on_disputed_input {}

#[doc = include_str!("attacks.md")]
pub mod attacks {}

#[doc = include_str!("login-tables.md")]
pub mod login_tables {}
