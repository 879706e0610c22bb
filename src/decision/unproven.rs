//! What to say of a token that no key at hand has proven: its fault, or not known yet.

use std::sync::Arc;
use std::time::Duration;

use super::{Need, Refusal, Stop, Supply};
use crate::claims::hint::Hint;
use crate::clock::Timestamp;
use crate::issuer::TrustedIssuer;
use crate::issuer_id::IssuerId;
use crate::jose::compact::Unverified;
use crate::keys::store::Held;
use crate::keys::unknown_key::UnknownKey;
use crate::reason::{Cause, Reason};

/// A token that no key at hand has proven, and all that bears on what to say of it.
pub(super) struct Unproven<'j> {
    pub(super) issuer: &'j TrustedIssuer,
    pub(super) token: &'j Unverified<'j>,
    pub(super) held: &'j Held,
    pub(super) supply: Option<&'j Supply>,
    pub(super) now: Timestamp,
}

impl Unproven<'_> {
    /// Nothing can be judged without keys: never a 401 (tenet 4), unless the token is not worth asking for.
    pub(super) fn without_keys(&self) -> Stop {
        let barred = self.held.remote().map(|remote| remote.published.barred(self.now));
        let refusal = self.unavailable(barred);
        match (self.supply, barred) {
            (None | Some(Supply::LookAgain), Some(_)) => self.wanted(Need::Keys { issuer: self.name() }, refusal),
            _ => Stop::Refused(refusal),
        }
    }

    /// 401 once the issuer's current keys have judged it; 503 while they are older and the issuer could not be asked.
    pub(super) fn unknown_key(&self) -> Stop {
        let kid = self.token.header.kid();
        let barred = self.held.remote().map(|remote| remote.published.unknown_barred(self.now));
        let refusal = self.unavailable(barred);
        match (self.supply, self.held.unknown_key(kid, self.now)) {
            (Some(Supply::Fetched), _) | (_, UnknownKey::Absent) => Reason::UnknownKey.into(),
            (None | Some(Supply::LookAgain), UnknownKey::Ask) => {
                self.wanted(Need::UnknownKey { issuer: self.name(), kid: kid.map(Into::into) }, refusal)
            }
            _ => Stop::Refused(refusal),
        }
    }

    /// The key at hand has judged it, so it is 401 whatever the network does. Where the issuer may be asked, it is: the name may
    /// belong to another key by now.
    pub(super) fn bad_signature(&self) -> Stop {
        let barred = self.held.remote().map(|remote| remote.published.renamed_barred(self.now));
        match (self.supply, barred) {
            (None | Some(Supply::LookAgain), Some(Duration::ZERO)) if self.is_worth_asking().is_ok() => {
                Stop::wanted(Need::RenamedKey { issuer: self.name() }, Reason::BadSignature.into())
            }
            _ => Reason::BadSignature.into(),
        }
    }

    /// States a need, unless the token is not worth a fetch.
    fn wanted(&self, need: Need, meanwhile: Refusal) -> Stop {
        match self.is_worth_asking() {
            Ok(()) => Stop::wanted(need, meanwhile),
            Err(reason) => reason.into(),
        }
    }

    /// A stranger's token or an expired one causes no fetch.
    fn is_worth_asking(&self) -> Result<(), Reason> {
        let rules = &self.issuer.rules;
        #[cfg(feature = "client")]
        let read = if rules.for_a_client { Hint::read_without_end } else { Hint::read };
        #[cfg(not(feature = "client"))]
        let read = Hint::read;
        let hint = read(self.token)?;
        if !hint.names(rules.issuer.as_str()) {
            return Err(Reason::UntrustedIssuer);
        }
        if hint.is_expired(self.now, rules.leeway) { Err(Reason::Expired) } else { Ok(()) }
    }

    fn name(&self) -> IssuerId {
        self.issuer.rules.issuer.clone()
    }

    /// Never judged, for `barred` at least: how long the issuer is not asked; `None` where there is nobody to ask.
    fn unavailable(&self, barred: Option<Duration>) -> Refusal {
        let known = self.held.remote().and_then(|remote| remote.last_error.clone());
        match barred {
            Some(barred) => unavailable(self.supply, known, barred.saturating_add(SOON)),
            None => unavailable(self.supply, known, LATER),
        }
    }
}

/// How soon to come again after a question that is on its way.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// How soon to come again where nothing is on its way.
pub(super) const LATER: Duration = Duration::from_secs(5);

/// Never judged, for so long.
pub(super) fn unavailable(supply: Option<&Supply>, known: Option<Cause>, retry_after: Duration) -> Refusal {
    let cause = match supply {
        Some(Supply::Unreachable(cause)) => Some(Arc::clone(cause)),
        Some(Supply::LookAgain | Supply::Fetched | Supply::Answered(_) | Supply::BudgetSpent) | None => known,
    };
    Refusal { reason: Reason::KeysUnavailable, cause, retry_after: Some(retry_after) }
}
