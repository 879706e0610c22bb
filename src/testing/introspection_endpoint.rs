//! The introspection endpoint (RFC 7662), with answers in JSON or signed (RFC 9701).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::authentication::{basic, knows_secret};
use super::form::Form;
use super::own::Signed;
use super::refusal::Refusal;
use super::reply;
use super::state::State;
use super::token::TestToken;

const SIGNED: &str = "application/token-introspection+jwt";

/// Says what a token is worth, to a client that proves who it is.
pub(super) fn introspect(issuer: &Arc<State>, request: &Request<Bytes>) -> Response<Bytes> {
    let form = Form::of(request);
    let Some(client) = client(issuer, request, &form) else { return Refusal::Unauthorized.response() };
    let Some(token) = form.one("token") else {
        return reply::object(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_request" }));
    };
    let answer = answer(issuer, token);
    if request.headers().get(ACCEPT).is_none_or(|accepted| accepted != SIGNED) {
        return reply::object(StatusCode::OK, &answer);
    }
    let claims = json!({
        "iss": issuer.identifier, "aud": client, "iat": issuer.now().unix_seconds(), "token_introspection": answer,
    });
    let jwt = TestToken::of(Arc::clone(issuer)).typ("token-introspection+jwt").payload_json(claims.to_string()).mint();
    reply::document(StatusCode::OK, SIGNED, jwt)
}

/// RFC 7662 s2.2: what is not active says no more than that.
fn answer(issuer: &State, token: &str) -> Value {
    let known = issuer.lock().opaque.get(token).cloned();
    let is_revoked = issuer.lock().revoked.contains(token);
    let claims = known.or_else(|| signed(issuer, token)).filter(|claims| {
        let ends = claims.get("exp").and_then(Value::as_i64);
        !is_revoked && ends.is_none_or(|ends| issuer.now().unix_seconds() < ends)
    });
    match claims {
        Some(mut claims) => {
            claims.insert("active".to_owned(), true.into());
            claims.into()
        }
        None => json!({ "active": false }),
    }
}

/// The claims of a JWT that this issuer has signed with a key that it publishes.
fn signed(issuer: &State, token: &str) -> Option<Map<String, Value>> {
    let mut claims = Signed::by_published(issuer, token)?.claims;
    claims.insert("token_type".to_owned(), "Bearer".into());
    Some(claims)
}

/// Who asks: by HTTP Basic, or by `client_id` and `client_secret` in the form.
fn client(issuer: &State, request: &Request<Bytes>, form: &Form) -> Option<String> {
    let (name, secret) = match request.headers().get(AUTHORIZATION) {
        Some(_) => basic(request)?,
        None => (form.one("client_id")?.to_owned(), form.one("client_secret")?.to_owned()),
    };
    knows_secret(issuer, &name, &secret).then_some(name)
}
