use http::{Method, Request, StatusCode, Uri};
use huskarl_resource_server::core::Error;
use huskarl_resource_server::core::http::{HttpClient, HttpResponse, Idempotency};
use huskarl_resource_server::core::platform::MaybeSendBoxFuture;
use huskarl_resource_server::validator::rfc9068::Rfc9068Validator;
use scopegate::Algorithm;

use super::{Judge, has_scope};
use crate::measure::AUDIENCE;
use crate::world::{ISSUER, World, at_once};

/// It fetches over a client that is handed to it: one that has the keys.
struct Keys(String);

impl HttpClient for Keys {
    fn execute(&self, _: Request<bytes::Bytes>, _: Idempotency) -> MaybeSendBoxFuture<'_, Result<HttpResponse, Error>> {
        let body = bytes::Bytes::from(self.0.clone());
        Box::pin(async { Ok(HttpResponse { status: StatusCode::OK, headers: http::HeaderMap::new(), body }) })
    }
}

pub(super) fn prepare(world: &World, algorithm: Algorithm) -> Option<Judge> {
    let validator: Rfc9068Validator = world
        .runtime
        .block_on(
            Rfc9068Validator::builder()
                .issuer(ISSUER)
                .audience(AUDIENCE)
                .allowed_signing_algorithms(vec![algorithm.name().to_owned()])
                .jwks_uri(format!("{ISSUER}/jwks").parse().unwrap())
                .jwks_source(Keys(world.jwks()))
                .build(),
        )
        .unwrap();
    let (method, uri) = (Method::GET, Uri::from_static("https://api.example.com/things"));
    Some(Box::new(move |headers| {
        let judged = at_once(validator.validate_request(headers, &method, &uri, None));
        // Scope is the program's.
        matches!(judged.outcome, Ok(Some(token)) if token.claims.scope.as_deref().is_some_and(has_scope))
    }))
}
