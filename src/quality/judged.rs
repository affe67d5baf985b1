//! What was found of one instrument.

use std::sync::Arc;

use barflow_operators::batch::{Feed, InputKind};
use barflow_operators::quality::day::DayReport;
use barflow_replay::store::layout;

use super::inputs::Damaged;

/// What one instrument came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Which, and whether it is made of trades or aggregates.
    pub feed: Arc<Feed>,
    /// Files read.
    pub files: usize,
    /// One report per day, in order.
    pub days: Vec<DayReport>,
    /// Files that are damaged: the rows before the damage are judged.
    pub damaged: Vec<Damaged>,
}

impl Judged {
    /// `binance:spot:BTCUSDT`, with ` aggTrades` appended if it consists of these.
    pub fn name(&self) -> String {
        let instrument = &self.feed.instrument;
        match self.feed.input {
            InputKind::Trades => instrument.to_string(),
            InputKind::AggTrades => format!("{instrument} {}", layout::kind(self.feed.input)),
        }
    }
}
