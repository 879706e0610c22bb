//! The network: the only place that reaches it.

pub(crate) mod addresses;
pub(crate) mod discovery;
pub(crate) mod driver;
pub(crate) mod fetch;
pub(crate) mod form;
mod news;
pub(crate) mod per_process;
#[cfg(feature = "reqwest")]
pub(crate) mod reqwest;
pub(crate) mod tls_problem;
#[cfg(feature = "client")]
pub(crate) mod worker;
