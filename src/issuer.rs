//! A server whose tokens count, and how they are judged.

mod trusted;

use std::sync::Arc;

use crate::claims::read::ClaimNames;
#[cfg(feature = "driver")]
use crate::claims::rules::MayLack;
use crate::claims::rules::{AudienceRule, Binding, Profile, Rules};
use crate::config_error::ConfigError;
use crate::endpoint::{self, PlainHttp};
#[cfg(feature = "driver")]
use crate::endpoint::{Endpoint, PrivateAddresses};
#[cfg(feature = "driver")]
use crate::introspection::memory::Standing;
#[cfg(feature = "driver")]
use crate::introspection::setup::{Asked, Introspection, Signed};
use crate::issuer_id::IssuerId;
use crate::jose::algorithm::{Algorithm, Algorithms};
use crate::jose::key_set::{KeySet, MAX_TRIED};
use crate::jose::secret::Secret;
use crate::keys::store::{KeyHandle, KeyStore};
pub(crate) use trusted::{Defaults, JudgedBy, TrustedIssuer};
#[cfg(feature = "driver")]
pub(crate) use trusted::{Place, RemoteKeys};

/// An authorization server whose tokens are accepted, where its keys come from, and what its tokens look like.
///
/// ```
/// use scopegate::{Issuer, KeySet, Profile};
/// let keys = KeySet::from_json(br#"{"keys":[]}"#)?;
/// let partner = Issuer::keys("https://id.example.com", keys).profile(Profile::PlainJwt).audience("https://partners.example.com");
/// let handle = partner.key_handle()?; // later, from any thread: handle.install(newer)
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Issuer {
    pub(crate) identifier: String,
    source: Source,
    algorithms: Option<Vec<Algorithm>>,
    profile: Profile,
    audiences: Vec<String>,
    any_audience: bool,
    binding: Binding,
    names: ClaimNames,
    #[cfg(feature = "client")]
    for_a_client: bool,
    plain_http: PlainHttp,
    #[cfg(feature = "driver")]
    addresses: PrivateAddresses,
    #[cfg(feature = "driver")]
    introspection: Option<Introspection>,
    /// Where handed-over keys lie. Fetched keys get a place of their own in each validator.
    handed_over: Option<Arc<KeyStore>>,
}

#[derive(Clone, Debug)]
enum Source {
    /// The program hands the keys over.
    Pushed,
    Secrets(Vec<Secret>),
    #[cfg(feature = "driver")]
    Jwks(String),
    #[cfg(feature = "driver")]
    Discovery,
    /// No token is judged by keys: the issuer is asked about each.
    #[cfg(feature = "driver")]
    Introspection,
}

impl Issuer {
    fn new(identifier: impl Into<String>, source: Source, handed_over: Option<KeySet>) -> Self {
        Self {
            identifier: identifier.into(),
            source,
            algorithms: None,
            profile: Profile::default(),
            audiences: Vec::new(),
            any_audience: false,
            binding: Binding::MustBeProven,
            names: ClaimNames::default(),
            #[cfg(feature = "client")]
            for_a_client: false,
            plain_http: PlainHttp::default(),
            #[cfg(feature = "driver")]
            addresses: PrivateAddresses::Allowed,
            #[cfg(feature = "driver")]
            introspection: None,
            handed_over: handed_over.map(|keys| Arc::new(KeyStore::pushed(keys))),
        }
    }

    /// An issuer whose keys the program holds. See [`Issuer::key_handle`] for handing over newer ones.
    #[must_use]
    pub fn keys(identifier: impl Into<String>, keys: KeySet) -> Self {
        Self::new(identifier, Source::Pushed, Some(keys))
    }

    /// An issuer that shares a secret with this program (`HS256` to `HS512`). It has no public keys beside it.
    #[must_use]
    pub fn secrets(identifier: impl Into<String>, secrets: impl IntoIterator<Item = Secret>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().collect();
        let keys = KeySet::of_secrets(secrets.iter().filter_map(Secret::prepare).collect());
        Self::new(identifier, Source::Secrets(secrets), Some(keys))
    }

