//! The crate's own code with single demands left out, for test vectors that do not meet them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::claims::read::ClaimNames;
use crate::claims::rules::{AudienceRule, Binding, LeftOutDemands, MayLack, Profile, Rules};
use crate::clock::Timestamp;
use crate::credentials::Credentials;
use crate::decision::{Left, Trusted, Verdict, decide};
use crate::endpoint::PlainHttp;
use crate::introspection::memory::Fact;
use crate::introspection::response::Answer;
use crate::issuer::{JudgedBy, TrustedIssuer};
use crate::issuer_id::IssuerId;
use crate::jose::algorithm::Algorithms;
use crate::jose::compact::{Unverified, media_type};
use crate::jose::key_set::KeySet;
use crate::jose::secret::Secret;
use crate::keys::proof::{Proof, prove};
use crate::keys::store::KeyStore;
use crate::metadata::{ServerMetadata, WellKnown, check_resource, well_known};
use crate::reason::Reason;
use crate::requirement::Requirement;
use crate::resource_metadata;
use crate::token::AccessToken;
use crate::wire::fetch::{FetchLimits, judge};

/// A judge that demands of a token only what it is told to: the code of [`Validator`](crate::Validator), for vectors that carry
/// no `exp`, no `iss` or no `aud`.
///
/// Signatures, types, duplicates and limits are judged as ever; nothing turns those off.
///
/// ```
/// use scopegate::testing::{BareJudge, TestIssuer};
/// use scopegate::{KeySet, Reason, Requirement, ScopePolicy};
/// let issuer = TestIssuer::new("https://issuer.test");
/// let keys = KeySet::from_json(issuer.jwks().as_bytes())?;
/// let anything = Requirement::from(ScopePolicy::none());
/// let eternal = issuer.token().without("exp").mint();
/// assert!(BareJudge::new(keys).judge(eternal.as_bytes(), &anything).is_ok());
/// # Ok::<(), scopegate::NotAKeySet>(())
/// ```
#[derive(Clone, Debug)]
pub struct BareJudge {
    keys: KeySet,
    algorithms: Algorithms,
    issuer: Option<String>,
    audiences: Option<Vec<String>>,
    profile: Option<Profile>,
    typ: Option<String>,
    now: Option<Timestamp>,
    leeway: Duration,
}

