//! Files that count exactly once: bars gather in a journal, cut by cut, and become the file at the
//! end.
//!
//! ```text
//!   bars ─► kept ─► cut: journal written ─► synced ─► checkpoint replaced      (counts from here)
//!                                                  end of the run ─► the file appears
//! ```
//!
//! A restart discards the journal after the checkpoint's mark and resumes from
//! there. Journal and checkpoint stay beside the file, so that a later run with more input makes
//! the file longer.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use barflow_operators::checkpoint::envelope::seal;
use barflow_operators::checkpoint::instrument_state::SealedRecord;
use barflow_operators::published::PublishedBar;
use barflow_replay::atomic_file::{Access, remove_leftovers};

use super::atomic_file::refused;
use super::jsonl::JsonLines;
use super::parquet::ParquetBars;
use crate::checkpoints::job::JobName;
use crate::checkpoints::settings::{JobSettings, SettingsChanges};
use crate::fault_point;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::sinks::local_checkpoint::{LocalCheckpoint, LocalError};
use crate::stop::Stop;

/// Bars handed to the final file at a time.
const BARS_AT_ONCE: usize = 4096;

/// What the journal becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file of JSON lines.
    JsonLines(PathBuf),
    /// A folder of Parquet files.
    Parquet(PathBuf),
}

impl Output {
    fn beside(&self, what: &str) -> PathBuf {
        match self {
            Self::JsonLines(file) => {
                let mut name = file.as_os_str().to_owned();
                name.push(format!(".{what}"));
                name.into()
            }
            Self::Parquet(folder) => folder.join(format!("barflow.{what}")),
        }
    }

    /// Path of the checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.beside("checkpoint")
    }

    fn journal(&self) -> PathBuf {
        self.beside("journal")
    }
}

/// Writes bars and checkpoints to files.
#[derive(Debug)]
pub struct JournaledSink {
    output: Output,
    job: JobName,
    journal: File,
    checkpoint: LocalCheckpoint,
    /// Bars since the last cut, by worker: each cuts its own.
    open: BTreeMap<usize, Vec<(PublishedBar, isize)>>,
    stop: Stop,
    publishes_when_stopped: bool,
    changes: SettingsChanges,
}

