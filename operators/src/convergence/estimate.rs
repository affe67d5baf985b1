//! After how many trades two builders of a specification can be expected to agree.

use crate::measure::Measure;
use crate::spec::{AdaptiveSpec, BarSpec, RuleSpec, ThresholdSpec};

/// Bars after which fixed sizes have usually fallen into the same phase. Nothing pulls them there:
/// they meet by chance, and stay together.
const CHANCE: f64 = 100.0;

/// Trades after which two builders with different pasts have usually become identical, for one who
/// has to decide whether to try; none where they practically never do. A rule of thumb, no promise:
/// `barflow sync-report` measures.
pub fn expected_trades(spec: &BarSpec) -> Option<u64> {
    if spec.limits().utc_day {
        // Midnight makes all builders equal; how many trades a day has is not known here.
        return Some(1 << 20);
    }
    match spec.rule() {
        // The next multiple of the interval since the epoch.
        RuleSpec::Time { .. } | RuleSpec::FilledTime { .. } => Some(1 << 14),
        RuleSpec::Imbalance { measure, threshold: ThresholdSpec::Wald(wald) } => {
            // Steps that are all equal fall into phase by chance only.
            let phase = if *measure == Measure::Tick { 10.0 } else { 1.0 };
            adaptive(wald).map(|trades| (trades * phase) as u64)
        }
        RuleSpec::Runs {
            threshold: ThresholdSpec::Wald(rule) | ThresholdSpec::Product(rule),
            measure,
        } => {
            let phase = if *measure == Measure::Tick { 10.0 } else { 1.0 };
            adaptive(rule).map(|trades| (trades * phase) as u64)
        }
        RuleSpec::Imbalance { threshold: ThresholdSpec::Product(rule), .. } => {
            adaptive(rule).map(|trades| trades as u64)
        }
        _ => None,
    }
}

/// The EWMAs forget a past by α a trade until the kept bits agree; then bars have to fall into
/// phase.
fn adaptive(rule: &AdaptiveSpec) -> Option<f64> {
    if rule.expected_ticks.alpha.is_some() {
        return None;
    }
    let forgetting = f64::from(rule.rounding.kept()) * std::f64::consts::LN_2 / rule.alpha;
    Some(rule.warmup as f64 + forgetting + CHANCE / 5.0 * rule.expected_ticks.target)
}
