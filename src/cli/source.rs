//! Where a replay's trades are: files of trades, or recordings of frames.

use std::collections::BTreeMap;

use barflow_operators::instrument::InstrumentId;
use barflow_operators::pool::BatchPool;
use barflow_operators::quality::judge::Known;
use barflow_operators::quality::suite::Suite;
use barflow_replay::corrections::Corrections;
use barflow_replay::plan::{InstrumentPlan, Plan};
use barflow_replay::stream::{ReadOptions, stores_quote};

use super::failure::Failure;
use super::replay::input_failure;
use super::revisions::corrections;
use crate::config::replay::ReplaySettings;
use crate::delivery::Resumption;
use crate::feeds::recorded::{RecordingOptions, Recordings};
use crate::graph::quality::Quality;
use crate::graph::run::Feeder;
use crate::graph::workers::{Share, Workers};
use crate::history::{feeders, remarks};
use crate::quality::run::known;

/// Where the trades are.
pub(super) enum Source {
    Files(Plan),
    Recordings(Recordings),
}

pub(super) fn recording_options(settings: &ReplaySettings) -> RecordingOptions {
    RecordingOptions {
        instrument: settings.instrument.clone(),
        contract_size: settings.contract_size,
        from: settings.from,
        to: settings.to,
    }
}

impl Source {
    /// What there is, and what of it is not there.
    pub(super) fn find(settings: &ReplaySettings) -> Result<(Self, Vec<String>), Failure> {
        if let Some(protocol) = &settings.protocol {
            let options = recording_options(settings);
            let found = Recordings::find(&settings.files, protocol, settings.channel, &options);
            let found = found.map(Self::Recordings).map_err(Failure::usage);
            return Ok((found?, Vec::new()));
        }
        let (plan, lacks) = settings.plan().map_err(input_failure)?;
        Ok((Self::Files(plan), lacks))
    }

    /// What there is to read, without the folders it lies in: processes that read the same may
    /// find it at different places.
    pub(super) fn text(&self) -> String {
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

    /// Forgets what other processes read.
    pub(super) fn keep(&mut self, share: Share) {
        match self {
            Self::Files(plan) => plan.instruments.retain(|i| share.holds(&i.feed.instrument)),
            // The instruments of a connection lie in one file: all is read, and a part used.
            Self::Recordings(_) => {}
        }
    }

    pub(super) fn remarks(&self, settings: &ReplaySettings) -> Vec<String> {
        match self {
            Self::Files(plan) => remarks(plan, &settings.bars),
            Self::Recordings(_) => Vec::new(),
        }
    }

    pub(super) fn instruments(&self) -> Vec<InstrumentId> {
        match self {
            Self::Files(plan) => {
                plan.instruments.iter().map(|i| i.feed.instrument.clone()).collect()
            }
            Self::Recordings(recordings) => recordings.instruments(),
        }
    }

    /// Whether several threads are expected to be sooner done with chunks than one pass.
    pub(super) fn is_worth_chunks(&self, settings: &ReplaySettings) -> bool {
        let Self::Files(plan) = self else { return false };
        let specs = plan.instruments.first().map(|i| settings.bars.for_feed(&i.feed));
        crate::parallel::is_worth(plan, &specs.unwrap_or_default(), settings.parallel)
    }

    /// Files, and their bytes where progress is told by them.
    pub(super) fn size(&self) -> (usize, u64) {
        match self {
            Self::Files(plan) => (plan.files(), plan.bytes()),
            Self::Recordings(recordings) => (recordings.files(), 0),
        }
    }

    pub(super) fn with_quote(&self) -> BTreeMap<InstrumentId, bool> {
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
    pub(super) fn expectations(&self, suite: Suite, settings: &ReplaySettings) -> Quality {
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

    /// Lanes have put recorded trades in order already.
    pub(super) fn reorder_window(&self, settings: &ReplaySettings) -> usize {
        match self {
            Self::Files(_) => settings.reorder_window,
            Self::Recordings(_) => 0,
        }
    }

    /// What the user says is wrong with the files.
    pub(super) fn corrections(&self, settings: &ReplaySettings) -> Result<Corrections, Failure> {
        match (self, &settings.corrections) {
            (Self::Files(plan), Some(path)) => {
                corrections(path, plan, settings.contract_size).map_err(input_failure)
            }
            _ => Ok(Corrections::new()),
        }
    }

    pub(super) fn feeders(
        self,
        settings: &ReplaySettings,
        workers: &Workers,
        read: &ReadOptions,
        resume: &Resumption,
        corrections: Corrections,
        pool: BatchPool,
    ) -> Result<Vec<Feeder>, Failure> {
        match self {
            Self::Files(plan) => {
                feeders(plan, workers, read, resume, corrections).map_err(input_failure)
            }
            // Read from their beginning again: what was applied is known by its ids.
            Self::Recordings(found) => {
                Ok(found.feeders(workers, recording_options(settings), pool))
            }
        }
    }
}
