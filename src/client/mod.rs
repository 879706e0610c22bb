//! Logging in: a client of an authorization server (RFC 6749 s1.1), its tokens, and calls to APIs with them.
//!
//! Needs the feature `client`. A [`Client`] is made of a [`Registration`] and sends users to log in ([`Client::authorize_redirect`]), takes
//! what comes back ([`Client::callback`]), and has tokens renewed. It knows no framework: it takes requests and gives answers of the
//! `http` crate.

mod api;
mod authorization;
mod callback;
mod client_credentials;
mod cookie_store;
mod environment;
mod error;
mod exchange;
mod id_token;
mod login;
mod logout;
mod logout_token;
mod memory_store;
#[cfg(feature = "axum")]
mod oauth;
mod redirect;
mod registered;
mod registration;
mod renewal;
mod revocation;
mod seen;
mod server;
mod state;
mod successors;
mod token_request;
mod token_set;
mod under_way;
mod userinfo;

pub use api::{ApiClient, ApiRequest, Renewed};
pub use authorization::{AuthorizationRequest, ResponseMode};
pub use callback::Callback;
pub use cookie_store::CookieStore;
pub use environment::RegistrationDocument;
pub use error::{LoginError, OAuthError, Stage};
pub use id_token::IdToken;
pub use logout::{LoggedOut, LogoutRequest};
pub use logout_token::LogoutToken;
pub use memory_store::MemoryStore;
#[cfg(feature = "axum")]
pub use oauth::{Ended, OAuth, OAuthBuilder, RequiredScope};
pub use redirect::{Login, Redirect};
pub use registered::Client;
pub use registration::{DangerousRegistration, PushedRequests, Registration};
pub use state::{StateStore, Storing};
pub use token_request::ClientCredentialsRequest;
pub use token_set::TokenSet;
pub use userinfo::UserInfo;
