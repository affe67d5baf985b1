//! E\[T\]: how long a bar is expected to be.

use serde::{Deserialize, Serialize};

use super::round::Rounding;
use crate::digest::Digest;

/// Expected ticks per bar: constant, or an EWMA over closed bars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedTicks {
    target: f64,
    /// α_T; none for a constant.
    alpha: Option<f64>,
    min: f64,
    max: f64,
    value: f64,
}

impl ExpectedTicks {
    /// Stays at `target`.
    pub fn constant(target: f64) -> Self {
        Self { target, alpha: None, min: 0.0, max: f64::MAX, value: target }
    }

    /// Starts at `target`; each closed bar moves it by `alpha` of the difference, then it is
    /// clamped to `[min, max]`.
    pub fn ewma(target: f64, alpha: f64, min: f64, max: f64) -> Self {
        // JSON knows no infinity, and no bar is longer than f64::MAX ticks.
        Self { target, alpha: Some(alpha), min, max: max.min(f64::MAX), value: target }
    }

    /// E\[T\] in ticks.
    #[inline(always)]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// E\[T\] if it never moves.
    pub(crate) fn constant_value(&self) -> Option<f64> {
        self.alpha.is_none().then_some(self.value)
    }

    /// Learns from a bar of `ticks` ticks.
    pub fn settle(&mut self, ticks: u64, rounding: Rounding) {
        if let Some(alpha) = self.alpha {
            let next = self.value + alpha * (ticks as f64 - self.value);
            self.value = rounding.apply(next.max(self.min).min(self.max));
        }
    }

    /// Back to the target.
    pub fn restart(&mut self) {
        self.value = self.target;
    }

    /// Adds the value.
    pub fn digest(&self, digest: &mut Digest) {
        digest.f64(self.value);
    }
}
