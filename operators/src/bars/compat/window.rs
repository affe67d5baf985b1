//! The last values of a series and their weighted mean, as mlfinlab forms it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The last `capacity` values, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    capacity: usize,
    values: VecDeque<f64>,
    /// The weights of the last mean: while the window is full they never change.
    weights: Weights,
}

/// Σ (1 − a)^i over `len` values, with a = 2/(span + 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Weights {
    span: usize,
    len: usize,
    sum: f64,
}

impl Window {
    /// An empty window; `capacity` at least 1. Room is taken as values come.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, values: VecDeque::new(), weights: Weights::default() }
    }

    /// Takes a value; the oldest leaves a full window.
    #[inline]
    pub fn push(&mut self, value: f64) {
        if self.values.len() >= self.capacity {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// The exponentially weighted mean with the span `capacity`; none of an empty window.
    pub fn mean_over_capacity(&mut self) -> Option<f64> {
        self.mean(self.capacity)
    }

    /// The exponentially weighted mean with as many values as there are for a span.
    pub fn mean_over_len(&mut self) -> Option<f64> {
        self.mean(self.values.len())
    }

    /// mlfinlab's `ewma`: a = 2/(span + 1), num ← num·(1 − a) + value, den ← den + (1 − a)^i; the
    /// last num/den. Not a running recursion over the whole past.
    fn mean(&mut self, span: usize) -> Option<f64> {
        let keep = 1.0 - 2.0 / (span as f64 + 1.0);
        let (older, newer) = self.values.as_slices();
        let (first, older) = older.split_first()?;
        // Two plain loops instead of the deque's iterator: this is most of the cost of a bar.
        let sum = older.iter().fold(*first, |sum, value| sum * keep + value);
        let sum = newer.iter().fold(sum, |sum, value| sum * keep + value);
        let len = self.values.len();
        if (self.weights.span, self.weights.len) != (span, len) {
            self.weights = Weights { span, len, sum: sum_of_weights(keep, len) };
        }
        Some(sum / self.weights.sum)
    }

    /// Adds the values, oldest first.
    pub fn digest(&self, digest: &mut Digest) {
        digest.u64(self.values.len() as u64);
        digest.f64s(&self.values);
    }
}

fn sum_of_weights(keep: f64, len: usize) -> f64 {
    let mut sum = 1.0;
    for i in 1..len as u64 {
        sum += ipow(keep, i);
    }
    sum
}

/// Powers as numba forms them. The order of the multiplications is part of the contract: another
/// `pow` differs by 2e-15, and that flips bars at exact ties.
fn ipow(base: f64, exponent: u64) -> f64 {
    if exponent > 65_536 {
        return libm::pow(base, exponent as f64);
    }
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        left >>= 1;
        square *= square;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of the specification, with its weights.
    fn by_the_book(values: &[f64], span: usize) -> f64 {
        let keep = 1.0 - 2.0 / (span as f64 + 1.0);
        let (mut num, mut den) = (values[0], 1.0);
        for (i, value) in values.iter().enumerate().skip(1) {
            den += ipow(keep, i as u64);
            num = num * keep + value;
        }
        num / den
    }

    #[test]
    fn only_the_last_values_count_and_the_kept_weights_change_no_bit() {
        let series: Vec<f64> = (0..50).map(|i| f64::from(i * i % 17) - 3.5).collect();
        let mut window = Window::new(8);
        assert_eq!(window.mean_over_len(), None);
        for end in 1..=series.len() {
            window.push(series[end - 1]);
            let last = &series[end.saturating_sub(8)..end];
            assert_eq!(window.mean_over_len(), Some(by_the_book(last, last.len())));
            assert_eq!(window.mean_over_capacity(), Some(by_the_book(last, 8)));
        }
    }

    #[test]
    fn a_window_of_one_is_its_value_and_long_powers_are_finite() {
        let mut window = Window::new(1);
        window.push(3.0);
        window.push(-4.25);
        assert_eq!(window.mean_over_capacity(), Some(-4.25));
        assert_eq!(ipow(0.5, 3), 0.125);
        assert_eq!(ipow(0.0, 0), 1.0);
        assert!((ipow(0.99999, 70_000) / ipow(0.99999, 35_000).powi(2) - 1.0).abs() < 1e-9);
    }
}
