//! One builder and what is known of its open bar that the builder need not know.

use crate::bar::Bar;
use crate::bars::machine::BarMachine;
use crate::batch::TradeBatch;
use crate::sequence::Gap;
use crate::spec::BarSpec;

/// One builder. The same as a seat of a [`Desk`](crate::desk::Desk), of which only bars are wanted:
/// no shadow, nothing to save.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub machine: BarMachine,
    /// Ids that are missing since its last bar.
    pub missing_ids: u64,
}

impl Seat {
    pub fn new(spec: &BarSpec) -> Self {
        Self { machine: BarMachine::new(spec), missing_ids: 0 }
    }

    /// Takes a batch, telling bars that span a gap so.
    pub fn on_batch(&mut self, trades: &TradeBatch, gaps: &[Gap], closed: &mut Vec<Bar>) {
        if gaps.is_empty() && self.missing_ids == 0 {
            self.machine.on_batch(trades, closed);
            return;
        }
        let mut gaps = gaps.iter().peekable();
        for trade in trades.iter() {
            let earlier = self.missing_ids;
            while let Some(gap) = gaps.next_if(|gap| gap.last_missing < trade.trade_id) {
                self.missing_ids += gap.len();
            }
            let before = closed.len();
            self.machine.on_trade(&trade, trades.feed.has_aggressor, closed);
            if let Some(bar) = closed.get_mut(before) {
                // An interval's bar ends before the trade that closes it, and before its gap.
                let whole = bar.last_trade_id == trade.trade_id;
                bar.missing_ids = if whole { self.missing_ids } else { earlier };
                self.missing_ids -= bar.missing_ids;
            }
        }
        self.missing_ids += gaps.map(Gap::len).sum::<u64>();
    }
}
