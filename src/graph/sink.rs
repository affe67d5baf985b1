//! What the graph expects of a sink: takes commits in order, and reports at the end.
//!
//! A sink runs behind a bounded queue, or is called by the workers themselves
//! ([`sink_handle`](super::sink_handle)); either way a slow sink slows the source.
//!
//! Where output and checkpoints have to count together, cuts come between the bars: a sink that
//! keeps them makes everything before a cut visible at once with the cut's records, or nothing.

use std::collections::BTreeMap;

use barflow_operators::checkpoint::instrument_state::SealedRecord;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use barflow_operators::progress::Progress;
use barflow_operators::published::PublishedBar;

use crate::stop::Stop;

/// A stretch of one worker's ordered output: bars, then how far the input is applied with them,
/// then perhaps reports and a cut.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Which worker it comes from, among those of all processes.
    pub shard: usize,
    /// Bars as differential updates: +1 published, −1 retracted. In order per instrument and
    /// specification.
    pub bars: Vec<(PublishedBar, isize)>,
    /// Every instrument whose input has moved since the commit before, and through which position
    /// its bars are complete now. Input that closes no bar waits here for the next commit.
    pub progress: BTreeMap<InstrumentId, Position>,
    /// How far bars are complete, for readers: bars of this and earlier commits. Only for runs that report
    /// it.
    pub reports: Vec<Progress>,
    /// Ends a transaction: these records and all bars since the cut before, the ones here
    /// included, count together. Only for runs that keep checkpoints.
    pub cut: Option<Vec<SealedRecord>>,
}

impl Commit {
    /// Whether a sink has to wait for others to take it.
    pub(super) fn waits(&self) -> bool {
        self.cut.is_some() || !self.reports.is_empty()
    }
}

/// Why a sink could not do its work. Prints itself and, as its source, what the system said.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The settings are wrong: all problems, each a line. Nothing was attempted.
    #[error("{}", .0.join("\n  "))]
    Settings(Vec<String>),
    /// The outside world is not there for now: a broker is away, a leader is being elected, time was up.
    /// What may pass by itself is tried again where that can be done without a loss.
    #[error("{0}")]
    Unavailable(String),
    /// The output refuses, and would again until somebody has done something: disk full, topic unknown, not
    /// authorised, message too large.
    #[error("{0}")]
    Refused(String),
    /// Another copy of the job is running; this one must stop.
    #[error("{0}")]
    Fenced(String),
    /// The end was asked for while something was waited for or read, before the run had begun; not a failure.
    #[error("{0}")]
    Stopped(String),
    /// The reader of our standard output closed it, which is not a failure.
    #[error("the reader closed the pipe")]
    ClosedPipe,
}

impl SinkError {
    /// Asks for the end of the run because of what became of a sink.
    pub(super) fn end_run(&self, stop: &Stop) {
        match self {
            // Nobody reads any more: an end, but no error.
            Self::ClosedPipe | Self::Stopped(_) => stop.raise(),
            _ => stop.fail_untold(),
        }
    }

    /// What happened, and what to do about it where the text says so on a line of its own.
    pub fn parts(&self) -> (String, Option<String>) {
        let text = self.to_string();
        match text.rsplit_once("\nhint: ") {
            Some((what, hint)) => (what.to_owned(), Some(hint.to_owned())),
            None => (text, None),
        }
    }
}

/// What a sink says at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkReport {
    /// Bars that are safely where they belong.
    pub bars: u64,
    /// Where that is, for a person: a path, a topic at a broker.
    pub places: Vec<String>,
}

impl SinkReport {
    /// Takes in what another sink of the same run says.
    pub fn join(&mut self, other: Self) {
        self.bars += other.bars;
        self.places.extend(other.places);
        self.places.sort();
        self.places.dedup();
    }
}

/// An output for bars.
pub trait BarSink: Send {
    /// Takes one commit.
    ///
    /// # Errors
    /// When a bar could not be delivered, or an earlier one turned out undelivered.
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError>;

    /// Whether the sink itself reports how long each bar took; otherwise a bar counts as handed
    /// over with the last one of its commit.
    fn tells_latency(&self) -> bool {
        false
    }

    /// Makes everything durable and visible; of a run with checkpoints, everything before the last
    /// cut.
    ///
    /// # Errors
    /// When that fails; then no incomplete file has a final name.
    fn finish(&mut self) -> Result<SinkReport, SinkError>;
}
