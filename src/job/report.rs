//! What a run did.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use barflow_operators::dataflow::ledger::FactKind;
use barflow_operators::gap::Gap;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use barflow_replay::plan_note::PlanNote;

use crate::config::bars::BarBook;
use crate::config::targets::{self, Doubt, Measured};
use crate::feeds::provenance::RecordingNote;
use crate::feeds::session::FeedReport;
use crate::graph::quality::{Quality, QualityDays};
use crate::graph::revised::{Revised, Totals};
use crate::graph::sink::{SinkError, SinkReport};
use crate::graph::tally::{BarLengths, Joins, Left, Lengths, Tally};
use crate::graph::workers::Workers;
use crate::parallel;
use crate::sinks::limits::Limits;
use crate::sinks::rejects::Quarantine;
use crate::stop::{Asker, Stop};
use crate::telemetry::latency::Latency;

/// What a run did. A job hands it to its observer even if it fails.
#[derive(Debug)]
pub struct JobReport {
    /// Files that were to be read.
    pub files: usize,
    /// How long the run took.
    pub elapsed: Duration,
    /// The workers of the job, and which of them were this process's.
    pub workers: Workers,
    /// What was counted, by instrument.
    pub inputs: BTreeMap<InstrumentId, InputCounts>,
    /// Bars and their lengths, by instrument and specification.
    pub bars: Lengths,
    /// What was left of the builders when their input ended, by instrument and specification.
    pub left: Left,
    /// When bars last became independent of where they began.
    pub joined: Joins,
    /// The last position of each instrument whose bars are in the sink.
    pub positions: BTreeMap<InstrumentId, Position>,
    /// What became of corrections; none for a run without a revision window.
    pub revised: Option<Totals>,
    /// The days that expectations were checked against; none for a run without expectations.
    pub quality: Option<QualityDays>,
    /// What the sink says; none if the run failed.
    pub sink: Option<SinkReport>,
    /// The result of chunks on several threads; none for a run in one pass.
    pub parallel: Option<ParallelReport>,
    /// What is worth knowing about the bars.
    pub notices: Vec<Notice>,
    /// The file of sums by day.
    pub daily: Option<PathBuf>,
    /// Files of validated trades.
    pub trades: Vec<PathBuf>,
    /// Where bad rows are, if they could be set aside.
    pub quarantine: Option<QuarantineReport>,
    /// Feeds by name; empty for a replay.
    pub feeds: BTreeMap<String, FeedReport>,
    /// How long trades of feeds took to each stage.
    pub latency: Latency,
    /// Recordings of the feeds' frames, or why they are incomplete; none if nothing was recorded.
    pub recorded: Option<io::Result<Vec<PathBuf>>>,
    /// Who asked for the end, if the run was stopped by somebody.
    pub stopped_by: Option<Asker>,
}

/// A run in chunks.
#[derive(Clone, Debug)]
pub struct ParallelReport {
    /// Threads that worked on chunks.
    pub threads: usize,
    /// What has left the bars to the graph, so that chunks were only read ahead.
    pub bars_in_graph: Option<&'static str>,
    /// Their result.
    pub chunks: parallel::Report,
}

/// A file of bad rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineReport {
    /// Where it is.
    pub path: PathBuf,
    /// Bad rows that had no room in it.
    pub left_out: u64,
}

/// What was counted of one instrument's input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputCounts {
    /// Valid trades.
    pub trades: u64,
    /// Trades that had come before.
    pub duplicates: u64,
    /// How many of them came so long before that only their ids could be compared.
    pub not_compared: u64,
    /// Rows under the id of another row with other content.
    pub conflicts: u64,
    /// Trades that came out of order and were put in order.
    pub reordered: u64,
    /// Trades whose time lies before that of their predecessor.
    pub time_reversals: u64,
    /// Rows that are not valid trades.
    pub rejected: u64,
    /// How many of them a feed brought.
    pub rejected_of_feed: u64,
    /// Trades that a feed brought after their ids were given up as missing.
    pub late: u64,
    /// Rows that are not trades by rule, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// Ids that never came.
    pub gaps: Vec<Gap>,
}

