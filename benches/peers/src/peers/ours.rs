use scopegate::{Algorithm, Credentials, Issuer, KeySet, Requirement, ScopePolicy, Validator, ValidatorBuilder};

use super::Judge;
use crate::measure::AUDIENCE;
use crate::measure::forgetful;
use crate::world::{ISSUER, SCOPE, World};

pub(super) fn whole(world: &World, _: Algorithm) -> Option<Judge> {
    Some(judge(world, forgetful(Validator::builder(AUDIENCE))))
}

pub(super) fn remembered(world: &World, _: Algorithm) -> Option<Judge> {
    Some(judge(world, Validator::builder(AUDIENCE)))
}

fn judge(world: &World, builder: ValidatorBuilder) -> Judge {
    let keys = KeySet::from_json(world.jwks().as_bytes()).unwrap();
    let validator = builder.trust(Issuer::keys(ISSUER, keys)).build().unwrap();
    let demand = Requirement::from(ScopePolicy::all([SCOPE]).unwrap());
    Box::new(move |headers| validator.check(&Credentials::from_headers(headers), &demand).is_ok())
}
