//! All that an issuer knows of clients, users and what goes on between them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use serde_json::{Map, Value};

use super::client::TestClient;
use super::form::Form;
use super::grants::Grants;
use super::sessions::Sessions;
use super::settings::Settings;
use super::user::TestUser;

#[derive(Default)]
pub(super) struct Provider {
    pub(super) settings: Settings,
    pub(super) clients: HashMap<String, TestClient>,
    pub(super) users: HashMap<String, TestUser>,
    pub(super) sessions: Sessions,
    pub(super) grants: Grants,
    /// Requests that were pushed, under their `request_uri` (RFC 9126).
    pub(super) pushed: HashMap<String, Pushed>,
    /// Client and `jti` of assertions that have counted.
    pub(super) assertions: HashSet<(String, String)>,
    /// What takes the place of the next answers of the userinfo endpoint.
    pub(super) userinfo: VecDeque<Map<String, Value>>,
}

#[derive(Clone)]
pub(super) struct Pushed {
    pub(super) client: String,
    pub(super) form: Form,
    pub(super) ends_at: i64,
}

impl Provider {
    /// The user of this login name. Everybody is one.
    pub(super) fn user(&self, login: &str) -> TestUser {
        self.users.get(login).cloned().unwrap_or_else(|| TestUser::new(login))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("settings", &self.settings)
            .field("clients", &self.clients.keys())
            .finish_non_exhaustive()
    }
}
