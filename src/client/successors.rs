//! What refresh tokens were renewed to, and which are being renewed.
//!
//! A server that rotates refresh tokens takes a second use of one for theft, and ends the user's session (RFC 9700 s4.14.2). A program with
//! two requests of one user at a time would use it twice. So these hold, for all who share the table:
//!
//! 1. A refresh token is under way once at a time.
//! 2. Whoever comes with one that was renewed in the last [`MEMORY`] gets what the first one got, and the server is not asked.
//! 3. What is under way was begun outside the lock, and nobody holds the lock while waiting.
//! 4. Outcomes that are remembered are at most [`MOST`]; the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::error::{OAuthError, Stage};
use crate::client::token_set::TokenSet;
use crate::client::under_way::{Conclusion, UnderWay, under_way};
use crate::clock::Timestamp;
use crate::jose::crypto::sha256;

/// Longer than a request of a browser takes that was begun with the old set.
const MEMORY: Duration = Duration::from_secs(60);
const MOST: usize = 10_000;
/// So many renewals of one another within [`MEMORY`] are followed: one each second is more than any server means.
const LONGEST_CHAIN: usize = 64;

pub(crate) type Outcome = Result<TokenSet, OAuthError>;

/// The table. Tokens are in it as digests; what they were renewed to has to be there as it is.
#[derive(Default)]
pub(crate) struct Successors(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<Digest, Entry>,
    /// In the order in which they ended.
    ended: VecDeque<(Digest, Duration)>,
}

type Digest = [u8; 32];

enum Entry {
    UnderWay(UnderWay<Outcome>),
    Ended { outcome: Box<Outcome>, at: Duration },
}

/// What whoever wants a set renewed has to do.
pub(crate) enum Joined {
    Ended(Outcome),
    Waiting(UnderWay<Outcome>),
    Begun(Begun),
}

/// A renewal that is to be done by whoever got this. Dropped, it is lost, and the next one begins anew.
pub(crate) struct Begun {
    /// The set to be renewed: the one that was brought, or the newest of its successors.
    pub(crate) token: TokenSet,
    pub(crate) conclusion: Conclusion<Outcome>,
    pub(crate) under_way: UnderWay<Outcome>,
}

impl Successors {
    /// Joins the renewal of this set, or begins it.
    ///
    /// A successor that has ended itself is renewed in its turn, and so is one that the caller has already.
    pub(crate) fn join(&self, token: &TokenSet, now: Timestamp) -> Joined {
        let mut table = self.table();
        table.forget_old(now.uptime());
        let mut token = token.clone();
        for _ in 0..LONGEST_CHAIN {
            let Some(digest) = digest(&token) else { return Joined::Ended(Err(OAuthError::TokenExpired)) };
            match table.entries.get(&digest) {
                Some(Entry::UnderWay(waiting)) if !waiting.is_lost() => return Joined::Waiting(waiting.clone()),
                Some(Entry::Ended { outcome, .. }) => match &**outcome {
                    Err(error) => return Joined::Ended(Err(error.clone())),
                    // The caller has it already, and wants another.
                    Ok(successor) if successor.access_token() == token.access_token() => break,
                    Ok(successor) if !successor.is_expired(now, Duration::ZERO) => {
                        return Joined::Ended(Ok(successor.clone()));
                    }
                    Ok(successor) => token = successor.clone(),
                },
                Some(Entry::UnderWay(_)) | None => break,
            }
        }
        let Some(digest) = digest(&token) else { return Joined::Ended(Err(OAuthError::TokenExpired)) };
        let (conclusion, under_way) = under_way();
        table.entries.insert(digest, Entry::UnderWay(under_way.clone()));
        Joined::Begun(Begun { token, conclusion, under_way })
    }

    /// Remembers what came of a renewal, before those who wait hear of it.
    ///
    /// A server that was out of reach may be asked again at once; one that said `invalid_grant` will say it again.
    pub(crate) fn end(&self, token: &TokenSet, outcome: &Outcome, now: Timestamp) {
        let Some(digest) = digest(token) else { return };
        let mut table = self.table();
        table.entries.remove(&digest);
        let is_final = match outcome {
            Ok(_) => true,
            Err(OAuthError::Refused { stage: Stage::Token, error, .. }) => error == "invalid_grant",
            Err(_) => false,
        };
        if is_final {
            let at = now.uptime();
            table.entries.insert(digest, Entry::Ended { outcome: Box::new(outcome.clone()), at });
            table.ended.push_back((digest, at));
        }
        table.forget_old(now.uptime());
    }

