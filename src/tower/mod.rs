//! Tower middlewares: the guard, [`RequireTokenLayer`], and [`PublishedMetadata`](crate::PublishedMetadata).

mod future;
mod guard;
mod layer;
mod metadata;
mod response;
mod service;

pub use future::Guarded;
#[cfg(feature = "axum")]
pub(crate) use guard::Mark;
pub use guard::Preflight;
pub use layer::RequireTokenLayer;
pub use metadata::{MetadataOrInner, ServeMetadata};
pub use response::GuardedBody;
pub use service::RequireToken;
