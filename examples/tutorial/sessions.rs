//! Who is logged in: sessions in memory, each known by a cookie. A program of your own has its own, or a library for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::AppendHeaders;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::client::{IdToken, LogoutToken, Renewed, TokenSet, UserInfo};

/// One user's session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) token: TokenSet,
    pub(crate) user: IdToken,
    pub(crate) info: Option<UserInfo>,
}

#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<String, Session>>>);

/// What makes the browser keep a session, or forget it. `Secure` belongs to it where the site has https.
pub(crate) type Cookie = AppendHeaders<[(axum::http::HeaderName, String); 1]>;

fn cookie(value: &str, max_age: u32) -> Cookie {
    AppendHeaders([(SET_COOKIE, format!("session={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}"))])
}

/// The browser forgets it.
pub(crate) fn no_cookie() -> Cookie {
    cookie("", 0)
}

impl Sessions {
    /// A session gets a name that nobody can guess, and a new one with each login; the browser's old one ends.
    pub(crate) fn begin(&self, headers: &HeaderMap, session: Session) -> Result<Cookie, crate::OAuthError> {
        let mut octets = [0; 32];
        rand::fill(&mut octets).map_err(|_| crate::OAuthError::MissingToken)?;
        let name = URL_SAFE_NO_PAD.encode(octets);
        let cookie = cookie(&name, 8 * 3600);
        self.end(headers);
        self.lock().insert(name, session);
        Ok(cookie)
    }

    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<Session> {
        self.lock().get(&name(headers)?).cloned()
    }

    /// Keeps newer tokens, if the session has not ended meanwhile and still holds those before.
    pub(crate) fn renew(&self, headers: &HeaderMap, renewed: Renewed) {
        let Some(name) = name(headers) else { return };
        let mut sessions = self.lock();
        if let Some(session) = sessions.get_mut(&name).filter(|session| session.token == *renewed.previous()) {
            session.token = renewed.into_token();
        }
    }

    pub(crate) fn end(&self, headers: &HeaderMap) -> Option<Session> {
        self.lock().remove(&name(headers)?)
    }

    /// Ends the sessions that a logout token is about.
    pub(crate) fn end_those_of(&self, token: &LogoutToken) {
        self.lock().retain(|_, session| match (token.session_id(), session.user.session_id()) {
            (Some(ended), Some(own)) => ended != own,
            _ => token.subject() != Some(session.user.subject()),
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(headers: &HeaderMap) -> Option<String> {
    // Cookies of others beside ours may be of any octets.
    let fields = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let mut pairs = fields.flat_map(|field| field.split(|octet| *octet == b';')).map(<[u8]>::trim_ascii);
    let name = pairs.find_map(|pair| pair.strip_prefix(b"session="))?;
    String::from_utf8(name.to_vec()).ok()
}
