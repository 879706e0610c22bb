//! What ends a program of the examples before its time.

use std::error::Error;
use std::fmt::Write as _;

use scopegate::ConfigError;

/// What ends the program before its time, and whose fault it is.
pub(crate) enum Failure {
    /// The command line asks for what cannot be had.
    Arguments(String),
    /// Something went wrong on the way.
    Trouble(String),
}

impl Failure {
    /// A step that failed, with all that its error says.
    pub(crate) fn trouble(step: &str, error: &dyn Error) -> Self {
        let mut text = format!("{step}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        Self::Trouble(text)
    }
}

/// The settings come from the command line, so that a wrong one is a wrong argument.
impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Arguments(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::trouble("input or output failed", &error)
    }
}
