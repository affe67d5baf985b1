//! The feeders of a parallel replay: threads that work on chunks, and a loop that joins the chunks in
//! order and feeds the graph.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use barflow_operators::batch::Feed;
use barflow_operators::order::OrderOptions;
use barflow_operators::order::ids::Settled;
use barflow_operators::parallel::{
    ChunkBatch, ChunkEnd, ChunkJoiner, JoinedBatch, JoinerOptions, ReadAgain, Recomputed,
};
use barflow_operators::position::FilePosition;
use barflow_operators::revision::Correction;
use barflow_replay::chunks::{Chunk, Chunks};
use barflow_replay::error::ReplayError;
use barflow_replay::plan::InstrumentPlan;
use barflow_replay::progress::Progress;
use barflow_replay::read_options::ReadOptions;
use crossbeam::channel::{Receiver, bounded};

use super::beliefs::{Beliefs, SpecReport};
use super::work::{Message, Shared, Underway};
use crate::graph::flow::Inlet;
use crate::graph::options::{EndOf, SpecsOf};
use crate::graph::run::Feeder;
use crate::stop::{Breakdown, Cause, Stop};

/// The files of one instrument that are still to be read.
pub struct History {
    /// The files.
    pub plan: InstrumentPlan,
    /// Where reading begins; none for the beginning.
    pub resume: Option<FilePosition>,
    /// Event time of the last trade that was applied before it, ns.
    pub resume_time: Option<i64>,
    /// The ids that were settled before it.
    pub settled: Option<Arc<Settled>>,
    /// Corrections that are still due.
    pub corrections: Vec<Correction>,
}

/// What a parallel replay needs to know.
#[derive(Clone)]
pub struct Options {
    /// Which bars.
    pub specs_of: SpecsOf,
    /// How rows are judged.
    pub order: OrderOptions,
    /// Whether bars are built ahead; otherwise the graph builds them.
    pub built_ahead: bool,
    /// How inputs end.
    pub end_of: EndOf,
    /// How files are read.
    pub read: ReadOptions,
    /// Threads that share each history.
    pub threads: usize,
    /// The counts of working in chunks.
    pub report: Arc<Mutex<Report>>,
}

/// The counts of working in chunks, over all instruments.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Chunks, and what was done twice.
    pub recomputed: Recomputed,
    /// By instrument and specification, of what was built ahead.
    pub specs: Vec<(String, SpecReport)>,
}

impl Options {
    /// The counts of working in chunks, after the feeders have ended.
    pub fn result(&self) -> Report {
        lock(&self.report).clone()
    }
}

/// One feeder per worker, which takes the worker's histories one after the other.
pub fn feeders(histories: Vec<Vec<History>>, options: &Options) -> Vec<Feeder> {
    let feeders = histories.into_iter().enumerate().map(|(worker, mine)| -> Feeder {
        let options = options.clone();
        Box::new(move |mut inlets, stop| {
            // Only its own: the others' sources end when their readers do.
            let inlet = inlets.swap_remove(worker);
            drop(inlets);
            for history in mine {
                if stop.is_raised() {
                    break;
                }
                // Told before the inlet goes: an input that fails has not come to its end.
                if let Err(cause) = replay(history, &options, &inlet, stop) {
                    stop.fail_input(cause);
                }
            }
            Ok(())
        })
    });
    feeders.collect()
}

