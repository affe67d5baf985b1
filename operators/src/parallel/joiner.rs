//! The true order and the true builders, and the chunks that they take over.

use std::sync::Arc;

use super::chunk_batch::{ChunkBatch, ChunkEnd, Outline};
use crate::bar::Bar;
use crate::batch::{Feed, TradeBatch};
use crate::builder_set::BuilderState;
use crate::convergence::monitor::Synchronised;
use crate::end::{InputEnd, Unfinished};
use crate::gap::Gap;
use crate::input_batch::{InputBatch, Made, Reject};
use crate::order::{InstrumentOrder, OrderOptions, Ordered, RejectPolicy};
use crate::pool::BatchPool;
use crate::position::Position;
use crate::progress::Progress;
use crate::sequence::{Findings, Mark};
use crate::spec::BarSpec;

/// What a joiner needs to know.
#[derive(Clone, Debug)]
pub struct JoinerOptions {
    /// What the trades have in common.
    pub feed: Arc<Feed>,
    /// The bars.
    pub specs: Vec<BarSpec>,
    /// What is done with bad rows.
    pub policy: RejectPolicy,
    /// How many trades may wait for a missing id.
    pub reorder_window: usize,
    /// Where batches go.
    pub pool: BatchPool,
}

/// Makes the bars of the whole history out of its chunks.
///
/// # Contract
/// Chunks in order, each between [`begin_chunk`](Self::begin_chunk) and
/// [`end_chunk`](Self::end_chunk), its batches in order; [`finish`](Self::finish) at the end.
#[derive(Debug)]
pub struct ChunkJoiner {
    pool: BatchPool,
    truth: Truth,
    /// The true position at the start of the chunk.
    before: Truth,
    chunk_builders: Vec<ChunkBuilder>,
    /// The number of the chunk's first row in the whole history.
    first_row: u64,
    /// What the chunk's ids lack to those of the whole history.
    ids: u64,
    /// Whether the chunk's own order lets the same trades through as the true one, from here on.
    in_step: bool,
    /// Batches of this chunk that are done.
    batches: usize,
    /// Batches to repeat in silence, because their bars are out.
    repeats: usize,
    /// Trades of this chunk so far.
    rows: u64,
    /// How far the input is applied.
    position: Option<Position>,
    recomputed: Recomputed,
}

/// Everything that the sequential run would have.
#[derive(Clone, Debug)]
struct Truth {
    order: InstrumentOrder,
    slots: Vec<BuilderState>,
}

/// Whether a chunk's builder has become the true one.
#[derive(Debug)]
struct ChunkBuilder {
    spec: BarSpec,
    /// What the numbers of the chunk's bars lack to the true ones, since they agree.
    joined: Option<u64>,
    /// Trades of the chunk before that, where there was one to join.
    after: Option<u64>,
}

/// The chunk has to be read again from its beginning: more of its trades is needed than was kept.
/// Call [`ChunkJoiner::read_again`] and hand in all its batches, made by [`ChunkBatch::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunk was not kept long enough")]
pub struct ReadAgain;

/// What comes of a batch.
#[derive(Debug, Default)]
pub struct JoinedBatch {
    /// Bars with the names of their specifications, in the order of the sequential run.
    pub bars: Vec<(Arc<str>, Bar)>,
    /// Rows set aside.
    pub rejects: Vec<Reject>,
    /// What was noticed about the sequence.
    pub findings: Findings,
    /// How far the input is applied.
    pub position: Option<Position>,
    /// Whether a bad row has ended everything.
    pub stopped: bool,
    /// What is left of the builders, if this is the end of the input.
    pub left: Vec<Unfinished>,
    /// How far the bars are complete, if this is the end of the input.
    pub progress: Vec<Progress>,
}

impl JoinedBatch {
    /// As an input batch whose bars were built beforehand; none where nothing came of the batch.
    pub fn into_batch(self, feed: &Arc<Feed>) -> Option<InputBatch> {
        let Self { bars, rejects, findings, position, left, progress, .. } = self;
        let position = position?;
        let nothing = TradeBatch::with_capacity(Arc::clone(feed), 0);
        let mut input_batch = InputBatch::new(nothing, rejects, position.clone(), position);
        input_batch.made = Some(Box::new(Made { bars, findings, left, progress }));
        Some(input_batch)
    }
}

