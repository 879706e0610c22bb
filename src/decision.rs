//! The whole judgement, as one function: it reads, and neither writes, nor waits, nor looks at a clock.
//!
//! [`decide`] may be asked again and gives the same answer to the same arguments. Where it cannot answer from what is at hand it
//! says what it [needs](Need); whoever gets that brought comes again with the [supply](Supply).

mod unproven;

use std::sync::Arc;
use std::time::Duration;

use crate::claims::Claims;
use crate::claims::hint::Hint;
use crate::clock::Timestamp;
use crate::credentials::Credentials;
use crate::introspection::memory::{Ahead, Memory, Question, Remembered, TokenText};
use crate::issuer::{JudgedBy, TrustedIssuer};
use crate::issuer_id::IssuerId;
use crate::jose::compact::Unverified;
use crate::keys::proof::{Proof, prove};
use crate::opaque::OpaqueRoutes;
use crate::reason::{Cause, Reason};
use crate::requirement::Requirement;
use crate::revocation::DenyList;
use crate::tenants::{Directory, Entry, Table};
use crate::token::AccessToken;
use crate::token_cache::{Evidence, Proven, TokenCache};
use unproven::{LATER, Unproven, unavailable};

pub(crate) use unproven::SOON;

/// What a validator judges by.
pub(crate) struct Trusted {
    /// Those that are trusted by name.
    pub(crate) issuers: Arc<[TrustedIssuer]>,
    /// Those that a resolver named, if there is one.
    pub(crate) resolved: Option<Arc<Directory>>,
    /// Who is asked about a token that does not say whose it is.
    pub(crate) opaque: OpaqueRoutes,
    /// What signatures have proven.
    pub(crate) tokens: TokenCache,
    /// What issuers said of tokens.
    pub(crate) memory: Arc<Memory>,
    /// What the program refuses, however good it is.
    pub(crate) denied: DenyList,
    /// How far clocks may be apart.
    pub(crate) leeway: Duration,
    /// The longest token that is looked at, in bytes.
    pub(crate) max_token: usize,
}

/// The judgement, or what it takes.
pub(crate) enum Verdict {
    Accepted(AccessToken, Once),
    /// It is good in itself, and not enough for this route.
    NotEnough(AccessToken, Once),
    Refused(Refusal),
    Wanted(Box<Wanted>),
}

/// What it takes to judge on.
pub(crate) struct Wanted {
    pub(crate) need: Need,
    /// What to say to whoever does not wait for it.
    pub(crate) meanwhile: Refusal,
    /// The token's signature held just now: to be remembered before its issuer's word is waited for, and not enough without that.
    pub(crate) proven: Option<(AccessToken, Evidence)>,
}

/// What is to be done once about a token that is good in itself.
pub(crate) struct Once {
    /// Its signature held just now: to be remembered.
    pub(crate) evidence: Option<Evidence>,
    /// The question to ask again, before the answer is forgotten.
    pub(crate) fading: Option<Box<Need>>,
}

/// Why not, and whose fault it was.
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) cause: Option<Cause>,
    /// When to come again, where that is known.
    pub(crate) retry_after: Option<Duration>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, cause: None, retry_after: None }
    }
}

/// What is missing: all that the driver needs to act and to remember.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Whether this issuer is to be trusted, and how.
    Issuer { name: Box<str> },
    /// The first keys of this issuer, or newer ones than it has had for too long.
    Keys { issuer: IssuerId },
    /// A key of this issuer that is not among those at hand.
    UnknownKey { issuer: IssuerId, kid: Option<Box<str>> },
    /// The key of this issuer that it may have given the name of another.
    RenamedKey { issuer: IssuerId },
    /// What this issuer says of a token.
    Introspection { issuer: IssuerId, question: Question },
    /// What it takes to ask this issuer about tokens. No judgement states it: the program asks.
    Asking { issuer: IssuerId },
    /// This issuer's keys anew, whatever their age. No judgement states it: the program asks.
    Fresh { issuer: IssuerId },
}

