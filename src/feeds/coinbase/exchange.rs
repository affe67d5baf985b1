//! Exchange: the channel `matches`.
//!
//! ```json
//! {"type":"match","trade_id":216544,"maker_order_id":"…","taker_order_id":"…","side":"buy","size":"0.97133855","price":"4.978","product_id":"ETC-GBP","sequence":253395153,"time":"2019-08-01T00:00:03.816000Z"}
//! ```

use super::aggressor;
use crate::feeds::field::{self, object};
use crate::feeds::print::{Acknowledged, BadFrame, BadRow, FrameKind, PrintId, Prints, Refusal};
use crate::feeds::symbol_table::SymbolTable;
use crate::feeds::venue::Decode;

/// The trades of these products, and the venue's heartbeats.
pub(super) fn subscribe(products: &[&str]) -> String {
    let channels = ["matches", "heartbeat"];
    serde_json::json!({"type": "subscribe", "product_ids": products, "channels": channels})
        .to_string()
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
    struct Message {
        kind: "type", product: "product_id", id: "trade_id", price: "price", size: "size",
        time: "time", side: "side", channels: "channels", message: "message", reason: "reason",
        bids: "bids",
    }
}

object! {
    struct Subscribed { name: "name", products: "product_ids" }
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &[u8], prints: &mut Prints) -> Result<FrameKind, BadFrame> {
        let message: Message<'_> =
            serde_json::from_slice(frame).map_err(|error| field::malformed(&error))?;
        let Some(kind) = message.kind else {
            return Ok(match message.bids {
                Some(_) => FrameKind::Other("book snapshot"),
                None => FrameKind::Unknown,
            });
        };
        match kind.get() {
            "\"match\"" | "\"last_match\"" => {
                if let Err(bad) = self.read_row(&message, prints) {
                    prints.bad.push(bad);
                }
                Ok(FrameKind::Trades)
            }
            "\"heartbeat\"" => Ok(FrameKind::Alive),
            "\"subscriptions\"" => confirmed(&message),
            "\"error\"" => {
                let said = [message.message, message.reason];
                let said: Vec<&str> = said.iter().flatten().map(|field| field.get()).collect();
                Ok(FrameKind::Refused(Refusal::new(said.join(": "))))
            }
            "\"snapshot\"" => Ok(FrameKind::Other("snapshot")),
            "\"l2update\"" => Ok(FrameKind::Other("l2update")),
            "\"ticker\"" => Ok(FrameKind::Other("ticker")),
            "\"status\"" => Ok(FrameKind::Other("status")),
            "\"open\"" | "\"done\"" | "\"received\"" | "\"change\"" | "\"activate\"" => {
                Ok(FrameKind::Other("full channel"))
            }
            _ => Ok(FrameKind::Unknown),
        }
    }
}

/// An acknowledgement lists all that is subscribed by now.
fn confirmed(message: &Message<'_>) -> Result<FrameKind, BadFrame> {
    let channels: Vec<Subscribed<'_>> = field::list("channels", message.channels)?;
    let mut all = Vec::new();
    for channel in channels.iter().filter(|c| c.name.is_some_and(|n| n.get() == "\"matches\"")) {
        all = field::list::<String>("product_ids", channel.products)?;
    }
    Ok(FrameKind::Acknowledged(Acknowledged::All(all)))
}

impl Decoder {
    fn read_row(&self, row: &Message<'_>, prints: &mut Prints) -> Result<(), BadRow> {
        let product = field::text("product_id", row.product)?;
        let Some((slot, listing)) = self.symbol_table.find(product.as_bytes()) else {
            prints.foreign += 1;
            return Ok(());
        };
        let at_slot = |bad: BadRow| BadRow { slot: Some(slot), ..bad };
        let id = field::bare_integer("trade_id", row.id).map_err(at_slot)?;
        let known = |bad: BadRow| BadRow { slot: Some(slot), id: Some(id), ..bad };
        let price = field::quoted_decimal("price", row.price).map_err(known)?;
        let size = field::quoted_decimal("size", row.size).map_err(known)?;
        let time = field::rfc3339("time", row.time).map_err(known)?;
        let side = aggressor("side", row.side, "buy", "sell").map_err(known)?;
        prints.push(slot, listing.contract, PrintId::Number(id), 1, time, price, size, side);
        Ok(())
    }
}
