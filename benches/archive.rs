//! From a zip to bars, against only inflating the same zip, in one run.
//!
//! Run it pinned to one core (`taskset -c 0 cargo bench --bench archive`) for the one-core ratio.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use barflow::config::file::ConfigFile;
use barflow::config::replay::{ReplaySettings, Typed};
use barflow::config::section::Value;
use barflow::job::{ReplayJob, Silent};
use barflow::stop::Stop;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::batch::InputKind;
use barflow_replay::decode::{Buffers, Container, Decoding, decode};
use barflow_replay::plan::PlanOptions;
use barflow_replay::planner::plan;
use barflow_replay::progress::Progress;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;
use barflow_replay::synth::{SynthOptions, write_days};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TRADES: u64 = 3_000_000;

fn settings(file: &Path, bars: usize, verify: bool) -> ReplaySettings {
    let bars = (0..bars).map(|i| format!("b{i}=imbalance,target={}", 500 + 100 * i)).collect();
    let mut typed = Typed { bars, ..Typed::default() };
    typed.replay.put("files", Value::Text(file.display().to_string()), "bench");
    typed.replay.put("verify", Value::Text(verify.to_string()), "bench");
    typed.sink.put("kind", Value::Text("none".into()), "bench");
    ReplaySettings::understand(ConfigFile::default(), typed).expect("valid settings")
}

fn replay(settings: &ReplaySettings) {
    ReplayJob::new(settings.clone()).run(&Stop::new(), &Silent).expect("bars");
}

fn inflate(zip: &Path) -> usize {
    let (progress, buffers) = (&Progress::default(), &Buffers::default());
    let what = Decoding { path: zip, container: Container::Zip, from: None, progress, buffers };
    let mut bytes = 0;
    decode(what, &mut |block| {
        bytes += block.end;
        buffers.give_back(block.bytes);
        true
    })
    .expect("a whole zip");
    bytes
}

/// The library alone, without our blocks and without the CRC.
fn bare_inflate(deflated: &[u8]) -> usize {
    use std::io::Read;
    let mut decoder = flate2::bufread::DeflateDecoder::new(deflated);
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        match decoder.read(&mut buffer).expect("whole deflate data") {
            0 => return bytes,
            read => bytes += read,
        }
    }
}

fn read(file: &Path) -> u64 {
    let inputs = [file.display().to_string()];
    let plan = plan(&inputs, &PlanOptions::default()).expect("a plan");
    let mut rows = 0;
    for history in plan.instruments {
        let options = ReadOptions { verify: false, ..ReadOptions::new(8192) };
        let pool = options.pool.clone();
        for input_batch in InstrumentStream::open(history, options).expect("a stream") {
            let input_batch = input_batch.expect("an input batch");
            rows += input_batch.trades.len() as u64;
            pool.give_back(std::sync::Arc::new(input_batch.trades));
        }
    }
    rows
}

/// The same reading, then one bare machine instead of the dataflow.
fn without_graph(file: &Path, settings: &ReplaySettings) -> usize {
    let inputs = [file.display().to_string()];
    let plan = plan(&inputs, &PlanOptions::default()).expect("a plan");
    let mut bars = Vec::new();
    for history in plan.instruments {
        let specs = settings.bars.for_feed(&history.feed);
        let mut machines: Vec<BarMachine> = specs.iter().map(BarMachine::new).collect();
        let options = ReadOptions { verify: false, ..ReadOptions::new(8192) };
        let pool = options.pool.clone();
        let (send, receive) = crossbeam::channel::bounded(4);
        let reading = std::thread::spawn(move || {
            for input_batch in InstrumentStream::open(history, options).expect("a stream") {
                send.send(input_batch.expect("an input batch")).expect("a listener");
            }
        });
        for input_batch in receive {
            for machine in &mut machines {
                machine.on_batch(&input_batch.trades, &mut bars);
            }
            pool.give_back(std::sync::Arc::new(input_batch.trades));
        }
        reading.join().expect("no panic");
    }
    bars.len()
}

fn archive(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let zip: PathBuf = write_days(&SynthOptions {
        out: folder.path().to_owned(),
        instrument: "binance:spot:BTCUSDT".parse().expect("a valid id"),
        date: jiff::civil::Date::constant(2024, 3, 1),
        days: 1,
        trades: TRADES,
        seed: 1,
        input: InputKind::Trades,
    })
    .expect("a day")
    .remove(0);
    let deflated = {
        let mut archive =
            zip::ZipArchive::new(std::fs::File::open(&zip).expect("the zip")).expect("a zip");
        let mut member = archive.by_index_raw(0).expect("a member");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut member, &mut bytes).expect("its bytes");
        bytes
    };
    let store = folder.path().join("store");
    let mut keep = settings(&zip, 1, true);
    keep.trades = Some(store.clone());
    replay(&keep);

    let mut group = criterion.benchmark_group("archive");
    group.throughput(Throughput::Elements(TRADES)).sample_size(10);
    group.bench_function("inflate only, library alone", |b| {
        b.iter(|| bare_inflate(black_box(&deflated)))
    });
    group.bench_function("inflate only, with CRC and lines", |b| {
        b.iter(|| inflate(black_box(&zip)))
    });
    group.bench_function("zip to trades", |b| b.iter(|| read(black_box(&zip))));
    for (name, file, bars, verify) in [
        ("zip to bars, one spec", &zip, 1, false),
        ("zip to bars, one spec, verified", &zip, 1, true),
        ("zip to bars, ten specs", &zip, 10, false),
        ("parquet to bars, one spec", &store, 1, false),
        ("parquet to bars, ten specs", &store, 10, false),
    ] {
        let settings = settings(file, bars, verify);
        group.bench_function(name, |b| b.iter(|| replay(black_box(&settings))));
    }
    for (name, file) in [("zip", &zip), ("parquet", &store)] {
        let settings = settings(file, 1, false);
        group.bench_function(format!("{name} to bars, one spec, without the graph"), |b| {
            b.iter(|| without_graph(black_box(file), &settings));
        });
    }
    group.finish();
}

criterion_group!(benches, archive);
criterion_main!(benches);
