//! What a program is told when tokens were renewed.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::client::token_set::TokenSet;

/// A user's tokens that were renewed, to be saved in place of those before.
#[derive(Clone)]
pub struct Renewed {
    pub(crate) previous: TokenSet,
    pub(crate) token: TokenSet,
}

impl Renewed {
    /// The set before, as the [`ApiClient`](crate::client::ApiClient) was made with it or had it renewed: what the new one is to be saved in
    /// place of. A session that holds another one by now, or has ended, is to stay as it is.
    #[must_use]
    pub const fn previous(&self) -> &TokenSet {
        &self.previous
    }

    /// The new set.
    #[must_use]
    pub const fn token(&self) -> &TokenSet {
        &self.token
    }

    /// Takes the new set out.
    #[must_use]
    pub fn into_token(self) -> TokenSet {
        self.token
    }
}

impl fmt::Debug for Renewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed").field("previous", &self.previous).field("token", &self.token).finish()
    }
}

pub(crate) type SaveError = Arc<dyn Error + Send + Sync>;
pub(crate) type Saving = Pin<Box<dyn Future<Output = Result<(), SaveError>> + Send>>;
pub(crate) type Save = Arc<dyn Fn(Renewed) -> Saving + Send + Sync>;
