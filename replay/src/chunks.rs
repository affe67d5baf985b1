//! One instrument's history cut into chunks that can be read at the same time.
//!
//! A text file is one chunk: decoding cannot begin inside. barflow's own Parquet is cut at row groups.
//! Chunks read one after the other give the input batches of an
//! [`InstrumentStream`] over the whole history, cut at the same rows,
//! except that rows without ids are numbered from 1 in each chunk. Files whose ids overlap are not
//! merged: that needs one pass.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::input_batch::InputBatch;
use barflow_operators::position::FilePosition;
use barflow_operators::read_before::LastRows;

use crate::checksum::verify;
use crate::continued::mark;
use crate::decode::Container;
use crate::error::ReplayError;
use crate::file_part::FilePart;
use crate::merge::overlaps;
use crate::plan::{FileKind, InstrumentPlan, PlannedFile};
use crate::progress::Progress;
use crate::read_options::ReadOptions;
use crate::stream::{InstrumentStream, drop_files_before};
use crate::trades_parquet::read::{Footer, ParquetTrades};

/// Cuts a history.
#[derive(Debug)]
pub struct Chunks {
    feed: Arc<Feed>,
    files: VecDeque<PlannedFile>,
    /// Where the first file is cut next.
    groups: Option<Groups>,
    /// Where reading of the first file begins, if not at its beginning.
    resume: Option<FilePosition>,
    batch_rows: u64,
}

/// Row groups of a file that are left.
#[derive(Debug)]
struct Groups {
    footer: Footer,
    /// Rows of each.
    rows: VecDeque<u64>,
    next: usize,
    next_row: u64,
    /// Rows of all groups of the file.
    all: u64,
}

/// A part of a history.
#[derive(Clone, Debug)]
pub struct Chunk {
    feed: Arc<Feed>,
    file: PlannedFile,
    /// None for the whole file.
    part: Option<Part>,
    /// Where reading of the whole file begins, if not at its beginning.
    resume: Option<FilePosition>,
    /// The file after this one.
    next: Option<Box<PlannedFile>>,
    rows: u64,
}

/// Row groups of a file.
#[derive(Clone, Debug)]
struct Part {
    footer: Footer,
    groups: Range<usize>,
    first_row: u64,
    file_rows: u64,
}

impl Chunks {
    /// Cuts a history that is read in batches of `batch_rows`, from `resume` on if given. A file
    /// that is read from some place on is one chunk.
    ///
    /// # Errors
    /// When the position to resume at is in none of the files.
    pub fn new(
        plan: InstrumentPlan,
        batch_rows: usize,
        resume: Option<FilePosition>,
    ) -> Result<Self, ReplayError> {
        let mut files = plan.files.into();
        if let Some(resume) = &resume {
            drop_files_before(&mut files, resume)?;
        }
        let batch_rows = batch_rows.max(1) as u64;
        Ok(Self { feed: plan.feed, files, groups: None, resume, batch_rows })
    }

    /// Rows of the whole history that is left, about.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(guess_rows).sum()
    }

    /// The next chunk, of at least `rows` rows where there are so many and the file can be cut.
    pub fn next_chunk(&mut self, rows: u64) -> Option<Chunk> {
        let file = self.files.front()?.clone();
        let next = self.files.get(1).cloned().map(Box::new);
        let resume = self.resume.take();
        let is_whole = resume.is_none() && file.part == FilePart::default();
        if self.groups.is_none() && is_whole && file.kind == FileKind::Parquet {
            // Opening the chunk meets the same error again and reports it.
            let footer = Footer::read(&file.path).ok();
            self.groups = footer.map(|footer| {
                let rows = footer.group_rows();
                let all = rows.iter().sum();
                Groups { footer, rows: rows.into(), next: 0, next_row: 0, all }
            });
        }
        let Some(groups) = &mut self.groups else {
            self.files.pop_front();
            let rows = guess_rows(&file);
            let feed = Arc::clone(&self.feed);
            return Some(Chunk { feed, file, part: None, resume, next, rows });
        };
        let (first, first_row, file_rows) = (groups.next, groups.next_row, groups.all);
        // Batches must be cut where one pass over the file cuts them.
        while let Some(group) = groups.rows.front()
            && (groups.next_row - first_row < rows.max(1)
                || !groups.next_row.is_multiple_of(self.batch_rows))
        {
            groups.next_row += group;
            groups.next += 1;
            groups.rows.pop_front();
        }
        let footer = groups.footer.clone();
        let part = Some(Part { footer, groups: first..groups.next, first_row, file_rows });
        let rows = groups.next_row - first_row;
        if groups.rows.is_empty() {
            self.groups = None;
            self.files.pop_front();
        }
        Some(Chunk { feed: Arc::clone(&self.feed), file, part, resume: None, next, rows })
    }
}

