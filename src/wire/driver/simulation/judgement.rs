//! The model, and each verdict and each answer held against it.

#![cfg(test)]

use std::collections::BTreeMap;

use super::world::{Key, POOL, Presented, version};
use super::*;
use crate::credentials::Credentials;
use crate::decision::{Left, Verdict, decide};
use crate::keys::remote::Loaded;
use crate::reason::Reason;

/// How old the keys may be that call a key absent.
const JUDGED_FOR: Duration = Duration::from_secs(30);

/// What is known of one issuer's keys here, in the plainest words.
#[derive(Default)]
pub(super) struct Model {
    /// The order by whose answer the issuer last vouched for the keys at hand, and when it was given.
    vouched: Option<(u64, Timestamp)>,
    /// Answers without a key since then, and when the first of them came.
    empties: Option<(u32, Duration)>,
    /// The uptimes of the fetches that tokens have caused.
    spent: Vec<Duration>,
}

/// What lives have seen, and how often.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    /// Each of these has to happen often, or nothing is proved.
    const ALL: [&str; 14] = [
        "accepted",
        "expired",
        "bad signature",
        "unknown key",
        "no keys",
        "undecided",
        "answered",
        "cancelled",
        "caused by a token",
        "counted",
        "late",
        "failed",
        "empty",
        "withdrawn",
    ];

    pub(super) fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn times(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, other: Self) {
        for (what, times) in other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    pub(super) fn is_varied(&self) -> bool {
        Self::ALL.iter().all(|what| self.times(what) >= 200)
    }
}

/// What an answer says, as the model reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Set(usize),
    Unchanged,
    Nothing,
}

impl Life {
    /// Which of the issuer's key sets lies in the store.
    pub(super) fn installed(&self, issuer: usize) -> Option<usize> {
        let held = self.trusted.issuers[issuer].keys.read();
        version(&held.remote().unwrap().document)
    }

    fn set(&self, issuer: usize, version: usize) -> Vec<Key> {
        self.server(issuer, |server| server.sets[version].clone())
    }

    /// By the clock that says longer.
    fn age(&self, issuer: usize) -> Option<Duration> {
        let (_, at) = self.models[issuer].vouched?;
        let now = self.now();
        let by_wall = Duration::from_millis(u64::try_from(now.unix_millis() - at.unix_millis()).unwrap_or(0));
        Some(by_wall.max(now.uptime() - at.uptime()))
    }

    /// Has the thread read a message, and holds what it makes of an answer against the model.
    pub(super) fn read(&mut self, message: Message) {
        let Message::Arrived { issuer: name, order, arrival, .. } = &message else {
            return self.read_question(message);
        };
        let issuer = ISSUERS.iter().position(|issuer| *issuer == name.as_str()).unwrap();
        let refresh = &self.wire.slots[name].refresh;
        let (is_open, is_fetching, id, at) = (refresh.is_open(order.id), refresh.is_fetching(), order.id, order.at);
        let said = match &arrival.outcome {
            Ok(Loaded::Keys(fresh)) => Said::Set(version(&fresh.document).unwrap()),
            Ok(Loaded::Unchanged { .. }) => Said::Unchanged,
            Err(_) => Said::Nothing,
        };
        self.note(|| format!("issuer {issuer} answers order {id}: {said:?}"));
        let before = self.installed(issuer);
        self.wire.read(message);
        let after = self.installed(issuer);
        assert!(after >= before, "an older answer replaced a newer one (I12)");
        let is_newest = self.models[issuer].vouched.is_none_or(|(newest, _)| id > newest);
        let (counts, lies) = match said {
            Said::Nothing => (false, before),
            Said::Unchanged => (is_open, before),
            Said::Set(set) if self.set(issuer, set).is_empty() => {
                (self.is_confirmed(issuer, is_open, before, after), if after == before { before } else { Some(set) })
            }
            // Keys of an order that was given up are better than none, unless newer ones are on their way.
            Said::Set(set) if is_newest && (is_open || !is_fetching) => (true, Some(set)),
            Said::Set(_) => (false, before),
        };
        assert_eq!(after, lies, "after {said:?}, where {before:?} was (I4, I5)");
        self.seen.note(match said {
            Said::Nothing => "failed",
            _ if counts => "counted",
            Said::Set(set) if is_open && self.set(issuer, set).is_empty() => "empty",
            Said::Set(_) | Said::Unchanged => "late",
        });
        if counts {
            (self.models[issuer].vouched, self.models[issuer].empties) = (Some((id, at)), None);
            let [before, after] = [before, after].map(|set| set.map(|set| self.set(issuer, set)).unwrap_or_default());
            if before.iter().any(|key| !after.contains(key)) {
                self.seen.note("withdrawn");
            }
        }
    }

    /// I3: in every window that ends with a fetch which a token caused, at most two, and one more for each half minute.
    fn read_question(&mut self, message: Message) {
        let Message::Needed { need: Need::UnknownKey { issuer: name, .. } | Need::RenamedKey { issuer: name }, .. } =
            &message
        else {
            return self.wire.read(message);
        };
        let issuer = ISSUERS.iter().position(|issuer| *issuer == name.as_str()).unwrap();
        let (name, up) = (name.clone(), self.now().uptime());
        let was_fetching = self.wire.slots[&name].refresh.is_fetching();
        self.wire.read(message);
        if was_fetching || !self.wire.slots[&name].refresh.is_fetching() {
            return;
        }
        self.seen.note("caused by a token");
        let spent = &mut self.models[issuer].spent;
        spent.push(up);
        for (place, begin) in spent.iter().enumerate() {
            let (count, periods) = ((spent.len() - place) as u64, (up - *begin).as_secs() / 30);
            assert!(count <= 2 + periods, "{count} fetches by tokens in {periods} half minutes (I3)");
        }
    }

