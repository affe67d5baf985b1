//! Missing trades from REST: `historicalTrades` and `aggTrades`, both from an id on.
//!
//! Sources: [spot](https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints),
//! [USD-M](https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Old-Trades-Lookup),
//! [COIN-M](https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api/Old-Trades-Lookup).

use std::collections::BTreeSet;

use barflow_operators::trade::Aggressor;
use barflow_replay::binance::is_not_a_trade;

use super::{Binance, UNLISTED, ZERO, event_time, span};
use crate::feeds::field::{self, object};
use crate::feeds::print::{BadFrame, BadRow, Listing, PrintId, Prints};
use crate::feeds::venue::{Channel, Request};
use crate::printable::said;

/// Rows of a page, the most there are: futures' `historicalTrades` gives fewer.
const PAGE: u64 = 1000;
const PAGE_OF_FUTURES_TRADES: u64 = 500;

/// Ids that REST may pass over between two rows of a page for it to be believed; more would be a
/// hole in REST rather than prints of the insurance fund.
const PASSED_OVER_MOST: u64 = 100;

pub(super) fn request(market: Binance, channel: Channel, symbol: &str, first: u64) -> Request {
    let (base, endpoint, weight) = match (market, channel) {
        (Binance::Spot, Channel::Trades) => ("/api/v3", "historicalTrades", 25),
        (Binance::Spot, Channel::Aggregates) => ("/api/v3", "aggTrades", 4),
        (Binance::Um, Channel::Trades) => ("/fapi/v1", "historicalTrades", 20),
        (Binance::Um, Channel::Aggregates) => ("/fapi/v1", "aggTrades", 20),
        (Binance::Cm, Channel::Trades) => ("/dapi/v1", "historicalTrades", 20),
        (Binance::Cm, Channel::Aggregates) => ("/dapi/v1", "aggTrades", 20),
    };
    // The row before what is missing shows which ids REST passes over at the beginning.
    let from = if passes_over(market, channel) { first.saturating_sub(1) } else { first };
    let limit = if passes_over(market, channel) { PAGE_OF_FUTURES_TRADES } else { PAGE };
    let path = format!("{base}/{endpoint}?symbol={symbol}&fromId={from}&limit={limit}");
    Request { path, weight }
}

/// The prices of all symbols: the smallest answer that names them all.
pub(super) fn symbols_request(market: Binance) -> Request {
    let (path, weight) = match market {
        Binance::Spot => ("/api/v3/ticker/price", 4),
        Binance::Um => ("/fapi/v2/ticker/price", 2),
        Binance::Cm => ("/dapi/v1/ticker/price", 2),
    };
    Request { path: path.to_owned(), weight }
}

/// Of a row of that answer, what counts.
#[derive(serde::Deserialize)]
struct Ticker {
    symbol: String,
}

pub(super) fn read_symbols(body: &[u8]) -> Result<BTreeSet<String>, BadFrame> {
    let tickers: Vec<Ticker> =
        serde_json::from_slice(body).map_err(|error| field::malformed(&error))?;
    if tickers.is_empty() {
        return Err(BadFrame::new("the list of symbols is empty"));
    }
    Ok(tickers.into_iter().map(|ticker| ticker.symbol).collect())
}

/// Futures list market trades only: "the insurance fund trades and ADL trades won't be returned".
fn passes_over(market: Binance, channel: Channel) -> bool {
    market != Binance::Spot && channel == Channel::Trades
}

object! {
    /// A row of either endpoint; `aggTrades` uses single letters.
    struct Row {
        id: "id", price: "price", qty: "qty", time: "time", buyer_is_maker: "isBuyerMaker",
        a: "a", p: "p", q: "q", f: "f", l: "l", t: "T", m: "m",
    }
}

pub(super) fn read(
    market: Binance,
    channel: Channel,
    slot: u32,
    listing: &Listing,
    body: &[u8],
    prints: &mut Prints,
) -> Result<(), BadFrame> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        let said = said(body);
        return Err(BadFrame::new(format!("Binance responded: {said}")));
    }
    let rows: Vec<Row<'_>> =
        serde_json::from_slice(body).map_err(|error| field::malformed(&error))?;
    // What was read of each row: its id, and its time unless it is bad.
    let mut listed: Vec<(u64, Option<i64>)> = Vec::with_capacity(rows.len());
    let mut is_nameless = false;
    for row in &rows {
        match read_row((market, channel), slot, listing, row, prints) {
            Ok((id, time)) => listed.push((id, Some(time))),
            Err(bad) => {
                is_nameless |= bad.id.is_none();
                listed.extend(bad.id.map(|id| (id, None)));
                prints.bad.push(bad);
            }
        }
    }
    // A row whose id cannot be read may have any.
    if passes_over(market, channel) && !is_nameless {
        exclude_unlisted(slot, listed, prints);
    }
    prints.rows.sort_by_key(|print| print.trade.trade_id);
    Ok(())
}

/// Excludes the ids that a page passes over between two of its rows, in whatever order it lists them.
fn exclude_unlisted(slot: u32, mut listed: Vec<(u64, Option<i64>)>, prints: &mut Prints) {
    listed.sort_unstable();
    for pair in listed.windows(2) {
        let [(last, last_time), (id, time)] = *pair else { continue };
        let (Some(time_before), Some(_)) = (last_time, time) else { continue };
        if id.checked_sub(last).is_some_and(|step| step <= PASSED_OVER_MOST) {
            // Skipped rather than begun one later: the last id there is has no next one.
            for unlisted in (last..id).skip(1) {
                prints.exclude(slot, unlisted, time_before, UNLISTED);
            }
        }
    }
}

fn read_row(
    (market, channel): (Binance, Channel),
    slot: u32,
    listing: &Listing,
    row: &Row<'_>,
    prints: &mut Prints,
) -> Result<(u64, i64), BadRow> {
    let at_slot = |bad: BadRow| BadRow { slot: Some(slot), ..bad };
    let id = field::bare_integer("id", row.id.or(row.a)).map_err(at_slot)?;
    let known = |bad: BadRow| BadRow { slot: Some(slot), id: Some(id), ..bad };
    let price = field::quoted_decimal("price", row.price.or(row.p)).map_err(known)?;
    let qty = field::quoted_decimal("qty", row.qty.or(row.q)).map_err(known)?;
    let time = event_time(field::bare_integer("time", row.time.or(row.t)).map_err(known)?);
    let seller = field::boolean("isBuyerMaker", row.buyer_is_maker.or(row.m)).map_err(known)?;
    let count = match channel {
        Channel::Trades => 1,
        Channel::Aggregates => {
            let first = field::bare_integer("f", row.f).map_err(known)?;
            let last = field::bare_integer("l", row.l).map_err(known)?;
            let reason = "is not the last of a range that begins with f";
            span(first, last).ok_or_else(|| known(field::wrong("l", row.l, reason)))?
        }
    };
    if market != Binance::Spot && is_not_a_trade(qty) {
        prints.exclude(slot, id, time, ZERO);
    } else {
        let aggressor = if seller { Aggressor::Seller } else { Aggressor::Buyer };
        prints.push(
            slot,
            listing.contract,
            PrintId::Number(id),
            count,
            time,
            price,
            qty,
            aggressor,
        );
    }
    Ok((id, time))
}
