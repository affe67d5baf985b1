//! Binance: spot (`binance-spot`), USD-M (`binance-um`) and COIN-M futures (`binance-cm`).
//!
//! | what | relied on |
//! |---|---|
//! | streams | combined, by path: `/stream?streams=btcusdt@trade/ethusdt@trade`; frames `{"stream":…,"data":{…}}`. USD-M serves `aggTrade` at `/market/stream` only ([notice](https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Important-WebSocket-Change-Notice)); `trade`, which its documents no longer name, arrives at `/public/stream` |
//! | ids | `t` of `trade` and `a` of `aggTrade` are consecutive per symbol |
//! | aggressor | `m` (buyer is the maker): `true` means that the seller crossed the spread |
//! | time | `T`, trade time in ms; spot is asked for µs (`timeUnit=MICROSECOND`, REST by header), which its archives have too; recognised by magnitude |
//! | COIN-M quantity | contracts of 100 USD (BTC) or 10 USD (others) |
//! | keepalive | the server pings (spot every 20 s, futures every 3 min) and wants a pong |
//! | lifetime | 24 h |
//!
//! **No trades between market participants**, and therefore excluded, counted by reason, their ids
//! leaving no gap: futures `trade` prints whose type `X` is not `MARKET` (insurance fund, ADL), and
//! rows of quantity 0, which the futures stream sends, and its archives have.
//! REST does not list the former at all: ids that a page leaves out are excluded as well.
//!
//! Sources: [spot streams](https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams),
//! [USD-M streams](https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams),
//! [COIN-M streams](https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use barflow_operators::batch::InputKind;
use barflow_operators::instrument::InstrumentId;
use memchr::memmem;

use super::print::{BadFrame, Contract, FrameKind, Ids, Listing, Prints};
use super::symbol_table::SymbolTable;
use super::venue::{Channel, Decode, Keepalive, Limits, Missing, RefusedBy, Request, Venue};

mod careful;
mod fast;
mod rest;
/// Whether a frame looks like a trade or an aggregate.
fn is_trade(frame: &[u8]) -> bool {
    let has = |text: &str| memmem::find(frame, text.as_bytes()).is_some();
    has("\"e\":\"trade\"") || has("\"e\":\"aggTrade\"")
}

#[cfg(test)]
mod tests;

/// Why a row of quantity 0 does not count, in archives as in streams.
pub const ZERO: &str = barflow_replay::binance::QTY_ZERO;
/// Why a print of the insurance fund does not count.
pub const INSURANCE_FUND: &str = "insurance fund";
/// Why a print of auto-deleveraging does not count.
pub const ADL: &str = "ADL";
/// Why a print of another type than `MARKET` does not count.
pub const NOT_MARKET: &str = "not a market trade";
/// Why an id does not count that REST passes over.
pub use crate::feeds::print::UNLISTED;

/// One of Binance's markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binance {
    /// Spot.
    Spot,
    /// USD-margined futures.
    Um,
    /// Coin-margined futures.
    Cm,
}

/// Nanoseconds of a time in ms or, from 10¹⁴ on, in µs: ms reach that in the year 5138, µs passed
/// it in 1973.
#[inline]
fn event_time(time: u64) -> i64 {
    let unit = if time < 100_000_000_000_000 { 1_000_000 } else { 1_000 };
    i64::try_from(time).ok().and_then(|time| time.checked_mul(unit)).unwrap_or(i64::MAX)
}

/// How many trades an aggregate of ids `first` to `last` contains.
#[inline]
fn span(first: u64, last: u64) -> Option<u32> {
    last.checked_sub(first).and_then(|more| u32::try_from(more).ok()?.checked_add(1))
}

struct Decoder {
    channel: Channel,
    symbol_table: SymbolTable,
}