/// What working in chunks has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recomputed {
    /// Chunks.
    pub chunks: u64,
    /// Trades that passed through a chunk's own builder and the true one of the same specification.
    pub trades: u64,
    /// Chunks that had to be read again.
    pub read_again: u64,
    /// Chunks of which at least one builder that was built ahead never fell into step.
    pub apart: u64,
}

impl ChunkJoiner {
    /// At the beginning of a history.
    pub fn new(options: JoinerOptions) -> Self {
        let JoinerOptions { feed, specs, policy, reorder_window, pool } = options;
        let options = OrderOptions { policy, reorder_window, pool: pool.clone(), revises: false };
        let order = InstrumentOrder::new(feed, options);
        let truth = Truth { order, slots: specs.iter().map(BuilderState::new).collect() };
        let chunk_builder = |spec| ChunkBuilder { spec, joined: None, after: None };
        Self {
            pool,
            before: truth.clone(),
            truth,
            chunk_builders: specs.into_iter().map(chunk_builder).collect(),
            first_row: 0,
            ids: 0,
            in_step: false,
            batches: 0,
            repeats: 0,
            rows: 0,
            position: None,
            recomputed: Recomputed::default(),
        }
    }

    /// The next chunk begins. `ids` is to be added to the ids of its trades, as where rows without
    /// ids are numbered within each chunk.
    pub fn begin_chunk(&mut self, ids: u64) {
        self.before = self.truth.clone();
        self.first_row = self.truth.order.memory().next();
        self.ids = ids;
        self.recomputed.chunks += 1;
        self.restart();
    }

    fn restart(&mut self) {
        (self.in_step, self.batches, self.rows) = (false, 0, 0);
        for chunk_builder in &mut self.chunk_builders {
            (chunk_builder.joined, chunk_builder.after) = (None, None);
        }
    }

    /// Goes back to the beginning of the chunk: its batches are to come once more, all of them.
    /// What was handed out of it is not handed out again.
    pub fn read_again(&mut self) {
        self.truth = self.before.clone();
        self.repeats = self.batches;
        self.recomputed.trades += self.rows;
        self.recomputed.read_again += 1;
        self.restart();
    }

    /// Takes the next batch of the chunk.
    ///
    /// # Errors
    /// When the chunk has to be read again; nothing came of the batch then.
    pub fn on_batch(&mut self, mut batch: ChunkBatch) -> Result<JoinedBatch, ReadAgain> {
        let before = batch.outline.as_ref().and_then(|outline| outline.before);
        self.in_step = batch.outline.is_some()
            && (self.in_step || self.same_order(before, self.truth.order.mark()));
        batch.shift(self.ids);
        let joined_batch = match batch.raw.take() {
            Some(raw) => self.on_raw(batch, raw)?,
            None => self.on_outline(batch)?,
        };
        self.batches += 1;
        self.position = joined_batch.position.clone().or(self.position.take());
        if self.repeats > 0 {
            self.repeats -= 1;
            return Ok(JoinedBatch::default());
        }
        Ok(joined_batch)
    }

    /// Whether a chunk's order and the true one let the same trades through from here on.
    fn same_order(&self, chunk: Option<Mark>, truth: Option<Mark>) -> bool {
        let (Some(chunk), Some(truth)) = (chunk, truth) else { return false };
        self.shifted(chunk) == truth
    }

    fn shifted(&self, mark: Mark) -> Mark {
        Mark { last_id: mark.last_id.map(|id| id.wrapping_add(self.ids)), ..mark }
    }

