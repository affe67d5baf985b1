//! Bar specifications: validated parameters from which builders are made.

mod check;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

#[cfg(feature = "compat")]
pub use crate::bars::compat::spec::{
    CompatFlavour, CompatTicks, MlfinlabSpec, NautilusAggregation, NautilusSpec,
};
use crate::bars::product::ExpectationsAt;
use crate::bars::round::Rounding;
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
    /// What learned values are rounded to at a close.
    #[serde(rename = "round_bits")]
    pub rounding: Rounding,
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
    #[cfg(feature = "compat")]
    /// Imbalance bars of the mlfinlab family.
    MlfinlabImbalance {
        /// What is summed with its sign.
        measure: Measure,
        /// Parameters.
        params: MlfinlabSpec,
    },
    #[cfg(feature = "compat")]
    /// Runs bars of the mlfinlab family.
    MlfinlabRuns {
        /// What is summed per side.
        measure: Measure,
        /// Parameters.
        params: MlfinlabSpec,
    },
    #[cfg(feature = "compat")]
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
    #[cfg(feature = "compat")]
    /// The predecessor's kernel at the time of its roadmap.
    PredecessorSeed {
        /// Expected quote volume at the start.
        init_t: f64,
        /// α of the expected volume.
        alpha_volume: f64,
        /// α of the expected relative imbalance.
        alpha_imbalance: f64,
    },
    #[cfg(feature = "compat")]
    /// finmlkit's tick, volume and dollar bars: the first trade counts but is in no bar, and what a
    /// dollar bar has too much counts towards the next.
    Finmlkit {
        /// What is summed.
        measure: Measure,
        /// Close at this sum.
        size: f64,
    },
    #[cfg(feature = "compat")]
    /// nautilus_trader's aggregators.
    Nautilus(NautilusSpec),
    /// Time bars of `every` ns, also of intervals without trades.
    FilledTime {
        /// Length of the interval in ns.
        every: i64,
    },
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
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(valid) || name.len() > 100 {
            let rule =
                "must be 1 to 100 of the characters A-Z a-z 0-9 _ - . (it names topics and files)";
            wrong.push(Invalid::new("name", format!("{name:?}"), rule));
        }
        check::check_limits(&limits, &rule, &mut wrong);
        check::check_rule(&rule, &mut wrong);
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
            #[cfg(feature = "compat")]
            Self::MlfinlabImbalance { .. } | Self::MlfinlabRuns { .. } => {
                Some(SignRule::TickRuleFromZero)
            }
            #[cfg(feature = "compat")]
            Self::PredecessorHead { .. } | Self::PredecessorSeed { .. } => {
                Some(SignRule::ReversedTickRule)
            }
            #[cfg(feature = "compat")]
            Self::Nautilus(_) => Some(SignRule::Aggressor),
            _ => None,
        }
    }

    fn takes_limits(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Imbalance { .. } | Self::Runs { .. })
    }
}