/// What came of a need.
#[derive(Clone)]
pub(crate) enum Supply {
    /// What was missing may be at hand by now, and says nothing of what else may be: whether the issuer is to be trusted, or keys
    /// that others had asked for.
    LookAgain,
    /// The issuer has answered: what is at hand now is what it has.
    Fetched,
    /// The issuer has said what it thinks of the token.
    Answered(Arc<Remembered>),
    /// The issuer was asked often enough of late, and is not asked again yet.
    BudgetSpent,
    /// The issuer could not be asked.
    Unreachable(Cause),
}

/// Either of the two ways in which a judgement ends before the token is accepted.
enum Stop {
    Refused(Refusal),
    // Boxed, since most judgements state no need: a small result is quick to hand on.
    Wanted(Box<Wanted>),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.into())
    }
}

/// What is left for [`decide`] to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    All,
    /// All but what signatures have proven, where there is nothing of this token.
    AllButProofs,
}

/// What memory says of a token. It is small, since nearly every request is answered by one.
pub(crate) struct Recalled {
    pub(crate) judged: Result<AccessToken, Reason>,
    pub(crate) fading: Option<Box<Need>>,
}

/// Judges what a request presented by what is remembered. The time may be a rough one, which is late: what has ended by it has ended, and
/// what has not begun by it is left to [`decide`].
pub(crate) fn recall(
    trusted: &Trusted,
    presented: &Credentials<'_>,
    demand: &Requirement,
    now: Timestamp,
) -> Result<Recalled, Left> {
    let octets = presented.token(trusted.max_token).map_err(|_| Left::All)?;
    let asking = Asking { trusted, presented, octets, supply: None, now };
    let (good, left) = match asking.remembered() {
        Some(good) => (good, Left::All),
        None => (asking.opaque().ok_or(Left::AllButProofs)?, Left::AllButProofs),
    };
    let refused = |reason| Ok(Recalled { judged: Err(reason), fading: None });
    let good = match good {
        Ok(good) => good,
        Err(Stop::Refused(refusal)) if refusal.reason != Reason::NotYetValid => return refused(refusal.reason),
        Err(_) => return Err(left),
    };
    if let Err(reason) = good.is_allowed(trusted, now) {
        return refused(reason);
    }
    let judged = if good.is_enough(demand) { Ok(good.token) } else { Err(Reason::InsufficientScope) };
    Ok(Recalled { judged, fading: good.fading })
}

/// Judges what a request presented. `supply` is what came of the need that the last round stated.
pub(crate) fn decide(
    trusted: &Trusted,
    presented: &Credentials<'_>,
    demand: &Requirement,
    supply: Option<&Supply>,
    now: Timestamp,
    left: Left,
) -> Verdict {
    match judge(trusted, presented, supply, now, left) {
        // RFC 6750 s3.1: is it enough?
        Ok((good, evidence)) => {
            let is_enough = good.is_enough(demand);
            let once = Once { evidence, fading: good.fading };
            if is_enough { Verdict::Accepted(good.token, once) } else { Verdict::NotEnough(good.token, once) }
        }
        Err(Stop::Refused(refusal)) => Verdict::Refused(refusal),
        Err(Stop::Wanted(wanted)) => Verdict::Wanted(wanted),
    }
}

fn judge(
    trusted: &Trusted,
    presented: &Credentials<'_>,
    supply: Option<&Supply>,
    now: Timestamp,
    left: Left,
) -> Result<(Good, Option<Evidence>), Stop> {
    // RFC 6750 s2: one token, and not a byte of it is read before its length is known to be sane.
    let octets = presented.token(trusted.max_token)?;
    let asking = Asking { trusted, presented, octets, supply, now };
    let remembered = if left == Left::All { asking.remembered() } else { None };
    let good = match remembered {
        // Its signature was proven a while ago, and nothing has come between.
        Some(good) => (good?, None),
        None => match asking.opaque() {
            // RFC 7662: the issuer's word.
            Some(said) => (said?, None),
            // RFC 9068: the issuer's signature.
            None => asking.signed().map_err(|stop| presented.is_token().err().map_or(stop, Stop::from))?,
        },
    };
    good.0.is_allowed(trusted, now)?;
    Ok(good)
}

