//! nautilus_trader's information-driven bars: fixed steps, decimal sizes, split trades
//! (docs/BARS.md).
//!
//! ```text
//! trade ─► decimal units ─► aggregation: how much goes in, does it close? ─► gathered bar
//! ```
//!
//! Runs bars drop what was gathered when the side changes, so they hold a part of the tape only.

mod decimal;
mod gather;
mod imbalance;
mod runs;
mod totals;

use serde::{Deserialize, Serialize};

use self::decimal::Scale;
use self::gather::{Gather, Slices};
use self::imbalance::{TickImbalance, ValueImbalance, VolumeImbalance};
use self::runs::{TickRuns, ValueRuns, VolumeRuns};
use self::totals::{Ticks, Value, Volume};
use crate::bar::{Bar, Levels, OpenBar};
use crate::batch::TradeBatch;
use crate::measure::Measure;
use crate::spec::{NautilusAggregation, NautilusSpec};
use crate::trade::{Aggressor, Trade};

/// Steps that one trade may fill before it is no longer split: it then goes whole into the open
/// bar, which closes. nautilus itself has no bound, and one absurd trade would make billions of
/// bars.
pub const MAX_STEPS_PER_TRADE: i128 = 1024;

/// A builder of one of the nine kinds of bars, for one instrument.
///
/// # Contract
/// That of [`Builder`](super::super::builder::Builder), except that one trade can be in several
/// bars: it counts as a tick of each. Sizes are whole units of 10^−`size_precision`; sizes and
/// prices beyond `i64::MAX` units are taken as that. A trade without aggressor moves prices and
/// volume, never an imbalance or a run, so a source without aggressors makes no such bars.
///
/// nautilus computes values as decimals of 28 digits; here they are exact, which can only differ
/// at a tie in the 28th digit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nautilus {
    scale: Scale,
    progress: Progress,
    gather: Gather,
}

/// How far the open bar is, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Progress {
    Ticks(Ticks),
    Volume(Volume),
    Value(Value),
    TickImbalance(TickImbalance),
    VolumeImbalance(VolumeImbalance),
    ValueImbalance(ValueImbalance),
    TickRuns(TickRuns),
    VolumeRuns(VolumeRuns),
    ValueRuns(ValueRuns),
}

impl Nautilus {
    /// A builder that has seen nothing.
    pub fn new(spec: &NautilusSpec) -> Self {
        let scale = Scale::new(spec.price_precision, spec.size_precision);
        let step = spec.step;
        let progress = match spec.aggregation {
            NautilusAggregation::Tick => Progress::Ticks(Ticks::new(step)),
            NautilusAggregation::Volume => Progress::Volume(Volume::new(scale.size(step))),
            NautilusAggregation::Value => Progress::Value(Value::new(scale.value(step))),
            NautilusAggregation::TickImbalance => Progress::TickImbalance(TickImbalance::new(step)),
            NautilusAggregation::VolumeImbalance => {
                Progress::VolumeImbalance(VolumeImbalance::new(scale.size(step)))
            }
            NautilusAggregation::ValueImbalance => {
                Progress::ValueImbalance(ValueImbalance::new(step as f64))
            }
            NautilusAggregation::TickRuns => Progress::TickRuns(TickRuns::new(step)),
            NautilusAggregation::VolumeRuns => {
                Progress::VolumeRuns(VolumeRuns::new(scale.size(step)))
            }
            NautilusAggregation::ValueRuns => {
                Progress::ValueRuns(ValueRuns::new(scale.value(step)))
            }
        };
        let gather = Gather::new(measure(spec.aggregation), step as f64);
        Self { scale, progress, gather }
    }

    /// How many bars it has made.
    pub fn bars(&self) -> u64 {
        self.gather.bars()
    }

    /// See [`Builder::number_from`](super::super::builder::Builder::number_from).
    pub fn number_from(&mut self, seq: u64) {
        self.gather.number_from(seq);
    }

    /// The open bar; `ticks` is 0 when there is none.
    pub fn open(&self) -> &OpenBar {
        self.gather.open()
    }

    /// See [`BarMachine::renumber`](super::super::machine::BarMachine).
    pub(crate) fn renumber(&mut self, next_seq: u64, ids: u64) {
        self.gather.renumber(next_seq, ids);
    }

    /// Always 0: there is no warm-up.
    pub fn warmup_left(&self) -> u64 {
        0
    }

    /// Always none: its steps are counted in integers of its own.
    pub fn reached(&self) -> Option<f64> {
        None
    }

    /// The fixed step.
    pub fn levels(&self) -> Levels {
        self.gather.levels()
    }

    /// Nothing ends with time.
    pub fn complete_until(&mut self, _time: i64, _bars: &mut Vec<Bar>) {}

    /// Closes the open bar because the input ends.
    pub fn flush(&mut self, bars: &mut Vec<Bar>) {
        self.gather.flush(bars);
    }

    /// Begins again with the next bar.
    pub(crate) fn restart(&mut self, spec: &NautilusSpec) {
        let (bars, price) = (self.bars(), self.gather.last_price());
        *self = Self::new(spec);
        self.number_from(bars);
        self.gather.follow(price);
    }

    /// Always false: there is no warm-up.
    pub fn is_warming(&self) -> bool {
        false
    }

    /// Takes one trade; appends the bars it closes. Only a known aggressor counts as one.
    pub fn on_trade(&mut self, trade: &Trade, has_aggressor: bool, bars: &mut Vec<Bar>) {
        let side = if has_aggressor { trade.aggressor } else { Aggressor::Unknown };
        let slices = Slices::new(trade, side, self.scale);
        self.gather.next_trade(trade.price);
        let gather = &mut self.gather;
        match &mut self.progress {
            Progress::Ticks(ticks) => ticks.take(slices, gather, bars),
            Progress::Volume(volume) => volume.take(slices, gather, bars),
            Progress::Value(value) => value.take(slices, gather, bars),
            _ if side == Aggressor::Unknown => gather.add_whole(&slices),
            Progress::TickImbalance(imbalance) => imbalance.take(slices, gather, bars),
            Progress::VolumeImbalance(imbalance) => imbalance.take(slices, gather, bars),
            Progress::ValueImbalance(imbalance) => imbalance.take(slices, gather, bars),
            Progress::TickRuns(runs) => runs.take(slices, gather, bars),
            Progress::VolumeRuns(runs) => runs.take(slices, gather, bars),
            Progress::ValueRuns(runs) => runs.take(slices, gather, bars),
        }
    }

    /// Takes all trades of a batch; appends the bars they close.
    pub fn on_batch(&mut self, batch: &TradeBatch, bars: &mut Vec<Bar>) {
        for trade in batch.iter() {
            self.on_trade(&trade, batch.feed.has_aggressor, bars);
        }
    }
}

/// What θ of the bars is in.
fn measure(aggregation: NautilusAggregation) -> Measure {
    match aggregation {
        NautilusAggregation::Tick
        | NautilusAggregation::TickImbalance
        | NautilusAggregation::TickRuns => Measure::Tick,
        NautilusAggregation::Volume
        | NautilusAggregation::VolumeImbalance
        | NautilusAggregation::VolumeRuns => Measure::Volume,
        NautilusAggregation::Value
        | NautilusAggregation::ValueImbalance
        | NautilusAggregation::ValueRuns => Measure::Dollar,
    }
}

#[cfg(test)]
mod tests;
