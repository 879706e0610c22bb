//! What refresh tokens were renewed to, and which are being renewed.
//!
//! A server that rotates refresh tokens takes a second use of one for theft, and ends the user's session (RFC 9700 s4.14.2). A program with
//! two requests of one user at a time would use it twice. So these hold, for all who share the table:
//!
//! 1. A refresh token is under way once at a time.
//! 2. Whoever comes with one that was renewed in the last [`MEMORY`] gets the newest set that came of it, and the server is not asked.
//! 3. One whose use has ended for good, by an answer that names no successor, is not used again for [`MEMORY`].
//! 4. What was logged out is handed to nobody for [`MEMORY`], also where it was under way by then.
//! 5. What is under way was begun outside the lock, and nobody holds the lock while waiting.
//! 6. What is remembered is at most [`MOST`] refresh tokens, and those that are in use; the oldest go first. Each has one place in the order,
//!    so that none is kept for ever.

use std::collections::{BTreeMap, HashMap};
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
    /// By when they were last changed: each entry's turn.
    order: BTreeMap<u64, Digest>,
    next_turn: u64,
}

type Digest = [u8; 32];

struct Entry {
    state: State,
    /// Its user has logged out.
    is_over: bool,
    /// When it was last changed, by the clock's uptime.
    at: Duration,
    turn: u64,
}

enum State {
    Unused,
    UnderWay(UnderWay<Outcome>),
    Renewed(Box<TokenSet>),
    /// It is worth nothing any more.
    Refused(OAuthError),
    /// The server was out of reach, or at fault.
    Failed,
}

/// What whoever wants a set renewed has to do.
pub(crate) enum Joined {
    Ended(Box<Outcome>),
    Waiting(UnderWay<Outcome>),
    Begun(Box<Begun>),
}

/// A renewal that is to be done by whoever got this. Dropped, it is lost, and the next one begins anew.
pub(crate) struct Begun {
    /// The set to be renewed: the one that was brought, or the newest of its successors.
    pub(crate) token: TokenSet,
    pub(crate) conclusion: Conclusion<Outcome>,
    pub(crate) under_way: UnderWay<Outcome>,
}

/// What came of a set, of which nobody gets anything any more.
pub(crate) struct Buried {
    /// The newest first, and last the set itself.
    pub(crate) sets: Vec<TokenSet>,
    /// More may come of the newest.
    pub(crate) waiting: Option<UnderWay<Outcome>>,
}

impl Successors {
    /// Joins the renewal of this set, or begins it.
    ///
    /// Where it was renewed, and its successors too, the newest is what counts: one that has ended is renewed in its turn, and so is one
    /// that the caller has already.
    pub(crate) fn join(&self, token: &TokenSet, now: Timestamp) -> Joined {
        let ended = |outcome| Joined::Ended(Box::new(outcome));
        let mut table = self.table();
        table.forget_old(now.uptime());
        let (mut newest, mut is_successor) = (token.clone(), false);
        for _ in 0..LONGEST_CHAIN {
            let Some(entry) = digest(&newest).and_then(|digest| table.entries.get(&digest)) else { break };
            if entry.is_over {
                return ended(Err(OAuthError::TokenExpired));
            }
            match &entry.state {
                State::UnderWay(waiting) if !waiting.is_lost() => return Joined::Waiting(waiting.clone()),
                State::Refused(error) => return ended(Err(error.clone())),
                // Where the server does not rotate, the newest stands under its own refresh token.
                State::Renewed(successor) if successor.access_token() != newest.access_token() => {
                    newest.clone_from(successor);
                    is_successor = true;
                }
                State::Renewed(_) | State::Unused | State::UnderWay(_) | State::Failed => break,
            }
        }
        if is_successor && !newest.is_expired(now, Duration::ZERO) {
            return ended(Ok(newest));
        }
        let Some(digest) = digest(&newest) else { return ended(Err(OAuthError::TokenExpired)) };
        let (conclusion, under_way) = under_way();
        let state = State::UnderWay(under_way.clone());
        table.put(digest, state, false, now.uptime());
        Joined::Begun(Box::new(Begun { token: newest, conclusion, under_way }))
    }

    /// Remembers what came of a renewal, before those who wait hear of it, and says what they are to hear.
    pub(crate) fn end(&self, token: &TokenSet, outcome: Outcome, now: Timestamp) -> Outcome {
        let Some(digest) = digest(token) else { return outcome };
        let mut table = self.table();
        let is_over = table.entries.get(&digest).is_some_and(|entry| entry.is_over);
        let state = match &outcome {
            Ok(successor) => State::Renewed(Box::new(successor.clone())),
            Err(error) if is_final(error) => State::Refused(error.clone()),
            Err(_) => State::Failed,
        };
        table.put(digest, state, is_over, now.uptime());
        // Invariant 4.
        if is_over { Err(OAuthError::TokenExpired) } else { outcome }
    }

