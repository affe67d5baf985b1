//! Bybit v5: `publicTrade` of spot (`bybit-spot`), linear (`bybit-linear`) and inverse contracts
//! (`bybit-inverse`). Version 2 (`trade.BTCUSD`) is another protocol.
//!
//! | what | relied on |
//! |---|---|
//! | ids | `i` is a UUID on linear and inverse, on spot a number that grows but is not consecutive per symbol (recorded steps of 3, 22, 13): unique names, no order. `seq` is shared by several trades and skips |
//! | order | as a connection sends them, which is that of the matching engine |
//! | aggressor | `S` is the taker's side |
//! | time | `T`, ms |
//! | inverse quantity | contracts of 1 USD |
//! | block trades | `BT`: negotiated off the book, without an aggressor: excluded, counted |
//! | keepalive | `{"op":"ping"}` every 20 s |
//!
//! A trade that the venue leaves out of a connection that stays up cannot be noticed; after a
//! reconnect the list of recent trades (1,000; spot 60) shows what was missed, or that it does not
//! reach back far enough, which makes a gap.
//!
//! Sources: [public trade](https://bybit-exchange.github.io/docs/v5/websocket/public/trade),
//! [connect](https://bybit-exchange.github.io/docs/v5/ws/connect),
//! [recent trades](https://bybit-exchange.github.io/docs/v5/market/recent-trade).

use std::sync::Arc;
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;
use xxhash_rust::xxh3::xxh3_64;

use super::field::{self, Field, object};
use super::print::{
    Acknowledged, BadFrame, BadRow, Contract, FrameKind, Ids, Listing, PrintId, Prints, Refusal,
};
use super::symbol_table::SymbolTable;
use super::venue::{Channel, Decode, Keepalive, Limits, Missing, RefusedBy, Request, Venue};
use crate::printable::said;

#[cfg(test)]
mod tests;

/// Why a block trade does not count.
pub const BLOCK_TRADE: &str = "block trade";

/// Topics that one subscription message names: spot takes no more.
const TOPICS_PER_MESSAGE: usize = 10;

/// One of Bybit's markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bybit {
    /// Spot.
    Spot,
    /// Contracts margined in USDT or USDC.
    Linear,
    /// Contracts margined in coin.
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
}

