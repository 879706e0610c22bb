//! The revocation endpoint (RFC 7009).

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::authentication::client;
use super::form::Form;
use super::own::Signed;
use super::refusal::Refusal;
use super::reply;
use super::state::State;

/// Ends a token of the client that asks. A token that is not known has ended already (s2.2).
pub(super) fn revoke(issuer: &State, request: &Request<Bytes>) -> Response<Bytes> {
    let form = Form::of(request);
    let client = match client(issuer, request, &form) {
        Ok(client) => client,
        Err(refusal) => return refusal.response(),
    };
    let Some(token) = form.one("token") else {
        return Refusal::Because("invalid_request", "token is missing").response();
    };
    let is_own = Signed::by_any(issuer, token).is_some_and(|signed| signed.text("client_id") == Some(&client));
    let mut state = issuer.lock();
    let is_own_opaque =
        state.opaque.get(token).is_some_and(|claims| claims.get("client_id").is_some_and(|it| *it == *client));
    if let Some(grant) = state.provider.grants.of_refresh_token(token, &client) {
        // s2.1: with a refresh token everything that came of its grant.
        let access_tokens = state.provider.grants.revoke(grant);
        state.revoked.extend(access_tokens);
    } else if is_own || is_own_opaque {
        state.revoked.insert(token.to_owned());
    }
    drop(state);
    reply::plain(StatusCode::OK)
}
