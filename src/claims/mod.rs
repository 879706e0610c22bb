//! What the payload of a token says (RFC 7519 s4, RFC 9068 s2.2).

pub(crate) mod hint;
pub(crate) mod numeric_date;
pub(crate) mod read;
pub(crate) mod rules;

pub(crate) use read::Claims;