/// Something worth knowing about the bars of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The source has no aggressor: these bars use the tick rule instead.
    TickRule {
        /// Which instrument.
        instrument: InstrumentId,
        /// Names of the specifications.
        specs: Vec<Arc<str>>,
    },
    /// No specification applies to this instrument.
    NoBars(InstrumentId),
    /// Something worth knowing about the plan of what is read.
    Plan(PlanNote),
    /// Something worth knowing about recordings.
    Recording(RecordingNote),
    /// The run resumes an instrument after this position.
    Resumed {
        /// Which instrument.
        instrument: InstrumentId,
        /// Where its checkpoint was.
        position: Position,
    },
    /// The run began in the middle of a history.
    LateStart {
        /// Name of the specification.
        spec: Arc<str>,
        /// Trades after which its bars are expected to be those of a longer history; none if they
        /// never are.
        equal_after: Option<u64>,
    },
    /// A file of an earlier run is replaced.
    Replaces(PathBuf),
    /// No trade lies between `from` and `to`.
    NothingInRange,
    /// A specification whose target cannot be what comes out, or is not.
    Doubt(Doubt),
    /// No trade came, so there are no bars.
    NoTrades,
    /// Chunks on this many threads would not have been faster than one pass.
    OnePass {
        /// Threads that were asked for.
        threads: usize,
    },
}

impl JobReport {
    /// Valid trades of all instruments.
    pub fn trades_read(&self) -> u64 {
        self.inputs.values().map(|counts| counts.trades).sum()
    }

    /// Notes what the bars of this book have come to, where that is not what they were meant to be.
    pub(super) fn note_results(&mut self, book: &BarBook) {
        let is_explained =
            |notice: &Notice| matches!(notice, Notice::NothingInRange | Notice::Resumed { .. });
        if self.trades_read() == 0 && !self.notices.iter().any(is_explained) {
            self.notices.push(Notice::NoTrades);
        }
        let spec_of = |name: &str| book.specs().map(|(s, _)| s).find(|s| &**s.name() == name);
        for ((instrument, name), lengths) in &self.bars {
            let Some(spec) = spec_of(name) else { continue };
            let doubts = targets::off_target(spec, instrument, &measured(lengths));
            self.notices.extend(doubts.into_iter().map(Notice::Doubt));
        }
        for ((instrument, name), left) in &self.left {
            let Some(spec) = spec_of(name).filter(|_| left.bars == 0) else { continue };
            let doubt = targets::too_short(spec, instrument, left.warmup_left);
            self.notices.extend(doubt.map(Notice::Doubt));
        }
    }

    /// Rows that are not valid trades, of all instruments.
    pub fn rejected(&self) -> u64 {
        self.inputs.values().map(|counts| counts.rejected).sum()
    }

    /// Rows of files that are not valid trades, of all instruments.
    pub fn rejected_in_files(&self) -> u64 {
        self.inputs
            .values()
            .map(|counts| counts.rejected.saturating_sub(counts.rejected_of_feed))
            .sum()
    }

    /// Why no feed was ever connected; none if one was, or there are none.
    pub fn never_connected(&self) -> Option<String> {
        let mut why = None;
        if self.feeds.is_empty() && !self.workers.share().is_part() {
            return Some("the run ended before a feed began".to_owned());
        }
        for (name, feed) in &self.feeds {
            if feed.has_connected() {
                return None;
            }
            let last = feed.last_failure().unwrap_or_else(|| "no answer yet".to_owned());
            why.get_or_insert_with(|| format!("feed \"{name}\": {last}"));
        }
        why
    }

    /// Rows and frames that were set aside, by whomever, and corrections that were refused.
    pub fn set_aside(&self) -> u64 {
        let feeds = self.feeds.values().map(|feed| feed.counters().set_aside());
        self.rejected() + self.refused() + feeds.sum::<u64>()
    }

    /// Corrections that were refused: late trades as well.
    pub fn refused(&self) -> u64 {
        self.revised.as_ref().map_or(0, |revised| revised.refused)
    }

