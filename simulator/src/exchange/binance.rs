//! Binance's side: combined streams by path or by `SUBSCRIBE`, and the lists of trades.

use std::fmt::Write;

use super::protocol::{Answer, Client, Exchange, Query, Request, page, side};
use super::tape::{Series, Tape};

/// One of Binance's markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binance {
    Spot,
    Um,
    Cm,
}

impl Binance {
    /// Spot says µs where it is asked to; futures have ms only.
    fn time(self, ns: i64, micros: bool) -> i64 {
        if micros && self == Self::Spot { ns / 1_000 } else { ns / 1_000_000 }
    }

    fn rest_base(self) -> &'static str {
        match self {
            Self::Spot => "/api/v3/",
            Self::Um => "/fapi/v1/",
            Self::Cm => "/dapi/v1/",
        }
    }

    fn row(
        self,
        series: &Series,
        place: usize,
        (aggregate, micros): (bool, bool),
        out: &mut String,
    ) {
        let trade = &series.trades()[place];
        let (id, price, qty) = (trade.trade_id, trade.price, series.printed_qty(trade));
        let (time, maker) = (self.time(trade.event_time, micros), !side(trade, false));
        // Writing into a text cannot fail.
        let _ = if aggregate {
            let (first, last) = series.span(place);
            write!(
                out,
                r#"{{"a":{id},"p":"{price}","q":"{qty}","f":{first},"l":{last},"T":{time},"m":{maker}"#
            )
        } else {
            let quote = match self {
                Self::Cm => format!(r#""baseQty":"{}""#, trade.qty),
                _ => format!(r#""quoteQty":"{}""#, trade.quote),
            };
            write!(
                out,
                r#"{{"id":{id},"price":"{price}","qty":"{qty}",{quote},"time":{time},"isBuyerMaker":{maker}"#
            )
        };
        out.push_str(match (self, aggregate) {
            (Self::Spot, true) => r#","M":true}"#,
            (Self::Spot, false) => r#","isBestMatch":true}"#,
            _ => "}",
        });
    }
}

/// Subscribes `btcusdt@trade`; false if it is not such a stream. Binance takes any symbol.
fn subscribe(stream: &str, tape: &Tape, client: &mut Client) -> bool {
    let Some((symbol, kind)) = stream.split_once('@') else { return false };
    let Some((at, _)) = tape.find(&symbol.to_uppercase()) else { return true };
    match kind {
        "trade" => client.trades[at as usize] = true,
        "aggTrade" => client.aggregates[at as usize] = true,
        _ => {}
    }
    true
}

impl Exchange for Binance {
    fn protocol(&self) -> &'static str {
        match self {
            Self::Spot => "binance-spot",
            Self::Um => "binance-um",
            Self::Cm => "binance-cm",
        }
    }

    fn time_unit(&self) -> i64 {
        if *self == Self::Spot { 1_000 } else { 1_000_000 }
    }

    fn open(&self, path: &str, query: &Query<'_>, tape: &Tape, client: &mut Client) -> bool {
        client.micros = query.get("timeUnit") == Some("MICROSECOND");
        let path = match self {
            Self::Spot => path,
            _ => path.trim_start_matches("/public").trim_start_matches("/market"),
        };
        match (path, query.get("streams")) {
            ("/stream", None) => true,
            ("/stream", Some(streams)) => {
                streams.split('/').all(|stream| subscribe(stream, tape, client))
            }
            _ => false,
        }
    }

    fn hear(&self, text: &str, tape: &Tape, client: &mut Client, _now: i64) -> Vec<String> {
        let Ok(said) = serde_json::from_str::<serde_json::Value>(text) else {
            let error =
                r#"{"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}}"#;
            return vec![error.to_owned()];
        };
        let id = &said["id"];
        let mut streams =
            said["params"].as_array().into_iter().flatten().filter_map(|s| s.as_str());
        let done =
            said["method"] == "SUBSCRIBE" && streams.all(|stream| subscribe(stream, tape, client));
        match done {
            true => vec![format!(r#"{{"result":null,"id":{id}}}"#)],
            false => vec![format!(
                r#"{{"error":{{"code":2,"msg":"Invalid request: unknown variant"}},"id":{id}}}"#
            )],
        }
    }

    fn push(&self, series: &Series, at: u32, places: &[u32], client: &mut Client) -> Vec<String> {
        let mut messages = Vec::new();
        for place in places {
            let place = *place as usize;
            let trade = &series.trades()[place];
            let (symbol, id, price) = (&series.symbol, trade.trade_id, trade.price);
            let (qty, time) =
                (series.printed_qty(trade), self.time(trade.event_time, client.micros));
            let maker = !side(trade, false);
            let stream = symbol.to_lowercase();
            if client.trades[at as usize] {
                messages.push(match self {
                    Self::Spot => format!(
                        r#"{{"stream":"{stream}@trade","data":{{"e":"trade","E":{time},"s":"{symbol}","t":{id},"p":"{price}","q":"{qty}","T":{time},"m":{maker},"M":true}}}}"#
                    ),
                    _ => format!(
                        r#"{{"stream":"{stream}@trade","data":{{"e":"trade","E":{time},"T":{time},"s":"{symbol}","t":{id},"p":"{price}","q":"{qty}","X":"MARKET","m":{maker}}}}}"#
                    ),
                });
            }
            if client.aggregates[at as usize] {
                let (first, last) = series.span(place);
                messages.push(match self {
                    Self::Spot => format!(
                        r#"{{"stream":"{stream}@aggTrade","data":{{"e":"aggTrade","E":{time},"s":"{symbol}","a":{id},"p":"{price}","q":"{qty}","f":{first},"l":{last},"T":{time},"m":{maker},"M":true}}}}"#
                    ),
                    _ => format!(
                        r#"{{"stream":"{stream}@aggTrade","data":{{"e":"aggTrade","E":{time},"a":{id},"s":"{symbol}","p":"{price}","q":"{qty}","f":{first},"l":{last},"T":{time},"m":{maker}}}}}"#
                    ),
                });
            }
        }
        messages
    }

    fn rest(&self, request: &Request<'_>, tape: &Tape) -> Answer {
        let (path, query) = (request.path, &request.query);
        if path.ends_with("/ticker/price") {
            let symbols =
                tape.listed().map(|symbol| format!(r#"{{"symbol":"{symbol}","price":"1.0"}}"#));
            return Answer::ok(format!("[{}]", symbols.collect::<Vec<_>>().join(",")));
        }
        let endpoint = path.strip_prefix(self.rest_base());
        let aggregate = match endpoint {
            Some("historicalTrades" | "trades") => false,
            Some("aggTrades") => true,
            _ => return Answer::refused(404, "<html>404 Not found</html>"),
        };
        let Some((_, series)) = query.get("symbol").and_then(|symbol| tape.find(symbol)) else {
            return Answer::refused(400, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
        };
        let limit = query.number("limit").unwrap_or(500).min(1000) as usize;
        let happened = series.happened();
        let rows = match query.number("fromId") {
            Some(from) if endpoint != Some("trades") => {
                let start = happened.partition_point(|trade| trade.trade_id < from);
                start..(start + limit).min(happened.len())
            }
            _ => page(happened, None, limit),
        };
        let mut body = String::from("[");
        for (n, place) in rows.enumerate() {
            if n > 0 {
                body.push(',');
            }
            self.row(series, place, (aggregate, request.micros), &mut body);
        }
        body.push(']');
        Answer::ok(body)
    }
}
