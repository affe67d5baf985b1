//! Reads one instrument's history, file after file.
//!
//! Decoding runs on a thread of its own, a few blocks ahead of the rows; the next file is verified
//! on another while the current one is read. Dropping the stream ends both.
//!
//! Files are read one after the other, and those whose ids overlap are merged. A position names the
//! first of the files that have not ended: those before it are not read again, those after it are
//! read from their beginnings, and rows that a merge had already applied are passed over.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::input_batch::InputBatch;
use barflow_operators::order::ids::Settled;
use barflow_operators::position::{FilePosition, Position};
use barflow_operators::read_before::LastRows;

use crate::checksum::verify;
use crate::continued::{Continues, mark, passes_over};
use crate::error::ReplayError;
use crate::merge::{self, Merged, Merger, Step};
use crate::named_days;
use crate::numbers::{has_numbers_after, number_after};
use crate::plan::{FileKind, InstrumentPlan, PlannedFile};
use crate::read_options::ReadOptions;
use crate::rows::{Layout, Quote, REJECTS_AT_ONCE, RowRules};
use crate::rows_of_file::RowsOfFile;
use crate::table::TableTrades;
use crate::time_order::TimeOrder;
use crate::trades_parquet::read::ParquetTrades;
use crate::unchanged;

/// An iterator over one instrument's input batches. After an error it ends.
///
/// Files whose ids overlap are merged by id (`crate::merge`); all others are read one after the
/// other.
pub struct InstrumentStream {
    feed: Arc<Feed>,
    files: VecDeque<PlannedFile>,
    options: ReadOptions,
    verifying: Option<JoinHandle<Result<(), ReplayError>>>,
    verified: Option<PathBuf>,
    /// The files that are being read: one, or those that are merged.
    open: Vec<OpenFile>,
    merger: Merger,
    ordinal: u64,
    /// Id of the last trade read.
    last_id: Option<u64>,
    /// What another run has applied.
    applied: Option<Arc<Settled>>,
    time: TimeOrder,
    continues: Option<Continues>,
    /// Where rows were first passed over that a later run may want: it resumes there.
    held_at: Option<FilePosition>,
    done: Vec<FileRead>,
    failed: bool,
}

/// How much of a file was read, once it has ended.
#[derive(Debug)]
pub struct FileRead {
    /// Which.
    pub file: PlannedFile,
    /// Rows that were read, or why reading did not come to the end.
    pub rows: Result<u64, ReplayError>,
}

struct OpenFile {
    file: PlannedFile,
    reading: Reading,
    rows: u64,
    /// Id and event time of the last trade of the last batch.
    last: Option<(u64, i64)>,
    last_rows: Option<LastRows>,
}

/// What reading on has come to.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // Most are batches.
pub enum ReadOn {
    /// The next batch.
    Batch(InputBatch),
    /// The end of a file that others follow: nothing is open until the next one is read.
    BetweenFiles,
}

enum Reading {
    Rows(Box<RowsOfFile>),
    Parquet(Box<ParquetTrades>),
    Table(Box<TableTrades>),
}

/// Files merged at a time: each has a thread and some MiB of its own.
const MOST_MERGED: usize = 64;

impl InstrumentStream {
    /// Prepares to read; nothing is opened yet.
    ///
    /// # Errors
    /// When the position to resume at is in none of the files.
    pub fn open(plan: InstrumentPlan, options: ReadOptions) -> Result<Self, ReplayError> {
        let mut files: VecDeque<PlannedFile> = plan.files.into();
        if let Some(resume) = &options.resume {
            drop_files_before(&mut files, resume)?;
        }
        let last_id = options.resume.as_ref().and_then(|resume| resume.trade_id);
        let has_ids = plan.feed.ids != IdKind::Ordinal;
        if !has_ids && let Some(last) = last_id {
            has_numbers_after(last)?;
        }
        let settled = options.settled.clone();
        let applied = last_id
            .filter(|_| has_ids)
            .map(|id| settled.unwrap_or_else(|| Arc::new(Settled::up_to(Some(id), []))));
        let last = options.settled.as_ref().and_then(|settled| settled.last);
        let is_numbered = !has_ids && options.resume.is_some();
        let last = last.zip(options.resume_time);
        let continues = last.map(|(id, time)| Continues::after(id, time, is_numbered));
        Ok(Self {
            feed: plan.feed,
            files,
            applied,
            continues,
            held_at: None,
            options,
            verifying: None,
            verified: None,
            open: Vec::new(),
            merger: Merger::default(),
            ordinal: last_id.map_or(1, |id| id.saturating_add(1)),
            last_id,
            time: TimeOrder::default(),
            done: Vec::new(),
            failed: false,
        })
    }

