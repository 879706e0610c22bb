//! How clients prove who they are at the token endpoint and its neighbours (RFC 6749 s2.3).

use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::client::Proof;
use super::form::Form;
use super::own::Signed;
use super::refusal::Refusal;
use super::state::State;
use crate::jose::base64url;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who asks: a client that has proved it, or a public one that says so.
///
/// A client that nobody has registered proves it by its own name as its secret.
pub(super) fn client(issuer: &State, request: &Request<Bytes>, form: &Form) -> Result<String, Refusal> {
    let named = form.one("client_id");
    let by_basic = request.headers().contains_key(AUTHORIZATION);
    let by_secret = form.one("client_secret").is_some();
    let by_assertion = form.one("client_assertion").is_some();
    // RFC 6749 s2.3: one way at a time.
    if [by_basic, by_secret, by_assertion].into_iter().filter(|way| *way).count() > 1 {
        return Err(Refusal::Because("invalid_request", "the client authenticates in more than one way"));
    }
    let client = if by_basic {
        basic(request).filter(|(name, secret)| knows_secret(issuer, name, secret)).map(|(name, _)| name)
    } else if by_assertion {
        asserted(issuer, form)
    } else {
        named.map(str::to_owned).filter(|name| match form.one("client_secret") {
            Some(secret) => knows_secret(issuer, name, secret),
            None => issuer.lock().provider.clients.get(name).is_some_and(|client| client.is_public()),
        })
    };
    match client {
        Some(client) if named.is_none_or(|named| named == client) => Ok(client),
        _ => Err(Refusal::Unauthorized),
    }
}

/// Whether a secret is the client's.
pub(super) fn knows_secret(issuer: &State, client: &str, secret: &str) -> bool {
    let state = issuer.lock();
    match (state.clients.get(client), state.provider.clients.get(client).map(|client| &client.proof)) {
        (Some(given), _) => given == secret,
        (None, Some(Proof::Secret(registered))) => registered == secret,
        (None, Some(Proof::Keys(_) | Proof::Nothing)) => false,
        (None, None) => client == secret,
    }
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

/// The client of an assertion (RFC 7523 s3), which counts once.
fn asserted(issuer: &State, form: &Form) -> Option<String> {
    let assertion =
        form.one("client_assertion").filter(|_| form.one("client_assertion_type") == Some(ASSERTION_TYPE))?;
    // Which keys to look at is said by the assertion itself, before it is believed.
    let payload = base64url::decode(assertion.split('.').nth(1)?.as_bytes())?;
    let claimed = serde_json::from_slice::<Value>(&payload).ok()?.get("sub")?.as_str()?.to_owned();
    let keys = match &issuer.lock().provider.clients.get(&claimed)?.proof {
        Proof::Keys(keys) => keys.clone(),
        Proof::Secret(_) | Proof::Nothing => return None,
    };
    let signed = Signed::by(keys, assertion)?;
    // RFC 9126 s2 wants all three.
    let ours = [issuer.identifier.clone(), issuer.addresses.below("token"), issuer.addresses.below("par")];
    let is_for_us = ours.iter().any(|own| signed.has_audience(own));
    let names_itself = signed.text("iss") == Some(&claimed) && signed.text("sub") == Some(&claimed);
    if !is_for_us || !names_itself || signed.has_expired(issuer.now().unix_seconds()) {
        return None;
    }
    let once = (claimed.clone(), signed.text("jti")?.to_owned());
    issuer.lock().provider.assertions.insert(once).then_some(claimed)
}
