//! Corrections of a history, from a CSV file.
//!
//! ```text
//! action,trade_id,time,price,qty,side
//! remove,4711,,,,
//! replace,4712,2024-03-01T00:00:01.250Z,61234.5,0.25,buy
//! add,4720,1709251201300000000,61235,0.01,sell
//! ```
//!
//! Columns are found by their names. Others that may be there: `instrument` (needed where the run
//! has several), `quote` (quote value; price × qty if not given, for inverse contracts from their
//! size), `count` (trades underlying the row; 1) and `known_after` (id of the trade after which the
//! correction becomes known; at once if not given).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Take};
use std::path::Path;

use barflow_operators::excerpt::excerpt;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::revision::{Change, Correction};
use barflow_operators::trade::{Aggressor, Trade};
use barflow_operators::validation;
use serde::Deserialize;

use crate::error::ReplayError;
use crate::progress::StopFlag;
use crate::rows::Quote;
use crate::spool;

/// Corrections by instrument, as the file lists them.
pub type Corrections = BTreeMap<InstrumentId, Vec<Correction>>;

/// What the file leaves unsaid about an instrument's trades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How the quote value of a trade is formed.
    pub quote: Quote,
    /// Whether trades tell the aggressor.
    pub has_aggressor: bool,
}

/// A row of the file; all text, so that a wrong field can be named.
#[derive(Debug, Deserialize)]
struct Row {
    action: String,
    trade_id: String,
    #[serde(default)]
    instrument: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    price: String,
    #[serde(default)]
    qty: String,
    #[serde(default)]
    side: String,
    #[serde(default)]
    quote: String,
    #[serde(default)]
    count: String,
    #[serde(default)]
    known_after: String,
}

/// A field that is wrong, and why.
struct Wrong {
    field: &'static str,
    value: String,
    reason: String,
}

/// Bytes of a file of corrections that are read: room for a million of them.
const LONGEST: u64 = 64 << 20;

/// Reads a pipe to its end, once: afterwards it is read as often as any file.
///
/// # Errors
/// When it cannot be read, and when `stop` is raised before its end.
pub fn take(path: &Path, stop: &StopFlag) -> Result<(), ReplayError> {
    let there = std::fs::metadata(path).map_err(|e| ReplayError::io("read", path, e))?;
    if there.is_file() || there.is_dir() { Ok(()) } else { spool::take(path, LONGEST, stop) }
}

/// Opens a file of corrections.
///
/// # Errors
/// When it cannot be opened, or is too long.
pub fn open(path: &Path) -> Result<Take<File>, ReplayError> {
    let disk = |e| ReplayError::io("read", path, e);
    let file = spool::open(path).map_err(disk)?;
    let bytes = file.metadata().map_err(disk)?.len();
    if bytes > LONGEST {
        let text = format!(
            "it has {bytes} bytes, and at most {LONGEST} bytes of corrections are read; a history that \
             was corrected so often is better fetched again"
        );
        return Err(ReplayError::layout(path, text));
    }
    Ok(file.take(LONGEST))
}

/// Reads a file. `instruments` are those of the run.
///
/// # Errors
/// When it cannot be read, or a row is not a correction; the line and the field are named. When `stop` is
/// raised before its end.
pub fn read(
    path: &Path,
    instruments: &BTreeMap<InstrumentId, Terms>,
    stop: &StopFlag,
) -> Result<Corrections, ReplayError> {
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(open(path)?);
    let headers = reader.headers().map_err(|error| unreadable(path, error))?.clone();
    if let Some(missing) =
        ["action", "trade_id"].iter().find(|name| !headers.iter().any(|h| h == **name))
    {
        let names = headers.iter().collect::<Vec<_>>().join(",");
        let first = excerpt(&names);
        let text = format!(
            "line 1: it begins with \"{first}\", and not with a header that names a column \"{missing}\"; a file of \
             corrections begins with action,trade_id,time,price,qty,side"
        );
        return Err(ReplayError::layout(path, text));
    }
    let mut corrections = Corrections::new();
    for record in reader.records() {
        if stop.is_raised() {
            return Err(ReplayError::Stopped);
        }
        let record = record.map_err(|error| unreadable(path, error))?;
        let row: Row =
            record.deserialize(Some(&headers)).map_err(|error| unreadable(path, error))?;
        let (instrument, correction) = understand(&row, instruments).map_err(|wrong| {
            let Wrong { field, value, reason } = wrong;
            let line = record.position().map_or(0, csv::Position::line);
            let value = excerpt(&value);
            let text = format!("line {line}: field \"{field}\": {reason}: \"{value}\"");
            ReplayError::layout(path, text)
        })?;
        corrections.entry(instrument).or_default().push(correction);
    }
    Ok(corrections)
}

fn unreadable(path: &Path, error: csv::Error) -> ReplayError {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => ReplayError::io("read", path, source),
        _ => ReplayError::layout(path, text),
    }
}

