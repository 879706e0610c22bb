//! Whether claims are good: the rules of the two profiles.

use std::time::Duration;

use crate::claims::numeric_date;
use crate::claims::read::{ClaimNames, Claims, Subject, Words};
use crate::clock::Timestamp;
use crate::issuer_id::IssuerId;
use crate::jose::compact::Typ;
use crate::reason::Reason;

/// What an issuer's access tokens look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// RFC 9068: `typ` is `at+jwt`, and `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and `jti` are all there.
    #[default]
    Rfc9068,
    /// For issuers that do not follow RFC 9068: `typ` may be `JWT` or absent too; `iss`, `exp` and an audience are still
    /// demanded; `sub`, `client_id`, `iat` and `jti` are not, and `"sub": null` counts as absent.
    ///
    /// The same issuer signs JWTs of other kinds with the same keys. They are told by what they carry, and refused: any
    /// other `typ`; `nonce`, `at_hash`, `c_hash`, `s_hash` (ID tokens); `events` (logout and security events); `htm`, `htu`
    /// (DPoP proofs); `token_use` other than `access` (Cognito); a claim `typ` of ID, Refresh, Offline or Logout (Keycloak).
    PlainJwt,
}

/// Who a token must be meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AudienceRule {
    /// One of these identifiers, byte for byte.
    OneOf(Vec<Box<str>>),
    /// Anybody: named in code by `dangerous()`.
    Anybody,
}

/// Whether a token that is bound to a key may pass without proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    MustBeProven,
    /// Named in code by `dangerous()`.
    Ignored,
}

/// What an introspection answer says that the token is (RFC 7662 s2.2, RFC 6749 s5.1).
#[cfg(feature = "driver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenType {
    Absent,
    Bearer,
    /// Bound to a key (RFC 9449 s6.2).
    Dpop,
    /// `N_A`, `refresh_token`, `ID` and whatever else no request is made with.
    Other,
}

#[cfg(feature = "driver")]
impl TokenType {
    pub(crate) fn read(text: &str) -> Self {
        // RFC 6749 s7.1: case does not count.
        if text.eq_ignore_ascii_case("bearer") {
            Self::Bearer
        } else if text.eq_ignore_ascii_case("dpop") {
            Self::Dpop
        } else {
            Self::Other
        }
    }
}

/// What an introspection answer need not say.
#[cfg(feature = "driver")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MayLack {
    pub(crate) issuer: bool,
    pub(crate) audience: bool,
    /// That it is an access token at all.
    pub(crate) kind: bool,
    /// The claim of the settings that holds the scopes: `scope` stands for it (RFC 7662 s2.2).
    pub(crate) scope_claim: bool,
}

/// How the claims of one issuer's tokens are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) issuer: IssuerId,
    pub(crate) profile: Profile,
    pub(crate) audience: AudienceRule,
    pub(crate) names: ClaimNames,
    pub(crate) leeway: Duration,
    pub(crate) binding: Binding,
    /// They are no access tokens, but JWTs that the issuer makes out to a client of it, which `client/` judges further.
    #[cfg(feature = "client")]
    pub(crate) for_a_client: bool,
    /// What the conformance harness leaves out, and nobody else can.
    #[cfg(feature = "testing")]
    pub(crate) left_out: LeftOutDemands,
}

/// Demands that third-party test vectors do not meet. Everything else is judged by the same code.
#[cfg(feature = "testing")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOutDemands {
    pub(crate) issuer: bool,
    pub(crate) expiry: bool,
    pub(crate) time: bool,
    pub(crate) kind: bool,
}

/// Claims that were judged and found good. Nothing but [`Rules::accept`] and [`Rules::accept_answer`] makes them.
pub(crate) struct Accepted(Claims);

impl Accepted {
    pub(crate) fn into_claims(self) -> Claims {
        self.0
    }
}

impl Rules {
    /// Judges the claims of a token whose signature holds.
    #[inline(always)]
    pub(crate) fn accept(&self, claims: Claims, typ: &Typ, now: Timestamp) -> Result<Accepted, Reason> {
        self.kind(&claims, typ)?;
        self.issuer(&claims)?;
        self.time(&claims, now)?;
        self.audience(&claims)?;
        self.required(&claims)?;
        self.binding(claims.is_bound)?;
        Ok(Accepted(claims))
    }

