//! What an issuer demands and how it answers, where that is not as usual.

use std::time::Duration;

/// As it comes, everything is as usual.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    pub(super) pkce: Pkce,
    pub(super) requests: Requests,
    pub(super) response_issuer: ResponseIssuer,
    pub(super) refresh_tokens: RefreshTokens,
    pub(super) userinfo: Userinfo,
    pub(super) lifetime: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pkce {
    #[default]
    Checked,
    Demanded,
}

/// How authorization requests come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Requests {
    #[default]
    Any,
    Pushed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ResponseIssuer {
    #[default]
    Told,
    Omitted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RefreshTokens {
    #[default]
    Rotate,
    Stay,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Userinfo {
    #[default]
    Plain,
    Signed,
}

impl Settings {
    /// Seconds for which access tokens are good.
    pub(super) fn lifetime(&self, usual: i64) -> i64 {
        self.lifetime.map_or(usual, |lifetime| i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX))
    }
}
