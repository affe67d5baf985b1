//! Trades for benchmarks: sides in runs, sizes over two orders of magnitude. A small generator of its own, so
//! that they never change.

use std::sync::Arc;

use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::trade::{Aggressor, Trade};

/// Batches of so many rows, a trade each `pause` ns.
pub fn batches(trades: usize, rows: usize, pause: i64) -> Vec<TradeBatch> {
    let feed = Arc::new(Feed::numbered("binance:spot:BTCUSDT".parse().expect("a valid id")));
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut price, mut side) = (42_000.0f64, Aggressor::Buyer);
    let mut trade = |row: usize| {
        let random = next();
        if random % 5 == 0 {
            side = if random & 64 == 0 { Aggressor::Buyer } else { Aggressor::Seller };
        }
        price += 0.01 * f64::from(side.sign()) * f64::from((random >> 8) as u8 & 1);
        let qty = 0.0001 * (1 + (random >> 20) % 1000) as f64 * (1 + (random >> 40) % 20) as f64;
        Trade {
            trade_id: row as u64 + 1,
            event_time: 1_700_000_000_000_000_000 + row as i64 * pause,
            price,
            qty,
            quote: price * qty,
            aggressor: side,
            count: 1,
        }
    };
    let starts = (0..trades).step_by(rows);
    let batch = |start: usize| -> Vec<Trade> {
        (start..trades.min(start + rows)).map(&mut trade).collect()
    };
    starts.map(batch).map(|trades| TradeBatch::from_trades(Arc::clone(&feed), &trades)).collect()
}