    /// How many rows without ids of their own it has numbered.
    pub fn numbered(&self) -> u64 {
        self.ordinal - 1
    }

    /// The files that have ended.
    pub fn into_files(self) -> Vec<FileRead> {
        self.done
    }

    /// Verifies the next file (unless that has started), opens it, and begins to verify the one
    /// after it.
    fn advance(&mut self) -> Result<bool, ReplayError> {
        let Some(file) = self.files.pop_front() else { return Ok(false) };
        let last_rows = self.options.resume.as_ref().and_then(|resume| resume.last_rows.clone());
        let opened = self.open_file(&file);
        match opened {
            Ok(reading) => {
                self.open.push(OpenFile { file, reading, rows: 0, last: None, last_rows });
            }
            Err(error) => self.give_up(file, error)?,
        }
        Ok(true)
    }

    fn open_file(&mut self, file: &PlannedFile) -> Result<Reading, ReplayError> {
        let verifying = self.verifying.take().or_else(|| self.begin_to_verify(file));
        if let Some(verifying) = verifying {
            let verdict = verifying.join();
            verdict.unwrap_or_else(|_| Err(ReplayError::decoder_crashed(&file.path)))?;
        }
        self.verified = Some(file.path.clone());
        if let Some(next) = self.files.front() {
            self.verifying = self.begin_to_verify(next);
        }
        let resume = self.options.resume.take();
        let start = resume.unwrap_or_else(|| FilePosition {
            trade_id: self.last_id,
            ..file.part.start(&file.path)
        });
        Ok(match &file.kind {
            FileKind::Parquet => {
                let feed = Arc::clone(&self.feed);
                let trades = ParquetTrades::open(&file.path, feed, start.byte, &self.options)?;
                Reading::Parquet(Box::new(trades))
            }
            FileKind::Rows(format) | FileKind::Table(format) => {
                let rules = RowRules {
                    format: format.clone(),
                    from: self.options.from.unwrap_or(i64::MIN),
                    to: self.options.to.unwrap_or(i64::MAX),
                };
                match (&file.kind, &format.layout) {
                    (FileKind::Table(_), Layout::Mapped(columns)) => {
                        let (path, columns) = (&file.path, Arc::clone(columns));
                        let (backwards, options) = (file.part.backwards, &self.options);
                        let trades =
                            TableTrades::open(path, rules, columns, start, backwards, options)?;
                        Reading::Table(Box::new(trades))
                    }
                    _ => Reading::Rows(Box::new(RowsOfFile::open(
                        file,
                        rules,
                        start,
                        &self.options,
                    )?)),
                }
            }
        })
    }

    /// A file cannot be read further.
    fn give_up(&mut self, file: PlannedFile, error: ReplayError) -> Result<(), ReplayError> {
        let ends = matches!(error, ReplayError::Io { .. } | ReplayError::Stopped);
        if ends || !self.options.past_damage {
            return Err(error);
        }
        self.done.push(FileRead { file, rows: Err(error) });
        Ok(())
    }

    fn begin_to_verify(&self, file: &PlannedFile) -> Option<JoinHandle<Result<(), ReplayError>>> {
        // Members of one archive are verified together.
        let wanted = self.options.verify && self.verified.as_ref() != Some(&file.path);
        let (path, container) = (file.path.clone(), file.container);
        let progress = self.options.progress.clone();
        wanted.then(|| thread::spawn(move || verify(&path, container, &progress)))
    }