fn understand(
    row: &Row,
    instruments: &BTreeMap<InstrumentId, Terms>,
) -> Result<(InstrumentId, Correction), Wrong> {
    let wrong = |field, value: &str, reason: &str| Wrong {
        field,
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    let (instrument, terms) = match (row.instrument.as_str(), instruments.len()) {
        ("", 1) => instruments.first_key_value(),
        ("", _) => {
            return Err(wrong("instrument", "", "the run has several instruments; name one"));
        }
        (text, _) => instruments.iter().find(|(id, _)| id.as_str() == text),
    }
    .ok_or_else(|| wrong("instrument", &row.instrument, "no file of this run contains it"))?;
    let whole = |field, text: &str| {
        text.parse::<u64>().map_err(|_| wrong(field, text, "not a whole number"))
    };
    let trade_id = whole("trade_id", &row.trade_id)?;
    let known_after = match row.known_after.as_str() {
        "" => 0,
        text => whole("known_after", text)?,
    };
    let change = match row.action.as_str() {
        "remove" => Change::Remove,
        "add" => Change::Add(trade(row, trade_id, *terms)?),
        "replace" => Change::Replace(trade(row, trade_id, *terms)?),
        other => return Err(wrong("action", other, "not add, remove or replace")),
    };
    Ok((instrument.clone(), Correction { trade_id, change, known_after, known_time: None }))
}

fn trade(row: &Row, trade_id: u64, terms: Terms) -> Result<Trade, Wrong> {
    let wrong = |field, value: &str, reason: &str| Wrong {
        field,
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    let number = |field, text: &str| {
        fast_float2::parse::<f64, _>(text).map_err(|_| wrong(field, text, "not a number"))
    };
    let event_time = time(&row.time).ok_or_else(|| {
        wrong("time", &row.time, "not a time such as 2024-03-01T12:00:00.25Z or ns since 1970")
    })?;
    let price = number("price", &row.price)?;
    let written = number("qty", &row.qty)?;
    let (mut qty, mut value) = (written, price * written);
    if let Quote::Inverse { contract } = terms.quote {
        value = written * contract;
        qty = value / price;
    }
    if !row.quote.is_empty() {
        value = number("quote", &row.quote)?;
    }
    let aggressor = match row.side.as_str() {
        "buy" => Aggressor::Buyer,
        "sell" => Aggressor::Seller,
        "" if !terms.has_aggressor => Aggressor::Unknown,
        other => return Err(wrong("side", other, "not buy or sell")),
    };
    let count = match row.count.as_str() {
        "" => 1,
        text => text.parse().map_err(|_| wrong("count", text, "not a whole number"))?,
    };
    validation::check(price, qty, value, event_time).map_err(|defect| {
        let value = match defect.field {
            "qty" => &row.qty,
            "time" => &row.time,
            _ => &row.price,
        };
        wrong(defect.field, value, defect.reason)
    })?;
    Ok(Trade { trade_id, event_time, price, qty, quote: value, aggressor, count })
}

fn time(text: &str) -> Option<i64> {
    if let Ok(ns) = text.parse::<i64>() {
        return Some(ns);
    }
    i64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Corrections, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let id: InstrumentId = "binance:spot:BTCUSDT".parse().unwrap();
        let terms = Terms { quote: Quote::Product, has_aggressor: true };
        read(file.path(), &BTreeMap::from([(id, terms)]), &StopFlag::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn reading_ends_when_it_is_stopped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "action,trade_id\nremove,7\n").unwrap();
        let raised = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)).into();
        let read = read(file.path(), &BTreeMap::new(), &raised);
        assert!(matches!(read, Err(ReplayError::Stopped)), "{read:?}");
    }

    #[test]
    fn rows_become_corrections() {
        let text = "action, trade_id, time, price, qty, side, known_after\n\
                    # struck by the venue\n\
                    remove,7,,,,,\n\
                    replace,8,2024-01-01T00:00:01Z,2.5,4,sell,\n\
                    add,9,1704067202000000000,2,1,buy,12\n";
        let corrections = read_text(text).unwrap().into_values().next().unwrap();
        assert_eq!(
            corrections[0],
            Correction { trade_id: 7, change: Change::Remove, known_after: 0, known_time: None }
        );
        let Change::Replace(trade) = corrections[1].change else { panic!() };
        assert_eq!((trade.event_time, trade.quote), (1_704_067_201_000_000_000, 10.0));
        assert_eq!(trade.aggressor, Aggressor::Seller);
        assert_eq!((corrections[2].known_after, corrections[2].trade_id), (12, 9));
    }

    #[test]
    fn wrong_rows_name_the_field() {
        for (row, word) in [
            ("delete,7,,,,", "line 2: field \"action\": not add, remove or replace"),
            ("remove,x,,,,", "field \"trade_id\": not a whole number: \"x\""),
            ("add,7,yesterday,1,1,buy", "field \"time\""),
            ("add,7,0,1,1,long", "field \"side\""),
            ("add,7,0,-1,1,buy", "field \"price\""),
            ("add,7,0,1", "found record with 4 fields"),
        ] {
            let text = format!("action,trade_id,time,price,qty,side\n{row}\n");
            let error = read_text(&text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let error = read_text("trade_id\n7\n").unwrap_err();
        assert!(error.contains("action"), "{error}");
    }
}
