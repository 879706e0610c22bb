//! The contenders, each in a file of its own, set up as its documentation shows.

mod aliri;
mod axum_jwt_auth;
mod huskarl;
mod jsonwebtoken;
mod jwt_authorizer;
mod oauth_resource_server;
mod ours;

use http::HeaderMap;
use scopegate::Algorithm;
use serde::Deserialize;

use crate::world::{SCOPE, World};

/// Does a request with these headers get in?
pub(crate) type Judge = Box<dyn FnMut(&HeaderMap) -> bool>;

/// All that can be done before the first request; nothing if it does not know the algorithm.
type Prepare = fn(&World, Algorithm) -> Option<Judge>;

pub(crate) const PEERS: [(&str, Prepare); 8] = [
    ("scopegate", ours::whole),
    ("scopegate, remembered", ours::remembered),
    ("jsonwebtoken", jsonwebtoken::prepare),
    ("oauth-resource-server", oauth_resource_server::prepare),
    ("huskarl-resource-server", huskarl::prepare),
    ("jwt-authorizer", jwt_authorizer::prepare),
    ("aliri_oauth2", aliri::prepare),
    ("axum-jwt-auth", axum_jwt_auth::prepare),
];

/// What a program asks of a token, for those who read claims into a type of the program's. Members that are not here are skipped, which
/// costs least.
#[derive(Clone, Deserialize)]
#[allow(dead_code, reason = "they are read, and a program would use them")]
struct Claims {
    sub: String,
    client_id: String,
    jti: String,
    iat: u64,
    exp: u64,
    scope: String,
}

impl Claims {
    /// For those who leave scope to the program.
    fn suffice(&self) -> bool {
        has_scope(&self.scope)
    }
}

fn has_scope(scope: &str) -> bool {
    scope.split(' ').any(|one| one == SCOPE)
}

/// For those who do not read headers.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(http::header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
