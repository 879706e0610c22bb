//! Where an API client gets its token from.

use std::sync::Arc;
use std::time::Duration;

use crate::client::api::held::{Held, Next, REST, Replacement, When};
use crate::client::api::renewed::{Renewed, Save};
use crate::client::error::OAuthError;
use crate::client::registered::Client;
use crate::client::successors::Outcome;
use crate::client::token_request::ClientCredentialsRequest;
use crate::client::token_set::TokenSet;

/// A user's token, or the program's own.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) client: Client,
    pub(crate) held: Arc<Held>,
    /// What the program's own is asked for with; `None` for a user's.
    pub(crate) own: Option<ClientCredentialsRequest>,
    pub(crate) save: Option<Save>,
    pub(crate) ahead: Duration,
}

impl Tokens {
    /// A token to send. It is replaced first where it is time for that, once for all who wait.
    pub(crate) async fn current(&self) -> Outcome {
        self.check_own()?;
        let outcome = self.replaced(When::Ahead(self.ahead)).await;
        match outcome {
            // The program has to know, since what is not saved may be lost.
            Ok(_) | Err(OAuthError::Store(_)) => outcome,
            // What still lives will do.
            Err(_) => self.held.living(self.client.0.settings.clock.now()).map_or(outcome, Ok),
        }
    }

    /// Another token than the one that is there.
    pub(crate) async fn another(&self) -> Outcome {
        self.check_own()?;
        self.replaced(When::Now).await
    }

    /// A user's token of another client may be meant for another API as well.
    fn check_own(&self) -> Result<(), OAuthError> {
        self.held.token().map_or(Ok(()), |token| self.client.check_own(&token))
    }

    async fn replaced(&self, when: When) -> Outcome {
        let now = self.client.0.settings.clock.now();
        let rests = |token: &TokenSet| self.own.is_none() && self.client.0.successors.rests(token, now, REST);
        let replacement = match self.held.next(now, when, rests) {
            Next::Use(token) => return Ok(token),
            Next::Fail(error) => return Err(error),
            Next::Wait(under_way) => return under_way.outcome().await?,
            Next::Replace(replacement) => replacement,
        };
        // Whoever waits may go away; the tokens that come are saved all the same.
        let (tokens, under_way) = (self.clone(), replacement.under_way.clone());
        self.client.0.worker.start(Box::pin(async move { tokens.replace(*replacement).await }))?;
        under_way.outcome().await?
    }

    async fn replace(self, replacement: Replacement) {
        let Replacement { token, unsaved, conclusion, .. } = replacement;
        let outcome = match (token, unsaved) {
            (Some(token), Some(previous)) => self.save(previous, token).await,
            (token, _) => self.fetch(token).await,
        };
        self.held.end();
        conclusion.reach(outcome);
    }

    async fn fetch(&self, previous: Option<TokenSet>) -> Outcome {
        let fetched = match (&self.own, &previous) {
            (Some(request), _) => self.client.client_credentials(request.clone()).await,
            (None, Some(previous)) => self.client.renew(previous).await,
            // It was dropped.
            (None, None) => Err(OAuthError::TokenExpired),
        };
        let now = self.client.0.settings.clock.now();
        match (fetched, previous) {
            (Ok(token), Some(previous)) if self.own.is_none() => {
                self.held.put(token.clone(), self.save.is_some().then(|| previous.clone()), now);
                self.save(previous, token).await
            }
            (Ok(token), _) => {
                self.held.put(token.clone(), None, now);
                Ok(token)
            }
            (Err(error), _) => {
                self.held.rest(now);
                Err(error)
            }
        }
    }

    async fn save(&self, previous: TokenSet, token: TokenSet) -> Outcome {
        if let Some(save) = &self.save {
            // The user has logged out meanwhile, and his session must not come back, not even when that is forgotten here.
            if self.client.0.successors.is_over(&token) {
                self.held.drop_token();
                return Err(OAuthError::TokenExpired);
            }
            let (save, renewed) = (Arc::clone(save), Renewed { previous, token: token.clone() });
            let saved = self.client.0.worker.run(async move { save(renewed).await }).await;
            // It panicked, or too much is under way for it to begin.
            let saved = saved.unwrap_or_else(|error| Err(Arc::new(error)));
            saved.map_err(OAuthError::Store)?;
        }
        self.held.saved();
        Ok(token)
    }
}
