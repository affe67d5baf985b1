//! Reads what a venue says of trades with nothing but JSON, and none of the decoders.

use barflow_operators::trade::{Aggressor, Trade};
use serde_json::Value;

use super::protocols::{Clock, Fields, MS, Protocol, printed};

/// Rows that tell of trades, in the order of the message.
pub fn rows(fields: Fields, text: &str) -> Vec<Value> {
    let Ok(message) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let mut rows = match message.pointer(fields.rows) {
        Some(Value::Array(rows)) => rows.clone(),
        Some(row) => vec![row.clone()],
        None => Vec::new(),
    };
    rows.retain(|row| !at(row, fields.id).is_null());
    rows
}

fn at<'a>(row: &'a Value, name: &str) -> &'a Value {
    match name.parse::<usize>() {
        Ok(place) if row.is_array() => &row[place],
        _ => &row[name],
    }
}

/// A value without the quotation marks.
pub fn bare(row: &Value, name: &str) -> String {
    match at(row, name) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Id, bits of price and quantity, time and side, as a row says them.
pub type Said = (String, u64, u64, String, String);

pub fn said(fields: Fields, row: &Value) -> Said {
    let bits = |name| bare(row, name).parse::<f64>().unwrap().to_bits();
    (
        bare(row, fields.id),
        bits(fields.price),
        bits(fields.qty),
        bare(row, fields.time),
        bare(row, fields.side),
    )
}

/// The same, as a trade of the tape has to be told. Bybit names trades by other words.
pub fn told(protocol: Protocol, fields: Fields, trade: &Trade, id: &str) -> Said {
    let id = match protocol.name.starts_with("bybit") {
        true => id.to_owned(),
        false => trade.trade_id.to_string(),
    };
    let side = fields.sides[usize::from(trade.aggressor == Aggressor::Seller)];
    let (price, qty) = (trade.price.to_bits(), printed(protocol, trade).to_bits());
    (id, price, qty, written(fields.clock, trade.event_time), side.to_owned())
}

fn written(clock: Clock, ns: i64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
    let trimmed = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    match clock {
        Clock::Ms | Clock::MsText => (ns / MS).to_string(),
        Clock::Micros => stamp.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        Clock::Shortest => trimmed(stamp.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()) + "Z",
        Clock::Seconds => {
            let text = trimmed(format!("{}.{:06}", ns / 1_000_000_000, ns % 1_000_000_000 / 1_000));
            // A number with a point in any case, as Kraken writes it.
            if text.contains('.') { text } else { text + ".0" }
        }
    }
}
