//! What is remembered of a login between its two requests.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::COOKIE;
use serde::{Deserialize, Serialize};

use crate::client::error::OAuthError;
use crate::clock::Timestamp;
use crate::jose::base64url;
use crate::jose::crypto::{is_same, random, sha256};

/// Where a login is remembered while its user is away at the server.
///
/// [`CookieStore`](crate::client::CookieStore) is the default; [`MemoryStore`](crate::client::MemoryStore) keeps it in the process. Write
/// your own for a database: it need not know what a record says, nor whose browser it is; that and the record's age are judged by the
/// [`Client`](crate::client::Client), whatever the store does. It must see to it that a record is taken once.
pub trait StateStore: fmt::Debug + Send + Sync {
    /// Keeps a record under this state, for so long. What it gives back, if anything, is kept by the browser beside and comes back with it: a
    /// text of the characters of base64url and dots, at most 3,500 long.
    ///
    /// # Errors
    /// Whatever went wrong: the login does not begin then.
    fn put<'a>(&'a self, state: &'a str, record: &'a [u8], lifetime: Duration) -> Storing<'a, Option<String>>;

    /// Takes the record of this state out, given what the browser kept; `None` if there is none, or it was taken before.
    ///
    /// # Errors
    /// Whatever went wrong: the login does not succeed then.
    fn take<'a>(&'a self, state: &'a str, kept: Option<&'a str>) -> Storing<'a, Option<Vec<u8>>>;
}

/// What comes of a store.
pub type Storing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Arc<dyn Error + Send + Sync>>> + Send + 'a>>;

/// What a login is remembered by. It is written as JSON, and read by nobody else; with short names, since browsers keep it and send it along.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(rename = "k")]
    pub(crate) kind: Kind,
    #[serde(rename = "c")]
    pub(crate) client: Digest,
    #[serde(rename = "r")]
    pub(crate) redirect_uri: String,
    #[serde(default, rename = "n", skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    #[serde(default, rename = "v", skip_serializing_if = "Option::is_none")]
    pub(crate) code_verifier: Option<String>,
    #[serde(default, rename = "s", skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    #[serde(default, rename = "a", skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<String>,
    #[serde(default, rename = "m", skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<u64>,
    #[serde(default, rename = "l", skip_serializing_if = "Vec::is_empty")]
    pub(crate) acr: Vec<String>,
    #[serde(default, rename = "g", skip_serializing_if = "Option::is_none")]
    pub(crate) return_to: Option<String>,
    /// Milliseconds since 1970.
    #[serde(rename = "t")]
    pub(crate) until: i64,
    /// The digest of what the browser keeps.
    #[serde(rename = "b")]
    pub(crate) browser: String,
}

impl Record {
    /// Of nothing but who has begun what, and where the browser is to come back. [`begin`] sees to the rest that every one has.
    pub(crate) fn new(kind: Kind, client: &Registered, redirect_uri: &str) -> Self {
        Self {
            kind,
            client: client.login.clone(),
            redirect_uri: redirect_uri.to_owned(),
            nonce: None,
            code_verifier: None,
            scope: None,
            resources: Vec::new(),
            max_age: None,
            acr: Vec::new(),
            return_to: None,
            until: 0,
            browser: String::new(),
        }
    }
}

/// Which client it is, in what is kept outside of it: as digests, which are short.
pub(crate) struct Registered {
    /// Of the program's name for it too, so that a login is completed by the one that began it.
    pub(crate) login: Digest,
    /// Of the client and its server, whatever the program calls it.
    pub(crate) tokens: Digest,
}

/// Half of a digest, in base64url: enough that no two are taken for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest(String);

impl Registered {
    pub(crate) fn new(name: &str, client_id: &str, server: &str) -> Self {
        // The length parts a name from what follows.
        let of = |name: &str| Digest::of(&format!("{}\n{name}\n{client_id}\n{server}", name.len()));
        Self { login: of(name), tokens: of("") }
    }
}

impl Digest {
    fn of(text: &str) -> Self {
        Self(base64url::encode(sha256(text.as_bytes()).get(..16).unwrap_or_default()))
    }
}

/// What was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Login,
    Logout,
}

/// A login that has begun: what goes to the server, and what to the browser.
pub(crate) struct Begun {
    pub(crate) state: String,
    pub(crate) cookie: HeaderValue,
}

/// Whether the browser may be asked to keep cookies for https alone, and to send them with a form of another site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CookieRules {
    pub(crate) secure: bool,
    pub(crate) cross_site: bool,
}

/// An unguessable text: 256 bits in base64url.
pub(crate) fn unguessable() -> Result<String, OAuthError> {
    let octets = random::<32>().ok_or_else(|| OAuthError::Store(cause("the system has no randomness")))?;
    Ok(base64url::encode(&octets))
}

/// Remembers what was begun, and binds it to the browser.
pub(crate) async fn begin(
    store: &dyn StateStore,
    rules: CookieRules,
    lifetime: Duration,
    now: Timestamp,
    record: Record,
) -> Result<Begun, OAuthError> {
    let (state, secret) = (unguessable()?, unguessable()?);
    let record = Record { until: now.plus(lifetime).unix_millis(), browser: digest(&secret), ..record };
    let text = serde_json::to_vec(&record).map_err(|error| OAuthError::Store(Arc::new(error)))?;
    let kept = store.put(&state, &text, lifetime).await.map_err(OAuthError::Store)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if kept.as_ref().is_some_and(|kept| !kept.bytes().all(is_plain)) {
        return Err(OAuthError::Store(cause("the store has given the browser more than base64url and dots to keep")));
    }
    let value = kept.map_or_else(|| secret.clone(), |kept| format!("{secret}.{kept}"));
    let cookie = cookie(&name(&state, rules), &value, rules, lifetime)?;
    Ok(Begun { state, cookie })
}

