//! Clients that are registered.

use std::fmt;

use crate::jose::key_set::KeySet;

/// A client to be registered with [`TestIssuer::register_client`](super::TestIssuer::register_client) (RFC 6749 s2).
///
/// ```
/// use scopegate::testing::{TestClient, TestIssuer};
///
/// let issuer = TestIssuer::new("https://issuer.test");
/// issuer.register_client(
///     TestClient::confidential("web", "s3cret")
///         .name("Things")
///         .redirect_uri("https://web.test/callback")
///         .post_logout_redirect_uri("https://web.test/"),
/// );
/// ```
#[derive(Clone)]
#[must_use = "a client is nobody until an issuer knows it"]
pub struct TestClient {
    pub(super) id: String,
    pub(super) proof: Proof,
    pub(super) name: Option<String>,
    pub(super) redirect_uris: Vec<String>,
    pub(super) post_logout_redirect_uris: Vec<String>,
    pub(super) backchannel_logout_uri: Option<String>,
}

/// How a client proves who it is.
#[derive(Clone)]
pub(super) enum Proof {
    Secret(String),
    Keys(KeySet),
    /// Not at all.
    Nothing,
}

impl TestClient {
    /// A client with a secret, which it sends by HTTP Basic or in the form: `client_secret_basic`, `client_secret_post`.
    pub fn confidential(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::of(id.into(), Proof::Secret(secret.into()))
    }

    /// A client without a secret, which names itself by `client_id` alone (RFC 6749 s2.1).
    pub fn public(id: impl Into<String>) -> Self {
        Self::of(id.into(), Proof::Nothing)
    }

    /// A client that signs assertions with the private half of one of these keys: `private_key_jwt` (RFC 7523 s2.2).
    ///
    /// An assertion is for the issuer's identifier, its token endpoint or the one for pushed requests, has not expired, and counts
    /// once.
    pub fn private_key_jwt(id: impl Into<String>, keys: KeySet) -> Self {
        Self::of(id.into(), Proof::Keys(keys))
    }

    const fn of(id: String, proof: Proof) -> Self {
        Self {
            id,
            proof,
            name: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
        }
    }

    /// The name that the pages show. It is the client's identifier otherwise.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// An address at which it takes answers of the authorization endpoint; a second call adds a second one.
    ///
    /// A request has to name one of them, and is compared octet by octet, ports of loopback too (RFC 9700 s2.1).
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(uri.into());
        self
    }

    /// An address to which the browser may be sent after the user has signed out, compared in the same way; a second call adds
    /// a second one (OpenID Connect RP-Initiated Logout 1.0 s3.1).
    pub fn post_logout_redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.post_logout_redirect_uris.push(uri.into());
        self
    }

    /// The address that is told when a session ends (OpenID Connect Back-Channel Logout 1.0 s2.2).
    ///
    /// An issuer on loopback sends logout tokens there if it is an `http` address on loopback; one in memory sends none.
    pub fn backchannel_logout_uri(mut self, uri: impl Into<String>) -> Self {
        self.backchannel_logout_uri = Some(uri.into());
        self
    }

    pub(super) fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    pub(super) const fn is_public(&self) -> bool {
        matches!(self.proof, Proof::Nothing)
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient")
            .field("id", &self.id)
            .field("redirect_uris", &self.redirect_uris)
            .finish_non_exhaustive()
    }
}
