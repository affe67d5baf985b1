//! What the dataflow needs to know.

use std::sync::Arc;
use std::time::Duration;

use barflow_operators::batch::Feed;
use barflow_operators::dataflow::validate::{OrderedBatch, ValidateOptions};
use barflow_operators::end::InputEnd;
use barflow_operators::event_time::expected::Expected;
use barflow_operators::input_batch::Reject;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::open_bars::OpenBars;
use barflow_operators::revision::{Revision, Window};
use barflow_operators::spec::BarSpec;
use crossbeam::channel::Sender;

use super::checkpoints::Checkpoints;
use super::daily::Daily;
use super::flow::EpochClock;
use super::quality::Quality;
use super::tally::Tally;
use crate::stop::Stop;
use crate::telemetry::latency::Latency;

/// Which bars a feed gets.
pub type SpecsOf = Arc<dyn Fn(&Feed) -> Vec<BarSpec> + Send + Sync>;

/// Called with every row that is not a valid trade.
pub type OnReject = Arc<dyn Fn(Reject) + Send + Sync>;

/// How the input of an instrument ended, asked when nothing more comes; none if it was cut short.
pub type EndOf = Arc<dyn Fn(&InstrumentId) -> Option<InputEnd> + Send + Sync>;

/// Called with every correction of the past.
pub type OnRevision = Arc<dyn Fn(&InstrumentId, &Revision) + Send + Sync>;

/// What the dataflow needs to know; the same for every worker.
#[derive(Clone)]
pub struct GraphOptions {
    /// Which bars.
    pub specs_of: SpecsOf,
    /// How rows are judged.
    pub validate: ValidateOptions,
    /// Called with bad rows.
    pub on_reject: OnReject,
    /// Whether input batches come with their bars, from threads that share each history.
    pub built_ahead: bool,
    /// The instruments whose bars leave in the order of event time; none: as they are read.
    pub expected: Option<Expected>,
    /// How much of the past is retained, so that it can be corrected; none for a run without.
    pub window: Option<Window>,
    /// Called with corrections.
    pub on_revision: OnRevision,
    /// How inputs end.
    pub end_of: EndOf,
    /// Where validated trades go, if they are kept.
    pub trades: Option<Sender<OrderedBatch>>,
    /// Where sums by day are kept, if they are wanted.
    pub daily: Option<Daily>,
    /// Where counts are kept.
    pub tally: Tally,
    /// Where the open bars are shown to those who look.
    pub open_bars: OpenBars,
    /// How the run ends.
    pub stop: Stop,
    /// What is expected of the input, if anything: costs nothing if not.
    pub quality: Option<Quality>,
    /// Hands out epochs.
    pub clock: EpochClock,
    /// How long bars of live feeds take.
    pub latency: Latency,
    /// How often checkpoints are made, and where builders begin; none for a run without.
    pub checkpoints: Option<Checkpoints>,
    /// How often an instrument's progress is reported at most; none if nobody wants to know.
    pub reports: Option<Duration>,
}

impl GraphOptions {
    /// A run without observers: bad rows are dropped, and there are no checkpoints.
    pub fn new(specs_of: SpecsOf, validate: ValidateOptions) -> Self {
        Self {
            specs_of,
            validate,
            on_reject: Arc::new(|_| ()),
            built_ahead: false,
            expected: None,
            window: None,
            on_revision: Arc::new(|_, _| ()),
            end_of: Arc::new(|_| Some(InputEnd::default())),
            trades: None,
            daily: None,
            tally: Tally::default(),
            open_bars: OpenBars::default(),
            stop: Stop::new(),
            quality: None,
            clock: EpochClock::default(),
            latency: Latency::default(),
            checkpoints: None,
            reports: None,
        }
    }
}
