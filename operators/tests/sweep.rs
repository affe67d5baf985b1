//! Configurations side by side make the bars that each makes alone, bit for bit.

use std::collections::BTreeMap;

use barflow_operators::bars::machine::BarMachine;
use barflow_operators::bars::round::Rounding;
use barflow_operators::batch::TradeBatch;
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{BarSpec, LimitSpec, RuleSpec, ThresholdSpec};
use barflow_operators::sweep::{BuilderBatch, Close, Features};
use barflow_operators::trade::Trade;
use proptest::prelude::*;

use crate::generate;

fn alone(spec: &BarSpec, batch: &TradeBatch, config: u32) -> Vec<Close> {
    let mut bars = Vec::new();
    BarMachine::new(spec).on_batch(batch, &mut bars);
    bars.iter().map(|bar| Close::of(config, bar)).collect()
}

fn batch(trades: &[Trade]) -> TradeBatch {
    TradeBatch::from_trades(generate::feed(true), trades)
}

/// Mostly what tiles are for.
fn spec() -> impl Strategy<Value = BarSpec> {
    let wald = (1e-4..0.3f64, 0.0..0.995f64, 1.0..80.0f64, 0u64..40, 0u32..53, 0usize..3).prop_map(
        |(alpha, memory, target, warmup, round_bits, measure)| {
            let measure = [Measure::Tick, Measure::Volume, Measure::Dollar][measure];
            let mut adaptive = generate::adaptive(alpha, target);
            adaptive.memory = memory;
            adaptive.warmup = warmup;
            adaptive.rounding = Rounding::from(round_bits);
            RuleSpec::Imbalance { measure, threshold: ThresholdSpec::Wald(adaptive) }
        },
    );
    let sign = prop_oneof![Just(SignRule::Aggressor), Just(SignRule::TickRule)];
    prop_oneof![
        4 => (sign, wald).prop_map(|(sign, rule)| {
            BarSpec::new("wald", sign, LimitSpec::default(), rule).unwrap()
        }),
        1 => generate::spec(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_builder_batch_closes_what_its_builders_close_alone(
        specs in prop::collection::vec(spec(), 1..40),
        trades in generate::trades(500),
        lengths in prop::collection::vec(1usize..70, 1..6),
        late in 0usize..200,
        gone in 0u32..40,
    ) {
        let whole = batch(&trades);
        for features in Features::all() {
            let mut builder_batch = BuilderBatch::new(*features);
            for (config, spec) in specs.iter().enumerate() {
                builder_batch.add(config as u32, spec);
            }
            let mut closes = Vec::new();
            let (mut at, mut joined, mut left) = (0, None, None);
            for length in lengths.iter().cycle() {
                if at >= late && joined.is_none() {
                    joined = Some(at);
                    for (config, spec) in specs.iter().enumerate() {
                        builder_batch.add(1000 + config as u32, spec);
                    }
                }
                if at >= 300 && left.is_none() {
                    left = trades.get(at - 1).map(|trade| trade.trade_id);
                    builder_batch.dismiss(|config| config == gone);
                }
                let to = trades.len().min(at + length);
                builder_batch.on_batch(&batch(&trades[at..to]), &mut closes);
                at = to;
                if at == trades.len() {
                    break;
                }
            }
            let mut found: BTreeMap<u32, Vec<Close>> = BTreeMap::new();
            for close in closes {
                found.entry(close.config).or_default().push(close);
            }
            let late = batch(&trades[joined.unwrap_or(trades.len())..]);
            for (config, spec) in specs.iter().enumerate() {
                let config = config as u32;
                let mut expected = alone(spec, &whole, config);
                if let Some(left) = left.filter(|_| config == gone) {
                    // A bar that ends before the trade that closes it closes with the next batch.
                    expected.retain(|close| close.last_trade_id <= left);
                    let found = found.entry(config).or_default();
                    expected.truncate(found.len().max(expected.len().saturating_sub(1)));
                }
                prop_assert_eq!(found.get(&config).cloned().unwrap_or_default(), expected, "{:?} {:?}", features, spec);
                let expected = alone(spec, &late, 1000 + config);
                let found = found.get(&(1000 + config)).cloned().unwrap_or_default();
                prop_assert_eq!(found, expected, "late {:?} {:?}", features, spec);
            }
        }
    }
}
