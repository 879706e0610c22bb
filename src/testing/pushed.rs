//! The pushed authorization request endpoint (RFC 9126).

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::json;

use super::authentication::client;
use super::authorization::PUSHED;
use super::form::Form;
use super::own::unguessable;
use super::provider::Pushed;
use super::redirect::TestRedirect;
use super::refusal::{Refusal, told};
use super::reply;
use super::request::{Asked, Problem};
use super::state::State;

/// Keeps a request of a client that proves who it is, if it could be granted.
pub(super) fn push(issuer: &State, request: &Request<Bytes>) -> Response<Bytes> {
    let form = Form::of(request);
    let client = match client(issuer, request, &form) {
        Ok(client) => client,
        Err(refusal) => return refusal.response(),
    };
    if form.one("request_uri").is_some() {
        return Refusal::Because("invalid_request", "a pushed request names no other").response();
    }
    let (registered, settings) = {
        let state = issuer.lock();
        (state.provider.clients.get(&client).cloned(), state.provider.settings)
    };
    let Some(registered) = registered else {
        return Refusal::Because("invalid_request", "the client is not registered").response();
    };
    match Asked::read(&form, &registered, settings) {
        Ok(_) => {}
        Err(Problem::Page(problem)) => return Refusal::Because("invalid_request", problem).response(),
        Err(Problem::Redirect(error)) => return passed_on(&error),
    }
    let uri = format!("{PUSHED}{}", unguessable());
    let ends_at = issuer.now().unix_seconds().saturating_add(LIFETIME);
    let form = form.with("client_id", &client);
    issuer.lock().provider.pushed.insert(uri.clone(), Pushed { client, form, ends_at });
    reply::object(StatusCode::CREATED, &json!({ "request_uri": uri, "expires_in": LIFETIME }))
}

/// What the browser would have been told, to the client itself (RFC 9126 s2.3).
fn passed_on(error: &TestRedirect) -> Response<Bytes> {
    let parameter = |name| error.parameter(name).unwrap_or_default();
    told(parameter("error"), parameter("error_description"))
}

/// Seconds for which a pushed request is kept.
const LIFETIME: i64 = 60;
