//! The keys of each kind of bar: the one table behind `--bar` and `[bars.NAME]`.

use barflow_operators::bars::product::ExpectationsAt;
use barflow_operators::bars::round::Rounding;
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{
    AdaptiveSpec, CompatFlavour, CompatTicks, ExpectedTicksSpec, LimitSpec, MlfinlabSpec,
    NautilusAggregation, NautilusSpec, RuleSpec, ThresholdSpec,
};

use super::durations::duration_ns;
use super::problem::Problems;
use super::section::Section;

type Parts = (SignRule, LimitSpec, RuleSpec);

#[derive(Clone, Copy)]
enum Kind {
    Time,
    Size(Measure),
    Imbalance,
    Runs,
    MlfinlabImbalance(CompatFlavour, CompatTicks),
    MlfinlabRuns(CompatFlavour, CompatTicks),
    PredecessorHead,
    PredecessorSeed,
    Nautilus(NautilusAggregation),
    Finmlkit(Measure),
}

const MEASURES: &[(&str, Measure)] =
    &[("tick", Measure::Tick), ("volume", Measure::Volume), ("dollar", Measure::Dollar)];

const KINDS: &[(&str, Kind)] = {
    use CompatFlavour::{Mlfinlab, RiskLabAi};
    use CompatTicks::{Const, Ema};
    &[
        ("time", Kind::Time),
        ("tick", Kind::Size(Measure::Tick)),
        ("volume", Kind::Size(Measure::Volume)),
        ("dollar", Kind::Size(Measure::Dollar)),
        ("imbalance", Kind::Imbalance),
        ("runs", Kind::Runs),
        ("mlfinlab-ema-imbalance", Kind::MlfinlabImbalance(Mlfinlab, Ema)),
        ("mlfinlab-const-imbalance", Kind::MlfinlabImbalance(Mlfinlab, Const)),
        ("mlfinlab-ema-runs", Kind::MlfinlabRuns(Mlfinlab, Ema)),
        ("mlfinlab-const-runs", Kind::MlfinlabRuns(Mlfinlab, Const)),
        ("risklabai-ema-imbalance", Kind::MlfinlabImbalance(RiskLabAi, Ema)),
        ("risklabai-const-imbalance", Kind::MlfinlabImbalance(RiskLabAi, Const)),
        ("risklabai-ema-runs", Kind::MlfinlabRuns(RiskLabAi, Ema)),
        ("risklabai-const-runs", Kind::MlfinlabRuns(RiskLabAi, Const)),
        ("predecessor-head", Kind::PredecessorHead),
        ("predecessor-seed", Kind::PredecessorSeed),
        ("finmlkit-tick", Kind::Finmlkit(Measure::Tick)),
        ("finmlkit-volume", Kind::Finmlkit(Measure::Volume)),
        ("finmlkit-dollar", Kind::Finmlkit(Measure::Dollar)),
        ("nautilus-tick", Kind::Nautilus(NautilusAggregation::Tick)),
        ("nautilus-volume", Kind::Nautilus(NautilusAggregation::Volume)),
        ("nautilus-value", Kind::Nautilus(NautilusAggregation::Value)),
        ("nautilus-tick-imbalance", Kind::Nautilus(NautilusAggregation::TickImbalance)),
        ("nautilus-volume-imbalance", Kind::Nautilus(NautilusAggregation::VolumeImbalance)),
        ("nautilus-value-imbalance", Kind::Nautilus(NautilusAggregation::ValueImbalance)),
        ("nautilus-tick-runs", Kind::Nautilus(NautilusAggregation::TickRuns)),
        ("nautilus-volume-runs", Kind::Nautilus(NautilusAggregation::VolumeRuns)),
        ("nautilus-value-runs", Kind::Nautilus(NautilusAggregation::ValueRuns)),
    ]
};

/// The names of all kinds.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name)
}

