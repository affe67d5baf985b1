//! What is told of a bar that closed.

use crate::bar::Bar;

/// A bar that closed, as far as summaries need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Close {
    /// Which configuration.
    pub config: u32,
    /// Rows in the bar.
    pub ticks: u64,
    /// Event time of its first row, ns.
    pub open_time: i64,
    /// Event time of its last row, ns.
    pub close_time: i64,
    /// Price of its last row.
    pub close: f64,
    /// Id of its last row.
    pub last_trade_id: u64,
    /// See [`Bar::state_digest`].
    pub state_digest: u64,
}

impl Close {
    /// What a pass keeps of a bar.
    pub fn of(config: u32, bar: &Bar) -> Self {
        Self {
            config,
            ticks: bar.ticks,
            open_time: bar.open_time,
            close_time: bar.close_time,
            close: bar.close,
            last_trade_id: bar.last_trade_id,
            state_digest: bar.state_digest,
        }
    }
}
