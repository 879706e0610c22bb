use oauth_resource_server::{KeyNaming, OAuthConfig, OAuthValidator};
use scopegate::Algorithm;

use super::{Judge, bearer};
use crate::measure::AUDIENCE;
use crate::world::{ISSUER, SCOPE, World, at_once};

pub(super) fn prepare(world: &World, algorithm: Algorithm) -> Option<Judge> {
    let config = OAuthConfig {
        enabled: true,
        issuer: ISSUER.into(),
        jwks_uri: Some(world.jwks_uri()),
        audience: AUDIENCE.into(),
        resource: AUDIENCE.into(),
        required_scopes: vec![SCOPE.into()],
        algorithms: vec![algorithm.name().into()],
        require_at_jwt: true,
        allow_insecure_http: true,
        ..OAuthConfig::default()
    };
    let config = config.resolve(KeyNaming::Dotted("oauth")).unwrap().unwrap();
    let validator = OAuthValidator::builder(&config).initial_jwks(&world.jwks()).build().unwrap();
    let accepts = move |token: &str| at_once(validator.validate(token)).is_ok();
    Some(Box::new(move |headers| bearer(headers).is_some_and(&accepts)))
}
