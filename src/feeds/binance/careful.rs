//! Every message of Binance, in any order of keys, with a name for whatever is wrong.

use barflow_operators::trade::Aggressor;
use barflow_replay::binance::is_not_a_trade;
use serde_json::value::RawValue;

use super::{ADL, INSURANCE_FUND, NOT_MARKET, ZERO, event_time, span};
use crate::feeds::field::{self, object};
use crate::feeds::print::{Acknowledged, BadFrame, BadRow, FrameKind, PrintId, Prints, Refusal};
use crate::feeds::symbol_table::SymbolTable;
use crate::feeds::venue::Channel;

object! {
    /// All keys that any message of interest has; a key may mean different things in different
    /// ones. `result` is `null` where all is well, so being there is what counts.
    struct Message {
        data: "data", e: "e", s: "s", t: "t", a: "a", f: "f", l: "l", p: "p", q: "q", time: "T",
        kind: "X", m: "m", of_spot: "M", u: "u", last_update: "lastUpdateId", id: "id", result: "result",
        code: "code", msg: "msg", error: "error",
    }
}

/// Messages of other channels, as their `e` names them.
const KNOWN: [&str; 16] = [
    "depthUpdate",
    "bookTicker",
    "kline",
    "continuous_kline",
    "24hrTicker",
    "24hrMiniTicker",
    "1hTicker",
    "4hTicker",
    "1dTicker",
    "avgPrice",
    "markPriceUpdate",
    "indexPriceUpdate",
    "forceOrder",
    "compositeIndex",
    "contractInfo",
    "serverShutdown",
];

/// Reads any frame.
pub(super) fn read(
    frame: &[u8],
    channel: Channel,
    symbol_table: &SymbolTable,
    prints: &mut Prints,
) -> Result<FrameKind, BadFrame> {
    let outer: Message<'_> =
        serde_json::from_slice(frame).map_err(|error| field::malformed(&error))?;
    match outer.data.map(RawValue::get) {
        // `!ticker@arr` and its like.
        Some(data) if data.starts_with('[') => Ok(FrameKind::Other("array stream")),
        Some(data) => {
            let inner: Message<'_> =
                serde_json::from_str(data).map_err(|error| field::malformed(&error))?;
            read_event(&inner, channel, symbol_table, prints)
        }
        // A raw stream (`/ws/btcusdt@trade`) has no envelope.
        None => read_event(&outer, channel, symbol_table, prints),
    }
}

fn read_event(
    message: &Message<'_>,
    channel: Channel,
    symbol_table: &SymbolTable,
    prints: &mut Prints,
) -> Result<FrameKind, BadFrame> {
    let Some(event) = message.e else { return Ok(without_event(message)) };
    let event = field::text("e", Some(event)).map_err(|bad| BadFrame::new(bad.to_string()))?;
    match (&*event, channel) {
        ("trade", Channel::Trades) | ("aggTrade", Channel::Aggregates) => {
            if let Err(bad) = read_print(message, channel, symbol_table, prints) {
                prints.bad.push(bad);
            }
            Ok(FrameKind::Trades)
        }
        ("trade", _) => Ok(FrameKind::Other("trade")),
        ("aggTrade", _) => Ok(FrameKind::Other("aggTrade")),
        (event, _) => Ok(KNOWN
            .iter()
            .find(|known| **known == event)
            .map_or(FrameKind::Unknown, |known| FrameKind::Other(known))),
    }
}

/// Spot's best bid and offer, answers to requests, and depth snapshots have no `e`.
fn without_event(message: &Message<'_>) -> FrameKind {
    let request = field::bare_integer("id", message.id).ok();
    if message.error.is_some() || (message.code.is_some() && message.msg.is_some()) {
        let said = [message.error, message.code, message.msg];
        let said: Vec<&str> = said.iter().flatten().map(|field| field.get()).collect();
        FrameKind::Refused(Refusal { request, ..Refusal::new(said.join(" ")) })
    } else if message.result.is_some() && message.id.is_some() {
        FrameKind::Acknowledged(Acknowledged::Request(request))
    } else if message.last_update.is_some() {
        FrameKind::Other("depth snapshot")
    } else if message.u.is_some() && message.s.is_some() && message.a.is_some() {
        FrameKind::Other("bookTicker")
    } else {
        FrameKind::Unknown
    }
}

fn read_print(
    message: &Message<'_>,
    channel: Channel,
    symbol_table: &SymbolTable,
    prints: &mut Prints,
) -> Result<(), BadRow> {
    let symbol = field::text("s", message.s)?;
    let Some((slot, listing)) = symbol_table.find(symbol.as_bytes()) else {
        prints.foreign += 1;
        return Ok(());
    };
    let at_slot = |bad: BadRow| BadRow { slot: Some(slot), ..bad };
    let id = match channel {
        Channel::Trades => field::bare_integer("t", message.t),
        Channel::Aggregates => field::bare_integer("a", message.a),
    }
    .map_err(at_slot)?;
    let known = |bad: BadRow| BadRow { slot: Some(slot), id: Some(id), ..bad };
    let price = field::quoted_decimal("p", message.p).map_err(known)?;
    let qty = field::quoted_decimal("q", message.q).map_err(known)?;
    let time = event_time(field::bare_integer("T", message.time).map_err(known)?);
    let seller = field::boolean("m", message.m).map_err(known)?;
    let count = match channel {
        Channel::Trades => 1,
        Channel::Aggregates => {
            let first = field::bare_integer("f", message.f).map_err(known)?;
            let last = field::bare_integer("l", message.l).map_err(known)?;
            let reason = "is not the last of a range that begins with f";
            span(first, last).ok_or_else(|| known(field::wrong("l", message.l, reason)))?
        }
    };
    // Only futures number what is not a trade; on spot a quantity of 0 is a bad row, as in archives.
    if message.of_spot.is_none() && is_not_a_trade(qty) {
        prints.exclude(slot, id, time, ZERO);
        return Ok(());
    }
    if let Some(kind) = message.kind {
        let kind = field::text("X", Some(kind)).map_err(known)?;
        let reason = match &*kind {
            "MARKET" => None,
            "INSURANCE_FUND" => Some(INSURANCE_FUND),
            "ADL" => Some(ADL),
            _ => Some(NOT_MARKET),
        };
        if let Some(reason) = reason {
            prints.exclude(slot, id, time, reason);
            return Ok(());
        }
    }
    let aggressor = if seller { Aggressor::Seller } else { Aggressor::Buyer };
    prints.push(slot, listing.contract, PrintId::Number(id), count, time, price, qty, aggressor);
    Ok(())
}