    /// The next batch of an open file; none at its end, when it is closed.
    fn next_of(&mut self, place: usize) -> Result<Option<InputBatch>, ReplayError> {
        let Some(open) = self.open.get_mut(place) else { return Ok(None) };
        let next = match &mut open.reading {
            Reading::Rows(rows) => rows.next_batch(&self.feed, &self.options, &mut self.ordinal),
            Reading::Parquet(trades) => trades.next_batch(),
            Reading::Table(trades) => {
                trades.next_batch(&self.feed, &self.options, &mut self.ordinal)
            }
        };
        match next {
            Ok(Some(mut batch)) => {
                open.rows += (batch.trades.len() + batch.rejects.len()) as u64;
                mark(&mut batch, &open.file, &mut open.last_rows);
                if self.options.to.is_some() && passes_over(&batch, &open.file.kind) {
                    self.held_at = self.held_at.take().or_else(|| batch.start.file().cloned());
                }
                if self.feed.ids == IdKind::Ordinal {
                    number_after(self.last_id, &mut batch);
                    if let Some((last, _)) = last_of(&batch) {
                        has_numbers_after(last)?;
                        self.ordinal = self.ordinal.max(last + 1);
                    }
                    if !self.options.any_order {
                        named_days::check(&open.file, &batch)?;
                        self.time.check(&open.file.path, &batch)?;
                    }
                }
                Ok(Some(batch))
            }
            Ok(None) => {
                let OpenFile { file, rows, .. } = self.open.remove(place);
                // Of a member the size is another one, and the archive's directory tells it.
                let unchanged = match file.part.member {
                    None => unchanged::length(&file.path, file.bytes),
                    Some(_) => Ok(()),
                };
                match unchanged {
                    Ok(()) => self.done.push(FileRead { file, rows: Ok(rows) }),
                    Err(error) => self.give_up(file, error)?,
                }
                Ok(None)
            }
            Err(error) => {
                let file = self.open.remove(place).file;
                self.give_up(file, error)?;
                Ok(None)
            }
        }
    }

    /// Reads on: a batch, or the end of a file; none at the end of all. After an error it ends.
    pub fn read_on(&mut self) -> Option<Result<ReadOn, ReplayError>> {
        if self.failed {
            return None;
        }
        let next = self.read().and_then(|read| match read {
            Some(ReadOn::Batch(batch)) => self.leave(batch).map(|batch| Some(ReadOn::Batch(batch))),
            read => Ok(read),
        });
        let next = next.transpose();
        if let Some(Ok(ReadOn::Batch(batch))) = &next {
            self.options.progress.add_rows(batch.trades.len() as u64);
        }
        self.failed = matches!(next, Some(Err(_)));
        next
    }

    fn read(&mut self) -> Result<Option<ReadOn>, ReplayError> {
        loop {
            if let Some(first) = self.merger.batch(0) {
                let end = first.end.clone();
                return self.merge(end).map(|batch| Some(ReadOn::Batch(batch)));
            }
            if self.open.is_empty() {
                let applied = self.merged_before();
                if !self.advance()? {
                    return Ok(None);
                }
                if applied.is_some()
                    && let Some(batch) = self.next_of(0)?
                {
                    self.merger.add(batch, applied);
                }
                continue;
            }
            let Some(batch) = self.next_of(0)? else {
                if self.open.is_empty() && !self.files.is_empty() {
                    return Ok(Some(ReadOn::BetweenFiles));
                }
                continue;
            };
            if self.overlaps_next(&batch, 0) {
                self.merger.add(batch, None);
                self.open_overlapping()?;
                continue;
            }
            if let Some(open) = self.open.first_mut() {
                open.last = last_of(&batch).or(open.last);
            }
            self.last_id = batch.end.trade_id().or(self.last_id);
            return Ok(Some(ReadOn::Batch(batch)));
        }
    }

    /// Whether the next file overlaps with the batch of an open one.
    fn overlaps_next(&self, batch: &InputBatch, place: usize) -> bool {
        let Some(next) = self.files.front().and_then(PlannedFile::beginning) else { return false };
        let before = self.open.get(place).and_then(|open| open.last);
        self.feed.ids != IdKind::Ordinal && merge::overlaps(&batch.trades, before, next)
    }

    /// Opens all files that overlap with those that are merged, each after the one before it.
    fn open_overlapping(&mut self) -> Result<(), ReplayError> {
        let next_overlaps = |stream: &Self| {
            let mut lanes = (0..stream.merger.len()).filter_map(|lane| {
                stream.merger.batch(lane).map(|batch| stream.overlaps_next(batch, lane))
            });
            lanes.any(|overlaps| overlaps)
        };
        while next_overlaps(self) {
            let applied = self.applied_of_next();
            let place = self.open.len();
            if place == MOST_MERGED {
                return Err(too_many(&self.open));
            }
            self.advance()?;
            if self.open.len() > place
                && let Some(batch) = self.next_of(place)?
            {
                self.merger.add(batch, applied);
            }
        }
        Ok(())
    }

