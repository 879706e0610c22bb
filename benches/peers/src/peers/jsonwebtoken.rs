use std::collections::HashMap;

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use scopegate::Algorithm;

use super::{Claims, Judge, bearer};
use crate::measure::AUDIENCE;
use crate::world::{ISSUER, World};

/// The key is found by the token's `kid`, as for every key that comes from a key set.
pub(super) fn prepare(world: &World, algorithm: Algorithm) -> Option<Judge> {
    let set: JwkSet = serde_json::from_str(&world.jwks()).unwrap();
    let keys: HashMap<String, DecodingKey> = set
        .keys
        .iter()
        .filter_map(|jwk| Some((jwk.common.key_id.clone()?, DecodingKey::from_jwk(jwk).ok()?)))
        .collect();
    let mut validation = Validation::new(algorithm.name().parse().unwrap());
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    validation.validate_nbf = true;
    let accepts = move |token: &str| {
        let key = keys.get(&decode_header(token).ok()?.kid?)?;
        Some(decode::<Claims>(token, key, &validation).ok()?.claims.suffice())
    };
    Some(Box::new(move |headers| bearer(headers).and_then(&accepts).unwrap_or(false)))
}
