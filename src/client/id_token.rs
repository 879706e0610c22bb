//! Who the user is: the ID token, verified (OpenID Connect Core 1.0 s2 and s3.1.3.7).

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::client::error::OAuthError;
use crate::clock::Timestamp;
use crate::credentials::Credentials;
use crate::issuer_id::IssuerId;
use crate::jose::base64url;
use crate::jose::compact::{Typ, Unverified};
use crate::jose::crypto::{half_digest, is_same};
use crate::reason::Family;
use crate::requirement::Requirement;
use crate::scope::ScopePolicy;
use crate::token::{AccessToken, ClaimsError};
use crate::validator::Validator;
use crate::wire::fetch::FetchError;

/// An ID token that was verified: who the user is, by the word of the server.
///
/// A program cannot make one.
#[derive(Clone)]
pub struct IdToken(AccessToken);

impl IdToken {
    /// The user at this issuer (`sub`): the one name that does not change. Together with the [issuer](Self::issuer) it is what an account is
    /// known by; an e-mail address is not.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.subject().unwrap_or_default()
    }

    /// The server that says so.
    #[must_use]
    pub fn issuer(&self) -> &IssuerId {
        self.0.issuer()
    }

    /// The user's session at the server (`sid`), where it says so.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.0.session_id()
    }

    /// The claims as JSON, to be kept in a session.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.stated().payload()
    }

    /// Reads the claims into a type of yours: `name`, `email` and whatever else the server says.
    ///
    /// # Errors
    /// [`ClaimsError`] if they do not fit the type.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, ClaimsError> {
        self.0.claims()
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdToken").field("issuer", self.0.issuer()).finish_non_exhaustive()
    }
}

/// What an ID token must say.
pub(crate) struct Expected<'e> {
    pub(crate) client_id: &'e str,
    /// Whom it may be made out to beside this client.
    pub(crate) audiences: &'e [String],
    /// That of the login; `None` where it is not one of a login, or `openid` was not asked for.
    pub(crate) nonce: Option<&'e str>,
    /// What came along with it.
    pub(crate) access_token: Option<&'e str>,
    pub(crate) code: Option<&'e str>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) acr: &'e [String],
    pub(crate) leeway: Duration,
    pub(crate) now: Timestamp,
}

/// The claims that are judged here; the core has judged the signature, the issuer, that the client is among the audience, and the times.
#[derive(Deserialize)]
struct Stated {
    nonce: Option<String>,
    azp: Option<String>,
    auth_time: Option<f64>,
    acr: Option<String>,
    at_hash: Option<String>,
    c_hash: Option<String>,
    events: Option<IgnoredAny>,
    token_use: Option<String>,
    /// Keycloak says here what it is.
    typ: Option<String>,
}

/// Verifies a JWT that the server has made out to this client, by the same core that judges access tokens.
pub(crate) async fn verify(judge: &Validator, jwt: &str) -> Result<AccessToken, Unproven> {
    let anything = Requirement::from(ScopePolicy::none());
    judge.validate(&Credentials::bearer(jwt), &anything).await.map_err(|rejection| match rejection.reason().family() {
        Family::Unavailable | Family::Misconfigured => Unproven::NotJudged(FetchError::other(rejection)),
        _ => Unproven::Bad(rejection.reason()),
    })
}

/// Whether a proven JWT is a logout token or an access token, and so no word about who the user is.
pub(crate) fn is_of_another_kind(jwt: &str, token: &AccessToken) -> bool {
    let (Ok(unverified), Ok(stated)) = (Unverified::parse(jwt.as_bytes()), token.claims::<Stated>()) else {
        return true;
    };
    stated.is_of_another_kind(&unverified.header.typ)
}

/// Why a JWT was not proven.
pub(crate) enum Unproven {
    Bad(crate::reason::Reason),
    NotJudged(FetchError),
}

/// Judges an ID token.
pub(crate) async fn judge(judge: &Validator, jwt: &str, expected: &Expected<'_>) -> Result<IdToken, OAuthError> {
    let invalid = |problem, reason| OAuthError::InvalidIdToken { problem, reason };
    let token = verify(judge, jwt).await.map_err(|unproven| match unproven {
        Unproven::Bad(reason) => invalid("it is not a good JWT of the issuer for this client", Some(reason)),
        Unproven::NotJudged(error) => error.into(),
    })?;
    match problem(jwt, &token, expected) {
        None => Ok(IdToken(token)),
        Some(problem) => Err(invalid(problem, None)),
    }
}

