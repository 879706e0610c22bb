//! The front door: asks the judge, and brings what the judge needs.

#[cfg(feature = "driver")]
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::credentials::Credentials;
#[cfg(feature = "driver")]
use crate::decision::{Need, Supply};
use crate::decision::{Refusal, Trusted, Verdict, decide};
#[cfg(feature = "driver")]
use crate::issuer::TrustedIssuer;
use crate::reason::{Family, Reason};
use crate::rejection::{Network, Realm, Rejection};
use crate::requirement::Requirement;
use crate::token::AccessToken;
#[cfg(feature = "driver")]
use crate::wire::driver::Driver;
#[cfg(feature = "driver")]
use crate::wire::fetch::FetchError;

/// Decides whether the bearer token of a request is good enough.
///
/// A clone costs one reference count. When the last one is dropped, the thread that fetches keys ends.
///
/// ```
/// use scopegate::{Credentials, Issuer, KeySet, Reason, Requirement, ScopePolicy, Validator};
///
/// let keys = KeySet::from_json(br#"{"keys":[]}"#)?;
/// let validator = Validator::builder("https://api.example.com")
///     .trust(Issuer::keys("https://id.example.com", keys))
///     .build()?;
/// let read = Requirement::from(ScopePolicy::all(["things:read"])?);
///
/// let refused = validator.check(&Credentials::bearer("not.a.token"), &read).unwrap_err();
/// assert_eq!(refused.reason(), Reason::Malformed);
/// assert_eq!(refused.status(), 401);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Validator(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) trusted: Trusted,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) realm: Realm,
    #[cfg(feature = "driver")]
    pub(crate) driver: Driver,
}

/// How soon a client may come again after a question that is on its way.
const SOON: Duration = Duration::from_secs(1);
/// How soon a client may come again while the issuer cannot be asked: the longest wait between two tries in that case.
const LATER: Duration = Duration::from_secs(5);

impl Validator {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Judges what a request presented, from memory: no waiting, no network, no lock held while a signature is verified.
    ///
    /// *`check` answers from memory; `validate` may wait for the network.* That is their one difference. Where `check` would
    /// have to wait it refuses with 503, starts what is needed, and says so on the [`Rejection`].
    ///
    /// # Errors
    /// [`Rejection`], with the reason for the operator and the answer for the client.
    pub fn check(&self, presented: &Credentials<'_>, demand: &Requirement) -> Result<AccessToken, Rejection> {
        match self.decide(presented, demand) {
            Verdict::Known(result) => result.map_err(|refusal| self.reject(refusal, demand)),
            #[cfg(feature = "driver")]
            Verdict::Wanted(need) => {
                // Heals itself: a later check finds what was brought.
                let is_on_its_way = self.0.driver.start(need);
                Err(self.not_yet(demand, if is_on_its_way { Network::CouldDecide } else { Network::MadeNoDifference }))
            }
            #[cfg(not(feature = "driver"))]
            Verdict::Wanted(_) => Err(self.not_yet(demand, Network::MadeNoDifference)),
        }
    }

    /// Judges what a request presented, and waits for the network where that takes it: at most 1 s for a key that is not at
    /// hand, 5 s for the very first keys. Many that wait for the same share one fetch, and dropping the future harms nobody.
    ///
    /// It works under any executor.
    ///
    /// # Errors
    /// [`Rejection`], with the reason for the operator and the answer for the client.
    #[cfg(feature = "driver")]
    pub async fn validate(&self, presented: &Credentials<'_>, demand: &Requirement) -> Result<AccessToken, Rejection> {
        let mut supply: Option<Supply> = None;
        for _ in 0..ROUNDS {
            let now = self.0.clock.now();
            match decide(&self.0.trusted, presented, demand, supply.as_ref(), now) {
                Verdict::Known(result) => return result.map_err(|refusal| self.reject(refusal, demand)),
                Verdict::Wanted(need) => supply = Some(self.0.driver.ask(need).wait().await),
            }
        }
        Err(self.not_yet(demand, Network::MadeNoDifference))
    }

    /// Fetches the first keys of every issuer, so that a program can refuse to start without them.
    ///
    /// # Errors
    /// [`FetchError::Issuer`] names the first issuer, in the order in which they were trusted, whose keys could not be had.
    #[cfg(feature = "driver")]
    pub async fn warm_up(&self) -> Result<(), FetchError> {
        self.bring(|issuer| Need::Keys { issuer }).await
    }

    /// Fetches the keys of every issuer anew, whatever their age: for when the program has learned that a key is compromised.
    ///
    /// A fetch that began before the call does not count: another follows it. An issuer that asked to be left alone is left
    /// alone, and that is an error.
    ///
    /// # Errors
    /// [`FetchError::Issuer`] names the first issuer, in the order in which they were trusted, whose keys could not be had.
    #[cfg(feature = "driver")]
    pub async fn refresh_now(&self) -> Result<(), FetchError> {
        self.bring(|issuer| Need::Fresh { issuer }).await
    }

    #[cfg(feature = "driver")]
    async fn bring(&self, need: impl Fn(usize) -> Need) -> Result<(), FetchError> {
        let remote = |(place, issuer): (usize, &TrustedIssuer)| {
            issuer.remote.is_some().then(|| (issuer.rules.issuer.clone(), self.0.driver.ask(need(place))))
        };
        // All are asked before the first is waited for.
        let asked: Vec<_> = self.0.trusted.issuers.iter().enumerate().filter_map(remote).collect();
        for (issuer, answer) in asked {
            let source: Arc<dyn Error + Send + Sync> = match answer.wait().await {
                Supply::Fetched => continue,
                Supply::Unreachable(source) => source,
                Supply::BudgetSpent => {
                    Arc::new(FetchError::other("it was asked a moment ago, and is not asked again yet"))
                }
            };
            return Err(FetchError::Issuer { issuer, source });
        }
        Ok(())
    }

    /// The judgement from memory.
    pub(crate) fn decide(&self, presented: &Credentials<'_>, demand: &Requirement) -> Verdict {
        decide(&self.0.trusted, presented, demand, None, self.0.clock.now())
    }

    /// Dresses a refusal as an answer.
    pub(crate) fn reject(&self, refusal: Refusal, demand: &Requirement) -> Rejection {
        let rejection = Rejection::new(refusal.reason, &self.0.realm, demand.to_ask_for());
        match refusal.reason.family() {
            Family::Unavailable => rejection.unavailable(LATER, refusal.cause, Network::MadeNoDifference),
            _ => rejection,
        }
    }

    fn not_yet(&self, demand: &Requirement, network: Network) -> Rejection {
        Rejection::new(Reason::KeysUnavailable, &self.0.realm, demand.to_ask_for()).unavailable(SOON, None, network)
    }
}

/// A token can need its issuer's first keys, and then a newer one; a third round ends the matter.
#[cfg(feature = "driver")]
const ROUNDS: usize = 3;

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.0.trusted.issuers.iter().map(|issuer| &issuer.rules.issuer);
        f.debug_struct("Validator").field("issuers", &issuers.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
