//! A job's checkpoint, read back.

use std::collections::{BTreeMap, BTreeSet};

use barflow_operators::checkpoint::envelope::{Unreadable, open};
use barflow_operators::checkpoint::instrument_state::InstrumentState;
use barflow_operators::checkpoint::record::{Broken, Record};
use barflow_operators::instrument::InstrumentId;

use super::job::{JobName, Key, Shard};
use super::settings::{Changed, JobSettings};

/// Keys and values as they were kept.
pub type Entries = BTreeMap<String, Vec<u8>>;

/// The state of a job.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// Builders, by instrument.
    pub instruments: BTreeMap<InstrumentId, InstrumentState>,
    /// What it was asked to make; none if it never began.
    pub settings: Option<JobSettings>,
    /// Who wrote each shard last.
    pub shards: BTreeMap<usize, Shard>,
    /// Instruments whose state was deleted on purpose, though there are bars of them.
    pub deleted: BTreeSet<String>,
}

/// What a job's checkpoint is about. Builders are not restored, which for many instruments with long
/// windows takes minutes.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Instruments with a state.
    pub instruments: BTreeSet<String>,
    /// What it was asked to make; none if it never began.
    pub settings: Option<JobSettings>,
    /// Who wrote each shard last.
    pub shards: BTreeMap<usize, Shard>,
    /// Instruments whose state was deleted on purpose, though there are bars of them.
    pub deleted: BTreeSet<String>,
}

/// A checkpoint that a job cannot resume from.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A record cannot be read.
    #[error("the checkpoint of job \"{job}\", record \"{key}\": {reason}")]
    Unreadable {
        /// Whose.
        job: JobName,
        /// Which record.
        key: String,
        /// Why.
        reason: Unreadable,
    },
    /// Records are missing.
    #[error("the checkpoint of job \"{job}\" is incomplete: {reason}")]
    Broken {
        /// Whose.
        job: JobName,
        /// What is missing.
        reason: Broken,
    },
    /// The job has written bars of an instrument that its checkpoint does not contain.
    #[error(
        "the checkpoint of job \"{job}\" does not contain {instrument}, though the job wrote bars of it: \
         topic \"{topic}\", partition {partition}, offset {offset}{}",
        more_like_it(*more)
    )]
    Lost {
        /// Whose.
        job: JobName,
        /// Which instrument.
        instrument: String,
        /// Where its last bar is.
        topic: String,
        /// In which partition.
        partition: i32,
        /// And at which place there.
        offset: i64,
        /// Other series of which the same is true.
        more: usize,
    },
    /// It was made for other bars.
    #[error(
        "the checkpoint of job \"{job}\" was made with different settings: {}",
        .changes.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    OtherSettings {
        /// Whose.
        job: JobName,
        /// What has changed.
        changes: Vec<Changed>,
    },
}

fn more_like_it(more: usize) -> String {
    if more == 0 { String::new() } else { format!("; and {more} more like it") }
}

impl CheckpointError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherSettings { .. } => {
                "use another --job NAME to make the new bars separately, or --reset-state to \
                 start this job from the beginning (published bars stay)"
            }
            Self::Lost { .. } => {
                "its records were deleted by somebody else, or the checkpoint topic was; restore it, \
                 or start this job from the beginning with --reset-state (published bars stay, so \
                 readers get them twice)"
            }
            Self::Unreadable { reason: Unreadable::Version { .. }, .. } => {
                "use the barflow version that wrote it, or --reset-state to start from the \
                 beginning"
            }
            Self::Unreadable { .. } | Self::Broken { .. } => {
                "`barflow checkpoints show` has details; --reset-state deletes it and starts from \
                 the beginning"
            }
        }
    }
}

