//! An issuer for tests.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use super::clock::TestClock;
use super::fault::Fault;
use super::key::SigningKey;
use super::keyring::Keyring;
use super::memory::Memory;
use super::metadata;
use super::server::{self, Server};
use super::state::{Requests, State, Time};
use super::token::TestToken;
use crate::jose::algorithm::Algorithm;
use crate::jose::crypto::signing::SigningError;
use crate::wire::fetch::Fetch;

/// An authorization server for tests, in memory or on loopback.
///
/// It has private keys, publishes its metadata and its key set, and mints tokens: good ones, and any kind of bad one. Its keys
/// can be rotated and its answers spoiled while it is in use. A clone is the same issuer.
///
/// ```
/// use scopegate::testing::TestIssuer;
///
/// let issuer = TestIssuer::new("https://issuer.test");
/// let before = issuer.jwks();
/// assert!(before.contains("es256-1"));
/// issuer.rotate();
/// assert!(issuer.jwks().contains("es256-2"));
/// assert!(!issuer.jwks().contains("es256-1"));
/// ```
#[derive(Clone)]
pub struct TestIssuer {
    pub(super) state: Arc<State>,
    /// The one that listens, and where.
    server: Option<(SocketAddr, Arc<Server>)>,
}

impl TestIssuer {
    /// An issuer in memory with one key, for ES256, which takes no time to make.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to make a key of.
    #[must_use]
    pub fn new(identifier: &str) -> Self {
        Self::with_algorithms(identifier, [Algorithm::Es256])
    }

    /// An issuer in memory with one key for each of these algorithms. It signs with the first unless a token chooses.
    ///
    /// The keys are named after the algorithm and counted: `es256-1`, `rs256-1`.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to make a key of.
    #[must_use]
    pub fn with_algorithms(identifier: &str, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let keyring = made(Keyring::of(algorithms));
        Self { state: State::new(identifier.to_owned(), keyring), server: None }
    }

    /// An issuer that listens on a port of 127.0.0.1 that the system picks, with one key, for ES256.
    ///
    /// Its identifier is `http://127.0.0.1:PORT`. It serves HTTP on a thread of its own, which ends, and closes every socket,
    /// when the last clone of the issuer is dropped.
    ///
    /// ```
    /// use scopegate::testing::TestIssuer;
    ///
    /// let issuer = TestIssuer::on_loopback()?;
    /// assert!(issuer.id().starts_with("http://127.0.0.1:"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the system refuses the socket or the thread.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to make a key of.
    pub fn on_loopback() -> io::Result<Self> {
        Self::on_loopback_with([Algorithm::Es256])
    }