impl BareJudge {
    /// A judge by these keys that accepts whatever they signed.
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        Self {
            keys,
            algorithms: crate::Algorithm::ALL.into_iter().collect(),
            issuer: None,
            audiences: None,
            profile: None,
            typ: None,
            now: None,
            leeway: Duration::ZERO,
        }
    }

    /// A judge by shared secrets.
    #[must_use]
    pub fn of_secrets(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self::new(KeySet::of_secrets(secrets.into_iter().filter_map(|secret| secret.prepare()).collect()))
    }

    /// The algorithms that count. Unless called, all that the keys allow.
    #[must_use]
    pub const fn algorithms(mut self, algorithms: Algorithms) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// Demands this issuer.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = Some(issuer.to_owned());
        self
    }

    /// Demands one of these audiences.
    #[must_use]
    pub fn audiences(mut self, audiences: impl IntoIterator<Item = String>) -> Self {
        self.audiences = Some(audiences.into_iter().collect());
        self
    }

    /// Demands a profile's `typ`, claims and guard.
    #[must_use]
    pub const fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Demands this `typ`, as a media type (RFC 7515 s4.1.9).
    #[must_use]
    pub fn typ(mut self, typ: &str) -> Self {
        self.typ = Some(typ.to_owned());
        self
    }

    /// Judges `exp`, `nbf` and `iat` by this time, with this leeway.
    #[must_use]
    pub const fn at(mut self, now: Timestamp, leeway: Duration) -> Self {
        self.now = Some(now);
        self.leeway = leeway;
        self
    }

    /// Checks the compact JWS alone: structure, header, key and signature. The payload may be anything.
    ///
    /// # Errors
    /// The reason.
    pub fn verify(&self, token: &[u8]) -> Result<Vec<u8>, Reason> {
        let token = Unverified::parse(token)?;
        if !self.algorithms.contains(token.header.algorithm) {
            return Err(Reason::AlgorithmRefused);
        }
        let keys = KeyStore::pushed(self.keys.clone()).read();
        match prove(&token, &keys, EPOCH)? {
            Proof::Holds(verified, _) => verified.payload(),
            Proof::NoKeys | Proof::UnknownKey => Err(Reason::UnknownKey),
            Proof::BadSignature => Err(Reason::BadSignature),
        }
    }

    /// Judges a token.
    ///
    /// # Errors
    /// The reason.
    pub fn judge(&self, token: &[u8], demand: &Requirement) -> Result<AccessToken, Reason> {
        if let Some(wanted) = &self.typ {
            let header = Unverified::parse(token)?.header;
            if header.typ.as_str() != Some(&*media_type(wanted).to_ascii_lowercase()) {
                return Err(Reason::WrongType);
            }
        }
        let credentials = Credentials::bearer(token);
        match decide(&self.trusted(), &credentials, demand, None, self.now.unwrap_or(EPOCH), Left::All) {
            Verdict::Accepted(token, _) => Ok(token),
            Verdict::NotEnough(..) => Err(Reason::InsufficientScope),
            Verdict::Refused(refusal) => Err(refusal.reason),
            Verdict::Wanted(..) => Err(Reason::KeysUnavailable),
        }
    }

    /// Judges what an introspection endpoint answered about a token (RFC 7662 s2.2). `None` where it is no answer at all.
    ///
    /// # Errors
    /// The reason.
    pub fn judge_answer(
        &self,
        answer: http::Response<Bytes>,
        demand: &Requirement,
    ) -> Option<Result<AccessToken, Reason>> {
        let document = judge(answer, FetchLimits::default(), EPOCH).ok()?;
        let trusted = self.trusted();
        let rules = &trusted.issuers.first()?.rules;
        let may_lack = MayLack {
            issuer: self.issuer.is_none(),
            audience: self.audiences.is_none(),
            kind: self.profile.is_none(),
            scope_claim: false,
        };
        let fact = Fact::of(Answer::read(&document, &rules.names).ok()?, rules, may_lack);
        Some(match fact {
            Fact::Bad(reason) => Err(reason),
            Fact::Active(token) => self
                .now
                .map_or(Ok(()), |now| rules.is_current(token.get().stated(), now))
                .and_then(
                    |()| if demand.is_satisfied_by(token.get()) { Ok(()) } else { Err(Reason::InsufficientScope) },
                )
                .map(|()| token.hand_out()),
        })
    }

    fn trusted(&self) -> Trusted {
        let audience = match &self.audiences {
            Some(audiences) => AudienceRule::OneOf(audiences.iter().map(|audience| audience.as_str().into()).collect()),
            None => AudienceRule::Anybody,
        };
        let issuer = TrustedIssuer {
            number: 0,
            algorithms: self.algorithms,
            judged_by: JudgedBy::Keys,
            standing: None,
            asked: None,
            opaque_prefix: None,
            keys: Arc::new(KeyStore::pushed(self.keys.clone())),
            remote: None,
            rules: Rules {
                issuer: IssuerId::new(self.issuer.as_deref().unwrap_or_default()),
                profile: self.profile.unwrap_or(Profile::PlainJwt),
                audience,
                names: ClaimNames::default(),
                leeway: self.leeway,
                binding: Binding::MustBeProven,
                #[cfg(feature = "client")]
                for_a_client: false,
                left_out: LeftOutDemands {
                    issuer: self.issuer.is_none(),
                    expiry: self.profile != Some(Profile::Rfc9068),
                    time: self.now.is_none(),
                    kind: self.profile.is_none(),
                },
            },
        };
        Trusted::by_name([issuer].into(), self.leeway, 1 << 20)
    }
}

const EPOCH: Timestamp = Timestamp::new(0, Duration::ZERO);

/// The token that a request presented.
///
/// # Errors
/// The reason why there is none.
pub fn presented(credentials: &Credentials<'_>) -> Result<Vec<u8>, Reason> {
    credentials.is_token().and_then(|()| credentials.token(usize::MAX)).map(<[u8]>::to_vec)
}

/// The address of a metadata document: `oauth-authorization-server`, `openid-configuration`, `openid-configuration-8414` (that
/// document at the address that RFC 8414 s5 makes) or `oauth-protected-resource`.
///
/// # Errors
/// What is wrong with the identifier, or that the document is not known.
pub fn metadata_url(document: &str, identifier: &str) -> Result<String, &'static str> {
    let kind = match document {
        "oauth-authorization-server" => WellKnown::OAuthInserted,
        "openid-configuration" => WellKnown::OpenIdAppended,
        "openid-configuration-8414" => WellKnown::OpenIdInserted,
        "oauth-protected-resource" => return resource_metadata::address(identifier, PlainHttp::Refused),
        _ => return Err("not a known document"),
    };
    well_known(kind, identifier, PlainHttp::Refused)
}

/// Reads the metadata of an authorization server, or of a protected resource, as that of this identifier.
///
/// # Errors
/// Why it does not count.
pub fn read_metadata(document: &str, identifier: &str, body: &[u8]) -> Result<(), &'static str> {
    let read = if document == "oauth-protected-resource" {
        check_resource(body, identifier)
    } else {
        ServerMetadata::from_json(body, identifier, PlainHttp::Refused).map(drop)
    };
    read.map_err(|fault| fault.problem())
}
