//! What a bar costs as bytes: JSON and Avro, one encoder used again and again.

use std::hint::black_box;
use std::sync::Arc;

use barflow::sinks::encode::{Encoder, Encoding};
use barflow::sinks::record::BarRecord;
use barflow_operators::bar::{Bar, CloseReason};
use barflow_operators::batch::{Feed, IdKind, InputKind};
use barflow_operators::convergence::monitor::Synchronised;
use barflow_operators::published::PublishedBar;
use criterion::{Criterion, criterion_group, criterion_main};

fn bar() -> PublishedBar {
    let bar = Bar {
        seq: 7,
        open_time: 1_709_251_200_000_000_000,
        close_time: 1_709_251_200_999_999_999,
        first_trade_id: 3_000_000_000,
        last_trade_id: 3_000_001_009,
        open: 61_130.98,
        high: 61_200.5,
        low: 61_000.1,
        close: 61_100.0,
        vwap: 61_105.333_333_333_336,
        volume: 0.1 + 0.2,
        quote_volume: 18_331.6,
        buy_volume: 0.125,
        buy_quote_volume: 7_638.166_25,
        ticks: 1010,
        buy_ticks: 404,
        trade_count: 1210,
        theta: -3_055.27,
        theta_buy: None,
        theta_sell: None,
        theta_min: -3_100.0,
        theta_max: 1e-7,
        threshold: Some(3_000.25),
        expected_ticks: Some(1_000.0),
        expected_imbalance: Some(-2.5e-3),
        sigma: Some(94.86),
        close_reason: CloseReason::Threshold,
        state_digest: 0x0123_4567_89ab_cdef,
        revision: 0,
        missing_ids: 0,
        known_time: 1_709_251_200_999_999_999,
        high_time: 1_709_251_200_400_000_000,
        low_time: 1_709_251_200_700_000_000,
        quadratic_variation: 1_234.5,
    };
    let feed = Feed {
        instrument: "binance:spot:BTCUSDT".parse().expect("a valid id"),
        input: InputKind::Trades,
        ids: IdKind::Venue,
        has_aggressor: true,
    };
    PublishedBar {
        spec: "dib".into(),
        feed: Arc::new(feed),
        bar,
        received: None,
        synchronised: Synchronised::Unknown,
    }
}

fn encode(criterion: &mut Criterion) {
    let bar = bar();
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