    /// An issuer on loopback with one key for each of these algorithms.
    ///
    /// # Errors
    ///
    /// If the system refuses the socket or the thread.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to make a key of.
    pub fn on_loopback_with(algorithms: impl IntoIterator<Item = Algorithm>) -> io::Result<Self> {
        Self::on_loopback_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), algorithms)
    }

    /// An issuer at this address, whose port may be 0 for one that the system picks.
    ///
    /// # Errors
    ///
    /// If the address is not one of loopback ([`io::ErrorKind::InvalidInput`]: whoever reaches this issuer gets tokens), or
    /// the system refuses the socket or the thread.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to make a key of.
    pub fn on_loopback_at(address: SocketAddr, algorithms: impl IntoIterator<Item = Algorithm>) -> io::Result<Self> {
        let listener = server::bind(address)?;
        let identifier = format!("http://{}", listener.local_addr()?);
        Self::serving(listener, identifier, algorithms)
    }

    /// An issuer on loopback that goes by this identifier, whatever its own address is: that of a [`FaultProxy`] before it,
    /// which is told the [address](Self::address).
    ///
    /// [`FaultProxy`]: super::FaultProxy
    ///
    /// # Errors
    ///
    /// If the system refuses the socket or the thread.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to make a key of.
    pub fn on_loopback_as(identifier: &str, algorithms: impl IntoIterator<Item = Algorithm>) -> io::Result<Self> {
        let listener = server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Self::serving(listener, identifier.to_owned(), algorithms)
    }

    fn serving(
        listener: TcpListener,
        identifier: String,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let state = State::new(identifier, made(Keyring::of(algorithms)));
        let server = Arc::new(Server::start(listener, Arc::clone(&state))?);
        Ok(Self { state, server: Some((address, server)) })
    }

    /// The same issuer with this clock. Without one it reads the system's.
    #[must_use]
    pub fn clock(self, clock: &TestClock) -> Self {
        self.state.lock().time = Time::Turned(clock.clone());
        self
    }

    /// The same issuer with this audience in tokens that name no other. It is `https://api.test` otherwise.
    #[must_use]
    pub fn default_audience(self, audience: &str) -> Self {
        self.state.lock().default_audience = audience.to_owned();
        self
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.state.identifier
    }

    /// Where it listens; nowhere if it is in memory.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|(address, _)| *address)
    }

    /// The address of its key set.
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        self.state.addresses.below("jwks")
    }

    /// The address of its token endpoint.
    ///
    /// It grants `client_credentials` (RFC 6749 s4.4) to any client that authenticates, by HTTP Basic or in the form, with its own
    /// name as its secret, such as `demo:demo`. A client that is [registered](Self::register_client) authenticates as it was
    /// registered, and one whose [secret](Self::client_secret) was changed with that. The form may name `scope`, which is granted
    /// as it is, and any number of `audience` or `resource` (RFC 8707).
    ///
    /// Codes of the [authorization endpoint](Self::authorization_endpoint) are good for 60 s and count once; one that comes again
    /// ends all that came of it. With a code there is always a refresh token, whatever the scope. Refreshing may narrow the scope,
    /// and brings another refresh token unless [`keep_refresh_tokens`](Self::keep_refresh_tokens) was called. Whoever asked for
    /// `openid` gets an ID token both times, signed as access tokens are.
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        self.state.addresses.below("token")
    }

    /// The address of its introspection endpoint (RFC 7662).
    ///
    /// It answers any client that authenticates by HTTP Basic or in the form, with its own name as its secret unless it was
    /// [registered](Self::register_client) with another or [`client_secret`](Self::client_secret) gave it one: for opaque tokens, and for JWTs that are signed with a key that it
    /// publishes. Whoever accepts `application/token-introspection+jwt` gets a signed answer (RFC 9701).
    #[must_use]
    pub fn introspection_endpoint(&self) -> String {
        self.state.addresses.below("introspect")
    }

    /// Calls a token inactive from here on.
    pub fn revoke(&self, token: &str) {
        self.state.lock().revoked.insert(token.to_owned());
    }

    /// Gives a client another secret.
    pub fn client_secret(&self, client: &str, secret: &str) {
        self.state.lock().clients.insert(client.to_owned(), secret.to_owned());
    }

    /// The JWK set that it publishes (RFC 7517 s5). Secrets of HMAC algorithms are not in it.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.state.lock().keyring.document()
    }

    /// The metadata that it publishes (RFC 8414 s2, OpenID Connect Discovery 1.0 s3).
    #[must_use]
    pub fn metadata(&self) -> String {
        metadata::document(&self.state)
    }

    /// One of its keys as a JWK, published or not: the public half, or a secret itself.
    #[must_use]
    pub fn jwk(&self, kid: &str) -> Option<String> {
        self.state.lock().keyring.named(kid).map(|key| key.jwk().to_string())
    }

    /// The octets of the HMAC secret of that name.
    #[must_use]
    pub fn secret(&self, kid: &str) -> Option<Vec<u8>> {
        self.state.lock().keyring.named(kid)?.secret().map(<[u8]>::to_vec)
    }

    /// A good token, to be changed or spoiled before it is minted.
    pub fn token(&self) -> TestToken {
        TestToken::of(Arc::clone(&self.state))
    }

    /// A token of another issuer, to be signed with a key of this one: what a trusted but greedy issuer would try.
    ///
    /// Without a key of its own the token is left as it is.
    pub fn forge(&self, token: TestToken) -> TestToken {
        let key = self.state.lock().keyring.signing(None).cloned();
        match key {
            Some(key) => token.signed_with(key),
            None => token,
        }
    }

    /// Replaces every key at once: signs with the successors and publishes them alone.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to make a key of.
    pub fn rotate(&self) {
        made(self.state.lock().keyring.rotate());
    }

    /// Publishes a successor of every key beside it; the old ones go on signing.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to make a key of.
    pub fn publish_ahead(&self) {
        made(self.state.lock().keyring.publish_ahead());
    }

    /// Signs with the newest key of each algorithm from here on.
    pub fn sign_with_newest(&self) {
        self.state.lock().keyring.sign_with_newest();
    }

    /// Withdraws the oldest published key of each algorithm that has several. What signs stays as it is.
    pub fn retire_oldest(&self) {
        self.state.lock().keyring.retire_oldest();
    }

    /// Adds an RSA key of 2048, 3072, 4096 or 8192 bits, publishes and signs with it, and tells its name.
    ///
    /// # Panics
    ///
    /// If the algorithm is not one of RSA, or the size is another.
    #[must_use = "the name chooses the key when a token is made"]
    pub fn add_rsa(&self, algorithm: Algorithm, bits: u32) -> String {
        self.add(algorithm, |kid| SigningKey::rsa(kid, algorithm, bits))
    }

    /// Adds a private key from its PKCS#8 document (RFC 5958, DER), publishes and signs with it, and tells its name.
    ///
    /// # Panics
    ///
    /// If the document is not a private key for this algorithm.
    #[must_use = "the name chooses the key when a token is made"]
    pub fn add_pkcs8(&self, algorithm: Algorithm, document: &[u8]) -> String {
        self.add(algorithm, |kid| SigningKey::of_pkcs8(kid, algorithm, document))
    }

    /// Serves exactly this text instead of the key set, until [`recover`](Self::recover).
    pub fn publish_raw(&self, document: impl Into<String>) {
        self.state.lock().keyring.publish_raw(Some(document.into()));
    }

    /// Spoils answers to come, in memory and over HTTP alike.
    pub fn script(&self, fault: Fault) {
        self.state.lock().script.push(fault);
    }

    /// Answers well again: forgets every fault, what [`publish_raw`](Self::publish_raw) put in the key set's place, and what
    /// [`next_id_token`](Self::next_id_token) and [`next_userinfo`](Self::next_userinfo) have in store.
    pub fn recover(&self) {
        let mut state = self.state.lock();
        state.script.clear();
        state.id_tokens.clear();
        state.provider.userinfo.clear();
        state.keyring.publish_raw(None);
    }

    /// How often it was asked so far.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.state.lock().requests
    }

    /// A way to this issuer that needs no network: whatever it is asked for, this issuer answers from memory.
    ///
    /// With a [`TestClock`], a delay is over and an answer that never comes is given up ([`FetchLimits::total`]) when the
    /// clock has been turned that far; otherwise by real time.
    ///
    /// [`FetchLimits::total`]: crate::FetchLimits::total
    #[must_use]
    pub fn fetch(&self) -> Arc<dyn Fetch> {
        Self::fetch_from([self])
    }

    /// A way to several issuers that needs no network. Addresses of none of them are answered with 404.
    #[must_use]
    pub fn fetch_from<'a>(issuers: impl IntoIterator<Item = &'a Self>) -> Arc<dyn Fetch> {
        Arc::new(Memory::of(issuers.into_iter().map(|issuer| Arc::clone(&issuer.state))))
    }

    fn add(&self, algorithm: Algorithm, key: impl FnOnce(String) -> Result<SigningKey, SigningError>) -> String {
        let kid = self.state.lock().keyring.next_kid(algorithm);
        let key = made(key(kid.clone()));
        self.state.lock().keyring.add(key);
        kid
    }
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms = self.state.lock().keyring.algorithms();
        let mut debug = f.debug_struct("TestIssuer");
        debug.field("id", &self.id()).field("algorithms", &algorithms).field("serves", &self.server.is_some());
        debug.finish_non_exhaustive()
    }
}

#[expect(clippy::panic, reason = "a test without keys cannot go on, and every caller documents it")]
fn made<T>(result: Result<T, SigningError>) -> T {
    result.unwrap_or_else(|error| panic!("no key for the test issuer: {error}"))
}
