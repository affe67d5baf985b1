//! Parameters of the compatibility modes.

use serde::{Deserialize, Serialize};

/// How mlfinlab and RiskLabAI move E\[T\].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompatTicks {
    /// EWMA of the last bars' lengths, clamped (`ema`, RiskLabAI's `Expected…`).
    Ema,
    /// Constant (`const`, RiskLabAI's `Fixed…`).
    Const,
}

/// Whose corner cases a mlfinlab-family machine follows (docs/BARS.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompatFlavour {
    /// mlfinlab and mlfinpy.
    Mlfinlab,
    /// RiskLabAI.
    RiskLabAi,
}

/// Parameters of the mlfinlab family.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MlfinlabSpec {
    /// Whose corner cases.
    pub flavour: CompatFlavour,
    /// How E\[T\] moves.
    pub ticks: CompatTicks,
    /// Bars in the EWMAs over bars.
    pub num_prev_bars: usize,
    /// Trades in the EWMA of the flow.
    pub window: usize,
    /// E\[T\] at the start.
    pub init: f64,
    /// Lower clamp of E\[T\].
    pub min: f64,
    /// Upper clamp of E\[T\].
    pub max: f64,
}

/// nautilus_trader's nine information-driven aggregations (docs/BARS.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NautilusAggregation {
    /// Ticks ≥ step.
    Tick,
    /// Volume ≥ step, trades split.
    Volume,
    /// Quote value ≥ step, trades split.
    Value,
    /// |Σ b| ≥ step.
    TickImbalance,
    /// |Σ b·q| ≥ step, trades split.
    VolumeImbalance,
    /// |Σ b·p·q| ≥ step, trades split.
    ValueImbalance,
    /// Consecutive ticks of one side ≥ step.
    TickRuns,
    /// Consecutive volume of one side ≥ step.
    VolumeRuns,
    /// Consecutive value of one side ≥ step.
    ValueRuns,
}

/// Parameters of nautilus compatibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NautilusSpec {
    /// Which aggregator.
    pub aggregation: NautilusAggregation,
    /// Step in ticks, units of base, or units of quote.
    pub step: u64,
    /// Decimal places of the instrument's prices.
    pub price_precision: u32,
    /// Decimal places of the instrument's sizes; at most 18 together with those of prices.
    pub size_precision: u32,
}