/// What is wrong with it, in the order of OpenID Connect Core 1.0 s3.1.3.7.
fn problem(jwt: &str, token: &AccessToken, expected: &Expected<'_>) -> Option<&'static str> {
    let Ok(unverified) = Unverified::parse(jwt.as_bytes()) else { return Some("it is not a JWT") };
    let Ok(stated) = token.claims::<Stated>() else { return Some("a claim is of another type than it should be") };
    if stated.is_of_another_kind(&unverified.header.typ) {
        return Some("it is a JWT of another kind");
    }
    match token.subject() {
        Some(subject) if !subject.is_empty() && subject.len() <= 255 => {}
        Some(_) => return Some("its sub is empty, or longer than 255 characters"),
        None => return Some("it has no sub"),
    }
    if token.expires_at().is_none() || token.issued_at().is_none() {
        return Some("it lacks exp or iat");
    }
    let algorithm = unverified.header.algorithm;
    let half = |text: &str| half_digest(algorithm, text.as_bytes()).map(|half| base64url::encode(&half));
    stated
        .audience_problem(token, expected)
        .or_else(|| stated.nonce_problem(expected.nonce))
        .or_else(|| stated.time_problem(expected))
        .or_else(|| {
            let lacks_acr =
                !expected.acr.is_empty() && !stated.acr.as_ref().is_some_and(|acr| expected.acr.contains(acr));
            lacks_acr.then_some("the user has not logged in in one of the ways that were demanded (acr)")
        })
        .or_else(|| {
            let differs = |hash: &Option<String>, of: Option<&str>| match (hash, of) {
                // Where no digest belongs to the algorithm, it cannot be the right one.
                (Some(hash), Some(of)) => half(of).is_none_or(|half| half != *hash),
                _ => false,
            };
            if differs(&stated.at_hash, expected.access_token) {
                Some("it belongs to another access token (at_hash)")
            } else if differs(&stated.c_hash, expected.code) {
                Some("it belongs to another code (c_hash)")
            } else {
                None
            }
        })
}

impl Stated {
    /// RFC 8725 s3.12: one kind of JWT is never taken for another.
    fn is_of_another_kind(&self, typ: &Typ) -> bool {
        !matches!(typ, Typ::Jwt | Typ::Absent)
            || self.events.is_some()
            || self.token_use.as_deref().is_some_and(|kind| kind != "id")
            || self.typ.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("ID"))
    }

    /// Rules 3 to 5: this client, and nobody that is not trusted beside it.
    fn audience_problem(&self, token: &AccessToken, expected: &Expected<'_>) -> Option<&'static str> {
        let is_ours = |audience: &str| audience == expected.client_id;
        if !token.audience().any(is_ours) {
            return Some("it is made out to another client");
        }
        if !token
            .audience()
            .all(|audience| is_ours(audience) || expected.audiences.iter().any(|also| *also == audience))
        {
            return Some("it is made out to somebody else as well");
        }
        match &self.azp {
            Some(party) if !is_ours(party) => Some("it was issued to another client (azp)"),
            None if token.audience().count() > 1 => Some("it has several audiences and no azp"),
            Some(_) | None => None,
        }
    }

    /// Rule 11.
    fn nonce_problem(&self, expected: Option<&str>) -> Option<&'static str> {
        match (expected, &self.nonce) {
            (Some(expected), Some(nonce)) if is_same(expected.as_bytes(), nonce.as_bytes()) => None,
            (Some(_), Some(_)) => Some("its nonce is that of another login"),
            (Some(_), None) => Some("it has no nonce"),
            (None, _) => None,
        }
    }

    /// Rule 13.
    fn time_problem(&self, expected: &Expected<'_>) -> Option<&'static str> {
        let max_age = expected.max_age?;
        let Some(at) = self.auth_time else { return Some("it does not say when the user logged in (auth_time)") };
        let longest = max_age.saturating_add(expected.leeway).as_secs_f64();
        let now = Duration::from_millis(u64::try_from(expected.now.unix_millis()).unwrap_or(0)).as_secs_f64();
        let age = now - at;
        // Not a number, or ahead of time, is no time at which somebody logged in.
        let is_sane = at.is_finite() && age >= -expected.leeway.as_secs_f64();
        if is_sane && age <= longest { None } else { Some("the user logged in too long ago (auth_time)") }
    }
}
