//! Tokens to order, good and bad.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::key::SigningKey;
use super::state::State;
use crate::jose::algorithm::Algorithm;
use crate::jose::base64url;

/// A token about to be minted by a [`TestIssuer`](super::TestIssuer).
///
/// As it comes it is a good access token of RFC 9068: `typ` at+jwt; `sub` user-1, `client_id` client-1, the issuer's default
/// audience, issued now, good for 300 s, with a `jti` of its own and no scope. Setters change it, defects spoil it, and what
/// they leave is good, so that a refusal is for the reason that the test is about.
///
/// ```
/// use scopegate::testing::TestIssuer;
///
/// let issuer = TestIssuer::new("https://issuer.test");
/// let good = issuer.token().audience("https://api.example.com").scope("things:read").mint();
/// let bad = issuer.token().audience("https://api.example.com").scope("things:read").expired().mint();
/// assert_eq!(good.split('.').count(), 3);
/// assert_ne!(good, bad);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a token is made by `mint`"]
pub struct TestToken {
    issuer: Arc<State>,
    now: i64,
    claims: Map<String, Value>,
    header: Vec<(String, Option<Value>)>,
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    hand: Hand,
    raw_header: Option<String>,
    raw_payload: Option<Vec<u8>>,
    raw_signature: Option<Vec<u8>>,
    after_signing: AfterSigning,
}

/// Who signs.
#[derive(Clone, Debug)]
enum Hand {
    Issuer,
    Stranger,
    Other(SigningKey),
    Nobody,
}

#[derive(Clone, Copy, Debug)]
enum AfterSigning {
    Left,
    Tampered,
}

impl TestToken {
    pub(super) fn of(issuer: Arc<State>) -> Self {
        let now = issuer.now().unix_seconds();
        let audience = issuer.lock().default_audience.clone();
        let claims = [
            ("iss", Value::from(issuer.identifier.as_str())),
            ("aud", audience.into()),
            ("sub", "user-1".into()),
            ("client_id", "client-1".into()),
            ("iat", now.into()),
            ("exp", now.saturating_add(LIFETIME).into()),
            ("jti", unique().into()),
        ];
        Self {
            issuer,
            now,
            claims: claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            header: Vec::new(),
            kid: None,
            algorithm: None,
            hand: Hand::Issuer,
            raw_header: None,
            raw_payload: None,
            raw_signature: None,
            after_signing: AfterSigning::Left,
        }
    }

    /// For this audience alone, as a string.
    pub fn audience(self, audience: &str) -> Self {
        self.with("aud", audience)
    }

