//! How this program proves to an issuer who it is (RFC 6749 s2.3, RFC 7523 s2.2, RFC 8705 s2, RFC 7662 s2.1).

mod credential;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::config_error::ConfigError;
use crate::jose::algorithm::Algorithm;
use crate::jose::base64url;
use crate::jose::crypto::random;
use crate::jose::crypto::signing::PrivateKey;
use crate::reason::Cause;
#[cfg(feature = "reqwest")]
pub(crate) use credential::Pem;
use credential::Source;
pub use credential::{ClientCertificate, ClientKey, ClientSecret};
pub(crate) use credential::{Credential, ShownCertificate};

/// How long an assertion of ours may be used (RFC 7523 s3).
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);
/// The kind of JWT that an assertion says it is, by what servers take that were there before RFC 7523bis, and since.
const PLAIN: &str = "JWT";
const EXPLICIT: &str = "client-authentication+jwt";
/// RFC 7523 s2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How this program proves to an authorization server that it may ask: which client it is, and by what.
///
/// Each way takes a [`ClientSecret`], a [`ClientKey`] or a [`ClientCertificate`], which is a value or a callback. A callback is asked when
/// it is first needed, and again once when the server answers 401, or 400 with `invalid_client`, so that a secret that was rotated costs
/// no restart.
///
/// ```
/// use scopegate::{ClientAuth, ClientSecret};
/// let fixed = ClientAuth::basic("things-api", "s3cret");
/// let rotating = ClientAuth::basic("things-api", ClientSecret::asked(|| std::fs::read_to_string("/run/secrets/introspection")));
/// assert!(!format!("{fixed:?}").contains("s3cret"));
/// ```
#[derive(Clone)]
pub struct ClientAuth {
    client_id: Option<Box<str>>,
    method: Method,
    assertion_audience: Option<Box<str>>,
    assertion_kind: &'static str,
}

#[derive(Clone)]
enum Method {
    Basic(ClientSecret),
    Post(ClientSecret),
    SecretJwt(ClientSecret),
    PrivateKeyJwt(ClientKey),
    /// This one, or else that of the way out.
    Certificate(Option<ClientCertificate>),
    Bearer(ClientSecret),
    /// Nothing: RFC 6749 s2.1 calls such a client public.
    #[cfg(feature = "client")]
    Public,
}

impl ClientAuth {
    const fn new(client_id: Option<Box<str>>, method: Method) -> Self {
        Self { client_id, method, assertion_audience: None, assertion_kind: PLAIN }
    }

    /// `client_secret_basic`: HTTP Basic, both parts form-encoded before (RFC 6749 s2.3.1).
    #[must_use]
    pub fn basic(client_id: impl Into<String>, secret: impl Into<ClientSecret>) -> Self {
        Self::new(Some(client_id.into().into()), Method::Basic(secret.into()))
    }

    /// `client_secret_post`: both in the form (RFC 6749 s2.3.1). For servers that do not take HTTP Basic.
    #[must_use]
    pub fn post(client_id: impl Into<String>, secret: impl Into<ClientSecret>) -> Self {
        Self::new(Some(client_id.into().into()), Method::Post(secret.into()))
    }

    /// `client_secret_jwt`: an assertion under HS256, so that the secret itself is never sent (RFC 7523 s2.2).
    #[must_use]
    pub fn secret_jwt(client_id: impl Into<String>, secret: impl Into<ClientSecret>) -> Self {
        Self::new(Some(client_id.into().into()), Method::SecretJwt(secret.into()))
    }

    /// `private_key_jwt`: an assertion signed with a private key, which no server ever learns (RFC 7523 s2.2).
    #[must_use]
    pub fn private_key_jwt(client_id: impl Into<String>, key: impl Into<ClientKey>) -> Self {
        Self::new(Some(client_id.into().into()), Method::PrivateKeyJwt(key.into()))
    }

    /// `tls_client_auth` or `self_signed_tls_client_auth`: the certificate of the connection says who asks (RFC 8705 s2). It is shown where
    /// this issuer is asked about tokens and nowhere else, so that an issuer that a resolver names may have one too. `ReqwestFetch` shows
    /// it; a `Fetch` of your own is not told of it, and shows its own.
    #[must_use]
    pub fn with_certificate(client_id: impl Into<String>, certificate: ClientCertificate) -> Self {
        Self::new(Some(client_id.into().into()), Method::Certificate(Some(certificate)))
    }

