//! The network: the only place that reaches it.

pub(crate) mod addresses;
pub(crate) mod discovery;
pub(crate) mod driver;
pub(crate) mod fetch;
mod news;
#[cfg(feature = "reqwest")]
pub(crate) mod reqwest;
pub(crate) mod tls_problem;
