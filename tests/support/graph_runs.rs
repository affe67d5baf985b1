//! What several tests need: made-up tapes, and runs of the graph over them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use barflow::graph::cluster::Cluster;
use barflow::graph::options::GraphOptions;
use barflow::graph::run::{Feeder, Pace, run};
use barflow::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use barflow::graph::tally::Tally;
use barflow::stop::{Cause, Stop};
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::dataflow::validate::ValidateOptions;
use barflow_operators::input_batch::{InputBatch, Reject};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::order::{OrderOptions, RejectPolicy};
use barflow_operators::pool::BatchPool;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::published::PublishedBar;
use barflow_operators::spec::BarSpec;
use barflow_operators::trade::{Aggressor, Trade};

pub fn feed(symbol: &str) -> Arc<Feed> {
    Arc::new(Feed::numbered(format!("test:spot:{symbol}").parse().unwrap()))
}

/// A tape with runs of sides and sizes over two orders of magnitude; the seed decides it all.
pub fn tape(seed: u64, trades: usize) -> Vec<Trade> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut price, mut aggressor) = (100.0f64, Aggressor::Buyer);
    (0..trades)
        .map(|row| {
            let random = next();
            if random % 4 == 0 {
                aggressor = if random & 64 == 0 { Aggressor::Buyer } else { Aggressor::Seller };
            }
            price += 0.01 * f64::from(aggressor.sign()) * (random >> 8 & 1) as f64;
            let qty = 0.001 * (1 + (random >> 20) % 500) as f64;
            let event_time = 1_700_000_000_000_000_000 + (row as i64) * 50_000_000;
            let trade_id = row as u64 + 1;
            Trade { trade_id, event_time, price, qty, quote: price * qty, aggressor, count: 1 }
        })
        .collect()
}

/// Cuts a tape into input batches of `rows` rows.
pub fn input_batches(feed: &Arc<Feed>, tape: &[Trade], rows: usize) -> Vec<InputBatch> {
    let position = |row: usize| {
        Position::File(FilePosition {
            byte: row as u64,
            line: row as u64 + 1,
            trade_id: row.checked_sub(1).map(|last| tape[last].trade_id),
            ..FilePosition::start(feed.instrument.as_str().into())
        })
    };
    let pieces = tape.chunks(rows).enumerate();
    pieces
        .map(|(piece, trades)| {
            let batch = TradeBatch::from_trades(Arc::clone(feed), trades);
            let end = position(piece * rows + trades.len());
            InputBatch::new(batch, Vec::new(), position(piece * rows), end)
        })
        .collect()
}

/// What a bare machine makes of the tape.
pub fn bare(spec: &BarSpec, feed: &Arc<Feed>, tape: &[Trade]) -> Vec<barflow_operators::bar::Bar> {
    let mut machine = BarMachine::new(spec);
    let mut bars = Vec::new();
    machine.on_batch(&TradeBatch::from_trades(Arc::clone(feed), tape), &mut bars);
    bars
}

/// Keeps all commits.
#[derive(Clone, Default)]
pub struct Kept(pub Arc<Mutex<Vec<Commit>>>);

impl BarSink for Kept {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        self.0.lock().unwrap().push(commit.clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        Ok(SinkReport::default())
    }
}

pub struct Run {
    pub result: Result<SinkReport, Cause>,
    pub commits: Vec<Commit>,
    pub rejects: Vec<Reject>,
    pub tally: Tally,
}

impl Run {
    /// Bars per instrument and specification, in the order in which they were handed over.
    pub fn bars(&self) -> BTreeMap<(InstrumentId, String), Vec<PublishedBar>> {
        let mut bars: BTreeMap<_, Vec<PublishedBar>> = BTreeMap::new();
        for (bar, diff) in self.commits.iter().flat_map(|commit| &commit.bars) {
            assert_eq!(*diff, 1);
            let key = (bar.feed.instrument.clone(), bar.spec.to_string());
            bars.entry(key).or_default().push(bar.clone());
        }
        bars
    }
}

pub struct Setup {
    pub workers: usize,
    pub policy: RejectPolicy,
    pub window: usize,
    pub specs: Vec<BarSpec>,
}

/// Runs the graph over the input batches of several instruments.
pub fn run_graph(setup: Setup, inputs: Vec<Vec<InputBatch>>) -> Run {
    run_into(setup, inputs, Kept::default())
}

pub fn run_into(setup: Setup, inputs: Vec<Vec<InputBatch>>, kept: Kept) -> Run {
    let options = options(&setup);
    run_with(setup.workers, options, inputs, kept)
}

/// Runs the graph by these options, whose rejects are kept.
pub fn run_with(
    workers: usize,
    options: GraphOptions,
    inputs: Vec<Vec<InputBatch>>,
    kept: Kept,
) -> Run {
    let rejects = Arc::new(Mutex::new(Vec::new()));
    let (seen, stop) = (Arc::clone(&rejects), options.stop.clone());
    let stops =
        options.validate.order.policy == RejectPolicy::Stop && options.checkpoints.is_some();
    let options = GraphOptions {
        on_reject: Arc::new(move |reject| {
            seen.lock().unwrap().push(reject);
            if stops {
                stop.raise();
            }
        }),
        ..options
    };
    let tally = options.tally.clone();
    let mut per_worker: Vec<Vec<Vec<InputBatch>>> = (0..workers).map(|_| Vec::new()).collect();
    for input in inputs {
        let Some(first) = input.first() else { continue };
        let worker = first.trades.feed.instrument.shard_hash() as usize % workers;
        per_worker[worker].push(input);
    }
    let feeders = per_worker
        .into_iter()
        .enumerate()
        .map(|(worker, inputs)| -> Feeder {
            Box::new(move |mut inlets, stop| {
                let inlet = inlets.swap_remove(worker);
                drop(inlets);
                for input_batch in inputs.into_iter().flatten() {
                    if stop.is_raised() || inlet.send(input_batch).is_err() {
                        break;
                    }
                }
                Ok(())
            })
        })
        .collect();
    let sinks: Vec<Box<dyn BarSink>> = vec![Box::new(kept.clone())];
    let cluster = Cluster::of_threads(workers);
    let result = run(cluster, Pace::HISTORY, options, feeders, sinks);
    let commits = std::mem::take(&mut *kept.0.lock().unwrap());
    let rejects = std::mem::take(&mut *rejects.lock().unwrap());
    Run { result, commits, rejects, tally }
}

/// Runs the graph with these feeders into this sink.
pub fn run_fed(
    setup: Setup,
    feeders: Vec<Feeder>,
    sink: Box<dyn BarSink>,
) -> Result<SinkReport, Cause> {
    let options = options(&setup);
    run(Cluster::of_threads(setup.workers), Pace::HISTORY, options, feeders, vec![sink])
}

/// The options of a setup, for a run without checkpoints.
pub fn options(setup: &Setup) -> GraphOptions {
    let specs = setup.specs.clone();
    let validate = ValidateOptions {
        order: OrderOptions {
            policy: setup.policy,
            reorder_window: setup.window,
            pool: BatchPool::new(1024, 16),
            revises: false,
        },
        resume: BTreeMap::new(),
    };
    GraphOptions::new(Arc::new(move |_feed| specs.clone()), validate)
}