    /// The same with the certificate that every host is shown: that of `ReqwestFetch::client_certificate`, or of a `Fetch` of your own.
    ///
    /// `ReqwestFetch` does not show its own to an issuer that a resolver names. Where one is asked as this client, each question fails
    /// with [`FetchError::NotAllowed`](crate::FetchError::NotAllowed), and nothing is sent: give it one [of its
    /// own](Self::with_certificate).
    #[must_use]
    pub fn certificate(client_id: impl Into<String>) -> Self {
        Self::new(Some(client_id.into().into()), Method::Certificate(None))
    }

    /// A bearer token of this program's own (RFC 7662 s2.1), for servers that want one. Give a callback if it expires.
    #[must_use]
    pub fn bearer(token: impl Into<ClientSecret>) -> Self {
        Self::new(None, Method::Bearer(token.into()))
    }

    /// `none`: a client that has no secret, such as a program on its user's own machine (RFC 6749 s2.1, RFC 8252 s8.4). It is told by
    /// its name alone, and what proves that a code is its own is PKCE.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn public(client_id: impl Into<String>) -> Self {
        Self::new(Some(client_id.into().into()), Method::Public)
    }

    /// Whom assertions are made out to: the issuer's identifier by default (RFC 7523bis s4), which no other server can use. Some servers
    /// want the address of their token endpoint, or of the endpoint that is asked; the page on introspection in the
    /// [manual](crate::manual) says which.
    ///
    /// It is never taken from the issuer's metadata: a server that could choose it would get assertions that another believes.
    #[must_use]
    pub fn assertion_audience(mut self, audience: impl Into<String>) -> Self {
        self.assertion_audience = Some(audience.into().into());
        self
    }

    /// Has assertions say in their header what they are: `typ` is `client-authentication+jwt` (RFC 7523bis s4), and `JWT` by default.
    ///
    /// Newer servers take no other, and older ones not this.
    #[must_use]
    pub const fn explicitly_typed(mut self) -> Self {
        self.assertion_kind = EXPLICIT;
        self
    }

    pub(crate) fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// Whether the connection proves who asks (RFC 8705 s5 gives it an address of its own).
    pub(crate) const fn shows_certificate(&self) -> bool {
        matches!(self.method, Method::Certificate(_))
    }

    /// Whether it is the same client with the same proof. Secrets are compared as they are: all are this program's own, and nobody else
    /// has a say in when, or with what.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let Self { client_id, method, assertion_audience, assertion_kind } = self;
        let is_same_proof = match (method, &other.method) {
            (Method::Basic(one), Method::Basic(other))
            | (Method::Post(one), Method::Post(other))
            | (Method::SecretJwt(one), Method::SecretJwt(other))
            | (Method::Bearer(one), Method::Bearer(other)) => one.0 == other.0,
            (Method::PrivateKeyJwt(one), Method::PrivateKeyJwt(other)) => one.0 == other.0,
            #[cfg(feature = "client")]
            (Method::Public, Method::Public) => true,
            (Method::Certificate(one), Method::Certificate(other)) => {
                one.as_ref().map(|certificate| &certificate.0) == other.as_ref().map(|certificate| &certificate.0)
            }
            _ => false,
        };
        is_same_proof
            && *client_id == other.client_id
            && *assertion_audience == other.assertion_audience
            && *assertion_kind == other.assertion_kind
    }

    /// What is wrong with it, as far as that can be seen before it is used.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let missing = |problem| Err(ConfigError::Missing { setting: "authenticate", problem });
        if self.client_id.as_deref().is_some_and(str::is_empty) {
            return missing("the client has no name");
        }
        match self.secret().map(|secret| &secret.0) {
            Some(Source::Value(secret)) if secret.is_empty() => missing("the secret is empty"),
            // RFC 7518 s3.2.
            Some(Source::Value(secret)) if matches!(self.method, Method::SecretJwt(_)) && secret.len() < 32 => {
                missing("a secret that signs has 32 octets or more")
            }
            Some(Source::Value(token)) if matches!(self.method, Method::Bearer(_)) && bearer(token).is_err() => {
                missing("the token has a character that no header has")
            }
            _ => Ok(()),
        }
    }

    const fn secret(&self) -> Option<&ClientSecret> {
        match &self.method {
            Method::Basic(secret) | Method::Post(secret) | Method::SecretJwt(secret) | Method::Bearer(secret) => {
                Some(secret)
            }
            Method::PrivateKeyJwt(_) | Method::Certificate(_) => None,
            #[cfg(feature = "client")]
            Method::Public => None,
        }
    }

    /// What it is proven by; `None` where a callback has to be asked, which may take its time.
    pub(crate) fn at_hand(&self) -> Option<Credential> {
        match &self.method {
            Method::PrivateKeyJwt(key) => key.0.at_hand().map(Credential::Key),
            Method::Certificate(None) => Some(Credential::None),
            #[cfg(feature = "client")]
            Method::Public => Some(Credential::None),
            Method::Certificate(Some(certificate)) => certificate.0.at_hand().map(Credential::Certificate),
            Method::Basic(secret) | Method::Post(secret) | Method::SecretJwt(secret) | Method::Bearer(secret) => {
                secret.0.at_hand().map(Credential::Secret)
            }
        }
    }

    /// Asks the callback, if there is one.
    pub(crate) fn obtain(&self) -> Result<Credential, Cause> {
        Ok(match &self.method {
            Method::PrivateKeyJwt(key) => Credential::Key(key.0.obtain()?),
            Method::Certificate(None) => Credential::None,
            #[cfg(feature = "client")]
            Method::Public => Credential::None,
            Method::Certificate(Some(certificate)) => Credential::Certificate(certificate.0.obtain()?),
            Method::Basic(secret) | Method::Post(secret) | Method::SecretJwt(secret) | Method::Bearer(secret) => {
                Credential::Secret(secret.0.obtain()?)
            }
        })
    }

    /// What the connection of a question is to show.
    pub(crate) fn shown(&self, credential: &Credential) -> Option<ShownCertificate> {
        match (&self.method, credential) {
            (_, Credential::Certificate(certificate)) => Some(ShownCertificate::This(Arc::clone(certificate))),
            (Method::Certificate(None), _) => Some(ShownCertificate::OfTheFetch),
            _ => None,
        }
    }

    /// Puts the proof into a request: a header, or members of its form.
    ///
    /// # Errors
    /// Says what cannot be sent: a secret that no header can carry, or a library that fails.
    pub(crate) fn prove(
        &self,
        credential: &Credential,
        issuer: &str,
        now: Timestamp,
        headers: &mut HeaderMap,
        form: &mut Vec<(&'static str, Zeroizing<String>)>,
    ) -> Result<(), &'static str> {
        let client_id = self.client_id.as_deref().unwrap_or_default();
        let plain = |text: &str| Zeroizing::new(text.to_owned());
        match (&self.method, credential) {
            (Method::Basic(_), Credential::Secret(secret)) => {
                headers.insert(AUTHORIZATION, basic(client_id, secret)?);
            }
            (Method::Bearer(_), Credential::Secret(token)) => {
                headers.insert(AUTHORIZATION, bearer(token)?);
            }
            (Method::Post(_), Credential::Secret(secret)) => {
                form.push(("client_id", plain(client_id)));
                form.push(("client_secret", Zeroizing::clone(secret)));
            }
            (Method::SecretJwt(_), Credential::Secret(secret)) => {
                let key = PrivateKey::from_secret(secret.as_bytes());
                form.extend(self.assertion(&key, Algorithm::Hs256, None, issuer, now)?);
            }
            (Method::PrivateKeyJwt(_), Credential::Key(key)) => {
                form.extend(self.assertion(&key.key, key.algorithm, key.kid.as_deref(), issuer, now)?);
            }
            // RFC 8705 s2: the server finds the client by its name.
            (Method::Certificate(_), _) => form.push(("client_id", plain(client_id))),
            // RFC 6749 s3.2.1.
            #[cfg(feature = "client")]
            (Method::Public, _) => form.push(("client_id", plain(client_id))),
            _ => return Err("the client's secret is of another kind than its method"),
        }
        Ok(())
    }

    /// RFC 7523 s3: short-lived, for one server, and never the same twice.
    fn assertion(
        &self,
        key: &PrivateKey,
        algorithm: Algorithm,
        kid: Option<&str>,
        issuer: &str,
        now: Timestamp,
    ) -> Result<[(&'static str, Zeroizing<String>); 3], &'static str> {
        let client_id = self.client_id.as_deref().unwrap_or_default();
        let audience = self.assertion_audience.as_deref().unwrap_or(issuer);
        let id = base64url::encode(&random::<16>().ok_or("no randomness for an assertion")?);
        let iat = now.unix_seconds();
        let exp = now.plus(ASSERTION_LIFETIME).unix_seconds();
        let mut header = serde_json::json!({ "alg": algorithm.name(), "typ": self.assertion_kind });
        if let (Some(kid), Some(header)) = (kid, header.as_object_mut()) {
            header.insert("kid".to_owned(), kid.into());
        }
        let claims = serde_json::json!({
            "iss": client_id, "sub": client_id, "aud": audience, "jti": id, "iat": iat, "exp": exp,
        });
        let encoded = |part: serde_json::Value| base64url::encode(part.to_string().as_bytes());
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = key.sign(algorithm, signed.as_bytes()).map_err(|_| "the client's key does not sign")?;
        let assertion = format!("{signed}.{}", base64url::encode(&signature));
        let plain = |text: &str| Zeroizing::new(text.to_owned());
        Ok([
            ("client_id", plain(client_id)),
            ("client_assertion_type", plain(ASSERTION_TYPE)),
            ("client_assertion", Zeroizing::new(assertion)),
        ])
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::Basic(_) => "client_secret_basic",
            Method::Post(_) => "client_secret_post",
            Method::SecretJwt(_) => "client_secret_jwt",
            Method::PrivateKeyJwt(_) => "private_key_jwt",
            Method::Certificate(_) => "tls_client_auth",
            Method::Bearer(_) => "bearer",
            #[cfg(feature = "client")]
            Method::Public => "none",
        };
        f.debug_struct("ClientAuth")
            .field("client_id", &self.client_id)
            .field("method", &method)
            .finish_non_exhaustive()
    }
}

