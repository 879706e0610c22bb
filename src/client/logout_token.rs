//! Logouts of which the server tells (OpenID Connect Back-Channel Logout 1.0).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::client::callback::params;
use crate::client::error::OAuthError;
use crate::client::id_token::{Unproven, verify};
use crate::client::registered::Client;
use crate::client::seen::NotTaken;
use crate::client::state::cause;
use crate::clock::Timestamp;
use crate::issuer_id::IssuerId;
use crate::jose::json::{self, Duplicates, Value};
use crate::reason::Reason;
use crate::revocation::{Denial, DenyListFull};
use crate::token::AccessToken;
use crate::validator::Validator;

/// What a logout token is about (s2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// For how long one is good, whatever it says: servers send them as soon as they make them.
const LONGEST_AGE: Duration = Duration::from_secs(5 * 60);

const LIMITS: json::Limits = json::Limits { depth: 16, members: 512, duplicates: Duplicates::Refused };

/// A logout token that was verified: by the word of the server, a user's session has ended, or all sessions of a user have.
///
/// A program cannot make one. [`Client::logout_token`] does, once for each that the server sends.
#[derive(Clone)]
pub struct LogoutToken(AccessToken);

impl LogoutToken {
    /// The server that says so.
    #[must_use]
    pub fn issuer(&self) -> &IssuerId {
        self.0.issuer()
    }

    /// Who has logged out (`sub`), as [`IdToken::subject`](crate::client::IdToken::subject) names him. Where no
    /// [session](Self::session_id) is named, all sessions of his have ended.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.subject()
    }

    /// The session that has ended (`sid`), as [`IdToken::session_id`](crate::client::IdToken::session_id) names it. Where it is there, so
    /// may the subject be, and this session alone has ended.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.0.session_id()
    }

    /// When the server said so (`iat`), in whole seconds since 1970.
    #[must_use]
    pub fn issued_at(&self) -> i64 {
        self.0.issued_at().unwrap_or_default()
    }

    /// Has a resource server refuse the user's access tokens from now on: those of the session, and, where the token names the subject,
    /// all of his that were issued until [it was](Self::issued_at), in whatever session and to whatever client.
    ///
    /// The subject too, since with many servers access tokens say nothing of the session, and to refuse the session alone would then refuse
    /// nothing. The cost: a user who logs out on one device has his tokens refused on the others as well, where their refresh tokens, which
    /// the server has left in force there, bring newer ones; those are accepted, as are tokens of his next login. Of a token that is
    /// issued within the same second nobody can tell, and it is refused. Where access tokens do carry `sid`, use
    /// [`deny_session_only`](Self::deny_session_only). A server that calls the user something else in every client's tokens (pairwise
    /// identifiers, OpenID Connect Core 1.0 s8.1) has to put `sid` into access tokens for either to do anything.
    ///
    /// The time should be as long as the server's access tokens live. The validator trusts the same issuer, of the same identifier.
    ///
    /// # Errors
    /// [`DenyListFull`] if there is no room ([`deny_at_most`](crate::ValidatorBuilder::deny_at_most)). The session may have been denied by
    /// then, and the subject not.
    pub fn deny(&self, validator: &Validator, lasting: Duration) -> Result<(), DenyListFull> {
        let denials = [self.session_denial(), self.subject_denial()];
        denials.into_iter().flatten().try_for_each(|denial| validator.deny(&denial, lasting))
    }

    /// The same for the tokens of the session alone, which are known by their `sid`: for servers that put one into every access token, or
    /// introspection answer. Where no session is named, all have ended, and it is the same as [`deny`](Self::deny).
    ///
    /// # Errors
    /// [`DenyListFull`]: then nothing was denied.
    pub fn deny_session_only(&self, validator: &Validator, lasting: Duration) -> Result<(), DenyListFull> {
        let denial = self.session_denial().or_else(|| self.subject_denial());
        denial.into_iter().try_for_each(|denial| validator.deny(&denial, lasting))
    }

    /// The answer to the server (s2.8): 200, and not to be stored.
    #[must_use]
    pub fn response() -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The answer to the server where the logout did not succeed (s2.8): 400, and in JSON `invalid_request` where its token is at fault,
    /// `server_error` where something else is.
    #[must_use]
    pub fn refusal(error: &OAuthError) -> Response<Bytes> {
        let body = match error {
            OAuthError::InvalidLogoutToken { problem, .. } => {
                json!({ "error": "invalid_request", "error_description": problem })
            }
            _ => json!({ "error": "server_error", "error_description": "the logout could not be carried out" }),
        };
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn session_denial(&self) -> Option<Denial> {
        self.session_id().map(|session| Denial::session(self.issuer().as_str(), session))
    }

    fn subject_denial(&self) -> Option<Denial> {
        self.subject().map(|subject| Denial::subject(self.issuer().as_str(), subject, self.issued_at()))
    }
}

