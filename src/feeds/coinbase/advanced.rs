//! Advanced Trade: the channel `market_trades`.
//!
//! ```json
//! {"channel":"market_trades","timestamp":"…","sequence_num":0,"events":[{"type":"update","trades":[
//!   {"product_id":"BTC-USD","trade_id":"1068572090","price":"65083.67","size":"0.002186","time":"2026-08-09T21:05:42.514318Z","side":"SELL"}]}]}
//! ```

use super::aggressor;
use crate::feeds::field::{self, object};
use crate::feeds::print::{Acknowledged, BadFrame, BadRow, FrameKind, PrintId, Prints, Refusal};
use crate::feeds::symbol_table::SymbolTable;
use crate::feeds::venue::Decode;

/// The trades of these products, and the venue's heartbeats.
pub(super) fn subscribe(products: &[&str]) -> Vec<String> {
    ["market_trades", "heartbeats"]
        .map(|channel| {
            let message =
                serde_json::json!({"type": "subscribe", "product_ids": products, "channel": channel});
            message.to_string()
        })
        .into()
}

/// Reads one connection.
pub(super) struct Decoder {
    symbol_table: SymbolTable,
}

impl Decoder {
    pub(super) fn new(symbol_table: SymbolTable) -> Self {
        Self { symbol_table }
    }
}

object! {
    struct Message { channel: "channel", events: "events", kind: "type", message: "message" }
}

object! {
    struct Event { trades: "trades", subscriptions: "subscriptions" }
}

object! {
    struct Subscriptions { market_trades: "market_trades" }
}

object! {
    struct Row {
        product: "product_id", id: "trade_id", price: "price", size: "size", time: "time",
        side: "side",
    }
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &[u8], prints: &mut Prints) -> Result<FrameKind, BadFrame> {
        let message: Message<'_> =
            serde_json::from_slice(frame).map_err(|error| field::malformed(&error))?;
        let Some(channel) = message.channel else {
            return Ok(match (message.kind, message.message) {
                (Some(kind), Some(said)) if kind.get() == "\"error\"" => {
                    FrameKind::Refused(Refusal::new(said.get()))
                }
                _ => FrameKind::Unknown,
            });
        };
        match channel.get() {
            "\"market_trades\"" => {
                field::each("events", message.events, |event: Event<'_>| {
                    field::rows("trades", event.trades, prints, |row, prints| {
                        self.read_row(row, prints)
                    })
                })?;
                // Each product's rows were newest first; several events follow each other in time.
                prints.rows.sort_unstable_by_key(|print| (print.slot, print.trade.trade_id));
                Ok(FrameKind::Trades)
            }
            "\"heartbeats\"" => Ok(FrameKind::Alive),
            "\"subscriptions\"" => confirmed(&message),
            "\"l2_data\"" => Ok(FrameKind::Other("l2_data")),
            "\"ticker\"" | "\"ticker_batch\"" => Ok(FrameKind::Other("ticker")),
            "\"candles\"" => Ok(FrameKind::Other("candles")),
            "\"status\"" => Ok(FrameKind::Other("status")),
            _ => Ok(FrameKind::Unknown),
        }
    }
}

/// An acknowledgement lists all that is subscribed by now.
fn confirmed(message: &Message<'_>) -> Result<FrameKind, BadFrame> {
    let events: Vec<Event<'_>> = field::list("events", message.events)?;
    let mut all = Vec::new();
    for event in &events {
        let Some(subscriptions) = event.subscriptions else { continue };
        let subscriptions: Subscriptions<'_> =
            serde_json::from_str(subscriptions.get()).map_err(|error| field::malformed(&error))?;
        if subscriptions.market_trades.is_some() {
            all = field::list("market_trades", subscriptions.market_trades)?;
        }
    }
    Ok(FrameKind::Acknowledged(Acknowledged::All(all)))
}

impl Decoder {
    fn read_row(&self, row: &Row<'_>, prints: &mut Prints) -> Result<(), BadRow> {
        let product = field::text("product_id", row.product)?;
        let Some((slot, listing)) = self.symbol_table.find(product.as_bytes()) else {
            prints.foreign += 1;
            return Ok(());
        };
        let at_slot = |bad: BadRow| BadRow { slot: Some(slot), ..bad };
        let id = field::quoted_integer("trade_id", row.id).map_err(at_slot)?;
        let known = |bad: BadRow| BadRow { slot: Some(slot), id: Some(id), ..bad };
        let price = field::quoted_decimal("price", row.price).map_err(known)?;
        let size = field::quoted_decimal("size", row.size).map_err(known)?;
        let time = field::rfc3339("time", row.time).map_err(known)?;
        let side = aggressor("side", row.side, "BUY", "SELL").map_err(known)?;
        prints.push(slot, listing.contract, PrintId::Number(id), 1, time, price, size, side);
        Ok(())
    }
}