    /// For these audiences, as a list.
    pub fn audiences<'a>(self, audiences: impl IntoIterator<Item = &'a str>) -> Self {
        self.with("aud", audiences.into_iter().collect::<Vec<_>>())
    }

    /// With this scope: names with spaces between them (RFC 6749 s3.3).
    pub fn scope(self, scope: &str) -> Self {
        self.with("scope", scope)
    }

    /// About this subject.
    pub fn subject(self, subject: &str) -> Self {
        self.with("sub", subject)
    }

    /// Issued to this client.
    pub fn client_id(self, client_id: &str) -> Self {
        self.with("client_id", client_id)
    }

    /// Good for this long, in whole seconds, from now on.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let end = self.now.saturating_add(seconds);
        self.with("exp", end)
    }

    /// With this claim, or with this value instead of the claim's usual one.
    ///
    /// # Panics
    ///
    /// If the value has no form in JSON, such as a map whose keys are not strings.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        self.claims.insert(name.to_owned(), json("claim", name, value));
        self
    }

    /// With these claims and no others.
    pub(super) fn claims(mut self, claims: Map<String, Value>) -> Self {
        self.claims = claims;
        self
    }

    /// Without this claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// With this header parameter, or with this value instead of its usual one. What signs stays the same.
    ///
    /// # Panics
    ///
    /// If the value has no form in JSON, such as a map whose keys are not strings.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.header.push((name.to_owned(), Some(json("header parameter", name, value))));
        self
    }

    /// Without this header parameter.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.push((name.to_owned(), None));
        self
    }

    /// With this `typ`.
    pub fn typ(self, typ: &str) -> Self {
        self.header("typ", typ)
    }

    /// Signed with the issuer's key of that name, even if it is no longer published.
    pub fn key(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// Signed with this algorithm, by the [`key`](Self::key) that was named, else by the issuer's key for it.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// Expired five minutes ago.
    pub fn expired(self) -> Self {
        let now = self.now;
        self.with("iat", now.saturating_sub(HOUR)).with("exp", now.saturating_sub(LIFETIME))
    }

    /// Good from an hour from now on, for an hour.
    pub fn not_yet_valid(self) -> Self {
        let now = self.now;
        self.with("nbf", now.saturating_add(HOUR)).with("exp", now.saturating_add(HOUR).saturating_add(HOUR))
    }

    /// Issued an hour from now, expiring after that.
    pub fn issued_in_the_future(self) -> Self {
        let later = self.now.saturating_add(HOUR);
        self.with("iat", later).with("exp", later.saturating_add(LIFETIME))
    }

    /// Signed by a key that is not the issuer's, under the name of one that is.
    pub fn signed_by_stranger(mut self) -> Self {
        self.hand = Hand::Stranger;
        self
    }

    /// Signed with HMAC and this secret, under the name of the issuer's key.
    ///
    /// With the octets of the issuer's public key as the secret, this is the attack that confuses the two kinds of
    /// algorithms.
    pub fn signed_with_secret(mut self, algorithm: Algorithm, secret: &[u8]) -> Self {
        self.hand = Hand::Other(SigningKey::of_secret(String::new(), algorithm, secret));
        self
    }

    pub(super) fn signed_with(mut self, key: SigningKey) -> Self {
        self.hand = Hand::Other(key);
        self
    }

    /// Changed by one bit after it was signed. The payload stays JSON: the bit is that of a digit, if there is one.
    pub fn tampered(mut self) -> Self {
        self.after_signing = AfterSigning::Tampered;
        self
    }

    /// With `alg` none and an empty signature (RFC 7519 s6).
    pub fn unsigned(mut self) -> Self {
        self.hand = Hand::Nobody;
        self
    }

    /// An ID token of the same issuer (OpenID Connect Core 1.0 s2) instead of an access token.
    ///
    /// It has `nonce` and `at_hash`, and no `client_id`, `jti` or `scope`. Its audience stays: only its kind can give it away.
    pub fn id_token(self) -> Self {
        let client = self.claims.get("client_id").cloned().unwrap_or_default();
        let token = self.typ("JWT").without("client_id").without("jti").without("scope");
        token.with("azp", client).with("nonce", "nonce-1").with("at_hash", base64url::encode(b"half of a digest"))
    }

    /// With exactly this text as its header. What signs stays the same.
    pub fn header_json(mut self, text: impl Into<String>) -> Self {
        self.raw_header = Some(text.into());
        self
    }

    /// With exactly this text as its payload.
    pub fn payload_json(self, text: impl Into<String>) -> Self {
        self.payload_bytes(text.into().into_bytes())
    }

    /// With exactly these octets as its payload.
    pub fn payload_bytes(mut self, octets: Vec<u8>) -> Self {
        self.raw_payload = Some(octets);
        self
    }

    /// With these octets as its signature.
    pub fn signature(mut self, octets: Vec<u8>) -> Self {
        self.raw_signature = Some(octets);
        self
    }

    /// Makes the token, in compact serialization (RFC 7515 s7.1).
    ///
    /// # Panics
    ///
    /// If the issuer has no key of the name or for the algorithm that was chosen, or the key cannot sign with it.
    #[must_use]
    pub fn mint(self) -> String {
        let own = self.own_key();
        let (signing, algorithm) = self.signing_key(own.as_ref());
        let header = self.header_text(own.as_ref(), algorithm);
        let payload = self.raw_payload.clone().unwrap_or_else(|| Value::from(self.claims.clone()).to_string().into());

        let input = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(&payload));
        let signature = match (&self.raw_signature, signing, algorithm) {
            (Some(raw), _, _) => raw.clone(),
            (None, Some(key), Some(algorithm)) => sign(&key, algorithm, input.as_bytes()),
            (None, _, _) => Vec::new(),
        };
        let signature = base64url::encode(&signature);
        match self.after_signing {
            AfterSigning::Left => format!("{input}.{signature}"),
            AfterSigning::Tampered => {
                let payload = base64url::encode(&flip_a_bit(payload));
                format!("{}.{payload}.{signature}", base64url::encode(header.as_bytes()))
            }
        }
    }

    /// Makes an opaque token instead: a text that says nothing, for which the issuer's introspection endpoint answers with these
    /// claims and `token_type`, which a claim of that name replaces and `null` leaves out (RFC 7662 s2.2). Spoiling it has no effect; [`claim`](Self::claim) and [`without`](Self::without) do.
    #[must_use]
    pub fn mint_opaque(self) -> String {
        self.mint_opaque_as("")
    }

    /// The same with a text that begins like this.
    #[must_use]
    pub fn mint_opaque_as(mut self, prefix: &str) -> String {
        let text = format!("{prefix}{}", unique());
        let token_type = self.claims.entry("token_type").or_insert_with(|| "Bearer".into());
        if token_type.is_null() {
            self.claims.remove("token_type");
        }
        self.issuer.lock().opaque.insert(text.clone(), self.claims);
        text
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// The issuer's key, which the header names whoever signs.
    #[expect(
        clippy::panic,
        reason = "a test that names a key which does not exist is wrong, and documented to fail here"
    )]
    fn own_key(&self) -> Option<SigningKey> {
        let issuer = self.issuer.lock();
        let Some(kid) = &self.kid else { return issuer.keyring.signing(self.algorithm).cloned() };
        let Some(key) = issuer.keyring.named(kid) else {
            drop(issuer);
            panic!("the issuer {} has no key {kid:?}", self.issuer.identifier)
        };
        Some(key.clone())
    }

    #[expect(
        clippy::panic,
        reason = "a test that asks for a signature without a key is wrong, and documented to fail here"
    )]
    fn signing_key(&self, own: Option<&SigningKey>) -> (Option<SigningKey>, Option<Algorithm>) {
        let chosen = self.algorithm.or(own.map(|key| key.algorithm));
        let key = match &self.hand {
            Hand::Nobody => return (None, None),
            Hand::Issuer => own.cloned(),
            Hand::Stranger => chosen.and_then(|algorithm| SigningKey::stranger(algorithm).ok()),
            Hand::Other(key) => return (Some(key.clone()), Some(key.algorithm)),
        };
        if key.is_none() && self.raw_signature.is_none() {
            let wanted = chosen.map_or("any algorithm", Algorithm::name);
            panic!("the issuer {} has no key for {wanted}", self.issuer.identifier)
        }
        (key, chosen)
    }

    fn header_text(&self, own: Option<&SigningKey>, algorithm: Option<Algorithm>) -> String {
        if let Some(raw) = &self.raw_header {
            return raw.clone();
        }
        let mut header = Map::new();
        header.insert("alg".to_owned(), algorithm.map_or("none", Algorithm::name).into());
        header.insert("typ".to_owned(), "at+jwt".into());
        if let Some(key) = own {
            header.insert("kid".to_owned(), key.kid.as_str().into());
        }
        for (name, value) in &self.header {
            match value {
                Some(value) => header.insert(name.clone(), value.clone()),
                None => header.remove(name),
            };
        }
        Value::Object(header).to_string()
    }
}