impl Venue for Bybit {
    fn protocol(&self) -> &'static str {
        match self {
            Self::Spot => "bybit-spot",
            Self::Linear => "bybit-linear",
            Self::Inverse => "bybit-inverse",
        }
    }

    fn instrument(&self, symbol: &str) -> Result<InstrumentId, String> {
        let valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
        if symbol.is_empty() || !symbol.chars().all(valid) {
            return Err("not a symbol of Bybit such as BTCUSDT".to_owned());
        }
        let market = self.category();
        format!("bybit:{market}:{symbol}").parse().map_err(|error| format!("{error}"))
    }

    fn contract(&self, _symbol: &str, size: Option<f64>) -> Result<Contract, String> {
        match (self, size) {
            (Self::Inverse, size) => Ok(Contract::Inverse { size: size.unwrap_or(1.0) }),
            (_, None) => Ok(Contract::Base),
            (_, Some(_)) => {
                Err("quantities are in base currency here: no contract_size".to_owned())
            }
        }
    }

    fn ids(&self, _channel: Channel) -> Ids {
        Ids::Names
    }

    /// 500 connections in five minutes; 600 REST requests in five seconds.
    fn limits(&self) -> Limits {
        Limits {
            symbols_per_connection: 200,
            symbols_per_message: TOPICS_PER_MESSAGE,
            messages_per_second: 10,
            connects: (500, Duration::from_secs(300)),
            lifetime: None,
            requests: (600, Duration::from_secs(5)),
        }
    }

    fn websocket_base(&self) -> &'static str {
        "wss://stream.bybit.com"
    }

    fn hosts(&self) -> &'static [&'static str] {
        &["stream.bybit.com", "stream.bytick.com"]
    }

    fn websocket_path(&self, _channel: Channel, _listings: &[Listing]) -> String {
        format!("/v5/public/{}", self.category())
    }

    fn subscribe(&self, _channel: Channel, listings: &[Listing], request: u64) -> Vec<String> {
        let messages = listings.chunks(TOPICS_PER_MESSAGE).zip(request..);
        messages
            .map(|(listings, number)| {
                let topics: Vec<String> =
                    listings.iter().map(|l| format!("publicTrade.{}", l.symbol)).collect();
                serde_json::json!({"req_id": number.to_string(), "op": "subscribe", "args": topics})
                    .to_string()
            })
            .collect()
    }

    fn refused_by(&self) -> RefusedBy {
        RefusedBy::Message
    }

    fn keepalive(&self) -> Option<Keepalive> {
        Some(Keepalive { every: Duration::from_secs(20), text: Some(r#"{"op":"ping"}"#) })
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn decoder(&self, _channel: Channel, listings: Arc<[Listing]>) -> Box<dyn Decode> {
        Box::new(Decoder { symbol_table: SymbolTable::new(listings) })
    }

    fn rest_base(&self) -> &'static str {
        "https://api.bybit.com"
    }

    /// Too many requests, for ten minutes.
    fn refusals(&self) -> &'static [u16] {
        &[403]
    }

    /// The newest trades are all that REST has: it cannot be asked for older ones.
    fn backfill(
        &self,
        _channel: Channel,
        listing: &Listing,
        _missing: &Missing,
    ) -> Option<Request> {
        let limit = if *self == Self::Spot { 60 } else { 1000 };
        let (category, symbol) = (self.category(), &listing.symbol);
        let path =
            format!("/v5/market/recent-trade?category={category}&symbol={symbol}&limit={limit}");
        Some(Request { path, weight: 1 })
    }

    fn read_backfill(
        &self,
        _channel: Channel,
        slot: u32,
        listing: &Listing,
        body: &[u8],
        prints: &mut Prints,
    ) -> Result<(), BadFrame> {
        let answer: Answer<'_> =
            serde_json::from_slice(body).map_err(|error| field::malformed(&error))?;
        let code = answer.code.map(|code| code.get());
        let (Some("0"), Some(result)) = (code, answer.result) else {
            let said = said(body);
            let refusal = code.is_some_and(|code| NOT_NOW.contains(&code));
            return Err(BadFrame { what: format!("Bybit responded: {said}"), refusal });
        };
        let result: List<'_> =
            serde_json::from_str(result.get()).map_err(|error| field::malformed(&error))?;
        let rows: Vec<RestRow<'_>> = field::list("list", result.list)?;
        // Newest first.
        for row in rows.iter().rev() {
            let columns = Columns {
                name: ("execId", row.name),
                time: ("time", row.time, field::quoted_integer),
                price: ("price", row.price),
                qty: ("size", row.qty),
                side: ("side", row.side),
                block: row.block,
            };
            let ours = field::of_symbol("symbol", row.symbol, &listing.symbol);
            if let Err(bad) = ours.and_then(|()| columns.read(slot, listing, prints)) {
                prints.bad.push(BadRow { slot: Some(slot), ..bad });
            }
        }
        Ok(())
    }
}

/// Codes of limits and of servers that are busy
/// ([list](https://bybit-exchange.github.io/docs/v5/error)).
const NOT_NOW: [&str; 5] = ["10000", "10006", "10016", "10018", "10429"];

object! {
    struct Answer { code: "retCode", result: "result" }
}

object! {
    struct List { list: "list" }
}

object! {
    struct RestRow {
        name: "execId", price: "price", qty: "size", side: "side", time: "time",
        block: "isBlockTrade", symbol: "symbol",
    }
}

object! {
    struct Message {
        topic: "topic", data: "data", op: "op", success: "success", said: "ret_msg", request: "req_id",
    }
}

object! {
    struct Row { symbol: "s", time: "T", side: "S", qty: "v", price: "p", name: "i", block: "BT" }
}

struct Decoder {
    symbol_table: SymbolTable,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &[u8], prints: &mut Prints) -> Result<FrameKind, BadFrame> {
        let message: Message<'_> =
            serde_json::from_slice(frame).map_err(|error| field::malformed(&error))?;
        let Some(topic) = message.topic else { return Ok(answered(&message)) };
        let topic =
            field::text("topic", Some(topic)).map_err(|bad| BadFrame::new(bad.to_string()))?;
        let kind = topic.split('.').next().unwrap_or_default();
        match kind {
            "publicTrade" => {
                field::rows("data", message.data, prints, |row, prints| {
                    self.read_row(row, prints)
                })?;
                Ok(FrameKind::Trades)
            }
            _ => {
                const KNOWN: [&str; 9] = [
                    "orderbook",
                    "tickers",
                    "kline",
                    "kline_lt",
                    "liquidation",
                    "allLiquidation",
                    "tickers_lt",
                    "insurance",
                    "priceLimit",
                ];
                let known = KNOWN.iter().find(|known| **known == kind);
                Ok(known.map_or(FrameKind::Unknown, |known| FrameKind::Other(known)))
            }
        }
    }
}