impl Decode for Decoder {
    #[inline]
    fn decode(&mut self, frame: &[u8], prints: &mut Prints) -> Result<FrameKind, BadFrame> {
        match fast::read(frame, self.channel, &self.symbol_table, prints) {
            Some(()) => Ok(FrameKind::Trades),
            None => careful::read(frame, self.channel, &self.symbol_table, prints),
        }
    }
}

impl Venue for Binance {
    fn protocol(&self) -> &'static str {
        match self {
            Self::Spot => "binance-spot",
            Self::Um => "binance-um",
            Self::Cm => "binance-cm",
        }
    }

    fn channels(&self) -> &'static [Channel] {
        &[Channel::Trades, Channel::Aggregates]
    }

    fn instrument(&self, symbol: &str) -> Result<InstrumentId, String> {
        let valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let example = if *self == Self::Cm { "BTCUSD_PERP" } else { "BTCUSDT" };
        if symbol.is_empty() || !symbol.chars().all(valid) {
            return Err(format!("not a symbol of {} such as {example}", self.protocol()));
        }
        // BTCUSD_PERP, BTCUSD_240329; delivery contracts of USD-M are called BTCUSDT_240329.
        match (self, symbol.contains("USD_")) {
            (Self::Spot | Self::Um, true) => {
                return Err("a symbol of COIN-M futures (binance-cm)".to_owned());
            }
            (Self::Cm, false) => {
                return Err(format!("not a symbol of COIN-M futures such as {example}"));
            }
            _ => {}
        }
        let market = match self {
            Self::Spot => "spot",
            Self::Um => "um",
            Self::Cm => "cm",
        };
        format!("binance:{market}:{symbol}").parse().map_err(|error| format!("{error}"))
    }

    fn contract(&self, symbol: &str, size: Option<f64>) -> Result<Contract, String> {
        match (self, size) {
            (Self::Cm, size) => {
                let size = size.unwrap_or_else(|| barflow_replay::binance::contract_size(symbol));
                Ok(Contract::Inverse { size })
            }
            (_, None) => Ok(Contract::Base),
            (_, Some(_)) => Err(format!("contract_size means nothing on {}", self.protocol())),
        }
    }

    fn input(&self, channel: Channel) -> InputKind {
        match channel {
            Channel::Trades => InputKind::Trades,
            Channel::Aggregates => InputKind::AggTrades,
        }
    }

    fn ids(&self, _channel: Channel) -> Ids {
        Ids::Consecutive
    }

    /// Spot: 1,024 streams a connection, 5 messages a second, 300 connections in 5 minutes, 6,000
    /// request weight a minute. Futures: 1,024 streams (COIN-M 200 in older documents), 10 messages;
    /// USD-M and COIN-M share 2,400 weight a minute
    /// ([notice](https://developers.binance.com/en/docs/products/derivatives-trading-coin-futures/Important-CM-UM-Integration-Notice)),
    /// of which each takes half at most.
    fn limits(&self) -> Limits {
        let (streams, messages, weight) = match self {
            Self::Spot => (1024, 5, 6000),
            Self::Um => (1024, 10, 1200),
            Self::Cm => (200, 10, 1200),
        };
        Limits {
            // A longer path than some proxies take is asked for by more than a few hundred.
            symbols_per_connection: streams.min(200),
            symbols_per_message: streams,
            messages_per_second: messages,
            connects: (300, Duration::from_secs(300)),
            lifetime: Some(Duration::from_secs(24 * 3600)),
            requests: (weight, Duration::from_secs(60)),
        }
    }

    fn websocket_base(&self) -> &'static str {
        match self {
            Self::Spot => "wss://stream.binance.com:9443",
            Self::Um => "wss://fstream.binance.com",
            Self::Cm => "wss://dstream.binance.com",
        }
    }

    fn hosts(&self) -> &'static [&'static str] {
        match self {
            Self::Spot => &[
                "stream.binance.com",
                "data-stream.binance.com",
                "data-stream.binance.vision",
                "stream.binance.cloud",
            ],
            Self::Um => &["fstream.binance.com", "fstream-mm.binance.com", "fstream.binance.cloud"],
            Self::Cm => &["dstream.binance.com", "dstream-mm.binance.com", "dstream.binance.cloud"],
        }
    }

    fn confirms(&self, frame: &[u8]) -> bool {
        is_trade(frame) && self.contradicts(frame).is_none()
    }

    /// Trades of spot have a field `M`, those of futures do not.
    fn contradicts(&self, frame: &[u8]) -> Option<(&'static str, &'static str)> {
        let has = |text: &str| memmem::find(frame, text.as_bytes()).is_some();
        if !is_trade(frame) {
            return None;
        }
        match (self, has("\"M\":")) {
            (Self::Spot, false) if has("USD_") => {
                Some(("a trade without the field M that spot has", "binance-cm"))
            }
            (Self::Spot, false) => {
                Some(("a trade without the field M that spot has", "binance-um"))
            }
            (Self::Um | Self::Cm, true) => {
                Some(("a trade with the field M of spot", "binance-spot"))
            }
            _ => None,
        }
    }

    fn websocket_path(&self, channel: Channel, listings: &[Listing]) -> String {
        let stream = match channel {
            Channel::Trades => "trade",
            Channel::Aggregates => "aggTrade",
        };
        let streams: Vec<String> = listings
            .iter()
            .map(|listing| format!("{}@{stream}", listing.symbol.to_lowercase()))
            .collect();
        let streams = streams.join("/");
        match (self, channel) {
            (Self::Spot, _) => format!("/stream?streams={streams}&timeUnit=MICROSECOND"),
            (Self::Um, Channel::Trades) => format!("/public/stream?streams={streams}"),
            (Self::Um, Channel::Aggregates) => format!("/market/stream?streams={streams}"),
            (Self::Cm, _) => format!("/stream?streams={streams}"),
        }
    }

    fn subscribe(&self, _channel: Channel, _listings: &[Listing], _request: u64) -> Vec<String> {
        Vec::new()
    }

    fn acknowledges(&self) -> bool {
        false
    }

    fn symbols_request(&self) -> Option<Request> {
        Some(rest::symbols_request(*self))
    }

    fn read_symbols(&self, body: &[u8]) -> Result<BTreeSet<String>, BadFrame> {
        rest::read_symbols(body)
    }

    fn refused_by(&self) -> RefusedBy {
        RefusedBy::Message
    }

    fn keepalive(&self) -> Option<Keepalive> {
        None
    }

    /// Binance pings at least every three minutes; a quiet connection answers our own pings.
    fn silence(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn decoder(&self, channel: Channel, listings: Arc<[Listing]>) -> Box<dyn Decode> {
        Box::new(Decoder { channel, symbol_table: SymbolTable::new(listings) })
    }

    fn rest_base(&self) -> &'static str {
        match self {
            Self::Spot => "https://api.binance.com",
            Self::Um => "https://fapi.binance.com",
            Self::Cm => "https://dapi.binance.com",
        }
    }

    /// Spot wants none; `historicalTrades` of futures does.
    fn api_key_header(&self) -> Option<&'static str> {
        Some("X-MBX-APIKEY")
    }

    fn rest_header(&self) -> Option<(&'static str, &'static str)> {
        (*self == Self::Spot).then_some(("X-MBX-TIME-UNIT", "MICROSECOND"))
    }

    fn backfill(&self, channel: Channel, listing: &Listing, missing: &Missing) -> Option<Request> {
        Some(rest::request(*self, channel, &listing.symbol, missing.trades.first_id()?))
    }

    fn read_backfill(
        &self,
        channel: Channel,
        slot: u32,
        listing: &Listing,
        body: &[u8],
        prints: &mut Prints,
    ) -> Result<(), BadFrame> {
        rest::read(*self, channel, slot, listing, body, prints)
    }
}