    fn on_raw(
        &mut self,
        mut batch: ChunkBatch,
        raw: Arc<TradeBatch>,
    ) -> Result<JoinedBatch, ReadAgain> {
        let outline = batch.outline.take();
        if let Some(memory) = outline.as_ref().and_then(|outline| outline.memory.as_ref()) {
            self.truth.order.adopt(memory, self.first_row);
        }
        let rows = raw.len() as u64;
        let ChunkBatch { start, end, rejects, left_out, places, .. } = batch;
        let input = InputBatch::new(Arc::unwrap_or_clone(raw), rejects, start, end);
        let input = InputBatch { left_out, places, ..input };
        let Some(ordered) = self.truth.order.on_batch(input) else {
            return Ok(JoinedBatch { stopped: true, ..JoinedBatch::default() });
        };
        let Ordered { trades, position, findings, rejects, .. } = ordered;
        let stopped = self.truth.order.is_stopped();
        let any_joined =
            self.chunk_builders.iter().any(|chunk_builder| chunk_builder.joined.is_some());
        let is_same = |outline: &Outline| {
            let after = outline.after.map(|mark| self.shifted(mark));
            outline.released == findings.released && after == self.truth.order.mark()
        };
        if any_joined && (stopped || !outline.as_ref().is_some_and(is_same)) {
            return Err(ReadAgain);
        }
        let mut bars = Vec::new();
        let mut worked_twice = false;
        let mut slots = outline.map(|outline| outline.slots.into_iter());
        self.rows += rows;
        for (place, slot) in self.truth.slots.iter_mut().enumerate() {
            let chunk_builder = &mut self.chunk_builders[place];
            let ahead = slots.as_mut().and_then(Iterator::next).flatten();
            if let Some(seq) = chunk_builder.joined {
                let ahead = ahead.unwrap_or_default();
                slot.missing_ids = ahead.missing_ids;
                hand_out(&chunk_builder.spec, ahead.bars, seq, self.ids, &mut bars);
                continue;
            }
            let mut closed = Vec::new();
            slot.on_batch(&trades, &findings.gaps, &mut closed);
            if let Some(ahead) = ahead {
                worked_twice = true;
                if self.in_step && slot.missing_ids == ahead.missing_ids {
                    chunk_builder.joined = agree(&closed, &ahead.bars, self.ids);
                    chunk_builder.after = chunk_builder.joined.map(|_| self.rows);
                }
            }
            hand_out(&chunk_builder.spec, closed, 0, 0, &mut bars);
        }
        self.recomputed.trades += if worked_twice { rows } else { 0 };
        self.pool.give_back(trades);
        let position = Some(position);
        Ok(JoinedBatch { bars, rejects, findings, position, stopped, ..JoinedBatch::default() })
    }

    fn on_outline(&mut self, mut batch: ChunkBatch) -> Result<JoinedBatch, ReadAgain> {
        let all_joined =
            self.chunk_builders.iter().all(|chunk_builder| chunk_builder.joined.is_some());
        let Some(outline) = batch.outline.take().filter(|_| self.in_step && all_joined) else {
            return Err(ReadAgain);
        };
        let Outline { before, after, released, time_reversals, slots, .. } = outline;
        let before = before.map(|mark| self.shifted(mark));
        let after = after.map(|mark| self.shifted(mark));
        // Times that run backwards are counted against the time of the trade before.
        let (true, Some(after)) = (before == self.truth.order.mark(), after) else {
            return Err(ReadAgain);
        };
        let position = self.truth.order.pass_over(batch.end.clone(), after, released);
        let mut bars = Vec::new();
        for ((chunk_builder, slot), ahead) in
            self.chunk_builders.iter().zip(&mut self.truth.slots).zip(slots)
        {
            // All have joined, so all were built ahead.
            let ahead = ahead.unwrap_or_default();
            slot.missing_ids = ahead.missing_ids;
            hand_out(
                &chunk_builder.spec,
                ahead.bars,
                chunk_builder.joined.unwrap_or(0),
                self.ids,
                &mut bars,
            );
        }
        self.rows += released;
        let findings =
            Findings { released, time_reversals, gaps: Vec::<Gap>::new(), ..Findings::default() };
        let rejects = batch.rejects;
        let position = Some(position);
        Ok(JoinedBatch { bars, rejects, findings, position, ..JoinedBatch::default() })
    }

    /// The chunk has ended; what is left of its builders is the truth where they had agreed. None
    /// for a chunk that was read again, or worked on by nobody.
    pub fn end_chunk(&mut self, chunk_end: Option<ChunkEnd>) {
        let (builders, memory) = match chunk_end {
            Some(chunk_end) => (chunk_end.slots, chunk_end.memory),
            None => (Vec::new(), None),
        };
        if let Some(memory) = memory {
            self.truth.order.adopt(&memory, self.first_row);
        }
        let mut apart = false;
        for (place, builder) in builders.into_iter().enumerate() {
            let Some(mut machine) = builder else { continue };
            match self.chunk_builders[place].joined {
                Some(seq) => {
                    machine.renumber(machine.bars().wrapping_add(seq), self.ids);
                    self.truth.slots[place].machine = machine;
                }
                None => apart = true,
            }
        }
        self.chunk_builders.iter_mut().for_each(|chunk_builder| chunk_builder.joined = None);
        self.recomputed.apart += u64::from(apart);
    }

    /// By specification: trades of the chunk before its builder agreed with the true one; none if
    /// it has not.
    pub fn joined_after(&self) -> impl Iterator<Item = Option<u64>> {
        self.chunk_builders.iter().map(|chunk_builder| chunk_builder.after)
    }

