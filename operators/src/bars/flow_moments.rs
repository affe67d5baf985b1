//! The recent past of the signed flow: mean, square and serial dependence, as EWMAs per tick.

use serde::{Deserialize, Serialize};

use super::round::Rounding;
use crate::digest::Digest;

/// mu, m2, c and e of docs/BARS.md, learning on every tick; during warm-up, plain sums.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowMoments {
    alpha: f64,
    /// φ, the memory of `e`.
    memory: f64,
    warmup: u64,
    /// Warm-up trades still to come.
    left: u64,
    /// EWMA of x (during warm-up Σ x).
    pub mu: f64,
    /// EWMA of x² (during warm-up Σ x²).
    pub m2: f64,
    /// EWMA of x·e (during warm-up Σ x·e).
    pub c: f64,
    /// Σ φᵏ x_{t−k}, k ≥ 1.
    pub e: f64,
}

impl FlowMoments {
    /// `alpha` in (0, 1], `memory` in [0, 1), `warmup` in trades.
    pub fn new(alpha: f64, memory: f64, warmup: u64) -> Self {
        Self { alpha, memory, warmup, left: warmup, mu: 0.0, m2: 0.0, c: 0.0, e: 0.0 }
    }

    /// α and φ.
    pub(crate) fn speeds(&self) -> (f64, f64) {
        (self.alpha, self.memory)
    }

    /// Whether the warm-up lasts.
    #[inline(always)]
    pub fn is_warming(&self) -> bool {
        self.left > 0
    }

    /// Takes a warm-up trade; at the last one the sums become means.
    pub fn warm(&mut self, x: f64) {
        self.mu += x;
        self.m2 += x * x;
        self.c += x * self.e;
        self.e = self.memory * (self.e + x);
        self.left -= 1;
        if self.left == 0 {
            let n = self.warmup as f64;
            self.mu /= n;
            self.m2 /= n;
            self.c /= n;
        }
    }

    /// What every trade after the warm-up changes.
    #[inline(always)]
    pub fn learn(&mut self, x: f64) {
        self.mu += self.alpha * (x - self.mu);
        self.m2 += self.alpha * (x * x - self.m2);
        self.c += self.alpha * (x * self.e - self.c);
        self.e = self.memory * (self.e + x);
    }

    /// Rounds all four.
    pub fn round(&mut self, rounding: Rounding) {
        self.mu = rounding.apply(self.mu);
        self.m2 = rounding.apply(self.m2);
        self.c = rounding.apply(self.c);
        self.e = rounding.apply(self.e);
    }

    /// Trades that the warm-up still needs.
    pub fn warmup_left(&self) -> u64 {
        self.left
    }

    /// Back to the start of the warm-up.
    pub fn restart(&mut self) {
        *self = Self::new(self.alpha, self.memory, self.warmup);
    }

    /// Adds the bit patterns, and how much warm-up is left.
    pub fn digest(&self, digest: &mut Digest) {
        for value in [self.mu, self.m2, self.c, self.e] {
            digest.f64(value);
        }
        digest.u64(self.left);
    }
}