/// A token that is good in itself.
struct Good {
    token: AccessToken,
    /// The issuer's word on it, where its signature was proven first.
    also: Option<AccessToken>,
    /// The question to ask again, before the answer is forgotten.
    fading: Option<Box<Need>>,
}

impl Good {
    /// What a logout or a revocation has called, by whatever name it is known.
    fn is_allowed(&self, trusted: &Trusted, now: Timestamp) -> Result<(), Reason> {
        trusted.denied.allows(&self.token, self.also.as_ref(), now)
    }

    /// What a route demands, of the token and of what its issuer leaves of it.
    fn is_enough(&self, demand: &Requirement) -> bool {
        let left = self.also.as_ref().filter(|also| also.names_scopes());
        demand.is_satisfied_by(&self.token) && left.is_none_or(|left| demand.is_satisfied_by(left))
    }
}

/// A token, and all that bears on how it is judged.
struct Asking<'j> {
    trusted: &'j Trusted,
    presented: &'j Credentials<'j>,
    octets: &'j [u8],
    supply: Option<&'j Supply>,
    now: Timestamp,
}

impl Asking<'_> {
    /// Judges a token by its issuer's word alone, where it is one that does not say whose it is.
    fn opaque(&self) -> Option<Result<Good, Stop>> {
        let place = self.trusted.opaque.route(self.octets)?;
        self.trusted.issuers.get(place).map(|issuer| self.unproven(issuer))
    }

    /// What is left to be judged of a token whose signature was proven a while ago; `None` if that counts no more.
    fn remembered(&self) -> Option<Result<Good, Stop>> {
        let Self { trusted, now, .. } = *self;
        trusted.tokens.recall(self.octets, now, |proven| {
            let resolved = trusted.resolved.as_ref().map(|resolved| resolved.read());
            let issuer = trusted.issuer_of(proven, resolved.as_deref().map(|table| &**table), now)?;
            let keys = issuer.keys.read();
            if !keys.is_usable(now) || !keys.keys.attests(proven.evidence.witness) {
                return None;
            }
            if let Err(reason) = issuer.rules.time(proven.token.get().stated(), now) {
                return Some(Err(reason.into()));
            }
            proven.lasts(now).then(|| self.after_proof(issuer, proven.token.hand_out(), None))
        })
    }

    /// Judges a token by its signature.
    fn signed(&self) -> Result<(Good, Option<Evidence>), Stop> {
        let Self { trusted, supply, now, .. } = *self;
        // RFC 7515 s7.1: a compact JWS with a strict header.
        let token = Unverified::parse_knowing(self.octets, |first| trusted.tokens.headers.find(first))?;
        // RFC 8725 s3.8: whose token it says it is; among those that are trusted.
        let resolved = trusted.resolved.as_ref().map(|resolved| resolved.read());
        let (issuer, hint) = trusted.route(&token, resolved.as_deref().map(|table| &**table), supply, now)?;
        if issuer.judged_by == JudgedBy::Introspection {
            let said = self.unproven(issuer).map_err(|stop| stop.unless_expired(&token, trusted.leeway, now));
            return said.map(|good| (good, None));
        }
        // RFC 8725 s3.1: an algorithm that this issuer may use.
        if !issuer.algorithms.contains(token.header.algorithm) {
            return Err(Reason::AlgorithmRefused.into());
        }
        // RFC 7515 s5.2: the signature, by a key of this issuer's current set.
        let keys = issuer.keys.read();
        let unproven = Unproven { issuer, token: &token, held: &keys, supply, now };
        let (verified, witness) = match prove(&token, &keys, now)? {
            Proof::Holds(verified, witness) => (verified, witness),
            Proof::NoKeys => return Err(unproven.without_keys()),
            Proof::UnknownKey => return Err(unproven.unknown_key()),
            Proof::BadSignature => return Err(unproven.bad_signature()),
        };
        // Claims are believed only now. RFC 7519 s4, RFC 9068 s4.
        let names = &issuer.rules.names;
        let claims = match hint {
            Some(hint) => hint.believed(&verified, names)?,
            None => Claims::read(verified.payload()?, names)?,
        };
        let accepted = issuer.rules.accept(claims, verified.typ(), now)?;
        let token = AccessToken::new(accepted, &issuer.rules);
        let lasts = issuer.rules.life_left(token.stated(), now);
        let evidence = Evidence { issuer: issuer.number, witness, lasts };
        self.after_proof(issuer, token, Some(evidence)).map(|good| (good, Some(evidence)))
    }

    /// Judges a token whose signature holds, as was found just now where there is evidence.
    fn after_proof(
        &self,
        issuer: &TrustedIssuer,
        token: AccessToken,
        evidence: Option<Evidence>,
    ) -> Result<Good, Stop> {
        if issuer.judged_by == JudgedBy::Keys {
            return Ok(Good { token, also: None, fading: None });
        }
        // Signed well, and perhaps revoked since: the issuer has the last word.
        let said = self.introspected(issuer, Some(&token)).map_err(|stop| stop.with_proof(&token, evidence))?;
        if !said.token.is_of(&token) {
            return Err(Reason::MalformedClaim.into());
        }
        Ok(Good { token, also: Some(said.token), fading: said.fading })
    }

    /// Judges a token by what its issuer says of it alone. It is not asked about what is no token.
    fn unproven(&self, issuer: &TrustedIssuer) -> Result<Good, Stop> {
        self.presented.is_token()?;
        self.introspected(issuer, None)
    }

    /// Judges a token by what its issuer says of it, beside what it has proven of itself.
    fn introspected(&self, issuer: &TrustedIssuer, proven: Option<&AccessToken>) -> Result<Good, Stop> {
        let Some(standing) = &issuer.standing else { return Err(Reason::Misconfigured.into()) };
        let judge = |said: &Arc<Remembered>| {
            let token = said.is_good_for(standing.asker).then(|| said.judge(&issuer.rules, self.now))?;
            let is_fading = standing.ahead == Ahead::Yes && said.is_about_to_end(self.now);
            Some(token.map(|token| (token.hand_out(), is_fading)))
        };
        let said = match self.supply {
            // Fresh from the issuer, also where nothing is remembered.
            Some(Supply::Answered(answer)) => judge(answer),
            _ => self.trusted.memory.recall(standing.asker, self.octets, self.now, judge),
        };
        let need = || {
            let question = Question { token: TokenText::new(self.octets), proven: proven.cloned() };
            Need::Introspection { issuer: issuer.rules.issuer.clone(), question }
        };
        if let Some(said) = said {
            let (token, is_fading) = said?;
            return Ok(Good { token, also: None, fading: is_fading.then(|| need().into()) });
        }
        let cause = match self.supply {
            Some(Supply::Unreachable(cause)) => Some(Arc::clone(cause)),
            _ => None,
        };
        let retry_after = Some(standing.barred(self.now).saturating_add(SOON));
        let unasked = Refusal { reason: Reason::IntrospectionUnavailable, cause, retry_after };
        Err(match self.supply {
            // An answer that is good no more was forgotten on its way: the issuer may think otherwise by now.
            None | Some(Supply::LookAgain | Supply::Fetched | Supply::Answered(_)) => Stop::wanted(need(), unasked),
            Some(Supply::BudgetSpent | Supply::Unreachable(_)) => Stop::Refused(unasked),
        })
    }
}

