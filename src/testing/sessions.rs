//! Who is signed in, and who is about to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::request::Asked;

/// The sessions, oldest first, and what browsers are in the middle of.
#[derive(Default)]
pub(super) struct Sessions {
    held: Vec<Session>,
    transactions: HashMap<String, Transaction>,
}

/// Somebody who has signed in.
pub(super) struct Session {
    /// What tokens call it: `sid`.
    pub(super) sid: String,
    /// What the browser knows it by. None if nobody has a browser: the session cannot be gone on with.
    pub(super) cookie: Option<String>,
    pub(super) login: String,
    pub(super) auth_time: i64,
    /// What the user has allowed to each client that got a code.
    pub(super) allowed: BTreeMap<String, BTreeSet<String>>,
    pub(super) has_ended: bool,
}

/// What a browser was asked and has not answered yet.
#[derive(Clone)]
pub(super) struct Transaction {
    /// The browser's cookie: nobody else answers for it.
    pub(super) browser: String,
    pub(super) ends_at: i64,
    pub(super) matter: Matter,
}

#[derive(Clone, Debug)]
pub(super) enum Matter {
    /// An authorization request, and the session in which it is granted, once there is one that will do.
    SignIn { asked: Box<Asked>, sid: Option<String> },
    /// To sign out, and go there.
    SignOut { to: Option<String> },
}

impl Sessions {
    /// The session of a browser.
    pub(super) fn of_browser(&self, cookie: Option<&str>) -> Option<&Session> {
        let cookie = cookie?;
        self.held.iter().rev().find(|session| !session.has_ended && session.cookie.as_deref() == Some(cookie))
    }

    pub(super) fn named(&self, sid: &str) -> Option<&Session> {
        self.held.iter().find(|session| session.sid == sid)
    }

    pub(super) fn named_mut(&mut self, sid: &str) -> Option<&mut Session> {
        self.held.iter_mut().find(|session| session.sid == sid)
    }

    /// The newest in which this client got a code.
    pub(super) fn newest_of(&self, client: &str) -> Option<&Session> {
        self.held.iter().rev().find(|session| session.allowed.contains_key(client))
    }

    /// Somebody has signed in. A browser that was signed in as the same user goes on with its session, under another cookie.
    pub(super) fn begin(&mut self, login: &str, before: Option<&str>, fresh: Session) -> String {
        let known = self.held.iter_mut().rev().find(|session| {
            !session.has_ended && session.login == login && before.is_some() && session.cookie.as_deref() == before
        });
        if let Some(known) = known {
            known.cookie = fresh.cookie;
            known.auth_time = fresh.auth_time;
            return known.sid.clone();
        }
        let sid = fresh.sid.clone();
        self.held.push(fresh);
        sid
    }

    pub(super) fn keep(&mut self, id: String, transaction: Transaction) {
        self.transactions.insert(id, transaction);
    }

    /// What this browser is in the middle of.
    pub(super) fn transaction(&self, id: &str, browser: Option<&str>, now: i64) -> Option<Transaction> {
        let found = self.transactions.get(id)?;
        (Some(found.browser.as_str()) == browser && now < found.ends_at).then(|| found.clone())
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.transactions.remove(id);
    }
}

impl Session {
    pub(super) fn has_allowed(&self, client: &str, scopes: &[&str]) -> bool {
        self.allowed.get(client).is_some_and(|allowed| scopes.iter().all(|scope| allowed.contains(*scope)))
    }

    pub(super) fn allow(&mut self, client: &str, scopes: &[&str]) {
        self.allowed.entry(client.to_owned()).or_default().extend(scopes.iter().map(|&scope| scope.to_owned()));
    }
}
