//! The whole judgement, as one function: it reads, and neither writes, nor waits, nor looks at a clock.
//!
//! [`decide`] may be asked again and gives the same answer to the same arguments. Where it cannot answer from what is at hand it
//! says what it [needs](Need); whoever gets that brought comes again with the [supply](Supply).

use std::error::Error;
use std::sync::Arc;

use crate::claims::Claims;
use crate::claims::hint::Hint;
use crate::clock::Timestamp;
use crate::credentials::Credentials;
use crate::issuer::TrustedIssuer;
use crate::jose::compact::Unverified;
use crate::jose::key_set::Candidates;
use crate::jose::verify::{Verified, verify};
use crate::keys::store::Held;
use crate::keys::unknown_key::UnknownKey;
use crate::reason::Reason;
use crate::requirement::Requirement;
use crate::token::AccessToken;

/// What a validator judges by.
pub(crate) struct Trusted {
    pub(crate) issuers: Vec<TrustedIssuer>,
    /// The longest token that is looked at, in bytes.
    pub(crate) max_token: usize,
}

/// The judgement, or what it takes.
pub(crate) enum Verdict {
    Known(Result<AccessToken, Refusal>),
    Wanted(Need),
}

/// Why not, and whose fault it was.
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// What is missing: all that the driver needs to act and to remember.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The first keys of this issuer, or newer ones than it has had for too long.
    Keys { issuer: usize },
    /// A key of this issuer that is not among those at hand.
    UnknownKey { issuer: usize, kid: Option<Box<str>> },
    /// This issuer's keys anew, whatever their age. No judgement states it: the program asks.
    Fresh { issuer: usize },
}

impl Need {
    /// The place of the issuer in [`Trusted::issuers`].
    pub(crate) const fn issuer(&self) -> usize {
        match self {
            Self::Keys { issuer } | Self::UnknownKey { issuer, .. } | Self::Fresh { issuer } => *issuer,
        }
    }
}

/// What came of a need.
#[derive(Clone)]
pub(crate) enum Supply {
    /// The issuer has answered: what is at hand now is what it has.
    Fetched,
    /// The issuer was asked often enough of late, and is not asked again yet.
    BudgetSpent,
    /// The issuer could not be asked.
    Unreachable(Arc<dyn Error + Send + Sync>),
}

/// Either of the two ways in which a judgement ends before the token is accepted.
enum Stop {
    Refused(Refusal),
    Wanted(Need),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(Refusal { reason, cause: None })
    }
}

/// Judges what a request presented. `supply` is what came of the need that the last round stated.
pub(crate) fn decide(
    trusted: &Trusted,
    presented: &Credentials<'_>,
    demand: &Requirement,
    supply: Option<&Supply>,
    now: Timestamp,
) -> Verdict {
    match judge(trusted, presented, demand, supply, now) {
        Ok(token) => Verdict::Known(Ok(token)),
        Err(Stop::Refused(refusal)) => Verdict::Known(Err(refusal)),
        Err(Stop::Wanted(need)) => Verdict::Wanted(need),
    }
}

fn judge(
    trusted: &Trusted,
    presented: &Credentials<'_>,
    demand: &Requirement,
    supply: Option<&Supply>,
    now: Timestamp,
) -> Result<AccessToken, Stop> {
    // RFC 6750 s2: one token, and not a byte of it is read before its length is known to be sane.
    let octets = presented.token(trusted.max_token)?;
    // RFC 7515 s7.1: a compact JWS with a strict header.
    let token = Unverified::parse(octets)?;
    // RFC 8725 s3.8: whose token it says it is; among those that are trusted.
    let (place, issuer) = trusted.route(&token)?;
    // RFC 8725 s3.1: an algorithm that this issuer may use.
    if !issuer.algorithms.contains(token.header.algorithm) {
        return Err(Reason::AlgorithmRefused.into());
    }
    // RFC 7515 s5.2: the signature, by a key of this issuer's current set.
    let keys = issuer.keys.read();
    let unproven = Unproven { place, issuer, token: &token, held: &keys, supply, now };
    let verified = match prove(&token, &keys, now)? {
        Proof::Holds(verified) => verified,
        Proof::NoKeys => return Err(unproven.without_keys()),
        Proof::UnknownKey => return Err(unproven.unknown_key()),
    };
    // Claims are believed only now. RFC 7519 s4, RFC 9068 s4.
    let claims = Claims::read(verified.payload()?, &issuer.rules.names)?;
    let accepted = issuer.rules.accept(claims, verified.typ(), now)?;
    let token = AccessToken::new(accepted, &issuer.rules);
    // RFC 6750 s3.1: is it enough?
    demand.satisfied_by(&token)?;
    Ok(token)
}

