//! The careful path: every layout, every spelling, and a name for whatever is wrong.

use barflow_operators::trade::Aggressor;

use super::header::names_columns;
use super::judge::{Row, judge, settle, wrong_width};
use super::{Layout, Output, Quote, RawRow, RowRules, mapped, text};
use crate::columns::read::Wrong;

/// Longest text kept of a bad row.
const RAW_KEPT: usize = 4096;

/// Reads the line at `at`; returns where the next one starts. Blank lines are passed over. A header of
/// other columns ends the reading there.
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
    // Files that were joined end to end may each begin with a byte order mark.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    if !line.iter().all(u8::is_ascii_whitespace) {
        let read = read_row(rules, line);
        let raw = || match line.get(..RAW_KEPT) {
            Some(kept) if line.len() > RAW_KEPT => {
                format!("{}… ({} bytes)", text(kept), line.len())
            }
            _ => text(line),
        };
        match read {
            Err(wrong) => {
                // Files that were joined end to end repeat their header.
                let header = text(line);
                let header = header.trim();
                if !rules.format.is_own_header(header) {
                    if names_columns(header) {
                        out.other_header = true;
                        return at;
                    }
                    settle(rules, Err(wrong), raw, out);
                }
            }
            Ok(row) => settle(rules, Ok(row), raw, out),
        }
    }
    out.line += 1;
    newline + 1
}

fn read_row(rules: &RowRules, line: &[u8]) -> Result<Row, Wrong> {
    match &rules.format.layout {
        Layout::Mapped(columns) => mapped::line(rules, columns, line),
        Layout::Trades { .. } => by_place(rules, line, trade),
        Layout::AggTrades { .. } => by_place(rules, line, agg_trade),
        Layout::Kraken => by_place(rules, line, kraken),
        Layout::Lean { terms, .. } => by_place(rules, line, |fields| lean(fields, terms.scaled)),
    }
}

/// Reads a line whose fields stand where its layout has them.
fn by_place(
    rules: &RowRules,
    line: &[u8],
    read: impl Fn(&Fields<'_>) -> Result<Read, Wrong>,
) -> Result<Row, Wrong> {
    let texts: Vec<&[u8]> = line.split(|byte| *byte == b',').collect();
    let columns = rules.format.layout.columns();
    if texts.len() != columns {
        return Err(wrong_width(texts.len(), columns));
    }
    let fields = Fields { names: names(rules), texts };
    let Read { row, suspicious } = read(&fields)?;
    judge(rules, &row, true, suspicious).map_err(|defect| {
        // "agg_trade_id" is the "trade_id" of its rows.
        let place = fields.names.iter().position(|name| name.ends_with(defect.field));
        let (field, value) = match place {
            Some(place) => (fields.names[place], text(fields.texts[place])),
            None => (defect.field, text(line)),
        };
        Wrong { field, value, reason: defect.reason.to_owned() }
    })
}

/// The fields of a line, as many as its layout has.
struct Fields<'a> {
    names: &'static [&'static str],
    texts: Vec<&'a [u8]>,
}

/// A row, and whether its source says that it is doubtful.
struct Read {
    row: RawRow,
    suspicious: bool,
}

impl From<RawRow> for Read {
    fn from(row: RawRow) -> Self {
        Self { row, suspicious: false }
    }
}

fn trade(fields: &Fields<'_>) -> Result<Read, Wrong> {
    let row = RawRow {
        id: fields.integer(0)?,
        price: fields.number(1)?,
        qty: fields.number(2)?,
        quote: fields.number(3)?,
        time: fields.integer(4)?,
        aggressor: fields.side(5)?,
        count: 1,
    };
    if fields.texts.len() == 7 {
        fields.side(6)?;
    }
    Ok(row.into())
}