/// Reads the keys of a section's kind; what is missing or senseless is noted.
pub fn understand(section: &mut Section, problems: &mut Problems) -> Option<Parts> {
    if section.origin_of("kind").is_empty() {
        return None;
    }
    let before = problems.0.len();
    let Some(kind) = section.choice("kind", KINDS, problems) else {
        if problems.0.len() == before {
            let words: Vec<&str> = names().collect();
            let message =
                format!("{} has no kind; it is one of {}", section.name, words.join(", "));
            problems.add(section.origin.clone(), message);
        }
        // Its keys cannot be judged without a kind; they would only add noise.
        section.take_rest();
        return None;
    };
    let mut keys = Keys { section, problems };
    let (sign, limits) = match kind {
        Kind::Time => (keys.sign(), LimitSpec::default()),
        Kind::Size(_) | Kind::Imbalance | Kind::Runs => (keys.sign(), keys.limits()),
        _ => (SignRule::Aggressor, LimitSpec::default()),
    };
    let rule = match kind {
        Kind::Time => {
            let every = keys.needed_duration("every")?;
            match keys.section.parse("empty_bars", "true or false", keys.problems) {
                Some(true) => RuleSpec::FilledTime { every },
                _ => RuleSpec::Time { every },
            }
        }
        Kind::Size(measure) => RuleSpec::Size { measure, size: keys.needed("size")? },
        Kind::Finmlkit(measure) => RuleSpec::Finmlkit { measure, size: keys.needed("size")? },
        Kind::Imbalance => {
            let measure = keys.measure();
            RuleSpec::Imbalance { measure, threshold: keys.threshold("wald")? }
        }
        Kind::Runs => {
            let measure = keys.measure();
            RuleSpec::Runs { measure, threshold: keys.threshold("product")? }
        }
        Kind::MlfinlabImbalance(flavour, ticks) => {
            let measure = keys.measure();
            RuleSpec::MlfinlabImbalance { measure, params: keys.mlfinlab(flavour, ticks) }
        }
        Kind::MlfinlabRuns(flavour, ticks) => {
            let measure = keys.measure();
            RuleSpec::MlfinlabRuns { measure, params: keys.mlfinlab(flavour, ticks) }
        }
        Kind::PredecessorHead => keys.predecessor_head()?,
        Kind::PredecessorSeed => keys.predecessor_seed()?,
        Kind::Nautilus(aggregation) => RuleSpec::Nautilus(NautilusSpec {
            aggregation,
            step: keys.needed("size")?,
            price_precision: keys.or("price_precision", 2),
            size_precision: keys.or("size_precision", 6),
        }),
    };
    Some((sign, limits, rule))
}

/// Typed access to the keys of one section.
struct Keys<'a> {
    section: &'a mut Section,
    problems: &'a mut Problems,
}

