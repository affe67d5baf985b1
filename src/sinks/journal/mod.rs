//! Files that count exactly once.
//!
//! ```text
//!   bars ─► kept ─► cut: journal written ─► synced ─► checkpoint replaced      (counts from here)
//!                                                                 └─► the file
//! ```
//!
//! What becomes of the journal depends on the job. A replay's file [appears](Shape::AtEnd) when the
//! run is over; journal and checkpoint stay beside it, so that a later run with more input makes the
//! file longer. The bars of a live job cannot be made again, so its files only grow: lines of text
//! [are](Shape::Grows) the journal, and Parquet files are [made](Shape::Rolls) of it part by part.
//!
//! A restart discards what the journal holds after the checkpoint's mark and resumes from there.
//!
//! Progress is committed with the bars that it speaks of, in the checkpoint, and is written to its file when
//! these can be read: after the commit where files grow, with the part, or when the file has appeared.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use barflow_operators::checkpoint::envelope::seal;
use barflow_operators::checkpoint::instrument_state::SealedRecord;
use barflow_operators::progress::Progress;
use barflow_operators::published::PublishedBar;

use super::atomic_file::refused;
use super::in_place;
use super::parquet::{FileInfo, ParquetBars, Part};
use super::progress_file::{Lines, ProgressFile};
use super::record::BarRecord;
use super::roll::Roll;
use super::text::TextBars;
use crate::checkpoints::job::JobName;
use crate::checkpoints::settings::{JobSettings, SettingsChanges};
use crate::fault_point;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::sinks::local_checkpoint::{LiveOutput, LocalCheckpoint, LocalError};
use crate::stop::Stop;

pub mod entries;
mod options;
#[cfg(test)]
mod tests;

use self::entries::{Damage, Entries, Update};
pub use self::options::{JournalOptions, Output, Shape, checkpoint_beside};
use self::options::{free_name, journal_of, open_alone};

/// Bars handed to the final file at a time, and read between two looks at the stop flag.
const BARS_AT_ONCE: usize = 4096;

/// Writes bars and checkpoints to files.
#[derive(Debug)]
pub struct JournaledSink {
    output: Output,
    shape: Shape,
    info: FileInfo,
    job: JobName,
    journal: File,
    checkpoint: LocalCheckpoint,
    /// What came since the last cut, by worker: each cuts its own.
    open: BTreeMap<usize, Uncommitted>,
    /// Where progress goes, if it does.
    progress: Option<ProgressFile>,
    /// Progress of bars that are in the journal and in no part yet.
    waiting: Lines,
    /// The period of the journal's first bar, where parts end with periods.
    period: Option<i64>,
    stop: Stop,
    changes: SettingsChanges,
}

/// What counts with the next cut of a worker.
#[derive(Debug, Default)]
struct Uncommitted {
    bars: Vec<(PublishedBar, isize)>,
    reports: Vec<Progress>,
}

impl JournaledSink {
    /// Opens journal and checkpoint, or makes them.
    ///
    /// # Errors
    /// When the disk refuses, the checkpoint cannot be read, another copy has them open, or the files
    /// are not those of this job.
    pub fn open(options: JournalOptions, stop: Stop) -> Result<Self, LocalError> {
        let (shape, path) = (options.shape(), options.journal());
        let before = options.checkpoint()?;
        let journal = open_alone(&path, &options.job).map_err(LocalError::Disk)?;
        let new = |found: &LocalCheckpoint| {
            found.is_new() && found.live.is_none_or(|live| live.parts == 0)
        };
        let is_new = before.as_ref().is_none_or(new);
        if is_new {
            options.check_place(&journal).map_err(LocalError::Disk)?;
        }
        let mut checkpoint = before.unwrap_or_default();
        let mut other_roll = None;
        if let Some(roll) = options.live {
            let gathers = checkpoint.bars > 0;
            let live = checkpoint.live.get_or_insert_default();
            other_roll = live.roll.filter(|before| gathers && *before != roll).map(|_| roll);
            live.roll = live.roll.filter(|_| gathers).or(Some(roll));
        }
        let JournalOptions { output, job, info, resets, progress, .. } = options;
        if progress.is_none() {
            checkpoint.progress.clear();
        }
        let mut sink = Self {
            output,
            shape,
            info,
            job,
            journal,
            checkpoint,
            open: BTreeMap::new(),
            progress,
            waiting: Lines::new(),
            period: None,
            stop,
            changes: SettingsChanges::default(),
        };
        sink.forget_uncommitted().map_err(LocalError::Disk)?;
        if let Some(roll) = other_roll {
            // It may have its name already, without the checkpoint that says so.
            sink.finish_part(roll).map_err(LocalError::Disk)?;
        }
        sink.show_progress().map_err(LocalError::Disk)?;
        sink.period = match sink.first_period() {
            Err(stopped @ SinkError::Stopped(_)) => return Err(LocalError::Disk(stopped)),
            // What cannot be read is about to be put aside.
            Err(_) if resets => None,
            period => period.map_err(LocalError::Disk)?,
        };
        Ok(sink)
    }