impl Trusted {
    /// The issuer that the token names. Where only one is trusted the name is not read here: its own keys and rules judge it.
    fn route(&self, token: &Unverified<'_>) -> Result<(usize, &TrustedIssuer), Reason> {
        if let [only] = self.issuers.as_slice() {
            return Ok((0, only));
        }
        let hint = Hint::read(token)?;
        let named = |issuer: &TrustedIssuer| hint.names(issuer.rules.issuer.as_str());
        self.issuers.iter().enumerate().find(|(_, issuer)| named(issuer)).ok_or(Reason::UntrustedIssuer)
    }
}

/// What the keys at hand say of a token.
pub(crate) enum Proof<'t> {
    Holds(Verified<'t>),
    /// There is no key that may be used at all.
    NoKeys,
    /// No key of the set is the one that signed.
    UnknownKey,
}

/// Finds the key and checks the signature.
pub(crate) fn prove<'t>(token: &'t Unverified<'t>, held: &Held, now: Timestamp) -> Result<Proof<'t>, Reason> {
    if !held.is_usable(now) {
        return Ok(Proof::NoKeys);
    }
    match held.keys.candidates(token.header.kid.as_deref(), token.header.algorithm) {
        Candidates::Named(key) => verify(token, [key]).map(Proof::Holds),
        // That none of the nameless holds says only that the key is not among them.
        Candidates::Unnamed(keys) => match verify(token, keys.into_iter().flatten()) {
            Err(Reason::BadSignature) => Ok(Proof::UnknownKey),
            proof => proof.map(Proof::Holds),
        },
        Candidates::TooMany => Err(Reason::UnknownKey),
        Candidates::None => Ok(Proof::UnknownKey),
    }
}

/// A token that no key at hand has proven, and all that bears on what to say of it.
struct Unproven<'j> {
    place: usize,
    issuer: &'j TrustedIssuer,
    token: &'j Unverified<'j>,
    held: &'j Held,
    supply: Option<&'j Supply>,
    now: Timestamp,
}

impl Unproven<'_> {
    /// Nothing can be judged without keys: never a 401 (tenet 4), unless the token is not worth asking for.
    fn without_keys(&self) -> Stop {
        match self.supply {
            None if self.held.is_remote() => self.wanted(Need::Keys { issuer: self.place }),
            None | Some(_) => self.unavailable(),
        }
    }

    /// 401 once the issuer's current keys have judged it; 503 while they are older and the issuer could not be asked.
    fn unknown_key(&self) -> Stop {
        let kid = self.token.header.kid.as_deref();
        match (self.supply, self.held.unknown_key(kid, self.now)) {
            (Some(Supply::Fetched), _) | (_, UnknownKey::Absent) => Reason::UnknownKey.into(),
            (None, UnknownKey::Ask) => self.wanted(Need::UnknownKey { issuer: self.place, kid: kid.map(Into::into) }),
            (None, UnknownKey::Undecided) | (Some(_), UnknownKey::Ask | UnknownKey::Undecided) => self.unavailable(),
        }
    }

    /// States a need, unless the token is not worth a fetch: a stranger's or an expired one causes none.
    fn wanted(&self, need: Need) -> Stop {
        let rules = &self.issuer.rules;
        match Hint::read(self.token) {
            Err(reason) => reason.into(),
            Ok(hint) if !hint.names(rules.issuer.as_str()) => Reason::UntrustedIssuer.into(),
            Ok(hint) if hint.is_expired(self.now, rules.leeway) => Reason::Expired.into(),
            Ok(_) => Stop::Wanted(need),
        }
    }

    fn unavailable(&self) -> Stop {
        let cause = match self.supply {
            Some(Supply::Unreachable(cause)) => Some(Arc::clone(cause)),
            Some(Supply::Fetched | Supply::BudgetSpent) | None => None,
        };
        Stop::Refused(Refusal { reason: Reason::KeysUnavailable, cause })
    }
}
