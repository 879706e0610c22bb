//! The API: what a program of your own would have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use scopegate::{AccessToken, ConfigError, ScopePolicy, Validator};
use serde_json::{Map, Value, json};

/// How many things were made.
type Things = Arc<AtomicU64>;

/// `/health` is open, `/things` needs a scope for each method, `/me` needs any accepted token.
pub(crate) fn router(validator: &Validator) -> Result<Router, ConfigError> {
    let read = validator.require(ScopePolicy::all(["things:read"])?);
    let write = validator.require(ScopePolicy::all(["things:write"])?);
    let anyone = validator.require(ScopePolicy::none());
    // Each method is guarded before the two are merged: a method that is added after `route_layer` is not guarded.
    let things = get(list).route_layer(read).merge(post(create).route_layer(write));
    Ok(Router::new()
        .route("/health", get(health))
        .route("/things", things)
        .route("/me", get(me).route_layer(anyone))
        .with_state(Things::default()))
}

async fn health() -> &'static str {
    "well\n"
}

async fn list(State(things): State<Things>, token: AccessToken) -> Response {
    let count = things.load(Ordering::Relaxed);
    answer(StatusCode::OK, &json!({ "things": count, "asked_by": caller(&token) }))
}

async fn create(State(things): State<Things>, token: AccessToken) -> Response {
    let number = things.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    answer(StatusCode::CREATED, &json!({ "thing": number, "made_by": caller(&token) }))
}

/// The claims of the token, those that the crate knows and those that it does not.
async fn me(token: AccessToken) -> Response {
    match token.claims::<Map<String, Value>>() {
        Ok(claims) => answer(StatusCode::OK, &Value::Object(claims)),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A token that speaks for no user speaks for the client that asked for it.
fn caller(token: &AccessToken) -> &str {
    token.subject().or(token.client_id()).unwrap_or("somebody")
}

/// What is said to the bearer of a token is nobody else's to keep.
fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{body}\n")).into_response()
}