#[expect(
    clippy::panic,
    reason = "a test that asks a key for a foreign algorithm is wrong, and documented to fail here"
)]
fn sign(key: &SigningKey, algorithm: Algorithm, input: &[u8]) -> Vec<u8> {
    key.sign(algorithm, input).unwrap_or_else(|error| panic!("the key {:?}: {error}", key.kid))
}

#[expect(clippy::panic, reason = "a test with a value that JSON cannot say is wrong, and documented to fail here")]
fn json(what: &str, name: &str, value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| panic!("the {what} {name:?} has no form in JSON: {error}"))
}

/// The lowest bit of a digit makes another digit, and of JSON other JSON.
fn flip_a_bit(mut payload: Vec<u8>) -> Vec<u8> {
    let digit = payload.iter().rposition(u8::is_ascii_digit);
    if let Some(octet) = payload.get_mut(digit.unwrap_or(0)) {
        *octet ^= 1;
    }
    payload
}

/// A name that no other token of this process has, and probably none of another.
fn unique() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(|| RandomState::new().hash_one(0));
    format!("{process:016x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Seconds for which a token is good unless it says otherwise.
pub(super) const LIFETIME: i64 = 300;
const HOUR: i64 = 3600;

#[cfg(test)]
#[path = "token/tests.rs"]
mod tests;
