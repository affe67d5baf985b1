//! Histograms of a chosen precision.

use hdrhistogram::{Counter, Histogram};

/// An empty histogram that keeps so many significant digits and grows with its values.
pub fn exact_to<const DIGITS: u8, T: Counter>() -> Histogram<T> {
    const { assert!(DIGITS <= 5) };
    // The constructor refuses nothing but more than five digits.
    Histogram::new(DIGITS).unwrap_or_else(|error| unreachable!("{DIGITS} digits: {error}"))
}