impl Overview {
    /// Understands the entries of a job, but for its builders; those of others are passed over.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn of(job: &JobName, entries: &Entries) -> Result<Self, CheckpointError> {
        let unreadable = |key: &str, reason| CheckpointError::Unreadable {
            job: job.clone(),
            key: key.to_owned(),
            reason,
        };
        let mut overview = Self::default();
        for (key, value) in entries {
            match job.parse(key) {
                None => {}
                Some(Key::Settings) => {
                    overview.settings = Some(open(value).map_err(|r| unreadable(key, r))?);
                }
                Some(Key::Deleted) => {
                    overview.deleted = open(value).map_err(|r| unreadable(key, r))?;
                }
                Some(Key::Shard(shard)) => {
                    overview.shards.insert(shard, open(value).map_err(|r| unreadable(key, r))?);
                }
                Some(Key::Instrument(instrument)) => {
                    overview.instruments.insert(instrument.to_owned());
                }
            }
        }
        Ok(overview)
    }
}

impl Saved {
    /// Understands the entries of a job; those of others are passed over.
    ///
    /// # Errors
    /// When one cannot be read, or one is missing.
    pub fn understand(job: &JobName, entries: &Entries) -> Result<Self, CheckpointError> {
        let unreadable = |key: &str, reason| CheckpointError::Unreadable {
            job: job.clone(),
            key: key.to_owned(),
            reason,
        };
        let Overview { settings, shards, deleted, .. } = Overview::of(job, entries)?;
        let mut saved = Self { settings, shards, deleted, ..Self::default() };
        let mut records: BTreeMap<InstrumentId, Vec<Record>> = BTreeMap::new();
        for (key, value) in entries {
            if let Some(Key::Instrument(_)) = job.parse(key) {
                let record: Record = open(value).map_err(|reason| unreadable(key, reason))?;
                records.entry(record.feed.instrument.clone()).or_default().push(record);
            }
        }
        for (instrument, records) in records {
            let state = InstrumentState::restore(records)
                .map_err(|reason| CheckpointError::Broken { job: job.clone(), reason })?;
            saved.instruments.extend(state.map(|state| (instrument, state)));
        }
        Ok(saved)
    }

    /// Refuses to resume with other bars. `lenient` permits added and removed bars.
    ///
    /// # Errors
    /// What has changed.
    pub fn check(
        &self,
        job: &JobName,
        settings: &JobSettings,
        lenient: bool,
    ) -> Result<(), CheckpointError> {
        let Some(before) = self.settings.as_ref().filter(|_| !self.instruments.is_empty()) else {
            return Ok(());
        };
        let changes = match lenient {
            true => settings.changes_of_the_same_bars(before),
            false => settings.changes(before),
        };
        if changes.is_empty() {
            return Ok(());
        }
        Err(CheckpointError::OtherSettings { job: job.clone(), changes })
    }
}

#[cfg(test)]
mod tests {
    use barflow_operators::checkpoint::envelope::VERSION;
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    /// The state of an instrument as a run wrote it, after a byte that is the fuzz target's.
    const RECORD: &[u8] = include_bytes!("../../fuzz/seeds/checkpoint/record_1");

    /// Whatever content, under a seal that is right.
    fn understood(content: &[u8]) -> Result<Saved, CheckpointError> {
        let mut sealed = b"BFCK".to_vec();
        sealed.extend_from_slice(&VERSION.to_le_bytes());
        sealed.extend_from_slice(content);
        sealed.extend_from_slice(&xxh3_64(&sealed).to_le_bytes());
        let job: JobName = "j".parse().unwrap();
        Saved::understand(&job, &Entries::from([(job.record_key("a:b:C/0"), sealed)]))
    }

    #[test]
    fn a_record_is_restored() {
        assert_eq!(understood(&RECORD[1..]).unwrap().instruments.len(), 1);
    }

    proptest! {
        #[test]
        fn a_forged_record_is_restored_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut content = RECORD[1..].to_vec();
            for (at, byte) in changes {
                let at = at.index(content.len());
                content[at] = byte;
            }
            content.truncate(cut.index(2 * content.len()));
            if let Ok(saved) = understood(&content) {
                prop_assert!(saved.instruments.values().all(|state| state.bars().count() < 100));
            }
        }
    }
}
