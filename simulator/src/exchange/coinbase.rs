//! Coinbase's side: Advanced Trade and Exchange, and Exchange's REST for both. Sides are the
//! maker's.

use std::fmt::Write;

use super::protocol::{
    Answer, Client, Exchange as Protocol, Query, Request, page, rfc3339_micros, rfc3339_shortest,
    side,
};
use super::tape::{Series, Tape};

/// Trades of a snapshot.
const SNAPSHOT: usize = 100;

/// Advanced Trade.
pub(super) struct Advanced;

/// Exchange.
pub(super) struct Exchange;

fn maker(series: &Series, place: usize, buy: &'static str, sell: &'static str) -> &'static str {
    if side(&series.trades()[place], true) { buy } else { sell }
}

impl Advanced {
    /// A message with the number that all messages of a connection share.
    fn message(client: &mut Client, channel: &str, now: i64, events: &str) -> String {
        let (time, number) = (rfc3339_shortest(now), client.sequence);
        client.sequence += 1;
        format!(
            r#"{{"channel":"{channel}","timestamp":"{time}","sequence_num":{number},"events":[{events}]}}"#
        )
    }

    /// Newest first.
    fn event(
        kind: &str,
        series: &Series,
        places: impl DoubleEndedIterator<Item = usize>,
    ) -> String {
        let mut rows = String::new();
        for place in places.rev() {
            let trade = &series.trades()[place];
            let (product, id, price) = (&series.symbol, trade.trade_id, trade.price);
            let (size, time) = (series.printed_qty(trade), rfc3339_shortest(trade.event_time));
            let side = maker(series, place, "BUY", "SELL");
            let comma = if rows.is_empty() { "" } else { "," };
            // Writing into a text cannot fail.
            let _ = write!(
                rows,
                r#"{comma}{{"product_id":"{product}","trade_id":"{id}","price":"{price}","size":"{size}","time":"{time}","side":"{side}"}}"#
            );
        }
        format!(r#"{{"type":"{kind}","trades":[{rows}]}}"#)
    }

    fn subscriptions(tape: &Tape, client: &mut Client, now: i64) -> String {
        let wanted: Vec<&str> = tape
            .series
            .iter()
            .zip(&client.trades)
            .filter(|(_, wanted)| **wanted)
            .map(|(series, _)| series.symbol.as_str())
            .collect();
        // In the order of the alphabet.
        let mut channels = Vec::new();
        if client.heartbeats {
            channels.push(r#""heartbeats":["heartbeats"]"#.to_owned());
        }
        if !wanted.is_empty() {
            channels.push(format!(r#""market_trades":["{}"]"#, wanted.join("\",\"")));
        }
        let event = format!(r#"{{"subscriptions":{{{}}}}}"#, channels.join(","));
        Self::message(client, "subscriptions", now, &event)
    }
}

impl Protocol for Advanced {
    fn protocol(&self) -> &'static str {
        "coinbase"
    }

    fn time_unit(&self) -> i64 {
        1_000
    }

    fn trades_per_message(&self) -> usize {
        10
    }

    fn open(&self, path: &str, _query: &Query<'_>, _tape: &Tape, _client: &mut Client) -> bool {
        path == "/"
    }

    fn hear(&self, text: &str, tape: &Tape, client: &mut Client, now: i64) -> Vec<String> {
        let said: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        if said["type"] != "subscribe" {
            return vec![r#"{"type":"error","message":"invalid request"}"#.to_owned()];
        }
        let mut answers = Vec::new();
        match said["channel"].as_str() {
            Some("heartbeats") => client.heartbeats = true,
            Some("market_trades") => {
                for product in said["product_ids"].as_array().into_iter().flatten() {
                    let Some((at, series)) = tape.find(product.as_str().unwrap_or_default()) else {
                        return vec![format!(
                            r#"{{"type":"error","message":"{} is not a valid product"}}"#,
                            product.as_str().unwrap_or_default()
                        )];
                    };
                    client.trades[at as usize] = true;
                    let happened = series.happened();
                    let snapshot = Self::event("snapshot", series, page(happened, None, SNAPSHOT));
                    answers.push(Self::message(client, "market_trades", now, &snapshot));
                }
            }
            _ => return vec![r#"{"type":"error","message":"channel is not valid"}"#.to_owned()],
        }
        answers.push(Self::subscriptions(tape, client, now));
        answers
    }

    fn heartbeat(&self, _tape: &Tape, client: &mut Client, now: i64) -> Vec<String> {
        if !client.heartbeats {
            return Vec::new();
        }
        client.beats += 1;
        let count = client.beats;
        let (seconds, ns) = (rfc3339_micros(now), now.rem_euclid(1_000_000_000));
        let seconds = seconds.replace('T', " ");
        let seconds = seconds.split('.').next().unwrap_or_default();
        let event = format!(
            r#"{{"current_time":"{seconds}.{ns:09} +0000 UTC m=+{count}.{ns:09}","heartbeat_counter":{count}}}"#
        );
        vec![Self::message(client, "heartbeats", now, &event)]
    }

    fn push(&self, series: &Series, _at: u32, places: &[u32], client: &mut Client) -> Vec<String> {
        let last = places.last().map_or(0, |place| series.trades()[*place as usize].event_time);
        let event = Self::event("update", series, places.iter().map(|place| *place as usize));
        vec![Self::message(client, "market_trades", last, &event)]
    }

    fn rest(&self, request: &Request<'_>, tape: &Tape) -> Answer {
        rest(request.path, &request.query, tape)
    }
}

impl Exchange {
    fn row(kind: &str, series: &Series, place: usize) -> String {
        let trade = &series.trades()[place];
        let (product, id, price) = (&series.symbol, trade.trade_id, trade.price);
        let (size, time) = (series.printed_qty(trade), rfc3339_micros(trade.event_time));
        let side = maker(series, place, "buy", "sell");
        // Order ids that differ from trade to trade, as the real ones do.
        let [maker_id, taker_id] =
            ["8000", "9000"].map(|part| format!("{:08x}-0000-4000-{part}-{id:012x}", id as u32));
        format!(
            r#"{{"type":"{kind}","trade_id":{id},"maker_order_id":"{maker_id}","taker_order_id":"{taker_id}","side":"{side}","size":"{size}","price":"{price}","product_id":"{product}","sequence":{id},"time":"{time}"}}"#
        )
    }
}

impl Protocol for Exchange {
    fn protocol(&self) -> &'static str {
        "coinbase-exchange"
    }

    fn time_unit(&self) -> i64 {
        1_000
    }

    fn open(&self, path: &str, _query: &Query<'_>, _tape: &Tape, _client: &mut Client) -> bool {
        path == "/"
    }

    fn hear(&self, text: &str, tape: &Tape, client: &mut Client, _now: i64) -> Vec<String> {
        let said: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        if said["type"] != "subscribe" {
            return vec![r#"{"type":"error","message":"Malformed JSON"}"#.to_owned()];
        }
        let mut answers = Vec::new();
        for product in said["product_ids"].as_array().into_iter().flatten() {
            let product = product.as_str().unwrap_or_default();
            let Some((at, series)) = tape.find(product) else {
                return vec![format!(
                    r#"{{"type":"error","message":"Failed to subscribe","reason":"{product} is not a valid product"}}"#
                )];
            };
            client.trades[at as usize] = true;
            if let Some(last) = series.happened().len().checked_sub(1) {
                answers.push(Self::row("last_match", series, last));
            }
        }
        let channels = said["channels"].as_array().into_iter().flatten();
        client.heartbeats |= channels.into_iter().any(|channel| channel == "heartbeat");
        let wanted: Vec<&str> = tape
            .series
            .iter()
            .zip(&client.trades)
            .filter(|(_, wanted)| **wanted)
            .map(|(series, _)| series.symbol.as_str())
            .collect();
        let products = format!(r#"["{}"]"#, wanted.join("\",\""));
        let mut channels = format!(r#"{{"name":"matches","product_ids":{products}}}"#);
        if client.heartbeats {
            channels += &format!(r#",{{"name":"heartbeat","product_ids":{products}}}"#);
        }
        answers.push(format!(r#"{{"type":"subscriptions","channels":[{channels}]}}"#));
        answers
    }

    fn heartbeat(&self, tape: &Tape, client: &mut Client, now: i64) -> Vec<String> {
        if !client.heartbeats {
            return Vec::new();
        }
        let beat = |series: &Series| {
            let last = series.happened().last().map_or(0, |trade| trade.trade_id);
            let (product, time) = (&series.symbol, rfc3339_micros(now));
            format!(
                r#"{{"type":"heartbeat","sequence":{last},"last_trade_id":{last},"product_id":"{product}","time":"{time}"}}"#
            )
        };
        let wanted = tape.series.iter().zip(&client.trades).filter(|(_, wanted)| **wanted);
        wanted.map(|(series, _)| beat(series)).collect()
    }

    fn push(&self, series: &Series, _at: u32, places: &[u32], _client: &mut Client) -> Vec<String> {
        places.iter().map(|place| Self::row("match", series, *place as usize)).collect()
    }

    fn rest(&self, request: &Request<'_>, tape: &Tape) -> Answer {
        rest(request.path, &request.query, tape)
    }
}

/// `GET /products/BTC-USD/trades?limit=&after=`, newest first.
fn rest(path: &str, query: &Query<'_>, tape: &Tape) -> Answer {
    let product = path.strip_prefix("/products/").and_then(|rest| rest.strip_suffix("/trades"));
    let Some((_, series)) = product.and_then(|product| tape.find(product)) else {
        return Answer::refused(404, r#"{"message":"NotFound"}"#);
    };
    let limit = query.number("limit").unwrap_or(1000).min(1000) as usize;
    let mut body = String::from("[");
    for place in page(series.happened(), query.number("after"), limit).rev() {
        let trade = &series.trades()[place];
        let (id, price, size) = (trade.trade_id, trade.price, series.printed_qty(trade));
        let (time, side) = (rfc3339_micros(trade.event_time), maker(series, place, "buy", "sell"));
        let comma = if body.len() > 1 { "," } else { "" };
        // Writing into a text cannot fail.
        let _ = write!(
            body,
            r#"{comma}{{"trade_id":{id},"side":"{side}","size":"{size}","price":"{price}","time":"{time}"}}"#
        );
    }
    body.push(']');
    Answer::ok(body)
}
