//! The keys of one issuer: which it publishes, and which it signs with.

use serde_json::{Value, json};

use super::key::SigningKey;
use crate::jose::algorithm::Algorithm;
use crate::jose::crypto::signing::SigningError;

/// Every key that the issuer ever had, oldest first. A key that is withdrawn is kept: a test may want its tokens.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    held: Vec<Held>,
    /// Keys that were made so far, for the next name.
    made: Vec<Algorithm>,
    /// What is served instead of the published keys.
    raw: Option<String>,
}

#[derive(Debug)]
struct Held {
    key: SigningKey,
    published: bool,
    signs: bool,
}

impl Keyring {
    /// One fresh key for each algorithm.
    pub(super) fn of(algorithms: impl IntoIterator<Item = Algorithm>) -> Result<Self, SigningError> {
        let mut keyring = Self::default();
        for algorithm in algorithms {
            let kid = keyring.next_kid(algorithm);
            keyring.add(SigningKey::fresh(kid, algorithm)?);
        }
        Ok(keyring)
    }

    /// The name of the next key, such as `es256-1`.
    pub(super) fn next_kid(&mut self, algorithm: Algorithm) -> String {
        self.made.push(algorithm);
        let count = self.made.iter().filter(|made| **made == algorithm).count();
        format!("{}-{count}", algorithm.name().to_ascii_lowercase())
    }

    /// A key that is published and signs from here on.
    pub(super) fn add(&mut self, key: SigningKey) {
        self.stop_signing(key.algorithm);
        self.held.push(Held { key, published: true, signs: true });
    }

    /// Makes a key for each algorithm, publishes and signs with these alone.
    pub(super) fn rotate(&mut self) -> Result<(), SigningError> {
        self.publish_ahead()?;
        self.sign_with_newest();
        for held in &mut self.held {
            held.published = held.signs;
        }
        Ok(())
    }

    /// Makes and publishes a key for each algorithm; the others go on signing.
    pub(super) fn publish_ahead(&mut self) -> Result<(), SigningError> {
        for algorithm in self.algorithms() {
            let kid = self.next_kid(algorithm);
            let key = SigningKey::fresh(kid, algorithm)?;
            self.held.push(Held { key, published: true, signs: false });
        }
        Ok(())
    }

    /// Signs with the newest key of each algorithm.
    pub(super) fn sign_with_newest(&mut self) {
        for algorithm in self.algorithms() {
            self.stop_signing(algorithm);
            if let Some(newest) = self.held.iter_mut().rev().find(|held| held.key.algorithm == algorithm) {
                newest.signs = true;
            }
        }
    }

    /// Withdraws the oldest published key of each algorithm that has several.
    pub(super) fn retire_oldest(&mut self) {
        for algorithm in self.algorithms() {
            let mut published = self.held.iter_mut().filter(|held| held.published && held.key.algorithm == algorithm);
            if let (Some(oldest), Some(_)) = (published.next(), published.next()) {
                oldest.published = false;
            }
        }
    }

    pub(super) fn publish_raw(&mut self, document: Option<String>) {
        self.raw = document;
    }

    /// The key of that name, whether it is published or not.
    pub(super) fn named(&self, kid: &str) -> Option<&SigningKey> {
        self.held.iter().map(|held| &held.key).find(|key| key.kid == kid)
    }

    /// The key that signs: with that algorithm, or the first that the issuer got.
    pub(super) fn signing(&self, algorithm: Option<Algorithm>) -> Option<&SigningKey> {
        let first = self.held.first().map(|held| held.key.algorithm);
        let wanted = algorithm.or(first)?;
        self.held.iter().find(|held| held.signs && held.key.algorithm == wanted).map(|held| &held.key)
    }

    /// The JWK set that the issuer serves. Secrets are never in it.
    pub(super) fn document(&self) -> String {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let published = self.held.iter().filter(|held| held.published && !held.key.algorithm.is_symmetric());
        let keys: Vec<Value> = published.map(|held| held.key.jwk()).collect();
        json!({ "keys": keys }).to_string()
    }

    /// The algorithms of the issuer, each once, in the order in which it got them.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for held in &self.held {
            if !algorithms.contains(&held.key.algorithm) {
                algorithms.push(held.key.algorithm);
            }
        }
        algorithms
    }

    fn stop_signing(&mut self, algorithm: Algorithm) {
        for held in self.held.iter_mut().filter(|held| held.key.algorithm == algorithm) {
            held.signs = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(keyring: &Keyring) -> Vec<String> {
        let document: Value = serde_json::from_str(&keyring.document()).unwrap();
        let keys = document["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    fn signs(keyring: &Keyring) -> &str {
        &keyring.signing(None).unwrap().kid
    }

    #[test]
    fn a_rotation_replaces_what_is_published_and_what_signs() {
        let mut keyring = Keyring::of([Algorithm::Es256, Algorithm::Ed25519]).unwrap();
        keyring.rotate().unwrap();
        assert_eq!(published(&keyring), ["es256-2", "ed25519-2"]);
        assert_eq!(signs(&keyring), "es256-2");
        assert!(keyring.named("es256-1").is_some());
    }

    #[test]
    fn a_careful_rotation_publishes_first_and_withdraws_last() {
        let mut keyring = Keyring::of([Algorithm::Es256]).unwrap();
        keyring.publish_ahead().unwrap();
        assert_eq!((published(&keyring).len(), signs(&keyring)), (2, "es256-1"));
        keyring.sign_with_newest();
        assert_eq!((published(&keyring).len(), signs(&keyring)), (2, "es256-2"));
        keyring.retire_oldest();
        keyring.retire_oldest();
        assert_eq!(published(&keyring), ["es256-2"]);
    }

    #[test]
    fn a_secret_is_not_published() {
        let mut keyring = Keyring::of([Algorithm::Hs256]).unwrap();
        assert!(published(&keyring).is_empty());
        keyring.publish_raw(Some("{".to_owned()));
        assert_eq!(keyring.document(), "{");
        assert_eq!(signs(&keyring), "hs256-1");
    }
}
