//! The authorization endpoint (RFC 6749 s3.1, OpenID Connect Core 1.0 s3.1.2), with its pages or without.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, Response};

use super::browser;
use super::form::Form;
use super::grants::Who;
use super::own::{Signed, unguessable};
use super::pages::{Back, Pages};
use super::provider::Provider;
use super::redirect::{Mode, TestRedirect};
use super::request::{Asked, Problem};
use super::sessions::{Matter, Session, Transaction};
use super::settings::{Requests, ResponseIssuer};
use super::state::State;

/// Answers a browser: a request of a client, or what it was asked on a page.
pub(super) fn authorize(issuer: &State, request: &Request<Bytes>) -> Response<Bytes> {
    let form = Form::of(request);
    let cookie = browser::cookie(issuer, request);
    let is_post = *request.method() == Method::POST;
    if let Some(id) = form.one("transaction").filter(|_| is_post) {
        return go_on(issuer, id, cookie.as_deref(), &form);
    }
    match begin(issuer, &form) {
        Ok(asked) => ask(issuer, asked, cookie.as_deref()),
        Err(problem) => refuse(issuer, problem),
    }
}

/// Reads a request, which a client may have pushed (RFC 9126 s4).
pub(super) fn begin(issuer: &State, form: &Form) -> Result<Asked, Problem> {
    let now = issuer.now().unix_seconds();
    let mut state = issuer.lock();
    let settings = state.provider.settings;
    let pushed = form.one("request_uri").filter(|uri| uri.starts_with(PUSHED));
    let (form, is_pushed) = match pushed.map(|uri| state.provider.pushed.remove(uri)) {
        None => (form.clone(), false),
        Some(Some(pushed)) if now < pushed.ends_at && form.one("client_id") == Some(&pushed.client) => {
            (pushed.form, true)
        }
        Some(_) => {
            return Err(Problem::Page("The request_uri is not known, not this client's, was used or has expired."));
        }
    };
    let client = known_client(&state.provider, &form)?;
    drop(state);
    let asked = Asked::read(&form, &client, settings).and_then(|asked| {
        if settings.requests == Requests::Pushed && !is_pushed {
            return Err(Problem::Redirect(asked.refusal("invalid_request", "requests have to be pushed")));
        }
        Ok(asked)
    });
    asked.map_err(|problem| match problem {
        Problem::Redirect(answer) => Problem::Redirect(told_by(issuer, answer)),
        Problem::Page(_) => problem,
    })
}

fn known_client(provider: &Provider, form: &Form) -> Result<super::client::TestClient, Problem> {
    let Some(client) = form.one("client_id") else { return Err(Problem::Page("The request names no client_id.")) };
    provider.clients.get(client).cloned().ok_or(Problem::Page("The client is not registered."))
}

/// What still has to be asked before a request can be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Login,
    Consent,
    Nothing,
}

/// `meant` is the user that the client expects.
fn need(asked: &Asked, meant: Option<&str>, session: Option<&Session>, now: i64) -> Need {
    let Some(session) = session.filter(|session| meant.is_none_or(|meant| session.login == meant)) else {
        return Need::Login;
    };
    let age = now.saturating_sub(session.auth_time);
    // OpenID Connect Core 1.0 s3.1.2.1: a max_age of 0 is a prompt for login.
    if asked.max_age.is_some_and(|most| most == 0 || age > most)
        || asked.prompts("login")
        || asked.prompts("select_account")
    {
        return Need::Login;
    }
    need_of_consent(asked, session)
}

fn need_of_consent(asked: &Asked, session: &Session) -> Need {
    let is_allowed = session.has_allowed(&asked.client.id, &asked.scopes());
    if is_allowed && !asked.prompts("consent") { Need::Nothing } else { Need::Consent }
}

