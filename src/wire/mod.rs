//! The network: the only place that reaches it.

pub(crate) mod fetch;
