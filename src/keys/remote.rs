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
    /// Where they lay, so that the next fetch need not look for it.
    pub(crate) jwks_uri: Endpoint,
}

/// Fetches the keys of an issuer. `known` is where they lay the last time.
pub(crate) async fn load(
    fetch: &dyn Fetch,
    limits: FetchLimits,
    issuer: &IssuerId,
    remote: &RemoteKeys,
    known: Option<Endpoint>,
) -> Result<Loaded, FetchError> {
    let jwks_uri = match (&remote.place, known) {
        (Place::Jwks(url), _) => url.clone(),
        (Place::Discovery, Some(known)) => known,
        (Place::Discovery, None) => {
            let metadata = discover(fetch, issuer.as_str(), remote.plain_http, limits).await?;
            let jwks_uri = metadata.jwks_uri().cloned();
            jwks_uri.ok_or(FetchError::Unusable { problem: "the metadata has no jwks_uri" })?
        }
    };
    let response = fetch.fetch(request(&jwks_uri), limits).await?;
    let lifetime = lifetime(response.headers());
    let body = judge(response, limits)?;
    let keys = KeySet::from_json(&body).map_err(|fault| FetchError::Unusable { problem: fault.0 })?;
    Ok(Loaded { keys, lifetime, jwks_uri })
}
