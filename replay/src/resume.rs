//! Whether a job can continue in files that may have changed since it read them.
//!
//! Positions tell the last rows before them, and the files before theirs (`crate::continued`). A later run
//! reads those rows again ([`rows_fit`]) before it continues behind them, and looks for trades that nobody
//! has applied in files that it would not read ([`first_not_applied`]).

use std::io::ErrorKind;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::order::ids::{Place, Settled};
use barflow_operators::position::FilePosition;
use barflow_operators::read_before::LastRows;

use crate::backwards;
use crate::decode::{Block, Buffers, Container, Decoding, MARGIN, decode};
use crate::error::ReplayError;
use crate::plan::{InstrumentPlan, PlannedFile};
use crate::read_options::ReadOptions;
use crate::stream::InstrumentStream;

/// Rows per batch.
const ROWS: u64 = 8192;

/// A trade that no run has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApplied {
    /// Its file, or `archive.zip/member.csv`.
    pub source: Arc<str>,
    /// Its line, from 1.
    pub line: u64,
    /// Its id.
    pub id: u64,
}

/// How the rows before a position in a file are to those that were read there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// They are the same, and a row ends there.
    Same,
    /// The last of them says something else under its id, or continues where it ended: the file was
    /// still being written. The file, or `archive.zip/member.csv`, and its line.
    LastChanged(Arc<str>, u64),
    /// The file is another one, or was changed elsewhere.
    Other,
}

/// Where a position is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Border {
    /// Between two rows, as many lines on as it was.
    BetweenRows,
    /// Behind the last row that was read, which had no end of line and continues now.
    AmidLast,
    /// Elsewhere.
    Elsewhere,
}

/// How the rows before a position in a file are to those that were read there.
///
/// # Errors
/// When the file cannot be read.
pub fn rows_fit(
    feed: &Arc<Feed>,
    file: &PlannedFile,
    at: &FilePosition,
    read: &ReadOptions,
) -> Result<Fit, ReplayError> {
    let Some(expected) = &at.last_rows else { return Ok(Fit::Same) };
    let LastRows { member, byte, line, trades, .. } = expected.clone();
    let source = Arc::clone(&at.source);
    let begin = FilePosition { member, byte, line, ..FilePosition::start(source) };
    let (mut left, mut first) = (trades, None);
    let batches = match batches(feed, file, Some(begin), read, trades) {
        Err(error) => return is_other(error, Fit::Other),
        batches => batches?,
    };
    for batch in batches {
        let batch = match batch {
            Err(error) => return is_other(error, Fit::Other),
            Ok(batch) => batch,
        };
        let trades = &batch.trades;
        let found = trades.len() as u64;
        if found == 0 {
            continue;
        }
        let first = *first.get_or_insert_with(|| trades.trade(0));
        if found < left {
            left -= found;
            continue;
        }
        let row = left as usize - 1;
        let last = trades.trade(row);
        let has_ids = feed.ids != IdKind::Ordinal;
        let (are, border) = (expected.are((&first, &last)), border(file, expected, at, read)?);
        if are && border == Border::BetweenRows {
            return Ok(Fit::Same);
        }
        // A file of the same first row is no other one.
        let is_known = has_ids && (expected.trades == 1 || expected.begin_with(&first));
        let is_cut = border == Border::AmidLast && expected.last_id != last.trade_id;
        if is_known && (is_cut || expected.contradict(&last)) {
            let (source, line) = batch.place_of(row);
            return Ok(Fit::LastChanged(source, line));
        }
        return Ok(Fit::Other);
    }
    Ok(Fit::Other)
}

/// Whether as many lines lie between the last rows and the position as did, and it is the beginning of
/// one: else a row that was written differently would move all behind it, and reading would resume amid
/// another.
fn border(
    file: &PlannedFile,
    begin: &LastRows,
    at: &FilePosition,
    read: &ReadOptions,
) -> Result<Border, ReplayError> {
    if file.container == Container::Parquet {
        // Positions are numbers of rows.
        return Ok(Border::BetweenRows);
    }
    let (mut line, mut found) = (begin.line, Border::Elsewhere);
    let take = &mut |block: Block| {
        if !file.part.has(&block) {
            return false;
        }
        if block.first {
            line = 1;
        }
        let bytes = &block.bytes[MARGIN..][..block.length as usize];
        let here = at.byte.checked_sub(block.offset).filter(|_| block.member == at.member);
        let Some((before, behind)) = here.and_then(|here| bytes.split_at_checked(here as usize))
        else {
            line += lines_in(bytes);
            return true;
        };
        line += lines_in(before);
        // A last row without an end of line counted as one.
        let was_unended = line + 1 == at.line;
        let ends = matches!(behind.first(), None | Some(b'\n' | b'\r'));
        found = if was_unended && !ends {
            Border::AmidLast
        } else if was_unended || (line == at.line && matches!(before.last(), None | Some(b'\n'))) {
            Border::BetweenRows
        } else {
            Border::Elsewhere
        };
        false
    };
    let (path, container, buffers) = (&file.path, file.container, &Buffers::default());
    let (from, progress) =
        (Some((begin.member.as_deref(), begin.byte)), &read.progress.uncounted());
    let decode = if file.part.backwards { backwards::decode } else { decode };
    match decode(Decoding { path, container, from, progress, buffers }, take) {
        Err(error) => is_other(error, Border::Elsewhere),
        Ok(()) => Ok(found),
    }
}

fn lines_in(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// What cannot be read there is something else, unless it cannot be read at all.
fn is_other<T>(error: ReplayError, other: T) -> Result<T, ReplayError> {
    match error {
        ReplayError::Io { ref source, .. } if source.kind() == ErrorKind::UnexpectedEof => {
            Ok(other)
        }
        // A row of the next file as well (`crate::named_days`): that file is the wrong one.
        ReplayError::Io { .. } | ReplayError::Stopped | ReplayError::Mixed(_) => Err(error),
        _ => Ok(other),
    }
}

/// The first trade of a file that is not among those applied: it was given up as missing, or lies
/// before the first or behind the last of them.
///
/// # Errors
/// When the file cannot be read.
pub fn first_not_applied(
    feed: &Arc<Feed>,
    file: &PlannedFile,
    settled: &Settled,
    read: &ReadOptions,
) -> Result<Option<NotApplied>, ReplayError> {
    for batch in batches(feed, file, None, read, ROWS)? {
        let batch = batch?;
        let is_applied = |id: &u64| settled.place(*id, *id) == Place::Repeated;
        if let Some(row) = batch.trades.trade_id.iter().position(|id| !is_applied(id)) {
            let (source, line) = batch.place_of(row);
            return Ok(Some(NotApplied { source, line, id: batch.trades.trade_id[row] }));
        }
    }
    Ok(None)
}

fn batches(
    feed: &Arc<Feed>,
    file: &PlannedFile,
    resume: Option<FilePosition>,
    read: &ReadOptions,
    rows: u64,
) -> Result<InstrumentStream, ReplayError> {
    let plan = InstrumentPlan { feed: Arc::clone(feed), files: vec![file.clone()] };
    let (from, to) = (read.from, read.to);
    let progress = read.progress.uncounted();
    // No further than need be: what lies behind is not asked for.
    let rows = rows.clamp(1, ROWS) as usize;
    // What is wrong with the file is found where the bars are made.
    let once = ReadOptions { verify: false, progress, ..ReadOptions::new(rows) };
    InstrumentStream::open(plan, ReadOptions { resume, from, to, ..once })
}
