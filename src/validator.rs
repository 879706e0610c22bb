//! The front door: asks the judge, and brings what the judge needs.

#[cfg(feature = "driver")]
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::config_error::ConfigError;
use crate::credentials::Credentials;
#[cfg(feature = "driver")]
use crate::decision::SOON;
use crate::decision::{Left, Need, Once, Recalled, Refusal, Supply, Trusted, Verdict, Wanted, decide, recall};
use crate::health::Health;
#[cfg(feature = "driver")]
use crate::introspection::memory::Meant;
use crate::issuer::TrustedIssuer;
#[cfg(feature = "driver")]
use crate::issuer_id::IssuerId;
#[cfg(feature = "driver")]
use crate::keys::saved::{SavedKeys, SealingSecret};
use crate::observe::{Basis, Judged, Listeners};
use crate::published_metadata::PublishedMetadata;
#[cfg(feature = "driver")]
use crate::reason::Cause;
use crate::reason::Reason;
use crate::rejection::{Network, Realm, Rejection};
use crate::requirement::Requirement;
#[cfg(feature = "driver")]
use crate::restored::{Restored, sets};
use crate::revocation::{Denial, DenyListFull};
use crate::token::AccessToken;
use crate::token_cache::Evidence;
#[cfg(feature = "driver")]
use crate::wire::driver::{Answer, Driver, Patience};
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
    pub(crate) metadata: Option<PublishedMetadata>,
    pub(crate) listeners: Listeners,
    #[cfg(feature = "driver")]
    pub(crate) driver: Driver,
    #[cfg(feature = "driver")]
    pub(crate) restored: Arc<[Restored]>,
}

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
        let came = self.now();
        let left = match self.recall(presented, demand, came) {
            Ok(result) => return result,
            Err(left) => left,
        };
        let rejection = match self.settle(presented, demand, None, left) {
            Settled::Accepted(token, basis) => return self.accept(token, basis, came),
            Settled::Refused(rejection) => rejection,
            Settled::Wanted(need, meanwhile) => {
                // Heals itself: a later check finds what was brought.
                let network = self.begin(need, &meanwhile);
                self.reject(meanwhile, demand, network)
            }
        };
        self.refuse_with(rejection, came)
    }

    /// The judgement from memory, or `None` where [`validate`](Self::validate) has to be asked.
    #[cfg(feature = "tower")]
    pub(crate) fn judge_at_once(
        &self,
        presented: &Credentials<'_>,
        demand: &Requirement,
    ) -> Option<Result<AccessToken, Rejection>> {
        let came = self.now();
        let left = match self.recall(presented, demand, came) {
            Ok(result) => return Some(result),
            Err(left) => left,
        };
        match self.settle(presented, demand, None, left) {
            Settled::Accepted(token, basis) => Some(self.accept(token, basis, came)),
            Settled::Refused(rejection) => Some(self.refuse_with(rejection, came)),
            Settled::Wanted(..) => None,
        }
    }

    /// Judges what a request presented, and waits for the network where that takes it: at most 1 s for a key that is not at
    /// hand, 5 s for the very first keys, and 5 s for the resolver of [`trust_each`](crate::ValidatorBuilder::trust_each) before
    /// them. Many that wait for the same share one fetch, and dropping the future harms nobody.
    ///
    /// It works under any executor.
    ///
    /// # Errors
    /// [`Rejection`], with the reason for the operator and the answer for the client.
    #[cfg(feature = "driver")]
    pub async fn validate(&self, presented: &Credentials<'_>, demand: &Requirement) -> Result<AccessToken, Rejection> {
        let came = self.now();
        let mut left = match self.recall(presented, demand, came) {
            Ok(result) => return result,
            Err(left) => left,
        };
        let mut supply: Option<Supply> = None;
        for _ in 0..ROUNDS {
            match self.settle(presented, demand, supply.as_ref(), left) {
                Settled::Accepted(token, basis) => return self.accept(token, basis, came),
                Settled::Refused(rejection) => return self.refuse_with(rejection, came),
                Settled::Wanted(need, _) => supply = Some(self.0.driver.ask(need, Patience::OneAnswer).wait().await),
            }
            left = Left::All;
        }
        let endless = Refusal { retry_after: Some(SOON), ..Reason::KeysUnavailable.into() };
        self.refuse_with(self.reject(endless, demand, Network::MadeNoDifference), came)
    }

    /// Fetches the first keys of every issuer that is trusted by name, and finds out where and as whom it is asked about tokens, so
    /// that a program can refuse to start without. Each is asked once; what is known of an issuer that does not answer is known after
    /// 25 s at the latest. No issuer is asked about a token.
    ///
    /// # Errors
    /// [`FetchError::Issuer`] names the first issuer, in the order in which they were trusted, whose keys could not be had, and
    /// says why; [`FetchError::Introspection`] the first of which it could not be found out how it is asked.
    #[cfg(feature = "driver")]
    pub async fn warm_up(&self) -> Result<(), FetchError> {
        self.bring(Patience::Until(WARM_UP)).await
    }

    /// The same, and an issuer that cannot be asked is asked again for so long: for a program that starts together with its
    /// issuer.
    ///
    /// # Errors
    /// As [`warm_up`](Self::warm_up), with what went wrong the last time.
    #[cfg(feature = "driver")]
    pub async fn wait_until_ready(&self, limit: Duration) -> Result<(), FetchError> {
        self.bring(Patience::Success(limit)).await
    }

    /// Fetches the keys of every issuer anew, whatever their age: for when the program has learned that a key is compromised.
    /// Issuers that were resolved are asked too.
    ///
    /// A fetch that began before the call does not count: another follows it. An issuer that asked to be left alone is left
    /// alone, and that is an error. [Saved](crate::ValidatorBuilder::restore) keys of issuers that a resolver has not named yet
    /// are dropped: when it does, they are fetched.
    ///
    /// # Errors
    /// [`FetchError::Issuer`] names the first issuer, in the order in which they were trusted, whose keys could not be had.
    #[cfg(feature = "driver")]
    pub async fn refresh_now(&self) -> Result<(), FetchError> {
        // Before anybody is listed: who is named after that finds none of them.
        self.0.driver.forget_leftovers();
        let fetched = self.0.trusted.issuers.iter().filter(|issuer| issuer.remote.is_some());
        let named: Vec<_> = fetched.map(|issuer| issuer.rules.issuer.clone()).collect();
        let resolved = self.0.trusted.resolved.as_ref().map(|resolved| resolved.read().fetched_names());
        let fresh =
            |issuer: IssuerId| self.ask(Need::Fresh { issuer: issuer.clone() }, &issuer, Patience::Until(WARM_UP));
        all_fetched(named.into_iter().chain(resolved.into_iter().flatten()).map(fresh).collect()).await
    }

    /// Trusts an issuer that was [resolved](crate::ValidatorBuilder::trust_each) no longer, from now on: for when a tenant was
    /// deleted or its settings have changed, and this is to count at once. The next token of it has the resolver asked anew,
    /// so delete it there first. A remembered refusal is forgotten too, and so are keys of it that were
    /// [saved](crate::ValidatorBuilder::restore).
    ///
    /// It does nothing to an issuer that is trusted by name.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use futures_executor::block_on;
    /// use scopegate::{Credentials, Issuer, Reason, Requirement, ScopePolicy, Tenants, Validator};
    /// # use scopegate::testing::TestIssuer;
    /// # let issuer = TestIssuer::new("https://login.example.net").default_audience("https://api.example.com");
    /// static IS_CUSTOMER: AtomicBool = AtomicBool::new(true);
    /// let tenants = Tenants::at_most(500, |issuer| {
    ///     let is_known = issuer == "https://login.example.net" && IS_CUSTOMER.load(Ordering::SeqCst);
    ///     is_known.then(|| Issuer::discover(issuer))
    /// });
    /// let validator = Validator::builder("https://api.example.com").trust_each(tenants);
    /// # let validator = validator.fetch(issuer.fetch());
    /// let validator = validator.build()?;
    /// # let token = issuer.token().mint();
    /// let judge = || block_on(validator.validate(&Credentials::bearer(&token), &Requirement::from(ScopePolicy::none())));
    /// assert!(judge().is_ok());
    ///
    /// IS_CUSTOMER.store(false, Ordering::SeqCst);
    /// validator.forget_issuer("https://login.example.net");
    /// assert_eq!(judge().unwrap_err().reason(), Reason::UntrustedIssuer);
    /// # Ok::<(), scopegate::ConfigError>(())
    /// ```
    #[cfg(feature = "driver")]
    pub fn forget_issuer(&self, identifier: &str) {
        if let Some(resolved) = &self.0.trusted.resolved {
            self.0.driver.forget(identifier, resolved);
        }
    }

    #[cfg(feature = "driver")]
    async fn bring(&self, patience: Patience) -> Result<(), FetchError> {
        let mut asked = Vec::new();
        for trusted in &*self.0.trusted.issuers {
            let issuer = &trusted.rules.issuer;
            if trusted.remote.is_some() {
                asked.push(self.ask(Need::Keys { issuer: issuer.clone() }, issuer, patience));
            }
            if trusted.asked.is_some() {
                asked.push(self.ask(Need::Asking { issuer: issuer.clone() }, issuer, patience));
            }
        }
        all_fetched(asked).await
    }

    /// Asks for something of an issuer, at once.
    #[cfg(feature = "driver")]
    fn ask(&self, need: Need, issuer: &IssuerId, patience: Patience) -> Brought {
        let missing = match &need {
            Need::Asking { .. } => |issuer, source| FetchError::Introspection { issuer, source },
            _ => |issuer, source| FetchError::Issuer { issuer, source },
        };
        Brought { issuer: issuer.clone(), answer: self.0.driver.ask(need, patience), missing }
    }

    /// What became of the keys that were given to [`ValidatorBuilder::restore`](crate::ValidatorBuilder::restore), one entry for
    /// each issuer in them. Those of issuers that a resolver may name are told as [`Event`](crate::Event)s when it does.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn restored(&self) -> &[Restored] {
        &self.0.restored
    }

    /// Writes down the keys of every issuer that may be used, as a document sealed under this secret: for a store of your own. See
    /// [`KeyFile`](crate::KeyFile) for a file, which needs no call.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn save_keys(&self, secret: &SealingSecret) -> Vec<u8> {
        let now = self.0.clock.now();
        let resolved = self.0.trusted.resolved.as_ref().map(|resolved| resolved.read());
        let resolved = resolved.iter().flat_map(|table| table.issuers());
        SavedKeys::seal(sets(self.0.trusted.issuers.iter().chain(resolved), now), now, secret)
    }

    /// How the keys of every trusted issuer are, from memory.
    #[must_use]
    pub fn health(&self) -> Health {
        let now = self.0.clock.now();
        let health = |issuer: &TrustedIssuer| issuer.keys.read().health(issuer.rules.issuer.clone(), now);
        let mut issuers: Vec<_> = self.0.trusted.issuers.iter().map(health).collect();
        if let Some(resolved) = &self.0.trusted.resolved {
            issuers.extend(resolved.read().issuers().map(health));
        }
        Health::new(issuers, self.0.trusted.issuers.len())
    }

    /// Whether tokens of every issuer that is trusted by name can be judged, from memory: for a readiness probe.
    ///
    /// Where keys are missing they are on their way from then on, so that a program which gets no request before it is ready
    /// does become so.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let now = self.0.clock.now();
        let mut is_ready = true;
        for issuer in &*self.0.trusted.issuers {
            let keys = issuer.keys.read();
            if !keys.is_usable(now) {
                is_ready = false;
                #[cfg(feature = "driver")]
                if keys.remote().is_some() {
                    self.0.driver.start(Need::Keys { issuer: issuer.rules.issuer.clone() });
                }
            }
        }
        #[cfg(feature = "driver")]
        self.0.driver.notice(now);
        is_ready
    }

    /// The protected-resource metadata that this validator [publishes](crate::ValidatorBuilder::publish_metadata), ready to be served
    /// (RFC 9728).
    ///
    /// # Errors
    /// [`ConfigError::Missing`] if the builder was not told to publish any.
    pub fn metadata(&self) -> Result<PublishedMetadata, ConfigError> {
        self.0.metadata.clone().ok_or(ConfigError::Missing {
            setting: "publish_metadata",
            problem: "the validator was built without it, so that its challenges do not lead to what would be served",
        })
    }

    /// A layer demands this.
    #[cfg(feature = "tower")]
    pub(crate) fn note_demand(&self, demand: &Requirement) {
        if let Some(metadata) = &self.0.metadata {
            metadata.note(demand.scopes());
        }
    }

    /// When a request came; to the point only where somebody wants to know how long it takes.
    fn now(&self) -> Timestamp {
        if self.0.listeners.is_empty() { self.0.clock.now_roughly() } else { self.0.clock.now() }
    }

    /// What memory says, for which it is enough to know roughly when the request came.
    #[inline]
    fn recall(
        &self,
        presented: &Credentials<'_>,
        demand: &Requirement,
        came: Timestamp,
    ) -> Result<Result<AccessToken, Rejection>, Left> {
        let Recalled { judged, fading } = recall(&self.0.trusted, presented, demand, came)?;
        self.renew(fading);
        Ok(match judged {
            Ok(token) => self.accept(token, Basis::Memory, came),
            Err(reason) => {
                let rejection = self.reject(reason.into(), demand, Network::MadeNoDifference);
                self.refuse_with(rejection, came)
            }
        })
    }

    /// Judges, and does what is to be done once about a token that is good.
    fn settle(
        &self,
        presented: &Credentials<'_>,
        demand: &Requirement,
        supply: Option<&Supply>,
        left: Left,
    ) -> Settled {
        let reject = |refusal| Settled::Refused(self.reject(refusal, demand, Network::MadeNoDifference));
        let now = self.0.clock.now();
        match decide(&self.0.trusted, presented, demand, supply, now, left) {
            Verdict::Accepted(token, once) => {
                let basis = match (supply, &once.evidence) {
                    (Some(_), _) => Basis::Network,
                    (None, Some(_)) => Basis::Signature,
                    (None, None) => Basis::Memory,
                };
                self.note_good(presented, &token, once, now);
                Settled::Accepted(token, basis)
            }
            Verdict::NotEnough(token, once) => {
                self.note_good(presented, &token, once, now);
                reject(Reason::InsufficientScope.into())
            }
            Verdict::Refused(refusal) => reject(refusal),
            Verdict::Wanted(wanted) => {
                let Wanted { need, meanwhile, proven } = *wanted;
                if let Some((token, evidence)) = proven {
                    self.remember(presented, &token, evidence, now);
                }
                Settled::Wanted(need, meanwhile)
            }
        }
    }

    /// A signature that held is remembered, and an answer that will be forgotten soon is asked for again.
    fn note_good(&self, presented: &Credentials<'_>, token: &AccessToken, once: Once, now: Timestamp) {
        let Once { evidence, fading } = once;
        if let Some(evidence) = evidence {
            self.remember(presented, token, evidence, now);
        }
        self.renew(fading);
    }

    fn remember(&self, presented: &Credentials<'_>, token: &AccessToken, evidence: Evidence, now: Timestamp) {
        if let Ok(octets) = presented.token(self.0.trusted.max_token) {
            self.0.trusted.tokens.remember(octets, token, evidence, now);
        }
    }

    /// Asks again about a token whose answer will be forgotten soon.
    fn renew(&self, fading: Option<Box<Need>>) {
        #[cfg(feature = "driver")]
        if let Some(need) = fading {
            self.0.driver.start(*need);
        }
        #[cfg(not(feature = "driver"))]
        drop(fading);
    }

    /// Refuses what is meant from now on, for so long: tokens that are good by their signature, and tokens of which an issuer's word
    /// is remembered. It is what a logout or a revocation calls.
    ///
    /// The time should be as long as the issuer's tokens live, and longer does no harm. It is told to this validator and its clones,
    /// and not kept beyond the life of the program.
    ///
    /// ```
    /// use std::time::Duration;
    /// use scopegate::{Credentials, Denial, Issuer, KeySet, Reason, Requirement, ScopePolicy, Validator};
    /// # use scopegate::testing::TestIssuer;
    /// # let issuer = TestIssuer::new("https://id.example.com").default_audience("https://api.example.com");
    /// # let keys = KeySet::from_json(issuer.jwks().as_bytes())?;
    /// # let token = issuer.token().claim("sid", "session-7").mint();
    /// let validator = Validator::builder("https://api.example.com").trust(Issuer::keys("https://id.example.com", keys)).build()?;
    /// let nothing = Requirement::from(ScopePolicy::none());
    /// assert!(validator.check(&Credentials::bearer(&token), &nothing).is_ok());
    ///
    /// validator.deny(&Denial::session("https://id.example.com", "session-7"), Duration::from_secs(3600))?;
    /// let refused = validator.check(&Credentials::bearer(&token), &nothing).unwrap_err();
    /// assert_eq!(refused.reason(), Reason::Revoked);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DenyListFull`] if there is no room ([`deny_at_most`](crate::ValidatorBuilder::deny_at_most)): then nothing was denied.
    pub fn deny(&self, denial: &Denial, lasting: Duration) -> Result<(), DenyListFull> {
        self.0.trusted.denied.deny(denial, lasting, self.0.clock.now())
    }

    /// How many denials stand, those included that have come to their end and were not needed to make room yet.
    #[must_use]
    pub fn denials(&self) -> usize {
        self.0.trusted.denied.len()
    }

    /// Forgets what issuers said of this token, answers that are still on their way included: for when the program has learned that it
    /// was revoked, or renewed. The next request that carries it has its issuer asked.
    ///
    /// It does nothing to a token that is judged by its signature alone: see [`deny`](Self::deny).
    #[cfg(feature = "driver")]
    pub fn forget(&self, token: &str) {
        self.0.trusted.memory.forget(token.as_bytes());
    }

    /// The same for each active token of which this is true, answers that are still on their way included. Where it panics, that counts
    /// as true. Of a JWT whose issuer is asked too it is asked twice, about what the JWT says and about what the issuer says of it; the
    /// token is forgotten if either is meant.
    ///
    /// It must be quick and must not call the validator: of answers that are on their way it is asked when they come, on the one thread
    /// that serves all issuers. While it takes its time nobody is answered, and one that waits there for `validate` waits for itself.
    ///
    /// ```
    /// # use scopegate::{ClientAuth, Introspection, Issuer, Validator};
    /// # let introspection = Introspection::at("https://id.example.com/introspect", ClientAuth::basic("api", "secret"));
    /// # let builder = Validator::builder("https://api.example.com").trust(Issuer::introspect("https://id.example.com", introspection));
    /// let validator = builder.build()?;
    /// validator.forget_where(|token| token.subject() == Some("user-1"));
    /// # Ok::<(), scopegate::ConfigError>(())
    /// ```
    #[cfg(feature = "driver")]
    pub fn forget_where(&self, is_meant: impl Fn(&AccessToken) -> bool + Send + Sync + 'static) {
        let is_meant: Meant = Arc::new(is_meant);
        self.0.trusted.memory.forget_where(&is_meant);
    }

    /// Sends a need on its way; says whether `validate`, which waits for what comes of it, could decide otherwise.
    #[cfg(feature = "driver")]
    fn begin(&self, need: Need, meanwhile: &Refusal) -> Network {
        let is_served = self.0.driver.start(need);
        let is_soon = meanwhile.retry_after.is_none_or(|wait| wait <= SOON);
        if is_served && is_soon { Network::CouldDecide } else { Network::MadeNoDifference }
    }

    #[cfg(not(feature = "driver"))]
    #[expect(clippy::unused_self, reason = "its twin sends the need on its way")]
    fn begin(&self, _need: Need, _meanwhile: &Refusal) -> Network {
        Network::MadeNoDifference
    }

    /// What happens once to each token that is accepted.
    #[inline]
    fn accept(&self, token: AccessToken, basis: Basis, came: Timestamp) -> Result<AccessToken, Rejection> {
        #[cfg(feature = "driver")]
        self.0.driver.notice(came);
        if let Some(resolved) = &self.0.trusted.resolved {
            resolved.note_accepted(token.issuer(), came);
        }
        if !self.0.listeners.is_empty() {
            self.0.listeners.judged(&Judged {
                issuer: Some(token.issuer()),
                refused: None,
                basis: Some(basis),
                took: self.since(came),
            });
        }
        Ok(token)
    }

    /// What happens once to each refusal.
    fn refuse_with(&self, rejection: Rejection, came: Timestamp) -> Result<AccessToken, Rejection> {
        #[cfg(feature = "driver")]
        self.0.driver.notice(came);
        if !self.0.listeners.is_empty() {
            let refused = Some(rejection.reason());
            self.0.listeners.judged(&Judged { issuer: None, refused, basis: None, took: self.since(came) });
        }
        Err(rejection)
    }

    fn since(&self, came: Timestamp) -> Duration {
        self.0.clock.now().uptime().saturating_sub(came.uptime())
    }

    /// Refuses a request that no judge was asked about.
    #[cfg(feature = "axum")]
    pub(crate) fn refuse(&self, reason: Reason, demand: &Requirement) -> Rejection {
        self.reject(reason.into(), demand, Network::MadeNoDifference)
    }

    /// Dresses a refusal as an answer.
    fn reject(&self, refusal: Refusal, demand: &Requirement, network: Network) -> Rejection {
        let rejection = Rejection::new(refusal.reason, &self.0.realm, demand.demanded());
        rejection.later(refusal.retry_after, refusal.cause, network)
    }
}

