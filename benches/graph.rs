//! What the dataflow costs: the same batches through a bare machine and through the whole graph
//! (source, validation, bars, ledger, commits) with one worker, in one run.

mod tape;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barflow::config::bars::{BarBook, cut};
use barflow::graph::cluster::Cluster;
use barflow::graph::options::GraphOptions;
use barflow::graph::run::{Feeder, Pace, run};
use barflow::graph::sink::BarSink;
use barflow::sinks::none::NoSink;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::dataflow::validate::ValidateOptions;
use barflow_operators::input_batch::InputBatch;
use barflow_operators::order::{OrderOptions, RejectPolicy};
use barflow_operators::pool::BatchPool;
use barflow_operators::position::{FilePosition, Position};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const TRADES: usize = 1 << 22;

fn book(specs: &[&str]) -> BarBook {
    let mut problems = Default::default();
    let sections = specs.iter().filter_map(|spec| cut(spec, &mut problems)).collect();
    let book = BarBook::understand(sections, &mut problems);
    assert!(problems.0.is_empty(), "{problems}");
    book
}

fn input_batches(rows: usize) -> Vec<InputBatch> {
    let position = Position::File(FilePosition::start("bench".into()));
    let batches = tape::batches(TRADES, rows, 1_000_000).into_iter();
    batches
        .map(|batch| InputBatch::new(batch, Vec::new(), position.clone(), position.clone()))
        .collect()
}

fn bare(book: &BarBook, input_batches: &[InputBatch]) -> usize {
    let specs = book.for_feed(&input_batches[0].trades.feed);
    let mut machines: Vec<BarMachine> = specs.iter().map(BarMachine::new).collect();
    let mut bars = Vec::new();
    for input_batch in input_batches {
        for machine in &mut machines {
            machine.on_batch(&input_batch.trades, &mut bars);
        }
    }
    bars.len()
}

fn through_graph(book: &BarBook, input_batches: Vec<InputBatch>, pool: &BatchPool) -> u64 {
    let book = book.clone();
    let validate = ValidateOptions {
        order: OrderOptions {
            policy: RejectPolicy::Stop,
            reorder_window: 1024,
            // Takes every batch back: freeing memory is not the graph's work.
            pool: pool.clone(),
            revises: false,
        },
        resume: BTreeMap::new(),
    };
    let options = GraphOptions::new(Arc::new(move |feed| book.for_feed(feed)), validate);
    let feeder: Feeder = Box::new(move |inlets, _stop| {
        for input_batch in input_batches {
            inlets[0].send(input_batch)?;
        }
        Ok(())
    });
    let sinks: Vec<Box<dyn BarSink>> = vec![Box::new(NoSink::default())];
    let report = run(Cluster::of_threads(1), Pace::HISTORY, options, vec![feeder], sinks);
    report.expect("the graph runs").bars
}

fn graph(criterion: &mut Criterion) {
    let one = book(&["dib=imbalance,target=1000"]);
    let ten: Vec<String> =
        (0..10).map(|i| format!("b{i}=imbalance,target={}", 500 + 100 * i)).collect();
    let ten = book(&ten.iter().map(String::as_str).collect::<Vec<_>>());
    let mut group = criterion.benchmark_group("graph");
    group.throughput(Throughput::Elements(TRADES as u64)).sample_size(15);
    for rows in [1024, 8192, 65536] {
        let input_batches = input_batches(rows);
        for (name, book) in [("one spec", &one), ("ten specs", &ten)] {
            if rows != 8192 && name == "ten specs" {
                continue;
            }
            group.bench_function(BenchmarkId::new(format!("bare, {name}"), rows), |b| {
                b.iter(|| bare(book, black_box(&input_batches)));
            });
            group.bench_function(BenchmarkId::new(format!("graph, {name}"), rows), |b| {
                b.iter_custom(|times| {
                    let mut total = Duration::ZERO;
                    for _ in 0..times {
                        // Copies are made before and freed after.
                        let copies = input_batches.clone();
                        let pool = BatchPool::new(rows, copies.len());
                        let start = Instant::now();
                        black_box(through_graph(book, copies, &pool));
                        total += start.elapsed();
                    }
                    total
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, graph);
criterion_main!(benches);