/// RFC 6749 s2.3.1: each part in the encoding of forms, so that a colon in a name, or anything else in a secret, stays itself.
fn basic(client_id: &str, secret: &str) -> Result<HeaderValue, &'static str> {
    let pair = pair(client_id, secret);
    with_scheme("Basic ", &Zeroizing::new(base64url::encode_with_padding(pair.as_bytes())))
}

fn pair(client_id: &str, secret: &str) -> Zeroizing<String> {
    let mut pair = with_room(longest_pair(client_id, secret));
    pair.extend(form_urlencoded::byte_serialize(client_id.as_bytes()));
    pair.push(':');
    pair.extend(form_urlencoded::byte_serialize(secret.as_bytes()));
    pair
}

/// Each octet may become three.
const fn longest_pair(client_id: &str, secret: &str) -> usize {
    client_id.len().saturating_add(secret.len()).saturating_mul(3).saturating_add(1)
}

fn bearer(token: &str) -> Result<HeaderValue, &'static str> {
    with_scheme("Bearer ", token)
}

fn with_scheme(scheme: &str, credentials: &str) -> Result<HeaderValue, &'static str> {
    let mut text = with_room(scheme.len().saturating_add(credentials.len()));
    text.push_str(scheme);
    text.push_str(credentials);
    sensitive(text)
}