/// A judgement, with what is to be done once about a good token done; or what it takes.
enum Settled {
    Accepted(AccessToken, Basis),
    Refused(Rejection),
    Wanted(Need, Refusal),
}

/// A token can need its issuer resolved, a key of that issuer, and then the issuer's word: three supplies, each judged. One more, since
/// what was brought may be gone again.
#[cfg(feature = "driver")]
const ROUNDS: usize = 5;

/// How long it may take to learn what came of asking every issuer once: an exchange for the metadata in each of its forms,
/// and one for the keys, each within the limit of a fetch.
#[cfg(feature = "driver")]
const WARM_UP: Duration = Duration::from_secs(25);

/// What was asked of an issuer.
#[cfg(feature = "driver")]
struct Brought {
    issuer: IssuerId,
    answer: Answer,
    /// What is said where it could not be had.
    missing: fn(IssuerId, Cause) -> FetchError,
}

#[cfg(feature = "driver")]
async fn all_fetched(asked: Vec<Brought>) -> Result<(), FetchError> {
    for Brought { issuer, answer, missing } in asked {
        let source: Arc<dyn Error + Send + Sync> = match answer.wait().await {
            Supply::Fetched | Supply::LookAgain | Supply::Answered(_) => continue,
            Supply::Unreachable(source) => source,
            Supply::BudgetSpent => Arc::new(FetchError::other("it was asked a moment ago, and is not asked again yet")),
        };
        return Err(missing(issuer, source));
    }
    Ok(())
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.0.trusted.issuers.iter().map(|issuer| &issuer.rules.issuer);
        f.debug_struct("Validator").field("issuers", &issuers.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
#[path = "validator/tests.rs"]
mod tests;
