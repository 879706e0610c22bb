//! The token endpoint (RFC 6749 s3.2): client credentials, codes and refresh tokens.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::authentication::client;
use super::form::Form;
use super::grants::Grant;
use super::id_token::{self, Occasion};
use super::own::{challenge, unguessable};
use super::refusal::Refusal;
use super::reply;
use super::settings::RefreshTokens;
use super::state::State;
use super::token::{LIFETIME, TestToken};

/// Grants tokens to a client that proves who it is.
pub(super) fn grant(issuer: &Arc<State>, request: &Request<Bytes>) -> Response<Bytes> {
    let form = Form::of(request);
    let client = match client(issuer, request, &form) {
        Ok(client) => client,
        Err(refusal) => return refusal.response(),
    };
    if form.repeats_itself() {
        return Refusal::Because("invalid_request", "a parameter is there twice").response();
    }
    if issuer.lock().keyring.signing(None).is_none() {
        return reply::object(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "server_error" }));
    }
    let granted = match form.one("grant_type") {
        Some("client_credentials") => client_credentials(issuer, &client, &form),
        Some("authorization_code") => code(issuer, &client, &form),
        Some("refresh_token") => refresh(issuer, &client, &form),
        Some(_) => Err(Refusal::Because("unsupported_grant_type", "the grants are those of the metadata")),
        None => Err(Refusal::Because("invalid_request", "grant_type is missing")),
    };
    granted.map_or_else(Refusal::response, |body| reply::object(StatusCode::OK, &body.into()))
}

type Granted = Result<Map<String, Value>, Refusal>;

/// RFC 6749 s4.4.
fn client_credentials(issuer: &Arc<State>, client: &str, form: &Form) -> Granted {
    if issuer.lock().provider.clients.get(client).is_some_and(|client| client.is_public()) {
        // RFC 6749 s4.4: for confidential clients alone.
        return Err(Refusal::Because("unauthorized_client", "a public client has no credentials"));
    }
    let audiences: Vec<&str> = form.all("audience").chain(form.all("resource")).collect();
    let token = TestToken::of(Arc::clone(issuer)).subject(client).client_id(client);
    Ok(access_token(issuer, token, form.one("scope"), &audiences).0)
}

/// RFC 6749 s4.1.3, RFC 7636 s4.6.
fn code(issuer: &Arc<State>, client: &str, form: &Form) -> Granted {
    let Some(presented) = form.one("code") else { return Err(Refusal::Because("invalid_request", "code is missing")) };
    let now = issuer.now().unix_seconds();
    let (code, grant) = {
        let mut state = issuer.lock();
        match state.provider.grants.take_code(presented, client) {
            Ok(taken) => taken,
            Err(access_tokens) => {
                state.revoked.extend(access_tokens);
                return Err(Refusal::Because("invalid_grant", "the code is not known, not yours or was used before"));
            }
        }
    };
    if now >= code.ends_at {
        return Err(Refusal::Because("invalid_grant", "the code has expired"));
    }
    if form.one("redirect_uri") != Some(&code.redirect_uri) {
        return Err(Refusal::Because("invalid_grant", "redirect_uri is not that of the request"));
    }
    match (&code.challenge, form.one("code_verifier")) {
        (None, None) => {}
        (Some(expected), Some(verifier)) if is_verifier(verifier) && challenge(verifier) == *expected => {}
        // RFC 9700 s2.1.1: a verifier without a challenge is a downgrade.
        (None, Some(_)) => return Err(Refusal::Because("invalid_grant", "the request had no code_challenge")),
        (Some(_), _) => return Err(Refusal::Because("invalid_grant", "code_verifier is not that of the challenge")),
    }
    let scope = grant.scope.clone();
    issue(issuer, (code.grant, &grant), &scope, form, Occasion::Login)
}

/// RFC 6749 s6. By default each refresh token counts once (RFC 9700 s4.14.2).
fn refresh(issuer: &Arc<State>, client: &str, form: &Form) -> Granted {
    let Some(presented) = form.one("refresh_token") else {
        return Err(Refusal::Because("invalid_request", "refresh_token is missing"));
    };
    // All at once: of two that come with the same token, one is too late.
    let (number, grant, scope) = {
        let mut state = issuer.lock();
        let rotate = state.provider.settings.refresh_tokens == RefreshTokens::Rotate;
        let (number, grant) = match state.provider.grants.refresh_token(presented, client) {
            Ok(found) => found,
            Err(access_tokens) => {
                state.revoked.extend(access_tokens);
                let why = "the refresh token is not known, not yours, replaced or revoked";
                return Err(Refusal::Because("invalid_grant", why));
            }
        };
        let scope = form.one("scope").unwrap_or(&grant.scope).to_owned();
        if !scope.split(' ').all(|asked| grant.scope.split(' ').any(|granted| granted == asked)) {
            return Err(Refusal::Because("invalid_scope", "more than was granted"));
        }
        audiences(&grant, form)?;
        if rotate {
            state.provider.grants.retire(number);
        }
        (number, grant, scope)
    };
    issue(issuer, (number, &grant), &scope, form, Occasion::Refresh)
}

