//! How the keys of one issuer are fetched: its metadata first, where they lie nobody knows where, and then its key set.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::issuer::{Place, RemoteKeys};
use crate::issuer_id::IssuerId;
use crate::jose::key_set::KeySet;
use crate::keys::refresh::Word;
use crate::metadata::WellKnown;
use crate::wire::discovery::{Forms, discover, request};
use crate::wire::fetch::{
    DEFAULT_LIFETIME, Fetch, FetchError, FetchLimits, Validators, ask_past_caches, is_relayed, judge, lifetime,
};

/// What the issuer says of its keys.
pub(crate) enum Loaded {
    /// These are they.
    Keys(Box<Fresh>),
    /// They are those that are at hand, for so long if it says so.
    Unchanged { lifetime: Option<Duration>, word: Word },
}

/// Keys that have just arrived.
pub(crate) struct Fresh {
    pub(crate) keys: KeySet,
    /// The key set as it came.
    pub(crate) document: Bytes,
    /// How long they may be believed.
    pub(crate) lifetime: Duration,
    pub(crate) validators: Vouched,
    pub(crate) word: Word,
}

/// By what a key set is asked for again, and where: elsewhere it says nothing (RFC 9110, section 8.8.3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Vouched {
    of: Option<Endpoint>,
    validators: Validators,
}

/// Where an issuer's keys lie, as its metadata said.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) jwks_uri: Endpoint,
    /// Where the metadata lay; `None` where none is needed.
    pub(crate) form: Option<WellKnown>,
    /// When the metadata was read.
    pub(crate) at: Timestamp,
}

/// What is thought of the place where the keys lay the last time.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// It is unknown, or there were no keys there; the metadata may lie at one of these addresses.
    Nothing(Forms),
    /// They will be there still.
    Good(Found),
    /// It is time to look again; where that leads to nothing, they will be there still.
    Old(Found),
}

/// What an issuer may cost.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Each exchange.
    pub(crate) fetch: FetchLimits,
    /// How many keys its set is read for.
    pub(crate) keys: usize,
}

/// Finds where the keys of an issuer lie. With an error it is where they lay: the metadata was to be read again and could not be.
pub(crate) async fn find(
    fetch: &dyn Fetch,
    limits: Limits,
    issuer: &IssuerId,
    remote: &RemoteKeys,
    known: Known,
    now: Timestamp,
) -> Result<(Found, Option<FetchError>), FetchError> {
    if let Place::Jwks(url) = &remote.place {
        return Ok((Found { jwks_uri: url.clone(), form: None, at: now }, None));
    }
    let (forms, old) = match known {
        Known::Good(found) => return Ok((found, None)),
        Known::Old(found) => (Forms::All(found.form), Some(found)),
        Known::Nothing(forms) => (forms, None),
    };
    let found = match discover(fetch, issuer.as_str(), remote.plain_http, limits.fetch, forms, now).await {
        Ok((metadata, form)) => match metadata.jwks_uri() {
            Some(jwks_uri) => Ok(Found { jwks_uri: jwks_uri.clone(), form: Some(form), at: now }),
            None => Err(FetchError::Unusable { problem: "the metadata has no jwks_uri" }),
        },
        Err(error) => Err(error),
    };
    match (found, old) {
        (Err(error), Some(old)) => Ok((old, Some(error))),
        (found, _) => found.map(|found| (found, None)),
    }
}

/// What a key set is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// To keep the keys fresh: only if it is another than that which these validators are of.
    Changes(Vouched),
    /// To prove something, such as that a key is not there: the whole set, and the issuer's own word.
    Proof,
}

/// Fetches a key set.
pub(crate) async fn load(
    fetch: &dyn Fetch,
    limits: Limits,
    jwks_uri: &Endpoint,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Loaded, FetchError> {
    let mut request = request(jwks_uri);
    let conditional = match wanted {
        Wanted::Changes(vouched) => vouched.of.as_ref() == Some(jwks_uri) && vouched.validators.ask(&mut request),
        Wanted::Proof => {
            ask_past_caches(&mut request);
            false
        }
    };
    let response = fetch.fetch(request, limits.fetch).await?;
    let stated = lifetime(response.headers());
    let word = if is_relayed(response.headers()) { Word::Relayed } else { Word::Own };
    if conditional && response.status() == StatusCode::NOT_MODIFIED {
        return Ok(Loaded::Unchanged { lifetime: stated, word });
    }
    let validators = Vouched { of: Some(jwks_uri.clone()), validators: Validators::of(response.headers()) };
    let document = judge(response, limits.fetch, now)?;
    let keys = KeySet::from_json_at_most(&document, limits.keys);
    let keys = keys.map_err(|fault| FetchError::Unusable { problem: fault.0 })?;
    let lifetime = stated.unwrap_or(DEFAULT_LIFETIME);
    Ok(Loaded::Keys(Box::new(Fresh { keys, document, lifetime, validators, word })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::PlainHttp;
    use crate::wire::fetch::Fetching;

    /// Every host has a set under the same entity tag, and they are not the same set.
    #[derive(Debug)]
    struct SameTag;

    impl Fetch for SameTag {
        fn fetch(&self, request: http::Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
            let mut response = http::Response::new(Bytes::from_static(br#"{"keys":[]}"#));
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            response.headers_mut().insert("etag", http::HeaderValue::from_static("\"1\""));
            if request.headers().contains_key("if-none-match") {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
            Box::pin(std::future::ready(Ok(response)))
        }
    }

    #[test]
    fn an_entity_tag_says_nothing_of_another_place() {
        let [here, there] =
            ["https://a.test/keys", "https://b.test/keys"].map(|url| Endpoint::new(url, PlainHttp::Refused).unwrap());
        let limits = Limits { fetch: FetchLimits::default(), keys: 1 };
        let ask = |url: &Endpoint, vouched: &Vouched| {
            let wanted = Wanted::Changes(vouched.clone());
            futures_executor::block_on(load(&SameTag, limits, url, &wanted, Timestamp::new(0, Duration::ZERO))).unwrap()
        };
        let Loaded::Keys(fresh) = ask(&here, &Vouched::default()) else { panic!("nothing was asked conditionally") };
        assert!(matches!(ask(&here, &fresh.validators), Loaded::Unchanged { .. }));
        assert!(matches!(ask(&there, &fresh.validators), Loaded::Keys(_)));
    }
}
