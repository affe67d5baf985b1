//! Kraken: websocket v2, channel `trade` (`kraken`). Version 1 (arrays) is another protocol.
//!
//! | what | relied on |
//! |---|---|
//! | symbols | `BTC/USD`; written `BTC-USD` in configuration, since instruments have no slash |
//! | ids | `trade_id` is consecutive per pair |
//! | aggressor | `side` is the taker's |
//! | time | RFC 3339 in µs; REST prints more digits of the same time: both are cut to µs, so that a trade has the same bits whichever way it came |
//! | numbers | `price` and `qty` are JSON numbers: read from their digits |
//! | snapshot | the last 50 trades with real ids: they are taken |
//! | keepalive | heartbeats of the venue, one a second; we ping as well |
//!
//! Sources: [trades](https://docs.kraken.com/api/docs/websocket-v2/trade),
//! [REST trades](https://docs.kraken.com/api/docs/rest-api/get-recent-trades).

use std::sync::Arc;
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;

use super::field::{self, object};
use super::print::{
    Acknowledged, BadFrame, BadRow, Contract, FrameKind, Ids, Listing, PrintId, Prints, Refusal,
};
use super::symbol_table::SymbolTable;
use super::venue::{Channel, Decode, Keepalive, Limits, Missing, RefusedBy, Request, Venue};

mod rest;
#[cfg(test)]
mod tests;

/// Pairs that one subscription message names.
const PAIRS_PER_MESSAGE: usize = 50;

/// Kraken's spot market.
#[derive(Clone, Copy, Debug)]
pub struct Kraken;

/// The precision that websocket and REST share.
fn to_microseconds(ns: i64) -> i64 {
    ns.div_euclid(1_000) * 1_000
}

