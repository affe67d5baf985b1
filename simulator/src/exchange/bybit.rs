//! Bybit's side: v5 `publicTrade` and `recent-trade`.

use std::fmt::Write;

use super::protocol::{Answer, Client, Exchange, Query, Request, page, side};
use super::tape::{Series, Tape};

/// Topics that a request may name on spot.
const SPOT_TOPICS: usize = 10;

/// One of Bybit's markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bybit {
    Spot,
    Linear,
    Inverse,
}

impl Bybit {
    fn category(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Linear => "linear",
            Self::Inverse => "inverse",
        }
    }

    /// A number on spot, which grows with steps, a UUID elsewhere.
    fn name(self, series: &Series, id: u64) -> String {
        if self == Self::Spot {
            // Were they consecutive, a client could find gaps here that it would miss there.
            let step = xxhash_rust::xxh3::xxh3_64(&id.to_le_bytes()) % 16;
            return format!("229{:016}", id.wrapping_mul(16).wrapping_add(step));
        }
        let hash = xxhash_rust::xxh3::xxh3_128(format!("{} {id}", series.symbol).as_bytes());
        let (a, b) = ((hash >> 64) as u64, hash as u64);
        format!(
            "{:08x}-{:04x}-5{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }

    fn row(self, series: &Series, place: usize) -> String {
        let trade = &series.trades()[place];
        let (symbol, price, qty) = (&series.symbol, trade.price, series.printed_qty(trade));
        let (time, seq) = (trade.event_time / 1_000_000, trade.trade_id / 3);
        let side = if side(trade, false) { "Buy" } else { "Sell" };
        let name = self.name(series, trade.trade_id);
        let tick = tick(series, place);
        match self {
            Self::Spot => format!(
                r#"{{"i":"{name}","T":{time},"p":"{price}","v":"{qty}","S":"{side}","seq":{seq},"s":"{symbol}","BT":false,"RPI":false}}"#
            ),
            _ => format!(
                r#"{{"T":{time},"s":"{symbol}","S":"{side}","v":"{qty}","p":"{price}","L":"{tick}","i":"{name}","BT":false,"RPI":false,"seq":{seq}}}"#
            ),
        }
    }
}

/// Which way the price went, and which way it had gone before where it stands.
fn tick(series: &Series, place: usize) -> &'static str {
    let price = series.trades()[place].price;
    let before = &series.trades()[..place];
    let Some(last) = before.last() else { return "ZeroPlusTick" };
    // A price that stands for longer is called risen: nobody would wait for the search.
    let other = before.iter().rev().take(1000).find(|trade| trade.price != price);
    match (last.price == price, other.is_none_or(|other| other.price < price)) {
        (false, true) => "PlusTick",
        (true, true) => "ZeroPlusTick",
        (false, false) => "MinusTick",
        (true, false) => "ZeroMinusTick",
    }
}

