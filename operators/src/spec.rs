//! Bar specifications: validated parameters from which builders are made.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bars::product::ExpectationsAt;
use crate::measure::Measure;
use crate::sign::SignRule;

/// Why a parameter is refused: key, value and the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {rule}")]
pub struct Invalid {
    /// The key as the user writes it.
    pub key: String,
    /// The value given.
    pub value: String,
    /// What would be right.
    pub rule: String,
}

impl Invalid {
    /// A refusal.
    pub fn new(key: impl Into<String>, value: impl fmt::Display, rule: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.to_string(), rule: rule.into() }
    }
}

/// E\[T\] of an adaptive bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedTicksSpec {
    /// Target ticks per bar.
    pub target: f64,
    /// α_T for an EWMA over closed bars; none keeps `target`.
    pub alpha: Option<f64>,
    /// Lower clamp of the EWMA.
    pub min: f64,
    /// Upper clamp of the EWMA.
    pub max: f64,
}

/// Parameters that adaptive thresholds share (docs/BARS.md).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdaptiveSpec {
    /// α per tick.
    pub alpha: f64,
    /// φ, the memory of the recent flow (`wald` only).
    pub memory: f64,
    /// Trades before the first bar.
    pub warmup: u64,
    /// Mantissa bits kept at a close; 0 = all.
    pub round_bits: u32,
    /// E\[T\].
    pub expected_ticks: ExpectedTicksSpec,
    /// When expectations are taken (`product` only).
    pub expectations: ExpectationsAt,
}

/// When an imbalance or runs bar closes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ThresholdSpec {
    /// The barrier of a walk with drift (imbalance only).
    Wald(AdaptiveSpec),
    /// AFML's product of expectations.
    Product(AdaptiveSpec),
    /// A constant, in the bar's measure.
    Fixed {
        /// The constant.
        size: f64,
    },
}

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

/// Which bars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum RuleSpec {
    /// Time bars of `every` ns.
    Time {
        /// Length of the interval in ns.
        every: i64,
    },
    /// Tick, volume or dollar bars.
    Size {
        /// What is summed.
        measure: Measure,
        /// Close at this sum.
        size: f64,
    },
    /// Imbalance bars.
    Imbalance {
        /// What is summed with its sign.
        measure: Measure,
        /// When to close.
        threshold: ThresholdSpec,
    },
    /// Runs bars.
    Runs {
        /// What is summed per side.
        measure: Measure,
        /// When to close.
        threshold: ThresholdSpec,
    },
    /// Imbalance bars of the mlfinlab family.
    MlfinlabImbalance {
        /// What is summed with its sign.
        measure: Measure,
        /// Parameters.
        params: MlfinlabSpec,
    },
    /// Runs bars of the mlfinlab family.
    MlfinlabRuns {
        /// What is summed per side.
        measure: Measure,
        /// Parameters.
        params: MlfinlabSpec,
    },
    /// The predecessor's newest kernel.
    PredecessorHead {
        /// Ticks of a first bar.
        init_ticks: u64,
        /// α of E\[T\].
        alpha_ticks: f64,
        /// α of the expected imbalance per tick.
        alpha_imbalance: f64,
        /// Hours after which a longer bar starts everything over.
        time_reset: f64,
    },
    /// The predecessor's kernel at the time of its roadmap.
    PredecessorSeed {
        /// Expected quote volume at the start.
        init_t: f64,
        /// α of the expected volume.
        alpha_volume: f64,
        /// α of the expected relative imbalance.
        alpha_imbalance: f64,
    },
    /// finmlkit's tick, volume and dollar bars: the first trade counts but is in no bar, and what a
    /// dollar bar has too much counts towards the next.
    Finmlkit {
        /// What is summed.
        measure: Measure,
        /// Close at this sum.
        size: f64,
    },
    /// nautilus_trader's aggregators.
    Nautilus(NautilusSpec),
}

/// What may close a bar besides its rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSpec {
    /// Close at this many ticks.
    pub max_ticks: Option<u64>,
    /// Close on the first trade this many ns after the bar's first.
    pub max_duration: Option<i64>,
    /// End bars at UTC midnight and start over with the warm-up.
    pub utc_day: bool,
}