    /// Whether a set without a key counts: where there was none already, or after three such answers over a minute at the least.
    fn is_confirmed(&mut self, issuer: usize, is_open: bool, before: Option<usize>, after: Option<usize>) -> bool {
        if !is_open {
            return false;
        }
        let up = self.now().uptime();
        let was_empty = before.is_some_and(|set| self.set(issuer, set).is_empty());
        let (count, first) = self.models[issuer].empties.map_or((1, up), |(count, first)| (count + 1, first));
        self.models[issuer].empties = Some((count, first));
        let is_installed = after != before;
        assert!(
            !is_installed || was_empty || count >= 3 && up - first >= Duration::from_secs(60),
            "an empty set was believed at once (I5)"
        );
        was_empty || is_installed
    }

    /// After each step: a stranger's token, and one by a key that is at hand or any other.
    pub(super) fn judge_some(&mut self) {
        // I2. There is no place for him either.
        let presented = Credentials::bearer(&*POOL.stranger);
        let verdict = decide(&self.trusted, &presented, &self.demand, None, self.now(), Left::All);
        assert!(matches!(verdict, Verdict::Refused(refusal) if refusal.reason == Reason::UntrustedIssuer), "I2");
        assert_eq!(self.wire.slots.len(), ISSUERS.len(), "I2");
        assert!(!self.network.is_astray.load(Ordering::Relaxed), "somebody else was asked (I2)");
        let issuer = self.pick(ISSUERS.len());
        let held = self.installed(issuer).map(|set| self.set(issuer, set)).unwrap_or_default();
        let presented = match self.pick(held.len() + 1) {
            0 => self.any_token(issuer),
            place => POOL.token(issuer, held[place - 1], true),
        };
        self.judge(&presented, None, Duration::MAX);
    }

    /// What the judge says, which must be what the model says; and what it needs for more. `since` is when it was asked for.
    pub(super) fn judge(&mut self, presented: &Presented, supply: Option<&Supply>, since: Duration) -> Option<Need> {
        let now = self.now();
        let credentials = Credentials::bearer(&*presented.text);
        let (reason, need) = match decide(&self.trusted, &credentials, &self.demand, supply, now, Left::All) {
            Verdict::Accepted(token, once) => {
                // What is remembered changes nothing of what is said below.
                if let Some(evidence) = once.evidence {
                    self.trusted.tokens.remember(presented.text.as_bytes(), &token, evidence, now);
                }
                (None, None)
            }
            Verdict::NotEnough(..) => (Some(Reason::InsufficientScope), None),
            Verdict::Refused(refusal) => (Some(refusal.reason), None),
            Verdict::Wanted(wanted) => (Some(wanted.meanwhile.reason), Some(wanted.need)),
        };
        let issuer = presented.issuer;
        let has_expired = now.unix_millis() >= presented.ends + LEEWAY.as_millis() as i64;
        let age = self.age(issuer).filter(|age| *age <= MAX_STALE);
        let held = self.installed(issuer).map(|set| self.set(issuer, set)).unwrap_or_default();
        let named = presented.key.and_then(|key| held.into_iter().find(|held| held.name == key.name));
        self.note(|| format!("  judged {reason:?} {need:?}; expired {has_expired}, age {age:?}, {named:?}"));
        // Whoever has waited was worth it, and is not asked again, unless others had asked for what he waited for.
        let may_ask = matches!(supply, None | Some(Supply::LookAgain));
        let is_worth_asking = !has_expired && may_ask;
        let what = match (age, named) {
            (None, _) if has_expired && may_ask => (reason == Some(Reason::Expired)).then_some("expired"),
            // I1, I11.
            (None, _) => (reason == Some(Reason::KeysUnavailable)).then_some("no keys"),
            // I7, and the accepting side.
            (Some(_), named) if named.is_some() && named == presented.key => match reason {
                Some(Reason::Expired) if has_expired => Some("expired"),
                None if !has_expired => Some("accepted"),
                _ => None,
            },
            (Some(_), Some(_)) => (reason == Some(Reason::BadSignature)).then_some("bad signature"),
            (Some(age), None) => match reason {
                Some(Reason::KeysUnavailable) => Some("undecided"),
                Some(Reason::Expired) if has_expired && may_ask => Some("expired"),
                // I11: the issuer has said so a moment ago, or since this was asked.
                Some(Reason::UnknownKey) if age <= JUDGED_FOR || self.was_vouched_since(issuer, since) => {
                    Some("unknown key")
                }
                _ => None,
            },
        };
        let Some(what) = what else {
            panic!("judged {reason:?}: {presented:?}, expired {has_expired}, keys {age:?} old, of that name {named:?}")
        };
        assert!(need.is_none() || is_worth_asking, "asked for a token that is not worth it: {presented:?}");
        self.seen.note(what);
        need
    }

    fn was_vouched_since(&self, issuer: usize, since: Duration) -> bool {
        self.models[issuer].vouched.is_some_and(|(_, at)| at.uptime() >= since)
    }
}
