//! Puts a validator together, and refuses what does not fit.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Bounds;
#[cfg(feature = "driver")]
use crate::clock::Timestamp;
use crate::clock::{Clock, SystemClock};
use crate::config_error::ConfigError;
use crate::decision::Trusted;
use crate::endpoint::{Endpoint, PlainHttp};
use crate::introspection::memory::Memory;
use crate::issuer::{Defaults, Issuer, JudgedBy, TrustedIssuer, refuse_empty};
#[cfg(feature = "driver")]
use crate::issuer_id::IssuerId;
#[cfg(feature = "driver")]
use crate::key_file::KeyFile;
use crate::keys::refresh::MAX_STALE;
#[cfg(feature = "driver")]
use crate::keys::saved::{RestoreError, SavedKeys};
use crate::observe::{Listeners, Observe};
use crate::opaque::{Candidate, OpaqueRoutes};
use crate::published_metadata::PublishedMetadata;
use crate::rejection::Realm;
use crate::resource_metadata::ResourceMetadata;
#[cfg(feature = "driver")]
use crate::restored::{self, Leftovers, Restored};
use crate::revocation::DenyList;
use crate::tenants::{Directory, Tenants};
use crate::token_cache::TokenCache;
use crate::validator::{Inner, Validator};
#[cfg(feature = "driver")]
use crate::wire::driver::{Driver, Plan};
#[cfg(feature = "driver")]
use crate::wire::fetch::Fetch;

const MAX_LEEWAY: Duration = Duration::from_secs(300);
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 1_024..=1_048_576;
const STALE: std::ops::RangeInclusive<Duration> = Duration::from_secs(5 * 60)..=Duration::from_secs(7 * 24 * 60 * 60);
const DEFAULT_TOKEN_BYTES: usize = 16_384;
const SIGNATURES_FOR: Duration = Duration::from_secs(5 * 60);
const LONGEST_SIGNATURES_FOR: Duration = Duration::from_secs(60 * 60);
const MOST_REMEMBERED: u64 = 1_000_000;
const DEFAULT_DENIALS: usize = 100_000;
const MOST_DENIALS: usize = 1_000_000;

/// The settings of a [`Validator`]. Made by [`Validator::builder`].
#[derive(Debug)]
pub struct ValidatorBuilder {
    audiences: Vec<String>,
    issuers: Vec<Issuer>,
    leeway: Duration,
    max_token: usize,
    realm: Option<String>,
    resource_metadata: Option<String>,
    published: Option<ResourceMetadata>,
    clock: Option<Arc<dyn Clock>>,
    max_stale: Duration,
    tenants: Option<Tenants>,
    listeners: Listeners,
    denials: usize,
    remembered: Bounds,
    signatures_for: Duration,
    #[cfg(feature = "driver")]
    fetch: Option<Arc<dyn Fetch>>,
    #[cfg(feature = "driver")]
    saved: Option<SavedKeys>,
    #[cfg(feature = "driver")]
    key_file: Option<KeyFile>,
}

impl Validator {
    /// Begins a validator for the API of this audience: the identifier by which authorization servers know it, such as
    /// `https://api.example.com` (RFC 8707 s2). A token must name it, byte for byte.
    #[must_use]
    pub fn builder(audience: impl Into<String>) -> ValidatorBuilder {
        ValidatorBuilder::new(audience.into())
    }
}

impl ValidatorBuilder {
    fn new(audience: String) -> Self {
        Self {
            audiences: vec![audience],
            issuers: Vec::new(),
            leeway: DEFAULT_LEEWAY,
            max_token: DEFAULT_TOKEN_BYTES,
            realm: None,
            resource_metadata: None,
            published: None,
            clock: None,
            max_stale: MAX_STALE,
            tenants: None,
            listeners: Listeners::default(),
            denials: DEFAULT_DENIALS,
            remembered: Bounds { entries: 10_000, bytes: 32 * 1024 * 1024 },
            signatures_for: SIGNATURES_FOR,
            #[cfg(feature = "driver")]
            fetch: None,
            #[cfg(feature = "driver")]
            saved: None,
            #[cfg(feature = "driver")]
            key_file: None,
        }
    }

