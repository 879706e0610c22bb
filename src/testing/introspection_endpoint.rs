//! The introspection endpoint (RFC 7662), with answers in JSON or signed (RFC 9701).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::reply;
use super::state::State;
use super::token::TestToken;
use super::token_endpoint::{basic, field};
use crate::clock::Timestamp;
use crate::jose::compact::Unverified;
use crate::jose::key_set::KeySet;
use crate::keys::proof::{Proof, prove};
use crate::keys::store::KeyStore;

const SIGNED: &str = "application/token-introspection+jwt";

/// Says what a token is worth, to a client that proves who it is.
pub(super) fn introspect(issuer: &Arc<State>, request: &Request<Bytes>) -> Response<Bytes> {
    let Some(client) = client(issuer, request) else {
        let mut response = reply::object(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_client" }));
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"test issuer\""));
        return response;
    };
    let Some(token) = field(request.body(), "token") else {
        return reply::object(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_request" }));
    };
    let answer = answer(issuer, &token);
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
    let token = Unverified::parse(token.as_bytes()).ok()?;
    let keys = KeySet::from_json(issuer.lock().keyring.document().as_bytes()).ok()?;
    let held = KeyStore::pushed(keys).read();
    match prove(&token, &held, Timestamp::new(0, std::time::Duration::ZERO)) {
        Ok(Proof::Holds(verified, _)) => {
            let mut claims: Map<String, Value> = serde_json::from_slice(&verified.payload().ok()?).ok()?;
            claims.insert("token_type".to_owned(), "Bearer".into());
            Some(claims)
        }
        _ => None,
    }
}

/// Who asks: by HTTP Basic, or by `client_id` and `client_secret` in the form.
fn client(issuer: &State, request: &Request<Bytes>) -> Option<String> {
    let (name, secret) = match request.headers().get(AUTHORIZATION) {
        Some(_) => basic(request)?,
        None => (field(request.body(), "client_id")?, field(request.body(), "client_secret")?),
    };
    let state = issuer.lock();
    let expected = state.clients.get(&name).unwrap_or(&name);
    (*expected == secret).then(|| name.clone())
}
