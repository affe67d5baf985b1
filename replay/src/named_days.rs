//! Files without ids whose names say that they are of different days.
//!
//! To compare them before they are read would mean to decode each of them twice, so their names are
//! believed; but a row that stands at the beginning of the next file as well would count twice.

use barflow_operators::input_batch::InputBatch;
use barflow_operators::trade::Trade;

use crate::error::ReplayError;
use crate::plan::PlannedFile;

/// Checks that none of the rows that a file brought is one of the first of the next file.
///
/// # Errors
/// At the first such row, naming its line.
pub fn check(file: &PlannedFile, batch: &InputBatch) -> Result<(), ReplayError> {
    let Some(row) = first_shared(&file.next_rows, batch) else { return Ok(()) };
    let (source, line) = batch.place_of(row);
    Err(ReplayError::Mixed(format!(
        "{source}, line {line}: the next file begins with the same trade, and rows without ids have \
         nothing else to tell repeats by: cut the files so that they do not overlap"
    )))
}

fn first_shared(next: &[Trade], batch: &InputBatch) -> Option<usize> {
    let earliest = next.iter().map(|trade| trade.event_time).min()?;
    let times = &batch.trades.event_time;
    // Nearly always none is as late.
    if times.iter().all(|time| *time < earliest) {
        return None;
    }
    let is_there = |row: &usize| {
        let ours = Trade { trade_id: 0, ..batch.trades.trade(*row) };
        times[*row] >= earliest && next.iter().any(|next| Trade { trade_id: 0, ..*next } == ours)
    };
    (0..times.len()).find(is_there)
}
