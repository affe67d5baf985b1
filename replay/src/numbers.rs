//! Numbers of rows that have no ids of their own.

use barflow_operators::input_batch::InputBatch;

use crate::error::ReplayError;

/// Rows without ids of their own have been numbered from 1 in each run that kept them: those of a
/// later file continue after the last one.
pub(crate) fn number_after(last: Option<u64>, batch: &mut InputBatch) {
    let ids = &mut batch.trades.trade_id;
    let Some((last, first)) = last.zip(ids.first().copied()).filter(|(last, first)| first <= last)
    else {
        return;
    };
    let shift = last - first + 1;
    ids.iter_mut().for_each(|id| *id = id.saturating_add(shift));
    if let Some(id) = ids.last() {
        batch.end.set_trade_id(*id);
    }
}

/// Rows without ids are numbered up to the last but one number, so that there is one after each.
///
/// # Errors
/// When the number is the last.
pub(crate) fn has_numbers_after(number: u64) -> Result<(), ReplayError> {
    match number {
        u64::MAX => Err(ReplayError::Resume(format!("no row can be numbered after {number}"))),
        _ => Ok(()),
    }
}
