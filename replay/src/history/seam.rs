//! What files without ids share.
//!
//! Rows without ids cannot be told apart: two equal rows may be two trades. So a stretch counts as
//! shared only where one file continues exactly where the other one is, row by row, to the end of
//! one of them: exports that overlap at a seam, copies, and parts of a longer file. Anything else
//! that overlaps is refused.

use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::trade::Trade;
use jiff::Timestamp;

use super::Look;
use super::sample::{latest, latest_of_plain, trades};
use crate::error::ReplayError;
use crate::file_part::Begin;
use crate::naming;
use crate::plan::{FileKind, InstrumentPlan, PlannedFile};
use crate::plan_note::PlanNote;
use crate::stream::InstrumentStream;

/// Rows of one time among which the beginning of what two files share is looked for.
const CANDIDATES: usize = 16_384;

/// How often the rest is compared for it.
const TRIED: usize = 256;

/// Rows of a file that are looked for in the one before it, when only names say that they do not overlap.
const NEXT_ROWS: usize = 64;

/// Rows per batch.
const ROWS: usize = 4096;

/// What one file has of another that begins later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    /// Nothing: times do not overlap.
    Nothing,
    /// So many rows at the beginning of the later file are at the end of the earlier one.
    Head(u64),
    /// All of the later file.
    All,
    /// Rows differ where times overlap, or nothing says whether equal ones are repeats.
    Unclear,
}

/// Leaves out what files share; they are in the order of their first times.
pub(super) fn join(
    look: &Look,
    files: Vec<PlannedFile>,
    notes: &mut Vec<PlanNote>,
) -> Result<Vec<PlannedFile>, ReplayError> {
    let mut kept: Vec<PlannedFile> = Vec::new();
    for mut next in files {
        let Some(before) = kept.last() else {
            kept.push(next);
            continue;
        };
        if are_apart(before, &next) {
            let rows: Vec<Trade> = first_rows(look, &next);
            if let Some(before) = kept.last_mut() {
                before.next_rows = rows.into();
            }
            kept.push(next);
            continue;
        }
        let Some(end) = last_time(look, before)? else {
            kept.push(next);
            continue;
        };
        match shared(look, before, end, &next)? {
            Shared::Nothing => kept.push(next),
            Shared::All => {
                let (file, other) = (next.name(), before.name());
                notes.push(PlanNote::SameRows { file, other });
            }
            Shared::Head(rows) => {
                let (file, other) = (next.name(), before.name());
                notes.push(PlanNote::SharedRows { file, other, rows });
                next.part.begin = Some(row_start(look, &next, rows)?);
                kept.push(next);
            }
            Shared::Unclear => return Err(overlapping(before, &next, end)),
        }
    }
    Ok(kept)
}

fn overlapping(before: &PlannedFile, next: &PlannedFile, end: i64) -> ReplayError {
    let shown = |ns: i64| {
        let time = Timestamp::from_nanosecond(i128::from(ns));
        time.map_or_else(|_| ns.to_string(), |time| time.to_string())
    };
    ReplayError::Mixed(format!(
        "{} and {} both have trades from {} to {}, and their rows have no ids to tell repeats by: \
         leave one of them out, or cut them so that they do not overlap",
        before.name(),
        next.name(),
        shown(next.first_time),
        shown(end)
    ))
}

/// Whether names say that the files are of different days.
fn are_apart(file: &PlannedFile, next: &PlannedFile) -> bool {
    let days = |file: &PlannedFile| naming::read(&file.path).days;
    let different = |((_, last), (first, _)): (_, (jiff::civil::Date, _))| last < first;
    file.path != next.path && days(file).zip(days(next)).is_some_and(different)
}

/// The first rows of a file; what is wrong with it is told where the whole of it is read.
fn first_rows(look: &Look, file: &PlannedFile) -> Vec<Trade> {
    let rows = rows(look, file).into_iter().flatten();
    rows.map_while(Result::ok).take(NEXT_ROWS).collect()
}

/// The latest event time in a file.
fn last_time(look: &Look, file: &PlannedFile) -> Result<Option<i64>, ReplayError> {
    if let Some(time) = latest_of_plain(look, file) {
        return Ok(Some(time));
    }
    match latest(look, file) {
        Ok(latest) => Ok(latest),
        Err(error @ (ReplayError::Io { .. } | ReplayError::Stopped)) => Err(error),
        // Its reader gets the same error.
        Err(_) => Ok(None),
    }
}

