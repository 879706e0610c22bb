//! A token that is replaced before it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::error::OAuthError;
use crate::client::successors::Outcome;
use crate::client::token_request::ClientCredentialsRequest;
use crate::client::token_set::TokenSet;
use crate::client::under_way::{Conclusion, UnderWay, under_way};
use crate::clock::Timestamp;

/// How long a token that still lives is used as it is after it could not be replaced.
pub(crate) const REST: Duration = Duration::from_secs(30);
/// How long one that came is not replaced by request: those who had the one before refused ask one after another.
const NEW: Duration = Duration::from_secs(10);

/// A token, and what is under way to replace it.
pub(crate) struct Held {
    replaced_by: ReplacedBy,
    state: Mutex<State>,
}

/// What brings another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplacedBy {
    /// Its refresh token, if it has one.
    RefreshToken,
    /// The client's credentials.
    Credentials,
}

#[derive(Default)]
struct State {
    token: Option<TokenSet>,
    /// What the token came in place of, as long as the program has not saved that.
    unsaved: Option<TokenSet>,
    under_way: Option<UnderWay<Outcome>>,
    /// By the clock's uptime.
    rests_until: Duration,
    /// By the clock's uptime: when the token came; `None` for one that the program brought.
    came_at: Option<Duration>,
}

/// When a token is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// So long before its end.
    Ahead(Duration),
    /// At once, unless it has just come: an API has refused it.
    Now,
}

/// What whoever needs the token has to do.
pub(crate) enum Next {
    Use(TokenSet),
    Wait(UnderWay<Outcome>),
    Replace(Box<Replacement>),
    Fail(OAuthError),
}

/// A replacement that is to be done by whoever got this.
pub(crate) struct Replacement {
    /// What is there now.
    pub(crate) token: Option<TokenSet>,
    /// What that came in place of, if that is yet to be saved. Nothing else is to be done then.
    pub(crate) unsaved: Option<TokenSet>,
    pub(crate) conclusion: Conclusion<Outcome>,
    pub(crate) under_way: UnderWay<Outcome>,
}

impl Held {
    pub(crate) fn of_user(token: TokenSet) -> Self {
        let state = State { token: Some(token), ..State::default() };
        Self { replaced_by: ReplacedBy::RefreshToken, state: Mutex::new(state) }
    }

    fn of_program() -> Self {
        Self { replaced_by: ReplacedBy::Credentials, state: Mutex::default() }
    }

    pub(crate) fn token(&self) -> Option<TokenSet> {
        self.state().token.clone()
    }

    /// What to do for a token that is good. `rests` says whether it was tried in vain by others, a short while ago.
    pub(crate) fn next(&self, now: Timestamp, when: When, rests: impl FnOnce(&TokenSet) -> bool) -> Next {
        let mut state = self.state();
        if let Some(waiting) = state.under_way.as_ref().filter(|waiting| !waiting.is_lost()) {
            return Next::Wait(waiting.clone());
        }
        if let Some(token) = &state.token
            && state.unsaved.is_none()
        {
            let lives = !token.is_expired(now, Duration::ZERO);
            let is_replaceable = self.replaced_by == ReplacedBy::Credentials || token.refresh_token().is_some();
            let is_new = state.came_at.is_some_and(|at| now.uptime().saturating_sub(at) < NEW);
            let is_good = match when {
                When::Ahead(ahead) => !token.is_due(now, ahead),
                When::Now => is_new,
            };
            match (lives, is_replaceable, when) {
                (true, _, _) if is_good => return Next::Use(token.clone()),
                (true, false, When::Ahead(_)) => return Next::Use(token.clone()),
                (_, false, _) => return Next::Fail(OAuthError::TokenExpired),
                (true, true, When::Ahead(_)) if now.uptime() < state.rests_until || rests(token) => {
                    return Next::Use(token.clone());
                }
                (_, true, _) => {}
            }
        }
        let (conclusion, under_way) = under_way();
        state.under_way = Some(under_way.clone());
        let (token, unsaved) = (state.token.clone(), state.unsaved.clone());
        Next::Replace(Box::new(Replacement { token, unsaved, conclusion, under_way }))
    }

    /// The token, if it lives and needs no saving.
    pub(crate) fn living(&self, now: Timestamp) -> Option<TokenSet> {
        let state = self.state();
        state.token.clone().filter(|token| state.unsaved.is_none() && !token.is_expired(now, Duration::ZERO))
    }

    /// Puts another in its place. What it came in place of is kept until it [is saved](Self::saved).
    pub(crate) fn put(&self, token: TokenSet, unsaved: Option<TokenSet>, now: Timestamp) {
        let mut state = self.state();
        state.token = Some(token);
        state.came_at = Some(now.uptime());
        state.unsaved = unsaved;
    }

    pub(crate) fn saved(&self) {
        self.state().unsaved = None;
    }

    /// Drops the token: its user has logged out.
    pub(crate) fn drop_token(&self) {
        let mut state = self.state();
        state.token = None;
        state.unsaved = None;
    }

    /// Leaves the token as it is for a while.
    pub(crate) fn rest(&self, now: Timestamp) {
        self.state().rests_until = now.uptime().saturating_add(REST);
    }

    /// The replacement is over, before those who wait hear of it.
    pub(crate) fn end(&self) {
        self.state().under_way = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The program's own tokens, one for each request. All API clients share them.
#[derive(Default)]
pub(crate) struct OwnTokens(Mutex<HashMap<ClientCredentialsRequest, Arc<Held>>>);

/// More than a program asks for, unless it asks in the words of its users.
const MOST_OWN: usize = 1000;

impl OwnTokens {
    pub(crate) fn get(&self, request: &ClientCredentialsRequest) -> Arc<Held> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = tokens.get(request) {
            return Arc::clone(held);
        }
        if tokens.len() >= MOST_OWN {
            tokens.retain(|_, held| Arc::strong_count(held) > 1);
        }
        let held = Arc::new(Held::of_program());
        // Where all are in use, this one is not shared.
        if tokens.len() < MOST_OWN {
            tokens.insert(request.clone(), Arc::clone(&held));
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_tokens_are_shared_and_do_not_grow_without_end() {
        let tokens = OwnTokens::default();
        let request = |number: usize| ClientCredentialsRequest::scope(format!("s{number}"));
        let first = tokens.get(&request(0));
        assert!(Arc::ptr_eq(&first, &tokens.get(&request(0))));
        for number in 1..=MOST_OWN {
            drop(tokens.get(&request(number)));
        }
        assert!(Arc::ptr_eq(&first, &tokens.get(&request(0))), "what is in use stays");
        assert!(tokens.0.lock().unwrap().len() <= MOST_OWN);
    }
}