impl Stop {
    fn wanted(need: Need, meanwhile: Refusal) -> Self {
        Self::Wanted(Wanted { need, meanwhile, proven: None }.into())
    }

    /// What was found out before it came to this is not found out again.
    fn with_proof(mut self, token: &AccessToken, evidence: Option<Evidence>) -> Self {
        if let Self::Wanted(wanted) = &mut self {
            wanted.proven = evidence.map(|evidence| (token.clone(), evidence));
        }
        self
    }

    /// Nobody is asked about a token that has expired by its own word.
    fn unless_expired(self, token: &Unverified<'_>, leeway: Duration, now: Timestamp) -> Self {
        match self {
            Self::Wanted(..) => match Hint::read(token) {
                Ok(hint) if !hint.is_expired(now, leeway) => self,
                Ok(_) => Reason::Expired.into(),
                Err(reason) => reason.into(),
            },
            Self::Refused(_) => self,
        }
    }
}

impl Trusted {
    /// Of these issuers alone, with nothing remembered and nothing denied.
    pub(crate) fn by_name(issuers: Arc<[TrustedIssuer]>, leeway: Duration, max_token: usize) -> Self {
        let (opaque, memory, denied) = (OpaqueRoutes::default(), Arc::new(Memory::nothing()), DenyList::new(0));
        let tokens = TokenCache::nothing();
        Self { issuers, resolved: None, opaque, tokens, memory, denied, leeway, max_token }
    }

