//! ID tokens, and what a test makes of them.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::grants::Grant;
use super::own::half_hash;
use super::state::{Finish, State};
use super::token::{LIFETIME, TestToken};

/// Whether an ID token answers a request, whose `nonce` it then has, or is a later one (OpenID Connect Core 1.0 s12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    Login,
    Refresh,
}

/// What a test makes of an ID token.
pub(super) struct Spoiler<F>(pub(super) F);

impl<F: Fn(TestToken) -> TestToken + Send + Sync> Finish for Spoiler<F> {
    fn finish(&self, issuer: &Arc<State>, claims: Map<String, Value>) -> String {
        (self.0)(token(issuer, claims)).mint()
    }
}

impl<F> fmt::Debug for Spoiler<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spoiler")
    }
}

/// The ID token of a grant (OpenID Connect Core 1.0 s2), spoiled if a test wants it so.
pub(super) fn mint(issuer: &Arc<State>, grant: &Grant, access_token: &str, occasion: Occasion) -> String {
    let now = issuer.now().unix_seconds();
    let (mut claims, algorithm, spoiler) = {
        let mut state = issuer.lock();
        let claims = state.provider.user(&grant.login).told(&grant.scope, &grant.claims.id_token);
        let algorithm = state.keyring.signing(None).map(|key| key.algorithm);
        (claims, algorithm, state.id_tokens.pop_front())
    };
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("iss", issuer.identifier.as_str().into());
    put("sub", grant.login.as_str().into());
    put("aud", grant.client.as_str().into());
    put("iat", now.into());
    put("exp", now.saturating_add(LIFETIME).into());
    put("auth_time", grant.auth_time.into());
    put("acr", grant.acr().into());
    put("sid", grant.sid.as_str().into());
    if let Some(hash) = algorithm.and_then(|algorithm| half_hash(algorithm, access_token)) {
        put("at_hash", hash.into());
    }
    if let (Some(nonce), Occasion::Login) = (&grant.nonce, occasion) {
        put("nonce", nonce.as_str().into());
    }
    match spoiler {
        Some(spoiler) => spoiler.finish(issuer, claims),
        None => token(issuer, claims).mint(),
    }
}

/// A token of exactly these claims.
pub(super) fn token(issuer: &Arc<State>, claims: Map<String, Value>) -> TestToken {
    TestToken::of(Arc::clone(issuer)).typ("JWT").claims(claims)
}
