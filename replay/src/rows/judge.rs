//! What a row is that was read, and where it belongs.

use std::sync::Arc;

use barflow_operators::input_batch::Reject;
use barflow_operators::trade::Trade;
use barflow_operators::validation;

use super::{Output, RawRow, RowRules, SUSPICIOUS};
use crate::binance;
use crate::columns::read::Wrong;

/// What a valid row is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Row {
    /// A trade.
    Trade(Trade),
    /// Not a trade, by rule.
    LeftOut {
        /// Its id; none where the source has none.
        id: Option<u64>,
        /// When.
        event_time: i64,
        /// Which rule.
        reason: &'static str,
    },
}

/// What a row of these values is.
pub(super) fn judge(
    rules: &RowRules,
    row: &RawRow,
    with_id: bool,
    suspicious: bool,
) -> Result<Row, validation::Defect> {
    let exclude = rules.format.exclude;
    if exclude.zero_qty && binance::is_not_a_trade(row.qty) {
        let event_time = rules.event_time(row);
        // Everything else about it has to be valid; mostly its price is 0 as well.
        let price = if row.price == 0.0 { 1.0 } else { row.price };
        validation::check(price, 1.0, price, event_time)?;
        validation::check_id(row.id)?;
        let (id, reason) = (with_id.then_some(row.id), binance::QTY_ZERO);
        return Ok(Row::LeftOut { id, event_time, reason });
    }
    let trade = rules.judge(row)?;
    if suspicious && exclude.suspicious {
        let event_time = trade.event_time;
        return Ok(Row::LeftOut { id: None, event_time, reason: SUSPICIOUS });
    }
    Ok(Row::Trade(trade))
}

/// Puts what was read of a row to where it belongs.
pub fn settle(
    rules: &RowRules,
    read: Result<Row, Wrong>,
    raw: impl FnOnce() -> String,
    out: &mut Output<'_>,
) {
    match read {
        Ok(Row::Trade(mut trade)) => {
            if rules.format.layout.is_ordinal() {
                trade.trade_id = *out.ordinal;
                *out.ordinal = out.ordinal.saturating_add(1);
                out.watch(rules, trade.event_time, raw);
            }
            out.take(rules, &trade);
        }
        Ok(Row::LeftOut { id, event_time, reason }) => {
            if rules.wants(event_time) {
                out.leave_out(id, reason);
            }
        }
        Err(wrong) => out.rejects.push(Reject {
            row: out.batch.len() as u32,
            source: Arc::clone(out.source),
            line: out.line,
            field: wrong.field.to_owned(),
            value: wrong.value,
            reason: wrong.reason,
            raw: raw(),
        }),
    }
}

/// A row of too few or too many fields.
pub(super) fn wrong_width(found: usize, expected: usize) -> Wrong {
    let few = if found < expected { "few" } else { "many" };
    Wrong {
        field: "row",
        value: format!("{found} field{}", if found == 1 { "" } else { "s" }),
        reason: format!("too {few} fields: {expected} are expected"),
    }
}