    /// Another identifier of the same API. A token must name one of them (RFC 8707 s2).
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts the tokens of this issuer. May be called for several; tokens of any other are refused before anything is asked
    /// or remembered.
    #[must_use]
    pub fn trust(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Accepts the tokens of issuers that a resolver names when their first token arrives, besides those that are
    /// [trusted](Self::trust) by name. Called twice, the second counts.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn trust_each(mut self, tenants: Tenants) -> Self {
        self.tenants = Some(tenants);
        self
    }

    /// How far the clocks of an issuer and of this machine may be apart: seconds to minutes, 30 s by default, 5 min at most. It
    /// is added to the end of a token's life and taken from its beginning (RFC 7519 s4.1.4).
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The longest token that is looked at: bytes, 16,384 by default, from 1,024 to 1,048,576. A longer one costs nothing but
    /// the look at its length.
    #[must_use]
    pub const fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token = bytes;
        self
    }

    /// What challenges call the protected space (RFC 9110 s11.5). The default is the audience.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Publishes this API's protected-resource metadata (RFC 9728), so that a client which knows nothing but the API's address finds out
    /// where to log in: every challenge names where it lies (s5.1), and [`Validator::metadata`] serves it there. Called twice, the second
    /// counts.
    ///
    /// The audience that the builder was given must be an https URL without fragment, or http on loopback; the document lies at
    /// `/.well-known/oauth-protected-resource`, and the audience's own path, on the same host.
    #[must_use]
    pub fn publish_metadata(mut self, metadata: ResourceMetadata) -> Self {
        self.published = Some(metadata);
        self
    }

    /// Where this API's protected-resource metadata lies, for one that is published elsewhere; named in every challenge (RFC 9728 s5.1).
    /// To have it served here, use [`publish_metadata`](Self::publish_metadata), which needs no address.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// How long fetched keys are used without another good fetch: 24 h by default, from 5 min to 7 days. After that tokens are
    /// refused with 503. Longer rides out longer outages of the issuer; shorter limits what a thief can do who has an old key
    /// and can keep this program from the issuer.
    #[must_use]
    pub const fn max_stale(mut self, limit: Duration) -> Self {
        self.max_stale = limit;
        self
    }

    /// How many tokens are remembered: 10,000 by default, in 32 MiB at most; 1,000,000 at most, in as many bytes as you give. So many
    /// whose signature held, and as many again of which issuers have said something. What is used the least goes first, and is verified,
    /// or asked about, again.
    #[must_use]
    pub const fn remember_at_most(mut self, tokens: u64, bytes: u64) -> Self {
        self.remembered = Bounds { entries: tokens, bytes };
        self
    }

    /// How long it is remembered that a signature held: 5 min by default, 1 h at most, and no longer than the token's own life. With
    /// [`Duration::ZERO`] each signature is verified each time.
    ///
    /// All else is judged each time: the clock, whether the key that signed is still among its issuer's, what was
    /// [denied](Validator::deny), and what the route demands. So a longer time lets nothing in, and holds no memory beyond
    /// [`remember_at_most`](Self::remember_at_most). How long an issuer's own word is remembered is told by
    /// `Introspection::remember`.
    #[must_use]
    pub const fn remember_signatures(mut self, life: Duration) -> Self {
        self.signatures_for = life;
        self
    }

    /// How many [`Denial`](crate::Denial)s may stand at a time: 100,000 by default, at most 1,000,000. Each takes some 200 bytes and
    /// the names in it.
    #[must_use]
    pub const fn deny_at_most(mut self, denials: usize) -> Self {
        self.denials = denials;
        self
    }

    /// A clock of your own. The default is [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The same with a clock that others use too.
    #[cfg(feature = "client")]
    pub(crate) fn shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Somebody who listens. May be called for several.
    #[must_use]
    pub fn observe(mut self, listener: Arc<dyn Observe>) -> Self {
        self.listeners.add(listener);
        self
    }

    /// A way out of your own. The default is the one that the `reqwest` feature brings.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.fetch = Some(fetch);
        self
    }

    /// Begins with keys that were saved, so that a restart while an issuer is down serves at once. They are as old as they are: the
    /// issuer is asked anew by the first check, and [`max_stale`](Self::max_stale) holds. What does not serve is told by
    /// [`Validator::restored`] and changes nothing.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn restore(mut self, saved: SavedKeys) -> Self {
        self.saved = Some(saved);
        self
    }

    /// Keeps the keys in this file: it is written at once when keys have changed, and once a minute while they only get younger.
    /// Nothing waits for it. [`build`](Self::build) does not read it: see [`restore`](Self::restore).
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn keep_keys_in(mut self, file: KeyFile) -> Self {
        self.key_file = Some(file);
        self
    }

    /// Puts the settings together. It reads no file and asks nobody: keys are fetched on first need, or by
    /// `Validator::warm_up`.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that does not fit, and its value.
    pub fn build(self) -> Result<Validator, ConfigError> {
        if self.issuers.is_empty() && self.tenants.is_none() {
            return Err(ConfigError::Missing {
                setting: "trust",
                problem: "no issuer is trusted, so no token could be",
            });
        }
        if self.leeway > MAX_LEEWAY {
            return Err(ConfigError::invalid("leeway", format!("{:?}", self.leeway), "longer than 5 minutes"));
        }
        if !TOKEN_BYTES.contains(&self.max_token) {
            let problem = "not between 1,024 and 1,048,576 bytes";
            return Err(ConfigError::invalid("max_token_bytes", self.max_token.to_string(), problem));
        }
        if self.remembered.entries > MOST_REMEMBERED {
            let problem = "more than 1,000,000 tokens";
            return Err(ConfigError::invalid("remember_at_most", self.remembered.entries.to_string(), problem));
        }
        if self.signatures_for > LONGEST_SIGNATURES_FOR {
            let problem = "longer than 1 hour";
            return Err(ConfigError::invalid("remember_signatures", format!("{:?}", self.signatures_for), problem));
        }
        if self.denials > MOST_DENIALS {
            let problem = "more than 1,000,000 denials";
            return Err(ConfigError::invalid("deny_at_most", self.denials.to_string(), problem));
        }
        if !STALE.contains(&self.max_stale) {
            let problem = "not between 5 minutes and 7 days";
            return Err(ConfigError::invalid("max_stale", format!("{:?}", self.max_stale), problem));
        }
        self.tenants.as_ref().map_or(Ok(()), Tenants::check)?;
        refuse_empty(&self.audiences)?;
        let metadata = self.published_metadata()?;
        let realm = self.realm_of_challenges(metadata.as_ref())?;
        let defaults = Defaults {
            audiences: self.audiences,
            leeway: self.leeway,
            #[cfg(feature = "driver")]
            max_stale: self.max_stale,
            numbers: Arc::default(),
        };
        let issuers = self.issuers.into_iter().map(|issuer| issuer.build(&defaults)).collect::<Result<Vec<_>, _>>()?;
        refuse_twins(&issuers)?;
        let opaque = opaque_routes(&issuers, self.tenants.is_some())?;
        let issuers: Arc<[TrustedIssuer]> = issuers.into();
        let memory = Arc::new(Memory::new(self.remembered));
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let resolved = self.tenants.as_ref().map(|tenants| Arc::new(Directory::new(tenants)));
        #[cfg(feature = "driver")]
        let (restored, leftovers) =
            restore(self.saved, &issuers, self.tenants.is_some(), defaults.max_stale, clock.now());
        #[cfg(feature = "driver")]
        let plan = way_out(self.fetch, &issuers, self.tenants.is_some())?.map(|fetch| Plan {
            fetch,
            clock: Arc::clone(&clock),
            issuers: Arc::clone(&issuers),
            tenants: self.tenants.zip(resolved.clone()),
            defaults,
            memory: Arc::clone(&memory),
            listeners: self.listeners.clone(),
            restored: restored.clone(),
            first: Arc::new(std::sync::Once::new()),
            leftovers,
            key_file: self.key_file,
        });
        Ok(Validator::new(Inner {
            #[cfg(feature = "driver")]
            driver: Driver::new(plan),
            #[cfg(feature = "driver")]
            restored,
            trusted: Trusted {
                resolved,
                opaque,
                tokens: TokenCache::new(self.remembered, self.signatures_for),
                memory,
                denied: DenyList::new(self.denials),
                ..Trusted::by_name(issuers, self.leeway, self.max_token)
            },
            clock,
            realm,
            metadata,
            listeners: self.listeners,
        }))
    }

    /// What is to be served, if anything; an address elsewhere is looked at too.
    fn published_metadata(&self) -> Result<Option<PublishedMetadata>, ConfigError> {
        if let Some(url) = &self.resource_metadata {
            Endpoint::new(url, PlainHttp::OnLoopback)
                .map_err(|problem| ConfigError::invalid_url("resource_metadata", url, problem))?;
            if self.published.is_some() {
                let problem = "it lies elsewhere, and publish_metadata serves it here";
                return Err(ConfigError::conflict("resource_metadata", url, problem));
            }
        }
        let Some(metadata) = &self.published else { return Ok(None) };
        let resource = self.audiences.first().map_or("", String::as_str);
        let document = metadata.document(resource, self.issuers.iter().map(|issuer| issuer.identifier.as_str()))?;
        Ok(Some(PublishedMetadata::new(document)))
    }

    fn realm_of_challenges(&self, published: Option<&PublishedMetadata>) -> Result<Realm, ConfigError> {
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let realm = match (&self.realm, self.audiences.first()) {
            (Some(realm), _) if printable(realm) => realm.as_str(),
            (Some(realm), _) => {
                return Err(ConfigError::invalid("realm", realm, "empty, or not printable ASCII (RFC 9110 s11.5)"));
            }
            (None, Some(audience)) if printable(audience) => audience.as_str(),
            (None, _) => "protected",
        };
        Ok(Realm::new(realm, published.map(PublishedMetadata::url).or(self.resource_metadata.as_deref())))
    }
}

