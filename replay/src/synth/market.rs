//! The made-up market: orders, split into trades, that move the price.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One made-up trade, in integers so that every decimal printed is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeTrade {
    /// One more than the one before.
    pub id: u64,
    /// In units of 0.01 quote.
    pub price: u64,
    /// In units of 0.00001 base.
    pub qty: u64,
    /// Microseconds since the Unix epoch.
    pub time_us: i64,
    /// Whether a buyer crossed the spread.
    pub bought: bool,
    /// Trades of the same order and price, for aggregates.
    pub count: u32,
}

const DAY_US: f64 = 86_400e6;

/// Share of trades that come at the same instant as the one before (31–78 % on Binance).
const SAME_INSTANT: f64 = 0.5;

/// Tail index of the number of trades that one order is split into. Below 2 the signs have long
/// memory (Lillo, Mike, Farmer 2005: autocorrelation decays with exponent α − 1).
const ORDER_TAIL: f64 = 1.5;

/// Everything random comes from one ChaCha8 stream, whose output is fixed by its definition.
pub struct Market {
    random: ChaCha8Rng,
    next_id: u64,
    /// In units of 0.01.
    price: f64,
    bought: bool,
    left_in_order: u64,
    /// Local speed of the tape: bursts are slow to come and go.
    log_activity: f64,
    time_us: f64,
    day_end_us: f64,
    left_in_day: u64,
}

impl Market {
    /// A market at 42,000.00 whose next trade has this id.
    pub fn new(seed: u64, next_id: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            next_id,
            price: 4_200_000.0,
            bought: true,
            left_in_order: 0,
            log_activity: 0.0,
            time_us: 0.0,
            day_end_us: 0.0,
            left_in_day: 0,
        }
    }

    /// Starts a day of so many trades.
    pub fn begin_day(&mut self, midnight_us: i64, trades: u64) {
        self.time_us = midnight_us as f64;
        self.day_end_us = midnight_us as f64 + DAY_US - 1.0;
        self.left_in_day = trades;
    }

    /// The next trade.
    pub fn trade(&mut self) -> MadeTrade {
        if self.left_in_order == 0 {
            self.bought = self.uniform() < 0.5;
            let length = libm::pow(1.0 - self.uniform(), -1.0 / ORDER_TAIL);
            self.left_in_order = (length as u64).clamp(1, 5000);
        }
        self.left_in_order -= 1;
        // One trade in six is somebody else's, against the order.
        let against = self.uniform() < 1.0 / 6.0;
        let bought = self.bought != against;
        self.pass_time();
        // Lognormal body with one large print in a thousand.
        let size = libm::exp(1.3 * self.normal() + 6.0);
        let size = if self.uniform() < 0.001 { size * 50.0 } else { size };
        let qty = (size as u64).clamp(1, 50_000_000);
        // Impact of the flow, and news without trades.
        let push = if bought { 1.0 } else { -1.0 };
        let impact = 0.12 * push * (1.0 + libm::log(size.max(1.0)) / 10.0);
        let pull = (4_200_000.0 - self.price) * 1e-7;
        self.price = (self.price + impact + 0.6 * self.normal() + pull).max(100.0);
        let half_spread = if bought { 0.5 } else { -0.5 };
        let trade = MadeTrade {
            id: self.next_id,
            price: libm::round(self.price + half_spread) as u64,
            qty,
            time_us: self.time_us as i64,
            bought,
            count: 1 + (-libm::log(1.0 - self.uniform()) * 0.8) as u32,
        };
        self.next_id += 1;
        trade
    }

    fn pass_time(&mut self) {
        self.left_in_day = self.left_in_day.saturating_sub(1);
        if self.uniform() < SAME_INSTANT {
            return;
        }
        self.log_activity = 0.999 * self.log_activity + 0.05 * self.normal();
        let left_us = (self.day_end_us - self.time_us).max(0.0);
        let mean = left_us / ((self.left_in_day as f64 + 1.0) * (1.0 - SAME_INSTANT));
        let wait = -libm::log(1.0 - self.uniform()) * mean * libm::exp(-self.log_activity);
        // Never beyond what is left, so that the last trades still fall into the day.
        self.time_us += wait.min(left_us * 0.5);
    }

    /// Uniform in [0, 1) with 53 bits.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal: the sum of twelve uniforms less six. Its tails end at ±6, which suits
    /// prices, and it needs no transcendental function.
    fn normal(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..3 {
            // Four 16-bit uniforms a draw.
            let bits = self.random.next_u64();
            for part in 0..4 {
                sum += ((bits >> (16 * part)) & 0xffff) as f64 + 0.5;
            }
        }
        sum / 65_536.0 - 6.0
    }
}