/// Asks the person in front of the browser for what is needed, or nothing.
fn ask(issuer: &State, asked: Asked, cookie: Option<&str>) -> Response<Bytes> {
    let now = issuer.now().unix_seconds();
    let hint = asked.id_token_hint.as_deref().map(|hint| Signed::id_token(issuer, hint));
    // OpenID Connect Core 1.0 s3.1.2.1: a hint that is not ours means nobody.
    let meant = hint.map(|hint| hint.and_then(|hint| hint.text("sub").map(str::to_owned)).unwrap_or_default());
    let (need, sid) = {
        let state = issuer.lock();
        let session = state.provider.sessions.of_browser(cookie);
        (need(&asked, meant.as_deref(), session, now), session.map(|session| session.sid.clone()))
    };
    if asked.prompts("none") && need != Need::Nothing {
        return answer(issuer, &told_by(issuer, unseen(&asked, need)));
    }
    match (need, sid) {
        (Need::Nothing, Some(sid)) => answer(issuer, &finish(issuer, &asked, &sid)),
        (Need::Consent, sid @ Some(_)) => show(issuer, asked, sid, cookie),
        _ => show(issuer, asked, None, cookie),
    }
}

/// The error for whoever wants nobody to be asked (OpenID Connect Core 1.0 s3.1.2.6).
fn unseen(asked: &Asked, need: Need) -> TestRedirect {
    match need {
        Need::Login => asked.refusal("login_required", "somebody has to sign in"),
        Need::Consent | Need::Nothing => asked.refusal("consent_required", "somebody has to allow this"),
    }
}

/// Begins a transaction with the login page, or with the consent page if there is a session.
fn show(issuer: &State, asked: Asked, sid: Option<String>, cookie: Option<&str>) -> Response<Bytes> {
    // A page is for the browser that got it: without a cookie it gets one.
    let browser = cookie.map_or_else(unguessable, str::to_owned);
    let id = unguessable();
    let response = page(issuer, &id, &asked, sid.as_deref(), None);
    let ends_at = issuer.now().unix_seconds().saturating_add(TRANSACTION_LIFETIME);
    let matter = Matter::SignIn { asked: Box::new(asked), sid };
    let transaction = Transaction { browser: browser.clone(), ends_at, matter };
    issuer.lock().provider.sessions.keep(id, transaction);
    browser::known_by(issuer, &browser, response)
}

fn page(issuer: &State, id: &str, asked: &Asked, sid: Option<&str>, problem: Option<&str>) -> Response<Bytes> {
    let action = issuer.addresses.below("authorize");
    let back = Back { action: &action, transaction: id, leads_to: Some(&asked.redirect_uri) };
    let login = sid.and_then(|sid| issuer.lock().provider.sessions.named(sid).map(|session| session.login.clone()));
    match login {
        Some(login) => pages(issuer).consent(back, asked.client.shown_name(), &login, &asked.scopes()),
        None => {
            let hint = asked.login_hint.as_deref().unwrap_or_default();
            pages(issuer).login(back, asked.client.shown_name(), hint, problem)
        }
    }
}

/// Takes what a person has entered on a page.
fn go_on(issuer: &State, id: &str, cookie: Option<&str>, form: &Form) -> Response<Bytes> {
    let now = issuer.now().unix_seconds();
    let found = issuer.lock().provider.sessions.transaction(id, cookie, now);
    let Some(Transaction { matter: Matter::SignIn { asked, sid }, browser, .. }) = found else {
        return pages(issuer).error("This page is not yours, or it is too old.");
    };
    match (form.one("decision"), sid) {
        (Some("allow"), Some(sid)) => {
            issuer.lock().provider.sessions.forget(id);
            answer(issuer, &allow(issuer, &asked, &sid))
        }
        (Some("deny"), _) => {
            issuer.lock().provider.sessions.forget(id);
            answer(issuer, &told_by(issuer, denial(&asked)))
        }
        (Some("switch"), _) => page(issuer, id, &asked, None, None),
        _ => {
            let login = form.one("login").unwrap_or_default().trim();
            // OpenID Connect Core 1.0 s2: that long a `sub` may be.
            if login.is_empty() || login.len() > 255 {
                let problem = "Enter a user name of at most 255 letters.";
                return page(issuer, id, &asked, None, Some(problem));
            }
            signed_in(issuer, id, *asked, login, &browser)
        }
    }
}

