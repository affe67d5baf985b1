//! Batches that a feed has put in order.

use std::sync::Arc;

use super::{FeedOrder, Findings, Late, Sequencer};
use crate::batch::TradeBatch;
use crate::gap::Gap;
use crate::order::ids::Place;
use crate::pool::BatchPool;
use crate::trade::Trade;

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
        let batch = self.without_late(batch, &known.late, findings);
        let batch = self.skip_applied(batch, findings);
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

    /// Moves the late ones of a batch's trades to the findings. A late one that an earlier run has
    /// applied is a duplicate.
    fn without_late(&self, batch: TradeBatch, late: &[u32], findings: &mut Findings) -> TradeBatch {
        if late.is_empty() {
            return batch;
        }
        let mut in_order = TradeBatch::with_capacity(Arc::clone(&batch.feed), batch.len());
        for (row, trade) in batch.iter().enumerate() {
            if !late.contains(&(row as u32)) {
                in_order.push(&trade);
            } else if self.ids.place(trade.trade_id, trade.trade_id) == Place::Repeated {
                findings.duplicates += 1;
            } else {
                let known_time = in_order.event_time.last().copied().or(self.last_time);
                findings.late.push(Late { row, trade, known_time });
            }
        }
        in_order
    }

    /// Rows that an earlier run had applied come again where it stopped amid a piece.
    fn skip_applied(&self, batch: TradeBatch, findings: &mut Findings) -> TradeBatch {
        let Some(last) = self.ids.last() else { return batch };
        if batch.trade_id.first().is_none_or(|first| *first > last) {
            return batch;
        }
        let news: Vec<Trade> = batch.iter().filter(|trade| trade.trade_id > last).collect();
        findings.duplicates += (batch.len() - news.len()) as u64;
        TradeBatch::from_trades(Arc::clone(&batch.feed), &news)
    }
}
