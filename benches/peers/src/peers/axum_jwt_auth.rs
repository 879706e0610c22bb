use axum_jwt_auth::{JwtDecoder, RemoteJwksDecoder};
use jsonwebtoken_10::Validation;
use scopegate::Algorithm;

use super::{Claims, Judge, bearer};
use crate::measure::AUDIENCE;
use crate::world::{ISSUER, World, at_once};

pub(super) fn prepare(world: &World, algorithm: Algorithm) -> Option<Judge> {
    let mut validation = Validation::new(algorithm.name().parse().unwrap());
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    validation.validate_nbf = true;
    let decoder = RemoteJwksDecoder::builder().jwks_url(world.jwks_uri()).validation(validation).build().unwrap();
    world.runtime.block_on(decoder.refresh()).unwrap();
    let accepts = move |token: &str| {
        let decoded = at_once(JwtDecoder::<Claims>::decode(&decoder, token));
        decoded.is_ok_and(|decoded| decoded.claims.suffice())
    };
    Some(Box::new(move |headers| bearer(headers).is_some_and(&accepts)))
}