    /// Takes out what this set was renewed to, one after another.
    pub(crate) fn take(&self, token: &TokenSet) -> Vec<TokenSet> {
        let mut table = self.table();
        let mut found: Vec<TokenSet> = Vec::new();
        while let Some(digest) = digest(found.last().unwrap_or(token))
            && let Some(Entry::Ended { outcome, .. }) = table.entries.get(&digest)
            && let Ok(successor) = &**outcome
        {
            found.push(successor.clone());
            table.entries.remove(&digest);
        }
        found
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget_old(&mut self, now: Duration) {
        while let Some((digest, at)) = self.ended.front().copied()
            && (self.ended.len() > MOST || now.saturating_sub(at) >= MEMORY)
        {
            self.ended.pop_front();
            // It may be under way again, or have been since.
            if matches!(self.entries.get(&digest), Some(Entry::Ended { at: ended, .. }) if *ended == at) {
                self.entries.remove(&digest);
            }
        }
    }
}

fn digest(token: &TokenSet) -> Option<Digest> {
    token.refresh_token().map(|token| sha256(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(access: &str, refresh: &str, expires_in: u64) -> TokenSet {
        let answer = format!(
            r#"{{"access_token":"{access}","token_type":"bearer","refresh_token":"{refresh}","expires_in":{expires_in}}}"#
        );
        TokenSet::read(answer.as_bytes(), None, at(0)).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::new(0, Duration::ZERO).plus(Duration::from_secs(seconds))
    }

    fn begun(joined: Joined) -> Begun {
        match joined {
            Joined::Begun(begun) => begun,
            Joined::Ended(outcome) => panic!("{outcome:?}"),
            Joined::Waiting(_) => panic!("it is under way"),
        }
    }

    fn access(joined: Joined) -> String {
        match joined {
            Joined::Ended(Ok(token)) => token.access_token().to_owned(),
            Joined::Ended(Err(error)) => error.label().to_owned(),
            Joined::Waiting(_) => "waiting".to_owned(),
            Joined::Begun(_) => "begun".to_owned(),
        }
    }

    #[test]
    fn a_refresh_token_is_under_way_once_and_its_successor_is_remembered_for_60_s() {
        let table = Successors::default();
        let old = set("a1", "r1", 0);
        let first = begun(table.join(&old, at(0)));
        assert_eq!(access(table.join(&old, at(0))), "waiting");
        table.end(&first.token, &Ok(set("a2", "r2", 3600)), at(10));
        assert_eq!(access(table.join(&old, at(69))), "a2");
        assert_eq!(access(table.join(&old, at(70))), "begun");
    }

    #[test]
    fn whoever_has_the_successor_gets_a_newer_one_where_the_server_does_not_rotate() {
        let table = Successors::default();
        let (old, new) = (set("a1", "r1", 0), set("a2", "r1", 3600));
        let first = begun(table.join(&old, at(0)));
        table.end(&first.token, &Ok(new.clone()), at(0));
        assert_eq!(access(table.join(&old, at(1))), "a2");
        assert_eq!(access(table.join(&new, at(1))), "begun");
    }

    #[test]
    fn a_successor_that_has_ended_is_renewed_by_its_own_refresh_token() {
        let table = Successors::default();
        let old = set("a1", "r1", 0);
        let first = begun(table.join(&old, at(0)));
        table.end(&first.token, &Ok(set("a2", "r2", 5)), at(0));
        let second = begun(table.join(&old, at(6)));
        assert_eq!(second.token.refresh_token(), Some("r2"));
        table.end(&second.token, &Ok(set("a3", "r3", 3600)), at(6));
        assert_eq!(access(table.join(&old, at(7))), "a3");
    }

    #[test]
    fn only_a_refusal_of_the_grant_is_remembered_of_all_failures() {
        let table = Successors::default();
        let old = set("a1", "r1", 0);
        let first = begun(table.join(&old, at(0)));
        table.end(&first.token, &Err(OAuthError::InvalidAnswer { problem: "" }), at(0));
        let second = begun(table.join(&old, at(0)));
        table.end(&second.token, &Err(crate::client::error::refused(Stage::Token, "invalid_grant", None)), at(0));
        assert_eq!(access(table.join(&old, at(59))), "refused");
        assert_eq!(access(table.join(&old, at(60))), "begun");
    }

    #[test]
    fn a_renewal_that_was_lost_is_begun_anew() {
        let table = Successors::default();
        let old = set("a1", "r1", 0);
        drop(begun(table.join(&old, at(0))));
        assert_eq!(access(table.join(&old, at(0))), "begun");
    }

    #[test]
    fn the_oldest_outcomes_go_when_there_are_too_many() {
        let table = Successors::default();
        let old = |number: usize| set("a", &format!("r{number}"), 0);
        for number in 0..=MOST {
            let begun = begun(table.join(&old(number), at(0)));
            table.end(&begun.token, &Ok(set("b", &format!("s{number}"), 3600)), at(0));
        }
        assert_eq!(table.table().entries.len(), MOST);
        assert_eq!(access(table.join(&old(0), at(0))), "begun");
        assert_eq!(access(table.join(&old(1), at(0))), "b");
    }

    #[test]
    fn successors_are_taken_out_one_after_another() {
        let table = Successors::default();
        let old = set("a1", "r1", 0);
        for (token, successor) in [(&old, set("a2", "r2", 0)), (&set("a2", "r2", 0), set("a3", "r3", 3600))] {
            let begun = begun(table.join(token, at(0)));
            table.end(&begun.token, &Ok(successor), at(0));
        }
        let taken = table.take(&old);
        assert_eq!(taken.iter().map(TokenSet::access_token).collect::<Vec<_>>(), ["a2", "a3"]);
        assert_eq!(access(table.join(&old, at(0))), "begun");
    }
}
