//! How commits reach the sink: through a queue to a thread of its own, or straight from the worker.
//!
//! Replay wants the queue: encoding and writing happen beside the next batch. Live wants the other:
//! waking a thread costs more than handing a bar to Kafka's own queue does (docs/PERFORMANCE.md).
//! A sink that is slow blocks the worker either way, and so slows the source.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::channel::Sender;

use crate::budget::Budget;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::stop::Stop;
use crate::telemetry::latency::{Latency, Stage};

/// Where workers put commits.
#[derive(Clone)]
pub enum SinkHandle {
    /// To the sink's thread; bars that wait for it.
    Queue(Sender<Commit>, Budget),
    /// Into the sink; what would take long, and what comes while that lasts, through a queue to its
    /// thread.
    Direct(DirectSink, Sender<Commit>, Budget),
}

/// The sink is gone; it has said why, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl SinkHandle {
    pub(super) fn direct(sink: DirectSink, queue: Sender<Commit>, bars: Budget) -> Self {
        Self::Direct(sink, queue, bars)
    }

    /// Hands a commit over, waiting while the sink is busy.
    pub(super) fn give(&self, commit: Commit) -> Result<(), Gone> {
        match self {
            Self::Queue(queue, bars) => {
                bars.enter(commit.bars.len());
                queue.send(commit).map_err(|_| Gone)
            }
            // The end of a transaction, or that all bars are confirmed, is waited for elsewhere, and what
            // follows waits its turn.
            Self::Direct(sink, queue, bars) if commit.waits() || sink.is_behind() => {
                sink.behind.fetch_add(1, Ordering::AcqRel);
                bars.enter(commit.bars.len());
                queue.send(commit).map_err(|_| Gone)
            }
            Self::Direct(sink, _, _) => sink.commit(&commit),
        }
    }
}

/// A sink that all workers of a process share. Bars of one instrument come from one worker, so
/// their order does not depend on who is first.
#[derive(Clone)]
pub struct DirectSink {
    shared: Arc<Mutex<Shared>>,
    latency: Latency,
    /// Commits in the queue, or just being worked on by the sink's thread.
    behind: Arc<AtomicUsize>,
}

struct Shared {
    sink: Box<dyn BarSink>,
    failed: Option<SinkError>,
}

impl DirectSink {
    pub(super) fn new(sink: Box<dyn BarSink>, latency: Latency) -> Self {
        let shared = Arc::new(Mutex::new(Shared { sink, failed: None }));
        Self { shared, latency, behind: Arc::default() }
    }

    /// Whether the sink's thread has work of a worker's: then that worker's next goes there too.
    fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire) > 0
    }

    /// Takes a commit that came through the queue.
    pub(super) fn commit_queued(&self, commit: &Commit) -> Result<(), Gone> {
        let result = self.commit(commit);
        self.behind.fetch_sub(1, Ordering::AcqRel);
        result
    }

    pub(super) fn commit(&self, commit: &Commit) -> Result<(), Gone> {
        // After a panic inside the sink its state is unknown, but the worker's panic ends the run.
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.failed.is_some() {
            return Err(Gone);
        }
        if let Err(error) = shared.sink.commit(commit) {
            shared.failed = Some(error);
            return Err(Gone);
        }
        if !shared.sink.tells_latency() {
            note(&self.latency, commit);
        }
        Ok(())
    }

    /// Asks for the end if the sink has failed.
    pub(super) fn tell(&self, stop: &Stop) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &shared.failed {
            error.end_run(stop);
        }
    }

    /// Ends the sink, or says why it ended before.
    pub(super) fn finish(&self) -> Result<SinkReport, SinkError> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.failed.take() {
            Some(error) => Err(error),
            None => shared.sink.finish(),
        }
    }
}

/// Notes how long the bars of a commit took until the sink had them.
pub(super) fn note(latency: &Latency, commit: &Commit) {
    for (bar, _) in &commit.bars {
        latency.note(bar.feed.instrument.venue(), Stage::HandedOver, bar.received);
    }
}