    /// Judges what the issuer says of a token that it calls active, by the same rules. Its times are judged each time it is used: see
    /// [`is_current`](Self::is_current).
    #[cfg(feature = "driver")]
    pub(crate) fn accept_answer(
        &self,
        claims: Claims,
        token_type: TokenType,
        may_lack: MayLack,
    ) -> Result<Accepted, Reason> {
        let is_access_token = match token_type {
            TokenType::Bearer | TokenType::Dpop => true,
            // An ID token or a refresh token may be active too. What is none carries a scope.
            TokenType::Absent => may_lack.kind || self.granted(&claims).is_some() && !claims.is_other_kind,
            TokenType::Other => false,
        };
        if !is_access_token {
            return Err(Reason::WrongType);
        }
        if !(may_lack.issuer && claims.issuer.is_none()) {
            self.issuer(&claims)?;
        }
        if !(may_lack.audience && self.named_audience(&claims).is_none()) {
            self.audience(&claims)?;
        }
        self.binding(claims.is_bound || token_type == TokenType::Dpop)?;
        Ok(Accepted(claims))
    }

    /// Whether the times of an answer allow its use: an end is not demanded, since RFC 7662 s2.2 does not.
    pub(crate) fn is_current(&self, claims: &Claims, now: Timestamp) -> Result<(), Reason> {
        match claims.expires_at {
            Some(expires_at) if numeric_date::has_expired(expires_at, self.leeway, now) => Err(Reason::Expired),
            Some(_) | None => self.not_ahead(claims, now),
        }
    }

    /// RFC 7800 s3.1, RFC 9449 s7.2: a bound token alone proves nothing about who sent it.
    fn binding(&self, is_bound: bool) -> Result<(), Reason> {
        if is_bound && self.binding == Binding::MustBeProven { Err(Reason::Unbound) } else { Ok(()) }
    }

    /// RFC 8725 s3.11 and s3.12: one kind of JWT is never taken for another.
    fn kind(&self, claims: &Claims, typ: &Typ) -> Result<(), Reason> {
        #[cfg(feature = "testing")]
        if self.left_out.kind {
            return Ok(());
        }
        // An ID token, a signed answer of the userinfo endpoint, or a logout token: an access token is none of them.
        #[cfg(feature = "client")]
        if self.for_a_client {
            let fits = match typ {
                Typ::Jwt | Typ::Absent => true,
                Typ::Other(typ) => **typ == *"logout+jwt",
                Typ::AtJwt => false,
            };
            return if fits { Ok(()) } else { Err(Reason::WrongType) };
        }
        let fits = match (self.profile, typ) {
            (_, Typ::AtJwt) => true,
            (Profile::PlainJwt, Typ::Jwt | Typ::Absent) => true,
            (Profile::PlainJwt, Typ::Other(_)) | (Profile::Rfc9068, Typ::Jwt | Typ::Absent | Typ::Other(_)) => false,
        };
        let is_other_kind = self.profile == Profile::PlainJwt && claims.is_other_kind;
        if fits && !is_other_kind { Ok(()) } else { Err(Reason::WrongType) }
    }

    /// RFC 9068 s4: the issuer's identifier, byte for byte.
    fn issuer(&self, claims: &Claims) -> Result<(), Reason> {
        match claims.issuer {
            Some(issuer) if claims.text(issuer) == self.issuer.as_str() => Ok(()),
            #[cfg(feature = "testing")]
            _ if self.left_out.issuer => Ok(()),
            Some(_) => Err(Reason::UntrustedIssuer),
            None => Err(Reason::MissingClaim),
        }
    }

    /// Whether a token must say when it expires. An answer of the userinfo endpoint need not, nor a logout token of old; what else is made
    /// out to a client has to, which is judged where it is.
    #[cfg_attr(not(feature = "client"), expect(clippy::unused_self, reason = "its twin looks at the rules"))]
    pub(crate) const fn demands_end(&self) -> bool {
        #[cfg(feature = "client")]
        return !self.for_a_client;
        #[cfg(not(feature = "client"))]
        true
    }

