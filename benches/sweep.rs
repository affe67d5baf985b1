//! A thousand configurations in one pass: ns per trade and configuration, per instruction set, and
//! beside it a builder for each.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use barflow_operators::bars::machine::BarMachine;
use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::spec::BarSpec;
use barflow_operators::sweep::{BuilderBatch, Features};
use barflow_operators::trade::{Aggressor, Trade};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CONFIGS: usize = 1000;
const ROWS: usize = 8192;
const BATCHES: usize = 4;

/// Sides that stay for a while and sizes over two orders of magnitude.
fn tape() -> Vec<TradeBatch> {
    let feed = Arc::new(Feed::numbered("bench:spot:XY".parse().unwrap()));
    let mut random = fastrand::Rng::with_seed(1);
    let (mut price, mut aggressor, mut id) = (50_000.0f64, Aggressor::Buyer, 0);
    (0..BATCHES + 1)
        .map(|_| {
            let mut trades = Vec::new();
            for _ in 0..ROWS {
                if random.u8(0..5) == 0 {
                    aggressor = if random.bool() { Aggressor::Buyer } else { Aggressor::Seller };
                }
                id += 1;
                price += 0.1 * f64::from(aggressor.sign());
                let qty = 0.001 * f64::from(random.u32(1..500));
                let (event_time, quote) = (id as i64 * 50_000_000, price * qty);
                trades.push(Trade {
                    trade_id: id,
                    event_time,
                    price,
                    qty,
                    quote,
                    aggressor,
                    count: 1,
                });
            }
            TradeBatch::from_trades(Arc::clone(&feed), &trades)
        })
        .collect()
}

fn specs() -> Vec<BarSpec> {
    (0..CONFIGS)
        .map(|at| {
            let alpha = 1e-4 * 100f64.powf((at % 25) as f64 / 25.0);
            let target = 200.0 + 50.0 * (at / 25) as f64;
            let text = format!("c{at}=imbalance,measure=dollar,alpha={alpha},target={target}");
            let mut problems = Default::default();
            let section = barflow::config::bars::cut(&text, &mut problems).unwrap();
            let book = barflow::config::bars::BarBook::understand(vec![section], &mut problems);
            book.orders()[0].spec.clone()
        })
        .collect()
}

fn sweep(criterion: &mut Criterion) {
    let (tape, specs) = (tape(), specs());
    let mut group = criterion.benchmark_group("sweep");
    group.sample_size(10);
    group.throughput(Throughput::Elements((CONFIGS * ROWS * BATCHES) as u64));
    for features in Features::all() {
        let mut warm = BuilderBatch::new(*features);
        for (config, spec) in specs.iter().enumerate() {
            warm.add(config as u32, spec);
        }
        let mut closes = Vec::new();
        warm.on_batch(&tape[0], &mut closes);
        group.bench_function(BenchmarkId::new("tiles", format!("{features:?}")), |bencher| {
            bencher.iter(|| {
                let mut builder_batch = warm.clone();
                closes.clear();
                for batch in &tape[1..] {
                    builder_batch.on_batch(batch, &mut closes);
                }
                closes.len()
            });
        });
    }
    let mut warm: Vec<BarMachine> = specs.iter().map(BarMachine::new).collect();
    let mut bars = Vec::new();
    warm.iter_mut().for_each(|machine| machine.on_batch(&tape[0], &mut bars));
    group.bench_function("a builder each", |bencher| {
        bencher.iter(|| {
            let mut machines = warm.clone();
            bars.clear();
            for batch in &tape[1..] {
                machines.iter_mut().for_each(|machine| machine.on_batch(batch, &mut bars));
            }
            bars.len()
        });
    });
    group.finish();
}

criterion_group!(benches, sweep);
criterion_main!(benches);