impl Keys<'_> {
    fn get<T: std::str::FromStr>(&mut self, key: &'static str) -> Option<T> {
        self.section.parse(key, number_name::<T>(), self.problems)
    }

    fn or<T: std::str::FromStr>(&mut self, key: &'static str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    fn needed<T: std::str::FromStr>(&mut self, key: &'static str) -> Option<T> {
        let before = self.problems.0.len();
        let value = self.get(key);
        if value.is_none() && self.problems.0.len() == before {
            self.missing(key);
        }
        value
    }

    fn missing(&mut self, key: &str) {
        let message = format!("{} needs the key \"{key}\"", self.section.name);
        self.problems.add(self.section.origin.clone(), message);
    }

    fn duration(&mut self, key: &'static str) -> Option<i64> {
        self.section.parse_with(key, duration_ns, self.problems)
    }

    fn needed_duration(&mut self, key: &'static str) -> Option<i64> {
        let before = self.problems.0.len();
        let value = self.duration(key);
        if value.is_none() && self.problems.0.len() == before {
            self.missing(key);
        }
        value
    }

    fn sign(&mut self) -> SignRule {
        let choices = [("aggressor", SignRule::Aggressor), ("tick_rule", SignRule::TickRule)];
        self.section.choice("sign", &choices, self.problems).unwrap_or(SignRule::Aggressor)
    }

    fn measure(&mut self) -> Measure {
        self.section.choice("measure", MEASURES, self.problems).unwrap_or(Measure::Dollar)
    }

    fn limits(&mut self) -> LimitSpec {
        LimitSpec {
            max_ticks: self.get("max_ticks"),
            max_duration: self.duration("max_duration"),
            utc_day: self
                .section
                .choice("reset", &[("none", false), ("utc_day", true)], self.problems)
                .unwrap_or(false),
        }
    }

    fn threshold(&mut self, default: &'static str) -> Option<ThresholdSpec> {
        let words = [("wald", "wald"), ("product", "product"), ("fixed", "fixed")];
        let word = self.section.choice("threshold", &words, self.problems).unwrap_or(default);
        match word {
            "fixed" => Some(ThresholdSpec::Fixed { size: self.needed("size")? }),
            "wald" => Some(ThresholdSpec::Wald(self.adaptive(true))),
            _ => Some(ThresholdSpec::Product(self.adaptive(false))),
        }
    }

    fn adaptive(&mut self, is_wald: bool) -> AdaptiveSpec {
        let target: f64 = self.or("target", 1000.0);
        let alpha_t = self.get("alpha_t");
        let (min, max) = match alpha_t {
            // Clamps have a meaning only where E[T] moves; elsewhere they are unknown keys.
            Some(_) => (self.or("min", 1.0), self.or("max", f64::INFINITY)),
            None => (1.0, f64::INFINITY),
        };
        let at = [("tick", ExpectationsAt::Tick), ("bar_open", ExpectationsAt::BarOpen)];
        AdaptiveSpec {
            // Averages over as many trades as a bar is meant to have (docs/BARS.md has measurements);
            // a target that is not a number is refused elsewhere.
            alpha: self.get("alpha").unwrap_or(1.0 / target.clamp(1.0, 1e12)),
            memory: if is_wald { self.or("memory", 0.99) } else { 0.0 },
            // As long as a bar is expected to be; a target that is not a number is refused
            // elsewhere.
            warmup: self.get("warmup").unwrap_or(target.clamp(1.0, 1e9) as u64),
            rounding: Rounding::from(self.or::<u32>("round_bits", 24)),
            expected_ticks: ExpectedTicksSpec { target, alpha: alpha_t, min, max },
            expectations: if is_wald {
                ExpectationsAt::Tick
            } else {
                self.section
                    .choice("expectations", &at, self.problems)
                    .unwrap_or(ExpectationsAt::Tick)
            },
        }
    }

    /// Defaults are mlfinlab's own.
    fn mlfinlab(&mut self, flavour: CompatFlavour, ticks: CompatTicks) -> MlfinlabSpec {
        MlfinlabSpec {
            flavour,
            ticks,
            num_prev_bars: self.or("num_prev_bars", 3),
            window: self.or("window", 10_000),
            init: self.or("init", 20_000.0),
            min: self.or("min", 0.0),
            max: self.or("max", f64::INFINITY),
        }
    }

    fn predecessor_head(&mut self) -> Option<RuleSpec> {
        let init_ticks = self.needed("init_ticks");
        let alpha_ticks = self.needed("alpha_ticks");
        let alpha_imbalance = self.needed("alpha_imbalance");
        let time_reset = self.needed("time_reset");
        Some(RuleSpec::PredecessorHead {
            init_ticks: init_ticks?,
            alpha_ticks: alpha_ticks?,
            alpha_imbalance: alpha_imbalance?,
            time_reset: time_reset?,
        })
    }

    fn predecessor_seed(&mut self) -> Option<RuleSpec> {
        let init_t = self.needed("init_t");
        let alpha_volume = self.needed("alpha_volume");
        let alpha_imbalance = self.needed("alpha_imbalance");
        Some(RuleSpec::PredecessorSeed {
            init_t: init_t?,
            alpha_volume: alpha_volume?,
            alpha_imbalance: alpha_imbalance?,
        })
    }
}

fn number_name<T>() -> &'static str {
    if std::any::type_name::<T>().starts_with('f') { "a number" } else { "a whole number" }
}
