//! OKX v5: channels `trades-all` (our `trades`) and `trades` (our `aggregates`) (`okx`).
//!
//! | what | relied on |
//! |---|---|
//! | endpoints | `trades-all` is served at `/ws/v5/business`, `trades` at `/ws/v5/public` |
//! | ids | `tradeId` is consecutive per instrument; in `trades` it is the last of `count` trades of one taker order at one price |
//! | aggressor | `side` is the taker's |
//! | time | `ts`, ms |
//! | quantity | base currency on spot, contracts on swaps and futures: linear ones of `ctVal` base currency (to be configured), inverse ones of 100 USD (BTC) or 10 USD (others) |
//! | keepalive | the text `ping`, answered by `pong`, at least every 30 s |
//!
//! REST lists single trades: what is missing of `trades` comes back as single trades too.
//!
//! Sources: [all trades](https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-all-trades-channel),
//! [trades](https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-trades-channel),
//! [trades history](https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-trades-history).

use std::sync::Arc;
use std::time::Duration;

use barflow_operators::batch::InputKind;
use barflow_operators::instrument::InstrumentId;

use super::field::{self, object};
use super::print::{
    Acknowledged, BadFrame, BadRow, Contract, FrameKind, Ids, Listing, PrintId, Prints, Refusal,
};
use super::symbol_table::SymbolTable;
use super::venue::{
    Channel, Decode, Keepalive, Limits, Missing, MissingTrades, RefusedBy, Request, Venue,
};
use crate::printable::said;

#[cfg(test)]
mod tests;

/// Instruments that one subscription message names: 64 KB would hold more.
const ARGS_PER_MESSAGE: usize = 100;

/// OKX: spot, swaps and futures.
#[derive(Clone, Copy, Debug)]
pub struct Okx;

/// What an instrument's name says of it.
fn market(symbol: &str) -> Result<&'static str, String> {
    let parts: Vec<&str> = symbol.split('-').collect();
    let valid = |part: &&str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    match parts.as_slice() {
        parts if !parts.iter().all(valid) => {}
        [_, _] => return Ok("spot"),
        [_, _, "SWAP"] => return Ok("swap"),
        [_, _, date] if date.len() == 6 && date.bytes().all(|b| b.is_ascii_digit()) => {
            return Ok("futures");
        }
        [_, _, _, _, "C" | "P"] => return Err("options make no bars here".to_owned()),
        _ => {}
    }
    Err("not an instrument of OKX such as BTC-USDT, BTC-USDT-SWAP or BTC-USD-240329".to_owned())
}

fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Trades => "trades-all",
        Channel::Aggregates => "trades",
    }
}

