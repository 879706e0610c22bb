//! The hashers, over all of a token or over its tail.

use std::hash::{BuildHasher, Hasher};

/// Hashes only the last 64 bytes of what it is given at once, and its length.
#[derive(Clone, Default)]
pub struct Tail<S>(pub S);

impl<S: BuildHasher> BuildHasher for Tail<S> {
    type Hasher = Tail<S::Hasher>;

    fn build_hasher(&self) -> Self::Hasher {
        Tail(self.0.build_hasher())
    }
}

impl<H: Hasher> Hasher for Tail<H> {
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes.last_chunk::<64>().map_or(bytes, |tail| tail));
    }

    fn write_usize(&mut self, length: usize) {
        self.0.write_usize(length);
    }
}
