//! Bars whose `target` cannot be what comes out, or is not what came out.

use std::fmt;
use std::sync::Arc;

use barflow_operators::instrument::InstrumentId;
use barflow_operators::spec::{AdaptiveSpec, BarSpec, RuleSpec, ThresholdSpec};

/// Between these, α·target gives averages that are neither noise nor of another market.
const ALPHA_TARGETS: (f64, f64) = (0.3, 5.0);

/// How far the median may be from the target.
const FACTOR: f64 = 1.5;

/// Bars that make a median worth comparing.
const BARS: u64 = 20;

/// The part of a day's trades that one bar may hold.
const SHARE: f64 = 0.2;

/// Bars over less time than this say nothing about a day.
const LEAST_SPAN: f64 = 0.25;

/// Something about a specification that its user should know.
#[derive(Clone, Debug, PartialEq)]
pub enum Doubt {
    /// The averages remember far fewer or far more trades than a bar is meant to have.
    Alpha {
        /// Name of the specification.
        spec: Arc<str>,
        /// Its α.
        alpha: f64,
        /// Its target.
        target: f64,
    },
    /// `product` has no stable length for imbalance bars.
    Product {
        /// Name of the specification.
        spec: Arc<str>,
    },
    /// The bars are much longer or shorter than the target.
    Median {
        /// Whose bars.
        instrument: InstrumentId,
        /// Name of the specification.
        spec: Arc<str>,
        /// Median ticks per bar.
        median: u64,
        /// What was aimed at.
        target: f64,
    },
    /// A bar holds a large part of a day.
    LongBar {
        /// Whose bar.
        instrument: InstrumentId,
        /// Name of the specification.
        spec: Arc<str>,
        /// Ticks of the longest bar.
        ticks: u64,
        /// Its part of a day's trades.
        share: f64,
    },
    /// There were too few trades for the first bar.
    WarmUp {
        /// Whose bars.
        instrument: InstrumentId,
        /// Name of the specification.
        spec: Arc<str>,
        /// Trades that the warm-up takes.
        warmup: u64,
        /// Trades that were missing.
        left: u64,
    },
}

/// What bars have come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// How many there are.
    pub bars: u64,
    /// Their median length in ticks.
    pub median: u64,
    /// The longest.
    pub longest: u64,
    /// Ticks of all of them.
    pub ticks: f64,
    /// Days from the first trade to the last.
    pub days: f64,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alpha { spec, alpha, target } => {
                let (least, most) = ALPHA_TARGETS;
                let of = alpha * target;
                let far = if of < least { "much longer" } else { "much shorter" };
                write!(
                    f,
                    "{spec}: alpha × target = {of:.3}: the averages remember {far} than a bar; keep \
                     it between {least} and {most} (alpha between {:.2e} and {:.2e})",
                    least / target,
                    (most / target).min(1.0)
                )
            }
            Self::Product { spec } => write!(
                f,
                "{spec}: threshold = product has no stable bar length for imbalance bars; wald \
                 (the default) has"
            ),
            Self::Median { instrument, spec, median, target } => write!(
                f,
                "{instrument} {spec}: the median of {median} ticks per bar is off the target of \
                 {target} by more than {FACTOR}×; try another alpha, or choose a target by \
                 `barflow sweep`"
            ),
            Self::LongBar { instrument, spec, ticks, share } => write!(
                f,
                "{instrument} {spec}: one bar has {ticks} ticks, {:.0} % of a day's trades; a cap \
                 (max_ticks, max_duration) or a smaller target prevents that",
                share * 100.0
            ),
            Self::WarmUp { instrument, spec, warmup, left } => write!(
                f,
                "{instrument} {spec}: the history is shorter than the warm-up of {warmup} trades \
                 by {left}; give it more history, or set warmup"
            ),
        }
    }
}

/// What is doubtful whatever the trades are.
pub fn doubts(spec: &BarSpec) -> Vec<Doubt> {
    let Some(adaptive) = adaptive(spec) else { return Vec::new() };
    let (alpha, target) = (adaptive.alpha, adaptive.expected_ticks.target);
    let (least, most) = ALPHA_TARGETS;
    let spec_name = || Arc::clone(spec.name());
    let mut doubts = Vec::new();
    // A little room for what was typed as a decimal fraction.
    if !(least * 0.999..=most * 1.001).contains(&(alpha * target)) {
        doubts.push(Doubt::Alpha { spec: spec_name(), alpha, target });
    }
    let product = ThresholdSpec::Product(*adaptive);
    if matches!(spec.rule(), RuleSpec::Imbalance { threshold, .. } if *threshold == product) {
        doubts.push(Doubt::Product { spec: spec_name() });
    }
    doubts
}

