//! The one place that knows how a validator is told to forget the tokens that it has accepted.

use scopegate::ValidatorBuilder;

/// Does a validator remember accepted tokens? Then each benchmark measures it with and without.
pub(crate) const REMEMBERS: bool = true;

/// With it, each check is a whole one.
pub(crate) fn forgetful(builder: ValidatorBuilder) -> ValidatorBuilder {
    builder.remember_signatures(std::time::Duration::ZERO)
}
