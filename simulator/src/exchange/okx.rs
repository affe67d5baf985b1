//! OKX's side: v5 `trades-all` and `trades`, and the lists of trades.

use std::fmt::Write;

use super::protocol::{Answer, Client, Exchange, Query, Request, page, side};
use super::tape::{Series, Tape};

/// OKX.
pub(super) struct Okx;

fn row(series: &Series, place: usize, aggregate: bool) -> String {
    let trade = &series.trades()[place];
    let (symbol, price, qty) = (&series.symbol, trade.price, series.printed_qty(trade));
    let time = trade.event_time / 1_000_000;
    let side = if side(trade, false) { "buy" } else { "sell" };
    // An aggregate is called by the last of its trades.
    let (id, count) = match aggregate {
        true => (series.span(place).1, format!(r#","count":"{}""#, trade.count)),
        false => (trade.trade_id, String::new()),
    };
    format!(
        r#"{{"instId":"{symbol}","tradeId":"{id}","px":"{price}","sz":"{qty}","side":"{side}","ts":"{time}"{count}}}"#
    )
}

impl Exchange for Okx {
    fn protocol(&self) -> &'static str {
        "okx"
    }

    fn time_unit(&self) -> i64 {
        1_000_000
    }

    fn open(&self, path: &str, _query: &Query<'_>, _tape: &Tape, client: &mut Client) -> bool {
        // Which of the two endpoints decides which channels there are.
        client.heartbeats = path == "/ws/v5/business";
        matches!(path, "/ws/v5/business" | "/ws/v5/public")
    }

    fn hear(&self, text: &str, tape: &Tape, client: &mut Client, _now: i64) -> Vec<String> {
        if text == "ping" {
            return vec!["pong".to_owned()];
        }
        let said: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let connection = format!("c{:07x}", client.number);
        let business = client.heartbeats;
        let error = |code: &str, message: &str| {
            format!(
                r#"{{"event":"error","code":"{code}","msg":"{message}","connId":"{connection}"}}"#
            )
        };
        if said["op"] != "subscribe" {
            return vec![error("60012", "Illegal request")];
        }
        let mut answers = Vec::new();
        for arg in said["args"].as_array().into_iter().flatten() {
            let channel = arg["channel"].as_str().unwrap_or_default();
            let symbol = arg["instId"].as_str().unwrap_or_default();
            let served = matches!((channel, business), ("trades-all", true) | ("trades", false));
            let (true, Some((at, _))) = (served, tape.find(symbol)) else {
                let message =
                    format!("Wrong URL or channel:{channel},instId:{symbol} doesn't exist.");
                answers.push(error("60018", &message));
                continue;
            };
            match business {
                true => client.trades[at as usize] = true,
                false => client.aggregates[at as usize] = true,
            }
            answers.push(format!(
                r#"{{"event":"subscribe","arg":{{"channel":"{channel}","instId":"{symbol}"}},"connId":"{connection}"}}"#
            ));
        }
        answers
    }

    fn push(&self, series: &Series, at: u32, places: &[u32], client: &mut Client) -> Vec<String> {
        let mut messages = Vec::new();
        for place in places {
            for (wanted, channel) in [
                (client.trades[at as usize], "trades-all"),
                (client.aggregates[at as usize], "trades"),
            ] {
                if wanted {
                    let row = row(series, *place as usize, channel == "trades");
                    let symbol = &series.symbol;
                    messages.push(format!(
                        r#"{{"arg":{{"channel":"{channel}","instId":"{symbol}"}},"data":[{row}]}}"#
                    ));
                }
            }
        }
        messages
    }

    fn rest(&self, request: &Request<'_>, tape: &Tape) -> Answer {
        let (path, query) = (request.path, &request.query);
        let most = match path {
            "/api/v5/market/history-trades" => 100,
            "/api/v5/market/trades" => 500,
            _ => return Answer::refused(404, r#"{"msg":"","code":"404","data":[]}"#),
        };
        let Some((_, series)) = query.get("instId").and_then(|symbol| tape.find(symbol)) else {
            return Answer::ok(
                r#"{"code":"51001","data":[],"msg":"Instrument ID doesn't exist."}"#.to_owned(),
            );
        };
        let limit = query.number("limit").unwrap_or(100).min(most) as usize;
        let before = query.number("after").filter(|_| most == 100);
        let mut rows = String::new();
        for place in page(series.happened(), before, limit).rev() {
            let trade = &series.trades()[place];
            let (symbol, id, price) = (&series.symbol, trade.trade_id, trade.price);
            let (qty, time) = (series.printed_qty(trade), trade.event_time / 1_000_000);
            let side = if side(trade, false) { "buy" } else { "sell" };
            let comma = if rows.is_empty() { "" } else { "," };
            // Writing into a text cannot fail.
            let _ = write!(
                rows,
                r#"{comma}{{"instId":"{symbol}","side":"{side}","sz":"{qty}","px":"{price}","tradeId":"{id}","ts":"{time}"}}"#
            );
        }
        Answer::ok(format!(r#"{{"code":"0","msg":"","data":[{rows}]}}"#))
    }
}
