//! The source of a replay's trades: trade files, or recordings of frames.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barflow_operators::event_time::expected::Expected;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::quality::judge::Known;
use barflow_operators::quality::suite::Suite;
use barflow_replay::corrections::Corrections;
use barflow_replay::error::ReplayError;
use barflow_replay::history::overlaps;
use barflow_replay::plan::{InstrumentPlan, Plan};
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::stores_quote;

use super::corrections::corrections;
use super::error::JobError;
use super::observer::InputSize;
use super::report::Notice;
use super::start::Resumption;
use crate::config::max_bad::MaxBad;
use crate::config::read_order::ReadOrder;
use crate::config::replay::ReplaySettings;
use crate::feeds::recorded::{RecordingOptions, Recordings};
use crate::graph::quality::Quality;
use crate::graph::run::Feeder;
use crate::graph::workers::{Share, Workers};
use crate::parallel;
use crate::quality::run::known;
use crate::stop::Stop;

pub mod by_event_time;
pub mod feeders;
pub mod files;
mod sending;

/// The threads that feed the graph, and what they feed it with.
pub(in crate::job) struct Fed {
    /// One for each worker, or more.
    pub feeders: Vec<Feeder>,
    /// The instruments that are read in turns; none if they are read one after the other.
    pub expected: Option<Expected>,
}

/// Where the trades are.
pub(in crate::job) enum Source {
    Files(Plan),
    Recordings(Recordings),
}

pub(in crate::job) fn recording_options(settings: &ReplaySettings) -> RecordingOptions {
    RecordingOptions {
        instrument: settings.instrument.as_ref().map(|given| given.id.clone()),
        contract_size: settings.contract_size,
        any_host: settings.any_host,
        from: settings.from,
        to: settings.to,
        ..RecordingOptions::default()
    }
}

impl Source {
    /// The source that the settings select. `stop` ends a search that takes long.
    pub(in crate::job) fn find(settings: &ReplaySettings, stop: &Stop) -> Result<Self, JobError> {
        if let Some(protocol) = &settings.protocol {
            let mut options = recording_options(settings);
            options.stop = stop.flag().into();
            let found = Recordings::find(&settings.files, protocol, settings.channel, &options)?;
            return Ok(Self::Recordings(found));
        }
        Ok(Self::Files(settings.plan(&stop.flag().into())?))
    }

