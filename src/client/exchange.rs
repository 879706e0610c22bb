//! One question to a server, as this client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::client::error::{OAuthError, Stage, refused};
use crate::client::registration::Settings;
use crate::client::state::cause;
use crate::client_auth::Credential;
use crate::endpoint::Endpoint;
use crate::introspection::remote::refuses_the_client;
use crate::jose::json::{self, Duplicates, Value};
use crate::wire::addresses::Addresses;
use crate::wire::fetch::{FetchError, FetchLimits, judge};
use crate::wire::form::form;
use crate::wire::tls_problem::TlsProblem;
use crate::wire::worker::Worker;

/// A server may hash a secret slowly, or ask another one first.
const LIMITS: FetchLimits = FetchLimits {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(10),
    body: 256 * 1024,
    addresses: Addresses::Any,
};

/// As of an answer, so that what is read of one is read of the other.
const ERROR_LIMITS: json::Limits = json::Limits { depth: 16, members: 512, duplicates: Duplicates::Refused };

/// Members of a form; some of them are secrets.
pub(crate) type Form = Vec<(String, Zeroizing<String>)>;

/// A member of a form.
pub(crate) fn member(name: &str, value: impl Into<String>) -> (String, Zeroizing<String>) {
    (name.to_owned(), Zeroizing::new(value.into()))
}

/// Posts a form with the client's proof to one of the server's endpoints, and gives back the answer where it is a success.
///
/// It comes to its end whether or not somebody still waits for it.
pub(crate) async fn post(
    settings: &Arc<Settings>,
    worker: &Worker,
    endpoint: Endpoint,
    stage: Stage,
    members: Form,
) -> Result<Bytes, OAuthError> {
    let settings = Arc::clone(settings);
    let exchange = async move {
        let credential = credential(&settings, Held::WillDo).await?;
        let first = send(&settings, &endpoint, &credential, &members).await;
        // A secret or a certificate that was rotated costs no login. The server has looked at nothing else by then.
        let is_refused = match &first {
            Ok(response) => refuses_the_client(response),
            Err(error) => refuses_the_certificate(error),
        };
        if settings.auth.at_hand().is_some() || !is_refused {
            return first.map(|response| (response, settings));
        }
        let credential = self::credential(&settings, Held::Refused).await?;
        send(&settings, &endpoint, &credential, &members).await.map(|response| (response, settings))
    };
    let (response, settings) = worker.run(exchange).await??;
    judge_answer(response, stage, &settings)
}

/// Asks for something with an access token.
pub(crate) async fn get(
    settings: &Arc<Settings>,
    worker: &Worker,
    endpoint: &Endpoint,
    token: &str,
) -> Result<Response<Bytes>, OAuthError> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = endpoint.uri().clone();
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| OAuthError::InvalidRequest { problem: "the access token has a character that no header has" })?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, bearer);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json, application/jwt"));
    let settings = Arc::clone(settings);
    let exchange = async move {
        // A token may be bound to the certificate (RFC 8705 s3).
        if !settings.auth.shows_certificate() {
            return settings.fetch.fetch(request, LIMITS).await;
        }
        let shown = async |held| {
            let credential = credential(&settings, held).await?;
            let mut request = request.clone();
            if let Some(shown) = settings.auth.shown(&credential) {
                request.extensions_mut().insert(shown);
            }
            settings.fetch.fetch(request, LIMITS).await
        };
        match shown(Held::WillDo).await {
            Err(error) if settings.auth.at_hand().is_none() && refuses_the_certificate(&error) => {
                shown(Held::Refused).await
            }
            answer => answer,
        }
    };
    Ok(worker.run(exchange).await??)
}

/// Whether the server has refused in the handshake what it was shown.
const fn refuses_the_certificate(error: &FetchError) -> bool {
    matches!(error, FetchError::Tls { problem: TlsProblem::ClientCertificate, .. })
}

