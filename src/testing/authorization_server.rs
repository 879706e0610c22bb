//! The part of a test issuer that signs people in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::authorization;
use super::client::TestClient;
use super::end_session;
use super::endpoint::Endpoint;
use super::form::Form;
use super::id_token::Spoiler;
use super::issuer::TestIssuer;
use super::redirect::TestRedirect;
use super::request::{Asked, Problem};
use super::settings;
use super::token::TestToken;
use super::user::TestUser;

/// # Signing in
///
/// Everything here works in memory and on loopback alike. Settings may be called at any time, and count from then on.
impl TestIssuer {
    /// Lets a client use the authorization endpoint. A client of the same identifier is replaced.
    ///
    /// The token endpoint and the introspection endpoint go on answering others, which prove who they are by their own name.
    pub fn register_client(&self, client: TestClient) {
        let mut state = self.state.lock();
        state.clients.remove(&client.id);
        state.provider.clients.insert(client.id.clone(), client);
    }

    /// Gives a user claims. Nobody has to be added to sign in: any other login name is a user too, whose `sub`, `name` and
    /// `preferred_username` are that name.
    pub fn add_user(&self, user: TestUser) {
        self.state.lock().provider.users.insert(user.login.clone(), user);
    }

    /// Refuses authorization requests without a `code_challenge` (RFC 7636). Those with one are checked in any case.
    pub fn demand_pkce(&self) {
        self.state.lock().provider.settings.pkce = settings::Pkce::Demanded;
    }

    /// Refuses authorization requests that were not pushed (RFC 9126 s5).
    pub fn demand_pushed_requests(&self) {
        self.state.lock().provider.settings.requests = settings::Requests::Pushed;
    }

    /// Leaves `iss` out of authorization responses, and does not promise it in the metadata: as servers did before RFC 9207.
    pub fn omit_response_issuer(&self) {
        self.state.lock().provider.settings.response_issuer = settings::ResponseIssuer::Omitted;
    }

    /// Keeps the refresh token as it is. Without this each one counts once: a refresh brings another, and the old one is refused
    /// and ends all that came of the same sign-in (RFC 9700 s4.14.2).
    pub fn keep_refresh_tokens(&self) {
        self.state.lock().provider.settings.refresh_tokens = settings::RefreshTokens::Stay;
    }

    /// Signs the answers of the userinfo endpoint (OpenID Connect Core 1.0 s5.3.2).
    pub fn sign_userinfo(&self) {
        self.state.lock().provider.settings.userinfo = settings::Userinfo::Signed;
    }

    /// Makes access tokens of the token endpoint good for this long, in whole seconds. It is 300 s otherwise.
    pub fn access_token_lifetime(&self, lifetime: Duration) {
        self.state.lock().provider.settings.lifetime = Some(lifetime);
    }

    /// Changes or spoils the next ID token of the token endpoint, that one alone. A second call is for the one after it.
    ///
    /// ```
    /// use scopegate::testing::{TestClient, TestIssuer};
    ///
    /// let issuer = TestIssuer::new("https://issuer.test");
    /// issuer.next_id_token(|token| token.audience("another-client"));
    /// issuer.next_id_token(|token| token.signed_by_stranger());
    /// ```
    pub fn next_id_token(&self, change: impl Fn(TestToken) -> TestToken + Send + Sync + 'static) {
        self.state.lock().id_tokens.push_back(Arc::new(Spoiler(change)));
    }

    /// Answers with these claims at the userinfo endpoint, once. A second call is for the answer after that.
    ///
    /// # Panics
    ///
    /// If it is not a JSON object. A [`Fault::body`](super::Fault::body) puts any text in the answer's place.
    #[expect(clippy::panic, reason = "a test whose claims are none is wrong, and documented to fail here")]
    pub fn next_userinfo(&self, claims: Value) {
        let Value::Object(claims) = claims else { panic!("the answer of the userinfo endpoint is a JSON object") };
        self.state.lock().provider.userinfo.push_back(claims);
    }

