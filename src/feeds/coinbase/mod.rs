//! Coinbase: Advanced Trade `market_trades` (`coinbase`) and Exchange `matches`
//! (`coinbase-exchange`).
//!
//! | what | relied on |
//! |---|---|
//! | ids | `trade_id` is consecutive per product and the same in both feeds and in REST |
//! | aggressor | `side` is the **maker's** in both feeds and in REST: `BUY` means that the seller crossed the spread |
//! | order | Advanced Trade lists a message's trades newest first, snapshot and update alike |
//! | snapshot, `last_match` | real trades with real ids: they are taken, and heal what a reconnect missed |
//! | time | RFC 3339, µs |
//! | keepalive | heartbeats of the venue, one a second, subscribed along with the trades |
//!
//! Sources: [market trades](https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels#market-trades-channel),
//! [matches](https://docs.cdp.coinbase.com/exchange/websocket-feed/channels#match-channel). That the
//! side is the maker's is confirmed by a recorded book: of 78 trades, the 71 outside the spread all
//! print on the side opposite to it.

use std::sync::Arc;
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;
use barflow_operators::trade::Aggressor;

use super::field::{self, Field};
use super::print::{BadFrame, BadRow, Contract, Ids, Listing, Prints};
use super::symbol_table::SymbolTable;
use super::venue::{Channel, Decode, Keepalive, Limits, Missing, RefusedBy, Request, Venue};

mod advanced;
mod exchange;
mod rest;
#[cfg(test)]
mod tests;

/// Products that one subscription message names. The documents give no limit.
const PRODUCTS_PER_MESSAGE: usize = 50;

/// One of Coinbase's two feeds of the same market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coinbase {
    /// Advanced Trade.
    Advanced,
    /// Exchange.
    Exchange,
}

/// The aggressor, from the maker's side.
fn aggressor(
    name: &'static str,
    field: Field<'_>,
    buy: &str,
    sell: &str,
) -> Result<Aggressor, BadRow> {
    field::taker(name, field, sell, buy)
        .map_err(|bad| BadRow { reason: format!("is neither {buy} nor {sell}"), ..bad })
}

impl Venue for Coinbase {
    fn protocol(&self) -> &'static str {
        match self {
            Self::Advanced => "coinbase",
            Self::Exchange => "coinbase-exchange",
        }
    }

    fn instrument(&self, symbol: &str) -> Result<InstrumentId, String> {
        let valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
        if !symbol.contains('-') || !symbol.chars().all(valid) {
            return Err("not a product of Coinbase such as BTC-USD".to_owned());
        }
        format!("coinbase:spot:{symbol}").parse().map_err(|error| format!("{error}"))
    }

    fn contract(&self, _symbol: &str, size: Option<f64>) -> Result<Contract, String> {
        Contract::of_spot(size)
    }

    fn ids(&self, _channel: Channel) -> Ids {
        Ids::Consecutive
    }

    /// [Advanced Trade](https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-rate-limits)
    /// takes 8 connections and, without authentication, 8 messages a second;
    /// [Exchange](https://docs.cdp.coinbase.com/exchange/websocket-feed/rate-limits) 8 connections a
    /// second. REST: 10 requests a second.
    fn limits(&self) -> Limits {
        Limits {
            symbols_per_connection: 100,
            symbols_per_message: PRODUCTS_PER_MESSAGE,
            messages_per_second: 8,
            connects: (4, Duration::from_secs(1)),
            lifetime: None,
            requests: (10, Duration::from_secs(1)),
        }
    }

    fn websocket_base(&self) -> &'static str {
        match self {
            Self::Advanced => "wss://advanced-trade-ws.coinbase.com",
            Self::Exchange => "wss://ws-feed.exchange.coinbase.com",
        }
    }

    fn hosts(&self) -> &'static [&'static str] {
        match self {
            Self::Advanced => &["advanced-trade-ws.coinbase.com"],
            Self::Exchange => &[
                "ws-feed.exchange.coinbase.com",
                "ws-direct.exchange.coinbase.com",
                "ws-feed.pro.coinbase.com",
                "ws-feed.gdax.com",
            ],
        }
    }

    fn websocket_path(&self, _channel: Channel, _listings: &[Listing]) -> String {
        "/".to_owned()
    }

    fn subscribe(&self, _channel: Channel, listings: &[Listing], _request: u64) -> Vec<String> {
        let products = listings.chunks(PRODUCTS_PER_MESSAGE).map(|listings| {
            listings.iter().map(|listing| listing.symbol.as_str()).collect::<Vec<_>>()
        });
        match self {
            Self::Advanced => {
                products.flat_map(|products| advanced::subscribe(&products)).collect()
            }
            Self::Exchange => products.map(|products| exchange::subscribe(&products)).collect(),
        }
    }

    fn refused_by(&self) -> RefusedBy {
        RefusedBy::Message
    }

    fn keepalive(&self) -> Option<Keepalive> {
        None
    }

    /// Ten missed heartbeats.
    fn silence(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn decoder(&self, _channel: Channel, listings: Arc<[Listing]>) -> Box<dyn Decode> {
        let symbol_table = SymbolTable::new(listings);
        match self {
            Self::Advanced => Box::new(advanced::Decoder::new(symbol_table)),
            Self::Exchange => Box::new(exchange::Decoder::new(symbol_table)),
        }
    }

    /// Exchange's REST serves both: the market and the ids are the same.
    fn rest_base(&self) -> &'static str {
        "https://api.exchange.coinbase.com"
    }

    fn backfill(&self, _channel: Channel, listing: &Listing, missing: &Missing) -> Option<Request> {
        Some(rest::request(&listing.symbol, missing.trades.first_id()?))
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
