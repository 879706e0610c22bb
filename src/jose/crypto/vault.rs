//! Secrets that are given out of the house and come back: encrypted and authenticated (AES-256-GCM, RFC 5116 s5.2).

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

/// A key that seals and opens. Each seal has a random nonce of 96 bits, which serves for 2^32 of them (NIST SP 800-38D s8.3).
pub(crate) struct Vault(RandomizedNonceKey);

struct Octets32;

impl KeyType for Octets32 {
    fn len(&self) -> usize {
        32
    }
}

impl Vault {
    /// The key that belongs to a secret, for the use that the label names (RFC 5869). `None` if the library fails.
    pub(crate) fn derived(secret: &[u8], label: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let derived = Salt::new(HKDF_SHA256, b"scopegate").extract(secret);
        derived.expand(&[label], Octets32).ok()?.fill(&mut *key).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, &*key).ok().map(Self)
    }

    /// Nonce, text and tag; bound to what it is about.
    pub(crate) fn seal(&self, about: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = text.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(about), &mut sealed).ok()?;
        Some([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// The text, if it was sealed with this key, about the same, and was not changed.
    pub(crate) fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let length = self.0.open_in_place(nonce, Aad::from(about), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Vault;

    #[test]
    fn a_seal_opens_for_its_secret_label_and_subject_alone_and_unchanged() {
        let vault = Vault::derived(b"one secret", b"a").unwrap();
        let sealed = vault.seal(b"this", b"text").unwrap();
        assert_eq!(vault.open(b"this", &sealed).as_deref(), Some(b"text".as_slice()));
        assert_ne!(vault.seal(b"this", b"text").unwrap(), sealed, "a nonce is used once");
        assert_eq!(vault.open(b"that", &sealed), None);
        for (secret, label) in [(b"two secret", b"a"), (b"one secret", b"b")] {
            assert_eq!(Vault::derived(secret, label).unwrap().open(b"this", &sealed), None);
        }
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(vault.open(b"this", &changed), None, "{place}");
            assert_eq!(vault.open(b"this", &sealed[..place]), None, "{place}");
        }
    }
}