    /// Forgets a renewal that could not begin, unless another has begun since.
    pub(crate) fn lose(&self, token: &TokenSet) {
        let mut table = self.table();
        if let Some(digest) = digest(token)
            && table.entries.get(&digest).is_some_and(|entry| !entry.is_over && entry.state.is_lost())
        {
            table.take(&digest);
        }
    }

    /// Whether its renewal failed less than so long ago, without being refused.
    pub(crate) fn rests(&self, token: &TokenSet, now: Timestamp, rest: Duration) -> bool {
        let table = self.table();
        let entry = digest(token).and_then(|digest| table.entries.get(&digest));
        entry.is_some_and(|entry| matches!(entry.state, State::Failed) && now.uptime().saturating_sub(entry.at) < rest)
    }

    /// Whether its user has logged out.
    pub(crate) fn is_over(&self, token: &TokenSet) -> bool {
        let table = self.table();
        digest(token).and_then(|digest| table.entries.get(&digest)).is_some_and(|entry| entry.is_over)
    }

    /// Sees to it that nobody gets anything of this set any more (invariant 4), and says what came of it so far.
    pub(crate) fn bury(&self, token: &TokenSet, now: Timestamp) -> Buried {
        let mut table = self.table();
        table.forget_old(now.uptime());
        let (mut sets, mut newest, mut waiting) = (Vec::new(), token.clone(), None);
        for _ in 0..LONGEST_CHAIN {
            let Some(digest) = digest(&newest) else { break };
            let mut next = None;
            let state = match table.take(&digest).map(|entry| entry.state) {
                Some(State::Renewed(successor)) => {
                    let is_other = successor.access_token() != newest.access_token();
                    next = is_other.then(|| (*successor).clone());
                    State::Renewed(successor)
                }
                Some(State::UnderWay(under_way)) => {
                    waiting = Some(under_way.clone()).filter(|waiting| !waiting.is_lost());
                    State::UnderWay(under_way)
                }
                Some(state) => state,
                None => State::Unused,
            };
            table.put(digest, state, true, now.uptime());
            let Some(next) = next else { break };
            sets.push(std::mem::replace(&mut newest, next));
        }
        sets.push(newest);
        sets.reverse();
        Buried { sets, waiting }
    }