fn shared(
    look: &Look,
    before: &PlannedFile,
    end: i64,
    next: &PlannedFile,
) -> Result<Shared, ReplayError> {
    if next.first_time > end {
        return Ok(Shared::Nothing);
    }
    let from = next.first_time;
    // The rows of the earlier file at the first time of the later one: each may be the first shared.
    let mut candidates = Vec::new();
    for row in rows(look, before)? {
        let row = row?;
        if row.event_time == from {
            candidates.push(row);
        }
        if row.event_time > from || candidates.len() > CANDIDATES {
            break;
        }
    }
    if candidates.len() > CANDIDATES {
        return Ok(Shared::Unclear);
    }
    let mut tried = 0;
    let head: Vec<Trade> = rows(look, next)?.take(candidates.len()).collect::<Result<_, _>>()?;
    for skip in 0..candidates.len() {
        if !candidates[skip..].iter().zip(&head).all(|(ours, theirs)| is_same(ours, theirs)) {
            continue;
        }
        tried += 1;
        if tried > TRIED {
            return Ok(Shared::Unclear);
        }
        let is_older = |row: &Row| row.as_ref().is_ok_and(|trade| trade.event_time < from);
        let mut ours = rows(look, before)?.skip_while(is_older).skip(skip);
        let shared = compare(&mut ours, &mut rows(look, next)?)?;
        if from == end {
            // They meet at one time. Equal rows there are repeats, or trades of that moment: only of
            // copies it is certain.
            let is_copy = before.first_time == from && skip == 0 && ours.next().is_none();
            return Ok(shared
                .filter(|shared| is_copy && *shared == Shared::All)
                .unwrap_or(Shared::Unclear));
        }
        if let Some(shared) = shared {
            return Ok(shared);
        }
    }
    if from < end {
        return Ok(Shared::Unclear);
    }
    // None of them as a whole: in another order, a trade of both counts twice all the same.
    for row in rows(look, next)?.take(CANDIDATES) {
        let row = row?;
        if row.event_time > from {
            break;
        }
        if candidates.iter().any(|ours| is_same(ours, &row)) {
            return Ok(Shared::Unclear);
        }
    }
    Ok(Shared::Nothing)
}

type Row = Result<Trade, ReplayError>;

/// Compares row by row to the end of one of them; none where rows differ.
fn compare(
    ours: &mut impl Iterator<Item = Row>,
    theirs: &mut impl Iterator<Item = Row>,
) -> Result<Option<Shared>, ReplayError> {
    let mut rows = 0;
    loop {
        match (ours.next().transpose()?, theirs.next().transpose()?) {
            // Trades that are equal by chance exist: one row proves nothing.
            (_, None) => {
                return Ok(match rows {
                    0 => None,
                    1 => Some(Shared::Unclear),
                    _ => Some(Shared::All),
                });
            }
            (None, Some(_)) => return Ok((rows > 0).then_some(Shared::Head(rows))),
            (Some(ours), Some(theirs)) if is_same(&ours, &theirs) => rows += 1,
            _ => return Ok(None),
        }
    }
}

fn is_same(one: &Trade, other: &Trade) -> bool {
    Trade { trade_id: 0, ..*one } == Trade { trade_id: 0, ..*other }
}

fn rows(look: &Look, file: &PlannedFile) -> Result<impl Iterator<Item = Row> + use<>, ReplayError> {
    let batches = trades(look, file, ROWS)?;
    Ok(batches.flat_map(|batch: Result<TradeBatch, ReplayError>| {
        let rows: Vec<Row> = match batch {
            Ok(batch) => batch.iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        rows
    }))
}

/// Where the row after so many trades begins.
fn row_start(look: &Look, file: &PlannedFile, rows: u64) -> Result<Begin, ReplayError> {
    let mut file = file.clone();
    let mut left = rows;
    while left > 0 {
        let take = left.min(ROWS as u64);
        let batch_rows = take as usize;
        let plan = InstrumentPlan { feed: Arc::clone(&look.feed), files: vec![file.clone()] };
        let options = look.options(batch_rows);
        for batch in InstrumentStream::open(plan, options)? {
            let batch = batch?;
            let found = batch.trades.len() as u64;
            if found > left {
                // Only Parquet is cut elsewhere.
                break;
            }
            let Some(end) = batch.end.file() else { break };
            let member = end.member.clone();
            file.part.begin = Some(Begin { member, byte: end.byte, line: end.line });
            left -= found;
            if left < take {
                break;
            }
        }
        if file.kind == FileKind::Parquet && left > 0 {
            break;
        }
    }
    file.part.begin.ok_or_else(|| ReplayError::corrupt(&file.path, "rows", "some", "none"))
}
