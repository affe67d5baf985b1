//! What travels from a chunk to the joiner.

use std::sync::Arc;

use crate::bar::Bar;
use crate::bars::machine::BarMachine;
use crate::batch::TradeBatch;
use crate::input_batch::{InputBatch, LeftOut, Reject, RowPlace};
use crate::position::Position;
use crate::sequence::{Mark, Memory};

/// One input batch of a chunk: what was read, or at least what came of it.
#[derive(Clone, Debug)]
pub struct ChunkBatch {
    /// Where the first row of the input batch starts.
    pub start: Position,
    /// Where the row after the last one starts.
    pub end: Position,
    /// Rows that are not trades.
    pub rejects: Vec<Reject>,
    /// Rows that are not trades by rule.
    pub left_out: Vec<LeftOut>,
    /// Where stretches of the trades come from, where files are merged.
    pub places: Vec<RowPlace>,
    /// The rows that are trades, as they were read; none if they were let go.
    pub raw: Option<Arc<TradeBatch>>,
    /// What the chunk's own order and builders made of them; none where they had given up.
    pub(super) outline: Option<Outline>,
}

/// What a chunk's own order and builders made of an input batch.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    /// The position of the chunk's own order before and after.
    pub before: Option<Mark>,
    pub after: Option<Mark>,
    /// Trades let through, and how many of them have a time before that of the one before.
    pub released: u64,
    pub time_reversals: u64,
    /// By specification; none for one that is not built ahead.
    pub slots: Vec<Option<BuilderOutline>>,
    /// What the chunk's own order remembers of the rows before, where it is needed: some row did not
    /// just pass.
    pub memory: Option<Memory>,
}

/// What one builder made of an input batch.
#[derive(Clone, Debug, Default)]
pub(super) struct BuilderOutline {
    pub bars: Vec<Bar>,
    /// Ids that are missing since its last bar, after the input batch.
    pub missing_ids: u64,
}

/// What is left of a chunk's builders at its end.
#[derive(Clone, Debug)]
pub struct ChunkEnd {
    /// By specification; none for those that were not built ahead.
    pub(super) slots: Vec<Option<BarMachine>>,
    /// What the chunk's own order remembers of its rows; none if it has not seen all of them.
    pub(super) memory: Option<Memory>,
}

impl ChunkBatch {
    /// An input batch of which nothing is known but what was read.
    pub fn read(input_batch: InputBatch) -> Self {
        let InputBatch { trades, rejects, left_out, start, end, places, .. } = input_batch;
        let raw = Some(Arc::new(trades));
        Self { start, end, rejects, left_out, places, raw, outline: None }
    }

    /// What was read, if all of it was kept.
    pub fn into_batch(self) -> Option<InputBatch> {
        let Self { start, end, rejects, left_out, places, raw, .. } = self;
        let batch = InputBatch::new(Arc::unwrap_or_clone(raw?), rejects, start, end);
        Some(InputBatch { left_out, places, ..batch })
    }

    /// Adds to the ids of its trades and positions, as where rows without ids are numbered within
    /// each chunk.
    pub fn shift(&mut self, ids: u64) {
        if ids == 0 {
            return;
        }
        if let Some(raw) = self.raw.take() {
            let mut trades = Arc::unwrap_or_clone(raw);
            trades.trade_id.iter_mut().for_each(|id| *id = id.wrapping_add(ids));
            self.raw = Some(Arc::new(trades));
        }
        for position in [&mut self.start, &mut self.end] {
            // Before a chunk's first row, the last trade is that of the chunk before.
            position.set_trade_id(position.trade_id().unwrap_or(0).wrapping_add(ids));
        }
    }

    /// Bytes that it holds, about.
    pub fn bytes(&self) -> usize {
        // Six columns; bars are what they are.
        const TRADE: usize = 41;
        let trades = self.raw.as_ref().map_or(0, |trades| trades.len());
        let slots = self.outline.iter().flat_map(|outline| &outline.slots);
        let bars: usize = slots.flatten().map(|slot| slot.bars.len()).sum();
        size_of::<Self>() + trades * TRADE + bars * size_of::<Bar>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Feed, IdKind, InputKind};
    use crate::position::FilePosition;

    #[test]
    fn a_chunk_that_begins_after_another_begins_after_its_last_trade() {
        let feed = Arc::new(Feed {
            instrument: "a:b:C".parse().unwrap(),
            input: InputKind::Trades,
            ids: IdKind::Ordinal,
            has_aggressor: false,
        });
        let start = Position::from(FilePosition::start("second.csv".into()));
        let end = FilePosition { trade_id: Some(3), ..FilePosition::start("second.csv".into()) };
        let trades = TradeBatch::with_capacity(feed, 0);
        let mut batch = ChunkBatch::read(InputBatch::new(trades, Vec::new(), start, end.into()));
        batch.shift(20_000);
        assert_eq!(batch.start.trade_id(), Some(20_000));
        assert_eq!(batch.end.trade_id(), Some(20_003));
    }
}
