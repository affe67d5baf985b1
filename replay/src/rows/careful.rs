//! The careful path: every layout, every spelling, and a name for whatever is wrong.

use std::sync::Arc;

use barflow_operators::input_batch::Reject;
use barflow_operators::trade::{Aggressor, Trade};
use barflow_operators::validation;

use super::{Layout, Output, Quote, RawRow, RowRules, SUSPICIOUS, mapped, text};
use crate::binance;
use crate::columns::read::Wrong;
use crate::sniff::is_header;

/// Longest text kept of a bad row.
const RAW_KEPT: usize = 4096;

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

/// Reads the line at `at`; returns where the next one starts. Blank lines are passed over.
pub fn read_line(
    rules: &RowRules,
    bytes: &[u8],
    at: usize,
    end: usize,
    out: &mut Output<'_>,
) -> usize {
    let newline = memchr::memchr(b'\n', &bytes[at..end]).map_or(end, |place| at + place);
    let line = &bytes[at..newline];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.iter().all(u8::is_ascii_whitespace) {
        let read = read_row(rules, line);
        let raw = || text(&line[..line.len().min(RAW_KEPT)]);
        match read {
            Err(wrong) => {
                // Files that were joined end to end repeat their header.
                let header = text(line);
                let header = header.trim();
                if !rules.format.is_own_header(header) {
                    let other = is_header(header).then(|| other_header(header));
                    settle(rules, Err(other.unwrap_or(wrong)), raw, out);
                }
            }
            Ok(row) => settle(rules, Ok(row), raw, out),
        }
    }
    out.line += 1;
    newline + 1
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
            if is_ordinal(&rules.format.layout) {
                trade.trade_id = *out.ordinal;
                *out.ordinal += 1;
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

/// Whether rows of this layout are numbered by us.
pub fn is_ordinal(layout: &Layout) -> bool {
    match layout {
        Layout::Kraken | Layout::Lean { .. } => true,
        Layout::Mapped(columns) => columns.id.is_none(),
        Layout::Trades { .. } | Layout::AggTrades { .. } => false,
    }
}

/// A header amid the rows that is not the file's own.
fn other_header(header: &str) -> Wrong {
    let reason = "a header amid the rows that is not the file's first; the rows after it may have \
                  other columns";
    Wrong { field: "row", value: header.to_owned(), reason: reason.to_owned() }
}

/// A row of too few or too many fields.
pub(super) fn wrong_width(found: usize, expected: usize) -> Wrong {
    let few = if found < expected { "few" } else { "many" };
    Wrong {
        field: "row",
        value: format!("{found} fields"),
        reason: format!("too {few} fields: {expected} are expected"),
    }
}

fn read_row(rules: &RowRules, line: &[u8]) -> Result<Row, Wrong> {
    let format = &rules.format;
    if let Layout::Mapped(columns) = &format.layout {
        return mapped::line(rules, columns, line);
    }
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b',').collect();
    let columns = format.layout.columns();
    if fields.len() != columns {
        return Err(wrong_width(fields.len(), columns));
    }
    let names = names(rules);
    let row = match &format.layout {
        Layout::Mapped(columns) => return mapped::line(rules, columns, line),
        Layout::Trades { .. } => RawRow {
            id: integer(names[0], fields[0])?,
            price: number(names[1], fields[1])?,
            qty: number(names[2], fields[2])?,
            quote: number(names[3], fields[3])?,
            time: integer(names[4], fields[4])?,
            aggressor: side(names[5], fields[5])?,
            count: 1,
        },
        Layout::AggTrades { .. } => {
            let first = integer(names[3], fields[3])?;
            let last = integer(names[4], fields[4])?;
            let count = last.checked_sub(first).and_then(|n| u32::try_from(n).ok()?.checked_add(1));
            let Some(count) = count else {
                let reason = format!("not a range of ids with first_trade_id {first}");
                return Err(Wrong { field: names[4], value: text(fields[4]), reason });
            };
            RawRow {
                id: integer(names[0], fields[0])?,
                price: number(names[1], fields[1])?,
                qty: number(names[2], fields[2])?,
                quote: 0.0,
                time: integer(names[5], fields[5])?,
                aggressor: side(names[6], fields[6])?,
                count,
            }
        }
        Layout::Kraken => RawRow {
            id: 0,
            price: number(names[1], fields[1])?,
            qty: number(names[2], fields[2])?,
            quote: 0.0,
            // Seconds, in newer files with decimals: kept as the file's unit, 1 ns.
            time: seconds(names[0], fields[0])?,
            aggressor: Aggressor::Unknown,
            count: 1,
        },
        Layout::Lean { .. } => RawRow {
            id: 0,
            price: number(names[1], fields[1])? / 10_000.0,
            qty: number(names[2], fields[2])?,
            quote: 0.0,
            time: integer(names[0], fields[0])?,
            aggressor: Aggressor::Unknown,
            count: 1,
        },
    };
    if let Layout::Trades { columns: 7 } = &format.layout {
        side(names[6], fields[6])?;
    }
    if let Layout::AggTrades { columns: 8 } = &format.layout {
        side(names[7], fields[7])?;
    }
    let suspicious = match &format.layout {
        Layout::Lean { .. } => flag(names[5], fields[5])?,
        _ => false,
    };
    judge(rules, &row, true, suspicious).map_err(|defect| {
        let place = names.iter().position(|name| *name == defect.field);
        let value = match place {
            Some(place) => text(fields[place]),
            None => text(line),
        };
        Wrong { field: defect.field, value, reason: defect.reason.to_owned() }
    })
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

fn names(rules: &RowRules) -> &'static [&'static str] {
    match &rules.format.layout {
        Layout::Trades { .. } if matches!(rules.format.quote, Quote::Inverse { .. }) => {
            &["trade_id", "price", "qty", "base_qty", "time", "is_buyer_maker", "is_best_match"]
        }
        Layout::Trades { .. } => {
            &["trade_id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"]
        }
        Layout::AggTrades { .. } => &[
            "agg_trade_id",
            "price",
            "qty",
            "first_trade_id",
            "last_trade_id",
            "time",
            "is_buyer_maker",
            "is_best_match",
        ],
        Layout::Kraken | Layout::Mapped(_) => &["time", "price", "qty"],
        Layout::Lean { .. } => {
            &["time", "price", "qty", "exchange", "sale_condition", "suspicious"]
        }
    }
}

fn integer(field: &'static str, bytes: &[u8]) -> Result<u64, Wrong> {
    let digits = bytes.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let value = if plain { text(digits).parse().ok() } else { None };
    value.ok_or_else(|| Wrong {
        field,
        value: text(bytes),
        reason: "not a whole number of at least 0".to_owned(),
    })
}

fn number(field: &'static str, bytes: &[u8]) -> Result<f64, Wrong> {
    let digits = bytes.trim_ascii();
    // "inf", "nan" and the like are numbers to some parsers and never a price.
    let valid = |byte: &u8| byte.is_ascii_digit() || b".-+eE".contains(byte);
    let value = if digits.iter().all(valid) { fast_float2::parse(digits).ok() } else { None };
    value.ok_or_else(|| Wrong {
        field,
        value: text(bytes),
        reason: "not a decimal number".to_owned(),
    })
}

fn seconds(field: &'static str, bytes: &[u8]) -> Result<u64, Wrong> {
    let wrong = || Wrong {
        field,
        value: text(bytes),
        reason: "not a number of seconds since 1970".to_owned(),
    };
    let mut parts = bytes.trim_ascii().splitn(2, |byte| *byte == b'.');
    let whole = integer(field, parts.next().unwrap_or_default()).map_err(|_| wrong())?;
    let fraction = parts.next().unwrap_or(b"0");
    if fraction.is_empty() || fraction.len() > 9 {
        return Err(wrong());
    }
    let scale = 10u64.pow(9 - fraction.len() as u32);
    let fraction = integer(field, fraction).map_err(|_| wrong())? * scale;
    whole.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(fraction)).ok_or_else(wrong)
}

fn side(field: &'static str, bytes: &[u8]) -> Result<Aggressor, Wrong> {
    match bytes.trim_ascii() {
        b"True" | b"true" | b"TRUE" | b"1" => Ok(Aggressor::Seller),
        b"False" | b"false" | b"FALSE" | b"0" => Ok(Aggressor::Buyer),
        _ => Err(Wrong { field, value: text(bytes), reason: "not True or False".to_owned() }),
    }
}

fn flag(field: &'static str, bytes: &[u8]) -> Result<bool, Wrong> {
    match bytes.trim_ascii() {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(Wrong { field, value: text(bytes), reason: "not 0 or 1".to_owned() }),
    }
}
