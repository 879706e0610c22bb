//! From bytes to proof: JOSE, strictly.

pub(crate) mod algorithm;
pub(crate) mod base64url;
pub(crate) mod compact;
pub(crate) mod crypto;
pub(crate) mod json;
pub(crate) mod jwk;
pub(crate) mod key_set;
pub(crate) mod known_headers;
pub(crate) mod secret;
pub(crate) mod thumbprint;
pub(crate) mod verify;
