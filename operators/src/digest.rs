//! The fingerprint of everything in a builder that can influence a later bar.

use xxhash_rust::xxh3::Xxh3;

/// An xxh3-64 over tagged little-endian bytes, in a fixed order.
///
/// What goes in: bit patterns of the expectations, the sign's memory, ring buffers oldest first.
/// What stays out: ordinals, ids, counters of the past — two builders with different histories
/// that will behave alike must digest alike.
pub struct Digest(Xxh3);

impl Digest {
    /// Starts a digest for a kind of machine, so that different kinds never coincide.
    pub fn of(machine: &str) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(machine.as_bytes());
        hasher.update(&[0]);
        Self(hasher)
    }

    /// Adds the bit pattern of a number.
    pub fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    /// Adds an integer.
    pub fn u64(&mut self, value: u64) {
        self.0.update(&value.to_le_bytes());
    }

    /// Adds a byte.
    pub fn byte(&mut self, value: u8) {
        self.0.update(&[value]);
    }

    /// The 64-bit hash.
    pub fn finish(self) -> u64 {
        self.0.digest()
    }
}
