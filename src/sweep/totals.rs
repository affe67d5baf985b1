//! What a history comes to before its holdout: where the search for baselines begins.

use barflow_operators::batch::TradeBatch;
use serde::{Deserialize, Serialize};

/// Sums over the trades before the holdout, or all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Trades of the whole history.
    pub trades: u64,
    /// Trades before the holdout; the sums below are theirs.
    pub in_sample: u64,
    /// Quantity.
    pub qty: f64,
    /// Price times quantity.
    pub quote: f64,
    /// Time of the first and the last, ns.
    times: Option<(i64, i64)>,
    /// Time of the first trade of the holdout, ns.
    pub holdout_from: Option<i64>,
}

impl Totals {
    /// Takes trades; the holdout begins after `border` of all.
    pub fn on_batch(&mut self, batch: &TradeBatch, border: Option<u64>) {
        for row in 0..batch.len() {
            self.trades += 1;
            if border.is_some_and(|border| self.trades > border) {
                self.holdout_from.get_or_insert(batch.event_time[row]);
                continue;
            }
            self.in_sample += 1;
            self.qty += batch.qty[row];
            self.quote += batch.quote[row];
            let time = batch.event_time[row];
            self.times = Some(self.times.map_or((time, time), |(first, _)| (first, time)));
        }
    }

    /// From the first to the last trade before the holdout, ns.
    pub fn duration(&self) -> i64 {
        self.times.map_or(0, |(first, last)| last.saturating_sub(first))
    }
}
