//! How an issuer is asked about its tokens: the settings, and what becomes of them.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::claims::rules::MayLack;
use crate::client_auth::ClientAuth;
use crate::config_error::ConfigError;
use crate::endpoint::{Endpoint, PlainHttp, PrivateAddresses};
use crate::introspection::memory::Ahead;
use crate::introspection::mercy::Allowance;
use crate::jose::algorithm::Algorithms;

const REMEMBER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60 * 60);
const REMEMBER_INACTIVE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);
const IN_FLIGHT: RangeInclusive<u32> = 1..=4096;
const PER_SECOND: RangeInclusive<u32> = 1..=100_000;

/// How an issuer is asked what a token is worth (RFC 7662): where, as whom, how often, and how long its word counts.
///
/// Given to [`Issuer::introspect`](crate::Issuer::introspect), where the issuer's word alone decides, or to
/// [`Issuer::and_introspect`](crate::Issuer::and_introspect), where a JWT is judged by its signature first and then the issuer is
/// asked whether it was revoked.
///
/// ```
/// use std::time::Duration;
/// use scopegate::{ClientAuth, Introspection, Issuer, Validator};
/// let secret = "read-from-your-vault";
/// let introspection = Introspection::at("https://id.example.com/introspect", ClientAuth::basic("things-api", secret))
///     .remember(Duration::from_secs(10));
/// let validator = Validator::builder("https://api.example.com")
///     .trust(Issuer::introspect("https://id.example.com", introspection))
///     .build()?;
///
/// let nobody = Introspection::at("https://id.example.com/introspect", ClientAuth::basic("things-api", ""));
/// let builder = Validator::builder("https://api.example.com").trust(Issuer::introspect("https://id.example.com", nobody));
/// assert_eq!(builder.build().unwrap_err().setting(), "authenticate");
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Introspection {
    place: Option<String>,
    auth: ClientAuth,
    remember: Duration,
    remember_inactive: Duration,
    deadline: Duration,
    allowance: Allowance,
    ahead: Ahead,
    opaque_prefix: Option<String>,
    pub(crate) signed: Signed,
    signed_for: Option<String>,
    draft_audience: bool,
    may_lack: MayLack,
}

/// Whether answers are signed, and where the keys lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    No,
    /// By the keys that the issuer's metadata names, or that its JWTs are judged by.
    ByTheIssuersKeys,
    ByKeysAt(String),
}

impl Introspection {
    fn new(place: Option<String>, auth: ClientAuth) -> Self {
        Self {
            place,
            auth,
            remember: Duration::from_secs(30),
            remember_inactive: Duration::from_secs(5),
            deadline: Duration::from_secs(2),
            allowance: Allowance { in_flight: 256, per_second: 1000 },
            ahead: Ahead::No,
            opaque_prefix: None,
            signed: Signed::No,
            signed_for: None,
            draft_audience: false,
            may_lack: MayLack::default(),
        }
    }

    /// An endpoint at this URL, asked as this client.
    #[must_use]
    pub fn at(url: impl Into<String>, auth: ClientAuth) -> Self {
        Self::new(Some(url.into()), auth)
    }

    /// An endpoint where the issuer's metadata says (RFC 8414 s2), asked as this client. Some servers name it in one of the forms of
    /// their metadata alone; all are looked at.
    #[must_use]
    pub fn discover(auth: ClientAuth) -> Self {
        Self::new(None, auth)
    }

    /// How long the word that a token is active counts: 30 s by default, at most 1 h, and never beyond the token's `exp`. So long may a
    /// revoked token be accepted. Zero remembers nothing: each token is asked about each time.
    #[must_use]
    pub const fn remember(mut self, age: Duration) -> Self {
        self.remember = age;
        self
    }

    /// How long the word that a token is not active counts: 5 s by default, at most 1 min; zero remembers nothing. It spares the issuer
    /// a client that tries a dead token again and again.
    #[must_use]
    pub const fn remember_inactive(mut self, age: Duration) -> Self {
        self.remember_inactive = age;
        self
    }

    /// How long an answer may take, finding the endpoint and the client's secret included: 2 s by default, from 100 ms to 10 s. Then
    /// the request is refused with 503.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many questions are open at a time: 256 by default, from 1 to 4,096. More are refused with 503 at once, so that a slow issuer
    /// ties up no more than that.
    #[must_use]
    pub const fn at_most_in_flight(mut self, questions: u32) -> Self {
        self.allowance.in_flight = questions;
        self
    }