fn agg_trade(fields: &Fields<'_>) -> Result<Read, Wrong> {
    let first = fields.integer(3)?;
    let last = fields.integer(4)?;
    let count = last.checked_sub(first).and_then(|n| u32::try_from(n).ok()?.checked_add(1));
    let Some(count) = count else {
        return Err(fields.wrong(4, format!("not a range of ids with first_trade_id {first}")));
    };
    let row = RawRow {
        id: fields.integer(0)?,
        price: fields.number(1)?,
        qty: fields.number(2)?,
        quote: 0.0,
        time: fields.integer(5)?,
        aggressor: fields.side(6)?,
        count,
    };
    if fields.texts.len() == 8 {
        fields.side(7)?;
    }
    Ok(row.into())
}

fn kraken(fields: &Fields<'_>) -> Result<Read, Wrong> {
    let row = RawRow {
        id: 0,
        price: fields.number(1)?,
        qty: fields.number(2)?,
        quote: 0.0,
        // Seconds, in newer files with decimals: kept as the file's unit, 1 ns.
        time: fields.seconds(0)?,
        aggressor: Aggressor::Unknown,
        count: 1,
    };
    Ok(row.into())
}

fn lean(fields: &Fields<'_>, scaled: bool) -> Result<Read, Wrong> {
    let price = match scaled {
        true => integer(fields.texts[1]).map(|price| price as f64 / 10_000.0).ok_or_else(|| {
            fields.wrong(1, "not a whole number: prices of this market are in ten-thousandths")
        })?,
        false => fields.number(1)?,
    };
    let row = RawRow {
        id: 0,
        price,
        qty: fields.number(2)?,
        quote: 0.0,
        time: fields.integer(0)?,
        aggressor: Aggressor::Unknown,
        count: 1,
    };
    Ok(Read { row, suspicious: fields.flag(5)? })
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

impl Fields<'_> {
    fn wrong(&self, at: usize, reason: impl Into<String>) -> Wrong {
        Wrong { field: self.names[at], value: text(self.texts[at]), reason: reason.into() }
    }

    fn integer(&self, at: usize) -> Result<u64, Wrong> {
        integer(self.texts[at]).ok_or_else(|| self.wrong(at, "not a whole number of at least 0"))
    }

    fn number(&self, at: usize) -> Result<f64, Wrong> {
        let digits = self.texts[at].trim_ascii();
        // "inf", "nan" and the like are numbers to some parsers and never a price.
        let valid = |byte: &u8| byte.is_ascii_digit() || b".-+eE".contains(byte);
        let value = if digits.iter().all(valid) { fast_float2::parse(digits).ok() } else { None };
        value.ok_or_else(|| self.wrong(at, "not a decimal number"))
    }

    fn seconds(&self, at: usize) -> Result<u64, Wrong> {
        seconds(self.texts[at]).ok_or_else(|| self.wrong(at, "not a number of seconds since 1970"))
    }

    fn side(&self, at: usize) -> Result<Aggressor, Wrong> {
        match self.texts[at].trim_ascii() {
            b"True" | b"true" | b"TRUE" | b"1" => Ok(Aggressor::Seller),
            b"False" | b"false" | b"FALSE" | b"0" => Ok(Aggressor::Buyer),
            _ => Err(self.wrong(at, "not True or False")),
        }
    }

    fn flag(&self, at: usize) -> Result<bool, Wrong> {
        match self.texts[at].trim_ascii() {
            b"0" => Ok(false),
            b"1" => Ok(true),
            _ => Err(self.wrong(at, "not 0 or 1")),
        }
    }
}

fn integer(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if plain { text(digits).parse().ok() } else { None }
}

/// Seconds with up to nine decimals, in ns.
fn seconds(bytes: &[u8]) -> Option<u64> {
    let mut parts = bytes.trim_ascii().splitn(2, |byte| *byte == b'.');
    let whole = integer(parts.next().unwrap_or_default())?;
    let fraction = parts.next().unwrap_or(b"0");
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10u64.pow(9 - fraction.len() as u32);
    let fraction = integer(fraction)? * scale;
    whole.checked_mul(1_000_000_000)?.checked_add(fraction)
}