/// A secret's text is made in room for all of it: one that grows leaves a copy behind which nobody wipes.
fn with_room(octets: usize) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(octets))
}

/// The header holds the very text, and its last clone wipes it. What the way out makes of it, in buffers of its own, is not in our hands.
fn sensitive(mut text: Zeroizing<String>) -> Result<HeaderValue, &'static str> {
    let octets = Zeroizing::new(mem::take(&mut *text).into_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(octets))
        .map_err(|_| "the client's secret has a character that no header has")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_put_together_in_one_place() {
        for (client_id, secret) in [("api", "s3cret"), ("::", "%%%%%%%%%%%%"), ("", ""), ("é", "\u{1f511}")] {
            let pair = pair(client_id, secret);
            assert_eq!(pair.capacity(), longest_pair(client_id, secret), "{client_id}");
            assert!(pair.len() <= pair.capacity());
        }
        assert_eq!(*pair("::", "%"), "%3A%3A:%25");
    }

    #[test]
    fn a_header_and_its_clones_hold_the_very_text_that_is_wiped() {
        let mut text = with_room(64);
        text.push_str("Bearer s3cret");
        let place = text.as_ptr();
        let value = sensitive(text).unwrap();
        assert_eq!((value.as_bytes().as_ptr(), value.clone().as_bytes().as_ptr()), (place, place));
        assert_eq!(value, "Bearer s3cret");
        assert!(value.is_sensitive() && !format!("{value:?}").contains("s3cret"));
        // What is no header is refused, and not shown.
        for bad in ["\n", "\0", "\u{7f}"] {
            assert!(!bearer(&format!("s3cret{bad}")).unwrap_err().contains("s3cret"));
        }
        assert_eq!(bearer("é").unwrap().as_bytes(), "Bearer é".as_bytes());
        assert_eq!(basic("api", "s3cret").unwrap(), "Basic YXBpOnMzY3JldA==");
    }
}