    /// How often the issuer is asked in a second: 1,000 times by default, from 1 to 100,000, and as many at once. More are refused with
    /// 503, so that strangers who send random tokens cannot make this program flood the issuer.
    #[must_use]
    pub const fn at_most_per_second(mut self, questions: u32) -> Self {
        self.allowance.per_second = questions;
        self
    }

    /// Asks about a token that is in use before its answer is forgotten, in the last fifth of the time, so that no request of a busy
    /// token waits. Off by default: each such token then costs a question each time, whether it is used again or not.
    #[must_use]
    pub const fn ask_ahead(mut self) -> Self {
        self.ahead = Ahead::Yes;
        self
    }

    /// The beginning of this issuer's opaque tokens, such as `gho_`. It is needed where several issuers have opaque tokens: such a token
    /// says nothing of its issuer, and is sent to nobody who is not meant. The longest beginning that fits counts; the empty one
    /// fits all that is no JWT.
    #[must_use]
    pub fn opaque_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.opaque_prefix = Some(prefix.into());
        self
    }

    /// Wants answers that the issuer has signed (RFC 9701), and takes no other. Its keys are those by which its JWTs are judged, else
    /// those that its metadata names.
    #[must_use]
    pub fn signed(mut self) -> Self {
        self.signed = Signed::ByTheIssuersKeys;
        self
    }

    /// The same, by keys at this URL.
    #[must_use]
    pub fn signed_by_keys_at(mut self, url: impl Into<String>) -> Self {
        self.signed = Signed::ByKeysAt(url.into());
        self
    }

    /// Whom signed answers are made out to (RFC 9701 s5, `aud`): the client that asks, unless the server knows this program by another
    /// name.
    #[must_use]
    pub fn signed_for(mut self, audience: impl Into<String>) -> Self {
        self.signed_for = Some(audience.into());
        self
    }

    /// What widens what is accepted, each by its name.
    #[must_use]
    pub const fn dangerous(self) -> DangerousIntrospection {
        DangerousIntrospection(self)
    }

    /// Puts the settings together, or says what is wrong with them.
    pub(crate) fn build(
        &self,
        issuer: &str,
        (plain_http, addresses): (PlainHttp, PrivateAddresses),
        audiences: Option<&[Box<str>]>,
        algorithms: Algorithms,
    ) -> Result<Asked, ConfigError> {
        self.auth.check()?;
        bounded("remember", &self.remember, &REMEMBER, "longer than an hour")?;
        bounded("remember_inactive", &self.remember_inactive, &REMEMBER_INACTIVE, "longer than a minute")?;
        bounded("deadline", &self.deadline, &DEADLINE, "not between 100 ms and 10 s")?;
        bounded("at_most_in_flight", &self.allowance.in_flight, &IN_FLIGHT, "not between 1 and 4,096")?;
        bounded("at_most_per_second", &self.allowance.per_second, &PER_SECOND, "not between 1 and 100,000")?;
        let place = match &self.place {
            None => AskedAt::WhereTheMetadataSays,
            Some(url) => match Endpoint::new(url, plain_http) {
                Ok(endpoint) => AskedAt::Endpoint(endpoint),
                Err(problem) => return Err(ConfigError::invalid_url("introspect", url, problem)),
            },
        };
        let signed_for = match (&self.signed, &self.signed_for, self.auth.client_id()) {
            (Signed::No, None, _) if self.draft_audience => {
                return Err(ConfigError::conflict("accept_draft_audience", issuer, "answers are not signed"));
            }
            (Signed::No, None, _) => Vec::new(),
            (Signed::No, Some(audience), _) => {
                return Err(ConfigError::conflict("signed_for", audience, "answers are not signed"));
            }
            // Then it is made out to this API.
            (_, None, None) if self.draft_audience && audiences.is_some() => Vec::new(),
            (_, None, None) => {
                let problem = "whom signed answers are made out to, where the client has no name (RFC 9701 s5)";
                return Err(ConfigError::Missing { setting: "signed_for", problem });
            }
            (_, Some(audience), _) => vec![audience.as_str().into()],
            (_, None, Some(client)) => vec![client.into()],
        };
        let drafted = audiences.filter(|_| self.draft_audience).into_iter().flatten().cloned();
        Ok(Asked {
            issuer: issuer.into(),
            place,
            auth: self.auth.clone(),
            remember: self.remember,
            remember_inactive: self.remember_inactive,
            deadline: self.deadline,
            allowance: self.allowance,
            is_signed: self.signed != Signed::No,
            signed_for: signed_for.into_iter().chain(drafted).collect(),
            algorithms,
            may_lack: self.may_lack,
            plain_http,
            addresses,
        })
    }

    /// Whether the issuer's metadata has to be found, where it has no keys of its own or has.
    pub(crate) fn needs_metadata(&self, has_no_keys: bool) -> bool {
        self.place.is_none() || has_no_keys && self.signed == Signed::ByTheIssuersKeys
    }

    pub(crate) const fn ahead(&self) -> Ahead {
        self.ahead
    }

    pub(crate) fn prefix(&self) -> Option<&str> {
        self.opaque_prefix.as_deref()
    }
}

