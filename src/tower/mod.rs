//! The guard as a tower middleware: [`RequireTokenLayer`].

mod future;
mod guard;
mod layer;
mod response;
mod service;

pub use future::Guarded;
#[cfg(feature = "axum")]
pub(crate) use guard::Mark;
pub use guard::Preflight;
pub use layer::RequireTokenLayer;
pub use response::GuardedBody;
pub use service::RequireToken;
