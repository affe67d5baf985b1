//! Kraken's side: websocket v2 and `Trades`.

use std::fmt::Write;

use super::protocol::{
    Answer, Client, Exchange, Query, Request, decimal_seconds, page, rfc3339_micros, side,
};
use super::tape::{Series, Tape};

/// Trades of a snapshot.
const SNAPSHOT: usize = 50;

/// Kraken.
pub(super) struct Kraken;

fn rows(series: &Series, places: impl Iterator<Item = usize>) -> String {
    let mut rows = String::new();
    for place in places {
        let trade = &series.trades()[place];
        let (symbol, id, price) = (&series.symbol, trade.trade_id, trade.price);
        let (qty, time) = (series.printed_qty(trade), rfc3339_micros(trade.event_time));
        let side = if side(trade, false) { "buy" } else { "sell" };
        let comma = if rows.is_empty() { "" } else { "," };
        // Writing into a text cannot fail.
        let _ = write!(
            rows,
            r#"{comma}{{"symbol":"{symbol}","side":"{side}","price":{price},"qty":{qty},"ord_type":"market","trade_id":{id},"timestamp":"{time}"}}"#
        );
    }
    rows
}

fn message(kind: &str, rows: &str) -> String {
    format!(r#"{{"channel":"trade","type":"{kind}","data":[{rows}]}}"#)
}

impl Exchange for Kraken {
    fn protocol(&self) -> &'static str {
        "kraken"
    }

    fn time_unit(&self) -> i64 {
        1_000
    }

    fn trades_per_message(&self) -> usize {
        10
    }

    fn open(&self, path: &str, _query: &Query<'_>, _tape: &Tape, _client: &mut Client) -> bool {
        path == "/v2"
    }

    fn greeting(&self, client: &mut Client) -> Vec<String> {
        let number = client.number;
        vec![format!(
            r#"{{"channel":"status","type":"update","data":[{{"version":"2.0.10","system":"online","api_version":"v2","connection_id":{number}}}]}}"#
        )]
    }

    fn hear(&self, text: &str, tape: &Tape, client: &mut Client, now: i64) -> Vec<String> {
        let said: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let time = rfc3339_micros(now);
        let request = match said["req_id"].as_u64() {
            Some(number) => format!(r#","req_id":{number}"#),
            None => String::new(),
        };
        let times = format!(r#""time_in":"{time}","time_out":"{time}""#);
        let method = said["method"].as_str().unwrap_or_default();
        if method == "ping" {
            return vec![format!(r#"{{"method":"pong"{request},{times}}}"#)];
        }
        let refuse = |why: &str, symbol: &str| {
            format!(
                r#"{{"error":"{why}","method":"{method}","success":false{symbol},{times}{request}}}"#
            )
        };
        if method != "subscribe" || said["params"]["channel"] != "trade" {
            return vec![refuse("Channel not supported", "")];
        }
        let mut answers = Vec::new();
        for symbol in said["params"]["symbol"].as_array().into_iter().flatten() {
            let symbol = symbol.as_str().unwrap_or_default();
            let Some((at, series)) = tape.find(symbol) else {
                // Every symbol is answered for itself.
                let why = format!("Currency pair not supported {symbol}");
                answers.push(refuse(&why, &format!(r#","symbol":"{symbol}""#)));
                continue;
            };
            client.trades[at as usize] = true;
            client.heartbeats = true;
            answers.push(format!(
                r#"{{"method":"subscribe","result":{{"channel":"trade","symbol":"{symbol}","snapshot":true}},"success":true,{times}{request}}}"#
            ));
            let snapshot = page(series.happened(), None, SNAPSHOT);
            if !snapshot.is_empty() {
                answers.push(message("snapshot", &rows(series, snapshot)));
            }
        }
        answers
    }

    fn heartbeat(&self, _tape: &Tape, client: &mut Client, _now: i64) -> Vec<String> {
        let beat = client.heartbeats.then(|| r#"{"channel":"heartbeat"}"#.to_owned());
        beat.into_iter().collect()
    }

    fn push(&self, series: &Series, _at: u32, places: &[u32], _client: &mut Client) -> Vec<String> {
        vec![message("update", &rows(series, places.iter().map(|place| *place as usize)))]
    }

    fn rest(&self, request: &Request<'_>, tape: &Tape) -> Answer {
        let (path, query) = (request.path, &request.query);
        let wanted = query.get("pair").unwrap_or_default();
        let series = tape.series.iter().find(|series| series.symbol.replace('/', "") == wanted);
        let (Some("Trades"), Some(series)) = (path.strip_prefix("/0/public/"), series) else {
            return Answer::ok(r#"{"error":["EQuery:Unknown asset pair"]}"#.to_owned());
        };
        let happened = series.happened();
        let limit = query.number("count").unwrap_or(1000).min(1000) as usize;
        let since =
            query.number("since").map_or(i64::MIN, |since| since.min(i64::MAX as u64) as i64);
        let start = happened.partition_point(|trade| trade.event_time <= since);
        let mut rows = String::new();
        let end = (start + limit).min(happened.len());
        for trade in &happened[start..end] {
            let (id, price, qty) = (trade.trade_id, trade.price, series.printed_qty(trade));
            let (time, side) = (decimal_seconds(trade.event_time), side(trade, false));
            let side = if side { "b" } else { "s" };
            let comma = if rows.is_empty() { "" } else { "," };
            // Writing into a text cannot fail.
            let _ = write!(rows, r#"{comma}["{price}","{qty}",{time},"{side}","m","",{id}]"#);
        }
        let last = happened[..end].last().map_or(0, |trade| trade.event_time);
        // Kraken's own name of the pair is another than the one it is asked by.
        Answer::ok(format!(r#"{{"error":[],"result":{{"X{wanted}":[{rows}],"last":"{last}"}}}}"#))
    }
}