fn replay(history: History, options: &Options, inlet: &Inlet, stop: &Stop) -> Result<(), Cause> {
    let History { plan, resume, resume_time, settled, corrections } = history;
    let read = ReadOptions { resume_time, settled, ..options.read.clone() };
    let feed = Arc::clone(&plan.feed);
    let OrderOptions { policy, reorder_window, pool, .. } = options.order.clone();
    let specs = if options.built_ahead { (options.specs_of)(&feed) } else { Vec::new() };
    let chunks = Chunks::new(plan, options.read.batch_rows, resume)?;
    let beliefs = Mutex::new(Beliefs::new(&specs, chunks.rows(), options.threads));
    let chunks = Mutex::new(chunks);
    let shared = Shared { chunks, beliefs, read: &read, policy, reorder_window, stop };
    let mut recomputed = Recomputed::default();
    let ended = thread::scope(|threads| {
        let (send, underway) = bounded(2 * options.threads);
        for number in 0..options.threads {
            let (shared, send) = (&shared, send.clone());
            thread::Builder::new()
                .name(format!("chunk-{number}"))
                .spawn_scoped(threads, move || shared.work(&send))
                .map_err(|e| {
                    let part = "a thread that works on chunks".to_owned();
                    Cause::from(Breakdown::NotStarted { part, why: e.to_string() })
                })?;
        }
        drop(send);
        let ended = if options.built_ahead {
            let joiner = JoinerOptions { feed: feed.clone(), specs, policy, reorder_window, pool };
            let joiner = ChunkJoiner::new(joiner);
            let end_of = &options.end_of;
            let mut joining = Joining { joiner, shared: &shared, feed: &feed, inlet, end_of };
            let ended = joining.run(&underway);
            recomputed = joining.joiner.recomputed().clone();
            ended
        } else {
            pass_on(&underway, corrections, inlet, stop, &mut recomputed.chunks)
        };
        if !matches!(ended, Ok(Ended::WithInput)) {
            // Workers that wait for room look at this.
            stop.raise();
        }
        ended
    });
    lock(&options.report).add(&recomputed, &lock(&shared.beliefs), feed.instrument.as_str());
    ended.map(drop)
}

/// Feeds the graph with what was read, one chunk after the other.
fn pass_on(
    chunks: &Receiver<Underway>,
    mut corrections: Vec<Correction>,
    inlet: &Inlet,
    stop: &Stop,
    count: &mut u64,
) -> Result<Ended, Cause> {
    // Rows without ids of their own that were numbered in the chunks before.
    let mut numbered = 0;
    for Underway { chunk, messages, budget, .. } in chunks {
        *count += 1;
        let ids = if chunk.is_numbered() { numbered } else { 0 };
        loop {
            match messages.recv() {
                Ok(Message::ChunkBatch(mut batch)) => {
                    budget.give_back(batch.bytes());
                    batch.shift(ids);
                    let Some(mut input_batch) = batch.into_batch() else { continue };
                    // All at the beginning: they wait until their place has passed.
                    input_batch.corrections = std::mem::take(&mut corrections);
                    if stop.is_raised() {
                        return Ok(Ended::WithInput);
                    }
                    if inlet.send(input_batch).is_err() {
                        return Ok(Ended::WithGraph);
                    }
                }
                Ok(Message::End(_, rows)) => {
                    numbered += rows;
                    break;
                }
                Ok(Message::Failed(ReplayError::Stopped)) => return Ok(Ended::WithInput),
                Ok(Message::Failed(error)) => return Err(error.into()),
                Err(_) if stop.is_raised() => return Ok(Ended::WithInput),
                Err(_) => return Err(Breakdown::panicked("a thread that worked on a chunk").into()),
            }
        }
    }
    Ok(Ended::WithInput)
}

/// How the loop ended.
enum Ended {
    WithInput,
    AtBadRow,
    WithGraph,
}

/// Takes the chunks in order, and feeds the graph with the bars that come of them.
struct Joining<'a> {
    joiner: ChunkJoiner,
    shared: &'a Shared<'a>,
    feed: &'a Arc<Feed>,
    inlet: &'a Inlet,
    end_of: &'a EndOf,
}