impl fmt::Debug for LogoutToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogoutToken").field("issuer", self.issuer()).finish_non_exhaustive()
    }
}

/// # Being told of logouts
impl Client {
    /// Takes what the server posted to this program's back-channel logout address, and verifies it (s2.5, s2.6): a good JWT of this client's
    /// issuer, made out to this client and nobody else, that says what it is, whom it is about and when it ends, no older than 5 min and
    /// the leeway. Each is taken once: of a program that runs in several processes, once by each.
    ///
    /// Its `typ` is `logout+jwt`, or `JWT` or nothing, as servers send that were there before that was said; the `events` tell it from an ID
    /// token then.
    ///
    /// A program that keeps sessions of its own ends those that are meant, and answers with [`LogoutToken::response`] or
    /// [`LogoutToken::refusal`]. Where its API takes the user's access tokens, see [`LogoutToken::deny`].
    ///
    /// # Errors
    /// [`OAuthError::InvalidLogoutToken`]; [`OAuthError::Unreachable`] if the server's keys cannot be had; [`OAuthError::Unsupported`] if
    /// the registration does not say who the issuer is; [`OAuthError::Store`] if more than 65,536 came within the time in which one is
    /// good: none is taken then that could have come before.
    pub async fn logout_token(&self, headers: &HeaderMap, body: &[u8]) -> Result<LogoutToken, OAuthError> {
        let jwt = posted(headers, body).map_err(|problem| invalid(problem, None))?;
        let problem =
            "the settings do not say whose logout tokens are good: discover(issuer), or openid(issuer, jwks_uri)";
        let judge = self.0.judge.as_ref().ok_or(OAuthError::Unsupported { problem })?;
        let token = verify(judge, &jwt).await.map_err(|unproven| match unproven {
            Unproven::Bad(reason) => invalid("it is not a good JWT of the issuer for this client", Some(reason)),
            Unproven::NotJudged(error) => error.into(),
        })?;
        if let Some(problem) = self.audience_problem(&token).or_else(|| problem_of(&token)) {
            return Err(invalid(problem, None));
        }
        let now = self.0.settings.clock.now();
        let (name, until) = self.lifetime(&token, now).map_err(|problem| invalid(problem, None))?;
        self.0.logouts.take(name, until, now).map_err(|not_taken| match not_taken {
            NotTaken::Known => invalid("it came before (jti)", None),
            NotTaken::Full => OAuthError::Store(cause("more logout tokens came than can be remembered")),
        })?;
        Ok(LogoutToken(token))
    }

