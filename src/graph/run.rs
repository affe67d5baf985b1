//! Runs the dataflow: workers, the threads that feed them, and the thread that looks after the sink.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use timely::WorkerConfig;
use timely::execute::execute_from;

use super::assemble::assemble;
use super::cluster::{Cluster, Crew};
use super::flow::{Inlet, InputQueue, inlet};
use super::options::GraphOptions;
use super::sink_handle::{DirectSink, SinkHandle, note};
use super::window::MOST_BARS;
pub use super::workers::Workers;
use crate::budget::Budget;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::stop::{Breakdown, Cause, Stop};
use crate::telemetry::latency::Latency;

/// Fills inlets (one per worker of this process) until its input ends or the stop flag is up. Runs
/// on a thread of its own.
pub type Feeder = Box<dyn FnOnce(Vec<Inlet>, &Stop) -> Result<(), Cause> + Send>;

/// How a graph trades latency for cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long an idle worker polls before it sleeps.
    pub idle_spin: Duration,
    /// Input batches that may wait before a worker.
    pub queue: usize,
    /// Whether workers hand bars to the sink themselves rather than to its thread.
    pub direct: bool,
}

impl Pace {
    /// Large batches; the other threads need the core. Measured: polling for 20 µs takes the core
    /// from the threads that read, and a zip replay a fifth longer.
    pub const HISTORY: Self = Self { idle_spin: Duration::ZERO, queue: 4, direct: false };
    /// Small batches that must not wait; a burst of 4,096 frames is absorbed at once.
    pub const LIVE: Self = Self { idle_spin: Duration::from_millis(1), queue: 4096, direct: true };
}

/// How long the sink's thread waits for bars before it looks after its own business.
const SINK_IDLE: Duration = Duration::from_millis(50);

/// Commits of a replay that may wait for the sink.
pub const COMMIT_QUEUE: usize = 4;

/// The same where a sink ends transactions, which takes as long as some dozen batches.
const COMMIT_QUEUE_BESIDE_CUTS: usize = 64;

/// Runs until all feeders are done and everything they fed is in the sinks. Workers take turns at
/// the sinks: one for all of them, or one each.
///
/// # Errors
/// The first error of a feeder, the graph or a sink. What the sinks had taken before stays
/// delivered.
pub fn run(
    cluster: Cluster,
    pace: Pace,
    options: GraphOptions,
    feeders: Vec<Feeder>,
    sinks: Vec<Box<dyn BarSink>>,
) -> Result<SinkReport, Cause> {
    let stop = options.stop.clone();
    let workers = cluster.workers().clone();
    // Only when everybody has ended is it known how: nothing is ever sent here.
    let (alive, ended) = bounded::<()>(0);
    let (sink_handles, sinks) = connect(sinks, pace, &options);
    let (inlets, queues): (Vec<Inlet>, Vec<InputQueue>) =
        (0..workers.here()).map(|_| inlet(pace.queue)).unzip();

    let report = thread::scope(|threads| -> Result<SinkReport, Cause> {
        let mut sinking = Vec::new();
        for sink in sinks {
            let (stop, latency, ended) = (stop.clone(), options.latency.clone(), ended.clone());
            sinking.push(threads.spawn(move || serve(sink, &stop, &latency, &ended)));
        }
        let feeding: Vec<_> = feeders
            .into_iter()
            .map(|feeder| {
                let (stop, inlets) = (stop.clone(), inlets.clone());
                threads.spawn(move || {
                    if let Err(cause) = feeder(inlets, &stop) {
                        stop.fail(cause);
                    }
                })
            })
            .collect();
        // The feeders have their own; the sources end when the last of them is done.
        drop(inlets);
        work(cluster, pace, options, queues, sink_handles);
        for feeder in feeding {
            if feeder.join().is_err() {
                stop.fail(Breakdown::panicked("a feeding thread"));
            }
        }
        drop(alive);
        gather(sinking)
    });
    match (stop.take_cause(), report) {
        (Some(cause), _) => Err(cause),
        (None, report) => report,
    }
}

/// The two ends of what carries commits to each sink.
fn connect(
    sinks: Vec<Box<dyn BarSink>>,
    pace: Pace,
    options: &GraphOptions,
) -> (Vec<SinkHandle>, Vec<Held>) {
    let queue = match options.checkpoints {
        _ if pace.direct => pace.queue,
        Some(_) => COMMIT_QUEUE_BESIDE_CUTS,
        None => COMMIT_QUEUE,
    };
    let connected = sinks.into_iter().map(|sink| {
        let (sender, commits) = bounded(queue);
        let bars = Budget::new(MOST_BARS);
        match pace.direct {
            true => {
                let sink = DirectSink::new(sink, options.latency.clone());
                let handle = SinkHandle::direct(sink.clone(), sender, bars.clone());
                (handle, Held::Direct(sink, commits, bars))
            }
            false => (SinkHandle::Queue(sender, bars.clone()), Held::Thread(sink, commits, bars)),
        }
    });
    connected.unzip()
}