async fn send(
    settings: &Settings,
    endpoint: &Endpoint,
    credential: &Credential,
    members: &Form,
) -> Result<Response<Bytes>, FetchError> {
    let request = request(settings, endpoint, credential, members)?;
    settings.fetch.fetch(request, LIMITS).await
}

fn request(
    settings: &Settings,
    endpoint: &Endpoint,
    credential: &Credential,
    members: &Form,
) -> Result<Request<Bytes>, FetchError> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.uri().clone();
    if let Some(shown) = settings.auth.shown(credential) {
        request.extensions_mut().insert(shown);
    }
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    // RFC 7523bis s4: assertions are made out to the issuer; where none is known, to the endpoint.
    let audience = settings.issuer.as_deref().map_or_else(|| endpoint.uri().to_string(), str::to_owned);
    let mut proof = Vec::new();
    settings
        .auth
        .prove(credential, &audience, settings.clock.now(), headers, &mut proof)
        .map_err(|problem| FetchError::Unusable { problem })?;
    // A proof may name the client too, and nothing stands in a form twice (RFC 6749 s3.2).
    let is_proven = |name: &str| proof.iter().any(|(proven, _)| *proven == name);
    let members = members.iter().filter(|(name, _)| !is_proven(name));
    let members = members.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let shown = proof.iter().map(|(name, value)| (*name, value.as_bytes()));
    *request.body_mut() = form(members.chain(shown));
    Ok(request)
}

/// What is thought of a credential that a callback gave before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    WillDo,
    Refused,
}

/// What this client is proven by. A callback may read a file, or ask a vault: it is asked once, and again where the server refuses.
async fn credential(settings: &Arc<Settings>, held: Held) -> Result<Credential, FetchError> {
    if let Some(credential) = settings.auth.at_hand() {
        return Ok(credential);
    }
    // Whoever comes while it is asked waits for the same.
    let asking = async {
        let mut known = settings.credential.lock().await;
        if let (Some(credential), Held::WillDo) = (&*known, held) {
            return Ok(credential.clone());
        }
        let asked = Arc::clone(settings);
        let asked = spawn_blocking(move || asked.auth.obtain()).await;
        let asked = asked.map_err(|_| FetchError::other("the callback panicked"))?;
        let credential = asked.map_err(|source| FetchError::NoClientSecret { source })?;
        *known = Some(credential.clone());
        Ok(credential)
    };
    let timely = tokio::time::timeout(LIMITS.total, asking).await;
    timely
        .unwrap_or_else(|_| Err(FetchError::NoClientSecret { source: cause("the callback has not come back in time") }))
}

/// 200 or 201 and JSON is an answer, 400 or 401 and `error` is a refusal (RFC 6749 s5.2), and anything else is trouble. Some servers refuse
/// under 200: what names an error is never an answer.
fn judge_answer(response: Response<Bytes>, stage: Stage, settings: &Settings) -> Result<Bytes, OAuthError> {
    let status = response.status();
    // RFC 7009 s2.2: whoever revokes reads no body.
    if stage == Stage::Revocation && status.is_success() {
        return Ok(Bytes::new());
    }
    if (status.is_client_error() || status.is_success()) && response.body().len() <= LIMITS.body {
        let (mut error, mut description) = (None, None);
        let read = json::object(response.body(), ERROR_LIMITS, |name, value| match (name, value) {
            ("error", Value::String(text)) => error = Some(text.decoded().into_owned()),
            ("error_description", Value::String(text)) => description = Some(text.decoded().into_owned()),
            _ => {}
        });
        if let (Ok(()), Some(error)) = (read, error) {
            return Err(refused(stage, &error, description.as_deref()));
        }
    }
    let mut response = response;
    // RFC 9126 s2.2.
    if stage == Stage::PushedRequest && status == StatusCode::CREATED {
        *response.status_mut() = StatusCode::OK;
    }
    Ok(judge(response, LIMITS, settings.clock.now())?)
}