    /// What there is to read, without the folders it lies in: processes that read the same may
    /// find it at different places.
    pub(in crate::job) fn text(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Files(plan) => {
                for instrument in &plan.instruments {
                    text.extend([instrument.feed.instrument.as_str(), "\n"]);
                    for file in &instrument.files {
                        let name = file.path.file_name().unwrap_or_default();
                        text.extend(["  ", &name.to_string_lossy(), "\n"]);
                    }
                }
            }
            Self::Recordings(found) => {
                text = format!("{} recordings\n", found.files());
                for instrument in found.instruments() {
                    text.extend([instrument.as_str(), "\n"]);
                }
            }
        }
        text
    }

    /// The files that are read.
    pub(in crate::job) fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Files(plan) => plan.paths().collect(),
            Self::Recordings(recordings) => recordings.paths().to_vec(),
        }
    }

    /// Forgets what other processes read.
    pub(in crate::job) fn keep(&mut self, share: Share) {
        match self {
            Self::Files(plan) => plan.instruments.retain(|i| share.holds(&i.feed.instrument)),
            // The instruments of a connection lie in one file: all is read, and a part used.
            Self::Recordings(_) => {}
        }
    }

    pub(in crate::job) fn notices(&self, settings: &ReplaySettings) -> Vec<Notice> {
        match self {
            Self::Files(plan) => files::notices(plan, &settings.bars),
            Self::Recordings(found) => {
                found.notes().iter().cloned().map(Notice::Recording).collect()
            }
        }
    }

    pub(in crate::job) fn instruments(&self) -> Vec<InstrumentId> {
        match self {
            Self::Files(plan) => {
                plan.instruments.iter().map(|i| i.feed.instrument.clone()).collect()
            }
            Self::Recordings(recordings) => recordings.instruments(),
        }
    }

    /// Whether several threads are expected to be sooner done with chunks than one pass.
    pub(in crate::job) fn is_worth_chunks(&self, settings: &ReplaySettings) -> bool {
        let Self::Files(plan) = self else { return false };
        let order = settings.order_of(plan.instruments.len());
        if order == ReadOrder::EventTime || plan.instruments.iter().any(overlaps) {
            // Instruments side by side, and files that overlap, are read in one pass.
            return false;
        }
        if settings.to.is_some() && settings.delivery.is_exactly_once() {
            // Where rows were passed over that a later run may want, only one pass knows.
            return false;
        }
        let specs = plan.instruments.first().map(|i| settings.bars.for_feed(&i.feed));
        let ahead = settings.makes_bars_in_graph().is_none();
        parallel::is_worth(plan, &specs.unwrap_or_default(), settings.parallel, ahead)
    }

    /// Until when the input of each instrument is known to be complete, ns: the end of the last day
    /// that its files name, or `to` if that comes first.
    pub(in crate::job) fn complete_until(&self, to: Option<i64>) -> BTreeMap<InstrumentId, i64> {
        let Self::Files(plan) = self else { return BTreeMap::new() };
        let until = |i: &InstrumentPlan| {
            let end = files::named_end(i)?;
            Some((i.feed.instrument.clone(), to.map_or(end, |to| to.min(end))))
        };
        plan.instruments.iter().filter_map(until).collect()
    }

    pub(in crate::job) fn size(&self) -> InputSize {
        match self {
            Self::Files(plan) => InputSize { files: plan.files(), bytes: Some(plan.bytes()) },
            Self::Recordings(recordings) => InputSize { files: recordings.files(), bytes: None },
        }
    }

    pub(in crate::job) fn with_quote(&self) -> BTreeMap<InstrumentId, bool> {
        match self {
            Self::Files(plan) => {
                let instruments = plan.instruments.iter();
                instruments.map(|i| (i.feed.instrument.clone(), stores_quote(&i.files))).collect()
            }
            // Inverse contracts: the quote value is not price times quantity to the last bit.
            Self::Recordings(found) => found.instruments().into_iter().map(|i| (i, true)).collect(),
        }
    }

    /// What is expected of the trades, with what is known of them.
    pub(in crate::job) fn expectations(&self, suite: Suite, settings: &ReplaySettings) -> Quality {
        let (from, to) = (settings.from, settings.to);
        let known: BTreeMap<InstrumentId, Known> = match self {
            Self::Files(plan) => {
                let of = |i: &InstrumentPlan| (i.feed.instrument.clone(), known(i, from, to));
                plan.instruments.iter().map(of).collect()
            }
            Self::Recordings(_) => BTreeMap::new(),
        };
        let other = Known { from, to, own_quotes: false };
        Quality::new(suite, move |instrument| known.get(instrument).copied().unwrap_or(other))
    }

    /// The largest share of bad rows with which reading continues; recordings are read to their end, as
    /// feeds run on.
    pub(in crate::job) fn max_bad(&self, settings: &ReplaySettings) -> MaxBad {
        match self {
            Self::Files(_) => settings.max_bad,
            Self::Recordings(_) => MaxBad::all(),
        }
    }

    /// Recorded trades are in order already.
    pub(in crate::job) fn reorder_window(&self, settings: &ReplaySettings) -> usize {
        match self {
            Self::Files(_) => settings.reorder_window,
            Self::Recordings(_) => 0,
        }
    }

    /// What the user says is wrong with the files.
    pub(in crate::job) fn corrections(
        &self,
        settings: &ReplaySettings,
        stop: &Stop,
    ) -> Result<Corrections, ReplayError> {
        match (self, &settings.corrections) {
            (Self::Files(plan), Some(path)) => {
                corrections(path, plan, settings.contract_size, stop)
            }
            _ => Ok(Corrections::new()),
        }
    }

    /// The threads that feed the graph; they read in chunks if there are options for that.
    pub(in crate::job) fn feeders(
        self,
        settings: &ReplaySettings,
        workers: &Workers,
        read: &ReadOptions,
        resume: &Resumption,
        corrections: Corrections,
        chunks: Option<&parallel::Options>,
    ) -> Result<Fed, ReplayError> {
        let plan = match self {
            Self::Files(plan) => plan,
            // Read from their beginning again: what was applied is known by its ids.
            Self::Recordings(found) => {
                let options = recording_options(settings);
                let feeders = found.feeders(workers, options, read.pool.clone());
                return Ok(Fed { feeders, expected: None });
            }
        };
        let order = settings.order_of(plan.instruments.len());
        let histories = files::histories(plan, workers, resume, corrections, read)?;
        let expected = || by_event_time::expected(&histories);
        let expected = (order == ReadOrder::EventTime).then(expected);
        let feeders = match chunks {
            Some(options) => parallel::feeders(histories, options),
            None => feeders::feeders(histories, read, expected.as_ref()),
        };
        Ok(Fed { feeders, expected })
    }
}
