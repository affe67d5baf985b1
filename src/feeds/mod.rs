//! Live feeds: one folder per venue, one session engine for all.
//!
//! ```text
//! socket ─► frame ─► decode ─► print ─► reorder (order, repeats, gaps) ─► inputs ─► graph
//!                      │                  ▲
//!                      └─► acks, beats    └── backfill (REST) of what is missing
//! ```
//!
//! **Invariant:** nothing here knows bars. A venue says how frames are asked for and read; the
//! session keeps connections up and asks REST for what did not come; a reorder buffer decides what
//! the graph sees, and that never depends on a clock.

use std::sync::Arc;

use self::venue::Venue;

pub mod binance;
pub mod bybit;
pub mod coinbase;
pub mod counters;
pub mod deferred_gaps;
pub mod field;
pub mod gap_tracker;
pub mod kraken;
pub mod lag;
pub(crate) mod last_moment;
pub mod okx;
pub mod plan;
pub mod print;
pub mod provenance;
pub mod recorded;
pub mod reorder_buffer;
mod seen_ids;
pub mod session;
pub mod state;
pub mod symbol_table;
pub mod venue;

/// Every protocol there is: the one line that a new venue adds here is all that the rest of the
/// program needs.
pub fn venues() -> Vec<Arc<dyn Venue>> {
    vec![
        Arc::new(binance::Binance::Spot),
        Arc::new(binance::Binance::Um),
        Arc::new(binance::Binance::Cm),
        Arc::new(coinbase::Coinbase::Advanced),
        Arc::new(coinbase::Coinbase::Exchange),
        Arc::new(kraken::Kraken),
        Arc::new(bybit::Bybit::Spot),
        Arc::new(bybit::Bybit::Linear),
        Arc::new(bybit::Bybit::Inverse),
        Arc::new(okx::Okx),
    ]
}

/// The protocol of that name.
pub fn venue(protocol: &str) -> Option<Arc<dyn Venue>> {
    venues().into_iter().find(|venue| venue.protocol() == protocol)
}
