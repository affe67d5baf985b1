//! The knob means what it says: median ticks per `wald` bar against the target, on real trades.

use barflow_operators::bars::machine::BarMachine;
use barflow_operators::batch::TradeBatch;
use barflow_operators::measure::Measure;
use barflow_operators::spec::{BarSpec, RuleSpec, ThresholdSpec};

use crate::market::Tape;
use crate::{generate, market};

/// Ticks of each bar of the tape, ascending.
fn lengths(tape: &Tape, spec: &BarSpec) -> Vec<u64> {
    let mut machine = BarMachine::new(spec);
    let mut bars = Vec::new();
    for rows in tape.trades.chunks(8192) {
        let batch = TradeBatch::from_trades(generate::feed(tape.has_aggressor), rows);
        machine.on_batch(&batch, &mut bars);
    }
    let mut lengths: Vec<u64> = bars.iter().map(|bar| bar.ticks).collect();
    lengths.sort_unstable();
    lengths
}

fn median(sorted: &[u64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle] as f64,
        _ => (sorted[middle - 1] + sorted[middle]) as f64 / 2.0,
    }
}

#[test]
fn median_wald_bar_lasts_about_its_target_on_real_trades() {
    let mut outside = Vec::new();
    for tape in market::all(3) {
        for measure in [Measure::Tick, Measure::Dollar] {
            for target in [200.0, 1000.0, 5000.0] {
                let lengths = lengths(&tape, &generate::wald(measure, 1e-3, target));
                let (name, median) = (tape.name, median(&lengths));
                let fits = tape.trades.len() as f64 / target >= 100.0;
                let bars = lengths.len();
                let line = format!(
                    "{name:8} {measure:?} imbalance, target {target}: {bars} bars, median {median} \
                     = {:.2} of the target{}",
                    median / target,
                    if fits { "" } else { " (too short a tape to judge)" }
                );
                println!("{line}");
                if fits && !(0.6..=1.6).contains(&(median / target)) {
                    outside.push(line);
                }
            }
        }
    }
    assert!(outside.is_empty(), "{outside:#?}");
}

/// What the default mends: without memory bars come out short, the product runs away.
#[test]
fn neither_the_product_nor_wald_without_memory_keeps_the_target() {
    let Some(tape) = market::bitmex(3) else { return };
    let measure = Measure::Tick;
    let adaptive = generate::adaptive(1e-3, 1000.0);
    let forgetful = barflow_operators::spec::AdaptiveSpec { memory: 0.0, ..adaptive };
    let median_of = |threshold| {
        let spec = generate::plain(RuleSpec::Imbalance { measure, threshold });
        median(&lengths(&tape, &spec))
    };
    let product = median_of(ThresholdSpec::Product(adaptive));
    let short = median_of(ThresholdSpec::Wald(forgetful));
    println!("tick imbalance, target 1000: product {product}, wald without memory {short}");
    assert!(product < 50.0, "product {product}");
    assert!((100.0..500.0).contains(&short), "wald without memory {short}");
}