    /// Trades of the chunk so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether trades wait for missing ids that the true builders could not take now, because the
    /// chunk's have gone on in their place. If the chunk breaks off here, it has to be read again.
    pub fn is_in_debt(&self) -> bool {
        let any_joined =
            self.chunk_builders.iter().any(|chunk_builder| chunk_builder.joined.is_some());
        any_joined && self.truth.order.mark().is_none()
    }

    /// The history has ended: what waited for missing ids. Nothing comes of it while
    /// [in debt](Self::is_in_debt).
    pub fn finish(&mut self) -> JoinedBatch {
        if self.is_in_debt() {
            return JoinedBatch::default();
        }
        let Some(ordered) = self.truth.order.finish() else { return JoinedBatch::default() };
        let Ordered { trades, position, findings, rejects, .. } = ordered;
        self.position = Some(position.clone());
        let mut bars = Vec::new();
        for (chunk_builder, slot) in self.chunk_builders.iter().zip(&mut self.truth.slots) {
            let mut closed = Vec::new();
            slot.on_batch(&trades, &findings.gaps, &mut closed);
            hand_out(&chunk_builder.spec, closed, 0, 0, &mut bars);
        }
        let (position, stopped) = (Some(position), self.truth.order.is_stopped());
        JoinedBatch { bars, rejects, findings, position, stopped, ..JoinedBatch::default() }
    }

    /// The input has ended so: what that closes, and what is left. Everything has to have come.
    pub fn on_end(&mut self, end: InputEnd) -> JoinedBatch {
        let mut bars = Vec::new();
        let mut left = Vec::new();
        for (chunk_builder, slot) in self.chunk_builders.iter().zip(&mut self.truth.slots) {
            let mut closed = Vec::new();
            slot.on_end(end, &chunk_builder.spec, &mut closed);
            hand_out(&chunk_builder.spec, closed, 0, 0, &mut bars);
            left.push(slot.unfinished(&chunk_builder.spec));
        }
        let (position, progress) = (self.position.clone(), self.progress(end));
        JoinedBatch { bars, left, position, progress, ..JoinedBatch::default() }
    }

    /// How far the bars are complete at such an end; nothing before the first trade.
    fn progress(&self, end: InputEnd) -> Vec<Progress> {
        let Some(Mark { last_id: Some(id), last_time: Some(time) }) = self.truth.order.mark()
        else {
            return Vec::new();
        };
        let builders = self.chunk_builders.iter().zip(&self.truth.slots);
        let of_builder = |(chunk_builder, slot): (&ChunkBuilder, &BuilderState)| Progress {
            spec: Arc::clone(chunk_builder.spec.name()),
            feed: Arc::clone(self.truth.order.feed()),
            complete_trade_id: id,
            complete_time: end.until.map_or(time, |until| time.max(until)),
            // Chunks are not watched.
            builder: slot.progress(Synchronised::Unknown),
            gap_since: None,
        };
        builders.map(of_builder).collect()
    }

    /// What working in chunks has cost so far.
    pub fn recomputed(&self) -> &Recomputed {
        &self.recomputed
    }
}

/// Whether two builders that were given the same trades of a batch have come to agree within it: by
/// a close on the same trade, in the same state. Returns what the numbers of the chunk's bars lack
/// to the true ones.
fn agree(truth: &[Bar], chunk: &[Bar], ids: u64) -> Option<u64> {
    let mut chunk = chunk.iter().peekable();
    truth.iter().find_map(|bar| {
        let at = |other: &Bar| other.last_trade_id.wrapping_add(ids);
        while chunk.next_if(|other| at(other) < bar.last_trade_id).is_some() {}
        // One trade can close several bars (at a session's end, or where trades are split).
        let same = chunk.clone().take_while(|other| at(other) == bar.last_trade_id);
        let same = same.into_iter().find(|other| other.state_digest == bar.state_digest);
        same.map(|other| bar.seq.wrapping_sub(other.seq))
    })
}

fn hand_out(spec: &BarSpec, closed: Vec<Bar>, seq: u64, ids: u64, bars: &mut Vec<(Arc<str>, Bar)>) {
    bars.extend(closed.into_iter().map(|mut bar| {
        bar.seq = bar.seq.wrapping_add(seq);
        bar.first_trade_id = bar.first_trade_id.wrapping_add(ids);
        bar.last_trade_id = bar.last_trade_id.wrapping_add(ids);
        (Arc::clone(spec.name()), bar)
    }));
}
