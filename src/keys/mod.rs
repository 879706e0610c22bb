//! The key sets that we hold, and when they are asked for again.

pub(crate) mod proof;
pub(crate) mod published;
pub(crate) mod refresh;
#[cfg(feature = "driver")]
pub(crate) mod remote;
#[cfg(feature = "driver")]
pub(crate) mod saved;
pub(crate) mod store;
pub(crate) mod unknown_key;
