//! Prices and sizes as whole numbers of their last decimal place.

use serde::{Deserialize, Serialize};

/// The decimal places of an instrument. Together at most 18, so that no product of a step or of
/// a trade's price and size leaves an i128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    price_precision: u32,
    size_precision: u32,
}

impl Scale {
    /// In decimal places.
    pub fn new(price_precision: u32, size_precision: u32) -> Self {
        Self { price_precision, size_precision }
    }

    /// `whole` units of base in size units.
    pub fn size(self, whole: u64) -> i128 {
        i128::from(whole).saturating_mul(ten_to(self.size_precision))
    }

    /// `whole` units of quote in units of price unit times size unit.
    pub fn value(self, whole: u64) -> i128 {
        self.size(whole).saturating_mul(ten_to(self.price_precision))
    }

    /// The nearest number of price units.
    pub fn price_units(self, price: f64) -> i128 {
        i128::from(units(price, self.price_precision))
    }

    /// The nearest number of size units.
    pub fn size_units(self, qty: f64) -> i128 {
        i128::from(units(qty, self.size_precision))
    }

    /// The f64 nearest to a quote value, for all values below 2^53 units.
    pub fn quote(self, value_units: i128) -> f64 {
        value_units as f64 / ten_to(self.price_precision + self.size_precision) as f64
    }

    /// The f64 nearest to a size, for all sizes below 2^53 units.
    pub fn qty(self, size_units: i128) -> f64 {
        size_units as f64 / ten_to(self.size_precision) as f64
    }
}

fn ten_to(precision: u32) -> i128 {
    10i128.saturating_pow(precision)
}

/// The nearest whole number to value·10^precision, ties away from zero, exactly: a product in f64
/// could land on the wrong side of a tie. Saturates at the ends of i64; NaN is 0.
fn units(value: f64, precision: u32) -> i64 {
    if value.is_nan() {
        return 0;
    }
    let bits = value.abs().to_bits();
    let exponent = (bits >> 52) as i32;
    let fraction = i128::from(bits & ((1 << 52) - 1));
    let (mantissa, exponent) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    // Below 2^53·10^18 < 2^113.
    let scaled = mantissa.saturating_mul(ten_to(precision));
    let rounded = match exponent {
        0..=10 => scaled << exponent,
        11.. => i128::from(i64::MAX),
        -120..0 => (scaled + (1 << (-exponent - 1))) >> -exponent,
        _ => 0,
    };
    let rounded = i64::try_from(rounded).unwrap_or(i64::MAX);
    if value < 0.0 { -rounded } else { rounded }
}

/// numerator/denominator to the nearest whole number, ties up; for non-negative numbers, with
/// denominator positive and below 2^126.
pub fn divide_half_up(numerator: i128, denominator: i128) -> i128 {
    numerator / denominator + i128::from(numerator % denominator * 2 >= denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_whole_units_and_come_back() {
        let scale = Scale::new(2, 6);
        assert_eq!(scale.price_units(41999.97), 4_199_997);
        assert_eq!(scale.size_units(0.00354), 3540);
        assert_eq!(scale.qty(3540), 0.00354);
        assert_eq!(scale.value(3), 300_000_000);
        // 0.015 is a bit less than 1.5 hundredths, 0.125 exactly a tie in the second place.
        assert_eq!((units(0.015, 2), units(0.125, 2), units(-0.125, 2)), (1, 13, -13));
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(units(f64::MAX, 0), i64::MAX);
        assert_eq!(units(f64::NEG_INFINITY, 16), -i64::MAX);
        assert_eq!(units(1e300, 16), i64::MAX);
        assert_eq!(units(f64::MIN_POSITIVE, 16), 0);
        assert_eq!(units(5e-324, 18), 0);
        assert_eq!(units(0.0, 16), 0);
        assert_eq!(units(f64::NAN, 4), 0);
        assert_eq!(units(2f64.powi(62), 0), 1 << 62);
        assert_eq!(units(9.3e18, 0), i64::MAX);
        assert_eq!(units(922.0, 16), 9_220_000_000_000_000_000);
    }

    #[test]
    fn halves_go_up() {
        assert_eq!([9, 10, 14, 15].map(|n| divide_half_up(n, 10)), [1, 1, 1, 2]);
        assert_eq!([1, 2, 3].map(|n| divide_half_up(n, 3)), [0, 1, 1]);
    }
}