impl Venue for Kraken {
    fn protocol(&self) -> &'static str {
        "kraken"
    }

    fn instrument(&self, symbol: &str) -> Result<InstrumentId, String> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if symbol.split('-').count() != 2 || !symbol.chars().all(valid) {
            return Err("not a pair of Kraken such as BTC-USD (for BTC/USD)".to_owned());
        }
        format!("kraken:spot:{symbol}").parse().map_err(|error| format!("{error}"))
    }

    fn wire_symbol(&self, symbol: &str) -> String {
        symbol.replace('-', "/")
    }

    fn contract(&self, _symbol: &str, size: Option<f64>) -> Result<Contract, String> {
        Contract::of_spot(size)
    }

    fn ids(&self, _channel: Channel) -> Ids {
        Ids::Consecutive
    }

    /// About [150 connections in ten minutes](https://docs.kraken.com/api/docs/guides/spot-ws-intro)
    /// an address; REST about one request a second.
    fn limits(&self) -> Limits {
        Limits {
            symbols_per_connection: 200,
            symbols_per_message: PAIRS_PER_MESSAGE,
            messages_per_second: 10,
            connects: (150, Duration::from_secs(600)),
            lifetime: None,
            requests: (1, Duration::from_secs(1)),
        }
    }

    fn websocket_base(&self) -> &'static str {
        "wss://ws.kraken.com"
    }

    fn hosts(&self) -> &'static [&'static str] {
        &["ws.kraken.com", "ws-auth.kraken.com"]
    }

    fn websocket_path(&self, _channel: Channel, _listings: &[Listing]) -> String {
        "/v2".to_owned()
    }

    fn subscribe(&self, _channel: Channel, listings: &[Listing], request: u64) -> Vec<String> {
        let messages = listings.chunks(PAIRS_PER_MESSAGE).zip(request..);
        messages
            .map(|(listings, number)| {
                let pairs: Vec<&str> = listings.iter().map(|l| l.symbol.as_str()).collect();
                serde_json::json!({
                    "method": "subscribe",
                    "params": {"channel": "trade", "symbol": pairs, "snapshot": true},
                    "req_id": number,
                })
                .to_string()
            })
            .collect()
    }

    fn refused_by(&self) -> RefusedBy {
        RefusedBy::Symbol
    }

    fn keepalive(&self) -> Option<Keepalive> {
        let every = Duration::from_secs(30);
        Some(Keepalive { every, text: Some(r#"{"method":"ping"}"#) })
    }

    /// Ten missed heartbeats.
    fn silence(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn decoder(&self, _channel: Channel, listings: Arc<[Listing]>) -> Box<dyn Decode> {
        Box::new(Decoder { symbol_table: SymbolTable::new(listings) })
    }

    fn rest_base(&self) -> &'static str {
        "https://api.kraken.com"
    }

    fn backfill(&self, _channel: Channel, listing: &Listing, missing: &Missing) -> Option<Request> {
        Some(rest::request(&listing.symbol, missing))
    }

    fn read_backfill(
        &self,
        _channel: Channel,
        slot: u32,
        listing: &Listing,
        body: &[u8],
        prints: &mut Prints,
    ) -> Result<(), BadFrame> {
        rest::read(slot, listing, body, prints)
    }
}

struct Decoder {
    symbol_table: SymbolTable,
}

object! {
    struct Message {
        channel: "channel", data: "data", method: "method", success: "success", error: "error",
        result: "result", symbol: "symbol", request: "req_id",
    }
}

object! {
    struct Subscribed { channel: "channel", symbol: "symbol" }
}

object! {
    struct Row {
        symbol: "symbol", side: "side", price: "price", qty: "qty", id: "trade_id",
        time: "timestamp",
    }
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &[u8], prints: &mut Prints) -> Result<FrameKind, BadFrame> {
        // Version 1 speaks in arrays.
        if frame.trim_ascii_start().first() == Some(&b'[') {
            return Ok(FrameKind::Unknown);
        }
        let message: Message<'_> =
            serde_json::from_slice(frame).map_err(|error| field::malformed(&error))?;
        if let Some(channel) = message.channel {
            return match channel.get() {
                "\"trade\"" => {
                    field::rows("data", message.data, prints, |row, prints| {
                        self.read_row(row, prints)
                    })?;
                    Ok(FrameKind::Trades)
                }
                "\"heartbeat\"" => Ok(FrameKind::Alive),
                "\"status\"" => Ok(FrameKind::Other("status")),
                "\"book\"" => Ok(FrameKind::Other("book")),
                "\"ticker\"" => Ok(FrameKind::Other("ticker")),
                "\"ohlc\"" => Ok(FrameKind::Other("ohlc")),
                "\"instrument\"" => Ok(FrameKind::Other("instrument")),
                _ => Ok(FrameKind::Unknown),
            };
        }
        match message.method.map(|method| method.get()) {
            Some("\"pong\"") => Ok(FrameKind::Alive),
            Some("\"subscribe\"") => subscribed(&message),
            Some("\"unsubscribe\"") => Ok(FrameKind::Other("unsubscribe")),
            _ => match message.error {
                Some(_) => Ok(FrameKind::Refused(refusal(&message))),
                None => Ok(FrameKind::Unknown),
            },
        }
    }
}

/// One confirmation per pair.
fn subscribed(message: &Message<'_>) -> Result<FrameKind, BadFrame> {
    let success =
        field::boolean("success", message.success).map_err(|bad| BadFrame::new(bad.to_string()))?;
    if !success {
        return Ok(FrameKind::Refused(refusal(message)));
    }
    let result = message.result.map_or("{}", |result| result.get());
    let result: Subscribed<'_> =
        serde_json::from_str(result).map_err(|error| field::malformed(&error))?;
    let ours = result.channel.is_some_and(|channel| channel.get() == "\"trade\"");
    let bad = |bad: BadRow| BadFrame::new(bad.to_string());
    match ours {
        true => {
            let symbol = field::text("symbol", result.symbol).map_err(bad)?;
            Ok(FrameKind::Acknowledged(Acknowledged::Symbol(symbol.into_owned())))
        }
        false => Ok(FrameKind::Other("subscribe")),
    }
}

/// One refusal per pair, which it names.
fn refusal(message: &Message<'_>) -> Refusal {
    let symbol = field::text("symbol", message.symbol).ok();
    Refusal {
        said: message.error.map_or("no reason given", |error| error.get()).to_owned(),
        symbol: symbol.map(|symbol| symbol.into_owned()),
        request: field::bare_integer("req_id", message.request).ok(),
    }
}

impl Decoder {
    fn read_row(&self, row: &Row<'_>, prints: &mut Prints) -> Result<(), BadRow> {
        let symbol = field::text("symbol", row.symbol)?;
        let Some((slot, listing)) = self.symbol_table.find(symbol.as_bytes()) else {
            prints.foreign += 1;
            return Ok(());
        };
        let at_slot = |bad: BadRow| BadRow { slot: Some(slot), ..bad };
        let id = field::bare_integer("trade_id", row.id).map_err(at_slot)?;
        let known = |bad: BadRow| BadRow { slot: Some(slot), id: Some(id), ..bad };
        let price = field::bare_decimal("price", row.price).map_err(known)?;
        let qty = field::bare_decimal("qty", row.qty).map_err(known)?;
        let time = to_microseconds(field::rfc3339("timestamp", row.time).map_err(known)?);
        let side = field::taker("side", row.side, "buy", "sell").map_err(known)?;
        prints.push(slot, listing.contract, PrintId::Number(id), 1, time, price, qty, side);
        Ok(())
    }
}
