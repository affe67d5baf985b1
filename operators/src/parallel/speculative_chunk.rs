//! A chunk's own order and builders, which know nothing of what came before.

use std::sync::Arc;

use super::chunk_batch::{BuilderOutline, ChunkBatch, ChunkEnd, Outline};
use crate::batch::{IdKind, TradeBatch};
use crate::builder_set::BuilderState;
use crate::input_batch::{InputBatch, lines};
use crate::order::RejectPolicy;
use crate::order::ids::Settled;
use crate::pool::BatchPool;
use crate::sequence::{Findings, Resume, Sequencer};
use crate::spec::BarSpec;

/// How a chunk is worked on.
#[derive(Clone, Debug)]
pub struct SpeculativeOptions {
    /// The bars, and which of them to build ahead.
    pub specs: Vec<(BarSpec, bool)>,
    /// Trades to keep from the chunk's beginning; at least the first input batch with trades is
    /// kept.
    pub keep: usize,
    /// What is done with bad rows.
    pub policy: RejectPolicy,
    /// How many trades may wait for a missing id.
    pub reorder_window: usize,
    /// Where batches go that are let go.
    pub pool: BatchPool,
}

/// Works on one chunk.
#[derive(Debug)]
pub struct SpeculativeChunk {
    options: SpeculativeOptions,
    order: Sequencer,
    slots: Vec<Option<BuilderState>>,
    begun: bool,
    kept: usize,
    /// A row has ended everything: only the true order knows how.
    given_up: bool,
}

impl SpeculativeChunk {
    /// Begins a chunk.
    pub fn new(options: SpeculativeOptions) -> Self {
        let slot = |(spec, wanted): &(BarSpec, bool)| wanted.then(|| BuilderState::new(spec));
        let slots = options.specs.iter().map(slot).collect();
        let order = Sequencer::new(options.reorder_window);
        Self { options, order, slots, begun: false, kept: 0, given_up: false }
    }

    /// Takes the next input batch.
    pub fn on_batch(&mut self, input_batch: InputBatch) -> ChunkBatch {
        let stops = self.options.policy == RejectPolicy::Stop && !input_batch.rejects.is_empty();
        // Without builders the order need not be known.
        if stops || self.given_up || self.slots.iter().all(Option::is_none) {
            self.given_up = true;
            return ChunkBatch::read(input_batch);
        }
        let InputBatch { trades, rejects, left_out, start, end, places, .. } = input_batch;
        let lines = lines(&start, &rejects, &left_out, &places);
        self.begin(&trades);
        let before = self.order.mark();
        let passes = left_out.is_empty() && self.order.passes(&trades);
        let keeps = !passes || before.is_none() || self.kept < self.options.keep.max(1);
        self.kept += trades.len();
        let mut findings = Findings::default();
        let (mut raw, mut memory) = (None, None);
        let pool = &self.options.pool;
        let released = if passes {
            let trades = Arc::new(trades);
            self.order.let_through(&trades, lines, pool, &mut findings);
            trades
        } else {
            // What does not pass as it is has to be judged again, as it was.
            memory = Some(self.order.memory().clone());
            raw = Some(Arc::new(trades.clone()));
            self.order.on_rows(trades, &left_out, lines, pool, &mut findings)
        };
        let slots = self.build(&released, &findings);
        if passes && keeps {
            raw = Some(released);
        } else {
            self.options.pool.give_back(released);
        }
        let outline = Outline {
            before,
            after: self.order.mark(),
            released: findings.released,
            time_reversals: findings.time_reversals,
            slots,
            memory,
        };
        ChunkBatch { start, end, rejects, left_out, places, raw, outline: Some(outline) }
    }

    /// Supposes that the ids run on from the chunk before. Where they do not, the supposition is
    /// noticed, and both orders agree as soon as the true one has given up the gap.
    fn begin(&mut self, trades: &TradeBatch) {
        let Some(first) = trades.trade_id.first().filter(|_| !self.begun) else { return };
        self.begun = true;
        let ids = match trades.feed.ids {
            IdKind::Ordinal => return,
            IdKind::Venue => 1,
            IdKind::Spans => trades.count.first().copied().unwrap_or(1).max(1),
        };
        self.order.resume(Resume {
            settled: Settled::up_to(first.checked_sub(u64::from(ids)), []),
            last_time: None,
        });
    }

    fn build(&mut self, trades: &TradeBatch, findings: &Findings) -> Vec<Option<BuilderOutline>> {
        let slots = self.slots.iter_mut();
        slots
            .map(|slot| {
                let slot = slot.as_mut()?;
                let mut bars = Vec::new();
                slot.on_batch(trades, &findings.gaps, &mut bars);
                Some(BuilderOutline { bars, missing_ids: slot.missing_ids })
            })
            .collect()
    }

    /// The chunk has ended.
    pub fn finish(self) -> ChunkEnd {
        let slots = self.slots.into_iter();
        let memory = (!self.given_up).then(|| self.order.memory().clone());
        ChunkEnd { slots: slots.map(|slot| Some(slot?.machine)).collect(), memory }
    }
}