    /// An issuer whose key set lies at this URL.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn jwks(identifier: impl Into<String>, url: impl Into<String>) -> Self {
        Self::new(identifier, Source::Jwks(url.into()), None)
    }

    /// An issuer whose metadata says where its key set lies: OpenID Connect Discovery 1.0, or RFC 8414 in both its forms.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn discover(identifier: impl Into<String>) -> Self {
        Self::new(identifier, Source::Discovery, None)
    }

    /// An issuer that is asked about each of its tokens (RFC 7662): opaque ones, and JWTs that it alone is to judge.
    ///
    /// Where several issuers are trusted, a JWT goes to the one that it names, and an opaque token to the one that is asked about
    /// them: see [`Introspection::opaque_prefix`] where that is several. A token goes to no other issuer than the one that will
    /// judge it.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn introspect(identifier: impl Into<String>, introspection: Introspection) -> Self {
        Self::new(identifier, Source::Introspection, None).and_introspect(introspection)
    }

    /// Asks the issuer about each of its JWTs that was found good by its signature: so that one that was revoked is refused within
    /// the time for which the issuer's word is [remembered](Introspection::remember). Both must hold. An answer may then leave out
    /// the issuer and the audience, which the JWT has proven.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn and_introspect(mut self, introspection: Introspection) -> Self {
        self.introspection = Some(introspection);
        self
    }

    /// The algorithms that its tokens may be signed with, and no others (RFC 8725 s3.1).
    ///
    /// The default is [`Algorithms::default`], or the algorithms of the secrets that were given.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// What its access tokens look like. The default is [`Profile::Rfc9068`].
    #[must_use]
    pub const fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// An audience that its tokens must name, instead of the validator's. Several may be given: one of them is enough.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The claim that names the audience, instead of `aud`: a string or a list. Amazon Cognito's access tokens have none but
    /// `client_id`; the accepted audiences are then client identifiers. `aud` is then not compared with anything, though
    /// [`Profile::Rfc9068`] still wants it to be there.
    #[must_use]
    pub fn audience_claim(mut self, claim: &str) -> Self {
        self.names.audience = Some(claim.into());
        self
    }

    /// The claim that holds the scopes, instead of `scope`: a string of scopes parted by spaces, or a list.
    #[must_use]
    pub fn scope_claim(mut self, claim: &str) -> Self {
        self.names.scope = Some(claim.into());
        self
    }

    /// Whether it may be reached, and named, by plain HTTP. The default is [`PlainHttp::Refused`].
    #[must_use]
    pub const fn plain_http(mut self, plain_http: PlainHttp) -> Self {
        self.plain_http = plain_http;
        self
    }

    /// As a resolver named it: its addresses are another's choice.
    #[cfg(feature = "driver")]
    pub(crate) const fn resolved(mut self, addresses: PrivateAddresses) -> Self {
        self.addresses = addresses;
        self
    }

    /// A handle by which the program installs newer keys at any time, from any thread. It serves every validator that trusts
    /// a clone of this issuer.
    ///
    /// # Errors
    /// [`ConfigError`] unless the issuer was made by [`Issuer::keys`]: fetched keys are the network's alone, so that no fetch
    /// can bring back what the program took away, and secrets do not change.
    pub fn key_handle(&self) -> Result<KeyHandle, ConfigError> {
        match (&self.source, &self.handed_over) {
            (Source::Pushed, Some(keys)) => Ok(KeyHandle::new(Arc::clone(keys))),
            _ => Err(ConfigError::conflict("key_handle", &self.identifier, "the issuer's keys are not handed over")),
        }
    }

    /// Judges JWTs that the issuer makes out to a client, such as ID tokens, and no access tokens.
    #[cfg(feature = "client")]
    pub(crate) const fn for_a_client(mut self) -> Self {
        self.for_a_client = true;
        self.profile = Profile::PlainJwt;
        self.binding = Binding::Ignored;
        self
    }

    /// What widens what is accepted, each by its name.
    #[must_use]
    pub const fn dangerous(self) -> DangerousIssuer {
        DangerousIssuer(self)
    }

    /// Puts the settings together, or says what is wrong with them.
    pub(crate) fn build(self, defaults: &Defaults) -> Result<TrustedIssuer, ConfigError> {
        self.check_identifier()?;
        let algorithms = self.allowed_algorithms()?;
        let audience = self.audience_rule(&defaults.audiences)?;
        for (setting, claim) in [("audience_claim", &self.names.audience), ("scope_claim", &self.names.scope)] {
            if claim.as_ref().is_some_and(|claim| claim.is_empty()) {
                return Err(ConfigError::invalid(setting, "", "a claim has a name"));
            }
        }
        let number = defaults.next_number();
        #[cfg(feature = "driver")]
        let remote = self.remote()?;
        #[cfg(feature = "driver")]
        let fetched = remote.as_ref().map(|_| defaults.max_stale);
        #[cfg(feature = "driver")]
        let (standing, asked) = self.asked(number, &audience, algorithms)?.unzip();
        #[cfg(feature = "driver")]
        let opaque_prefix = self.introspection.as_ref().and_then(|asked| asked.prefix().map(Into::into));
        #[cfg(not(feature = "driver"))]
        let (standing, opaque_prefix, fetched) = (None, None, None);
        Ok(TrustedIssuer {
            number,
            algorithms,
            judged_by: self.judged_by(),
            standing,
            #[cfg(feature = "driver")]
            asked,
            opaque_prefix,
            keys: self.handed_over.unwrap_or_else(|| Arc::new(KeyStore::empty(fetched))),
            #[cfg(feature = "driver")]
            remote,
            rules: Rules {
                issuer: IssuerId::new(&self.identifier),
                profile: self.profile,
                audience,
                names: self.names,
                leeway: defaults.leeway,
                binding: self.binding,
                #[cfg(feature = "client")]
                for_a_client: self.for_a_client,
                #[cfg(feature = "testing")]
                left_out: Default::default(),
            },
        })
    }

    /// RFC 8414 s2. Where no metadata is asked for, the identifier may also be a plain name: RFC 7519 s2 lets `iss` be any string
    /// without a colon. URIs of other schemes are nobody's issuer that we know of, and are refused.
    fn check_identifier(&self) -> Result<(), ConfigError> {
        let is_plain_name = !self.identifier.is_empty() && !self.identifier.contains(':');
        match &self.source {
            #[cfg(feature = "driver")]
            Source::Discovery => {}
            #[cfg(feature = "driver")]
            source
                if self.introspection.as_ref().is_some_and(|introspection| {
                    introspection.needs_metadata(matches!(source, Source::Introspection))
                }) => {}
            _ if is_plain_name => return Ok(()),
            _ => {}
        }
        match endpoint::issuer_problem(&self.identifier, self.plain_http) {
            Some(problem) => Err(ConfigError::invalid_url("issuer", &self.identifier, problem)),
            None => Ok(()),
        }
    }

    fn allowed_algorithms(&self) -> Result<Algorithms, ConfigError> {
        let named: Option<Algorithms> = self.algorithms.as_ref().map(|named| named.iter().copied().collect());
        if named.is_some_and(Algorithms::is_empty) {
            return Err(ConfigError::invalid("algorithms", &self.identifier, "an empty list accepts nothing"));
        }
        if let Source::Secrets(secrets) = &self.source {
            let of_secrets = self.algorithms_of(secrets)?;
            return match named {
                Some(named) if named != of_secrets => {
                    let problem = "does not name the algorithms of the issuer's secrets, and no others";
                    Err(ConfigError::conflict("algorithms", &self.identifier, problem))
                }
                Some(_) | None => Ok(of_secrets),
            };
        }
        match named {
            Some(named) if named.iter().any(Algorithm::is_symmetric) => {
                let problem = "names an algorithm with a shared secret beside public keys (RFC 8725 s2.1)";
                Err(ConfigError::conflict("algorithms", &self.identifier, problem))
            }
            Some(named) => Ok(named),
            None => Ok(Algorithms::default()),
        }
    }

    /// The algorithms of the secrets, if every secret can be found by the tokens that it is for.
    fn algorithms_of(&self, secrets: &[Secret]) -> Result<Algorithms, ConfigError> {
        let invalid = |problem| Err(ConfigError::invalid("secrets", &self.identifier, problem));
        let of_secrets: Algorithms = secrets.iter().map(Secret::algorithm).collect();
        if of_secrets.is_empty() {
            return invalid("no secret was given");
        }
        let usable = self.handed_over.as_ref().map_or(0, |keys| keys.read().keys.keys().len());
        if usable < secrets.len() {
            return invalid("two secrets have one algorithm and one `kid`");
        }
        let nameless = |algorithm| secrets.iter().filter(|secret| secret.is_nameless(algorithm)).count();
        if of_secrets.iter().any(|algorithm| nameless(algorithm) > MAX_TRIED) {
            return invalid("more than four secrets of one algorithm have no `kid`");
        }
        Ok(of_secrets)
    }

    fn audience_rule(&self, defaults: &[String]) -> Result<AudienceRule, ConfigError> {
        if self.any_audience {
            return Ok(AudienceRule::Anybody);
        }
        let audiences = if self.audiences.is_empty() { defaults } else { &self.audiences };
        if audiences.is_empty() {
            return Err(ConfigError::Missing {
                setting: "audience",
                problem: "whom the tokens must be meant for (RFC 9068 s4)",
            });
        }
        refuse_empty(audiences)?;
        Ok(AudienceRule::OneOf(audiences.iter().map(|audience| audience.as_str().into()).collect()))
    }

    #[cfg(feature = "driver")]
    fn remote(&self) -> Result<Option<RemoteKeys>, ConfigError> {
        let place = match &self.source {
            Source::Pushed | Source::Secrets(_) => return Ok(None),
            // Keys are for signed answers alone.
            Source::Introspection => match self.introspection.as_ref().map(|asked| &asked.signed) {
                None | Some(Signed::No) => return Ok(None),
                Some(Signed::ByTheIssuersKeys) => Place::Discovery,
                Some(Signed::ByKeysAt(url)) => Place::Jwks(self.keys_at("signed_by_keys_at", url)?),
            },
            Source::Jwks(url) => Place::Jwks(self.keys_at("jwks", url)?),
            Source::Discovery => Place::Discovery,
        };
        Ok(Some(RemoteKeys { place, plain_http: self.plain_http, addresses: self.addresses }))
    }

    #[cfg(feature = "driver")]
    fn keys_at(&self, setting: &'static str, url: &str) -> Result<Endpoint, ConfigError> {
        Endpoint::new(url, self.plain_http).map_err(|problem| ConfigError::invalid_url(setting, url, problem))
    }

    #[cfg(feature = "driver")]
    fn judged_by(&self) -> JudgedBy {
        match (&self.source, &self.introspection) {
            (Source::Introspection, _) => JudgedBy::Introspection,
            (_, Some(_)) => JudgedBy::KeysAndIntrospection,
            (_, None) => JudgedBy::Keys,
        }
    }

    #[cfg(not(feature = "driver"))]
    #[expect(clippy::unused_self, reason = "its twin looks at the settings")]
    const fn judged_by(&self) -> JudgedBy {
        JudgedBy::Keys
    }

    /// How it is asked, if it is.
    #[cfg(feature = "driver")]
    fn asked(
        &self,
        number: u64,
        audience: &AudienceRule,
        algorithms: Algorithms,
    ) -> Result<Option<HowAsked>, ConfigError> {
        let Some(introspection) = &self.introspection else { return Ok(None) };
        let is_asked_alone = self.judged_by() == JudgedBy::Introspection;
        let conflict = |setting, problem| Err(ConfigError::conflict(setting, &self.identifier, problem));
        match (&introspection.signed, &self.source) {
            (Signed::ByKeysAt(_), source) if !matches!(source, Source::Introspection) => {
                return conflict("signed_by_keys_at", "the issuer has keys already, by which its answers are judged");
            }
            (Signed::ByTheIssuersKeys, Source::Secrets(_)) => {
                return conflict("signed", "the issuer has no public keys by which its answers could be judged");
            }
            _ => {}
        }
        if !is_asked_alone && introspection.prefix().is_some() {
            return conflict("opaque_prefix", "tokens of an issuer that is asked after its keys are no opaque ones");
        }
        let audiences = match audience {
            AudienceRule::OneOf(audiences) => Some(&**audiences),
            AudienceRule::Anybody => None,
        };
        let mut asked =
            introspection.build(&self.identifier, (self.plain_http, self.addresses), audiences, algorithms)?;
        if !is_asked_alone {
            // The JWT itself has proven all that.
            asked.may_lack = MayLack { issuer: true, audience: true, kind: true, scope_claim: true };
        }
        let standing = Standing::new(number, introspection.ahead());
        Ok(Some((Arc::new(standing), Arc::new(asked))))
    }
}

/// For the judge, and for the driver.
#[cfg(feature = "driver")]
type HowAsked = (Arc<Standing>, Arc<Asked>);

/// An empty text names nobody.
pub(crate) fn refuse_empty(audiences: &[String]) -> Result<(), ConfigError> {
    let is_one_empty = audiences.iter().any(String::is_empty);
    if is_one_empty { Err(ConfigError::invalid("audience", "", "an empty text names nobody")) } else { Ok(()) }
}

/// Settings of an issuer that accept what is otherwise refused.
#[derive(Debug)]
pub struct DangerousIssuer(Issuer);

impl DangerousIssuer {
    /// Accepts tokens whoever they are meant for. Any service that gets such a token can then use it here (RFC 9068 s5).
    #[must_use]
    pub fn accept_any_audience(mut self) -> Issuer {
        self.0.any_audience = true;
        self.0
    }

    /// Accepts tokens that are bound to a key (`cnf`) without proof that the sender holds it (RFC 9449 s7.2).
    #[must_use]
    pub fn accept_unproven_binding(mut self) -> Issuer {
        self.0.binding = Binding::Ignored;
        self.0
    }
}
