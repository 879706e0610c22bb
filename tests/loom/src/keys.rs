//! The real files.

#[path = "../../../src/keys/published.rs"]
pub(crate) mod published;
#[path = "../../../src/keys/refresh.rs"]
pub(crate) mod refresh;
#[path = "../../../src/keys/unknown_key.rs"]
pub(crate) mod unknown_key;
