//! Imbalance and runs bars with a constant threshold (docs/BARS.md).

use serde::{Deserialize, Serialize};

use super::rule::{Flow, Rule};
use crate::bar::{Levels, OpenBar};
use crate::digest::Digest;

/// Imbalance bars that close when |θ| ≥ `size`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixedImbalance {
    size: f64,
}

impl FixedImbalance {
    /// `size` in the bar's measure; positive.
    pub fn new(size: f64) -> Self {
        Self { size }
    }
}

impl Rule for FixedImbalance {
    const MACHINE: &'static str = "imbalance/fixed";

    #[inline(always)]
    fn closes(&self, open: &OpenBar) -> bool {
        open.theta.abs() >= self.size
    }

    fn levels(&self) -> Levels {
        Levels { threshold: Some(self.size), ..Levels::default() }
    }

    fn settle(&mut self, _closed: &OpenBar) {}

    fn restart(&mut self) {}

    fn digest(&self, _digest: &mut Digest) {}
}

/// Runs bars that close when max(θ⁺, θ⁻) ≥ `size`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixedRuns {
    size: f64,
    runs: SideSums,
}

/// θ⁺ and θ⁻ of the open bar: sides accumulate separately, a change of side resets nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideSums {
    /// θ⁺ = Σ v over buys.
    pub buy: f64,
    /// θ⁻ = Σ v over sells.
    pub sell: f64,
}

impl SideSums {
    /// Adds a trade to its side; sign 0 to neither.
    #[inline(always)]
    pub fn add(&mut self, flow: Flow) {
        self.buy += if flow.sign > 0 { flow.v } else { 0.0 };
        self.sell += if flow.sign < 0 { flow.v } else { 0.0 };
    }

    /// max(θ⁺, θ⁻).
    #[inline(always)]
    pub fn greater(&self) -> f64 {
        if self.buy > self.sell { self.buy } else { self.sell }
    }
}

impl FixedRuns {
    /// `size` in the bar's measure; positive.
    pub fn new(size: f64) -> Self {
        Self { size, runs: SideSums::default() }
    }
}

impl Rule for FixedRuns {
    const MACHINE: &'static str = "runs/fixed";

    #[inline(always)]
    fn observe(&mut self, flow: Flow, _open: &OpenBar) {
        self.runs.add(flow);
    }

    #[inline(always)]
    fn closes(&self, _open: &OpenBar) -> bool {
        self.runs.greater() >= self.size
    }

    fn levels(&self) -> Levels {
        Levels {
            threshold: Some(self.size),
            theta_buy: Some(self.runs.buy),
            theta_sell: Some(self.runs.sell),
            ..Levels::default()
        }
    }

    fn settle(&mut self, _closed: &OpenBar) {
        self.runs = SideSums::default();
    }

    fn restart(&mut self) {
        self.runs = SideSums::default();
    }

    fn digest(&self, _digest: &mut Digest) {}
}
