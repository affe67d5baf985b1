//! Trades per second through a judge with all built-in expectations.

use std::hint::black_box;
use std::sync::Arc;

use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::quality::judge::{Judge, Known};
use barflow_operators::quality::suite::Suite;
use barflow_operators::trade::{Aggressor, Trade};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TRADES: usize = 1 << 20;
const BATCH: usize = 8192;

fn batches() -> Vec<TradeBatch> {
    let feed = Arc::new(Feed::numbered("binance:spot:BTCUSDT".parse().expect("a valid id")));
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut price = 42_000.0f64;
    let trades: Vec<Trade> = (0..TRADES)
        .map(|row| {
            let random = next();
            let aggressor = if random & 64 == 0 { Aggressor::Buyer } else { Aggressor::Seller };
            price += 0.01 * f64::from(aggressor.sign()) * ((random >> 8) % 100) as f64;
            let qty = 0.001 * (1 + (random >> 20) % 500) as f64;
            Trade {
                trade_id: row as u64 + 1,
                // Some three days.
                event_time: 1_700_000_000_000_000_000 + row as i64 * 250_000_000,
                price,
                qty,
                quote: price * qty,
                aggressor,
                count: 1,
            }
        })
        .collect();
    trades.chunks(BATCH).map(|piece| TradeBatch::from_trades(Arc::clone(&feed), piece)).collect()
}

fn judges(criterion: &mut Criterion) {
    let batches = batches();
    let source: Arc<str> = "bench".into();
    let start = Position::File(FilePosition::start(source));
    let mut group = criterion.benchmark_group("quality");
    group.throughput(Throughput::Elements(TRADES as u64));
    group.bench_function("all expectations", |bencher| {
        bencher.iter(|| {
            let known = Known { own_quotes: true, ..Known::default() };
            let mut judge = Judge::new(Suite::usual(), known);
            let mut out = Vec::new();
            for batch in &batches {
                judge.on_batch(black_box(batch), &[], &[], &start, &mut out);
            }
            judge.finish(&mut out);
            out
        });
    });
    group.finish();
}

criterion_group!(benches, judges);
criterion_main!(benches);
