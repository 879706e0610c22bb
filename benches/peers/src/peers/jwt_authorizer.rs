use jwt_authorizer::{JwtAuthorizer, Validation};
use scopegate::Algorithm;

use super::{Claims, Judge};
use crate::measure::AUDIENCE;
use crate::world::{ISSUER, World, at_once};

pub(super) fn prepare(world: &World, algorithm: Algorithm) -> Option<Judge> {
    let validation = Validation::new().iss(&[ISSUER]).aud(&[AUDIENCE]).nbf(true);
    let build =
        JwtAuthorizer::<Claims>::from_jwks_url(&world.jwks_uri()).validation(validation).check(Claims::suffice).build();
    let authorizer = world.runtime.block_on(build).unwrap();
    // It fetches its keys when the first token comes.
    world.runtime.block_on(authorizer.check_auth(&world.good(algorithm))).ok()?;
    Some(Box::new(move |headers| {
        authorizer.extract_token(headers).is_some_and(|token| at_once(authorizer.check_auth(&token)).is_ok())
    }))
}
