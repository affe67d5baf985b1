//! The first and last rows of a file: where it begins, and which end is the oldest.

use std::sync::Arc;

use barflow_operators::batch::{IdKind, TradeBatch};
use barflow_operators::input_batch::InputBatch;

use super::Look;
use super::contradiction::Steps;
use crate::decode::Container;
use crate::error::ReplayError;
use crate::file_part::Begin;
use crate::plan::{InstrumentPlan, PlannedFile};
use crate::plan_note::PlanNote;
use crate::spool;
use crate::stream::InstrumentStream;

/// Rows looked at at a time.
const ROWS: usize = 256;

/// Looks on until so many steps from row to row go up or down.
const STEPS: usize = 16;

/// Batches looked at, at most.
const BATCHES: usize = 32;

/// Bytes read of the end of a plain file.
const TAIL: u64 = 1 << 18;

/// Completes what is known of a file: its first trade, and whether its newest trade stands first.
pub(super) fn orient(
    look: &Look,
    file: PlannedFile,
    notes: &mut Vec<PlanNote>,
) -> Result<PlannedFile, ReplayError> {
    match oriented(look, file.clone()) {
        Ok(Err(contradiction)) => Err(contradiction),
        Ok(Ok(oriented)) => {
            if oriented.part.backwards {
                notes.push(PlanNote::NewestFirst { file: oriented.name() });
            }
            Ok(oriented)
        }
        Err(error @ (ReplayError::Io { .. } | ReplayError::Stopped)) => Err(error),
        // Its reader gets the same error.
        Err(_) => Ok(file),
    }
}

/// The file, or what contradicts itself in it; an error is the reader's.
fn oriented(
    look: &Look,
    mut file: PlannedFile,
) -> Result<Result<PlannedFile, ReplayError>, ReplayError> {
    let head = head(look, &file)?;
    let Some(first) = head.first else { return Ok(Ok(file)) };
    file.first_time = first.1;
    if look.feed.ids != IdKind::Ordinal {
        file.first_id = Some(first.0);
    }
    let are_against = head.steps.are_against();
    if head.down <= head.up && !are_against {
        return Ok(Ok(file));
    }
    // Pages of an exchange may each have their newest trade first, in a file that has not.
    let Some(last) = last(look, &file)? else { return Ok(Ok(file)) };
    if let Some(contradiction) = head.steps.refuse(&file, first, last).filter(|_| are_against) {
        return Ok(Err(contradiction));
    }
    // The time decides; ids do among trades of one time.
    let falls = match look.feed.ids {
        IdKind::Ordinal => last.1 < first.1,
        _ => last.0 < first.0 && last.1 <= first.1,
    };
    if falls {
        file.part.backwards = true;
        file.first_time = last.1;
        file.first_id = file.first_id.map(|_| last.0);
    }
    Ok(Ok(file))
}

/// The first trade, and how many of the first steps from row to row go up and down.
#[derive(Default)]
struct Head {
    first: Option<(u64, i64)>,
    up: usize,
    down: usize,
    steps: Steps,
}

fn head(look: &Look, file: &PlannedFile) -> Result<Head, ReplayError> {
    let mut head = Head::default();
    let mut before: Option<(u64, i64)> = None;
    for input_batch in inputs(look, file, ROWS)?.take(BATCHES) {
        let batch = input_batch?;
        let trades = &batch.trades;
        let rows = trades.trade_id.iter().copied().zip(trades.event_time.iter().copied());
        for (at, row) in rows.enumerate() {
            head.first.get_or_insert(row);
            let step = before.map(|before| match look.feed.ids {
                IdKind::Ordinal => row.1.cmp(&before.1),
                _ => row.0.cmp(&before.0),
            });
            head.up += usize::from(step == Some(std::cmp::Ordering::Greater));
            head.down += usize::from(step == Some(std::cmp::Ordering::Less));
            if look.feed.ids != IdKind::Ordinal
                && let Some(before) = before
            {
                head.steps.take([before, row], || batch.place_of(at));
            }
            before = Some(row);
        }
        let steps = match look.feed.ids {
            IdKind::Ordinal => head.up + head.down,
            _ => head.steps.len(),
        };
        if steps >= STEPS {
            break;
        }
    }
    Ok(head)
}

/// The latest time, by reading all of the file: rows of one moment may stand in any order.
pub(super) fn latest(look: &Look, file: &PlannedFile) -> Result<Option<i64>, ReplayError> {
    let mut latest = None;
    for trades in trades(look, file, 8192)? {
        latest = latest.max(trades?.event_time.iter().copied().max());
    }
    Ok(latest)
}

/// The last trade, by reading all of the file.
pub(super) fn last(look: &Look, file: &PlannedFile) -> Result<Option<(u64, i64)>, ReplayError> {
    let mut last = None;
    for trades in trades(look, file, 8192)? {
        last = last_of(&trades?).or(last);
    }
    Ok(last)
}

/// The last trade of a plain file that is read forwards, by reading its end.
pub(super) fn last_of_plain(look: &Look, file: &PlannedFile) -> Option<(u64, i64)> {
    last(look, &tail(file)?).ok()?
}

/// The latest time in it, in the same way.
pub(super) fn latest_of_plain(look: &Look, file: &PlannedFile) -> Option<i64> {
    latest(look, &tail(file)?).ok()?
}

/// The end of a plain file that is read forwards.
fn tail(file: &PlannedFile) -> Option<PlannedFile> {
    if file.part.backwards || file.container != Container::Plain {
        return None;
    }
    let mut file = file.clone();
    if let Some(byte) = line_start_before_end(&file, TAIL) {
        file.part.begin = Some(Begin { member: None, byte, line: 1 });
    }
    Some(file)
}

/// The offset of a line about `bytes` before the end; none where the file is shorter.
fn line_start_before_end(file: &PlannedFile, bytes: u64) -> Option<u64> {
    use std::io::{Read as _, Seek as _, SeekFrom};

    let from = file.bytes.checked_sub(bytes).filter(|from| *from > 0)?;
    let mut opened = spool::open(&file.path).ok()?;
    opened.seek(SeekFrom::Start(from)).ok()?;
    let mut end = Vec::new();
    opened.take(bytes).read_to_end(&mut end).ok()?;
    let newline = memchr::memchr(b'\n', &end)?;
    Some(from + newline as u64 + 1)
}

/// The trades of one file, batch by batch.
pub(super) fn trades(
    look: &Look,
    file: &PlannedFile,
    rows: usize,
) -> Result<impl Iterator<Item = Result<TradeBatch, ReplayError>> + use<>, ReplayError> {
    Ok(inputs(look, file, rows)?.map(|batch| batch.map(|batch| batch.trades)))
}

fn inputs(
    look: &Look,
    file: &PlannedFile,
    rows: usize,
) -> Result<impl Iterator<Item = Result<InputBatch, ReplayError>> + use<>, ReplayError> {
    let plan = InstrumentPlan { feed: Arc::clone(&look.feed), files: vec![file.clone()] };
    // Time is looked at by the caller, and what is wrong with rows when they are read.
    let options = look.options(rows);
    InstrumentStream::open(plan, options)
}

pub(super) fn last_of(trades: &TradeBatch) -> Option<(u64, i64)> {
    trades.trade_id.last().copied().zip(trades.event_time.last().copied())
}
