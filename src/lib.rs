#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions))]

#[cfg(feature = "axum")]
mod axum;
mod builder;
mod cache;
mod challenge;
mod claims;
#[cfg(feature = "driver")]
mod client_auth;
mod clock;
mod config_error;
mod credentials;
#[cfg_attr(
    not(feature = "driver"),
    expect(dead_code, reason = "the judge states its needs also where nobody is there to meet them")
)]
mod decision;
mod endpoint;
mod health;
#[cfg_attr(
    not(feature = "driver"),
    expect(dead_code, reason = "the judge looks into the memory also where nobody is there to fill it")
)]
mod introspection;
mod issuer;
mod issuer_id;
mod jose;
#[cfg(feature = "driver")]
mod key_file;
#[cfg_attr(
    not(feature = "driver"),
    expect(dead_code, reason = "the rules of refreshing are part of the judge, and nobody is there to fetch")
)]
mod keys;
#[cfg(feature = "driver")]
mod metadata;
#[cfg(feature = "metrics")]
mod metrics_observer;
mod observe;
mod opaque;
mod published_metadata;
mod reason;
mod rejection;
mod requirement;
mod resource_metadata;
#[cfg(feature = "driver")]
mod restored;
mod revocation;
mod scope;
mod shared;
#[cfg_attr(
    not(feature = "driver"),
    expect(
        dead_code,
        unreachable_pub,
        reason = "the judge reads the table also where nobody is there to resolve an issuer"
    )
)]
mod tenants;
mod token;
mod token_cache;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "tracing")]
mod tracing_observer;
mod validator;
#[cfg(feature = "driver")]
mod wire;

#[cfg(feature = "client")]
pub mod client;
#[cfg(any(doc, doctest))]
pub mod manual;
#[cfg(feature = "testing")]
pub mod testing;

pub use builder::ValidatorBuilder;
pub use challenge::Challenge;
pub use claims::rules::Profile;
#[cfg(feature = "driver")]
pub use client_auth::{ClientAuth, ClientCertificate, ClientKey, ClientSecret};
pub use clock::{Clock, SystemClock, Timestamp};
pub use config_error::ConfigError;
pub use credentials::Credentials;
pub use endpoint::PlainHttp;
pub use health::{Health, IssuerHealth, KeyState};
#[cfg(feature = "driver")]
pub use introspection::setup::{DangerousIntrospection, Introspection};
pub use issuer::{DangerousIssuer, Issuer};
pub use issuer_id::IssuerId;
pub use jose::algorithm::{Algorithm, Algorithms};
pub use jose::jwk::{Unusable, VerificationKey};
pub use jose::key_set::{KeySet, LeftOut, NotAKeySet};
pub use jose::secret::Secret;
pub use jose::thumbprint::thumbprint;
#[cfg(feature = "driver")]
pub use key_file::KeyFile;
#[cfg(feature = "driver")]
pub use keys::saved::{RestoreError, SavedKeys, SealingSecret};
pub use keys::store::KeyHandle;
#[cfg(feature = "metrics")]
pub use metrics_observer::MetricsObserver;
pub use observe::{Basis, Event, FetchCause, FetchOutcome, IntrospectionOutcome, Judged, Observe, Spared};
pub use published_metadata::PublishedMetadata;
pub use reason::{Family, Reason};
pub use rejection::Rejection;
pub use requirement::Requirement;
pub use resource_metadata::ResourceMetadata;
#[cfg(feature = "driver")]
pub use restored::Restored;
pub use revocation::{Denial, DenyListFull};
pub use scope::{Scope, ScopePolicy};
#[cfg(feature = "driver")]
pub use tenants::{DangerousTenants, Tenants};
pub use token::{AccessToken, ClaimsError};
#[cfg(feature = "tower")]
pub use tower::{Guarded, GuardedBody, MetadataOrInner, Preflight, RequireToken, RequireTokenLayer, ServeMetadata};
#[cfg(feature = "tracing")]
pub use tracing_observer::TracingObserver;
pub use validator::Validator;
#[cfg(feature = "driver")]
pub use wire::addresses::Addresses;
#[cfg(feature = "driver")]
pub use wire::fetch::{Fetch, FetchError, FetchLimits, Fetching};
#[cfg(feature = "reqwest")]
pub use wire::reqwest::ReqwestFetch;
#[cfg(feature = "driver")]
pub use wire::tls_problem::TlsProblem;
