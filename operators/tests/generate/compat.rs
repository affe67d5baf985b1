//! Random parameters for other programs' rules.

use barflow_operators::measure::Measure;
use barflow_operators::spec::{
    CompatFlavour, CompatTicks, MlfinlabSpec, NautilusAggregation, NautilusSpec, RuleSpec,
};
use proptest::prelude::*;

const AGGREGATIONS: [NautilusAggregation; 9] = [
    NautilusAggregation::Tick,
    NautilusAggregation::Volume,
    NautilusAggregation::Value,
    NautilusAggregation::TickImbalance,
    NautilusAggregation::VolumeImbalance,
    NautilusAggregation::ValueImbalance,
    NautilusAggregation::TickRuns,
    NautilusAggregation::VolumeRuns,
    NautilusAggregation::ValueRuns,
];

fn nautilus() -> impl Strategy<Value = RuleSpec> {
    let aggregation = prop::sample::select(AGGREGATIONS.to_vec());
    let step = prop_oneof![1..6u64, 100..2000u64, Just(u64::MAX)];
    let precision = prop_oneof![Just((2, 3)), Just((0, 0)), Just((16, 2)), Just((9, 9))];
    (aggregation, step, precision).prop_map(|(aggregation, step, precision)| {
        let (price_precision, size_precision) = precision;
        RuleSpec::Nautilus(NautilusSpec { aggregation, step, price_precision, size_precision })
    })
}

fn measures() -> impl Strategy<Value = Measure> {
    prop::sample::select(vec![Measure::Tick, Measure::Volume, Measure::Dollar])
}

fn mlfinlab() -> impl Strategy<Value = RuleSpec> {
    let flavour = prop::sample::select(vec![CompatFlavour::Mlfinlab, CompatFlavour::RiskLabAi]);
    let ticks = prop::sample::select(vec![CompatTicks::Ema, CompatTicks::Const]);
    let bounds = prop_oneof![Just((0.0, f64::INFINITY)), Just((2.0, 9.0)), Just((30.0, 40.0))];
    let shape = (flavour, ticks, 1..4usize, 1..12usize, 1..8u32, bounds);
    (shape, measures(), any::<bool>()).prop_map(|(shape, measure, of_runs)| {
        let (flavour, ticks, num_prev_bars, window, init, (min, max)) = shape;
        let init = f64::from(init);
        let params = MlfinlabSpec { flavour, ticks, num_prev_bars, window, init, min, max };
        if of_runs {
            RuleSpec::MlfinlabRuns { measure, params }
        } else {
            RuleSpec::MlfinlabImbalance { measure, params }
        }
    })
}

/// Rules that put each trade into one bar.
pub fn whole_trades() -> impl Strategy<Value = RuleSpec> {
    let alpha = || prop::sample::select(vec![0.1, 0.5, 1.0]);
    prop_oneof![
        4 => mlfinlab(),
        1 => (1..9u64, alpha(), alpha(), 1e-4..2e-2).prop_map(
            |(init_ticks, alpha_ticks, alpha_imbalance, time_reset)| RuleSpec::PredecessorHead {
                init_ticks,
                alpha_ticks,
                alpha_imbalance,
                time_reset,
            }
        ),
        1 => (1.0..900.0, alpha(), alpha()).prop_map(|(init_t, alpha_volume, alpha_imbalance)| {
            RuleSpec::PredecessorSeed { init_t, alpha_volume, alpha_imbalance }
        }),
        1 => (measures(), 1.0..500.0)
            .prop_map(|(measure, size)| RuleSpec::Finmlkit { measure, size }),
    ]
}

/// Any rule of another program.
pub fn rules() -> impl Strategy<Value = RuleSpec> {
    prop_oneof![2 => whole_trades(), 1 => nautilus()]
}
