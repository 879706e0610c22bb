//! How the keys of one issuer are fetched: its metadata first, where they lie nobody knows where, and then its key set.

use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::issuer::{Place, RemoteKeys};
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::wire::discovery::{discover, request};
use crate::wire::fetch::{Fetch, FetchError, FetchLimits, judge, lifetime};

/// Keys that have just arrived.
pub(crate) struct Loaded {
    pub(crate) keys: KeySet,
    /// How long they may be believed.
    pub(crate) lifetime: Duration,
}

/// Finds where the keys of an issuer lie. `known` is where they lay the last time.
pub(crate) async fn find(
    fetch: &dyn Fetch,
    limits: FetchLimits,
    issuer: &IssuerId,
    remote: &RemoteKeys,
    known: Option<Endpoint>,
) -> Result<Endpoint, FetchError> {
    match (&remote.place, known) {
        (Place::Jwks(url), _) => Ok(url.clone()),
        (Place::Discovery, Some(known)) => Ok(known),
        (Place::Discovery, None) => {
            let metadata = discover(fetch, issuer.as_str(), remote.plain_http, limits).await?;
            let jwks_uri = metadata.jwks_uri().cloned();
            jwks_uri.ok_or(FetchError::Unusable { problem: "the metadata has no jwks_uri" })
        }
    }
}

/// Fetches a key set.
pub(crate) async fn load(fetch: &dyn Fetch, limits: FetchLimits, jwks_uri: &Endpoint) -> Result<Loaded, FetchError> {
    let response = fetch.fetch(request(jwks_uri), limits).await?;
    let lifetime = lifetime(response.headers());
    let body = judge(response, limits)?;
    let keys = KeySet::from_json(&body).map_err(|fault| FetchError::Unusable { problem: fault.0 })?;
    Ok(Loaded { keys, lifetime })
}