    /// Whether rows were set aside or corrections refused: then the bars are not those of the
    /// whole input.
    pub fn left_something_out(&self) -> bool {
        self.refused() > 0 || (self.quarantine.is_some() && self.rejected() > 0)
    }
}

/// What is doubtful about bars before any trade has come; the log says so at the start.
pub(super) fn doubtful(book: &BarBook) -> impl Iterator<Item = Notice> + '_ {
    let doubts = book.specs().flat_map(|(spec, _)| targets::doubts(spec));
    doubts.inspect(|doubt| tracing::warn!("{doubt}")).map(Notice::Doubt)
}

fn measured(lengths: &BarLengths) -> Measured {
    let (bars, ticks) = (lengths.ticks.len(), &lengths.ticks);
    let span = lengths.span.1.saturating_sub(lengths.span.0);
    Measured {
        bars,
        median: ticks.value_at_quantile(0.5),
        longest: ticks.max(),
        ticks: ticks.mean() * bars as f64,
        days: span as f64 / 86_400e9,
    }
}

/// What is written down while a job runs, shared by all its workers.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) tally: Tally,
    pub(super) revised: Revised,
    pub(super) quality: Option<Quality>,
    pub(super) quarantine: Option<Arc<Quarantine>>,
    pub(super) latency: Latency,
    began: Instant,
}

impl Records {
    /// Nothing yet.
    pub(super) fn new(quality: Option<Quality>, began: Instant) -> Self {
        Self {
            tally: Tally::default(),
            revised: Revised::default(),
            quality,
            quarantine: None,
            latency: Latency::default(),
            began,
        }
    }

    /// Sets bad rows aside in this file; what is in it stays.
    pub(super) fn with_quarantine(
        mut self,
        path: Option<&Path>,
        limits: Limits,
        stop: &Stop,
    ) -> Result<Self, SinkError> {
        let open = path.map(|path| Quarantine::open(path, limits, stop)).transpose()?;
        self.quarantine = open.map(Arc::new);
        Ok(self)
    }

    /// The report so far.
    pub(super) fn report(&self, workers: Workers, revises: bool, stop: &Stop) -> JobReport {
        JobReport {
            files: 0,
            elapsed: self.began.elapsed(),
            workers,
            inputs: counts(&self.tally),
            bars: self.tally.take_lengths(),
            left: self.tally.left(),
            joined: self.tally.joined(),
            positions: self.tally.positions(),
            revised: revises.then(|| self.revised.totals()),
            quality: self.quality.as_ref().map(Quality::days),
            sink: None,
            parallel: None,
            notices: Vec::new(),
            daily: None,
            trades: Vec::new(),
            quarantine: self.quarantine.as_ref().map(|open| QuarantineReport {
                path: open.path().to_owned(),
                left_out: open.left_out(),
            }),
            feeds: BTreeMap::new(),
            latency: self.latency.clone(),
            recorded: None,
            stopped_by: stop.asker(),
        }
    }
}

/// The counts of a tally, by instrument.
fn counts(tally: &Tally) -> BTreeMap<InstrumentId, InputCounts> {
    let mut counts: BTreeMap<InstrumentId, InputCounts> = BTreeMap::new();
    for (fact, n) in tally.totals() {
        let n = n.max(0) as u64;
        let c = counts.entry(fact.instrument).or_default();
        match fact.kind {
            FactKind::Trades => c.trades += n,
            FactKind::Duplicates => c.duplicates += n,
            FactKind::NotCompared => c.not_compared += n,
            FactKind::Conflicts => c.conflicts += n,
            FactKind::Reordered => c.reordered += n,
            FactKind::TimeReversals => c.time_reversals += n,
            FactKind::Rejected => c.rejected += n,
            FactKind::RejectedOfFeed => c.rejected_of_feed += n,
            FactKind::LateOfFeed => c.late += n,
            FactKind::LeftOut(why) => *c.left_out.entry(why).or_default() += n,
            FactKind::Gap(gap) => c.gaps.extend(std::iter::repeat_n(gap, n as usize)),
            FactKind::Corrected
            | FactKind::AlreadySo
            | FactKind::CorrectionsRefused
            | FactKind::Bars(_) => {}
        }
    }
    counts
}
