//! Who issues and who judges, in the benchmarks that need no more than that.

use std::time::Duration;

use scopegate::testing::{TestIssuer, TestToken};
use scopegate::{Algorithm, Issuer, KeySet, Requirement, ScopePolicy, Secret, Validator, ValidatorBuilder};

use crate::measure::{self, AUDIENCE};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// An issuer with a key for each of these.
pub(crate) fn issuer(algorithms: impl IntoIterator<Item = Algorithm>) -> TestIssuer {
    TestIssuer::with_algorithms(ISSUER, algorithms)
}

/// Trusts the issuer's public keys.
pub(crate) fn trusting(issuer: &TestIssuer) -> ValidatorBuilder {
    let keys = KeySet::from_json(issuer.jwks().as_bytes()).unwrap();
    Validator::builder(AUDIENCE).trust(Issuer::keys(ISSUER, keys))
}

/// Trusts the issuer's secret for `HS256`.
pub(crate) fn trusting_secret(issuer: &TestIssuer) -> ValidatorBuilder {
    let secret = issuer.secret(KID).unwrap();
    let secret = Secret::new(Algorithm::Hs256, secret).unwrap().kid(KID);
    Validator::builder(AUDIENCE).trust(Issuer::secrets(ISSUER, [secret]))
}

/// As `TestIssuer` names its first secret.
pub(crate) const KID: &str = "hs256-1";

/// An ordinary token that outlives the benchmark.
pub(crate) fn token(issuer: &TestIssuer, algorithm: Algorithm) -> TestToken {
    measure::token(issuer, algorithm).lifetime(HOUR)
}

/// What the tokens have.
pub(crate) fn read() -> Requirement {
    ScopePolicy::all(["things:read"]).unwrap().into()
}

/// What they do not have.
pub(crate) fn delete() -> Requirement {
    ScopePolicy::all(["things:delete"]).unwrap().into()
}
