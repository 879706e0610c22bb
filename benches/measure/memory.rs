//! The one place that knows how a validator is told to forget the tokens that it has accepted.

use scopegate::ValidatorBuilder;

/// Does a validator remember accepted tokens? Then each benchmark measures it with and without.
pub(crate) const REMEMBERS: bool = false;

/// With it, each check is a whole one.
///
/// The setting that turns the memory of tokens off belongs here; there is none yet, because there is no such memory yet.
pub(crate) fn forgetful(builder: ValidatorBuilder) -> ValidatorBuilder {
    builder
}
