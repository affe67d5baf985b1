//! What makes a row a valid trade by itself; its place in the sequence is checked later.

/// First event time believed: 2009-01-03, the first Bitcoin block, in ns.
pub const EARLIEST_NS: i64 = 1_230_940_800_000_000_000;
/// First event time no longer believed: 2100-01-01, in ns.
pub const LATEST_NS: i64 = 4_102_444_800_000_000_000;

/// Why a row is not a valid trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Which field.
    pub field: &'static str,
    /// What is wrong.
    pub reason: &'static str,
}

/// First id no longer taken: bars have ids as signed 64-bit numbers, where they are not written as text.
pub const IDS_END: u64 = 1 << 63;

/// Judges a trade's id.
///
/// # Errors
/// When not every output could hold it.
#[inline]
pub fn check_id(id: u64) -> Result<(), Defect> {
    if id < IDS_END {
        return Ok(());
    }
    let reason = "not below 9223372036854775808 (2^63): bars have ids as signed 64-bit numbers";
    Err(Defect { field: "trade_id", reason })
}

/// Judges a trade's values. One pass of comparisons, no allocation: it runs for every row.
///
/// # Errors
/// The first field that is impossible. Comparisons are written so that NaN fails them.
#[inline]
pub fn check(price: f64, qty: f64, quote: f64, event_time: i64) -> Result<(), Defect> {
    let wrong = |field, reason| Err(Defect { field, reason });
    if !(price > 0.0 && price < f64::INFINITY) {
        return wrong("price", "not a finite number greater than 0");
    }
    if !(qty > 0.0 && qty < f64::INFINITY) {
        return wrong("qty", "not a finite number greater than 0");
    }
    if !(0.0..f64::INFINITY).contains(&quote) {
        return wrong("quote", "price times quantity is not a finite number");
    }
    if !(EARLIEST_NS..LATEST_NS).contains(&event_time) {
        return wrong("time", "not between 2009-01-03 and 2100-01-01 in the file's unit of time");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_finite_values_at_a_believable_time_pass() {
        let now = 1_700_000_000_000_000_000;
        assert_eq!(check(1.0, 2.0, 2.0, now), Ok(()));
        for (price, qty, quote, time, field) in [
            (f64::NAN, 1.0, 1.0, now, "price"),
            (0.0, 1.0, 0.0, now, "price"),
            (-1.0, 1.0, -1.0, now, "price"),
            (f64::INFINITY, 1.0, 1.0, now, "price"),
            (1.0, 0.0, 0.0, now, "qty"),
            (1.0, f64::NAN, f64::NAN, now, "qty"),
            (1e300, 1e300, f64::INFINITY, now, "quote"),
            (1.0, 1.0, 1.0, 0, "time"),
            (1.0, 1.0, 1.0, i64::MAX, "time"),
        ] {
            assert_eq!(check(price, qty, quote, time).map_err(|d| d.field), Err(field));
        }
    }
}