/// What of the bars that came out is not as it was meant.
pub fn off_target(spec: &BarSpec, instrument: &InstrumentId, of: &Measured) -> Vec<Doubt> {
    let Some(adaptive) = adaptive(spec) else { return Vec::new() };
    let target = adaptive.expected_ticks.target;
    let (instrument, spec) = (|| instrument.clone(), || Arc::clone(spec.name()));
    let mut doubts = Vec::new();
    let ratio = of.median as f64 / target;
    if of.bars >= BARS && !(1.0 / FACTOR..=FACTOR).contains(&ratio) {
        let (instrument, spec, median) = (instrument(), spec(), of.median);
        doubts.push(Doubt::Median { instrument, spec, median, target });
    }
    let share = of.longest as f64 / (of.ticks / of.days.max(1.0)).max(1.0);
    if of.days >= LEAST_SPAN && share > SHARE {
        let (instrument, spec, ticks) = (instrument(), spec(), of.longest);
        doubts.push(Doubt::LongBar { instrument, spec, ticks, share: share.min(1.0) });
    }
    doubts
}

/// Whether a history was too short for the first bar.
pub fn too_short(spec: &BarSpec, instrument: &InstrumentId, left: u64) -> Option<Doubt> {
    let warmup = adaptive(spec)?.warmup;
    let (instrument, spec) = (instrument.clone(), Arc::clone(spec.name()));
    (left > 0).then_some(Doubt::WarmUp { instrument, spec, warmup, left })
}

/// Trades before the first bar.
pub fn warmup(spec: &BarSpec) -> u64 {
    adaptive(spec).map_or(0, |adaptive| adaptive.warmup)
}

fn adaptive(spec: &BarSpec) -> Option<&AdaptiveSpec> {
    match spec.rule() {
        RuleSpec::Imbalance { threshold, .. } | RuleSpec::Runs { threshold, .. } => match threshold
        {
            ThresholdSpec::Wald(adaptive) | ThresholdSpec::Product(adaptive) => Some(adaptive),
            ThresholdSpec::Fixed { .. } => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::bars::{BarBook, cut};
    use crate::config::problem::Problems;

    fn spec(text: &str) -> BarSpec {
        let mut problems = Problems::default();
        let section = cut(text, &mut problems).unwrap();
        let book = BarBook::understand(vec![section], &mut problems);
        assert_eq!(problems, Problems::default());
        book.orders()[0].spec.clone()
    }

    #[test]
    fn only_what_cannot_work_is_doubted() {
        for fine in [
            "a=imbalance",
            "a=imbalance,target=100",
            "a=imbalance,target=20000",
            "a=runs,target=5000",
            "a=imbalance,target=1000,alpha=0.0003",
            "a=imbalance,target=1000,alpha=0.005",
            "a=imbalance,threshold=fixed,size=3",
            "a=tick,size=10",
        ] {
            assert_eq!(doubts(&spec(fine)), [], "{fine}");
        }
        for doubted in ["a=imbalance,target=1000,alpha=0.006", "a=runs,target=100,alpha=0.001"] {
            let found = doubts(&spec(doubted));
            assert!(matches!(found[..], [Doubt::Alpha { .. }]), "{found:?}");
        }
        let found = doubts(&spec("a=imbalance,threshold=product"));
        assert!(matches!(found[..], [Doubt::Product { .. }]), "{found:?}");
        assert_eq!(doubts(&spec("a=runs,threshold=product")), []);
    }

    #[test]
    fn bars_far_from_their_target_are_doubted() {
        let spec = spec("a=imbalance,target=1000");
        let instrument: InstrumentId = "a:b:C".parse().unwrap();
        let fine = Measured { bars: 100, median: 900, longest: 9_000, ticks: 1e5, days: 2.0 };
        let of = |measured: Measured| off_target(&spec, &instrument, &measured);
        assert_eq!(of(fine), []);
        assert_eq!(of(Measured { bars: 19, median: 5, ..fine }), [], "too few to say");
        assert!(matches!(of(Measured { median: 600, ..fine })[..], [Doubt::Median { .. }]));
        assert!(matches!(of(Measured { median: 1600, ..fine })[..], [Doubt::Median { .. }]));
        let long = of(Measured { longest: 11_000, ..fine });
        assert!(matches!(long[..], [Doubt::LongBar { share, .. }] if (share - 0.22).abs() < 1e-9));
        assert_eq!(of(Measured { longest: 90_000, days: 0.1, ..fine }), [], "not a day");
        assert_eq!(too_short(&spec, &instrument, 0), None);
        assert!(too_short(&spec, &instrument, 3).is_some());
    }
}
