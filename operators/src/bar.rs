//! A finished bar, and the one being gathered.

use serde::{Deserialize, Serialize};

use crate::trade::Trade;

/// Why a bar closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The threshold (or the fixed size) was reached.
    Threshold,
    /// The cap on ticks was reached first.
    MaxTicks,
    /// The cap on duration was reached first.
    MaxDuration,
    /// A UTC day ended under `reset = "utc_day"`.
    Session,
    /// The interval of a time bar ended.
    Interval,
    /// The input ended, and open bars were to be closed.
    End,
}

impl CloseReason {
    /// The name used in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::MaxTicks => "max_ticks",
            Self::MaxDuration => "max_duration",
            Self::Session => "session",
            Self::Interval => "interval",
            Self::End => "end",
        }
    }
}

/// A finished bar of one instrument and specification.
///
/// Volumes are in units of base currency, quote volumes in quote currency, θ and thresholds in the
/// bar's measure (ticks, base or quote), times in ns since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// 0, 1, 2 … per specification and instrument. A bar made by a correction takes the number of
    /// the bar within which it closes, as that was counted first (docs/revisions.md).
    pub seq: u64,
    /// Event time of the first trade.
    pub open_time: i64,
    /// Event time of the last trade.
    pub close_time: i64,
    /// Id of the first trade.
    pub first_trade_id: u64,
    /// Id of the last trade.
    pub last_trade_id: u64,
    /// Price of the first trade.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Price of the last trade.
    pub close: f64,
    /// `quote_volume / volume`.
    pub vwap: f64,
    /// Σ qty.
    pub volume: f64,
    /// Σ quote value.
    pub quote_volume: f64,
    /// Σ qty over trades with sign +1.
    pub buy_volume: f64,
    /// Σ quote value over trades with sign +1.
    pub buy_quote_volume: f64,
    /// Rows of the input in the bar.
    pub ticks: u64,
    /// Rows with sign +1.
    pub buy_ticks: u64,
    /// Trades underlying the rows; equals `ticks` for raw trades.
    pub trade_count: u64,
    /// θ = Σ b·v.
    pub theta: f64,
    /// θ⁺ = Σ v over buys (runs bars only).
    pub theta_buy: Option<f64>,
    /// θ⁻ = Σ v over sells (runs bars only).
    pub theta_sell: Option<f64>,
    /// Least θ after any trade of the bar.
    pub theta_min: f64,
    /// Greatest θ after any trade of the bar.
    pub theta_max: f64,
    /// What θ (or the size) had to reach at the closing trade; none for time bars.
    pub threshold: Option<f64>,
    /// E\[T\] in the closing trade's test (adaptive bars only).
    pub expected_ticks: Option<f64>,
    /// E\[x\] per tick in the closing trade's test (adaptive bars only).
    pub expected_imbalance: Option<f64>,
    /// Long-run standard deviation of x per tick (`wald` only).
    pub sigma: Option<f64>,
    /// Why the bar closed.
    pub close_reason: CloseReason,
    /// Hash of everything that can influence a later bar, taken after the close.
    pub state_digest: u64,
    /// 0 for a bar as first made; of a corrected one, which correction of its instrument made it.
    pub revision: u32,
    /// Ids that never came, between the bar before and the last trade of this one: more than 0
    /// says that the bar spans a gap. Builders leave it at 0; who knows of gaps fills it in.
    pub missing_ids: u64,
    /// Event time from which this version of the bar is known: of the trade that closed it, which for
    /// an interval or a session is the first one after it; of the correction that made it; of the end
    /// of the input (docs/adr/0015-contract-of-a-bar.md). Never before another time of the bar.
    pub known_time: i64,
    /// Event time of the first trade at the highest price.
    pub high_time: i64,
    /// Event time of the first trade at the lowest price.
    pub low_time: i64,
    /// Σ of squared price changes from trade to trade; the first trade's is counted from the last trade
    /// before the bar, and nothing where there is none.
    pub quadratic_variation: f64,
}

/// These bars are not known before the event time `time`.
pub fn known_at(time: i64, bars: &mut [Bar]) {
    for bar in bars {
        bar.known_time = bar.known_time.max(time);
    }
}

/// What a rule reports of its expectations when a bar closes: those of the closing trade's test.
/// A bar that a session ends has no such trade; it reports the expectations after its last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// See [`Bar::threshold`].
    pub threshold: Option<f64>,
    /// See [`Bar::expected_ticks`].
    pub expected_ticks: Option<f64>,
    /// See [`Bar::expected_imbalance`].
    pub expected_imbalance: Option<f64>,
    /// See [`Bar::sigma`].
    pub sigma: Option<f64>,
    /// See [`Bar::theta_buy`].
    pub theta_buy: Option<f64>,
    /// See [`Bar::theta_sell`].
    pub theta_sell: Option<f64>,
}

