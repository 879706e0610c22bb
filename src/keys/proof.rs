//! Whether a key at hand has signed a token (RFC 7515 s5.2).

use crate::clock::Timestamp;
use crate::jose::compact::Unverified;
use crate::jose::key_set::{Candidates, Witness};
use crate::jose::verify::{Verified, verify};
use crate::keys::store::Held;
use crate::reason::Reason;

/// What the keys at hand say of a token.
pub(crate) enum Proof<'t> {
    Holds(Verified<'t>, Witness),
    /// There is no key that may be used at all.
    NoKeys,
    /// No key of the set is the one that signed.
    UnknownKey,
    /// The key that the token names did not sign it.
    BadSignature,
}

/// Finds the key and checks the signature.
pub(crate) fn prove<'t>(token: &'t Unverified<'t>, held: &Held, now: Timestamp) -> Result<Proof<'t>, Reason> {
    if !held.is_usable(now) {
        return Ok(Proof::NoKeys);
    }
    match held.keys.candidates(token.header.kid_octets(), token.header.algorithm) {
        Candidates::Named(key) => match verify(token, [key]) {
            Err(Reason::BadSignature) => Ok(Proof::BadSignature),
            proof => proof.map(|verified| Proof::Holds(verified, Witness::Key(key.identity()))),
        },
        // That none of the nameless holds says only that the key is not among them.
        Candidates::Unnamed(keys) => match verify(token, keys.into_iter().flatten()) {
            Err(Reason::BadSignature) => Ok(Proof::UnknownKey),
            proof => proof.map(|verified| Proof::Holds(verified, Witness::Set(held.keys.identity()))),
        },
        Candidates::TooMany => Err(Reason::UnknownKey),
        Candidates::None => Ok(Proof::UnknownKey),
    }
}
