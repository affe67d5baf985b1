//! Threads of a parallel replay, and the loop of the stitcher.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use barflow_operators::stitch::{
    Piece, ReadAgain, Remains, Stitched, Stitcher, StitcherOptions, Twice,
};
use barflow_replay::chunks::{Chunk, Chunks};
use barflow_replay::plan::{InstrumentPlan, Plan};
use barflow_replay::progress::Progress;
use barflow_replay::stream::ReadOptions;
use crossbeam::channel::{Receiver, Sender, bounded};

use super::beliefs::{Beliefs, SpecReport};
use super::tell::{Gone, Teller};
use super::work::{Message, Shared, Underway};
use crate::graph::assemble::GraphOptions;
use crate::graph::run::{COMMIT_QUEUE, drain};
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::stop::{Breakdown, Cause};

/// What a parallel replay needs to know.
pub struct Options {
    /// What any run needs to know. Checkpoints, kept trades and latencies are not for this one.
    pub graph: GraphOptions,
    /// How files are read.
    pub read: ReadOptions,
    /// Threads that work on chunks.
    pub workers: usize,
}

/// What working in chunks has come to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Over all instruments.
    pub twice: Twice,
    /// Trades of all instruments.
    pub trades: u64,
    /// By instrument and specification.
    pub specs: Vec<(String, SpecReport)>,
}

/// Replays every instrument of a plan, one after the other, into a sink.
///
/// # Errors
/// The first error of reading or of the sink, or what a bad row has caused. What the sink had taken
/// before stays delivered.
pub fn run(
    plan: Plan,
    options: &Options,
    mut sink: Box<dyn BarSink>,
) -> Result<(SinkReport, Report), Cause> {
    let stop = &options.graph.stop;
    let (send, commits) = bounded(COMMIT_QUEUE);
    let mut report = Report::default();
    let delivered = thread::scope(|threads| {
        let latency = options.graph.latency.clone();
        let sinking = threads.spawn(move || -> Result<SinkReport, SinkError> {
            let result = drain(&commits, sink.as_mut(), &latency).and_then(|()| sink.finish());
            match &result {
                Err(SinkError::ClosedPipe) => stop.raise(),
                Err(_) => stop.fail_untold(),
                Ok(_) => {}
            }
            result
        });
        for instrument in plan.instruments {
            if stop.is_raised() {
                break;
            }
            if let Err(cause) = replay(instrument, options, &send, &mut report) {
                stop.fail(cause);
            }
        }
        drop(send);
        sinking.join().map_err(|_| Cause::from(Breakdown::panicked("the sink's thread")))
    });
    match (stop.take_cause(), delivered?) {
        (Some(cause), _) => Err(cause),
        (None, delivered) => Ok((delivered?, report)),
    }
}

