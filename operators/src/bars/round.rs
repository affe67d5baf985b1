//! Rounding of expectations at a bar's close, which lets different pasts coincide sooner.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// What learned values are rounded to at each close. Users and checkpoints write a number of bits, of
/// which 0 means off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub enum Rounding {
    /// All bits are kept.
    Off,
    /// As many leading bits of the mantissa are kept; all of them from 52 on.
    Bits(NonZeroU32),
}

impl Rounding {
    /// The mantissa bits that are kept, of the 52 that are stored.
    pub fn kept(self) -> u32 {
        match self {
            Self::Bits(bits) if bits.get() < 52 => bits.get(),
            _ => 52,
        }
    }

    /// Rounds to the kept bits (half away from zero, on the bit pattern): with d = 52 − bits,
    /// u ← ((u + 2^(d−1)) >> d) << d. A zero stays. Moves a value by at most 2^−(bits+1) relative.
    #[inline]
    pub fn apply(self, value: f64) -> f64 {
        let d = 52 - self.kept();
        if d == 0 || value == 0.0 || !value.is_finite() {
            return value;
        }
        // A finite pattern plus half a step cannot overflow 64 bits: its top exponent is not all ones.
        f64::from_bits(((value.to_bits() + (1 << (d - 1))) >> d) << d)
    }
}

impl From<u32> for Rounding {
    fn from(bits: u32) -> Self {
        NonZeroU32::new(bits).map_or(Self::Off, Self::Bits)
    }
}

impl From<Rounding> for u32 {
    fn from(rounding: Rounding) -> Self {
        match rounding {
            Rounding::Off => 0,
            Rounding::Bits(bits) => bits.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_the_nearest_kept_pattern_and_leaves_zero_and_the_unlimited_alone() {
        let rounding = Rounding::from(24);
        assert_eq!(rounding.apply(1.0 + 2f64.powi(-25)), 1.0 + 2f64.powi(-24));
        assert_eq!(rounding.apply(1.0 + 2f64.powi(-26)), 1.0);
        assert_eq!(rounding.apply(-3.7), -rounding.apply(3.7));
        assert_eq!(rounding.apply(0.0), 0.0);
        assert_eq!(rounding.apply(f64::INFINITY), f64::INFINITY);
        assert!((rounding.apply(0.1) / 0.1 - 1.0).abs() < 1e-7);
        for all in [0, 52, 53] {
            assert_eq!(Rounding::from(all).apply(0.1), 0.1);
            assert_eq!(u32::from(Rounding::from(all)), all);
        }
    }

    #[test]
    fn is_written_as_its_number_of_bits() {
        for (bits, rounding) in [("0", Rounding::Off), ("24", Rounding::from(24))] {
            assert_eq!(serde_json::to_string(&rounding).unwrap(), bits);
            assert_eq!(serde_json::from_str::<Rounding>(bits).unwrap(), rounding);
        }
    }
}