/// RFC 8707 s2.2: some of the resources that were granted, or all of them.
fn audiences<'a>(grant: &'a Grant, form: &'a Form) -> Result<Vec<&'a str>, Refusal> {
    let narrowed: Vec<&str> = form.all("resource").collect();
    if !narrowed.iter().all(|asked| grant.resources.iter().any(|granted| granted == asked)) {
        return Err(Refusal::Because("invalid_target", "not a resource of the authorization request"));
    }
    let granted = || grant.resources.iter().map(String::as_str).collect();
    Ok(if narrowed.is_empty() { granted() } else { narrowed })
}

/// The tokens of a grant.
fn issue(
    issuer: &Arc<State>,
    (number, grant): (usize, &Grant),
    scope: &str,
    form: &Form,
    occasion: Occasion,
) -> Granted {
    let audiences = audiences(grant, form)?;
    let token = TestToken::of(Arc::clone(issuer)).subject(&grant.login).client_id(&grant.client);
    // RFC 9068 s2.2.1.
    let token = token.claim("auth_time", grant.auth_time).claim("acr", grant.acr()).claim("sid", &grant.sid);
    let (mut body, access_token) = access_token(issuer, token, Some(scope).filter(|it| !it.is_empty()), &audiences);
    {
        let mut state = issuer.lock();
        if !state.provider.grants.note_access_token(number, &access_token) {
            state.revoked.insert(access_token.clone());
        }
        if occasion == Occasion::Login || state.provider.settings.refresh_tokens == RefreshTokens::Rotate {
            let refresh_token = unguessable();
            state.provider.grants.refresh_by(number, refresh_token.clone());
            body.insert("refresh_token".to_owned(), refresh_token.into());
        }
    }
    if scope.split(' ').any(|scope| scope == "openid") {
        let id_token = id_token::mint(issuer, grant, &access_token, occasion);
        body.insert("id_token".to_owned(), id_token.into());
    }
    Ok(body)
}

/// The members of a successful answer (RFC 6749 s5.1), and the access token by itself.
fn access_token(
    issuer: &State,
    mut token: TestToken,
    scope: Option<&str>,
    audiences: &[&str],
) -> (Map<String, Value>, String) {
    if let Some(scope) = scope {
        token = token.scope(scope);
    }
    token = match audiences {
        [] => token,
        [one] => token.audience(one),
        several => token.audiences(several.iter().copied()),
    };
    let settings = issuer.lock().provider.settings;
    if let Some(lifetime) = settings.lifetime {
        token = token.lifetime(lifetime);
    }
    let access_token = token.mint();
    let mut body = Map::new();
    body.insert("access_token".to_owned(), access_token.as_str().into());
    body.insert("token_type".to_owned(), "Bearer".into());
    body.insert("expires_in".to_owned(), settings.lifetime(LIFETIME).into());
    body.extend(scope.map(|scope| ("scope".to_owned(), Value::from(scope))));
    (body, access_token)
}

/// RFC 7636 s4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::base64url;
    use crate::testing::{TestClient, TestIssuer};
    use crate::wire::fetch::FetchLimits;
    use http::header::AUTHORIZATION;

    fn ask(issuer: &TestIssuer, credentials: &str, form: &'static str) -> (StatusCode, serde_json::Value) {
        let mut request = Request::post(issuer.token_endpoint());
        if !credentials.is_empty() {
            let basic = format!("Basic {}", base64_simd::STANDARD.encode_to_string(credentials));
            request = request.header(AUTHORIZATION, basic);
        }
        let request = request.body(Bytes::from_static(form.as_bytes())).unwrap();
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

    #[test]
    fn a_client_authenticates_in_one_way_and_by_its_own() {
        let issuer = TestIssuer::new("https://issuer.test");
        issuer.register_client(TestClient::confidential("web", "s3cret"));
        issuer.register_client(TestClient::public("app"));
        let form = "grant_type=client_credentials&client_id=web&client_secret=s3cret";
        assert_eq!(ask(&issuer, "", form).0, StatusCode::OK);
        assert_eq!(ask(&issuer, "web:s3cret", "grant_type=client_credentials").0, StatusCode::OK);
        assert_eq!(ask(&issuer, "web:s3cret", form).1["error"], "invalid_request");
        let for_another = "grant_type=client_credentials&client_id=demo";
        assert_eq!(ask(&issuer, "web:s3cret", for_another).1["error"], "invalid_client");
        assert_eq!(ask(&issuer, "web:web", "grant_type=client_credentials").1["error"], "invalid_client");
        let without = "grant_type=client_credentials&client_id=web";
        assert_eq!(ask(&issuer, "", without).1["error"], "invalid_client");
        assert_eq!(ask(&issuer, "app:app", "grant_type=client_credentials").1["error"], "invalid_client");
        let public = "grant_type=client_credentials&client_id=app";
        assert_eq!(ask(&issuer, "", public).1["error"], "unauthorized_client");
    }
}
