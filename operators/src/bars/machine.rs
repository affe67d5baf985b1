//! One type for all bar builders: the graph drives it, checkpoints store it.

use serde::{Deserialize, Serialize};

use super::boundary::Boundary;
use super::builder::{Builder, Caps};
#[cfg(feature = "compat")]
use super::compat::finmlkit::Finmlkit;
#[cfg(feature = "compat")]
use super::compat::mlfinlab_imbalance::MlfinlabImbalance;
#[cfg(feature = "compat")]
use super::compat::mlfinlab_runs::MlfinlabRuns;
#[cfg(feature = "compat")]
use super::compat::nautilus::Nautilus;
#[cfg(feature = "compat")]
use super::compat::predecessor_head::PredecessorHead;
#[cfg(feature = "compat")]
use super::compat::predecessor_seed::PredecessorSeed;
use super::expected_ticks::ExpectedTicks;
use super::filled::FilledTime;
use super::fixed::{FixedImbalance, FixedRuns};
use super::flow_moments::FlowMoments;
use super::product::Product;
use super::runs::Runs;
use super::size::{Never, Size};
use super::wald::Wald;
use crate::bar::{Bar, Levels, OpenBar, known_at};
use crate::batch::TradeBatch;
use crate::end::InputEnd;
use crate::measure::Measure;
use crate::sign::Signer;
use crate::spec::{AdaptiveSpec, BarSpec, ExpectedTicksSpec, RuleSpec, ThresholdSpec};
use crate::trade::Trade;

/// A bar builder for one instrument and specification.
///
/// # Contract
/// That of [`Builder`]. The variant is part of the saved state, so restoring under another
/// specification is noticed when configurations are compared, not here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each is its builder.
pub enum BarMachine {
    Time(Builder<Never>),
    Size(Builder<Size>),
    Wald(Builder<Wald>),
    Product(Builder<Product>),
    FixedImbalance(Builder<FixedImbalance>),
    Runs(Builder<Runs>),
    FixedRuns(Builder<FixedRuns>),
    #[cfg(feature = "compat")]
    MlfinlabImbalance(Builder<MlfinlabImbalance>),
    #[cfg(feature = "compat")]
    MlfinlabRuns(Builder<MlfinlabRuns>),
    #[cfg(feature = "compat")]
    PredecessorHead(Builder<PredecessorHead>),
    #[cfg(feature = "compat")]
    PredecessorSeed(Builder<PredecessorSeed>),
    #[cfg(feature = "compat")]
    Finmlkit(Builder<Finmlkit>),
    #[cfg(feature = "compat")]
    Nautilus(Nautilus),
    FilledTime(FilledTime),
}

macro_rules! each {
    ($self:expr, $machine:ident => $then:expr) => {
        match $self {
            BarMachine::Time($machine) => $then,
            BarMachine::Size($machine) => $then,
            BarMachine::Wald($machine) => $then,
            BarMachine::Product($machine) => $then,
            BarMachine::FixedImbalance($machine) => $then,
            BarMachine::Runs($machine) => $then,
            BarMachine::FixedRuns($machine) => $then,
            #[cfg(feature = "compat")]
            BarMachine::MlfinlabImbalance($machine) => $then,
            #[cfg(feature = "compat")]
            BarMachine::MlfinlabRuns($machine) => $then,
            #[cfg(feature = "compat")]
            BarMachine::PredecessorHead($machine) => $then,
            #[cfg(feature = "compat")]
            BarMachine::PredecessorSeed($machine) => $then,
            #[cfg(feature = "compat")]
            BarMachine::Finmlkit($machine) => $then,
            #[cfg(feature = "compat")]
            BarMachine::Nautilus($machine) => $then,
            BarMachine::FilledTime($machine) => $then,
        }
    };
}

impl BarMachine {
    /// The builder that a specification describes.
    pub fn new(spec: &BarSpec) -> Self {
        let limits = spec.limits();
        let caps = Caps { max_ticks: limits.max_ticks, max_duration: limits.max_duration };
        let boundary = if limits.utc_day { Boundary::UTC_DAY } else { Boundary::NONE };
        let signer = Signer::new(spec.sign());
        let frame = Frame { signer, boundary, caps };
        match *spec.rule() {
            RuleSpec::Time { every } => Self::Time(Builder::new(
                Never,
                // Time bars have no measure of their own; θ is the signed quote flow.
                Measure::Dollar,
                signer,
                Boundary::interval(every),
                caps,
            )),
            RuleSpec::FilledTime { every } => Self::FilledTime(FilledTime::new(every, signer)),
            RuleSpec::Size { measure, size } => Self::Size(frame.holding(Size::new(size), measure)),
            RuleSpec::Imbalance { measure, threshold } => frame.imbalance(measure, threshold),
            RuleSpec::Runs { measure, threshold } => frame.runs(measure, threshold),
            #[cfg(feature = "compat")]
            RuleSpec::MlfinlabImbalance { measure, params } => {
                let rule = MlfinlabImbalance::new(&params);
                Self::MlfinlabImbalance(frame.holding(rule, measure))
            }
            #[cfg(feature = "compat")]
            RuleSpec::MlfinlabRuns { measure, params } => {
                Self::MlfinlabRuns(frame.holding(MlfinlabRuns::new(&params), measure))
            }
            #[cfg(feature = "compat")]
            RuleSpec::PredecessorHead { init_ticks, alpha_ticks, alpha_imbalance, time_reset } => {
                let rule =
                    PredecessorHead::new(init_ticks, alpha_ticks, alpha_imbalance, time_reset);
                Self::PredecessorHead(frame.holding(rule, Measure::Dollar))
            }
            #[cfg(feature = "compat")]
            RuleSpec::PredecessorSeed { init_t, alpha_volume, alpha_imbalance } => {
                let rule = PredecessorSeed::new(init_t, alpha_volume, alpha_imbalance);
                Self::PredecessorSeed(frame.holding(rule, Measure::Dollar))
            }
            #[cfg(feature = "compat")]
            RuleSpec::Finmlkit { measure, size } => {
                let rule = Finmlkit::new(size, measure == Measure::Dollar);
                Self::Finmlkit(frame.holding(rule, measure))
            }
            #[cfg(feature = "compat")]
            RuleSpec::Nautilus(params) => Self::Nautilus(Nautilus::new(&params)),
        }
    }

