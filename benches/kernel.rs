//! Trades per second through one dollar imbalance builder, against a bare loop of the same
//! arithmetic in the same run.

mod tape;

use std::hint::black_box;

use barflow_operators::bars::machine::BarMachine;
use barflow_operators::bars::round::Rounding;
use barflow_operators::batch::TradeBatch;
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{
    AdaptiveSpec, BarSpec, ExpectedTicksSpec, LimitSpec, RuleSpec, ThresholdSpec,
};
use barflow_operators::trade::Aggressor;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TRADES: usize = 1 << 20;
fn spec(name: &str, measure: Measure, wald: bool) -> BarSpec {
    let adaptive = AdaptiveSpec {
        alpha: 0.001,
        memory: 0.99,
        warmup: 1000,
        rounding: Rounding::from(24),
        expected_ticks: ExpectedTicksSpec {
            target: 1000.0,
            alpha: None,
            min: 1.0,
            max: f64::INFINITY,
        },
        expectations: barflow_operators::bars::product::ExpectationsAt::Tick,
    };
    let rule = if wald {
        RuleSpec::Imbalance { measure, threshold: ThresholdSpec::Wald(adaptive) }
    } else {
        RuleSpec::Runs { measure, threshold: ThresholdSpec::Product(adaptive) }
    };
    BarSpec::new(name, SignRule::Aggressor, LimitSpec::default(), rule).expect("a valid spec")
}

/// The arithmetic of docs/BARS.md and the fields of a bar, written straight into one loop.
#[inline(never)]
fn bare_loop(batches: &[TradeBatch]) -> (u64, f64) {
    let (alpha, phi, et) = (0.001, 0.99, 1000.0);
    let share = phi / (1.0 - phi);
    let (mut mu, mut m2, mut c, mut e) = (0.0f64, 1e6f64, 0.0f64, 0.0f64);
    let mut theta = 0.0f64;
    let (mut theta_min, mut theta_max) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut high, mut low) = (f64::NEG_INFINITY, f64::INFINITY);
    let (mut high_time, mut low_time) = (0i64, 0i64);
    let (mut before, mut variation) = (42_000.0f64, 0.0f64);
    let (mut volume, mut quote_volume, mut buy, mut buy_quote) = (0.0, 0.0, 0.0, 0.0);
    let (mut ticks, mut buy_ticks) = (0u64, 0u64);
    let (mut bars, mut kept) = (0u64, 0.0);
    for batch in batches {
        let rows = batch.price.iter().zip(&batch.qty).zip(&batch.quote).zip(&batch.aggressor);
        for ((((price, qty), quote), side), time) in rows.zip(&batch.event_time) {
            let bought = *side == Aggressor::Buyer;
            let x = f64::from(side.sign()) * *quote;
            ticks += 1;
            buy_ticks += u64::from(bought);
            (high, high_time) = if *price > high { (*price, *time) } else { (high, high_time) };
            (low, low_time) = if *price < low { (*price, *time) } else { (low, low_time) };
            let change = *price - before;
            variation += change * change;
            before = *price;
            volume += *qty;
            quote_volume += *quote;
            buy += if bought { *qty } else { 0.0 };
            buy_quote += if bought { *quote } else { 0.0 };
            theta += x;
            theta_min = if theta < theta_min { theta } else { theta_min };
            theta_max = if theta > theta_max { theta } else { theta_max };
            let mu2 = mu * mu;
            let gamma0 = (m2 - mu2).max(0.0);
            let variance = (gamma0 + 2.0 * (c - mu2 * share)).max(gamma0 / 10.0);
            let (size, product) = (theta.abs(), mu.abs() * et);
            if size >= product
                && size * size >= variance * et
                && size * libm::tanh(size * (mu.abs() / variance)) >= product
            {
                bars += 1;
                kept += high
                    + low
                    + volume
                    + quote_volume
                    + buy
                    + buy_quote
                    + theta_min
                    + theta_max
                    + variation
                    + (ticks + buy_ticks) as f64
                    + high_time.wrapping_sub(low_time) as f64;
                theta = 0.0;
                (theta_min, theta_max) = (f64::INFINITY, f64::NEG_INFINITY);
                (high, low) = (f64::NEG_INFINITY, f64::INFINITY);
                (volume, quote_volume, buy, buy_quote, variation) = (0.0, 0.0, 0.0, 0.0, 0.0);
                (ticks, buy_ticks) = (0, 0);
            }
            mu += alpha * (x - mu);
            m2 += alpha * (x * x - m2);
            c += alpha * (x * e - c);
            e = phi * (e + x);
        }
    }
    (bars, kept)
}

fn kernel(criterion: &mut Criterion) {
    let batches = tape::batches(TRADES, 8192, 1_000_000);
    let mut group = criterion.benchmark_group("kernel");
    group.throughput(Throughput::Elements(TRADES as u64));
    group.bench_function("bare loop", |b| b.iter(|| bare_loop(black_box(&batches))));
    for (name, spec) in [
        ("dollar imbalance, wald", spec("dib", Measure::Dollar, true)),
        ("tick imbalance, wald", spec("tib", Measure::Tick, true)),
        ("dollar runs", spec("drb", Measure::Dollar, false)),
    ] {
        group.bench_function(name, |b| {
            let mut bars = Vec::new();
            b.iter(|| {
                let mut machine = BarMachine::new(&spec);
                for batch in black_box(&batches) {
                    machine.on_batch(batch, &mut bars);
                }
                std::mem::take(&mut bars).len()
            });
        });
    }
    let one_by_one = spec("dib", Measure::Dollar, true);
    group.bench_function("dollar imbalance, wald, trade by trade", |b| {
        let mut bars = Vec::new();
        b.iter(|| {
            let mut machine = BarMachine::new(&one_by_one);
            for batch in black_box(&batches) {
                for row in 0..batch.len() {
                    machine.on_trade(&batch.trade(row), true, &mut bars);
                }
            }
            std::mem::take(&mut bars).len()
        });
    });
    group.finish();
}

criterion_group!(benches, kernel);
criterion_main!(benches);
