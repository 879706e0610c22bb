//! What is wrong with a setting.

use std::error::Error;
use std::sync::Arc;

/// A setting that cannot be used, found when a validator is built and never later.
///
/// It names the setting as the method that sets it is called, the value that was given, and what is wrong with it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting that has no safe default was not given.
    #[error("{setting}: {problem}")]
    Missing {
        /// The setting.
        setting: &'static str,
        /// What it is needed for.
        problem: &'static str,
    },
    /// A value that this setting cannot take.
    #[error("{setting}: {problem}: {value:?}")]
    Invalid {
        /// The setting.
        setting: &'static str,
        /// The value that was given; never a secret.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two settings that contradict each other.
    #[error("{setting}: {problem}: {value:?}")]
    Conflict {
        /// The setting.
        setting: &'static str,
        /// The value on which the two disagree.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A value that another part of the program refused.
    #[error("{setting}: {problem}")]
    Unusable {
        /// The setting.
        setting: &'static str,
        /// What could not be done with it.
        problem: &'static str,
        /// Why not.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl ConfigError {
    pub(crate) fn invalid(setting: &'static str, value: impl Into<String>, problem: &'static str) -> Self {
        Self::Invalid { setting, value: value.into(), problem }
    }

    /// The same for a URL, without the name and password that one may hold.
    pub(crate) fn invalid_url(setting: &'static str, url: &str, problem: &'static str) -> Self {
        let shown = match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://...@{host}"),
            (None, Some((_, host))) => format!("...@{host}"),
            (_, None) => url.to_owned(),
        };
        Self::invalid(setting, shown, problem)
    }

    pub(crate) fn conflict(setting: &'static str, value: impl Into<String>, problem: &'static str) -> Self {
        Self::Conflict { setting, value: value.into(), problem }
    }

    /// The setting at fault, named as the method that sets it.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::Missing { setting, .. }
            | Self::Invalid { setting, .. }
            | Self::Conflict { setting, .. }
            | Self::Unusable { setting, .. } => setting,
        }
    }
}
