//! Rows whose columns were taken by name.

use std::borrow::Cow;

use super::judge::{Row, judge, wrong_width};
use super::{RowRules, text};
use crate::columns::cell::Cell;
use crate::columns::fields::split;
use crate::columns::market::Market;
use crate::columns::read::{self, Wrong};
use crate::columns::{Columns, Side};

/// Reads a line.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn line(rules: &RowRules, columns: &Columns, line: &[u8]) -> Result<Row, Wrong> {
    let line = String::from_utf8_lossy(line);
    let fields = split(&line, columns.delimiter);
    let expected = columns.names.len();
    if fields.len() != expected {
        return Err(wrong_width(fields.len(), expected));
    }
    cells(rules, columns, |at| Cell::Text(Cow::Borrowed(&fields[at])))
}

/// Reads the cells of a row.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn cells<'a>(
    rules: &RowRules,
    columns: &Columns,
    cell: impl Fn(usize) -> Cell<'a>,
) -> Result<Row, Wrong> {
    // A file is one instrument's: exports of whole groups of symbols exist, and their prices must not meet in
    // one bar.
    let nothing = Market::default();
    let market = rules.format.market.as_deref().unwrap_or(&nothing);
    if let Some((field, value)) = market.other(columns, &cell) {
        return Err(of_another_market(market, field, value));
    }
    let row = read::row(columns, &cell)?;
    judge(rules, &row, columns.id.is_some(), false).map_err(|defect| {
        let at = match defect.field {
            "price" => Some(columns.price),
            "qty" => Some(columns.qty),
            "time" => Some(columns.time),
            "trade_id" => columns.id,
            _ => None,
        };
        let value = at.map_or_else(|| row.quote.to_string(), |at| cell(at).text().into_owned());
        let reason = match (&columns.side, defect.field) {
            // The sign is the side, so what is wrong is that it is 0.
            (Some(Side::SignOfQty), "qty") => "not a number other than 0",
            _ => defect.reason,
        };
        Wrong { field: defect.field, value, reason: reason.to_owned() }
    })
}

fn of_another_market(market: &Market, field: &'static str, value: String) -> Wrong {
    let first = match market.said(field) {
        true => format!("the file started with {market}"),
        false => format!("the file started with rows without a {field}"),
    };
    let mut reason = format!("{first}; a file must contain one instrument");
    if field == "exchange" {
        reason
            .push_str(" (a consolidated tape: name its columns with --columns, and exchange=any)");
    }
    Wrong { field, value, reason }
}

/// The raw text of a row of cells.
pub fn raw<'a>(columns: usize, cell: impl Fn(usize) -> Cell<'a>) -> String {
    let cells: Vec<String> = (0..columns).map(|at| cell(at).text().into_owned()).collect();
    text(cells.join(",").as_bytes())
}
