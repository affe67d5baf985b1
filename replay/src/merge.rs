//! Merges files of one instrument by the ids of their trades.
//!
//! ```text
//! lane 0 (a month that lacks a day) ─┐
//! lane 1 (that day)                 ─┼─► one batch after the other, by id
//! lane 2 (the same day once more)   ─┘
//! ```
//!
//! Each lane is the rows of one file. The next row is that of the lane with the smallest key, where
//! the key of a row is the highest id of its lane so far: rows of one file keep their order, equal
//! rows of two files come one after the other, and whatever is out of order within a file is left to
//! the order of trades, as without a merge.
//!
//! **Invariant:** no files and no threads; the order depends on the rows alone, not on how they are
//! cut into batches.

use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::input_batch::{InputBatch, LeftOut, Reject, RowPlace};
use barflow_operators::order::ids::{Place, Settled};
use barflow_operators::position::Position;

/// Merges lanes. Lanes are numbered from 0, in the order of their files; when one ends, those after
/// it move up.
#[derive(Debug, Default)]
pub struct Merger {
    lanes: Vec<MergeInput>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The batch is full.
    Full,
    /// This lane has no rows left: it needs its next batch, or an end.
    Needs(usize),
    /// There is no lane.
    Ended,
}

/// A batch that is being merged.
#[derive(Debug)]
pub struct Merged {
    /// Trades so far.
    pub trades: TradeBatch,
    rejects: Vec<Reject>,
    left_out: Vec<LeftOut>,
    places: Vec<RowPlace>,
    start: Option<Position>,
    /// When it is full.
    rows: usize,
    /// When it is full as well.
    most_rejects: usize,
}

/// The rows of one file.
#[derive(Debug)]
struct MergeInput {
    batch: InputBatch,
    row: usize,
    reject: usize,
    left_out: usize,
    /// The highest id so far, that of the next row included.
    key: u64,
    /// What an earlier run has applied, until a row comes that it has not.
    applied: Option<Arc<Settled>>,
}

impl Merged {
    /// An empty batch of at most `rows` trades or `most_rejects` rejects.
    pub fn new(trades: TradeBatch, rows: usize, most_rejects: usize) -> Self {
        let (rejects, left_out, places) = (Vec::new(), Vec::new(), Vec::new());
        Self { trades, rejects, left_out, places, start: None, rows: rows.max(1), most_rejects }
    }

    fn is_full(&self) -> bool {
        self.trades.len() >= self.rows
            || self.rejects.len().max(self.left_out.len()) >= self.most_rejects
    }
}

impl Merger {
    /// Whether only one lane is left, all of whose rows are new.
    pub fn is_single(&self) -> bool {
        matches!(&self.lanes[..], [lane] if lane.applied.is_none())
    }

    /// How many lanes there are.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// The batch that a lane is in.
    pub fn batch(&self, lane: usize) -> Option<&InputBatch> {
        self.lanes.get(lane).map(|lane| &lane.batch)
    }

    /// Adds a lane with its first batch. Rows that an earlier run has applied are passed over at its
    /// beginning; not those that it gave up as missing.
    pub fn add(&mut self, batch: InputBatch, applied: Option<Arc<Settled>>) {
        let mut lane = MergeInput { batch, row: 0, reject: 0, left_out: 0, key: 0, applied };
        lane.begin();
        self.lanes.push(lane);
    }

    /// Gives a lane its next batch; none ends it.
    pub fn feed(&mut self, lane: usize, batch: Option<InputBatch>) {
        match (self.lanes.get_mut(lane), batch) {
            (Some(lane), Some(batch)) => {
                (lane.batch, lane.row, lane.reject, lane.left_out) = (batch, 0, 0, 0);
                lane.begin();
            }
            (Some(_), None) => {
                self.lanes.remove(lane);
            }
            (None, _) => {}
        }
    }

    /// Appends rows until the batch is full or a lane has none left.
    pub fn step(&mut self, out: &mut Merged) -> Step {
        loop {
            if let Some(empty) = self.lanes.iter().position(MergeInput::is_exhausted) {
                self.lanes[empty].take_rejects(out);
                return Step::Needs(empty);
            }
            if out.is_full() {
                return Step::Full;
            }
            let keys = || self.lanes.iter().map(|lane| lane.key).enumerate();
            let Some((next, _)) = keys().min_by_key(|(place, key)| (*key, *place)) else {
                return Step::Ended;
            };
            let limit = keys()
                .filter(|(place, _)| *place != next)
                // A lane of an earlier file comes first where keys are equal.
                .map(|(place, key)| if place > next { key } else { key.saturating_sub(1) })
                .min();
            if out.start.is_none() {
                out.start = self.position();
            }
            self.lanes[next].take_rows(limit.unwrap_or(u64::MAX), out);
        }
    }

