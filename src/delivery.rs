//! From a sink that was asked for to one that goes on where the job stood.
//!
//! ```text
//! take (no earlier copy can commit any more) ─► all processes are there ─► begin: read, check, restore
//! ```
//!
//! What an earlier copy did is read only when it can do no more, and that must hold for every shard
//! of the job; hence the two steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::batch::Feed;
use barflow_operators::checkpoint::account::Account;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use barflow_operators::sequence::Resume;
use barflow_operators::spec::BarSpec;

use crate::checkpoints::job::Job;
use crate::checkpoints::saved::{CheckpointError, Saved};
use crate::checkpoints::settings::{JobSettings, SettingsChanges};
use crate::config::delivery::DeliveryOptions;
use crate::graph::checkpoints::{BARS_PER_CUT, Checkpoints};
use crate::graph::sink::{BarSink, SinkError};
use crate::sinks::journal::JournaledSink;
use crate::sinks::kafka::Fences;
use crate::sinks::local_checkpoint::LocalError;

/// A job that cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The sink does not let us.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Its checkpoint cannot be gone on from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its checkpoint file cannot be used.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// Sinks in our hands.
pub enum Taken {
    /// Sinks that keep no checkpoints.
    Plain(Box<dyn BarSink>),
    /// The shards of a job in Kafka.
    Kafka(Fences),
    /// Files of a job.
    Files(Box<JournaledSink>),
}

/// What decides how a job goes on.
#[derive(Clone, Debug)]
pub struct JobPlan {
    /// Its name.
    pub job: Job,
    /// What decides which bars come out.
    pub settings: JobSettings,
    /// Whether whole bars may have come and gone since.
    pub lenient: bool,
    /// How it is delivered.
    pub delivery: DeliveryOptions,
}

/// A job ready to run.
pub struct Begun {
    /// One sink for all workers, or one for each.
    pub sinks: Vec<Box<dyn BarSink>>,
    /// For the graph; none without checkpoints.
    pub checkpoints: Option<Checkpoints>,
    /// Where inputs go on.
    pub resume: Resumption,
    /// Where to put settings that change while the run goes on.
    pub settings_changes: SettingsChanges,
}

/// Where every instrument goes on.
#[derive(Clone, Debug, Default)]
pub struct Resumption {
    /// Where reading goes on.
    pub positions: BTreeMap<InstrumentId, Position>,
    /// Event times of the last trades applied, ns.
    pub last_times: BTreeMap<InstrumentId, i64>,
    /// What their trades are.
    pub feeds: BTreeMap<InstrumentId, Arc<Feed>>,
    /// What the order of trades has to know.
    pub orders: BTreeMap<InstrumentId, Resume>,
}

impl Taken {
    /// Reads where the job stood and checks that it can go on. Every process must have taken its
    /// shards before.
    ///
    /// # Errors
    /// When it cannot.
    pub fn begin(self, plan: &JobPlan) -> Result<Begun, DeliveryError> {
        let (sinks, saved, settings_changes) = match self {
            Self::Plain(sink) => {
                return Ok(Begun {
                    sinks: vec![sink],
                    checkpoints: None,
                    resume: Resumption::default(),
                    settings_changes: SettingsChanges::default(),
                });
            }
            Self::Kafka(mut fences) => {
                if plan.delivery.reset_state {
                    fences.reset()?;
                }
                let saved = Saved::understand(&plan.job, &fences.read()?)?;
                saved.check(&plan.job, &plan.settings, plan.lenient)?;
                fences.prepare_topics(&saved)?;
                if saved.settings.as_ref() != Some(&plan.settings) {
                    fences.write_settings(plan.settings.clone())?;
                }
                let changes = fences.settings_changes();
                (fences.into_sinks(), saved, changes)
            }
            Self::Files(mut files) => {
                if plan.delivery.reset_state {
                    files.reset()?;
                }
                let saved = Saved::understand(&plan.job, &files.checkpoint().entries)?;
                saved.check(&plan.job, &plan.settings, plan.lenient)?;
                files.write_settings(&plan.settings)?;
                let changes = files.settings_changes();
                (vec![files as Box<dyn BarSink>], saved, changes)
            }
        };
        let resume = Resumption::of(&saved.accounts);
        let bars: u64 = saved.accounts.values().flat_map(Account::bars).map(|(_, bars)| bars).sum();
        if !saved.accounts.is_empty() {
            tracing::info!(
                job = %plan.job,
                instruments = saved.accounts.len(),
                bars,
                "going on where the job stood"
            );
        }
        let checkpoints = Checkpoints {
            restored: Arc::new(Mutex::new(saved.accounts)),
            interval: plan.delivery.commit_interval,
            bars: BARS_PER_CUT,
        };
        Ok(Begun { sinks, checkpoints: Some(checkpoints), resume, settings_changes })
    }
}

impl Begun {
    /// Seats these bars where a checkpoint has others: whole bars may have come and gone.
    pub fn order_bars(&self, specs_of: impl Fn(&Feed) -> Vec<BarSpec>) {
        let Some(checkpoints) = &self.checkpoints else { return };
        let mut accounts = checkpoints.restored.lock().unwrap_or_else(PoisonError::into_inner);
        for account in accounts.values_mut() {
            let specs = specs_of(account.feed());
            if !account.specs().eq(&specs) {
                account.seat(&specs);
            }
        }
    }
}

impl Resumption {
    /// Whether everything begins anew.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    fn of(accounts: &BTreeMap<InstrumentId, Account>) -> Self {
        let mut resume = Self::default();
        for (instrument, account) in accounts {
            if let Some(position) = account.position() {
                resume.positions.insert(instrument.clone(), position.clone());
            }
            resume.feeds.insert(instrument.clone(), Arc::clone(account.feed()));
            if let Some(time) = account.last_time() {
                resume.last_times.insert(instrument.clone(), time);
            }
            resume.orders.insert(instrument.clone(), account.resume());
        }
        resume
    }
}
