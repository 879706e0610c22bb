//! placeholder
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions))]

mod clock;
mod config_error;
mod issuer_id;
mod jose;
mod reason;
mod scope;
#[cfg(feature = "driver")]
mod wire;

pub use clock::{Clock, SystemClock, Timestamp};
pub use config_error::ConfigError;
pub use jose::algorithm::{Algorithm, Algorithms};
pub use issuer_id::IssuerId;
pub use reason::Reason;
#[cfg(feature = "driver")]
pub use wire::fetch::{Fetch, FetchError, FetchLimits, Fetching};
pub use scope::{Scope, ScopePolicy};
