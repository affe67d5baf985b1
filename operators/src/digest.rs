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

    /// Adds the bit patterns of many numbers: the same as one by one, at a fraction of the cost.
    pub fn f64s<'a>(&mut self, values: impl IntoIterator<Item = &'a f64>) {
        let mut bytes = [0; 1024];
        let mut filled = 0;
        for value in values {
            bytes[filled..filled + 8].copy_from_slice(&value.to_bits().to_le_bytes());
            filled += 8;
            if filled == bytes.len() {
                self.0.update(&bytes);
                filled = 0;
            }
        }
        self.0.update(&bytes[..filled]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_numbers_at_once_digest_as_one_by_one() {
        for len in [0u32, 1, 127, 128, 129, 300] {
            let values: Vec<f64> = (0..len).map(|i| f64::from(i) / 7.0).collect();
            let (mut one, mut other) = (Digest::of("test"), Digest::of("test"));
            one.f64s(&values);
            for value in &values {
                other.f64(*value);
            }
            assert_eq!(one.finish(), other.finish());
        }
    }
}
