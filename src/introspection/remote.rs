//! The question to an introspection endpoint (RFC 7662 s2.1), and what comes back.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};

use crate::claims::read::CLAIM_LIMITS;
use crate::client_auth::Credential;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::introspection::response::NotAnAnswer;
use crate::introspection::setup::Asked;
use crate::introspection::signed::{Between, When, unwrap};
use crate::jose::compact::Unverified;
use crate::jose::json::{self, Value};
use crate::keys::proof::{Proof, prove};
use crate::keys::store::KeyStore;
use crate::wire::fetch::{Fetch, FetchError, FetchLimits, Repeatable, judge, judge_as, retry_after};
use crate::wire::form::form;

/// The longest answer that is read, in bytes.
pub(crate) const LONGEST_ANSWER: usize = 64 * 1024;

/// What came back.
pub(crate) enum Reply {
    /// An answer in JSON.
    Plain(Bytes),
    /// A JWT that holds one, and is not yet believed.
    Signed(Bytes),
}

/// Asks once.
pub(crate) async fn ask(
    fetch: &dyn Fetch,
    limits: FetchLimits,
    endpoint: &Endpoint,
    asked: &Asked,
    credential: &Credential,
    token: &[u8],
    now: Timestamp,
) -> Result<Reply, FetchError> {
    let request = request(endpoint, asked, credential, token, now)?;
    let response = fetch.fetch(request, limits).await?;
    if refuses_the_client(&response) {
        let retry_after = retry_after(response.headers(), now);
        return Err(FetchError::ClientRefused { status: response.status(), retry_after });
    }
    if !asked.is_signed {
        return judge(response, limits, now).map(Reply::Plain);
    }
    // Plain JSON would be a downgrade (RFC 9701 s4).
    judge_as(response, limits, now, |kind| kind.eq_ignore_ascii_case("application/token-introspection+jwt"))
        .map(Reply::Signed)
}

fn request(
    endpoint: &Endpoint,
    asked: &Asked,
    credential: &Credential,
    token: &[u8],
    now: Timestamp,
) -> Result<http::Request<Bytes>, FetchError> {
    let accept = if asked.is_signed { "application/token-introspection+jwt" } else { "application/json" };
    let mut request = http::Request::new(Bytes::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.uri().clone();
    // It changes nothing at the server, though it is a POST.
    request.extensions_mut().insert(Repeatable);
    if let Some(shown) = asked.auth.shown(credential) {
        request.extensions_mut().insert(shown);
    }
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let mut proof = Vec::new();
    asked
        .auth
        .prove(credential, &asked.issuer, now, headers, &mut proof)
        .map_err(|problem| FetchError::Unusable { problem })?;
    let question = [("token", token), ("token_type_hint", b"access_token".as_slice())];
    *request.body_mut() = form(question.into_iter().chain(proof.iter().map(|(name, value)| (*name, value.as_bytes()))));
    Ok(request)
}

/// What a signed answer comes to.
pub(crate) enum Opened {
    Answer(Vec<u8>),
    /// It takes the issuer's first keys.
    WantsKeys,
    /// It takes a key that is not at hand.
    WantsKey(Option<Box<str>>),
    /// It takes the key that may have been given the name of another.
    WantsRenamed,
}

/// Checks the signature of an answer, and takes the answer out.
pub(crate) fn open(jwt: &[u8], asked: &Asked, keys: &KeyStore, when: When) -> Result<Opened, NotAnAnswer> {
    let token = Unverified::parse(jwt.trim_ascii()).map_err(|_| NotAnAnswer("the signed answer is no JWT"))?;
    if !asked.algorithms.contains(token.header.algorithm) {
        return Err(NotAnAnswer("the signed answer is signed with an algorithm that the issuer may not use"));
    }
    let held = keys.read();
    match prove(&token, &held, when.now) {
        Ok(Proof::Holds(verified, _)) => {
            let between = Between { issuer: &asked.issuer, audiences: &asked.signed_for };
            unwrap(&verified, &between, when).map(Opened::Answer)
        }
        Ok(Proof::NoKeys) => Ok(Opened::WantsKeys),
        Ok(Proof::UnknownKey) => Ok(Opened::WantsKey(token.header.kid().map(Into::into))),
        // Where the issuer may be asked, it is: the name may belong to another key by now.
        Ok(Proof::BadSignature)
            if held.remote().is_some_and(|remote| remote.published.renamed_barred(when.now).is_zero()) =>
        {
            Ok(Opened::WantsRenamed)
        }
        Ok(Proof::BadSignature) | Err(_) => Err(NotAnAnswer("the signature of the answer does not hold")),
    }
}

/// Whether the server does not believe who asks: 401, or 400 with that very error where no header was sent (RFC 6749 s5.2).
pub(crate) fn refuses_the_client(response: &http::Response<Bytes>) -> bool {
    match response.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::BAD_REQUEST if response.body().len() <= LONGEST_ANSWER => {
            let mut is_client = false;
            let read = json::object(response.body(), CLAIM_LIMITS, |name, value| {
                is_client |=
                    matches!(value, Value::String(text) if name == "error" && text.decoded() == "invalid_client");
            });
            read.is_ok() && is_client
        }
        _ => false,
    }
}