/// A key belongs to one issuer, and an issuer has one set of rules.
fn refuse_twins(issuers: &[TrustedIssuer]) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    for issuer in issuers {
        let identifier = issuer.rules.issuer.as_str();
        if !seen.insert(identifier) {
            return Err(ConfigError::conflict("trust", identifier, "the same issuer twice"));
        }
    }
    Ok(())
}

/// Who is asked about tokens that do not say whose they are.
fn opaque_routes(issuers: &[TrustedIssuer], resolves: bool) -> Result<OpaqueRoutes, ConfigError> {
    let asked = issuers.iter().enumerate().filter(|(_, issuer)| issuer.judged_by == JudgedBy::Introspection);
    let candidates: Vec<_> = asked
        .map(|(place, issuer)| Candidate {
            place,
            issuer: issuer.rules.issuer.as_str(),
            prefix: issuer.opaque_prefix.as_deref(),
        })
        .collect();
    OpaqueRoutes::new(&candidates, issuers.len() == 1 && !resolves)
}

/// Restores what serves, and says what became of each; what a resolver may yet ask for is left.
#[cfg(feature = "driver")]
fn restore(
    saved: Option<SavedKeys>,
    issuers: &[TrustedIssuer],
    resolves: bool,
    max_stale: Duration,
    now: Timestamp,
) -> (Arc<[Restored]>, Leftovers) {
    let Some(mut saved) = saved else { return Default::default() };
    let mut restored = restored::restore(issuers, &mut saved, max_stale, now);
    if resolves {
        return (restored.into(), Leftovers::new(saved.taken(now)));
    }
    let foreign = |issuer: &IssuerId| Restored { issuer: issuer.clone(), outcome: Err(RestoreError::Foreign) };
    restored.extend(saved.issuers().map(foreign));
    (restored.into(), Leftovers::default())
}

