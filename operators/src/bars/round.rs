//! Rounding of expectations at a bar's close, which lets different pasts coincide sooner.

/// Rounds to `bits` mantissa bits (half away from zero, on the bit pattern): with d = 52 − bits,
/// u ← ((u + 2^(d−1)) >> d) << d. 0 bits turns it off, a zero stays. Moves a value by at most
/// 2^−(bits+1) relative.
#[inline]
pub fn round_mantissa(value: f64, bits: u32) -> f64 {
    if bits == 0 || bits >= 52 || value == 0.0 || !value.is_finite() {
        return value;
    }
    let d = 52 - bits;
    // A finite pattern plus half a step cannot overflow 64 bits: its top exponent is not all ones.
    f64::from_bits(((value.to_bits() + (1 << (d - 1))) >> d) << d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_the_nearest_kept_pattern_and_leaves_zero_and_the_unlimited_alone() {
        assert_eq!(round_mantissa(1.0 + 2f64.powi(-25), 24), 1.0 + 2f64.powi(-24));
        assert_eq!(round_mantissa(1.0 + 2f64.powi(-26), 24), 1.0);
        assert_eq!(round_mantissa(-3.7, 24), -round_mantissa(3.7, 24));
        assert_eq!(round_mantissa(0.1, 0), 0.1);
        assert_eq!(round_mantissa(0.0, 24), 0.0);
        assert_eq!(round_mantissa(f64::INFINITY, 24), f64::INFINITY);
        assert!((round_mantissa(0.1, 24) / 0.1 - 1.0).abs() < 1e-7);
    }
}
