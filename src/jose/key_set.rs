//! A JSON Web Key Set, read key by key (RFC 7517 s5).

use std::fmt;
use std::sync::Arc;

use crate::jose::algorithm::Algorithm;
use crate::jose::json::{self, Duplicates, Value};
use crate::jose::jwk::{Jwk, KeyIdentity, Unusable, VerificationKey};

/// The most keys that a set is read for; the rest is left out.
pub(crate) const MAX_KEYS: usize = 512;
/// How many keys are tried at most for a token that names none (RFC 7515 s4.1.4 asks for trying; the bound keeps it cheap).
pub(crate) const MAX_TRIED: usize = 4;
const SET_LIMITS: json::Limits = json::Limits { depth: 16, members: 32_768, duplicates: Duplicates::LeftToTheReader };

/// The keys of one issuer, judged and ready. A clone costs one reference count.
///
/// ```
/// use scopegate::KeySet;
/// let set = KeySet::from_json(br#"{"keys":[
///     {"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
///     {"kty":"oct","kid":"2","k":"c2VjcmV0"}
/// ]}"#)?;
/// assert_eq!(set.keys().len(), 1);
/// assert_eq!(set.left_out()[0].cause.label(), "symmetric");
/// # Ok::<(), scopegate::NotAKeySet>(())
/// ```
#[derive(Clone, Default)]
pub struct KeySet(Arc<Inner>);

#[derive(Default)]
struct Inner {
    identity: KeyIdentity,
    keys: Vec<VerificationKey>,
    left_out: Vec<LeftOut>,
}

/// A key of the document that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its place in the document, from 0.
    pub place: usize,
    /// Its `kid`, if it could be read.
    pub kid: Option<String>,
    /// Why it is not used.
    pub cause: Unusable,
}

