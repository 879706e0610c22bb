//! The userinfo endpoint (OpenID Connect Core 1.0 s5.3).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::form::Form;
use super::id_token;
use super::own::Signed;
use super::reply;
use super::settings::Userinfo;
use super::state::State;
use crate::jose::compact::Typ;

/// Tells who has signed in, to whoever has an access token for it.
pub(super) fn tell(issuer: &Arc<State>, request: &Request<Bytes>) -> Response<Bytes> {
    let Some(token) = presented(request) else { return challenge(StatusCode::UNAUTHORIZED, None) };
    let now = issuer.now().unix_seconds();
    let good = Signed::by_published(issuer, &token).filter(|signed| {
        let is_revoked = issuer.lock().revoked.contains(&token);
        signed.typ == Typ::AtJwt && !is_revoked && !signed.has_expired(now)
    });
    let Some(signed) = good else { return challenge(StatusCode::UNAUTHORIZED, Some("invalid_token")) };
    let (Some(login), Some(client)) = (signed.text("sub"), signed.text("client_id")) else {
        return challenge(StatusCode::UNAUTHORIZED, Some("invalid_token"));
    };
    let scope = signed.text("scope").unwrap_or_default();
    if !scope.split(' ').any(|scope| scope == "openid") {
        return challenge(StatusCode::FORBIDDEN, Some("insufficient_scope"));
    }
    let (claims, form) = {
        let mut state = issuer.lock();
        let by_name = state.provider.grants.of_access_token(&token).map(|grant| grant.claims.userinfo.clone());
        let mut claims = state.provider.user(login).told(scope, &by_name.unwrap_or_default());
        claims.insert("sub".to_owned(), login.into());
        (state.provider.userinfo.pop_front().unwrap_or(claims), state.provider.settings.userinfo)
    };
    match form {
        Userinfo::Plain => reply::object(StatusCode::OK, &claims.into()),
        Userinfo::Signed => sign(issuer, client, claims),
    }
}

/// OpenID Connect Core 1.0 s5.3.2: signed, it says who tells it and to whom.
fn sign(issuer: &Arc<State>, client: &str, mut claims: Map<String, Value>) -> Response<Bytes> {
    if issuer.lock().keyring.signing(None).is_none() {
        return reply::object(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "server_error" }));
    }
    for (name, value) in [("iss", issuer.identifier.as_str()), ("aud", client)] {
        claims.entry(name).or_insert_with(|| value.into());
    }
    let mut response = reply::object(StatusCode::OK, &Value::Null);
    *response.body_mut() = id_token::token(issuer, claims).mint().into();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jwt"));
    response
}

/// The token in the header, or in the form of a POST (RFC 6750 s2.1 and s2.2).
fn presented(request: &Request<Bytes>) -> Option<String> {
    match request.headers().get(AUTHORIZATION) {
        Some(header) => {
            let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        }
        None => Form::read(request.body()).one("access_token").map(str::to_owned),
    }
}

/// RFC 6750 s3: whoever has no token at all is told no error.
fn challenge(status: StatusCode, error: Option<&'static str>) -> Response<Bytes> {
    let mut response = reply::plain(status);
    let value = match error {
        Some("insufficient_scope") => "Bearer error=\"insufficient_scope\", scope=\"openid\"",
        Some(_) => "Bearer error=\"invalid_token\"",
        None => "Bearer",
    };
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(value));
    response
}