    /// Drops what came of these sets: it was revoked. That they were logged out stays known.
    pub(crate) fn drop_those_of(&self, sets: &[TokenSet]) {
        let mut table = self.table();
        for digest in sets.iter().filter_map(digest) {
            if let Some(entry) = table.entries.get_mut(&digest)
                && matches!(entry.state, State::Renewed(_))
            {
                entry.state = State::Unused;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that was out of reach may be asked again; one that said `invalid_grant` will say it again. Where it has answered, and the answer
/// is good for nothing, the refresh token may have been used up all the same.
fn is_final(error: &OAuthError) -> bool {
    match error {
        OAuthError::Refused { stage: Stage::Token, error, .. } => error == "invalid_grant",
        OAuthError::InvalidAnswer { .. } | OAuthError::InvalidIdToken { .. } => true,
        _ => false,
    }
}

impl State {
    fn is_lost(&self) -> bool {
        matches!(self, Self::UnderWay(under_way) if under_way.is_lost())
    }

    fn is_in_use(&self) -> bool {
        matches!(self, Self::UnderWay(under_way) if !under_way.is_lost())
    }
}

impl Table {
    fn put(&mut self, digest: Digest, state: State, is_over: bool, at: Duration) {
        self.take(&digest);
        let turn = self.next_turn;
        self.next_turn = turn.saturating_add(1);
        self.order.insert(turn, digest);
        self.entries.insert(digest, Entry { state, is_over, at, turn });
        self.forget_old(at);
    }

    fn take(&mut self, digest: &Digest) -> Option<Entry> {
        let entry = self.entries.remove(digest)?;
        self.order.remove(&entry.turn);
        Some(entry)
    }

    fn forget_old(&mut self, now: Duration) {
        let is_old = |entry: &Entry| now.saturating_sub(entry.at) >= MEMORY;
        let mut in_use = Vec::new();
        while let Some((_, digest)) = self.order.first_key_value()
            && let Some(entry) = self.entries.get(digest)
            && (is_old(entry) || self.entries.len() > MOST)
            && let Some((turn, digest)) = self.order.pop_first()
        {
            // What is in use keeps its place, and what was lost goes like all else.
            if self.entries.get(&digest).is_some_and(|entry| entry.state.is_in_use()) {
                in_use.push((turn, digest));
            } else {
                self.entries.remove(&digest);
            }
        }
        self.order.extend(in_use);
    }
}

/// Of a refresh token, and of what it is used for: one that is good for several APIs may be asked for a token for each (RFC 8707 s2.2).
fn digest(token: &TokenSet) -> Option<Digest> {
    let mut text = token.refresh_token()?.to_owned();
    for resource in &token.resources {
        text.push('\n');
        text.push_str(resource);
    }
    Some(sha256(text.as_bytes()))
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
            Joined::Begun(begun) => *begun,
            Joined::Ended(outcome) => panic!("{outcome:?}"),
            Joined::Waiting(_) => panic!("it is under way"),
        }
    }

    fn access(joined: Joined) -> String {
        match joined {
            Joined::Ended(outcome) => match *outcome {
                Ok(token) => token.access_token().to_owned(),
                Err(error) => error.label().to_owned(),
            },
            Joined::Waiting(_) => "waiting".to_owned(),
            Joined::Begun(_) => "begun".to_owned(),
        }
    }

    fn end(table: &Successors, token: &TokenSet, outcome: Outcome, now: Timestamp) {
        drop(table.end(token, outcome, now));
    }

    #[test]
    fn a_refresh_token_is_under_way_once_and_its_successor_is_remembered_for_60_s() {
        let table = Successors::default();
        let old = set("a1", "r1", 0);
        let first = begun(table.join(&old, at(0)));
        assert_eq!(access(table.join(&old, at(0))), "waiting");
        end(&table, &first.token, Ok(set("a2", "r2", 3600)), at(10));
        assert_eq!(access(table.join(&old, at(69))), "a2");
        assert_eq!(access(table.join(&old, at(70))), "begun");
    }

    #[test]
    fn whoever_has_the_successor_gets_a_newer_one_where_the_server_does_not_rotate() {
        let table = Successors::default();
        let (old, new) = (set("a1", "r1", 0), set("a2", "r1", 3600));
        let first = begun(table.join(&old, at(0)));
        end(&table, &first.token, Ok(new.clone()), at(0));
        assert_eq!(access(table.join(&old, at(1))), "a2");
        assert_eq!(access(table.join(&new, at(1))), "begun");
    }

    #[test]
    fn a_successor_that_has_ended_is_renewed_by_its_own_refresh_token() {
        let table = Successors::default();
        let old = set("a1", "r1", 0);
        let first = begun(table.join(&old, at(0)));
        end(&table, &first.token, Ok(set("a2", "r2", 5)), at(0));
        let second = begun(table.join(&old, at(6)));
        assert_eq!(second.token.refresh_token(), Some("r2"));
        end(&table, &second.token, Ok(set("a3", "r3", 3600)), at(6));
        assert_eq!(access(table.join(&old, at(7))), "a3");
    }

    #[test]
    fn the_newest_of_several_successors_is_what_counts_and_one_under_way_is_joined() {
        let table = Successors::default();
        let sets = [set("a1", "r1", 0), set("a2", "r2", 3600), set("a3", "r3", 3600)];
        for pair in sets.windows(2) {
            let begun = begun(table.join(&pair[0], at(0)));
            end(&table, &begun.token, Ok(pair[1].clone()), at(0));
        }
        assert_eq!(access(table.join(&sets[0], at(1))), "a3", "a2 may be worth nothing by now");
        let third = begun(table.join(&sets[2], at(1)));
        assert_eq!(access(table.join(&sets[0], at(1))), "waiting");
        drop(third);
        assert_eq!(access(table.join(&sets[0], at(1))), "a3", "it was lost");
        let third = begun(table.join(&sets[0], at(3601)));
        assert_eq!(third.token.refresh_token(), Some("r1"), "all is forgotten");
    }

    #[test]
    fn what_may_have_used_the_refresh_token_up_is_remembered_and_other_failures_are_not() {
        use crate::client::error::refused;
        let invalid = |problem| OAuthError::InvalidIdToken { problem, reason: None };
        let rows = [
            (refused(Stage::Token, "invalid_grant", None), true),
            (OAuthError::InvalidAnswer { problem: "" }, true),
            (invalid(""), true),
            (refused(Stage::Token, "invalid_client", None), false),
            (OAuthError::Unsupported { problem: "" }, false),
        ];
        for (error, is_remembered) in rows {
            let table = Successors::default();
            let old = set("a1", "r1", 0);
            let first = begun(table.join(&old, at(0)));
            end(&table, &first.token, Err(error.clone()), at(0));
            assert_eq!(table.rests(&old, at(29), Duration::from_secs(30)), !is_remembered, "{error}");
            assert!(!table.rests(&old, at(30), Duration::from_secs(30)), "{error}");
            let expected = if is_remembered { error.label() } else { "begun" };
            assert_eq!(access(table.join(&old, at(59))), expected, "{error}");
            let table = Successors::default();
            let first = begun(table.join(&old, at(0)));
            end(&table, &first.token, Err(error), at(0));
            assert_eq!(access(table.join(&old, at(60))), "begun");
        }
    }

    #[test]
    fn a_renewal_that_was_lost_is_begun_anew() {
        let table = Successors::default();
        let old = set("a1", "r1", 0);
        drop(begun(table.join(&old, at(0))));
        assert_eq!(access(table.join(&old, at(0))), "begun");
    }

    #[test]
    fn a_renewal_that_was_lost_is_forgotten_like_others_and_one_under_way_is_not() {
        let table = Successors::default();
        let old = |number: usize| set("a", &format!("r{number}"), 0);
        let left = || {
            let table = table.table();
            (table.entries.len(), table.order.len())
        };
        let in_use = begun(table.join(&old(0), at(0)));
        let buried = begun(table.join(&old(1), at(0)));
        table.bury(&old(1), at(0));
        drop(buried);
        for number in 2..MOST + 5 {
            drop(begun(table.join(&old(number), at(0))));
        }
        assert_eq!(left(), (MOST, MOST));
        assert_eq!(access(table.join(&old(0), at(59))), "waiting", "the oldest, but in use");
        assert!(!table.is_over(&old(1)), "too many came since");
        table.bury(&old(2), at(1));
        assert_eq!(access(table.join(&old(0), at(61))), "waiting");
        assert_eq!(left(), (1, 1));
        drop(in_use);
        assert_eq!(access(table.join(&old(1), at(61))), "begun");
        assert_eq!(left(), (1, 1), "what was in use is lost by now");

        let first = begun(table.join(&old(0), at(61)));
        table.lose(&old(0));
        assert_eq!(access(table.join(&old(0), at(61))), "waiting");
        drop(first);
        table.bury(&old(0), at(61));
        table.lose(&old(0));
        assert!(table.is_over(&old(0)), "it could not begin, but was logged out");
        table.lose(&old(1));
        assert_eq!(left(), (1, 1), "it could not begin");
    }

    #[test]
    fn the_oldest_outcomes_go_when_there_are_too_many() {
        let table = Successors::default();
        let old = |number: usize| set("a", &format!("r{number}"), 0);
        for number in 0..=MOST {
            let begun = begun(table.join(&old(number), at(0)));
            end(&table, &begun.token, Ok(set("b", &format!("s{number}"), 3600)), at(0));
        }
        assert_eq!(table.table().entries.len(), MOST);
        assert_eq!(access(table.join(&old(1), at(0))), "b");
        assert_eq!(access(table.join(&old(0), at(0))), "begun");
    }

    #[test]
    fn what_was_logged_out_is_handed_to_nobody_for_60_s_and_known_until_it_was_revoked() {
        let table = Successors::default();
        let sets = [set("a1", "r1", 0), set("a2", "r2", 3600), set("a3", "r3", 3600)];
        let first = begun(table.join(&sets[0], at(0)));
        end(&table, &first.token, Ok(sets[1].clone()), at(0));
        let second = begun(table.join(&sets[1], at(0)));
        let buried = table.bury(&sets[0], at(1));
        assert!(buried.waiting.is_some());
        assert_eq!(access(table.join(&sets[1], at(1))), "token_expired");
        let told = table.end(&second.token, Ok(sets[2].clone()), at(2));
        assert_eq!(told.unwrap_err().label(), "token_expired", "those who waited get nothing");

        let names = |buried: &Buried| buried.sets.iter().map(|set| set.access_token().to_owned()).collect::<Vec<_>>();
        let buried = table.bury(&sets[0], at(2));
        assert_eq!((names(&buried), buried.waiting.is_some()), (["a3", "a2", "a1"].map(str::to_owned).to_vec(), false));
        assert_eq!(names(&table.bury(&sets[0], at(2))).len(), 3, "until they were revoked");
        table.drop_those_of(&buried.sets);
        assert_eq!(names(&table.bury(&sets[0], at(2))), ["a1"]);
        for set in &sets {
            assert_eq!(access(table.join(set, at(61))), "token_expired");
            assert!(table.is_over(set));
        }
        for set in &sets {
            assert_eq!(access(table.join(set, at(62))), "begun");
        }
    }

    #[test]
    fn a_refresh_token_for_another_api_is_another_matter() {
        let table = Successors::default();
        let one = set("a1", "r1", 0);
        let mut other = one.clone();
        other.resources.push("https://other.test/".to_owned());
        let first = begun(table.join(&one, at(0)));
        assert_eq!(access(table.join(&other, at(0))), "begun");
        end(&table, &first.token, Ok(set("a2", "r2", 3600)), at(0));
        assert_eq!(access(table.join(&one, at(0))), "a2");
    }
}
