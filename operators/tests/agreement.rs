//! The machines against an independent, slow transcription of the specification: every field of
//! every bar, bit for bit.

use barflow_operators::bar::Bar;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::batch::TradeBatch;
use barflow_operators::measure::Measure;
use barflow_operators::spec::{BarSpec, RuleSpec, ThresholdSpec};
use barflow_operators::trade::Trade;
use proptest::prelude::*;

use crate::{generate, market, oracle};

/// The barrier of `wald` is solved by two methods; everything else must agree to the bit.
const BARRIER_TOLERANCE: f64 = 1e-12;

/// The first difference between the machine's bars and the oracle's, named.
fn difference(
    spec: &BarSpec,
    trades: &[Trade],
    has_aggressor: bool,
    batch: usize,
) -> Option<String> {
    let mut machine = BarMachine::new(spec);
    let mut bars = Vec::new();
    // Whole batches take the fast path; that single trades give the same bytes is a property.
    for rows in trades.chunks(batch) {
        let batch = TradeBatch::from_trades(generate::feed(has_aggressor), rows);
        machine.on_batch(&batch, &mut bars);
    }
    let expected = oracle::run(spec, trades, has_aggressor);
    let wald = matches!(spec.rule(), RuleSpec::Imbalance { threshold: ThresholdSpec::Wald(_), .. });
    for (bar, expected) in bars.iter().zip(&expected.bars) {
        if let Some(field) = differing_field(bar, expected, wald) {
            return Some(format!("field {field} of\n{bar:?}\nexpected\n{expected:?}"));
        }
    }
    if bars.len() != expected.bars.len() {
        return Some(format!("{} bars, expected {}", bars.len(), expected.bars.len()));
    }
    if machine.open().ticks != expected.open.len() as u64 {
        let (open, expected) = (machine.open().ticks, expected.open.len());
        return Some(format!("open bar of {open} ticks, expected {expected}"));
    }
    None
}

fn differing_field(bar: &Bar, expected: &Bar, wald: bool) -> Option<&'static str> {
    let integers = [
        ("seq", bar.seq, expected.seq),
        ("open_time", bar.open_time as u64, expected.open_time as u64),
        ("close_time", bar.close_time as u64, expected.close_time as u64),
        ("first_trade_id", bar.first_trade_id, expected.first_trade_id),
        ("last_trade_id", bar.last_trade_id, expected.last_trade_id),
        ("ticks", bar.ticks, expected.ticks),
        ("buy_ticks", bar.buy_ticks, expected.buy_ticks),
        ("trade_count", bar.trade_count, expected.trade_count),
        ("close_reason", bar.close_reason as u64, expected.close_reason as u64),
        ("revision", u64::from(bar.revision), u64::from(expected.revision)),
    ];
    let numbers = [
        ("open", Some(bar.open), Some(expected.open)),
        ("high", Some(bar.high), Some(expected.high)),
        ("low", Some(bar.low), Some(expected.low)),
        ("close", Some(bar.close), Some(expected.close)),
        ("vwap", Some(bar.vwap), Some(expected.vwap)),
        ("volume", Some(bar.volume), Some(expected.volume)),
        ("quote_volume", Some(bar.quote_volume), Some(expected.quote_volume)),
        ("buy_volume", Some(bar.buy_volume), Some(expected.buy_volume)),
        ("buy_quote_volume", Some(bar.buy_quote_volume), Some(expected.buy_quote_volume)),
        ("theta", Some(bar.theta), Some(expected.theta)),
        ("theta_buy", bar.theta_buy, expected.theta_buy),
        ("theta_sell", bar.theta_sell, expected.theta_sell),
        ("theta_min", Some(bar.theta_min), Some(expected.theta_min)),
        ("theta_max", Some(bar.theta_max), Some(expected.theta_max)),
        ("expected_ticks", bar.expected_ticks, expected.expected_ticks),
        ("expected_imbalance", bar.expected_imbalance, expected.expected_imbalance),
        ("sigma", bar.sigma, expected.sigma),
    ];
    let same =
        |one: Option<f64>, other: Option<f64>| one.map(f64::to_bits) == other.map(f64::to_bits);
    let integer = integers.iter().find(|(_, one, other)| one != other);
    let number = numbers.iter().find(|(_, one, other)| !same(*one, *other));
    let threshold = match (bar.threshold, expected.threshold) {
        (Some(one), Some(other)) if wald => (one - other).abs() <= BARRIER_TOLERANCE * other,
        (one, other) => same(one, other),
    };
    integer
        .map(|(name, ..)| *name)
        .or(number.map(|(name, ..)| *name))
        .or((!threshold).then_some("threshold"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn machines_agree_with_the_oracle_on_random_trades(
        spec in generate::spec(),
        trades in generate::trades(400),
        has_aggressor in any::<bool>(),
    ) {
        let difference = difference(&spec, &trades, has_aggressor, 1);
        prop_assert!(difference.is_none(), "{:?}: {}", spec.rule(), difference.unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn machines_agree_with_the_oracle_at_the_ends_of_time(
        spec in generate::spec(),
        trades in generate::trades_at_extreme_times(60),
    ) {
        let difference = difference(&spec, &trades, true, 7);
        prop_assert!(difference.is_none(), "{:?}: {}", spec.rule(), difference.unwrap());
    }
}

/// Specifications whose bars are neither trivial nor endless on this tape.
fn real_specs(trades: &[Trade]) -> Vec<BarSpec> {
    let mean = |measure| {
        let total: f64 = trades.iter().map(|trade| oracle::measured(measure, trade)).sum();
        total / trades.len() as f64
    };
    let mut rules = vec![RuleSpec::Time { every: 60_000_000_000 }];
    for measure in [Measure::Tick, Measure::Volume, Measure::Dollar] {
        let adaptive = generate::adaptive(1e-3, 300.0);
        rules.push(RuleSpec::Size { measure, size: 500.0 * mean(measure) });
        for threshold in [
            ThresholdSpec::Wald(adaptive),
            ThresholdSpec::Product(adaptive),
            ThresholdSpec::Fixed { size: 30.0 * mean(measure) },
        ] {
            rules.push(RuleSpec::Imbalance { measure, threshold });
        }
        for threshold in
            [ThresholdSpec::Product(adaptive), ThresholdSpec::Fixed { size: 200.0 * mean(measure) }]
        {
            rules.push(RuleSpec::Runs { measure, threshold });
        }
    }
    rules.into_iter().map(generate::plain).collect()
}

#[test]
fn machines_agree_with_the_oracle_on_real_trades() {
    for tape in market::all(1) {
        for spec in real_specs(&tape.trades) {
            let difference = difference(&spec, &tape.trades, tape.has_aggressor, 5000);
            assert!(
                difference.is_none(),
                "{}: {:?}: {}",
                tape.name,
                spec.rule(),
                difference.unwrap()
            );
        }
    }
}

#[test]
fn machines_agree_with_the_oracle_over_midnights_and_caps_on_real_trades() {
    let Some(tape) = market::bitmex(3) else { return };
    for spec in generate::limited_on_real_trades() {
        let difference = difference(&spec, &tape.trades, tape.has_aggressor, 5000);
        assert!(difference.is_none(), "{:?}: {}", spec.rule(), difference.unwrap());
    }
}
