//! Calls to an API with a token.

mod api_client;
pub(super) mod base;
pub(super) mod held;
pub(super) mod http;
mod renewed;
mod request;
mod setting;
mod tokens;

pub use api_client::ApiClient;
pub use renewed::Renewed;
pub use request::ApiRequest;