    /// What an earlier run left.
    pub fn checkpoint(&self) -> &LocalCheckpoint {
        &self.checkpoint
    }

    /// Deletes the job's state. A replay's bars are made again; those of a live job stay: lines in a
    /// file beside the new one, parts where they are.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reset(&mut self) -> Result<(), SinkError> {
        let path = self.journal_path();
        let mut live = self.checkpoint.live;
        match self.shape {
            Shape::AtEnd => {}
            Shape::Rolls(roll) => match self.check_entries() {
                Ok(()) => {
                    self.finish_part(roll)?;
                    live = self.checkpoint.live;
                }
                Err(stopped @ SinkError::Stopped(_)) => return Err(stopped),
                Err(error) => {
                    tracing::warn!("{}; its bars are in no part", error.parts().0);
                    self.put_aside(&path)?;
                }
            },
            Shape::Grows(_) => {
                if self.journal.metadata().is_ok_and(|found| found.len() > 0) {
                    self.put_aside(&path)?;
                }
                live = live.map(|_| LiveOutput::default());
            }
        }
        self.checkpoint = LocalCheckpoint { live, ..LocalCheckpoint::default() };
        self.period = None;
        self.waiting.clear();
        self.checkpoint.write(&self.output.checkpoint())?;
        self.forget_uncommitted()?;
        self.show_progress()
    }

    /// Makes room for a new journal.
    fn put_aside(&mut self, path: &Path) -> Result<(), SinkError> {
        let aside = free_name(path);
        std::fs::rename(path, &aside).map_err(|e| refused("rename", path, &e))?;
        tracing::warn!("the bars so far are now in \"{}\"", aside.display());
        self.journal = open_alone(path, &self.job)?;
        Ok(())
    }

    /// Reads the journal without doing anything with it.
    fn check_entries(&mut self) -> Result<(), SinkError> {
        self.read_back(entries::WhenStopped::Ends, &mut |_| Ok(()))
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
        let path = self.journal_path();
        let length = self.journal.metadata().map_err(|e| refused("read", &path, &e))?.len();
        if length < self.checkpoint.journal {
            return Err(SinkError::Refused(format!(
                "\"{}\" has {length} bytes, its checkpoint expects {}\nhint: {}",
                path.display(),
                self.checkpoint.journal,
                self.remedy()
            )));
        }
        self.journal
            .set_len(self.checkpoint.journal)
            .and_then(|()| self.journal.seek(SeekFrom::End(0)))
            .map(drop)
            .map_err(|e| refused("write", &path, &e))
    }

    /// What to do about a journal that is not as it was.
    fn remedy(&self) -> &'static str {
        match self.shape {
            Shape::AtEnd => "--reset-state makes the bars again",
            _ => "put it back as it was, or start over with --reset-state",
        }
    }

    fn journal_path(&self) -> PathBuf {
        journal_of(&self.output, self.shape)
    }

    fn cut(&mut self, shard: usize, records: &[SealedRecord]) -> Result<(), SinkError> {
        let Uncommitted { bars, reports } = self.open.remove(&shard).unwrap_or_default();
        if let (Shape::Rolls(roll), Some(period)) = (self.shape, self.period)
            && bars.iter().any(|(bar, _)| roll.period(&bar.bar) > period)
        {
            self.finish_part(roll)?;
        }
        let path = self.journal_path();
        let disk = |e: std::io::Error| refused("write", &path, &e);
        let bytes = self.entries(&bars)?;
        if !matches!(self.shape, Shape::AtEnd) {
            in_place::check(&path, &self.journal, self.checkpoint.journal)?;
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
        self.note_progress(&reports, &mut next)?;
        let says_more = next.progress != self.checkpoint.progress;
        next.write(&self.output.checkpoint())?;
        self.checkpoint = next;
        fault_point!("checkpoint-written");
        if says_more {
            self.show_progress()?;
        }
        if let Shape::Rolls(roll) = self.shape {
            let first = || bars.iter().map(|(bar, _)| roll.period(&bar.bar)).min();
            self.period = self.period.or_else(first);
            if roll.is_full(self.checkpoint.journal) {
                self.finish_part(roll)?;
            }
        }
        Ok(())
    }

    /// Takes what is reported into what is going to be committed, unless it speaks of bars that cannot be read
    /// yet.
    fn note_progress(
        &mut self,
        reports: &[Progress],
        next: &mut LocalCheckpoint,
    ) -> Result<(), SinkError> {
        let Some(file) = &self.progress else { return Ok(()) };
        match self.shape {
            Shape::Rolls(_) => {
                file.put(reports, &mut self.waiting)?;
                if next.bars == 0 {
                    next.progress.append(&mut self.waiting);
                }
                Ok(())
            }
            Shape::AtEnd | Shape::Grows(_) => file.put(reports, &mut next.progress),
        }
    }

    /// Makes the file of progress what is committed. That of a replay appears with its bars.
    fn show_progress(&self) -> Result<(), SinkError> {
        let Some(file) = self.progress.as_ref().filter(|_| self.shape != Shape::AtEnd) else {
            return Ok(());
        };
        match self.checkpoint.progress.is_empty() {
            true => file.remove(),
            false => file.write(&self.checkpoint.progress),
        }?;
        fault_point!("progress-written");
        Ok(())
    }

    /// Makes the files of a replay, and then that of its progress.
    fn publish_all(&mut self) -> Result<SinkReport, SinkError> {
        if let Some(file) = &self.progress {
            // It speaks of the bars that are about to be replaced.
            file.remove()?;
        }
        let report = self.publish(None)?;
        if let Some(file) = &self.progress {
            file.write(&self.checkpoint.progress)?;
        }
        Ok(report)
    }

    /// Bars as the journal has them.
    fn entries(&self, bars: &[(PublishedBar, isize)]) -> Result<Vec<u8>, SinkError> {
        let unwritable = |e: &dyn std::fmt::Display| {
            SinkError::Refused(format!("a bar could not be written: {e}"))
        };
        let mut bytes = Vec::new();
        let mut headed = self.checkpoint.journal > 0;
        for update in bars {
            if let Shape::Grows(format) = self.shape {
                let record = BarRecord::of(&update.0, update.1);
                let written = format.write(&mut bytes, &record, &mut headed);
                written.map_err(|e| unwritable(&e))?;
                continue;
            }
            // A bar is made of numbers and names, which the format can write.
            entries::write(update, &mut bytes).map_err(|e| unwritable(&e))?;
        }
        Ok(bytes)
    }

    /// Makes a part of what the journal holds, and empties it. The same part is made again if the
    /// process is killed in between.
    fn finish_part(&mut self, roll: Roll) -> Result<(), SinkError> {
        if self.checkpoint.bars == 0 {
            return Ok(());
        }
        let mut live = self.checkpoint.live.unwrap_or_default();
        // From 0 on again, parts would replace the first ones.
        let parts = live.parts.checked_add(1).ok_or_else(|| {
            SinkError::Refused(format!(
                "\"{}\" counts {} parts, and no more can be numbered\nhint: {}",
                self.output.checkpoint().display(),
                live.parts,
                self.remedy()
            ))
        })?;
        let named_by = live.roll.replace(roll).unwrap_or(roll);
        self.publish(Some(Part { roll: named_by, number: live.parts }))?;
        live.parts = parts;
        live.bars = live.bars.saturating_add(self.checkpoint.bars);
        let mut next =
            LocalCheckpoint { live: Some(live), journal: 0, bars: 0, ..self.checkpoint.clone() };
        next.progress.append(&mut self.waiting);
        next.write(&self.output.checkpoint())?;
        self.checkpoint = next;
        self.period = None;
        self.forget_uncommitted()?;
        self.show_progress()
    }

    /// The period of the journal's first bar.
    fn first_period(&mut self) -> Result<Option<i64>, SinkError> {
        let Shape::Rolls(roll) = self.shape else { return Ok(None) };
        let mut first = None;
        self.read_back(entries::WhenStopped::Ends, &mut |(bar, _)| {
            let period = roll.period(&bar.bar);
            first = Some(first.map_or(period, |first: i64| first.min(period)));
            Ok(())
        })?;
        Ok(first)
    }

    /// Makes the files of the journal.
    fn publish(&mut self, part: Option<Part>) -> Result<SinkReport, SinkError> {
        let mut sink: Box<dyn BarSink> = match (&self.output, part) {
            (Output::Lines(format, path), _) => Box::new(TextBars::file(path, *format)?),
            (Output::Parquet(folder), None) => {
                Box::new(ParquetBars::new(folder, self.info.clone())?)
            }
            (Output::Parquet(folder), Some(part)) => {
                Box::new(ParquetBars::new(folder, self.info.clone())?.of_part(part))
            }
        };
        let mut commit = Commit::default();
        // A part may be made because the end was asked for.
        let when_stopped = if part.is_some() {
            entries::WhenStopped::Continues
        } else {
            entries::WhenStopped::Ends
        };
        self.read_back(when_stopped, &mut |update| {
            commit.bars.push(update);
            if commit.bars.len() == BARS_AT_ONCE {
                sink.commit(&commit)?;
                commit.bars.clear();
            }
            Ok(())
        })?;
        sink.commit(&commit)?;
        fault_point!("before-publish");
        let report = sink.finish()?;
        fault_point!("after-publish");
        Ok(report)
    }

    /// What is there where the end came before the files were made.
    fn incomplete(&self) -> SinkReport {
        let place = self.journal_path().display().to_string();
        let places = vec![format!("{place} (incomplete; run the same command to resume)")];
        SinkReport { bars: self.checkpoint.bars, places }
    }

    /// Hands out the bars of the journal.
    fn read_back(
        &mut self,
        when_stopped: entries::WhenStopped,
        each: &mut dyn FnMut(Update) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let (path, remedy) = (self.journal_path(), self.remedy());
        let mut journal = &self.journal;
        journal.seek(SeekFrom::Start(0)).map_err(|e| refused("read", &path, &e))?;
        let entries = Entries::new(journal, self.checkpoint.journal, self.checkpoint.bars);
        for (read, entry) in entries.enumerate() {
            if when_stopped == entries::WhenStopped::Ends
                && read % BARS_AT_ONCE == 0
                && self.stop.is_raised()
            {
                return Err(SinkError::Stopped(
                    "stopped before what an earlier run wrote had been read".to_owned(),
                ));
            }
            let update = entry.map_err(|damage| match damage {
                Damage::Disk(error) => refused("read", &path, &error),
                damage => SinkError::Refused(format!(
                    "the journal \"{}\" is {damage}\nhint: {remedy}",
                    path.display()
                )),
            })?;
            each(update)?;
        }
        Ok(())
    }
}

impl BarSink for JournaledSink {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        if !commit.bars.is_empty() || !commit.reports.is_empty() {
            let open = self.open.entry(commit.shard).or_default();
            open.bars.extend_from_slice(&commit.bars);
            open.reports.extend_from_slice(&commit.reports);
        }
        match &commit.cut {
            Some(records) => self.cut(commit.shard, records),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        match self.shape {
            Shape::AtEnd if self.stop.is_raised() => Ok(self.incomplete()),
            Shape::AtEnd => match self.publish_all() {
                Err(SinkError::Stopped(_)) => Ok(self.incomplete()),
                published => published,
            },
            Shape::Grows(_) => Ok(SinkReport {
                bars: self.checkpoint.bars,
                places: vec![self.output.path().display().to_string()],
            }),
            Shape::Rolls(roll) => {
                self.finish_part(roll)?;
                let LiveOutput { parts, bars, .. } = self.checkpoint.live.unwrap_or_default();
                let folder = self.output.path().display();
                let parts = if parts == 1 { "1 part".to_owned() } else { format!("{parts} parts") };
                Ok(SinkReport { bars, places: vec![format!("{folder} ({parts})")] })
            }
        }
    }
}