/// Takes what was begun out of the store, if it was begun by this client in this browser and is not over.
///
/// It is taken first and judged then, so that nothing can be tried twice.
pub(crate) async fn finish(
    store: &dyn StateStore,
    kind: Kind,
    client: &Registered,
    state: &str,
    cookies: &[String],
    now: Timestamp,
) -> Result<Record, OAuthError> {
    // Ours are of one length, so that nothing else reaches the store.
    if state.len() != 43 || base64url::decode(state.as_bytes()).is_none() {
        return Err(OAuthError::MismatchingState);
    }
    let (value, is_secure) = sent(cookies, state).ok_or(OAuthError::MismatchingState)?;
    let (secret, kept) = match value.split_once('.') {
        Some((secret, kept)) => (secret, Some(kept)),
        None => (value, None),
    };
    let record = store.take(state, kept).await.map_err(OAuthError::Store)?.ok_or(OAuthError::MismatchingState)?;
    let record: Record = serde_json::from_slice(&record).map_err(|_| OAuthError::MismatchingState)?;
    let is_of_this_browser = is_same(record.browser.as_bytes(), digest(secret).as_bytes());
    // Under the other name a neighbouring host, or somebody on the way, could have set it.
    let is_guarded = is_secure || is_plain(&record.redirect_uri);
    let is_ours = record.kind == kind && record.client == client.login;
    if is_of_this_browser && is_guarded && is_ours && now.unix_millis() < record.until {
        Ok(record)
    } else {
        Err(OAuthError::MismatchingState)
    }
}

/// A scheme is spelled in any case (RFC 3986 s3.1).
fn is_plain(address: &str) -> bool {
    address.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("http"))
}

/// The values of `Set-Cookie` that take away what was kept for this state.
pub(crate) fn forget(state: &str) -> Vec<HeaderValue> {
    names(state).filter_map(|(name, rules)| cookie(&name, "", rules, Duration::ZERO).ok()).collect()
}

/// The pairs of the `Cookie` fields of a request that are ours.
pub(crate) fn ours(headers: &http::HeaderMap) -> Vec<String> {
    // Cookies of others beside ours may be of any octets.
    let fields = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = fields.flat_map(|field| field.split(|octet| *octet == b';'));
    // Blanks of ASCII alone: a cookie whose name begins with another one is not ours, whatever it is made to look like.
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair.trim_ascii()).ok());
    pairs.filter(|pair| pair.strip_prefix(HOST).unwrap_or(pair).starts_with(NAME)).map(str::to_owned).collect()
}

/// The one value under which what was begun is kept, and whether it was kept for https alone. Where the browser sends several under one
/// name it cannot be told whose they are, and none counts: a page of a neighbouring host can set cookies for this one (RFC 6265 s8.6),
/// but not under the name that begins with `__Host-`.
fn sent<'c>(cookies: &'c [String], state: &str) -> Option<(&'c str, bool)> {
    names(state).find_map(|(name, rules)| {
        let mut values = cookies
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .filter(|(is, _)| *is == name)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Some((value, rules.secure)),
            _ => None,
        }
    })
}

const HOST: &str = "__Host-";
const NAME: &str = "oauth-login-";

/// A login has a cookie of its own, so that several may be begun side by side.
fn name(state: &str, rules: CookieRules) -> String {
    let digest = sha256(state.as_bytes());
    let name = base64url::encode(digest.get(..9).unwrap_or_default());
    format!("{}{NAME}{name}", if rules.secure { HOST } else { "" })
}

/// The names under which a login may be kept, the one that nobody else can set first.
fn names(state: &str) -> impl Iterator<Item = (String, CookieRules)> {
    let rules = [true, false].map(|secure| CookieRules { secure, cross_site: false });
    rules.into_iter().map(move |rules| (name(state, rules), rules))
}

fn digest(text: &str) -> String {
    base64url::encode(&sha256(text.as_bytes()))
}

fn cookie(name: &str, value: &str, rules: CookieRules, lifetime: Duration) -> Result<HeaderValue, OAuthError> {
    // A form that the server posts is a request of another site, with which browsers send no other cookies.
    // They take `None` for https alone; on one's own machine all ports are one site.
    let same_site = if rules.cross_site && rules.secure { "None" } else { "Lax" };
    let secure = if rules.secure { "; Secure" } else { "" };
    let age = lifetime.as_secs();
    let text = format!("{name}={value}; Path=/; HttpOnly{secure}; SameSite={same_site}; Max-Age={age}");
    if text.len() > 4096 {
        // What was asked for is too long: an address to come back to, or a resource.
        return Err(OAuthError::InvalidRequest { problem: "the login takes more than a cookie can hold" });
    }
    let mut value = HeaderValue::try_from(text).map_err(|error| OAuthError::Store(Arc::new(error)))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(crate) fn cause(text: &'static str) -> Arc<dyn Error + Send + Sync> {
    Arc::from(Box::<dyn Error + Send + Sync>::from(text))
}
