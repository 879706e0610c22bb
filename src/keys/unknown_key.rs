//! A key that a set does not have.

/// What is known about a key that the set does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownKey {
    /// The issuer does not have it, or its set is so fresh that it counts as judged by it: 401.
    Absent,
    /// The issuer may be asked.
    Ask,
    /// The set is not fresh, and the issuer may not be asked: 503.
    Undecided,
}
