//! One execution printed by a venue.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who crossed the spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(i8)]
pub enum Aggressor {
    /// The seller took a resting bid. Binance: `isBuyerMaker` / `m` true.
    Seller = -1,
    /// The source does not tell.
    Unknown = 0,
    /// The buyer took a resting offer.
    Buyer = 1,
}

impl Aggressor {
    /// The sign b: +1 buyer-initiated, −1 seller-initiated, 0 unknown.
    #[inline]
    pub fn sign(self) -> i8 {
        self as i8
    }
}

/// One trade of one instrument.
///
/// The instrument, the kind of input and whether the source has the aggressor are stored once per
/// batch, in [`Feed`](crate::batch::Feed).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trade {
    /// The venue's id, increasing per instrument; for a source without ids, the row's ordinal
    /// from 1 on.
    pub trade_id: u64,
    /// The venue's time of the trade, in ns since the Unix epoch.
    pub event_time: i64,
    /// Price, in quote currency per unit of base (or per contract).
    pub price: f64,
    /// Quantity, in units of base (or contracts).
    pub qty: f64,
    /// Quote value. `price * qty` in f64 for linear instruments; see `docs/adr/0001`.
    pub quote: f64,
    /// Who crossed the spread.
    pub aggressor: Aggressor,
    /// Trades underlying this row: 1, or `last_id − first_id + 1` of an aggregate.
    pub count: u32,
}

impl fmt::Display for Trade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trade_id, price, qty, event_time, aggressor, .. } = self;
        write!(f, "{trade_id},{price},{qty},{event_time},{}", aggressor.sign())
    }
}
