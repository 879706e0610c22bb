//! Logins that the browser remembers itself, in a cookie that it can neither read nor change.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::client::state::{StateStore, Storing, cause};
use crate::config_error::ConfigError;
use crate::jose::base64url;
use crate::jose::crypto::random;
use crate::jose::crypto::vault::Vault;

/// A [`StateStore`] that needs no store: the record is encrypted and authenticated (AES-256-GCM) and kept by the browser, so that any number
/// of processes with one secret can begin and complete each other's logins.
///
/// A cookie that was used is remembered by this process, so that it does nothing again here; the last 65,536 are. In another process with
/// the same secret a stolen copy of a cookie could be sent again until the login's time is over, and there the server refuses the code,
/// which it takes once (RFC 6749 s4.1.2). Give a store of your own where that is not enough.
pub struct CookieStore {
    vault: Vault,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    states: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

const MOST_USED: usize = 65_536;

impl CookieStore {
    /// With this secret: 32 octets or more that nobody can guess, the same in every process that serves the program. Another secret ends
    /// the logins that are under way, and nothing else.
    ///
    /// # Errors
    /// [`ConfigError`] if it is shorter.
    pub fn new(secret: &[u8]) -> Result<Self, ConfigError> {
        if secret.len() < 32 {
            let problem = "has less than 32 octets";
            return Err(ConfigError::Missing { setting: "state_store", problem });
        }
        let vault = Vault::derived(secret, b"oauth login")
            .ok_or(ConfigError::Missing { setting: "state_store", problem: "the cryptographic library made no key" })?;
        Ok(Self { vault, used: Mutex::default() })
    }

    /// With a secret of this process alone.
    pub(crate) fn for_this_process() -> Result<Self, ConfigError> {
        let problem = "the system has no randomness";
        Self::new(&random::<32>().ok_or(ConfigError::Missing { setting: "state_store", problem })?)
    }

    fn is_first_use(&self, state: &str) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.states.insert(state.into()) {
            return false;
        }
        used.order.push_back(state.into());
        if used.order.len() > MOST_USED
            && let Some(oldest) = used.order.pop_front()
        {
            used.states.remove(&oldest);
        }
        true
    }
}

impl StateStore for CookieStore {
    fn put<'a>(&'a self, state: &'a str, record: &'a [u8], _: Duration) -> Storing<'a, Option<String>> {
        let sealed = self.vault.seal(state.as_bytes(), record).map(|sealed| Some(base64url::encode(&sealed)));
        Box::pin(async move { sealed.ok_or_else(|| cause("the record could not be encrypted")) })
    }

    fn take<'a>(&'a self, state: &'a str, kept: Option<&'a str>) -> Storing<'a, Option<Vec<u8>>> {
        let sealed = kept.and_then(|kept| base64url::decode(kept.as_bytes()));
        let record = sealed.and_then(|sealed| self.vault.open(state.as_bytes(), &sealed));
        // Only what was sealed here takes a place among the used ones.
        let record = record.filter(|_| self.is_first_use(state));
        Box::pin(async move { Ok(record) })
    }
}

impl fmt::Debug for CookieStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieStore(..)")
    }
}
