//! A stretch of one instrument's history, and how to begin again at its start.

use std::sync::Arc;

use super::correction::{Change, Correction};
use super::missing::{add, ids_of, subtract};
use crate::bar::Bar;
use crate::batch::TradeBatch;
use crate::builder_set::BuilderState;
use crate::gap::Gap;
use crate::trade::Trade;

/// Trades, the states before the first of them, and the bars that closed on them.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) trades: Arc<TradeBatch>,
    /// Gaps before, among or after its trades, in order.
    pub(super) gaps: Vec<Gap>,
    /// By slot; nothing for a slot that had not begun.
    pub(super) slots: Vec<Option<Past>>,
}

/// What a block keeps of a slot.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// Before the first trade.
    pub(super) start: BuilderState,
    /// Published bars, in order of their closing.
    pub(super) bars: Vec<Bar>,
}

impl Block {
    /// Of trades that these slots are about to take.
    pub(super) fn new(trades: Arc<TradeBatch>, slots: impl Iterator<Item = BuilderState>) -> Self {
        let slots = slots.map(|start| Some(Past { start, bars: Vec::new() })).collect();
        Self { trades, gaps: Vec::new(), slots }
    }

    pub(super) fn first_id(&self) -> Option<u64> {
        self.trades.trade_id.first().copied()
    }

    pub(super) fn last_id(&self) -> Option<u64> {
        self.trades.trade_id.last().copied()
    }

    /// The row of this id, or where it would be.
    pub(super) fn row(&self, id: u64) -> Result<usize, usize> {
        self.trades.trade_id.binary_search(&id)
    }

    /// Whether one of its gaps has this id.
    pub(super) fn misses(&self, id: u64) -> bool {
        self.gaps.iter().any(|gap| gap.first_missing <= id && id <= gap.last_missing)
    }

    /// Removes the gaps after its last trade.
    pub(super) fn gaps_behind(&mut self) -> Vec<Gap> {
        let last = self.last_id();
        let kept = self.gaps.partition_point(|gap| last.is_some_and(|id| gap.last_missing < id));
        self.gaps.split_off(kept)
    }

    /// Whether a block after it can become a part of it: each slot had begun before both or after
    /// both.
    pub(super) fn may_take(&self, next: &Self) -> bool {
        self.slots.iter().zip(&next.slots).all(|(a, b)| a.is_some() == b.is_some())
    }

    /// Merges the block after it.
    pub(super) fn take(&mut self, next: Self) {
        append(Arc::make_mut(&mut self.trades), &next.trades);
        self.gaps.extend(next.gaps);
        for (past, later) in self.slots.iter_mut().zip(next.slots) {
            if let (Some(past), Some(later)) = (past, later) {
                past.bars.extend(later.bars);
            }
        }
    }

    /// Its trades and gaps as they should have been, given the corrections in it in order of their
    /// ids. `origin` says that no trade of the instrument came before: what is missing before the
    /// first trade of all is not a gap.
    pub(super) fn corrected(
        &self,
        corrections: &[Correction],
        origin: bool,
    ) -> (TradeBatch, Vec<Gap>) {
        let feed = &self.trades.feed;
        let mut trades: Vec<Trade> = Vec::with_capacity(self.trades.len() + corrections.len());
        let mut gaps = self.gaps.clone();
        let mut row = 0;
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for correction in corrections {
            let (place, found) = match self.row(correction.trade_id) {
                Ok(place) => (place, true),
                Err(place) => (place, false),
            };
            trades.extend((row..place).map(|row| self.trades.trade(row)));
            row = place;
            if let Change::Never { first } = correction.change {
                let last_missing = correction.trade_id;
                come.push(Gap { first_missing: first, last_missing });
                continue;
            }
            if found {
                gone.extend(ids_of(&self.trades.trade(row), feed.ids));
                row += 1;
            }
            if let Change::Add(trade) | Change::Replace(trade) = correction.change {
                come.extend(ids_of(&trade, feed.ids));
                trades.push(trade);
            }
        }
        trades.extend((row..self.trades.len()).map(|row| self.trades.trade(row)));
        if let Some(before) = self.first_id().filter(|_| origin)
            && let Some(first) = trades.first().and_then(|first| ids_of(first, feed.ids))
            && let Some(old_first) = ids_of(&self.trades.trade(0), feed.ids)
            && first.last_missing < before
            && first.last_missing + 1 < old_first.first_missing
        {
            let (first_missing, last_missing) =
                (first.last_missing + 1, old_first.first_missing - 1);
            gone.push(Gap { first_missing, last_missing });
        }
        for ids in gone {
            add(&mut gaps, ids);
        }
        for ids in come {
            subtract(&mut gaps, ids);
        }
        if origin {
            match trades.first() {
                Some(first) => gaps.retain(|gap| gap.last_missing > first.trade_id),
                None => gaps.clear(),
            }
        }
        (TradeBatch::from_trades(Arc::clone(feed), &trades), gaps)
    }
}

/// Appends the trades of `more` to those of `batch`.
pub(super) fn append(batch: &mut TradeBatch, more: &TradeBatch) {
    for trade in more.iter() {
        batch.push(&trade);
    }
}