fn replay(
    plan: InstrumentPlan,
    options: &Options,
    commits: &Sender<Commit>,
    report: &mut Report,
) -> Result<(), Cause> {
    let feed = Arc::clone(&plan.feed);
    let graph = &options.graph;
    let specs = (graph.specs_of)(&feed);
    let chunks = Chunks::new(plan, options.read.batch_rows);
    let beliefs = Beliefs::new(&specs, chunks.rows(), options.workers);
    let shared = Shared {
        chunks: Mutex::new(chunks),
        beliefs: Mutex::new(beliefs),
        read: &options.read,
        policy: graph.validate.order.policy,
        reorder_window: graph.validate.order.reorder_window,
        stop: &graph.stop,
    };
    let mut teller = Teller {
        commits,
        on_reject: &graph.on_reject,
        tally: &graph.tally,
        feed: Arc::clone(&feed),
        facts: BTreeMap::new(),
    };
    let mut stitcher = Stitcher::new(StitcherOptions {
        feed: Arc::clone(&feed),
        specs,
        policy: graph.validate.order.policy,
        reorder_window: graph.validate.order.reorder_window,
        pool: graph.validate.order.pool.clone(),
    });
    let ended = thread::scope(|threads| {
        let (send, underway) = bounded(2 * options.workers);
        for number in 0..options.workers {
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
        let mut stitching = Loop { stitcher: &mut stitcher, shared: &shared, teller: &mut teller };
        let ended = stitching.run(&underway);
        if !matches!(ended, Ok(Ended::WithInput)) {
            // Workers that wait for room look at this.
            graph.stop.raise();
        }
        ended
    });
    if !matches!(ended, Ok(Ended::AtBadRow | Ended::WithSink)) {
        // The sink that is gone has said why, or will.
        let _ = teller.tell(stitcher.finish());
    }
    teller.settle();
    report.add(&stitcher, &shared, feed.instrument.as_str());
    ended.map(drop)
}

/// How the loop ended.
enum Ended {
    WithInput,
    AtBadRow,
    WithSink,
}

/// Takes the chunks in order.
struct Loop<'a, 'b> {
    stitcher: &'a mut Stitcher,
    shared: &'a Shared<'a>,
    teller: &'a mut Teller<'b>,
}

impl Loop<'_, '_> {
    fn run(&mut self, chunks: &Receiver<Underway>) -> Result<Ended, Cause> {
        // Rows without ids of their own that were numbered in the chunks before.
        let mut numbered = 0;
        for underway in chunks {
            let chunk = &underway.chunk;
            self.stitcher.begin_chunk(if chunk.is_numbered() { numbered } else { 0 });
            match self.chunk(&underway)? {
                Ok((remains, rows)) => {
                    let joined = self.stitcher.joined_after();
                    lock(&self.shared.beliefs).learn(&underway.wanted, chunk.rows(), joined);
                    self.stitcher.end_chunk(remains);
                    numbered += rows;
                }
                Err(ended) => return Ok(ended),
            }
        }
        Ok(Ended::WithInput)
    }

    /// Takes the pieces of a chunk; returns what is left of its builders and how many rows it has
    /// numbered, or that everything has ended with it.
    fn chunk(
        &mut self,
        underway: &Underway,
    ) -> Result<Result<(Option<Remains>, u64), Ended>, Cause> {
        let mut is_done = false;
        for message in &underway.messages {
            match message {
                Message::Piece(piece) => {
                    underway.budget.give_back(piece.bytes());
                    if self.shared.stop.is_raised() {
                        return Ok(Err(Ended::WithInput));
                    }
                    if is_done {
                        continue;
                    }
                    let told = match self.stitcher.on_piece(*piece) {
                        Ok(stitched) => self.tell(stitched),
                        Err(ReadAgain) => {
                            is_done = true;
                            self.read_again(&underway.chunk)?
                        }
                    };
                    if let Err(ended) = told {
                        return Ok(Err(ended));
                    }
                }
                Message::End(remains, rows) => {
                    return Ok(Ok(((!is_done).then_some(remains), rows)));
                }
                Message::Failed(error) => {
                    if !is_done && self.stitcher.is_in_debt() {
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
        self.stitcher.read_again();
        let read = ReadOptions { progress: Progress::default(), ..self.shared.read.clone() };
        let mut reader = chunk.open(&read)?;
        while let Some(intake) = reader.next_intake()? {
            if self.shared.stop.is_raised() {
                return Ok(Err(Ended::WithInput));
            }
            // The true builders need nothing but what was read.
            let stitched = self.stitcher.on_piece(Piece::read(intake))?;
            if let Err(ended) = self.tell(stitched) {
                return Ok(Err(ended));
            }
        }
        Ok(Ok(()))
    }

    fn tell(&mut self, stitched: Stitched) -> Result<(), Ended> {
        let stopped = stitched.stopped;
        match self.teller.tell(stitched) {
            Err(Gone) => Err(Ended::WithSink),
            Ok(()) if stopped => Err(Ended::AtBadRow),
            Ok(()) => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Report {
    fn add(&mut self, stitcher: &Stitcher, shared: &Shared<'_>, instrument: &str) {
        let twice = stitcher.twice();
        self.twice.chunks += twice.chunks;
        self.twice.trades += twice.trades;
        self.twice.read_again += twice.read_again;
        self.twice.apart += twice.apart;
        for (spec, fared) in lock(&shared.beliefs).reports() {
            self.specs.push((format!("{instrument} {}", spec.name()), fared));
        }
    }
}