impl JournaledSink {
    /// Opens journal and checkpoint, or makes them. `publishes_when_stopped` says that a run that
    /// is stopped is complete: it has no other end. A checkpoint that cannot be read passes
    /// for none if the job is going to be [reset](Self::reset).
    ///
    /// # Errors
    /// When the disk refuses, the checkpoint cannot be read, or another copy has them open.
    pub fn open(
        output: Output,
        job: JobName,
        stop: Stop,
        publishes_when_stopped: bool,
        resets: bool,
    ) -> Result<Self, LocalError> {
        let path = output.journal();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|e| LocalError::Disk(refused("create the folder", folder, &e)))?;
        }
        if path.is_symlink() {
            return Err(LocalError::Disk(SinkError::Refused(format!(
                "\"{}\" is a symbolic link, not the journal of a job",
                path.display()
            ))));
        }
        let journal = Access::Group
            .open_options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| LocalError::Disk(refused("write", &path, &e)))?;
        match journal.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LocalError::Disk(SinkError::Fenced(format!(
                    "another copy of job \"{job}\" is writing \"{}\"",
                    path.display()
                ))));
            }
            // Some network file systems know no locks.
            Err(TryLockError::Error(error)) => {
                tracing::warn!("\"{}\" cannot be locked: {error}", path.display());
            }
        }
        remove_leftovers(&output.checkpoint())
            .map_err(|e| LocalError::Disk(refused("write", &output.checkpoint(), &e)))?;
        let checkpoint = match LocalCheckpoint::read(&output.checkpoint()) {
            Err(LocalError::Unreadable { .. }) if resets => LocalCheckpoint::default(),
            read => read?.unwrap_or_default(),
        };
        let mut sink = Self {
            output,
            job,
            journal,
            checkpoint,
            open: BTreeMap::new(),
            stop,
            publishes_when_stopped,
            changes: SettingsChanges::default(),
        };
        sink.forget_uncommitted().map_err(LocalError::Disk)?;
        Ok(sink)
    }

    /// What an earlier run left.
    pub fn checkpoint(&self) -> &LocalCheckpoint {
        &self.checkpoint
    }

    /// Deletes the job's state and its bars: the file is written again at the end.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reset(&mut self) -> Result<(), SinkError> {
        self.checkpoint = LocalCheckpoint::default();
        self.checkpoint.write(&self.output.checkpoint())?;
        self.forget_uncommitted()
    }

    /// Writes down what decides which bars come out.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_settings(&mut self, settings: &JobSettings) -> Result<(), SinkError> {
        self.checkpoint.entries.insert(self.job.settings_key(), seal(settings));
        self.checkpoint.write(&self.output.checkpoint())
    }

    /// Receives settings that change during the run.
    pub fn settings_changes(&self) -> SettingsChanges {
        self.changes.clone()
    }

    fn forget_uncommitted(&mut self) -> Result<(), SinkError> {
        let path = self.output.journal();
        let length = self.journal.metadata().map_err(|e| refused("read", &path, &e))?.len();
        if length < self.checkpoint.journal {
            return Err(SinkError::Refused(format!(
                "\"{}\" has {length} bytes, its checkpoint expects {}\nhint: --reset-state \
                 makes the bars again",
                path.display(),
                self.checkpoint.journal
            )));
        }
        self.journal
            .set_len(self.checkpoint.journal)
            .and_then(|()| self.journal.seek(SeekFrom::End(0)))
            .map(drop)
            .map_err(|e| refused("write", &path, &e))
    }

    fn cut(&mut self, shard: usize, records: &[SealedRecord]) -> Result<(), SinkError> {
        let bars = self.open.remove(&shard).unwrap_or_default();
        let path = self.output.journal();
        let disk = |e: std::io::Error| refused("write", &path, &e);
        let mut bytes = Vec::new();
        for bar in &bars {
            // A bar is made of numbers and names, which the format can write.
            let entry = postcard::to_stdvec(bar)
                .map_err(|e| SinkError::Refused(format!("a bar could not be written: {e}")))?;
            bytes.extend_from_slice(&(entry.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&entry);
        }
        if !bytes.is_empty() {
            // From the mark on: an earlier attempt may have failed half-way.
            self.journal.seek(SeekFrom::Start(self.checkpoint.journal)).map_err(disk)?;
            self.journal.write_all(&bytes).map_err(disk)?;
            fault_point!("journal-written");
            self.journal.sync_data().map_err(disk)?;
            fault_point!("journal-synced");
        }
        let mut next = self.checkpoint.clone();
        next.journal += bytes.len() as u64;
        next.bars += bars.len() as u64;
        if let Some(settings) = self.changes.take() {
            next.entries.insert(self.job.settings_key(), seal(&settings));
        }
        for sealed in records {
            next.entries.insert(self.job.record_key(&sealed.key), sealed.bytes.clone());
        }
        next.write(&self.output.checkpoint())?;
        self.checkpoint = next;
        fault_point!("checkpoint-written");
        Ok(())
    }

    /// Makes the file of the journal.
    fn publish(&mut self) -> Result<SinkReport, SinkError> {
        let mut sink: Box<dyn BarSink> = match &self.output {
            Output::JsonLines(path) => Box::new(JsonLines::file(path)?),
            Output::Parquet(folder) => Box::new(ParquetBars::new(folder)?),
        };
        let path = self.output.journal();
        let disk = |e: std::io::Error| refused("read", &path, &e);
        let mut journal = &self.journal;
        journal.seek(SeekFrom::Start(0)).map_err(disk)?;
        let mut entries = BufReader::new(journal.take(self.checkpoint.journal));
        let mut commit = Commit::default();
        let mut bytes = Vec::new();
        for _ in 0..self.checkpoint.bars {
            let mut length = [0; 4];
            entries.read_exact(&mut length).map_err(disk)?;
            bytes.resize(u32::from_le_bytes(length) as usize, 0);
            entries.read_exact(&mut bytes).map_err(disk)?;
            let update: (PublishedBar, isize) = postcard::from_bytes(&bytes).map_err(|e| {
                SinkError::Refused(format!("\"{}\" is damaged: {e}", path.display()))
            })?;
            commit.bars.push(update);
            if commit.bars.len() == BARS_AT_ONCE {
                sink.commit(&commit)?;
                commit.bars.clear();
            }
        }
        sink.commit(&commit)?;
        fault_point!("before-publish");
        let report = sink.finish()?;
        fault_point!("after-publish");
        Ok(report)
    }
}

impl BarSink for JournaledSink {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        if !commit.bars.is_empty() {
            let open = self.open.entry(commit.shard).or_default();
            open.extend_from_slice(&commit.bars);
        }
        match &commit.cut {
            Some(records) => self.cut(commit.shard, records),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        if self.stop.is_raised() && !self.publishes_when_stopped {
            let place = self.output.journal().display().to_string();
            let bars = self.checkpoint.bars;
            return Ok(SinkReport {
                bars,
                places: vec![format!("{place} (incomplete; run the same command to resume)")],
            });
        }
        self.publish()
    }
}

/// Where the checkpoint of an output would be, whichever kind it is.
pub fn checkpoint_beside(path: &Path) -> PathBuf {
    if path.is_dir() {
        Output::Parquet(path.to_owned()).checkpoint()
    } else if path.extension().is_some_and(|end| end == "checkpoint") {
        path.to_owned()
    } else {
        Output::JsonLines(path.to_owned()).checkpoint()
    }
}
