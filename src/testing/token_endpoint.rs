//! The token endpoint: the client credentials grant, and nothing else (RFC 6749 s4.4).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::jose::base64url;

use super::reply;
use super::state::State;
use super::token::{LIFETIME, TestToken};

/// Grants a token to a client that authenticates with its own name as its secret.
pub(super) fn grant(issuer: &Arc<State>, request: &Request<Bytes>) -> Response<Bytes> {
    let Some(client) = client(request) else {
        let mut response = refusal(StatusCode::UNAUTHORIZED, "invalid_client");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"test issuer\""));
        return response;
    };
    match field(request.body(), "grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        None => return refusal(StatusCode::BAD_REQUEST, "invalid_request"),
    }
    if issuer.lock().keyring.signing(None).is_none() {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    }

    let mut token = TestToken::of(Arc::clone(issuer)).subject(&client).client_id(&client);
    let scope = field(request.body(), "scope");
    if let Some(scope) = &scope {
        token = token.scope(scope);
    }
    let audiences = audiences(request.body());
    token = match audiences.as_slice() {
        [] => token,
        [one] => token.audience(one),
        several => token.audiences(several.iter().map(String::as_str)),
    };
    let mut body = Map::new();
    body.insert("access_token".to_owned(), token.mint().into());
    body.insert("token_type".to_owned(), "Bearer".into());
    body.insert("expires_in".to_owned(), LIFETIME.into());
    body.extend(scope.map(|scope| ("scope".to_owned(), Value::from(scope))));
    reply::object(StatusCode::OK, &body.into())
}

/// Who asks: the name from HTTP Basic, if the secret is the same.
fn client(request: &Request<Bytes>) -> Option<String> {
    basic(request).filter(|(name, secret)| name == secret).map(|(name, _)| name)
}

/// Name and secret from HTTP Basic (RFC 6749 s2.3.1).
pub(super) fn basic(request: &Request<Bytes>) -> Option<(String, String)> {
    let (scheme, encoded) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(base64url::decode_with_padding(encoded.trim().as_bytes())?).ok()?;
    let (name, secret) = pair.split_once(':')?;
    let (name, _) = form_urlencoded::parse(name.as_bytes()).next()?;
    let (secret, _) = form_urlencoded::parse(secret.as_bytes()).next()?;
    Some((name.into_owned(), secret.into_owned()))
}

/// The value of a field that is there and not empty (RFC 6749 s3.2).
pub(super) fn field(form: &[u8], name: &str) -> Option<String> {
    let (_, value) = form_urlencoded::parse(form).find(|(field, value)| field == name && !value.is_empty())?;
    Some(value.into_owned())
}

fn audiences(form: &[u8]) -> Vec<String> {
    let named = form_urlencoded::parse(form).filter(|(field, _)| field == "audience" || field == "resource");
    named.map(|(_, value)| value.into_owned()).collect()
}

fn refusal(status: StatusCode, error: &str) -> Response<Bytes> {
    reply::object(status, &json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::base64url;
    use crate::testing::TestIssuer;
    use crate::wire::fetch::FetchLimits;

    fn ask(issuer: &TestIssuer, credentials: &str, form: &'static str) -> (StatusCode, serde_json::Value) {
        let request = Request::post(issuer.token_endpoint())
            .header(AUTHORIZATION, format!("Basic {}", base64_simd::STANDARD.encode_to_string(credentials)))
            .body(Bytes::from_static(form.as_bytes()))
            .unwrap();
        let fetch = issuer.fetch();
        let response = futures_executor::block_on(fetch.fetch(request, FetchLimits::default())).unwrap();
        (response.status(), serde_json::from_slice(response.body()).unwrap())
    }

    #[test]
    fn a_client_that_knows_its_name_gets_the_scope_and_audience_that_it_asks_for() {
        let issuer = TestIssuer::new("https://issuer.test");
        let form = "grant_type=client_credentials&scope=things%3Aread+b&audience=https%3A%2F%2Fapi.example.com";
        let (status, body) = ask(&issuer, "demo:demo", form);
        assert_eq!((status, body["scope"].as_str()), (StatusCode::OK, Some("things:read b")));
        let payload = body["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
        let claims = base64url::decode(payload.as_bytes()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], "https://api.example.com");
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("demo"), &json!("demo")));
    }

    #[test]
    fn other_clients_and_other_grants_are_refused() {
        let issuer = TestIssuer::new("https://issuer.test");
        let good = "grant_type=client_credentials";
        assert_eq!(ask(&issuer, "demo:demo", good).0, StatusCode::OK);
        assert_eq!(ask(&issuer, "demo:demp", good).1["error"], "invalid_client");
        assert_eq!(ask(&issuer, "demo", good).0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&issuer, "demo:demo", "grant_type=password").1["error"], "unsupported_grant_type");
        assert_eq!(ask(&issuer, "demo:demo", "scope=a").1["error"], "invalid_request");
        let keyless = TestIssuer::with_algorithms("https://issuer.test", []);
        assert_eq!(ask(&keyless, "demo:demo", good).1["error"], "server_error");
    }
}
