//! What a bar costs as bytes: JSON and Avro, one encoder used again and again.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/support/bars.rs"]
mod bars;

use std::hint::black_box;

use barflow::sinks::encode::{Encoder, Encoding};
use barflow::sinks::record::BarRecord;
use criterion::{Criterion, criterion_group, criterion_main};

fn encode(criterion: &mut Criterion) {
    let bar = bars::published("dib", &bars::feed("binance:spot:BTCUSDT"), bars::bar(7));
    let record = BarRecord::from(&bar);
    let mut group = criterion.benchmark_group("encode");
    for encoding in [Encoding::Json, Encoding::Avro] {
        let mut encoder = Encoder::new(encoding);
        group.bench_function(encoding.as_str(), |bencher| {
            bencher.iter(|| {
                let bytes = encoder.encode(black_box(&record)).expect("a valid bar");
                black_box(bytes.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
