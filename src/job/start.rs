//! How a job starts: from a sink to builders that continue where the job's checkpoint is.
//!
//! ```text
//! open the sink ─────────────────► connect ──────────────► begin
//! (no earlier copy can commit      (every process has      (read the checkpoint, compare its
//!  any more)                        opened its sinks)       settings, restore)
//! ```
//!
//! What an earlier copy committed is read only once it cannot commit any more, and that must hold
//! for every shard of the job; hence the order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use barflow_operators::batch::Feed;
use barflow_operators::checkpoint::instrument_state::InstrumentState;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use barflow_operators::sequence::Resume;
use barflow_operators::spec::BarSpec;

use super::cluster;
use super::error::JobError;
use super::sink::{OpenSink, SinkRequest};
use crate::checkpoints::job::JobName;
use crate::checkpoints::saved::Saved;
use crate::checkpoints::settings::{JobSettings, SettingsChanges};
use crate::config::cluster::ClusterSettings;
use crate::graph::checkpoints::{BARS_PER_CUT, Checkpoints};
use crate::graph::cluster::{Cluster, ClusterJob, SILENCE};
use crate::graph::sink::BarSink;
use crate::sinks::journal::JournaledSink;
use crate::sinks::kafka::ShardSinks;

/// What a job needs to start.
pub struct Start<'a> {
    /// The sink.
    pub sink: &'a SinkRequest<'a>,
    /// What decides, besides bars and output, which bars come out.
    pub decisive: &'a [(&'a str, Option<String>)],
    /// Whether whole bars may have been added or removed since the checkpoint.
    pub lenient: bool,
    /// What all processes of the job must agree on.
    pub cluster_job: &'a ClusterJob,
}

/// A job ready to run.
pub struct Started {
    /// All processes of the job.
    pub cluster: Cluster,
    /// One sink for all workers, or one for each.
    pub sinks: Vec<Box<dyn BarSink>>,
    /// For the graph; none without checkpoints.
    pub checkpoints: Option<Checkpoints>,
    /// How often progress is reported; none if it is not.
    pub reports: Option<Duration>,
    /// Where inputs resume.
    pub resume: Resumption,
    /// What decides which bars come out.
    pub settings: JobSettings,
    /// Where to put settings that change during the run.
    pub settings_changes: SettingsChanges,
}

/// Where every instrument resumes.
#[derive(Clone, Debug, Default)]
pub struct Resumption {
    /// Where reading resumes.
    pub positions: BTreeMap<InstrumentId, Position>,
    /// Event times of the first trades applied, ns.
    pub first_times: BTreeMap<InstrumentId, i64>,
    /// Event times of the last trades applied, ns.
    pub last_times: BTreeMap<InstrumentId, i64>,
    /// What their trades are.
    pub feeds: BTreeMap<InstrumentId, Arc<Feed>>,
    /// What the order of trades has to know.
    pub orders: BTreeMap<InstrumentId, Resume>,
}