/// Answers to what we said.
fn answered(message: &Message<'_>) -> FrameKind {
    let request = field::quoted_integer("req_id", message.request).ok();
    match (message.op.map(|op| op.get()), message.success.map(|success| success.get())) {
        (Some("\"ping\"" | "\"pong\""), _) => FrameKind::Alive,
        (Some("\"subscribe\""), Some("true")) => {
            FrameKind::Acknowledged(Acknowledged::Request(request))
        }
        (_, Some("false")) => {
            let said = message.said.map_or("no reason given", |said| said.get());
            FrameKind::Refused(Refusal { request, ..Refusal::new(said) })
        }
        _ => FrameKind::Unknown,
    }
}

impl Decoder {
    fn read_row(&self, row: &Row<'_>, prints: &mut Prints) -> Result<(), BadRow> {
        let symbol = field::text("s", row.symbol)?;
        let Some((slot, listing)) = self.symbol_table.find(symbol.as_bytes()) else {
            prints.foreign += 1;
            return Ok(());
        };
        let columns = Columns {
            name: ("i", row.name),
            time: ("T", row.time, field::bare_integer),
            price: ("p", row.price),
            qty: ("v", row.qty),
            side: ("S", row.side),
            block: row.block,
        };
        columns.read(slot, listing, prints).map_err(|bad| BadRow { slot: Some(slot), ..bad })
    }
}

type Named<'a> = (&'static str, Field<'a>);

/// A number as a text, or bare.
type ReadInteger = fn(&'static str, Field<'_>) -> Result<u64, BadRow>;

/// A trade as the websocket and REST both have it, under different names.
struct Columns<'a> {
    name: Named<'a>,
    time: (&'static str, Field<'a>, ReadInteger),
    price: Named<'a>,
    qty: Named<'a>,
    side: Named<'a>,
    block: Field<'a>,
}

impl Columns<'_> {
    fn read(&self, slot: u32, listing: &Listing, prints: &mut Prints) -> Result<(), BadRow> {
        let key = xxh3_64(field::text(self.name.0, self.name.1)?.as_bytes());
        let (name, time, read) = self.time;
        let time = field::milliseconds(name, time, read(name, time)?)?;
        let price = field::quoted_decimal(self.price.0, self.price.1)?;
        let qty = field::quoted_decimal(self.qty.0, self.qty.1)?;
        let side = field::taker(self.side.0, self.side.1, "Buy", "Sell")?;
        if self.block.is_some_and(|block| block.get() == "true") {
            prints.exclude(slot, key, time, BLOCK_TRADE);
            return Ok(());
        }
        prints.push(slot, listing.contract, PrintId::Name(key), 1, time, price, qty, side);
        Ok(())
    }
}
