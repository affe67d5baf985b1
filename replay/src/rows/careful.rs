//! The careful path: every layout, every spelling, and a name for whatever is wrong.

use std::sync::Arc;

use barflow_operators::input_batch::Reject;
use barflow_operators::trade::{Aggressor, Trade};
use barflow_operators::validation;

use super::{Layout, Output, Quote, RawRow, RowRules, SUSPICIOUS};
use crate::binance;

/// Longest text kept of a bad row.
const RAW_KEPT: usize = 4096;

/// What a valid row is.
enum Row {
    Trade(Trade),
    LeftOut { id: Option<u64>, event_time: i64, reason: &'static str },
}

struct Wrong {
    field: &'static str,
    value: String,
    reason: String,
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
        match read_row(rules, line) {
            Ok(Row::Trade(mut trade)) => {
                if is_ordinal(rules.format.layout) {
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
                raw: text(&line[..line.len().min(RAW_KEPT)]),
            }),
        }
    }
    out.line += 1;
    newline + 1
}

/// Whether rows of this layout are numbered by us.
pub fn is_ordinal(layout: Layout) -> bool {
    matches!(layout, Layout::Kraken | Layout::Lean { .. })
}

fn read_row(rules: &RowRules, line: &[u8]) -> Result<Row, Wrong> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b',').collect();
    let format = &rules.format;
    let columns = format.layout.columns();
    if fields.len() != columns {
        let few = if fields.len() < columns { "few" } else { "many" };
        return Err(Wrong {
            field: "row",
            value: format!("{} fields", fields.len()),
            reason: format!("too {few} fields: {columns} are expected"),
        });
    }
    let names = names(rules);
    let row = match format.layout {
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
        Layout::Tardis => RawRow {
            id: integer(names[4], fields[4])?,
            price: number(names[6], fields[6])?,
            qty: number(names[7], fields[7])?,
            quote: 0.0,
            time: integer(names[2], fields[2])?,
            aggressor: taker(names[5], fields[5])?,
            count: 1,
        },
    };
    if let Some(market) = &format.market {
        same_market(market, fields[0], fields[1])?;
    }
    if let Layout::Trades { columns: 7 } = format.layout {
        side(names[6], fields[6])?;
    }
    if let Layout::AggTrades { columns: 8 } = format.layout {
        side(names[7], fields[7])?;
    }
    let suspicious = match format.layout {
        Layout::Lean { .. } => flag(names[5], fields[5])?,
        _ => false,
    };
    judge(rules, &row, suspicious).map_err(|defect| {
        let place = names.iter().position(|name| *name == defect.field);
        let value = match place {
            Some(place) => text(fields[place]),
            None => text(line),
        };
        Wrong { field: defect.field, value, reason: defect.reason.to_owned() }
    })
}

/// What a row of these values is.
fn judge(rules: &RowRules, row: &RawRow, suspicious: bool) -> Result<Row, validation::Defect> {
    let exclude = rules.format.exclude;
    if exclude.zero_qty && binance::is_not_a_trade(row.qty) {
        let event_time = rules.event_time(row);
        // Everything else about it has to be valid; mostly its price is 0 as well.
        let price = if row.price == 0.0 { 1.0 } else { row.price };
        validation::check(price, 1.0, price, event_time)?;
        let (id, reason) = (Some(row.id), binance::QTY_ZERO);
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
    match rules.format.layout {
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
        Layout::Kraken => &["time", "price", "qty"],
        Layout::Lean { .. } => {
            &["time", "price", "qty", "exchange", "sale_condition", "suspicious"]
        }
        Layout::Tardis => {
            &["exchange", "symbol", "time", "local_timestamp", "trade_id", "side", "price", "qty"]
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

fn taker(field: &'static str, bytes: &[u8]) -> Result<Aggressor, Wrong> {
    match bytes.trim_ascii() {
        b"buy" => Ok(Aggressor::Buyer),
        b"sell" => Ok(Aggressor::Seller),
        b"unknown" => Ok(Aggressor::Unknown),
        _ => {
            let reason = "not buy, sell or unknown".to_owned();
            Err(Wrong { field, value: text(bytes), reason })
        }
    }
}

/// A file is one instrument's: Tardis also sells files of whole groups of symbols, and their
/// prices must not meet in one bar.
fn same_market(market: &str, exchange: &[u8], symbol: &[u8]) -> Result<(), Wrong> {
    let (this, that) = market.split_once(',').unwrap_or((market, ""));
    let (field, value) = if exchange.trim_ascii() != this.as_bytes() {
        ("exchange", exchange)
    } else if symbol.trim_ascii() != that.as_bytes() {
        ("symbol", symbol)
    } else {
        return Ok(());
    };
    let reason = format!("the file started with {market}; a file must contain one instrument");
    Err(Wrong { field, value: text(value), reason })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
