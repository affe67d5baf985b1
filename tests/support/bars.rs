//! Bars made by hand, for tests of what comes after the graph.

use std::sync::Arc;

use barflow_operators::bar::{Bar, CloseReason};
use barflow_operators::batch::Feed;
use barflow_operators::convergence::monitor::Synchronised;
use barflow_operators::published::PublishedBar;

/// 2024-03-01T00:00:00Z in ns.
pub const DAY: i64 = 1_709_251_200_000_000_000;

/// A feed of raw trades.
pub fn feed(instrument: &str) -> Arc<Feed> {
    Arc::new(Feed::numbered(instrument.parse().unwrap()))
}

/// A bar whose every field can be told from every other, and from the next bar's.
pub fn bar(seq: u64) -> Bar {
    let n = seq as f64;
    Bar {
        seq,
        open_time: DAY + seq as i64 * 1_000_000_000,
        close_time: DAY + seq as i64 * 1_000_000_000 + 999_999_999,
        first_trade_id: 1_000 + seq * 10,
        last_trade_id: 1_009 + seq * 10,
        open: 61_130.98 + n,
        high: 61_200.5 + n,
        low: 61_000.1 + n,
        close: 61_100.0 + n,
        vwap: 61_105.333_333_333_336 + n,
        volume: 0.1 + 0.2,
        quote_volume: 18_331.6 + n,
        buy_volume: 0.125,
        buy_quote_volume: 7_638.166_25,
        ticks: 10,
        buy_ticks: 4,
        trade_count: 12,
        theta: -3_055.27,
        theta_buy: None,
        theta_sell: None,
        theta_min: -3_100.0,
        theta_max: 1e-7,
        threshold: Some(3_000.25),
        expected_ticks: Some(1_000.0),
        expected_imbalance: Some(-2.5e-3),
        sigma: Some(94.86),
        close_reason: CloseReason::Threshold,
        state_digest: 0x0123_4567_89ab_cdef ^ seq,
        revision: 0,
        missing_ids: 0,
        known_time: DAY + seq as i64 * 1_000_000_000 + 999_999_999,
        high_time: DAY + seq as i64 * 1_000_000_000 + 300_000_000,
        low_time: DAY + seq as i64 * 1_000_000_000 + 600_000_000,
        quadratic_variation: 1_234.5 + n,
    }
}

/// A bar with its identity.
pub fn published(spec: &str, feed: &Arc<Feed>, bar: Bar) -> PublishedBar {
    PublishedBar {
        spec: spec.into(),
        feed: Arc::clone(feed),
        bar,
        received: None,
        synchronised: Synchronised::Unknown,
    }
}
