//! The unit that travels: trades of one instrument in columns.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::instrument::InstrumentId;
use crate::trade::{Aggressor, Trade};

/// What one row of the input is. Raw trades and aggregates give different bars, so this
/// travels in every bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// One row per trade.
    Trades,
    /// One row per aggregate: fills of one taker order at one price.
    AggTrades,
}

impl InputKind {
    /// `trades` or `agg_trades`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::AggTrades => "agg_trades",
        }
    }
}

/// Where the ids of a source come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    /// The venue numbers trades consecutively: gaps and duplicates are detected.
    Venue,
    /// As `Venue`, and a row has the last id of the `count` trades that it covers.
    Spans,
    /// The source has no ids; rows were numbered as they were read.
    Ordinal,
}

impl IdKind {
    /// `venue`, `spans` or `ordinal`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Venue => "venue",
            Self::Spans => "spans",
            Self::Ordinal => "ordinal",
        }
    }
}

/// What all trades of one source of one instrument have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Feed {
    /// The instrument.
    pub instrument: InstrumentId,
    /// What a row is.
    pub input: InputKind,
    /// Where the ids come from.
    pub ids: IdKind,
    /// Whether the source has the aggressor. If not, `sign = aggressor` falls back to the tick
    /// rule.
    pub has_aggressor: bool,
}

impl Feed {
    /// Single trades that the venue numbers and whose sides are known, as most sources have them.
    pub fn numbered(instrument: InstrumentId) -> Self {
        Self { instrument, input: InputKind::Trades, ids: IdKind::Venue, has_aggressor: true }
    }
}

/// Trades of one feed, in venue order, as a struct of arrays.
///
/// # Contract
/// All columns have the same length, except `count`, which is empty when every count is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TradeBatch {
    /// What the trades have in common.
    pub feed: Arc<Feed>,
    /// Ids, see [`Trade::trade_id`].
    pub trade_id: Vec<u64>,
    /// Event times in ns since the Unix epoch.
    pub event_time: Vec<i64>,
    /// Prices.
    pub price: Vec<f64>,
    /// Quantities.
    pub qty: Vec<f64>,
    /// Quote values.
    pub quote: Vec<f64>,
    /// Aggressors.
    pub aggressor: Vec<Aggressor>,
    /// Trades underlying each row; empty when all are 1.
    pub count: Vec<u32>,
}

impl TradeBatch {
    /// An empty batch with room for `capacity` trades.
    pub fn with_capacity(feed: Arc<Feed>, capacity: usize) -> Self {
        Self {
            feed,
            trade_id: Vec::with_capacity(capacity),
            event_time: Vec::with_capacity(capacity),
            price: Vec::with_capacity(capacity),
            qty: Vec::with_capacity(capacity),
            quote: Vec::with_capacity(capacity),
            aggressor: Vec::with_capacity(capacity),
            count: Vec::new(),
        }
    }

    /// A batch of these trades.
    pub fn from_trades(feed: Arc<Feed>, trades: &[Trade]) -> Self {
        let mut batch = Self::with_capacity(feed, trades.len());
        for trade in trades {
            batch.push(trade);
        }
        batch
    }

    /// How many trades there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.trade_id.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.trade_id.is_empty()
    }

    /// The trade in row `row`.
    ///
    /// # Panics
    /// If `row` is not below [`len`](Self::len).
    #[inline]
    pub fn trade(&self, row: usize) -> Trade {
        Trade {
            trade_id: self.trade_id[row],
            event_time: self.event_time[row],
            price: self.price[row],
            qty: self.qty[row],
            quote: self.quote[row],
            aggressor: self.aggressor[row],
            count: self.count.get(row).copied().unwrap_or(1),
        }
    }

    /// All trades, one by one.
    pub fn iter(&self) -> impl Iterator<Item = Trade> + '_ {
        (0..self.len()).map(|row| self.trade(row))
    }

    /// Appends a trade.
    #[inline(always)]
    pub fn push(&mut self, trade: &Trade) {
        if trade.count != 1 || !self.count.is_empty() {
            self.push_count(trade.count);
        }
        self.trade_id.push(trade.trade_id);
        self.event_time.push(trade.event_time);
        self.price.push(trade.price);
        self.qty.push(trade.qty);
        self.quote.push(trade.quote);
        self.aggressor.push(trade.aggressor);
    }

    /// Counts of aggregates; the column begins with the first that is not 1.
    fn push_count(&mut self, count: u32) {
        if self.count.is_empty() {
            self.count.reserve(self.trade_id.capacity());
            self.count.resize(self.len(), 1);
        }
        self.count.push(count);
    }

    /// Takes a trade out.
    ///
    /// # Panics
    /// If `row` is not below [`len`](Self::len).
    pub fn remove(&mut self, row: usize) {
        self.trade_id.remove(row);
        self.event_time.remove(row);
        self.price.remove(row);
        self.qty.remove(row);
        self.quote.remove(row);
        self.aggressor.remove(row);
        if !self.count.is_empty() {
            self.count.remove(row);
        }
    }

    /// The first `rows` trades.
    pub fn head(mut self, rows: usize) -> Self {
        self.trade_id.truncate(rows);
        self.event_time.truncate(rows);
        self.price.truncate(rows);
        self.qty.truncate(rows);
        self.quote.truncate(rows);
        self.aggressor.truncate(rows);
        self.count.truncate(rows);
        self
    }

    /// Keeps the room, drops the trades, and takes another feed.
    pub fn reset(&mut self, feed: Arc<Feed>) {
        self.feed = feed;
        self.trade_id.clear();
        self.event_time.clear();
        self.price.clear();
        self.qty.clear();
        self.quote.clear();
        self.aggressor.clear();
        self.count.clear();
    }
}