/// Bytes that a row takes on disk, about: too many rows is the better guess, since a chunk thought
/// too short is not worth building ahead.
fn guess_rows(file: &PlannedFile) -> u64 {
    let bytes_per_row = match file.container {
        Container::Plain => 60,
        Container::Parquet => 6,
        _ => 12,
    };
    file.bytes / bytes_per_row
}

impl Chunk {
    /// Rows, about; exactly for a part of a file.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether its rows have ids that were made up while reading, from 1.
    pub fn is_numbered(&self) -> bool {
        self.feed.ids == IdKind::Ordinal && self.file.kind != FileKind::Parquet
    }

    /// Begins to read; `options` are those of the whole history.
    ///
    /// # Errors
    /// When the file cannot be opened or is not whole.
    pub fn open(&self, options: &ReadOptions) -> Result<ChunkReader, ReplayError> {
        let rows = self.open_rows(options)?;
        let next = self.next.clone().filter(|_| self.feed.ids != IdKind::Ordinal);
        Ok(ChunkReader { rows, file: self.file.clone(), next, last: None, last_rows: None })
    }

    fn open_rows(&self, options: &ReadOptions) -> Result<ChunkRows, ReplayError> {
        let Some(Part { footer, groups, first_row, file_rows }) = self.part.clone() else {
            let plan =
                InstrumentPlan { feed: Arc::clone(&self.feed), files: vec![self.file.clone()] };
            let options = ReadOptions { resume: self.resume.clone(), ..options.clone() };
            let stream = InstrumentStream::open(plan, options)?;
            return Ok(ChunkRows::File(Box::new(stream)));
        };
        if options.verify && groups.start == 0 {
            verify(&self.file.path, self.file.container, &options.progress)?;
        }
        let feed = Arc::clone(&self.feed);
        let path = &self.file.path;
        let trades = ParquetTrades::open_groups(path, &footer, feed, groups, first_row, options)?;
        let bytes_per_row = self.file.bytes as f64 / file_rows.max(1) as f64;
        Ok(ChunkRows::Groups(Box::new(trades), options.progress.clone(), bytes_per_row))
    }
}

/// Reads one chunk.
pub struct ChunkReader {
    rows: ChunkRows,
    file: PlannedFile,
    next: Option<Box<PlannedFile>>,
    /// Id and event time of the last trade.
    last: Option<(u64, i64)>,
    last_rows: Option<LastRows>,
}

enum ChunkRows {
    /// A whole file.
    File(Box<InstrumentStream>),
    /// Row groups of one, and the bytes that a row takes.
    Groups(Box<ParquetTrades>, Progress, f64),
}

impl ChunkReader {
    /// The next input batch; none at the chunk's end.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read, and where the next file overlaps with it: files
    /// read at the same time cannot be merged.
    pub fn next_batch(&mut self) -> Result<Option<InputBatch>, ReplayError> {
        let mut input_batch = self.rows.next_batch()?;
        if let (ChunkRows::Groups(..), Some(batch)) = (&self.rows, &mut input_batch) {
            mark(batch, &self.file, &mut self.last_rows);
        }
        if let (Some(next), Some(InputBatch { trades, .. })) = (&self.next, &input_batch) {
            if let Some(beginning) = next.beginning()
                && overlaps(trades, self.last, beginning)
            {
                return Err(ReplayError::Mixed(format!(
                    "{} and {} both contain trades from id {} on, and files read in parallel are \
                     not merged: leave out --parallel, or put them into a store with `barflow \
                     convert`",
                    self.file.name(),
                    next.name(),
                    beginning.id
                )));
            }
            let last = trades.trade_id.last().copied().zip(trades.event_time.last().copied());
            self.last = last.or(self.last);
        }
        Ok(input_batch)
    }

    /// How many rows without ids were numbered so far.
    pub fn numbered(&self) -> u64 {
        match &self.rows {
            ChunkRows::File(stream) => stream.numbered(),
            ChunkRows::Groups(..) => 0,
        }
    }
}

impl ChunkRows {
    fn next_batch(&mut self) -> Result<Option<InputBatch>, ReplayError> {
        match self {
            Self::File(stream) => stream.next().transpose(),
            Self::Groups(trades, progress, bytes_per_row) => {
                let input_batch = trades.next_batch()?;
                if let Some(input_batch) = &input_batch {
                    let rows = input_batch.trades.len();
                    progress.add_rows(rows as u64);
                    progress.add_bytes((rows as f64 * *bytes_per_row) as u64);
                }
                Ok(input_batch)
            }
        }
    }
}