    /// What the user's browser brings back to the client from this authorization URL, once this user has signed in and allowed
    /// everything.
    ///
    /// It is the same as by way of the pages, in a browser that nobody has used before: a request with `prompt=none` is
    /// answered with `login_required`. No browser is signed in afterwards, but there is a session, which ends by its ID token.
    ///
    /// ```
    /// use scopegate::testing::{TestClient, TestIssuer};
    ///
    /// let issuer = TestIssuer::new("https://issuer.test");
    /// issuer.register_client(TestClient::public("app").redirect_uri("https://app.test/callback"));
    /// let request = "response_type=code&client_id=app&redirect_uri=https%3A%2F%2Fapp.test%2Fcallback&state=1";
    /// let back = issuer.sign_in(&format!("{}?{request}", issuer.authorization_endpoint()), "alice");
    /// assert!(back.url().starts_with("https://app.test/callback?"));
    /// assert_eq!(back.parameter("state"), Some("1"));
    /// assert!(back.parameter("code").is_some());
    /// ```
    ///
    /// # Panics
    ///
    /// If the URL is not one of this issuer's authorization endpoint, or the browser would see an error page: the client or its
    /// `redirect_uri` is not registered, or the pushed request is not there.
    #[must_use = "the client has to be told"]
    pub fn sign_in(&self, authorization_url: &str, user: &str) -> TestRedirect {
        match self.asked(authorization_url) {
            Ok(asked) => {
                let sid = authorization::sign_in(&self.state, user, None, None);
                authorization::allow(&self.state, &asked, &sid)
            }
            Err(answer) => answer,
        }
    }

    /// The same for a user who does not allow it: an answer with `access_denied` (RFC 6749 s4.1.2.1).
    ///
    /// # Panics
    ///
    /// Where [`sign_in`](Self::sign_in) does.
    #[must_use = "the client has to be told"]
    pub fn deny(&self, authorization_url: &str) -> TestRedirect {
        match self.asked(authorization_url) {
            Ok(asked) => authorization::told_by(&self.state, authorization::denial(&asked)),
            Err(answer) => answer,
        }
    }

    /// A logout token for a client about its newest session, to be changed, spoiled and delivered by the test (OpenID Connect
    /// Back-Channel Logout 1.0 s2.4).
    ///
    /// Where the client has no session the `sub` is `user-1`, and there is no `sid`.
    pub fn logout_token(&self, client_id: &str) -> TestToken {
        end_session::logout_token_of(&self.state, client_id, None)
    }

    /// The address of its authorization endpoint (RFC 6749 s3.1), for clients that are
    /// [registered](Self::register_client).
    ///
    /// It takes `response_type=code`, with PKCE by S256 (RFC 7636), `resource` (RFC 8707), and of OpenID Connect Core 1.0
    /// `nonce`, `prompt`, `max_age`, `login_hint`, `acr_values` (the first is granted) and `claims`; `response_mode` is `query`
    /// or `form_post`. It shows a login page, where any name and any password will do, and a page that asks whether the client
    /// may have what it wants, once for each session.
    #[must_use]
    pub fn authorization_endpoint(&self) -> String {
        self.state.addresses.below("authorize")
    }

    /// The address at which clients push authorization requests (RFC 9126), which are kept for 60 s and count once.
    #[must_use]
    pub fn pushed_authorization_request_endpoint(&self) -> String {
        self.state.addresses.below("par")
    }

    /// The address of its userinfo endpoint (OpenID Connect Core 1.0 s5.3). It takes access tokens with the scope `openid`.
    #[must_use]
    pub fn userinfo_endpoint(&self) -> String {
        self.state.addresses.below("userinfo")
    }

    /// The address of its revocation endpoint (RFC 7009). With a refresh token it ends all that came of the same sign-in.
    #[must_use]
    pub fn revocation_endpoint(&self) -> String {
        self.state.addresses.below("revoke")
    }

    /// The address of its logout endpoint (OpenID Connect RP-Initiated Logout 1.0).
    ///
    /// A session that ends takes its refresh tokens along, but for those with the scope `offline_access`, and an issuer on
    /// loopback tells the session's clients ([`TestClient::backchannel_logout_uri`]). Access tokens stay good until they expire.
    #[must_use]
    pub fn end_session_endpoint(&self) -> String {
        self.state.addresses.below("end_session")
    }

    /// The request in a URL, or the answer that it gets without anybody being asked.
    #[expect(clippy::panic, reason = "a test whose browser would be stuck is wrong, and documented to fail here")]
    fn asked(&self, authorization_url: &str) -> Result<Asked, TestRedirect> {
        let issuer = &self.state;
        let path = issuer.addresses.path_of(authorization_url);
        if path.and_then(|path| issuer.addresses.endpoint(path)) != Some(Endpoint::Authorization) {
            panic!("not an address of the authorization endpoint of {}", issuer.identifier);
        }
        issuer.lock().requests.count(Some(Endpoint::Authorization), false);
        let query = authorization_url.split_once('?').map_or("", |(_, query)| query);
        match authorization::begin(issuer, &Form::read(query.as_bytes())) {
            Ok(asked) => authorization::without_a_browser(issuer, asked),
            Err(Problem::Redirect(answer)) => Err(answer),
            Err(Problem::Page(problem)) => panic!("the browser sees an error page: {problem}"),
        }
    }
}