/// The document is not a JWK Set: not JSON, not an object, or without an array `keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JWK Set: {0}")]
pub struct NotAKeySet(pub(crate) &'static str);

impl KeySet {
    /// Reads a document. Keys that cannot be used are [left out](Self::left_out) with the cause, and the others work; a set may
    /// end up without any.
    ///
    /// # Errors
    /// [`NotAKeySet`] if the document is not a JSON object with an array named `keys`.
    pub fn from_json(document: &[u8]) -> Result<Self, NotAKeySet> {
        Self::from_json_at_most(document, MAX_KEYS)
    }

    /// The same with so many keys at most.
    pub(crate) fn from_json_at_most(document: &[u8], most: usize) -> Result<Self, NotAKeySet> {
        let mut keys = None;
        let mut repeated = false;
        json::object(document, SET_LIMITS, |name, value| {
            if name == "keys" {
                repeated |= keys.replace(value).is_some();
            }
        })
        .map_err(|_| NotAKeySet("not a JSON object"))?;
        match keys {
            Some(Value::Array(entries)) if !repeated => Ok(Self::sort_out(entries.values(), most)),
            Some(_) => Err(NotAKeySet("`keys` is not one array")),
            None => Err(NotAKeySet("no `keys`")),
        }
    }

    fn sort_out<'a>(entries: impl Iterator<Item = Value<'a>>, most: usize) -> Self {
        let mut read = Vec::new();
        let mut left_out = Vec::new();
        for (place, entry) in entries.enumerate() {
            let (kid, key) = match entry {
                Value::Object(_) if read.len() >= most => (None, Err(Unusable::TooMany)),
                Value::Object(object) => match Jwk::read(object.as_bytes()) {
                    Ok(jwk) => (jwk.member("kid").map(str::to_owned), jwk.prepare()),
                    Err(cause) => (None, Err(cause)),
                },
                _ => (None, Err(Unusable::NotAnObject)),
            };
            match key {
                Ok(key) => read.push((place, key)),
                Err(cause) if left_out.len() < MAX_KEYS => left_out.push(LeftOut { place, kid, cause }),
                Err(_) => {}
            }
        }
        Self::without_conflicts(read, left_out)
    }

    pub(crate) fn of_secrets(secrets: Vec<VerificationKey>) -> Self {
        Self::without_conflicts(secrets.into_iter().enumerate().collect(), Vec::new())
    }

    /// One `kid`, one key: the same key twice counts once; keys that `alg` or kind tell apart both stay; keys that only their
    /// material tells apart are both left out, in whatever order they stand (RFC 7517 s4.5).
    fn without_conflicts(read: Vec<(usize, VerificationKey)>, mut left_out: Vec<LeftOut>) -> Self {
        let mut causes: Vec<Option<Unusable>> = Vec::with_capacity(read.len());
        for (at, (_, key)) in read.iter().enumerate() {
            let rivals = read.iter().enumerate().filter(|(other, (_, rival))| {
                *other != at && rival.kid() == key.kid() && rival.algorithms().meets(key.algorithms())
            });
            let mut cause = None;
            for (other, (_, rival)) in rivals {
                if !rival.is_same_material(key) {
                    // Without a `kid` two keys are two keys: they are told apart by trying.
                    cause = key.kid().map(|_| Unusable::AmbiguousKid).or(cause);
                } else if other < at && rival.algorithms() == key.algorithms() {
                    cause = cause.or(Some(Unusable::Repeated));
                }
            }
            causes.push(cause);
        }
        let mut keys = Vec::with_capacity(read.len());
        for ((place, key), cause) in read.into_iter().zip(causes) {
            match cause {
                None => keys.push(key),
                Some(cause) => left_out.push(LeftOut { place, kid: key.kid().map(str::to_owned), cause }),
            }
        }
        left_out.sort_by_key(|entry| entry.place);
        let identities: Vec<u8> = keys.iter().flat_map(|key| key.identity().to_bytes()).flatten().collect();
        Self(Arc::new(Inner { identity: KeyIdentity::of(&identities), keys, left_out }))
    }

    /// The usable keys.
    #[must_use]
    pub fn keys(&self) -> &[VerificationKey] {
        &self.0.keys
    }

    /// The keys that are not used, and why. At most 512 are listed.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.0.left_out
    }

    /// Which keys these are, all together.
    pub(crate) fn identity(&self) -> KeyIdentity {
        self.0.identity
    }

    /// Whether a signature would be found to hold by these keys as it was.
    pub(crate) fn attests(&self, witness: Witness) -> bool {
        match witness {
            Witness::Key(key) => self.keys().iter().any(|ours| ours.identity() == key),
            Witness::Set(set) => self.identity() == set,
        }
    }

    /// The keys by which a token of this `kid` and algorithm may be signed.
    pub(crate) fn candidates(&self, kid: Option<&[u8]>, algorithm: Algorithm) -> Candidates<'_> {
        let fits = |key: &&VerificationKey| key.algorithms().contains(algorithm);
        let Some(kid) = kid else { return Candidates::unnamed(self.keys().iter().filter(fits)) };
        match self.keys().iter().filter(fits).find(|key| key.kid().map(str::as_bytes) == Some(kid)) {
            Some(key) => Candidates::Named(key),
            // A key without a name may be anybody's: an issuer that names its tokens' keys and not the keys themselves.
            None => Candidates::unnamed(self.keys().iter().filter(fits).filter(|key| key.kid().is_none())),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys()).field("left_out", &self.left_out()).finish()
    }
}

/// What has shown that a signature holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Witness {
    /// The key that the token names.
    Key(KeyIdentity),
    /// One that was found by trying: with other keys beside it, it might not be tried.
    Set(KeyIdentity),
}

/// Which keys a token may be signed by.
pub(crate) enum Candidates<'k> {
    /// The key that the token names.
    Named(&'k VerificationKey),
    /// The token, or every fitting key, has no name: these are tried.
    Unnamed([Option<&'k VerificationKey>; MAX_TRIED]),
    /// More keys fit than are tried.
    TooMany,
    None,
}

impl<'k> Candidates<'k> {
    fn unnamed(mut fitting: impl Iterator<Item = &'k VerificationKey>) -> Self {
        let tried: [_; MAX_TRIED] = std::array::from_fn(|_| fitting.next());
        match (tried.first(), fitting.next()) {
            (_, Some(_)) => Self::TooMany,
            (Some(Some(_)), None) => Self::Unnamed(tried),
            _ => Self::None,
        }
    }
}