    /// The whole of it for a handler: verifies what the server posted, has this validator [refuse the user's tokens](LogoutToken::deny) for
    /// so long, and gives the answer to the server. Where the validator's list is full the logout fails, and the server may send the same
    /// token again.
    ///
    /// The server tells one process, and a validator's list is its own: where several serve the API, hand on what the token says, and have
    /// each call [`Validator::deny`] with the same [`Denial`]s.
    ///
    /// In the answer's extensions lies the [`LogoutToken`], for a program that has sessions of its own to end, or else the [`OAuthError`],
    /// for its logs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use futures_executor::block_on;
    /// use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
    /// use scopegate::client::{Client, Registration};
    /// use scopegate::{ClientAuth, Credentials, Issuer, Reason, Requirement, ScopePolicy, Validator};
    /// use scopegate::testing::TestIssuer;
    ///
    /// let issuer = TestIssuer::new("https://id.example.com"); // plays the authorization server
    /// let registration = Registration::discover("https://id.example.com", ClientAuth::basic("app", "s3cret"));
    /// let client = Client::new("example", registration.fetch(issuer.fetch()))?;
    /// let api = Validator::builder("https://api.example.com")
    ///     .trust(Issuer::discover("https://id.example.com"))
    ///     .fetch(issuer.fetch())
    ///     .build()?;
    /// let nothing = Requirement::from(ScopePolicy::none());
    /// let token = issuer.token().audience("https://api.example.com").subject("alice").mint();
    /// assert!(block_on(api.validate(&Credentials::bearer(&token), &nothing)).is_ok());
    ///
    /// // POST /backchannel-logout
    /// let events = serde_json::json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    /// let logout = issuer.token().typ("logout+jwt").audience("app").subject("alice").claim("events", events).mint();
    /// let mut headers = HeaderMap::new();
    /// headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    /// let body = format!("logout_token={logout}");
    /// let answer = block_on(client.backchannel_logout(&headers, body.as_bytes(), &api, Duration::from_secs(3600)));
    /// assert_eq!(answer.status(), 200);
    ///
    /// let refused = api.check(&Credentials::bearer(&token), &nothing).unwrap_err();
    /// assert_eq!(refused.reason(), Reason::Revoked);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn backchannel_logout(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        validator: &Validator,
        lasting: Duration,
    ) -> Response<Bytes> {
        let done = self.logout_token(headers, body).await.and_then(|token| match token.deny(validator, lasting) {
            Ok(()) => Ok(token),
            Err(full) => {
                self.0.logouts.give_back(token.0.jwt_id().unwrap_or_default());
                Err(OAuthError::Store(Arc::new(full)))
            }
        });
        match done {
            Ok(token) => {
                let mut response = LogoutToken::response();
                response.extensions_mut().insert(token);
                response
            }
            Err(error) => {
                let mut response = LogoutToken::refusal(&error);
                response.extensions_mut().insert(error);
                response
            }
        }
    }

    /// As of ID tokens (s2.6): this client, and nobody that is not trusted beside it.
    fn audience_problem(&self, token: &AccessToken) -> Option<&'static str> {
        let also = &self.0.settings.audiences;
        let is_known = |audience: &str| audience == self.client_id() || also.iter().any(|also| also == audience);
        (!token.audience().all(is_known)).then_some("it is made out to somebody else as well")
    }

    /// Its name, and until when it is good, in milliseconds since 1970.
    fn lifetime<'t>(&self, token: &'t AccessToken, now: Timestamp) -> Result<(&'t str, i64), &'static str> {
        let (Some(ends), Some(issued)) = (token.stated().expires_at, token.stated().issued_at) else {
            return Err("it lacks exp or iat");
        };
        let name = token.jwt_id().ok_or("it has no jti")?;
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let leeway = millis(self.0.settings.leeway);
        let oldest = issued.saturating_add(millis(LONGEST_AGE)).saturating_add(leeway);
        if now.unix_millis() > oldest {
            return Err("it was issued more than 5 min ago");
        }
        Ok((name, oldest.min(ends.saturating_add(leeway))))
    }
}

fn invalid(problem: &'static str, reason: Option<Reason>) -> OAuthError {
    OAuthError::InvalidLogoutToken { problem, reason }
}

/// The token in a form that was posted (s2.5). What else stands in the form is not looked at.
fn posted(headers: &HeaderMap, body: &[u8]) -> Result<String, &'static str> {
    let kind = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        return Err("what was posted is not a form");
    }
    let found = params(body).all()?.into_iter().find(|(name, _)| name == "logout_token");
    found.map(|(_, jwt)| jwt).filter(|jwt| !jwt.is_empty()).ok_or("the form has no logout_token")
}

/// What is wrong with its claims (s2.6); the core has judged the signature, the issuer, that the client is among the audience, and the times.
fn problem_of(token: &AccessToken) -> Option<&'static str> {
    let (mut is_logout, mut problem) = (false, None);
    let read = json::object(token.stated().payload().as_bytes(), LIMITS, |name, value| match (name, value) {
        ("events", Value::Object(events)) => is_logout = says_logout(events.as_bytes()),
        // Rule 5: by it an ID token could be taken for one, or one for an ID token. It must not be there, whatever it says.
        ("nonce", _) => problem = Some("it has a nonce, which no logout token has"),
        ("sid" | "sub", Value::String(text)) if !text.is_empty() && text.decoded().len() <= 255 => {}
        ("sid", _) => problem = Some("its sid is no text, or empty, or longer than 255 characters"),
        ("sub", _) => problem = Some("its sub is no text, or empty, or longer than 255 characters"),
        _ => {}
    });
    if read.is_err() {
        return Some("its claims cannot be read");
    }
    if problem.is_none() && !is_logout {
        return Some("it is a JWT of another kind: its events do not say that it is about a logout");
    }
    let names_nobody = token.subject().is_none() && token.session_id().is_none();
    problem.or_else(|| names_nobody.then_some("it names neither a subject nor a session"))
}

/// Rule 4: the event is a member, and its value an object.
fn says_logout(events: &[u8]) -> bool {
    let mut says = false;
    let read = json::object(events, LIMITS, |name, value| {
        if name == EVENT {
            says = matches!(value, Value::Object(_));
        }
    });
    read.is_ok() && says
}