    /// What an earlier run has applied, if it has merged the next file.
    fn applied_of_next(&self) -> Option<Arc<Settled>> {
        let next = self.files.front()?.beginning()?;
        let applied = self.applied.as_ref()?;
        (Some(next.id) <= applied.last).then(|| Arc::clone(applied))
    }

    /// The same, where the files that it was merged with have been read to their ends.
    fn merged_before(&self) -> Option<Arc<Settled>> {
        let time = self.options.resume_time?;
        let next = self.files.front()?.beginning()?;
        // The file to resume in is read from its position on.
        let applied = self.applied_of_next().filter(|_| self.options.resume.is_none());
        applied.filter(|_| next.time <= time)
    }

    /// What becomes of a batch on its way out.
    fn leave(&mut self, mut batch: InputBatch) -> Result<InputBatch, ReplayError> {
        if let Some(continues) = &mut self.continues
            && continues.check(&batch)?
        {
            self.continues = None;
        }
        if let Some(held) = &self.held_at {
            let id = batch.end.trade_id().filter(|_| self.feed.ids != IdKind::Ordinal);
            batch.end = FilePosition { trade_id: id.or(held.trade_id), ..held.clone() }.into();
        }
        Ok(batch)
    }

    /// The next batch of merged rows; `end` is where the batch of the first file ends.
    fn merge(&mut self, mut end: Position) -> Result<InputBatch, ReplayError> {
        let rows = self.options.batch_rows;
        let mut out = Merged::new(self.options.pool.take(&self.feed), rows, REJECTS_AT_ONCE);
        while let Step::Needs(lane) = self.merger.step(&mut out) {
            if let Some((batch, open)) = self.merger.batch(lane).zip(self.open.get_mut(lane)) {
                open.last = last_of(batch).or(open.last);
                if lane == 0 {
                    end = batch.end.clone();
                }
            }
            if self.merger.is_single() {
                // From here on it is read as any other file.
                self.merger.feed(lane, None);
                break;
            }
            let next = self.next_of(lane)?;
            self.merger.feed(lane, next);
            self.open_overlapping()?;
        }
        let batch = self.merger.finish(out, end);
        self.last_id = batch.end.trade_id().or(self.last_id);
        Ok(batch)
    }
}

fn last_of(batch: &InputBatch) -> Option<(u64, i64)> {
    batch.trades.trade_id.last().copied().zip(batch.trades.event_time.last().copied())
}

fn too_many(open: &[OpenFile]) -> ReplayError {
    let name = |open: Option<&OpenFile>| {
        open.map(|open| open.file.path.display().to_string()).unwrap_or_default()
    };
    ReplayError::Mixed(format!(
        "more than {MOST_MERGED} files contain the same ids, from {} to {}: put them into a store \
         with `barflow convert`, and replay that",
        name(open.first()),
        name(open.last())
    ))
}

impl Iterator for InstrumentStream {
    type Item = Result<InputBatch, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_on()? {
                Ok(ReadOn::Batch(batch)) => return Some(Ok(batch)),
                Ok(ReadOn::BetweenFiles) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Leaves the file of a position and those after it.
///
/// # Errors
/// When it is none of them.
pub(crate) fn drop_files_before(
    files: &mut VecDeque<PlannedFile>,
    position: &FilePosition,
) -> Result<(), ReplayError> {
    let here = |file: &PlannedFile| {
        file.path.display().to_string() == *position.source && file.part.contains(position)
    };
    let Some(place) = files.iter().position(here) else {
        let text = format!("no file is called \"{}\"", position.source);
        return Err(ReplayError::Resume(text));
    };
    files.drain(..place);
    Ok(())
}

/// Whether an instrument's quote value has to be stored beside price and quantity.
pub fn stores_quote(files: &[PlannedFile]) -> bool {
    files.iter().any(|file| match &file.kind {
        FileKind::Rows(format) | FileKind::Table(format) => format.quote != Quote::Product,
        FileKind::Parquet => false,
    })
}