impl Exchange for Bybit {
    fn protocol(&self) -> &'static str {
        match self {
            Self::Spot => "bybit-spot",
            Self::Linear => "bybit-linear",
            Self::Inverse => "bybit-inverse",
        }
    }

    fn time_unit(&self) -> i64 {
        1_000_000
    }

    fn trades_per_message(&self) -> usize {
        10
    }

    /// The list of recent trades reaches back 60 trades on spot.
    fn outage_most(&self) -> u64 {
        if *self == Self::Spot { 30 } else { 400 }
    }

    fn lists_recent_only(&self) -> bool {
        true
    }

    fn open(&self, path: &str, _query: &Query<'_>, _tape: &Tape, _client: &mut Client) -> bool {
        path == format!("/v5/public/{}", self.category())
    }

    fn hear(&self, text: &str, tape: &Tape, client: &mut Client, _now: i64) -> Vec<String> {
        let said: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let request = match (said["req_id"].as_str(), self) {
            (Some(name), _) => format!(r#","req_id":"{name}""#),
            // Spot leaves out what it was not given, the others answer with nothing in it.
            (None, Self::Spot) => String::new(),
            (None, _) => r#","req_id":"""#.to_owned(),
        };
        let connection = format!("venue-{}", client.number);
        let answer = |success: bool, message: &str, op: &str| {
            vec![format!(
                r#"{{"success":{success},"ret_msg":"{message}","conn_id":"{connection}"{request},"op":"{op}"}}"#
            )]
        };
        match said["op"].as_str() {
            Some("ping") => answer(true, "pong", "ping"),
            Some("subscribe") => {
                let topics = said["args"].as_array().map_or(0, Vec::len);
                if *self == Self::Spot && topics > SPOT_TOPICS {
                    return answer(false, "args size >10", "subscribe");
                }
                for topic in said["args"].as_array().into_iter().flatten() {
                    let topic = topic.as_str().unwrap_or_default();
                    let found = topic.strip_prefix("publicTrade.").and_then(|s| tape.find(s));
                    let Some((at, _)) = found else {
                        let message = format!("error:handler not found,topic:{topic}");
                        return answer(false, &message, "subscribe");
                    };
                    client.trades[at as usize] = true;
                }
                answer(true, if *self == Self::Spot { "subscribe" } else { "" }, "subscribe")
            }
            _ => answer(false, "Invalid Op", ""),
        }
    }

    fn push(&self, series: &Series, _at: u32, places: &[u32], _client: &mut Client) -> Vec<String> {
        let rows: Vec<String> =
            places.iter().map(|place| self.row(series, *place as usize)).collect();
        let time = places.last().map_or(0, |p| series.trades()[*p as usize].event_time) / 1_000_000;
        let (symbol, rows) = (&series.symbol, rows.join(","));
        vec![match self {
            Self::Spot => format!(
                r#"{{"topic":"publicTrade.{symbol}","ts":{time},"type":"snapshot","data":[{rows}]}}"#
            ),
            _ => format!(
                r#"{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{time},"data":[{rows}]}}"#
            ),
        }]
    }

    fn rest(&self, request: &Request<'_>, tape: &Tape) -> Answer {
        let (path, query) = (request.path, &request.query);
        if path != "/v5/market/recent-trade" {
            return Answer::refused(404, "404 page not found");
        }
        let series = query.get("symbol").and_then(|symbol| tape.find(symbol));
        let now = request.now / 1_000_000;
        let category = query.get("category").unwrap_or_default();
        let (Some((_, series)), true) = (series, category == self.category()) else {
            return Answer::ok(format!(
                r#"{{"retCode":10001,"retMsg":"params error: symbol invalid","result":{{}},"retExtInfo":{{}},"time":{now}}}"#
            ));
        };
        let most = if *self == Self::Spot { 60 } else { 1000 };
        let limit = query.number("limit").unwrap_or(most).min(most) as usize;
        let mut rows = String::new();
        for place in page(series.happened(), None, limit).rev() {
            let trade = &series.trades()[place];
            let (symbol, price, qty) = (&series.symbol, trade.price, series.printed_qty(trade));
            let (time, seq) = (trade.event_time / 1_000_000, trade.trade_id / 3);
            let side = if side(trade, false) { "Buy" } else { "Sell" };
            let name = self.name(series, trade.trade_id);
            let comma = if rows.is_empty() { "" } else { "," };
            // Writing into a text cannot fail.
            let _ = write!(
                rows,
                r#"{comma}{{"execId":"{name}","symbol":"{symbol}","price":"{price}","size":"{qty}","side":"{side}","time":"{time}","isBlockTrade":false,"isRPITrade":false,"seq":"{seq}"}}"#
            );
        }
        Answer::ok(format!(
            r#"{{"retCode":0,"retMsg":"OK","result":{{"category":"{category}","list":[{rows}]}},"retExtInfo":{{}},"time":{now}}}"#
        ))
    }
}