impl Venue for Okx {
    fn protocol(&self) -> &'static str {
        "okx"
    }

    fn channels(&self) -> &'static [Channel] {
        &[Channel::Trades, Channel::Aggregates]
    }

    fn instrument(&self, symbol: &str) -> Result<InstrumentId, String> {
        let market = market(symbol)?;
        format!("okx:{market}:{symbol}").parse().map_err(|error| format!("{error}"))
    }

    fn contract(&self, symbol: &str, size: Option<f64>) -> Result<Contract, String> {
        if market(symbol)? == "spot" {
            return Contract::of_spot(size);
        }
        let mut parts = symbol.split('-');
        let (base, quote) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match (quote, size) {
            ("USD", Some(size)) => Ok(Contract::Inverse { size }),
            ("USD", None) => {
                Ok(Contract::Inverse { size: if base == "BTC" { 100.0 } else { 10.0 } })
            }
            (_, Some(size)) => Ok(Contract::Linear { size }),
            (_, None) => Err(format!(
                "a contract of {symbol} is worth so much {base} as ctVal of GET \
                 /api/v5/public/instruments says: set contract_size"
            )),
        }
    }

    fn input(&self, channel: Channel) -> InputKind {
        match channel {
            Channel::Trades => InputKind::Trades,
            Channel::Aggregates => InputKind::AggTrades,
        }
    }

    fn ids(&self, channel: Channel) -> Ids {
        match channel {
            Channel::Trades => Ids::Consecutive,
            Channel::Aggregates => Ids::Spans,
        }
    }

    /// [3 connections a second, 480 subscriptions an hour and connection](https://www.okx.com/docs-v5/en/#overview-websocket-connect);
    /// `history-trades` 20 requests in 2 s.
    fn limits(&self) -> Limits {
        Limits {
            symbols_per_connection: 200,
            symbols_per_message: ARGS_PER_MESSAGE,
            messages_per_second: 5,
            connects: (3, Duration::from_secs(1)),
            lifetime: None,
            requests: (20, Duration::from_secs(2)),
        }
    }

    fn websocket_base(&self) -> &'static str {
        "wss://ws.okx.com:8443"
    }

    fn hosts(&self) -> &'static [&'static str] {
        &[
            "ws.okx.com",
            "wsaws.okx.com",
            "wseea.okx.com",
            "wsus.okx.com",
            "ws.okex.com",
            "wsaws.okex.com",
        ]
    }

    fn websocket_path(&self, channel: Channel, _listings: &[Listing]) -> String {
        match channel {
            Channel::Trades => "/ws/v5/business".to_owned(),
            Channel::Aggregates => "/ws/v5/public".to_owned(),
        }
    }

    fn subscribe(&self, channel: Channel, listings: &[Listing], _request: u64) -> Vec<String> {
        let name = channel_name(channel);
        let messages = listings.chunks(ARGS_PER_MESSAGE);
        messages
            .map(|listings| {
                let args: Vec<_> = listings
                    .iter()
                    .map(|l| serde_json::json!({"channel": name, "instId": l.symbol}))
                    .collect();
                serde_json::json!({"op": "subscribe", "args": args}).to_string()
            })
            .collect()
    }

    fn refused_by(&self) -> RefusedBy {
        RefusedBy::Symbol
    }

    fn keepalive(&self) -> Option<Keepalive> {
        Some(Keepalive { every: Duration::from_secs(20), text: Some("ping") })
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(45)
    }

    fn decoder(&self, channel: Channel, listings: Arc<[Listing]>) -> Box<dyn Decode> {
        Box::new(Decoder { channel, symbol_table: SymbolTable::new(listings) })
    }

    fn rest_base(&self) -> &'static str {
        "https://www.okx.com"
    }

    /// Newest first, older than `after`: the page that begins with the first missing id. The newest
    /// trades are in the shorter list first.
    fn backfill(&self, _channel: Channel, listing: &Listing, missing: &Missing) -> Option<Request> {
        let symbol = &listing.symbol;
        let path = match missing.trades {
            MissingTrades::Ids { first, .. } => format!(
                "/api/v5/market/history-trades?instId={symbol}&type=1&after={}&limit=100",
                first.saturating_add(100)
            ),
            MissingTrades::Since(_) | MissingTrades::Interruption(_) => {
                format!("/api/v5/market/trades?instId={symbol}&limit=500")
            }
        };
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
        let answer: Message<'_> =
            serde_json::from_slice(body).map_err(|error| field::malformed(&error))?;
        if answer.code.is_none_or(|code| code.get() != "\"0\"") {
            let said = said(body);
            let refusal = answer.code.is_some_and(|code| NOT_NOW.contains(&code.get()));
            return Err(BadFrame { what: format!("OKX responded: {said}"), refusal });
        }
        let rows: Vec<Row<'_>> = field::list("data", answer.data)?;
        for row in rows.iter().rev() {
            let ours = field::of_symbol("instId", row.symbol, &listing.symbol);
            if let Err(bad) = ours.and_then(|()| read_row(slot, listing, row, prints)) {
                prints.bad.push(BadRow { slot: Some(slot), ..bad });
            }
        }
        prints.rows.sort_by_key(|print| print.trade.trade_id);
        Ok(())
    }
}

/// Codes of limits and of servers that are busy ([list](https://www.okx.com/docs-v5/en/#error-code)).
const NOT_NOW: [&str; 5] = ["\"50001\"", "\"50004\"", "\"50011\"", "\"50013\"", "\"50026\""];

object! {
    struct Message { arg: "arg", data: "data", event: "event", code: "code", said: "msg" }
}

object! {
    struct Arg { channel: "channel", symbol: "instId" }
}

object! {
    struct Row {
        symbol: "instId", id: "tradeId", price: "px", qty: "sz", side: "side", time: "ts",
        count: "count",
    }
}

