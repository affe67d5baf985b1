//! Trades per second through a judge with all built-in expectations.

mod tape;

use std::hint::black_box;
use std::sync::Arc;

use barflow_operators::position::{FilePosition, Position};
use barflow_operators::quality::judge::{Judge, Known};
use barflow_operators::quality::suite::Suite;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TRADES: usize = 1 << 20;
fn judges(criterion: &mut Criterion) {
    // Some three days.
    let batches = tape::batches(TRADES, 8192, 250_000_000);
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
