//! What a bar costs as bytes: JSON and Avro, one encoder used again and again; and what its progress costs.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/support/bars.rs"]
mod bars;

use std::hint::black_box;
use std::sync::Arc;

use barflow::registry::SchemaId;
use barflow::sinks::encode::json::{self, Int64};
use barflow::sinks::encode::{Encoder, Encoding};
use barflow::sinks::progress::ProgressRecord;
use barflow::sinks::record::BarRecord;
use barflow_operators::bar::{Levels, OpenBar};
use barflow_operators::convergence::monitor::Synchronised;
use barflow_operators::progress::{BuilderProgress, Progress};
use barflow_operators::published::PublishedBar;
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
    let mut encoder = Encoder::new(Encoding::AvroConfluent);
    let id = SchemaId::try_from(7).expect("an id");
    group.bench_function("avro-confluent", |bencher| {
        bencher.iter(|| {
            let bytes = encoder.encode_registered(id, black_box(&record)).expect("a valid bar");
            black_box(bytes.len())
        });
    });
    let progress = progress(&bar);
    let mut bytes = Vec::new();
    group.bench_function("progress", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            let record = ProgressRecord::from(black_box(&progress));
            json::write(&mut bytes, &record, Int64::Number).expect("a valid record");
            black_box(bytes.len())
        });
    });
    group.finish();
}

/// Progress at a bar, with an open one.
fn progress(bar: &PublishedBar) -> Progress {
    Progress {
        spec: Arc::clone(&bar.spec),
        feed: Arc::clone(&bar.feed),
        complete_trade_id: bar.bar.last_trade_id,
        complete_time: bar.bar.close_time,
        builder: BuilderProgress {
            bars: bar.bar.seq + 1,
            open: Some(OpenBar::default()),
            levels: Levels::default(),
            reached: Some(0.25),
            warmup_left: 0,
            synchronised: Synchronised::Yes,
        },
        gap_since: None,
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
