//! What a token says of itself before its signature was checked.

use std::time::Duration;

use crate::claims::Claims;
use crate::claims::numeric_date;
use crate::claims::read::{ClaimNames, Found, Word};
use crate::clock::Timestamp;
use crate::jose::base64url;
use crate::jose::compact::Unverified;
use crate::jose::verify::Verified;
use crate::reason::Reason;

/// `iss` and `exp` of a token that is not yet believed. It routes and it may refuse, and it cannot be used as a claim.
///
/// The payload is read once: what else was found in it waits here until the token has been verified.
pub(crate) struct Hint<'t> {
    token: &'t Unverified<'t>,
    found: Found,
    issuer: Word,
    /// Milliseconds since 1970.
    expires_at: Option<i64>,
}

impl<'t> Hint<'t> {
    /// Reads the payload as claims are read, and minds the two alone.
    pub(crate) fn read(token: &'t Unverified<'t>) -> Result<Self, Reason> {
        let hint = Self::read_without_end(token)?;
        if hint.has_end() { Ok(hint) } else { Err(Reason::MissingClaim) }
    }

    /// The same of a token that need not say when it expires, as answers of the userinfo endpoint do not.
    pub(crate) fn read_without_end(token: &'t Unverified<'t>) -> Result<Self, Reason> {
        let payload = base64url::decode(token.payload).ok_or(Reason::Malformed)?;
        let mut is_wrong = false;
        let found = Found::read(payload, &ClaimNames::default(), |name, claims| match name {
            b"iss" => is_wrong |= claims.issuer.is_none(),
            b"exp" => is_wrong |= claims.expires_at.is_none(),
            _ => {}
        })?;
        let expires_at = found.claims.expires_at;
        match found.claims.issuer {
            _ if is_wrong => Err(Reason::MalformedClaim),
            Some(issuer) => Ok(Self { token, found, issuer, expires_at }),
            None => Err(Reason::MissingClaim),
        }
    }

    /// The claims of a token whose signature holds.
    pub(crate) fn believed(self, verified: &Verified<'_>, names: &ClaimNames) -> Result<Claims, Reason> {
        if !verified.is_of(self.token) {
            return Err(Reason::BadSignature);
        }
        self.found.and_named(names)?.into_claims()
    }

    /// Whether the token says when it expires.
    pub(crate) const fn has_end(&self) -> bool {
        self.expires_at.is_some()
    }

    /// The issuer that the token names, believed by nobody yet.
    pub(crate) fn issuer(&self) -> &str {
        self.found.claims.text(self.issuer)
    }

    /// Whether this is the issuer that the token names, byte for byte.
    pub(crate) fn names(&self, issuer: &str) -> bool {
        self.issuer() == issuer
    }

    /// Whether the token would be refused as expired, however it is signed.
    pub(crate) fn is_expired(&self, now: Timestamp, leeway: Duration) -> bool {
        self.expires_at.is_some_and(|expires_at| numeric_date::has_expired(expires_at, leeway, now))
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::jose::key_set::KeySet;
    use crate::jose::verify::verify;
    use crate::testing::TestIssuer;

    #[test]
    fn the_rest_is_believed_with_the_signature_and_in_whatever_place_the_settings_name() {
        let issuer = TestIssuer::new("https://issuer.test");
        let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
        let good = issuer.token().claim("roles", ["a", "b"]).mint();
        let other = issuer.token().claim("acr", ["not a string"]).mint();
        let [good, other] = [&good, &other].map(|token| Unverified::parse(token.as_bytes()).unwrap());
        let verified = verify(&good, keys.keys()).ok().unwrap();
        let hint = || Hint::read(&good).unwrap();
        assert!(hint().names("https://issuer.test") && !hint().names("https://issuer.test/"));
        let names = ClaimNames { scope: Some("roles".into()), audience: None };
        let claims = hint().believed(&verified, &names).unwrap();
        assert_eq!(claims.texts(claims.other_scope).collect::<Vec<_>>(), ["a", "b"]);
        let claims = hint().believed(&verified, &ClaimNames::default()).unwrap();
        assert!(claims.other_scope.is_none() && claims.issuer.is_some());
        // Of another token nothing is believed, and of none what is not of its type.
        assert_eq!(Hint::read(&other).unwrap().believed(&verified, &names).err(), Some(Reason::BadSignature));
        let verified = verify(&other, keys.keys()).ok().unwrap();
        assert_eq!(Hint::read(&other).unwrap().believed(&verified, &names).err(), Some(Reason::MalformedClaim));
    }

    #[test]
    fn a_payload_that_no_claims_could_be_read_from_gives_no_hint() {
        for (payload, reason) in [
            ("{}", Reason::MissingClaim),
            (r#"{"iss":"a"}"#, Reason::MissingClaim),
            (r#"{"exp":1}"#, Reason::MissingClaim),
            (r#"{"iss":"a","exp":"1"}"#, Reason::MalformedClaim),
            (r#"{"iss":["a"]}"#, Reason::MalformedClaim),
            (r#"{"iss":"a","exp":-1}"#, Reason::MalformedClaim),
            (r#"{"iss":"a","exp":1,"iss":"b"}"#, Reason::Malformed),
            (r#"{"iss":"a","exp":1"#, Reason::Malformed),
            ("\u{e9}", Reason::Malformed),
        ] {
            let header = base64url::encode(br#"{"alg":"ES256"}"#);
            let token = format!("{header}.{}.AA", base64url::encode(payload.as_bytes()));
            let token = Unverified::parse(token.as_bytes()).unwrap();
            assert_eq!(Hint::read(&token).err(), Some(reason), "{payload}");
        }
    }
}
