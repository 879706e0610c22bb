//! The guard as a tower middleware: [`RequireTokenLayer`].

mod future;
mod layer;
mod response;
mod service;

pub use future::Guarded;
pub use layer::{Preflight, RequireTokenLayer};
pub use response::GuardedBody;
#[cfg(feature = "axum")]
pub(crate) use service::Mark;
pub use service::RequireToken;