/// A named, validated bar specification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BarSpec {
    name: Arc<str>,
    sign: SignRule,
    limits: LimitSpec,
    rule: RuleSpec,
}

impl BarSpec {
    /// Validates; the only door.
    ///
    /// # Errors
    /// Every parameter that is impossible, with the rule it breaks.
    pub fn new(
        name: &str,
        sign: SignRule,
        limits: LimitSpec,
        rule: RuleSpec,
    ) -> Result<Self, Vec<Invalid>> {
        let mut wrong = Vec::new();
        let lawful = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(lawful) || name.len() > 100 {
            let rule = "1 to 100 of the characters A-Z a-z 0-9 _ - . (it names topics and files)";
            wrong.push(Invalid::new("name", format!("{name:?}"), rule));
        }
        check_limits(&limits, &rule, &mut wrong);
        check_rule(&rule, &mut wrong);
        if wrong.is_empty() {
            // A compatibility mode fixes its own sign rule; the spec's others leave it open.
            let sign = rule.fixed_sign().unwrap_or(sign);
            Ok(Self { name: name.into(), sign, limits, rule })
        } else {
            Err(wrong)
        }
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The sign rule in force.
    pub fn sign(&self) -> SignRule {
        self.sign
    }

    /// Caps and sessions.
    pub fn limits(&self) -> LimitSpec {
        self.limits
    }

    /// The rule.
    pub fn rule(&self) -> &RuleSpec {
        &self.rule
    }
}

impl RuleSpec {
    /// The sign rule that a compatibility mode brings along.
    pub fn fixed_sign(&self) -> Option<SignRule> {
        match self {
            Self::MlfinlabImbalance { .. } | Self::MlfinlabRuns { .. } => {
                Some(SignRule::TickRuleFromZero)
            }
            Self::PredecessorHead { .. } | Self::PredecessorSeed { .. } => {
                Some(SignRule::ReversedTickRule)
            }
            Self::Nautilus(_) => Some(SignRule::Aggressor),
            _ => None,
        }
    }

    fn takes_limits(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Imbalance { .. } | Self::Runs { .. })
    }
}

fn check_limits(limits: &LimitSpec, rule: &RuleSpec, wrong: &mut Vec<Invalid>) {
    if limits.max_ticks == Some(0) {
        wrong.push(Invalid::new("max_ticks", 0, "at least 1"));
    }
    if let Some(duration) = limits.max_duration.filter(|duration| *duration <= 0) {
        wrong.push(Invalid::new("max_duration", format!("{duration} ns"), "longer than 0"));
    }
    if *limits != LimitSpec::default() && !rule.takes_limits() {
        let text = "only for tick, volume, dollar, imbalance and runs bars";
        for (key, is_set) in [
            ("max_ticks", limits.max_ticks.is_some()),
            ("max_duration", limits.max_duration.is_some()),
            ("reset", limits.utc_day),
        ] {
            if is_set {
                wrong.push(Invalid::new(key, "set", text));
            }
        }
    }
}

