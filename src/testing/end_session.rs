//! The logout endpoint (OpenID Connect RP-Initiated Logout 1.0), and the news of it (Back-Channel Logout 1.0).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::json;

use super::browser;
use super::form::Form;
use super::own::{Signed, unguessable};
use super::pages::{Back, Pages};
use super::sessions::{Matter, Transaction};
use super::state::{Notice, State};
use super::token::TestToken;

/// Signs somebody out, asking first if no client has said who it is.
pub(super) fn end(issuer: &Arc<State>, request: &Request<Bytes>) -> Response<Bytes> {
    let form = Form::of(request);
    let cookie = browser::cookie(issuer, request);
    let is_post = *request.method() == Method::POST;
    if let Some(id) = form.one("transaction").filter(|_| is_post) {
        return confirmed(issuer, id, cookie.as_deref());
    }
    let hint = match form.one("id_token_hint").map(|hint| Signed::id_token(issuer, hint)) {
        None => None,
        Some(Some(hint)) => Some(hint),
        Some(None) => return pages(issuer).error("The id_token_hint is not an ID token of this issuer."),
    };
    let to = match destination(issuer, &form, hint.as_ref()) {
        Ok(to) => to,
        Err(problem) => return pages(issuer).error(problem),
    };
    let own =
        issuer.lock().provider.sessions.of_browser(cookie.as_deref()).map(|own| (own.sid.clone(), own.login.clone()));
    match (hint, own) {
        (Some(hint), own) => {
            let sub = hint.text("sub");
            let own = own.filter(|(_, login)| Some(login.as_str()) == sub).map(|(sid, _)| sid);
            if let Some(sid) = hint.text("sid").map(str::to_owned).or(own) {
                end_session(issuer, &sid);
            }
            gone(issuer, cookie.as_deref(), to.as_deref())
        }
        (None, Some((_, login))) => ask(issuer, to, cookie.unwrap_or_default(), &login),
        (None, None) => gone(issuer, cookie.as_deref(), to.as_deref()),
    }
}

/// Where the browser is sent afterwards, if the client has registered that address (s3).
fn destination(issuer: &State, form: &Form, hint: Option<&Signed>) -> Result<Option<String>, &'static str> {
    let hinted = hint.and_then(Signed::audience);
    let named = form.one("client_id");
    if hinted.is_some() && named.is_some() && hinted != named {
        return Err("The client_id is not that of the id_token_hint.");
    }
    let Some(uri) = form.one("post_logout_redirect_uri") else { return Ok(None) };
    let state = issuer.lock();
    let client = hinted.or(named).and_then(|client| state.provider.clients.get(client));
    if !client.is_some_and(|client| client.post_logout_redirect_uris.iter().any(|known| known == uri)) {
        return Err("The post_logout_redirect_uri is not registered for this client.");
    }
    let Some(state) = form.one("state") else { return Ok(Some(uri.to_owned())) };
    let sign = if uri.contains('?') { '&' } else { '?' };
    let state = form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish();
    Ok(Some(format!("{uri}{sign}{state}")))
}

fn ask(issuer: &State, to: Option<String>, browser: String, login: &str) -> Response<Bytes> {
    let id = unguessable();
    let action = issuer.addresses.below("end_session");
    let response = pages(issuer).sign_out(Back { action: &action, transaction: &id, leads_to: to.as_deref() }, login);
    let ends_at = issuer.now().unix_seconds().saturating_add(TRANSACTION_LIFETIME);
    issuer.lock().provider.sessions.keep(id, Transaction { browser, ends_at, matter: Matter::SignOut { to } });
    response
}

/// Somebody has said yes.
fn confirmed(issuer: &Arc<State>, id: &str, cookie: Option<&str>) -> Response<Bytes> {
    let now = issuer.now().unix_seconds();
    let (found, sid) = {
        let mut state = issuer.lock();
        let found = state.provider.sessions.transaction(id, cookie, now);
        let sid = state.provider.sessions.of_browser(cookie).map(|session| session.sid.clone());
        if matches!(&found, Some(Transaction { matter: Matter::SignOut { .. }, .. })) {
            state.provider.sessions.forget(id);
        }
        (found, sid)
    };
    let Some(Transaction { matter: Matter::SignOut { to }, .. }) = found else {
        return pages(issuer).error("This page is not yours, or it is too old.");
    };
    if let Some(sid) = sid {
        end_session(issuer, &sid);
    }
    gone(issuer, cookie, to.as_deref())
}

/// Ends a session and its refresh tokens, and tells the clients that want to know.
fn end_session(issuer: &Arc<State>, sid: &str) {
    let clients: Vec<(String, String)> = {
        let mut state = issuer.lock();
        let Some(session) = state.provider.sessions.named_mut(sid).filter(|session| !session.has_ended) else { return };
        session.has_ended = true;
        let names: Vec<String> = session.allowed.keys().cloned().collect();
        state.provider.grants.end_session(sid);
        let told = names.into_iter().filter_map(|name| {
            let uri = state.provider.clients.get(&name)?.backchannel_logout_uri.clone()?;
            Some((name, uri))
        });
        told.collect()
    };
    let can_sign = issuer.lock().keyring.signing(None).is_some();
    let courier = issuer.lock().courier.clone().filter(|_| can_sign);
    for (client, uri) in clients {
        if let Some(courier) = &courier {
            let logout_token = logout_token_of(issuer, &client, Some(sid)).mint();
            // Whoever has stopped serving tells nobody.
            let _ = courier.send(Notice { uri, logout_token });
        }
    }
}

/// A logout token for a client (Back-Channel Logout 1.0 s2.4), about its newest session unless another is named.
pub(super) fn logout_token_of(issuer: &Arc<State>, client: &str, sid: Option<&str>) -> TestToken {
    let session = {
        let state = issuer.lock();
        let sessions = &state.provider.sessions;
        let session = sid.map_or_else(|| sessions.newest_of(client), |sid| sessions.named(sid));
        session.map(|session| (session.login.clone(), session.sid.clone()))
    };
    let token = TestToken::of(Arc::clone(issuer)).typ("logout+jwt").without("client_id").audience(client);
    // s2.4: two minutes at most are best.
    let token = token.lifetime(LOGOUT_TOKEN_LIFETIME);
    let token = token.claim("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
    match session {
        Some((login, sid)) => token.subject(&login).claim("sid", sid),
        None => token,
    }
}

/// The browser is sent on, or told that it is signed out. Its cookie goes, unless the session that ended was another's.
fn gone(issuer: &State, cookie: Option<&str>, to: Option<&str>) -> Response<Bytes> {
    let response = to.map_or_else(|| pages(issuer).signed_out(), |to| browser::sent_to(issuer, to));
    if issuer.lock().provider.sessions.of_browser(cookie).is_some() {
        return response;
    }
    browser::forgotten(issuer, response)
}

fn pages(issuer: &State) -> Pages<'_> {
    Pages { issuer: &issuer.identifier }
}

const LOGOUT_TOKEN_LIFETIME: Duration = Duration::from_secs(120);
/// Seconds for which the page may stay open.
const TRANSACTION_LIFETIME: i64 = 600;
