//! From unverified to verified, the only way there is.

use std::ptr;

use crate::jose::base64url::{self, Room};
use crate::jose::compact::{Typ, Unverified};
use crate::jose::jwk::VerificationKey;
use crate::reason::Reason;

/// A token whose signature holds. Nothing but [`verify`] makes one.
pub(crate) struct Verified<'t> {
    token: &'t Unverified<'t>,
}

/// Checks the signature by each key in turn, until one holds (RFC 7515 s5.2).
///
/// The caller has matched the keys to the token's algorithm; a key that cannot verify it is passed over.
pub(crate) fn verify<'t, 'k>(
    token: &'t Unverified<'t>,
    keys: impl IntoIterator<Item = &'k VerificationKey>,
) -> Result<Verified<'t>, Reason> {
    let mut room = Room::new();
    let signature = base64url::decode_into(token.signature, &mut room).ok_or(Reason::Malformed)?;
    let holds = |key: &VerificationKey| {
        key.prepared_for(token.header.algorithm).is_some_and(|key| key.verify(token.signing_input, signature))
    };
    if keys.into_iter().any(holds) { Ok(Verified { token }) } else { Err(Reason::BadSignature) }
}

impl<'t> Verified<'t> {
    /// The header's `typ`.
    pub(crate) const fn typ(&self) -> &'t Typ {
        &self.token.header.typ
    }

    /// Whether it is this token that was verified.
    pub(crate) fn is_of(&self, token: &Unverified<'_>) -> bool {
        ptr::eq(self.token, token)
    }

    /// The payload's octets.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, Reason> {
        base64url::decode(self.token.payload).ok_or(Reason::Malformed)
    }
}
