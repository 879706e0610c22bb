//! From bytes to proof: JOSE, strictly.

pub(crate) mod algorithm;
