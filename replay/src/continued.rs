//! What a stream tells a later run of what it has read, and how it continues an earlier one.

use barflow_operators::input_batch::InputBatch;
use barflow_operators::position::Position;
use barflow_operators::read_before::LastRows;
use barflow_operators::sequence::FAR_APART;
use jiff::Timestamp;

use crate::error::ReplayError;
use crate::plan::{FileKind, PlannedFile};

/// Tells the positions of a batch what was read before them; `last_rows` are those before the batch,
/// and become those before its end.
pub(crate) fn mark(batch: &mut InputBatch, file: &PlannedFile, last_rows: &mut Option<LastRows>) {
    let InputBatch { trades, start, end, .. } = batch;
    let (Position::File(start), Position::File(end)) = (start, end) else { return };
    for at in [&mut *start, &mut *end] {
        at.files_read = file.files_read.clone();
    }
    start.last_rows.clone_from(last_rows);
    if let Some(last) = trades.len().checked_sub(1) {
        let begin = (start.member.clone(), start.byte, start.line);
        let ends = (&trades.trade(0), &trades.trade(last));
        *last_rows = Some(LastRows::new(begin, trades.len() as u64, ends));
    }
    end.last_rows.clone_from(last_rows);
}

/// Whether rows of a batch were passed over, because nobody wants them, or as they are empty.
pub(crate) fn passes_over(batch: &InputBatch, kind: &FileKind) -> bool {
    let taken = match kind {
        FileKind::Parquet => batch.trades.len(),
        _ => batch.trades.len() + batch.rejects.len() + batch.left_out.len(),
    };
    batch.end.line().saturating_sub(batch.start.line()) > taken as u64
}

/// Watches whether time continues in the trades after those that an earlier run applied. A wrong time in
/// its last row, which no row behind it contradicted, is known by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Continues {
    /// Of the last trade applied.
    id: u64,
    time: i64,
    /// Whether its id is the number of its row, which another row has in a file that was changed.
    numbered: bool,
    seen: usize,
    lie_before: usize,
}

/// Trades that are looked at, of which most decide, as in one run.
const VOTERS: usize = 5;

impl Continues {
    /// After this trade.
    pub(crate) fn after(id: u64, time: i64, numbered: bool) -> Self {
        Self { id, time, numbered, seen: 0, lie_before: 0 }
    }

    /// Takes the next trades; whether all are seen that decide.
    ///
    /// # Errors
    /// When most of them lie far before the last trade applied, or another row has its number.
    pub(crate) fn check(&mut self, batch: &InputBatch) -> Result<bool, ReplayError> {
        let trades = &batch.trades;
        for (row, (id, time)) in trades.trade_id.iter().zip(&trades.event_time).enumerate() {
            if *id == self.id && *time != self.time && self.numbered {
                return Err(self.another(batch, row));
            }
            if *id <= self.id {
                continue;
            }
            self.seen += 1;
            self.lie_before += usize::from(self.time.saturating_sub(*time) > FAR_APART);
            if self.lie_before > VOTERS / 2 {
                return Err(self.stray(batch, row));
            }
            if self.seen == VOTERS {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn another(&self, batch: &InputBatch, row: usize) -> ReplayError {
        let (source, line) = batch.place_of(row);
        ReplayError::Resume(format!(
            "{source}:{line} has the time {}, but the row that the job read there has {}: its rows were \
             changed, and have no ids to resume by. Give that file with the rows as they were up to \
             there, or make all bars again (--reset-state)",
            shown(batch.trades.event_time[row]),
            shown(self.time)
        ))
    }

    fn stray(&self, batch: &InputBatch, row: usize) -> ReplayError {
        let (source, line) = batch.place_of(row);
        ReplayError::Resume(format!(
            "the last trade that the job has applied, {}, has the time {}, but the trades after it have \
             {} ({source}:{line}): it was a wrong one, and bars would wait for it. Correct that row or \
             take it out, and make all bars again (--reset-state)",
            self.id,
            shown(self.time),
            shown(batch.trades.event_time[row])
        ))
    }
}

fn shown(ns: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(ns));
    time.map_or_else(|_| ns.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use barflow_operators::batch::{Feed, TradeBatch};
    use barflow_operators::position::FilePosition;
    use barflow_operators::trade::{Aggressor, Trade};

    use super::*;
    use crate::decode::Container;

    /// Trades of these ids and minutes, on lines from 2 to before `end`.
    fn batch(trades: &[(u64, i64)], end: u64) -> InputBatch {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        let trade = |(trade_id, minute): &(u64, i64)| {
            let (price, qty, quote, count) = (1.0, 1.0, 1.0, 1);
            let (event_time, aggressor) = (minute * 60_000_000_000, Aggressor::Buyer);
            Trade { trade_id: *trade_id, event_time, price, qty, quote, aggressor, count }
        };
        let trades: Vec<Trade> = trades.iter().map(trade).collect();
        let at = |line| FilePosition { line, ..FilePosition::start("file".into()) }.into();
        InputBatch::new(TradeBatch::from_trades(feed, &trades), Vec::new(), at(2), at(end))
    }

    fn after_ten() -> Continues {
        Continues::after(10, 1000 * 60_000_000_000, false)
    }

    #[test]
    fn most_of_the_next_trades_say_whether_the_last_one_was_wrong() {
        let error = after_ten().check(&batch(&[(11, 5), (12, 1000), (13, 6), (14, 7)], 6));
        assert!(error.unwrap_err().to_string().contains("(file:5)"));
        // A late print or two, and times that are less than ten minutes before.
        let late = batch(&[(11, 5), (12, 5), (13, 1000), (14, 995), (15, 991)], 7);
        assert!(after_ten().check(&late).unwrap());
        // Those before it say nothing: they come again.
        let mut continues = after_ten();
        assert!(!continues.check(&batch(&[(7, 1), (8, 2), (9, 3), (10, 4)], 6)).unwrap());
        assert!(!continues.check(&batch(&[(11, 5), (12, 6)], 4)).unwrap());
        assert!(continues.check(&batch(&[(13, 7)], 3)).is_err());
    }

    #[test]
    fn a_number_is_that_of_the_row_that_was_read() {
        let read = batch(&[(9, 999), (10, 1000), (11, 1001)], 5);
        let other = batch(&[(9, 999), (10, 1001), (11, 1001)], 5);
        let after = |numbered| Continues { numbered, ..after_ten() };
        assert!(after(true).check(&read).is_ok() && after(false).check(&other).is_ok());
        let error = after(true).check(&other).unwrap_err().to_string();
        assert!(error.contains("file:3 has the time"), "{error}");
    }

    #[test]
    fn positions_tell_the_rows_before_them() {
        let (path, kind) = (Path::new("file"), FileKind::Parquet);
        let file = PlannedFile::whole(path, Container::Plain, kind.clone(), 0, 1);
        let mut last = None;
        let mut first = batch(&[(1, 1), (2, 2)], 4);
        mark(&mut first, &file, &mut last);
        assert_eq!(first.start.file().unwrap().last_rows, None);
        let rows = first.end.file().unwrap().last_rows.clone().unwrap();
        assert_eq!((rows.line, rows.trades), (2, 2));
        assert!(rows.are((&first.trades.trade(0), &first.trades.trade(1))));
        assert!(!rows.are((&first.trades.trade(0), &first.trades.trade(0))));
        // Rows without a trade leave them.
        let mut none = batch(&[], 9);
        mark(&mut none, &file, &mut last);
        assert_eq!(none.end.file().unwrap().last_rows, Some(rows));
        assert!(!passes_over(&first, &kind) && passes_over(&none, &kind));
    }
}