fn bounded<T: PartialOrd + fmt::Debug>(
    setting: &'static str,
    value: &T,
    bounds: &RangeInclusive<T>,
    problem: &'static str,
) -> Result<(), ConfigError> {
    if bounds.contains(value) { Ok(()) } else { Err(ConfigError::invalid(setting, format!("{value:?}"), problem)) }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Introspection");
        debug.field("place", &self.place).field("auth", &self.auth).field("remember", &self.remember);
        debug.finish_non_exhaustive()
    }
}

/// Settings of an introspection that accept what is otherwise refused.
#[derive(Debug)]
pub struct DangerousIntrospection(Introspection);

impl DangerousIntrospection {
    /// Accepts answers that do not name the issuer (Glewlwyd, django-oauth-toolkit). Which server answered is then known by its address
    /// alone.
    #[must_use]
    pub fn accept_absent_issuer(mut self) -> Introspection {
        self.0.may_lack.issuer = true;
        self.0
    }

    /// Accepts answers that do not name an audience (LemonLDAP::NG, django-oauth-toolkit without a resource). Any service that gets such
    /// a token can then use it here (RFC 7662 s4), and a refresh token of a server that does not say what it is passes for an access
    /// token.
    #[must_use]
    pub fn accept_absent_audience(mut self) -> Introspection {
        self.0.may_lack.audience = true;
        self.0
    }

    /// Accepts signed answers that are made out to this API instead of to the client that asked, as servers do that follow a draft of
    /// RFC 9701 (Glewlwyd). An answer that another service of the same audience got then counts here too.
    #[must_use]
    pub fn accept_draft_audience(mut self) -> Introspection {
        self.0.draft_audience = true;
        self.0
    }
}

/// The settings as they are used.
pub(crate) struct Asked {
    pub(crate) issuer: Box<str>,
    pub(crate) place: AskedAt,
    pub(crate) auth: ClientAuth,
    pub(crate) remember: Duration,
    pub(crate) remember_inactive: Duration,
    pub(crate) deadline: Duration,
    pub(crate) allowance: Allowance,
    pub(crate) is_signed: bool,
    /// Any of these (RFC 9701 s5).
    pub(crate) signed_for: Vec<Box<str>>,
    /// What answers may be signed with.
    pub(crate) algorithms: Algorithms,
    pub(crate) may_lack: MayLack,
    pub(crate) plain_http: PlainHttp,
    pub(crate) addresses: PrivateAddresses,
}

impl Asked {
    /// Whether nothing has changed: values by what they are, callbacks by which they are. It is no `PartialEq`, which would give the
    /// program's types one too.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        // All of them, so that a setting that is added is not overlooked.
        let Self {
            issuer,
            place,
            auth,
            remember,
            remember_inactive,
            deadline,
            allowance,
            is_signed,
            signed_for,
            algorithms,
            may_lack,
            plain_http,
            addresses,
        } = self;
        *issuer == other.issuer
            && *place == other.place
            && auth.is_same_as(&other.auth)
            && (*remember, *remember_inactive, *deadline) == (other.remember, other.remember_inactive, other.deadline)
            && *allowance == other.allowance
            && (*is_signed, signed_for) == (other.is_signed, &other.signed_for)
            && (*algorithms, *may_lack) == (other.algorithms, other.may_lack)
            && (*plain_http, *addresses) == (other.plain_http, other.addresses)
    }
}

/// Where it is asked.
#[derive(PartialEq, Eq)]
pub(crate) enum AskedAt {
    Endpoint(Endpoint),
    WhereTheMetadataSays,
}