    /// RFC 7519 s4.1.4 to s4.1.6: valid while now < exp + leeway, from nbf - leeway, and not made in the future.
    pub(crate) fn time(&self, claims: &Claims, now: Timestamp) -> Result<(), Reason> {
        #[cfg(feature = "testing")]
        if self.left_out.time {
            return Ok(());
        }
        match claims.expires_at {
            Some(expires_at) if numeric_date::has_expired(expires_at, self.leeway, now) => return Err(Reason::Expired),
            Some(_) => {}
            #[cfg(feature = "testing")]
            None if self.left_out.expiry => {}
            None if !self.demands_end() => {}
            None => return Err(Reason::MissingClaim),
        }
        self.not_ahead(claims, now)
    }

    fn not_ahead(&self, claims: &Claims, now: Timestamp) -> Result<(), Reason> {
        let soonest = now.unix_millis().saturating_add(numeric_date::millis(self.leeway));
        let lies_ahead = |date: Option<i64>| date.is_some_and(|date| date > soonest);
        if lies_ahead(claims.not_before) || lies_ahead(claims.issued_at) { Err(Reason::NotYetValid) } else { Ok(()) }
    }

    /// RFC 7519 s4.1.3: at least one value is ours, byte for byte.
    fn audience(&self, claims: &Claims) -> Result<(), Reason> {
        let AudienceRule::OneOf(ours) = &self.audience else { return Ok(()) };
        let Some(theirs) = self.named_audience(claims) else { return Err(Reason::MissingClaim) };
        let is_ours = |theirs: &str| ours.iter().any(|ours| **ours == *theirs);
        if claims.texts(Some(theirs)).any(is_ours) { Ok(()) } else { Err(Reason::WrongAudience) }
    }

    const fn named_audience(&self, claims: &Claims) -> Option<Words> {
        if self.names.audience.is_some() { claims.other_audience } else { claims.audience }
    }

    /// RFC 9068 s2.2.
    fn required(&self, claims: &Claims) -> Result<(), Reason> {
        if self.profile == Profile::PlainJwt {
            return Ok(());
        }
        if matches!(claims.subject, Subject::Null) {
            return Err(Reason::MalformedClaim);
        }
        let all_there = matches!(claims.subject, Subject::Given(_))
            && claims.client_id.is_some()
            && claims.issued_at.is_some()
            && claims.jwt_id.is_some()
            && claims.audience.is_some();
        if all_there { Ok(()) } else { Err(Reason::MissingClaim) }
    }

    /// The claim that holds the scopes: the one that the settings name, else `scope`, else, in the plain profile, `scp`.
    pub(crate) fn granted(&self, claims: &Claims) -> Option<Words> {
        match (&self.names.scope, self.profile) {
            (Some(_), _) => claims.other_scope,
            (None, Profile::Rfc9068) => claims.scope,
            (None, Profile::PlainJwt) => claims.scope.or(claims.scp),
        }
    }

    /// How long a token may be used yet, by its end.
    pub(crate) fn life_left(&self, claims: &Claims, now: Timestamp) -> Duration {
        let millis = claims.expires_at.map_or(i64::MAX, |end| end.saturating_sub(now.unix_millis()));
        Duration::from_millis(u64::try_from(millis).unwrap_or(0)).saturating_add(self.leeway)
    }

    /// What an answer leaves of a JWT that its signature has proven; `None` where it does not say. It speaks RFC 7662's own `scope` where
    /// it lacks the claim of the issuer's JWTs, and one in a form that cannot be read leaves nothing: it must not vanish.
    #[cfg(feature = "driver")]
    pub(crate) fn left(&self, claims: &Claims) -> Option<Left> {
        let of = |words| Left(Some(words));
        match claims.other_scope {
            Some(words) => Some(of(words)),
            None if claims.names_scope => Some(Left(claims.scope)),
            None => self.granted(claims).map(of),
        }
    }
}

/// Scopes that are left; there may be none.
#[cfg(feature = "driver")]
pub(crate) struct Left(pub(crate) Option<Words>);