/// A sink's thread: until all commits have come, then, when all of the run has `ended`, to its end.
fn serve(
    sink: Held,
    stop: &Stop,
    latency: &Latency,
    ended: &Receiver<()>,
) -> Result<SinkReport, SinkError> {
    let all_ended = || {
        // It ends when the last holder of the other end does.
        let _ = ended.recv();
    };
    let result = match sink {
        Held::Thread(mut sink, commits, bars) => drain(&commits, sink.as_mut(), latency, &bars)
            .and_then(|()| {
                all_ended();
                end(stop, || sink.finish())
            }),
        Held::Direct(sink, commits, bars) => {
            look_after(&sink, &commits, &bars);
            // Workers that still send something learn that there is no receiver.
            drop(commits);
            sink.tell(stop);
            all_ended();
            end(stop, || sink.finish())
        }
    };
    if let Err(error) = &result {
        error.end_run(stop);
    }
    result
}

/// Runs the workers of this process to their end.
fn work(
    cluster: Cluster,
    pace: Pace,
    options: GraphOptions,
    queues: Vec<InputQueue>,
    sink_handles: Vec<SinkHandle>,
) {
    let stop = options.stop.clone();
    let workers = cluster.workers().clone();
    let first = workers.first();
    let queues = Mutex::new(queues.into_iter().map(Some).collect::<Vec<_>>());
    let config = WorkerConfig::default().idle_spin(pace.idle_spin);
    let guards = cluster.start(&stop).and_then(|Crew { builders, others, peers }| {
        execute_from(builders, others, config, move |worker| {
            let mine = worker.index() - first;
            let input_batches = queues
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .get_mut(mine)
                .and_then(Option::take);
            if let Some(input_batches) = input_batches {
                let commits = sink_handles[mine % sink_handles.len()].clone();
                worker
                    .dataflow(|scope| assemble(scope, input_batches, &options, &workers, commits));
            }
            // The closure holds the senders of the commit channels; each worker's dataflow has
            // its own copy, which goes when it completes.
            peers.work(worker);
        })
    });
    match guards {
        Ok(guards) => {
            for result in guards.join() {
                if let Err(why) = result {
                    stop.fail(Breakdown::Panicked { part: "a worker".to_owned(), why });
                }
            }
        }
        Err(why) => {
            stop.fail(Breakdown::NotStarted { part: "the dataflow".to_owned(), why });
        }
    }
}

/// What all sinks have come to; else the first error.
fn gather(
    sinking: Vec<thread::ScopedJoinHandle<'_, Result<SinkReport, SinkError>>>,
) -> Result<SinkReport, Cause> {
    let mut report = SinkReport::default();
    let mut failed = None;
    for thread in sinking {
        match thread.join() {
            Ok(Ok(part)) => report.join(part),
            Ok(Err(error)) => failed = failed.or(Some(Cause::from(error))),
            Err(_) => {
                let panic = Breakdown::panicked("a sink's thread");
                failed = failed.or(Some(panic.into()));
            }
        }
    }
    failed.map_or(Ok(report), Err)
}

/// The sink, and how its thread learns of commits or of the end.
enum Held {
    Thread(Box<dyn BarSink>, Receiver<Commit>, Budget),
    Direct(DirectSink, Receiver<Commit>, Budget),
}

/// The last word to a sink. A run that failed ends it too: what was handed over stays delivered,
/// and a sink with checkpoints commits nothing after its last cut anyway.
fn end(
    stop: &Stop,
    finish: impl FnOnce() -> Result<SinkReport, SinkError>,
) -> Result<SinkReport, SinkError> {
    if stop.has_failed() {
        tracing::debug!("the run failed; closing the sink");
    }
    finish()
}

/// Workers feed the sink with bars; its thread ends transactions for them, and asks it now and then
/// how its deliveries fare. Ends when all senders are gone, or the sink has failed.
fn look_after(sink: &DirectSink, commits: &Receiver<Commit>, bars: &Budget) {
    let _closing = bars.until_dropped();
    loop {
        let result = match commits.recv_timeout(SINK_IDLE) {
            Ok(commit) => {
                let result = sink.commit_queued(&commit);
                bars.leave(commit.bars.len());
                result
            }
            Err(RecvTimeoutError::Timeout) => sink.commit(&Commit::default()),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if result.is_err() {
            return;
        }
    }
}

/// Gives a sink commits until all senders are gone.
pub(crate) fn drain(
    commits: &Receiver<Commit>,
    sink: &mut dyn BarSink,
    latency: &Latency,
    bars: &Budget,
) -> Result<(), SinkError> {
    let _closing = bars.until_dropped();
    loop {
        match commits.recv_timeout(SINK_IDLE) {
            Ok(commit) => {
                sink.commit(&commit)?;
                bars.leave(commit.bars.len());
                if !sink.tells_latency() {
                    note(latency, &commit);
                }
            }
            // Undelivered bars must be noticed in a quiet market as well.
            Err(RecvTimeoutError::Timeout) => sink.commit(&Commit::default())?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
