use aliri::jwt::{Audience, CoreValidator, Issuer};
use aliri::{Jwks, JwtRef, jwa};
use aliri_oauth2::scope::BasicClaimsWithScope;
use aliri_oauth2::{Authority, policy, scope};
use scopegate::Algorithm;

use super::{Judge, bearer};
use crate::measure::AUDIENCE;
use crate::world::{ISSUER, World};

pub(super) fn prepare(world: &World, algorithm: Algorithm) -> Option<Judge> {
    let algorithm = match algorithm {
        Algorithm::Rs256 => jwa::Algorithm::RS256,
        Algorithm::Es256 => jwa::Algorithm::ES256,
        _ => return None,
    };
    let keys: Jwks = serde_json::from_str(&world.jwks()).unwrap();
    let validator = CoreValidator::default()
        .add_approved_algorithm(algorithm)
        .require_issuer(Issuer::from_static(ISSUER))
        .add_allowed_audience(Audience::from_static(AUDIENCE))
        .check_expiration()
        .with_leeway_secs(30); // With its check of `nbf`, it refuses tokens that have none.
    let authority = Authority::new(keys, validator);
    let policy = policy![scope!["things:read"]];
    let accepts =
        move |token: &str| authority.verify_token::<BasicClaimsWithScope>(JwtRef::from_str(token), &policy).is_ok();
    Some(Box::new(move |headers| bearer(headers).is_some_and(&accepts)))
}