/// Somebody has signed in on the page. From here on the browser has another cookie: whoever knew the old one knows nothing.
fn signed_in(issuer: &State, id: &str, asked: Asked, login: &str, before: &str) -> Response<Bytes> {
    let cookie = unguessable();
    let sid = sign_in(issuer, login, Some(before), Some(cookie.clone()));
    let need =
        issuer.lock().provider.sessions.named(&sid).map_or(Need::Login, |session| need_of_consent(&asked, session));
    let response = if need == Need::Nothing {
        issuer.lock().provider.sessions.forget(id);
        answer(issuer, &finish(issuer, &asked, &sid))
    } else {
        let response = page(issuer, id, &asked, Some(&sid), None);
        let ends_at = issuer.now().unix_seconds().saturating_add(TRANSACTION_LIFETIME);
        let matter = Matter::SignIn { asked: Box::new(asked), sid: Some(sid) };
        let transaction = Transaction { browser: cookie.clone(), ends_at, matter };
        issuer.lock().provider.sessions.keep(id.to_owned(), transaction);
        response
    };
    browser::known_by(issuer, &cookie, response)
}

/// A session for this user, or more of the browser's own. Tells what tokens call it.
pub(super) fn sign_in(issuer: &State, login: &str, before: Option<&str>, cookie: Option<String>) -> String {
    let auth_time = issuer.now().unix_seconds();
    let (sid, login) = (unguessable(), login.to_owned());
    let fresh = Session { sid, cookie, login: login.clone(), auth_time, allowed: BTreeMap::new(), has_ended: false };
    issuer.lock().provider.sessions.begin(&login, before, fresh)
}

/// The user has allowed it.
pub(super) fn allow(issuer: &State, asked: &Asked, sid: &str) -> TestRedirect {
    if let Some(session) = issuer.lock().provider.sessions.named_mut(sid) {
        session.allow(&asked.client.id, &asked.scopes());
    }
    finish(issuer, asked, sid)
}

/// A code for what was asked, in this session.
fn finish(issuer: &State, asked: &Asked, sid: &str) -> TestRedirect {
    let code = unguessable();
    let ends_at = issuer.now().unix_seconds().saturating_add(CODE_LIFETIME);
    {
        let mut state = issuer.lock();
        let Some(session) = state.provider.sessions.named(sid).filter(|session| !session.has_ended) else {
            drop(state);
            return told_by(issuer, asked.refusal("access_denied", "the user has signed out meanwhile"));
        };
        let who = Who { login: session.login.clone(), sid: session.sid.clone(), auth_time: session.auth_time };
        state.provider.grants.grant(code.clone(), asked, who, ends_at);
    }
    told_by(issuer, asked.answer().with("code", &code))
}

pub(super) fn denial(asked: &Asked) -> TestRedirect {
    asked.refusal("access_denied", "the user has not allowed it")
}

/// The answer with the name of who gives it (RFC 9207).
pub(super) fn told_by(issuer: &State, answer: TestRedirect) -> TestRedirect {
    match issuer.lock().provider.settings.response_issuer {
        ResponseIssuer::Told => answer.with("iss", &issuer.identifier),
        ResponseIssuer::Omitted => answer,
    }
}

/// A request as a browser without a cookie brings it: either somebody can be asked, or this is the answer.
pub(super) fn without_a_browser(issuer: &State, asked: Asked) -> Result<Asked, TestRedirect> {
    let need = need(&asked, None, None, issuer.now().unix_seconds());
    if asked.prompts("none") { Err(told_by(issuer, unseen(&asked, need))) } else { Ok(asked) }
}

fn refuse(issuer: &State, problem: Problem) -> Response<Bytes> {
    match problem {
        Problem::Page(problem) => pages(issuer).error(problem),
        Problem::Redirect(redirect) => answer(issuer, &redirect),
    }
}

/// Sends the browser back to the client.
fn answer(issuer: &State, answer: &TestRedirect) -> Response<Bytes> {
    match answer.mode() {
        Mode::Query => browser::sent_to(issuer, &answer.url()),
        Mode::FormPost => pages(issuer).form_post(answer),
    }
}

fn pages(issuer: &State) -> Pages<'_> {
    Pages { issuer: &issuer.identifier }
}

/// How a `request_uri` begins that was given for a pushed request (RFC 9126 s2.2).
pub(super) const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";
/// Seconds for which a code is good.
const CODE_LIFETIME: i64 = 60;
/// Seconds for which a page may stay open.
const TRANSACTION_LIFETIME: i64 = 600;