fn check_rule(rule: &RuleSpec, wrong: &mut Vec<Invalid>) {
    match rule {
        RuleSpec::Time { every } => {
            if *every <= 0 {
                wrong.push(Invalid::new("every", format!("{every} ns"), "longer than 0"));
            }
        }
        RuleSpec::Size { size, .. } | RuleSpec::Finmlkit { size, .. } => {
            positive("size", *size, wrong);
        }
        RuleSpec::Imbalance { threshold, .. } => check_threshold(threshold, wrong),
        RuleSpec::Runs { threshold, .. } => {
            if let ThresholdSpec::Wald(_) = threshold {
                let rule = "runs bars know product and fixed; wald is for imbalance bars";
                wrong.push(Invalid::new("threshold", "wald", rule));
            }
            check_threshold(threshold, wrong);
        }
        RuleSpec::MlfinlabImbalance { params, .. } | RuleSpec::MlfinlabRuns { params, .. } => {
            at_least_one("num_prev_bars", params.num_prev_bars, wrong);
            at_least_one("window", params.window, wrong);
            let max = 1 << 24;
            for (key, value) in [("window", params.window), ("num_prev_bars", params.num_prev_bars)]
            {
                if value > max {
                    let rule = format!("at most {max}: its values are kept in memory");
                    wrong.push(Invalid::new(key, value, rule));
                }
            }
            positive("init", params.init, wrong);
            bounds(params.min, params.max, wrong);
        }
        RuleSpec::PredecessorHead { init_ticks, alpha_ticks, alpha_imbalance, time_reset } => {
            if *init_ticks == 0 {
                wrong.push(Invalid::new("init_ticks", 0, "at least 1"));
            }
            share("alpha_ticks", *alpha_ticks, wrong);
            share("alpha_imbalance", *alpha_imbalance, wrong);
            positive("time_reset", *time_reset, wrong);
        }
        RuleSpec::PredecessorSeed { init_t, alpha_volume, alpha_imbalance } => {
            positive("init_t", *init_t, wrong);
            share("alpha_volume", *alpha_volume, wrong);
            share("alpha_imbalance", *alpha_imbalance, wrong);
        }
        RuleSpec::Nautilus(params) => {
            if params.step == 0 {
                wrong.push(Invalid::new("size", 0, "at least 1"));
            }
            for (key, value) in [
                ("price_precision", params.price_precision),
                ("size_precision", params.size_precision),
            ] {
                if value > 16 {
                    wrong.push(Invalid::new(key, value, "0 to 16 decimal places"));
                }
            }
            // So that no step and no trade's value leaves the machine's integers.
            let places = params.price_precision.saturating_add(params.size_precision);
            if places > 18 {
                let rule = "price_precision and size_precision at most 18 together";
                wrong.push(Invalid::new("size_precision", params.size_precision, rule));
            }
        }
    }
}

fn check_threshold(threshold: &ThresholdSpec, wrong: &mut Vec<Invalid>) {
    let adaptive = match threshold {
        ThresholdSpec::Fixed { size } => return positive("size", *size, wrong),
        ThresholdSpec::Wald(adaptive) | ThresholdSpec::Product(adaptive) => adaptive,
    };
    share("alpha", adaptive.alpha, wrong);
    if !(0.0..1.0).contains(&adaptive.memory) {
        wrong.push(Invalid::new("memory", adaptive.memory, "at least 0 and below 1"));
    }
    if adaptive.round_bits > 52 {
        wrong.push(Invalid::new("round_bits", adaptive.round_bits, "0 (off) to 52"));
    }
    let ticks = &adaptive.expected_ticks;
    if !(ticks.target.is_finite() && ticks.target >= 1.0) {
        wrong.push(Invalid::new("target", ticks.target, "a finite number of at least 1 tick"));
    }
    if let Some(alpha) = ticks.alpha {
        share("alpha_t", alpha, wrong);
        bounds(ticks.min, ticks.max, wrong);
    }
}

/// Refuses NaN and infinity too, so no machine has to ask again.
fn positive(key: &str, value: f64, wrong: &mut Vec<Invalid>) {
    if !(value.is_finite() && value > 0.0) {
        wrong.push(Invalid::new(key, value, "a finite number greater than 0"));
    }
}

fn share(key: &str, value: f64, wrong: &mut Vec<Invalid>) {
    if !(value > 0.0 && value <= 1.0) {
        wrong.push(Invalid::new(key, value, "greater than 0 and at most 1"));
    }
}

fn at_least_one(key: &str, value: usize, wrong: &mut Vec<Invalid>) {
    if value == 0 {
        wrong.push(Invalid::new(key, value, "at least 1"));
    }
}

fn bounds(min: f64, max: f64, wrong: &mut Vec<Invalid>) {
    if min.is_nan() || min < 0.0 || min.is_infinite() {
        wrong.push(Invalid::new("min", min, "a finite number of at least 0"));
    }
    if max.is_nan() || max <= 0.0 {
        wrong.push(Invalid::new("max", max, "greater than 0"));
    }
    if min > max {
        wrong.push(Invalid::new("min", min, format!("not above max = {max}")));
    }
}
