//! Batches that a feed has put in order.

use std::sync::Arc;

use super::{FeedOrder, Findings, Late, Sequencer};
use crate::batch::TradeBatch;
use crate::gap::Gap;
use crate::order::ids::Place;
use crate::pool::BatchPool;

impl Sequencer {
    /// Takes a batch that a feed has put in order already, after what waits: none of its trades is
    /// what that waits for. Rows that were applied before are duplicates, and their gaps are known.
    pub fn on_ordered(
        &mut self,
        batch: TradeBatch,
        known: FeedOrder,
        pool: &BatchPool,
        findings: &mut Findings,
    ) -> Arc<TradeBatch> {
        self.batches += 1;
        let mut ordered = self.is_waiting().then(|| pool.take(&batch.feed));
        if let Some(ordered) = &mut ordered {
            self.release_all(ordered, findings);
        }
        let applied = self.ids.last();
        let is_new = |gap: &Gap| applied.is_none_or(|last| gap.last_missing > last);
        let unseen = applied.zip(known.begins).and_then(|(last, first)| {
            let (first_missing, last_missing) = (last.saturating_add(1), first.saturating_sub(1));
            (first_missing <= last_missing).then_some(Gap { first_missing, last_missing })
        });
        for gap in unseen.into_iter().chain(known.gaps).filter(is_new) {
            self.ids.remember(gap);
            findings.gaps.push(gap);
        }
        let batch = self.new_ones(batch, &known.late, findings);
        let ordered = match ordered {
            None => batch,
            Some(mut ordered) => {
                batch.iter().for_each(|trade| ordered.push(&trade));
                pool.give_back(Arc::new(batch));
                ordered
            }
        };
        self.release(&ordered, findings);
        if let Some(through) = known.through.max(self.ids.last()) {
            self.ids.settle_through(through);
        }
        Arc::new(ordered)
    }

    /// Without the trades of a batch that cannot follow what is applied: those that an earlier run has
    /// applied are duplicates, others come after their ids were given up, here or in an earlier run.
    fn new_ones(&self, batch: TradeBatch, late: &[u32], findings: &mut Findings) -> TradeBatch {
        let last = self.ids.last();
        let is_old = |id: &u64| last.is_some_and(|last| *id <= last);
        if late.is_empty() && !batch.trade_id.first().is_some_and(is_old) {
            return batch;
        }
        let mut new = TradeBatch::with_capacity(Arc::clone(&batch.feed), batch.len());
        for (row, trade) in batch.iter().enumerate() {
            let is_late = match self.ids.place(trade.trade_id, trade.trade_id) {
                Place::GivenUp => true,
                Place::Repeated => false,
                _ => late.contains(&(row as u32)),
            };
            if is_late {
                let known_time = new.event_time.last().copied().or(self.last_time);
                findings.late.push(Late { row, trade, known_time });
            } else if is_old(&trade.trade_id) {
                findings.duplicates += 1;
            } else {
                new.push(&trade);
            }
        }
        new
    }
}