/// What the driver fetches by; `None` where nothing is ever fetched.
#[cfg(feature = "driver")]
fn way_out(
    fetch: Option<Arc<dyn Fetch>>,
    issuers: &[TrustedIssuer],
    resolves: bool,
) -> Result<Option<Arc<dyn Fetch>>, ConfigError> {
    if fetch.is_some() || !resolves && issuers.iter().all(|issuer| issuer.remote.is_none() && issuer.asked.is_none()) {
        return Ok(fetch);
    }
    #[cfg(feature = "reqwest")]
    {
        let keys = issuers.iter().filter_map(|issuer| issuer.remote.as_ref()).map(|remote| remote.plain_http);
        let asked = issuers.iter().filter_map(|issuer| issuer.asked.as_ref()).map(|asked| asked.plain_http);
        let on_loopback = keys.chain(asked).any(|plain_http| plain_http == PlainHttp::OnLoopback);
        let plain_http = if on_loopback { PlainHttp::OnLoopback } else { PlainHttp::Refused };
        Ok(Some(Arc::new(crate::wire::reqwest::ReqwestFetch::new().plain_http(plain_http))))
    }
    #[cfg(not(feature = "reqwest"))]
    {
        Err(ConfigError::Missing {
            setting: "fetch",
            problem: "issuers are to be asked, and nothing is there to do it",
        })
    }
}