    /// The batch, and where reading resumes after it: in the first of the files that have not ended.
    /// Those after it are read again from their beginnings, and pass over what was applied.
    pub fn finish(&self, out: Merged, otherwise: Position) -> InputBatch {
        let Merged { trades, rejects, left_out, places, start, .. } = out;
        let mut end = self.position().unwrap_or(otherwise);
        if let Some(last) = trades.trade_id.iter().max() {
            end.set_trade_id(end.trade_id().map_or(*last, |before| before.max(*last)));
        }
        let start = start.unwrap_or_else(|| end.clone());
        let mut batch = InputBatch::new(trades, rejects, start, end);
        (batch.left_out, batch.places) = (left_out, places);
        batch
    }

    fn position(&self) -> Option<Position> {
        let first = self.lanes.first()?;
        let is_done = first.row > 0 && first.is_exhausted();
        Some(if is_done { first.batch.end.clone() } else { first.batch.start.clone() })
    }
}

impl MergeInput {
    fn is_exhausted(&self) -> bool {
        self.row >= self.batch.trades.len()
    }

    /// Steps to the first row that was not applied before.
    fn begin(&mut self) {
        let ids = &self.batch.trades.trade_id;
        if let Some(applied) = &self.applied {
            let is_applied = |id: &u64| applied.place(*id, *id) == Place::Repeated;
            while ids.get(self.row).is_some_and(is_applied) {
                self.row += 1;
            }
            if self.row < ids.len() {
                self.applied = None;
            }
            // They stood among rows of the earlier run.
            let is_before = |row: u32| (row as usize) < self.row;
            let rejects = self.batch.rejects.iter();
            self.reject = rejects.take_while(|reject| is_before(reject.row)).count();
            let left_out = self.batch.left_out.iter();
            self.left_out = left_out.take_while(|left_out| is_before(left_out.row)).count();
        }
        self.key = self.key.max(self.batch.trades.trade_id.get(self.row).copied().unwrap_or(0));
    }

    /// Appends rows while their key is at most `limit` and there is room.
    fn take_rows(&mut self, limit: u64, out: &mut Merged) {
        let mut follows = false;
        while !self.is_exhausted() && self.key <= limit && !out.is_full() {
            if self.take_rejects(out) {
                follows = false;
                continue;
            }
            if !follows {
                let (source, line) = self.batch.place_of(self.row);
                let row = u32::try_from(out.trades.len()).unwrap_or(u32::MAX);
                let falls = self.batch.place_falls(self.row);
                out.places.push(RowPlace { row, source, line, falls });
                follows = true;
            }
            out.trades.push(&self.batch.trades.trade(self.row));
            self.row += 1;
            if let Some(id) = self.batch.trades.trade_id.get(self.row) {
                self.key = self.key.max(*id);
            }
        }
    }

    /// Appends the rows that are not trades and stand before the next one.
    fn take_rejects(&mut self, out: &mut Merged) -> bool {
        let before = (self.reject, self.left_out);
        while let Some(left_out) = self.batch.left_out.get(self.left_out)
            && left_out.row as usize <= self.row
        {
            let row = u32::try_from(out.trades.len()).unwrap_or(u32::MAX);
            out.left_out.push(LeftOut { row, ..left_out.clone() });
            self.left_out += 1;
        }
        while let Some(reject) = self.batch.rejects.get(self.reject)
            && reject.row as usize <= self.row
        {
            let row = u32::try_from(out.trades.len()).unwrap_or(u32::MAX);
            let source = Arc::clone(&reject.source);
            out.rejects.push(Reject { row, source, ..reject.clone() });
            self.reject += 1;
        }
        (self.reject, self.left_out) > before
    }
}

/// Where a file begins by id and by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Id of its first trade.
    pub id: u64,
    /// Event time of its first trade, ns.
    pub time: i64,
}

/// By how much times may disagree with the order of ids, ns.
const GRACE_NS: i64 = 5_000_000_000;

/// Whether a file that begins there overlaps with one whose next rows are these, after the row
/// `before` (its id and time).
///
/// Its first id has to lie among theirs at the same time: where ids have begun again, a later file
/// begins with lower ids, but the rows here that have such ids are older.
pub fn overlaps(batch: &TradeBatch, before: Option<(u64, i64)>, other: Beginning) -> bool {
    let Some(row) = batch.trade_id.iter().position(|id| *id >= other.id) else { return false };
    let after = batch.event_time[row];
    let last = match row.checked_sub(1) {
        Some(last) => Some((batch.trade_id[last], batch.event_time[last])),
        None => before,
    };
    match last {
        // Its place has passed already.
        Some((id, time)) if id >= other.id => time > other.time,
        Some((_, time)) => {
            time <= other.time.saturating_add(GRACE_NS)
                && other.time <= after.saturating_add(GRACE_NS)
        }
        None => other.time <= after,
    }
}

#[cfg(test)]
mod tests;