    /// The issuer whose token was proven, if it is trusted still as it was.
    fn issuer_of<'t>(
        &'t self,
        proven: &Proven,
        resolved: Option<&'t Table>,
        now: Timestamp,
    ) -> Option<&'t TrustedIssuer> {
        let number = proven.evidence.issuer;
        let is_same = |issuer: &&TrustedIssuer| issuer.number == number;
        let named = usize::try_from(number).ok().and_then(|place| self.issuers.get(place));
        named.filter(is_same).or_else(|| match resolved?.find(proven.token.get().issuer().as_str(), now) {
            Entry::Trusted(issuer) => Some(issuer).filter(is_same),
            Entry::Refused | Entry::Unknown => None,
        })
    }

    /// The issuer that the token names. Where only one is trusted the name is not read here: its own keys and rules judge it.
    fn route<'t>(
        &'t self,
        token: &'t Unverified<'t>,
        resolved: Option<&'t Table>,
        supply: Option<&Supply>,
        now: Timestamp,
    ) -> Result<(&'t TrustedIssuer, Option<Hint<'t>>), Stop> {
        if let ([only], None) = (&*self.issuers, resolved) {
            return Ok((only, None));
        }
        let hint = Hint::read(token)?;
        if let Some(issuer) = self.issuers.iter().find(|issuer| hint.names(issuer.rules.issuer.as_str())) {
            return Ok((issuer, Some(hint)));
        }
        match resolved.map(|resolved| resolved.find(hint.issuer(), now)) {
            Some(Entry::Trusted(issuer)) => Ok((issuer, Some(hint))),
            Some(Entry::Refused) | None => Err(Reason::UntrustedIssuer.into()),
            // Nobody is asked about a token that no issuer could save.
            Some(Entry::Unknown) if hint.is_expired(now, self.leeway) => Err(Reason::Expired.into()),
            Some(Entry::Unknown) => {
                // A name for which the resolver failed is left alone for a while.
                let wait = if matches!(supply, Some(Supply::Unreachable(_))) { LATER } else { SOON };
                let unresolved = unavailable(supply, None, wait);
                Err(match supply {
                    None => Stop::wanted(Need::Issuer { name: hint.issuer().into() }, unresolved),
                    Some(_) => Stop::Refused(unresolved),
                })
            }
        }
    }
}