impl Start<'_> {
    /// Opens the sink, connects the processes and restores the checkpoint. `instead` replaces the
    /// requested sink by one without checkpoints.
    ///
    /// # Errors
    /// When any of that fails, or the checkpoint belongs to other settings.
    pub fn run(
        &self,
        instead: Option<Box<dyn BarSink>>,
        others: &ClusterSettings,
    ) -> Result<Started, JobError> {
        let secret = cluster::secret(others)?;
        let sink = match instead {
            Some(sink) => OpenSink::Plain(sink),
            None => self.sink.open()?,
        };
        let workers = self.sink.workers.clone();
        let (same, patience, stop) = (self.cluster_job, others.patience, self.sink.stop);
        if others.hosts.len() > 1 {
            // A process that hangs is waited for, and named.
            stop.allow(SILENCE);
        }
        let cluster = Cluster::connect(workers, same, &secret, patience, stop)?;
        let (job, settings) = (self.sink.job()?, self.sink.settings(self.decisive));
        let (sinks, saved, settings_changes) = match sink {
            OpenSink::Plain(sink) => (vec![sink], None, SettingsChanges::default()),
            OpenSink::Kafka(shard_sinks) => self.restore_kafka(shard_sinks, &job, &settings)?,
            OpenSink::Files(files) => self.restore_files(files, &job, &settings)?,
        };
        let resume = saved.as_ref().map(|saved| Resumption::of(&saved.instruments));
        let checkpoints = saved.map(|saved| {
            log_restored(&job, &saved);
            Checkpoints {
                restored: Arc::new(Mutex::new(saved.instruments)),
                interval: self.sink.delivery.commit_interval,
                bars: BARS_PER_CUT,
            }
        });
        let resume = resume.unwrap_or_default();
        let reports = self.sink.reports();
        Ok(Started { cluster, sinks, checkpoints, reports, resume, settings, settings_changes })
    }

    fn restore_kafka(
        &self,
        mut shard_sinks: ShardSinks,
        job: &JobName,
        settings: &JobSettings,
    ) -> Result<Restored, JobError> {
        if self.sink.delivery.reset_state {
            shard_sinks.reset()?;
        }
        let saved = Saved::understand(job, &shard_sinks.read()?)?;
        saved.check(job, settings, self.lenient)?;
        shard_sinks.prepare_topics(&saved)?;
        if let Some(lost) = shard_sinks.look_for_lost(&saved, self.sink.delivery.reset_state)? {
            return Err(lost.into());
        }
        if saved.settings.as_ref() != Some(settings) {
            shard_sinks.write_settings(settings.clone())?;
        }
        let changes = shard_sinks.settings_changes();
        Ok((shard_sinks.into_sinks(), Some(saved), changes))
    }

    fn restore_files(
        &self,
        mut files: Box<JournaledSink>,
        job: &JobName,
        settings: &JobSettings,
    ) -> Result<Restored, JobError> {
        if self.sink.delivery.reset_state {
            files.reset()?;
        }
        let saved = Saved::understand(job, &files.checkpoint().entries)?;
        saved.check(job, settings, self.lenient)?;
        files.write_settings(settings)?;
        let changes = files.settings_changes();
        Ok((vec![files as Box<dyn BarSink>], Some(saved), changes))
    }
}

/// Sinks, the checkpoint that was read, and where changed settings go.
type Restored = (Vec<Box<dyn BarSink>>, Option<Saved>, SettingsChanges);

fn log_restored(job: &JobName, saved: &Saved) {
    if saved.instruments.is_empty() {
        return;
    }
    let bars: u64 =
        saved.instruments.values().flat_map(InstrumentState::bars).map(|(_, bars)| bars).sum();
    let instruments = saved.instruments.len();
    tracing::info!(%job, instruments, bars, "resuming the job");
}

impl Started {
    /// Uses these bars where a checkpoint has others: whole bars may have been added or removed.
    pub fn order_bars(&self, specs_of: impl Fn(&Feed) -> Vec<BarSpec>) {
        let Some(checkpoints) = &self.checkpoints else { return };
        let mut instruments = checkpoints.restored.lock().unwrap_or_else(PoisonError::into_inner);
        for state in instruments.values_mut() {
            let specs = specs_of(state.feed());
            if !state.specs().eq(&specs) {
                state.set_specs(&specs);
            }
        }
    }
}

impl Resumption {
    /// Whether everything starts from the beginning.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    fn of(instruments: &BTreeMap<InstrumentId, InstrumentState>) -> Self {
        let mut resume = Self::default();
        for (instrument, state) in instruments {
            if let Some(position) = state.position() {
                resume.positions.insert(instrument.clone(), position.clone());
            }
            resume.feeds.insert(instrument.clone(), Arc::clone(state.feed()));
            if let Some(time) = state.first_time() {
                resume.first_times.insert(instrument.clone(), time);
            }
            if let Some(time) = state.last_time() {
                resume.last_times.insert(instrument.clone(), time);
            }
            resume.orders.insert(instrument.clone(), state.resume());
        }
        resume
    }
}
