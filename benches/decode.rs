//! How long a Binance trade frame takes to read, by four ways: `cargo bench --bench decode`.
//!
//! Frames are real ones where `../shared/data` is beside the checkout, otherwise written here.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use barflow::feeds::print::{Contract, Listing, Prints};
use barflow::feeds::venue;
use barflow::feeds::venue::Channel;
use barflow::recording::reader;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;

const FRAMES: usize = 1_000;

fn frames() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/hftbacktest/usdm/btcusdt_20240808.gz");
    if path.exists() {
        let frames = reader::open(&path).unwrap().map(|recorded| recorded.unwrap().frame);
        let trades =
            frames.filter(|frame| frame.windows(11).any(|part| part == b"\"e\":\"trade\""));
        return trades.take(FRAMES).collect();
    }
    println!("SKIPPED: {} is not there; frames are made up", path.display());
    (0..FRAMES)
        .map(|at| {
            format!(
                r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":{},"p":"618{:02}.30","q":"0.0{:02}","X":"MARKET","m":{}}}}}"#,
                5266583935u64 + at as u64,
                at % 100,
                1 + at % 99,
                at % 2 == 0
            )
            .into_bytes()
        })
        .collect()
}

/// The few fields that a bar needs, borrowed.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Fields<'a>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    e: &'a str,
    s: &'a str,
    t: u64,
    p: &'a str,
    q: &'a str,
    #[serde(rename = "T")]
    time: i64,
    #[serde(rename = "X")]
    kind: &'a str,
    m: bool,
}

impl Fields<'_> {
    fn read(&self) -> (u64, i64, f64, f64, bool) {
        assert!(self.e == "trade" && self.kind == "MARKET" && self.s == "BTCUSDT");
        let number = |text: &str| fast_float2::parse(text).unwrap();
        (self.t, self.time, number(self.p), number(self.q), self.m)
    }
}

fn decode(c: &mut Criterion) {
    let frames = frames();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(frames.len() as u64));
    let listings: Arc<[Listing]> = (0..20)
        .map(|at| {
            let symbol = if at == 0 { "BTCUSDT".to_owned() } else { format!("X{at}USDT") };
            Listing { symbol, contract: Contract::Base }
        })
        .collect();
    let mut decoder = venue("binance-um").unwrap().decoder(Channel::Trades, listings);
    let mut prints = Prints::default();
    group.bench_function("barflow", |b| {
        b.iter(|| {
            for frame in &frames {
                prints.clear();
                decoder.decode(black_box(frame), &mut prints).unwrap();
                assert_eq!(black_box(&prints).rows.len(), 1);
            }
        })
    });
    // The same frames with a space before the end: the fixed-order scanner leaves them to serde.
    let other: Vec<Vec<u8>> =
        frames.iter().map(|frame| [&frame[..frame.len() - 1], b" }"].concat()).collect();
    group.bench_function("barflow, other shape", |b| {
        b.iter(|| {
            for frame in &other {
                prints.clear();
                decoder.decode(black_box(frame), &mut prints).unwrap();
                assert_eq!(black_box(&prints).rows.len(), 1);
            }
        })
    });
    group.bench_function("serde_json, borrowed", |b| {
        b.iter(|| {
            for frame in &frames {
                let envelope: Envelope<'_> = serde_json::from_slice(black_box(frame)).unwrap();
                black_box(envelope.data.read());
            }
        })
    });
    group.bench_function("sonic-rs, borrowed", |b| {
        b.iter(|| {
            for frame in &frames {
                let envelope: Envelope<'_> = sonic_rs::from_slice(black_box(frame)).unwrap();
                black_box(envelope.data.read());
            }
        })
    });
    // It parses in place, so each frame is copied first: a socket's buffer could be given away.
    let mut buffers = simd_json::Buffers::default();
    let mut scratch = Vec::new();
    group.bench_function("simd-json, borrowed (with the copy)", |b| {
        b.iter(|| {
            for frame in &frames {
                scratch.clear();
                scratch.extend_from_slice(black_box(frame));
                let envelope: Envelope<'_> =
                    simd_json::serde::from_slice_with_buffers(&mut scratch, &mut buffers).unwrap();
                black_box(envelope.data.read());
            }
        })
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
