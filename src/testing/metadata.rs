//! The metadata document (RFC 8414 s2, OpenID Connect Discovery 1.0 s3).

use serde_json::json;

use super::settings::{Requests, ResponseIssuer};
use super::state::State;
use crate::jose::algorithm::Algorithm;

pub(super) fn document(issuer: &State) -> String {
    let below = |name: &str| issuer.addresses.below(name);
    let (algorithms, settings) = {
        let state = issuer.lock();
        (state.keyring.algorithms(), state.provider.settings)
    };
    let algorithms: Vec<&str> = algorithms.into_iter().map(Algorithm::name).collect();
    let ways = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
    let assertions: Vec<&str> =
        Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()).map(Algorithm::name).collect();
    let mut document = json!({
        "issuer": issuer.identifier,
        "authorization_endpoint": below("authorize"),
        "pushed_authorization_request_endpoint": below("par"),
        "token_endpoint": below("token"),
        "userinfo_endpoint": below("userinfo"),
        "introspection_endpoint": below("introspect"),
        "revocation_endpoint": below("revoke"),
        "end_session_endpoint": below("end_session"),
        "jwks_uri": below("jwks"),
        "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ways,
        "token_endpoint_auth_signing_alg_values_supported": assertions,
        "revocation_endpoint_auth_methods_supported": ways,
        "revocation_endpoint_auth_signing_alg_values_supported": assertions,
        "id_token_signing_alg_values_supported": algorithms,
        "userinfo_signing_alg_values_supported": algorithms,
    });
    let rest = json!({
        "require_pushed_authorization_requests": settings.requests == Requests::Pushed,
        "authorization_response_iss_parameter_supported": settings.response_issuer == ResponseIssuer::Told,
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    });
    if let (Some(document), Some(rest)) = (document.as_object_mut(), rest.as_object()) {
        document.extend(rest.clone());
    }
    document.to_string()
}