    /// Takes one trade; appends the bars it closes.
    pub fn on_trade(&mut self, trade: &Trade, has_aggressor: bool, bars: &mut Vec<Bar>) {
        each!(self, machine => machine.on_trade(trade, has_aggressor, bars));
    }

    /// Takes all trades of a batch; appends the bars they close.
    pub fn on_batch(&mut self, batch: &TradeBatch, bars: &mut Vec<Bar>) {
        each!(self, machine => machine.on_batch(batch, bars));
    }

    /// The open bar; `ticks` is 0 when there is none.
    pub fn open(&self) -> &OpenBar {
        each!(self, machine => machine.open())
    }

    /// How many bars it has made.
    pub fn bars(&self) -> u64 {
        each!(self, machine => machine.bars())
    }

    /// Numbers its next bar so, and those after it from there on.
    pub fn number_from(&mut self, seq: u64) {
        each!(self, machine => machine.number_from(seq));
    }

    /// Whether the next trade belongs to the warm-up.
    pub fn is_warming(&self) -> bool {
        each!(self, machine => machine.is_warming())
    }

    /// Trades that the warm-up still needs.
    pub fn warmup_left(&self) -> u64 {
        each!(self, machine => machine.warmup_left())
    }

    /// How much of its threshold the open bar has reached: 1 closes it; none where there is no threshold.
    pub fn reached(&self) -> Option<f64> {
        each!(self, machine => machine.reached())
    }

    /// What its rule expects of the next trade; nothing in the warm-up, or where there is no expectation.
    pub fn levels(&self) -> Levels {
        each!(self, machine => machine.levels())
    }

    /// The input has ended so; appends the bars that this closes. A builder of `spec` continues after
    /// a bar that was closed early as after any other.
    pub fn on_end(&mut self, end: InputEnd, spec: &BarSpec, bars: &mut Vec<Bar>) {
        let before = bars.len();
        if let Some(until) = end.until {
            each!(self, machine => machine.complete_until(until, bars));
        }
        if end.flush {
            each!(self, machine => machine.flush(bars));
            #[cfg(feature = "compat")]
            if let (Self::Nautilus(machine), RuleSpec::Nautilus(params)) = (self, spec.rule()) {
                machine.restart(params);
            }
            #[cfg(not(feature = "compat"))]
            let _ = spec;
        }
        if let Some(until) = end.until {
            known_at(until, &mut bars[before..]);
        }
    }

    /// Makes it the machine that counted from elsewhere: the next bar gets the number `next_seq`,
    /// and `ids` is added (wrapping) to the ids that the open bar has noted. Nothing else in a
    /// machine knows numbers of bars or ids.
    pub(crate) fn renumber(&mut self, next_seq: u64, ids: u64) {
        each!(self, machine => machine.renumber(next_seq, ids));
    }
}

/// What surrounds a rule.
struct Frame {
    signer: Signer,
    boundary: Boundary,
    caps: Caps,
}

impl Frame {
    fn holding<R: super::rule::Rule>(&self, rule: R, measure: Measure) -> Builder<R> {
        Builder::new(rule, measure, self.signer, self.boundary, self.caps)
    }

    fn imbalance(&self, measure: Measure, threshold: ThresholdSpec) -> BarMachine {
        match threshold {
            ThresholdSpec::Wald(a) => {
                let rule = Wald::new(moments(&a), a.memory, ticks(&a.expected_ticks), a.rounding);
                BarMachine::Wald(self.holding(rule, measure))
            }
            ThresholdSpec::Product(a) => {
                let ticks = ticks(&a.expected_ticks);
                let rule = Product::new(moments(&a), ticks, a.rounding, a.expectations);
                BarMachine::Product(self.holding(rule, measure))
            }
            ThresholdSpec::Fixed { size } => {
                BarMachine::FixedImbalance(self.holding(FixedImbalance::new(size), measure))
            }
        }
    }

    fn runs(&self, measure: Measure, threshold: ThresholdSpec) -> BarMachine {
        match threshold {
            ThresholdSpec::Wald(a) | ThresholdSpec::Product(a) => {
                let ticks = ticks(&a.expected_ticks);
                let rule = Runs::new(a.alpha, a.warmup, ticks, a.rounding, a.expectations);
                BarMachine::Runs(self.holding(rule, measure))
            }
            ThresholdSpec::Fixed { size } => {
                BarMachine::FixedRuns(self.holding(FixedRuns::new(size), measure))
            }
        }
    }
}

fn moments(spec: &AdaptiveSpec) -> FlowMoments {
    FlowMoments::new(spec.alpha, spec.memory, spec.warmup)
}

fn ticks(spec: &ExpectedTicksSpec) -> ExpectedTicks {
    match spec.alpha {
        None => ExpectedTicks::constant(spec.target),
        Some(alpha) => ExpectedTicks::ewma(spec.target, alpha, spec.min, spec.max),
    }
}