/// The bar being gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenBar {
    /// Rows so far; 0 when no bar is open, and then nothing else here means anything. No `Option` of the
    /// whole: checkpoints and digests have these fields also where no bar is open, and every trade adds to
    /// them without asking.
    pub ticks: u64,
    /// Rows with sign +1.
    pub buy_ticks: u64,
    /// Trades underlying the rows.
    pub trade_count: u64,
    /// Event time of the first trade, ns.
    pub open_time: i64,
    /// Event time of the last trade, ns.
    pub close_time: i64,
    /// Id of the first trade.
    pub first_trade_id: u64,
    /// Id of the last trade.
    pub last_trade_id: u64,
    /// Price of the first trade.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Price of the last trade.
    pub close: f64,
    /// Σ qty.
    pub volume: f64,
    /// Σ quote value.
    pub quote_volume: f64,
    /// Σ qty over buys.
    pub buy_volume: f64,
    /// Σ quote value over buys.
    pub buy_quote_volume: f64,
    /// θ = Σ b·v.
    pub theta: f64,
    /// Least θ so far.
    pub theta_min: f64,
    /// Greatest θ so far.
    pub theta_max: f64,
    /// Event time of the first trade at the highest price, ns.
    pub high_time: i64,
    /// Event time of the first trade at the lowest price, ns.
    pub low_time: i64,
    /// Σ of squared price changes.
    pub quadratic_variation: f64,
}

impl OpenBar {
    /// Notes what only the first trade of a bar sets; call before [`add`](Self::add). `before` is the
    /// price of the last trade before it, if any came.
    #[inline]
    pub fn begin(&mut self, trade: &Trade, before: Option<f64>) {
        *self = Self {
            open_time: trade.event_time,
            first_trade_id: trade.trade_id,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            high_time: trade.event_time,
            low_time: trade.event_time,
            // What the next price change is counted from.
            close: before.unwrap_or(trade.price),
            theta_min: f64::INFINITY,
            theta_max: f64::NEG_INFINITY,
            ..Self::default()
        };
    }

    /// Adds what every trade changes, in the order in which every implementation must sum.
    /// The last time and id are set by the caller: only the latest one matters.
    #[inline(always)]
    pub fn add(&mut self, time: i64, price: f64, qty: f64, quote: f64, sign: i8, x: f64) {
        let bought = sign > 0;
        self.ticks += 1;
        self.buy_ticks += u64::from(bought);
        (self.high, self.high_time) =
            if price > self.high { (price, time) } else { (self.high, self.high_time) };
        (self.low, self.low_time) =
            if price < self.low { (price, time) } else { (self.low, self.low_time) };
        let change = price - self.close;
        self.quadratic_variation += change * change;
        self.close = price;
        self.volume += qty;
        self.quote_volume += quote;
        self.buy_volume += if bought { qty } else { 0.0 };
        self.buy_quote_volume += if bought { quote } else { 0.0 };
        self.theta += x;
        self.theta_min = if self.theta < self.theta_min { self.theta } else { self.theta_min };
        self.theta_max = if self.theta > self.theta_max { self.theta } else { self.theta_max };
    }

    /// Adds to the ids, wrapping.
    pub(crate) fn shift_ids(&mut self, by: u64) {
        self.first_trade_id = self.first_trade_id.wrapping_add(by);
        self.last_trade_id = self.last_trade_id.wrapping_add(by);
    }

    /// Notes the latest trade.
    #[inline]
    pub fn end(&mut self, trade: &Trade) {
        self.close_time = trade.event_time;
        self.last_trade_id = trade.trade_id;
    }

    /// The finished bar, as known from its last trade on.
    pub fn finish(&self, seq: u64, levels: &Levels, reason: CloseReason, digest: u64) -> Bar {
        Bar {
            seq,
            open_time: self.open_time,
            close_time: self.close_time,
            first_trade_id: self.first_trade_id,
            last_trade_id: self.last_trade_id,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            vwap: self.quote_volume / self.volume,
            volume: self.volume,
            quote_volume: self.quote_volume,
            buy_volume: self.buy_volume,
            buy_quote_volume: self.buy_quote_volume,
            ticks: self.ticks,
            buy_ticks: self.buy_ticks,
            trade_count: self.trade_count,
            theta: self.theta,
            theta_buy: levels.theta_buy,
            theta_sell: levels.theta_sell,
            theta_min: self.theta_min,
            theta_max: self.theta_max,
            threshold: levels.threshold,
            expected_ticks: levels.expected_ticks,
            expected_imbalance: levels.expected_imbalance,
            sigma: levels.sigma,
            close_reason: reason,
            state_digest: digest,
            revision: 0,
            missing_ids: 0,
            // Times may run backwards from trade to trade.
            known_time: self.close_time.max(self.open_time).max(self.high_time).max(self.low_time),
            high_time: self.high_time,
            low_time: self.low_time,
            quadratic_variation: self.quadratic_variation,
        }
    }
}