struct Decoder {
    channel: Channel,
    symbol_table: SymbolTable,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &[u8], prints: &mut Prints) -> Result<FrameKind, BadFrame> {
        if frame == b"pong" {
            return Ok(FrameKind::Alive);
        }
        let message: Message<'_> =
            serde_json::from_slice(frame).map_err(|error| field::malformed(&error))?;
        let arg: Option<Arg<'_>> = message
            .arg
            .map(|arg| serde_json::from_str(arg.get()))
            .transpose()
            .map_err(|error| field::malformed(&error))?;
        let channel = arg.as_ref().and_then(|arg| arg.channel).map_or("", |channel| channel.get());
        let ours = channel.trim_matches('"') == channel_name(self.channel);
        if let Some(event) = message.event {
            return Ok(match event.get() {
                "\"subscribe\"" if ours => {
                    let symbol = symbol(&arg).unwrap_or_default();
                    FrameKind::Acknowledged(Acknowledged::Symbol(symbol))
                }
                "\"error\"" => {
                    let said = [message.code, message.said];
                    let said: Vec<&str> = said.iter().flatten().map(|field| field.get()).collect();
                    FrameKind::Refused(Refusal {
                        symbol: symbol(&arg),
                        ..Refusal::new(said.join(" "))
                    })
                }
                "\"subscribe\"" => FrameKind::Other("subscribe"),
                "\"unsubscribe\"" => FrameKind::Other("unsubscribe"),
                "\"notice\"" => FrameKind::Other("notice"),
                "\"channel-conn-count\"" => FrameKind::Other("channel-conn-count"),
                "\"channel-conn-count-error\"" => {
                    let said = "too many connections listen to this channel";
                    FrameKind::Refused(Refusal { symbol: symbol(&arg), ..Refusal::new(said) })
                }
                _ => FrameKind::Unknown,
            });
        }
        if ours {
            field::rows("data", message.data, prints, |row, prints| self.read_row(row, prints))?;
            return Ok(FrameKind::Trades);
        }
        const KNOWN: [&str; 8] =
            ["trades", "trades-all", "tickers", "books", "books5", "bbo-tbt", "candle1m", "status"];
        let known = KNOWN.iter().find(|known| **known == channel.trim_matches('"'));
        Ok(known.map_or(FrameKind::Unknown, |known| FrameKind::Other(known)))
    }
}

/// The instrument that an answer is about.
fn symbol(arg: &Option<Arg<'_>>) -> Option<String> {
    let symbol = field::text("instId", arg.as_ref()?.symbol).ok()?;
    Some(symbol.into_owned())
}

impl Decoder {
    fn read_row(&self, row: &Row<'_>, prints: &mut Prints) -> Result<(), BadRow> {
        let symbol = field::text("instId", row.symbol)?;
        match self.symbol_table.find(symbol.as_bytes()) {
            Some((slot, listing)) => read_row(slot, listing, row, prints),
            None => {
                prints.foreign += 1;
                Ok(())
            }
        }
    }
}

fn read_row(
    slot: u32,
    listing: &Listing,
    row: &Row<'_>,
    prints: &mut Prints,
) -> Result<(), BadRow> {
    let at_slot = |bad: BadRow| BadRow { slot: Some(slot), ..bad };
    let id = field::quoted_integer("tradeId", row.id).map_err(at_slot)?;
    let known = |bad: BadRow| BadRow { slot: Some(slot), id: Some(id), ..bad };
    let price = field::quoted_decimal("px", row.price).map_err(known)?;
    let qty = field::quoted_decimal("sz", row.qty).map_err(known)?;
    let ms = field::quoted_integer("ts", row.time).map_err(known)?;
    let time = field::milliseconds("ts", row.time, ms).map_err(known)?;
    let side = field::taker("side", row.side, "buy", "sell").map_err(known)?;
    // Absent until 2023, and in `trades-all`.
    let count = match row.count {
        None => 1,
        Some(_) => {
            let count = field::quoted_integer("count", row.count).map_err(known)?;
            let valid = u32::try_from(count).ok().filter(|count| *count > 0);
            valid.ok_or_else(|| {
                known(field::wrong("count", row.count, "is not a number of trades"))
            })?
        }
    };
    prints.push(slot, listing.contract, PrintId::Number(id), count, time, price, qty, side);
    Ok(())
}