impl Joining<'_> {
    fn run(&mut self, chunks: &Receiver<Underway>) -> Result<Ended, Cause> {
        let mut ended = self.chunks(chunks);
        if !matches!(ended, Ok(Ended::AtBadRow | Ended::WithGraph)) {
            // The last of the rows may be bad as well; if the graph has ended, it has reported why.
            let last = self.joiner.finish();
            if let (Ok(Ended::WithInput), Err(sooner)) = (&ended, self.send(last)) {
                ended = Ok(sooner);
            }
        }
        if matches!(ended, Ok(Ended::WithInput))
            && !self.shared.stop.is_raised()
            && let Some(end) = (self.end_of)(&self.feed.instrument)
        {
            let left = self.joiner.on_end(end);
            let _ = self.send(left);
        }
        ended
    }

    fn chunks(&mut self, chunks: &Receiver<Underway>) -> Result<Ended, Cause> {
        // Rows without ids of their own that were numbered in the chunks before.
        let mut numbered = 0;
        for underway in chunks {
            let chunk = &underway.chunk;
            self.joiner.begin_chunk(if chunk.is_numbered() { numbered } else { 0 });
            match self.chunk(&underway)? {
                Ok((chunk_end, rows)) => {
                    let joined = self.joiner.joined_after();
                    lock(&self.shared.beliefs).learn(&underway.wanted, chunk.rows(), joined);
                    self.joiner.end_chunk(chunk_end);
                    numbered += rows;
                }
                Err(ended) => return Ok(ended),
            }
        }
        Ok(Ended::WithInput)
    }

    /// Takes the batches of a chunk; returns what is left of its builders and how many rows it has
    /// numbered, or that everything has ended with it.
    fn chunk(
        &mut self,
        underway: &Underway,
    ) -> Result<Result<(Option<ChunkEnd>, u64), Ended>, Cause> {
        let mut is_done = false;
        for message in &underway.messages {
            match message {
                Message::ChunkBatch(batch) => {
                    underway.budget.give_back(batch.bytes());
                    if self.shared.stop.is_raised() {
                        return Ok(Err(Ended::WithInput));
                    }
                    if is_done {
                        continue;
                    }
                    let fed = match self.joiner.on_batch(*batch) {
                        Ok(joined_batch) => self.send(joined_batch),
                        Err(ReadAgain) => {
                            is_done = true;
                            self.read_again(&underway.chunk)?
                        }
                    };
                    if let Err(ended) = fed {
                        return Ok(Err(ended));
                    }
                }
                Message::End(chunk_end, rows) => {
                    return Ok(Ok(((!is_done).then_some(chunk_end), rows)));
                }
                Message::Failed(error) => {
                    if !is_done && self.joiner.is_in_debt() {
                        // Fails in the same place, with the true builders there.
                        let _ = self.read_again(&underway.chunk)?;
                    }
                    return Err(error.into());
                }
            }
        }
        if self.shared.stop.is_raised() {
            return Ok(Err(Ended::WithInput));
        }
        Err(Breakdown::panicked("a thread that worked on a chunk").into())
    }

    /// Does a chunk as one pass would.
    fn read_again(&mut self, chunk: &Chunk) -> Result<Result<(), Ended>, Cause> {
        lock(&self.shared.beliefs).read_again();
        self.joiner.read_again();
        let read = ReadOptions { progress: Progress::default(), ..self.shared.read.clone() };
        let mut reader = chunk.open(&read)?;
        while let Some(input_batch) = reader.next_batch()? {
            if self.shared.stop.is_raised() {
                return Ok(Err(Ended::WithInput));
            }
            // The true builders need nothing but what was read.
            let joined_batch = self.joiner.on_batch(ChunkBatch::read(input_batch))?;
            if let Err(ended) = self.send(joined_batch) {
                return Ok(Err(ended));
            }
        }
        Ok(Ok(()))
    }

    fn send(&self, joined_batch: JoinedBatch) -> Result<(), Ended> {
        let stopped = joined_batch.stopped;
        let input_batch = joined_batch.into_batch(self.feed);
        match input_batch.map_or(Ok(()), |input_batch| self.inlet.send(input_batch)) {
            Err(_) => Err(Ended::WithGraph),
            Ok(()) if stopped => Err(Ended::AtBadRow),
            Ok(()) => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Report {
    fn add(&mut self, recomputed: &Recomputed, beliefs: &Beliefs, instrument: &str) {
        self.recomputed.chunks += recomputed.chunks;
        self.recomputed.trades += recomputed.trades;
        self.recomputed.read_again += recomputed.read_again;
        self.recomputed.apart += recomputed.apart;
        for (spec, fared) in beliefs.reports() {
            self.specs.push((format!("{instrument} {}", spec.name()), fared));
        }
    }
}
