//! Asking the issuer what a token is worth (RFC 7662), and remembering what it said.

pub(crate) mod memory;
#[cfg(feature = "driver")]
pub(crate) mod mercy;
#[cfg(feature = "driver")]
pub(crate) mod remote;
#[cfg(feature = "driver")]
pub(crate) mod response;
#[cfg(feature = "driver")]
pub(crate) mod setup;
#[cfg(feature = "driver")]
pub(crate) mod signed;
