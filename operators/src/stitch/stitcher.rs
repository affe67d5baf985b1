//! The true order and the true builders, and the chunks that they take over.

use std::sync::Arc;

use super::piece::{Outline, Piece, Remains};
use super::seat::Seat;
use crate::bar::Bar;
use crate::batch::{Feed, TradeBatch};
use crate::gap::Gap;
use crate::intake::{Intake, Made, Reject};
use crate::order::{InstrumentOrder, OrderOptions, Ordered, RejectPolicy};
use crate::pool::BatchPool;
use crate::position::Position;
use crate::sequence::{Findings, Mark};
use crate::spec::BarSpec;

/// What a stitcher needs to know.
#[derive(Clone, Debug)]
pub struct StitcherOptions {
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
/// [`end_chunk`](Self::end_chunk), its pieces in order; [`finish`](Self::finish) at the end.
#[derive(Debug)]
pub struct Stitcher {
    pool: BatchPool,
    truth: Truth,
    /// The true position at the start of the chunk.
    before: Truth,
    chairs: Vec<Chair>,
    /// What the chunk's ids lack to those of the whole history.
    ids: u64,
    /// Whether the chunk's own order lets the same trades through as the true one, from here on.
    in_step: bool,
    /// Pieces of this chunk that are done.
    pieces: usize,
    /// Pieces to repeat in silence, because their bars are out.
    repeats: usize,
    /// Trades of this chunk so far.
    rows: u64,
    twice: Twice,
}

/// Everything that the sequential run would have.
#[derive(Clone, Debug)]
struct Truth {
    order: InstrumentOrder,
    seats: Vec<Seat>,
}

/// Whether a chunk's builder has become the true one.
#[derive(Debug)]
struct Chair {
    spec: BarSpec,
    /// What the numbers of the chunk's bars lack to the true ones, since they agree.
    joined: Option<u64>,
    /// Trades of the chunk before that, where there was one to join.
    after: Option<u64>,
}

/// The chunk has to be read again from its beginning: more of its trades is needed than was kept.
/// Call [`Stitcher::read_again`] and hand in all its pieces, made by [`Piece::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunk was not kept long enough")]
pub struct ReadAgain;

/// What comes of a piece.
#[derive(Debug, Default)]
pub struct Stitched {
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
}

impl Stitched {
    /// As an intake whose bars were built beforehand; none where nothing came of the piece.
    pub fn into_intake(self, feed: &Arc<Feed>) -> Option<Intake> {
        let Self { bars, rejects, findings, position, .. } = self;
        let position = position?;
        let nothing = TradeBatch::with_capacity(Arc::clone(feed), 0);
        let mut intake = Intake::new(nothing, rejects, position.clone(), position);
        intake.made = Some(Box::new(Made { bars, findings }));
        Some(intake)
    }
}

/// What working in chunks has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twice {
    /// Chunks.
    pub chunks: u64,
    /// Trades that passed through a chunk's own builder and the true one of the same specification.
    pub trades: u64,
    /// Chunks that had to be read again.
    pub read_again: u64,
    /// Chunks of which at least one builder that was built ahead never fell into step.
    pub apart: u64,
}

impl Stitcher {
    /// At the beginning of a history.
    pub fn new(options: StitcherOptions) -> Self {
        let StitcherOptions { feed, specs, policy, reorder_window, pool } = options;
        let options = OrderOptions { policy, reorder_window, pool: pool.clone(), revises: false };
        let order = InstrumentOrder::new(feed, options);
        let truth = Truth { order, seats: specs.iter().map(Seat::new).collect() };
        let chair = |spec| Chair { spec, joined: None, after: None };
        Self {
            pool,
            before: truth.clone(),
            truth,
            chairs: specs.into_iter().map(chair).collect(),
            ids: 0,
            in_step: false,
            pieces: 0,
            repeats: 0,
            rows: 0,
            twice: Twice::default(),
        }
    }

    /// The next chunk begins. `ids` is to be added to the ids of its trades, as where rows without
    /// ids are numbered within each chunk.
    pub fn begin_chunk(&mut self, ids: u64) {
        self.before = self.truth.clone();
        self.ids = ids;
        self.twice.chunks += 1;
        self.restart();
    }

    fn restart(&mut self) {
        (self.in_step, self.pieces, self.rows) = (false, 0, 0);
        for chair in &mut self.chairs {
            (chair.joined, chair.after) = (None, None);
        }
    }

    /// Goes back to the beginning of the chunk: its pieces are to come once more, all of them. What
    /// was handed out of it is not handed out again.
    pub fn read_again(&mut self) {
        self.truth = self.before.clone();
        self.repeats = self.pieces;
        self.twice.trades += self.rows;
        self.twice.read_again += 1;
        self.restart();
    }

    /// Takes the next piece of the chunk.
    ///
    /// # Errors
    /// When the chunk has to be read again; nothing came of the piece then.
    pub fn on_piece(&mut self, mut piece: Piece) -> Result<Stitched, ReadAgain> {
        let before = piece.outline.as_ref().and_then(|outline| outline.before);
        self.in_step = piece.outline.is_some()
            && (self.in_step || self.same_order(before, self.truth.order.mark()));
        piece.shift(self.ids);
        let stitched = match piece.raw.take() {
            Some(raw) => self.on_raw(piece, raw)?,
            None => self.on_outline(piece)?,
        };
        self.pieces += 1;
        if self.repeats > 0 {
            self.repeats -= 1;
            return Ok(Stitched::default());
        }
        Ok(stitched)
    }

    /// Whether a chunk's order and the true one let the same trades through from here on.
    fn same_order(&self, chunk: Option<Mark>, truth: Option<Mark>) -> bool {
        let (Some(chunk), Some(truth)) = (chunk, truth) else { return false };
        self.shifted(chunk).last_id == truth.last_id
    }

    fn shifted(&self, mark: Mark) -> Mark {
        Mark { last_id: mark.last_id.map(|id| id.wrapping_add(self.ids)), ..mark }
    }

    fn on_raw(&mut self, mut piece: Piece, raw: Arc<TradeBatch>) -> Result<Stitched, ReadAgain> {
        let outline = piece.outline.take();
        let rows = raw.len() as u64;
        let Piece { start, end, rejects, .. } = piece;
        let input = Intake::new(Arc::unwrap_or_clone(raw), rejects, start, end);
        let Some(ordered) = self.truth.order.on_batch(input) else {
            return Ok(Stitched { stopped: true, ..Stitched::default() });
        };
        let Ordered { trades, position, findings, rejects, .. } = ordered;
        let stopped = self.truth.order.is_stopped();
        let any_joined = self.chairs.iter().any(|chair| chair.joined.is_some());
        if any_joined && (stopped || outline.is_none()) {
            return Err(ReadAgain);
        }
        let mut bars = Vec::new();
        let mut worked_twice = false;
        let mut seats = outline.map(|outline| outline.seats.into_iter());
        self.rows += rows;
        for (place, seat) in self.truth.seats.iter_mut().enumerate() {
            let chair = &mut self.chairs[place];
            let ahead = seats.as_mut().and_then(Iterator::next).flatten();
            if let Some(seq) = chair.joined {
                let ahead = ahead.unwrap_or_default();
                seat.missing_ids = ahead.missing_ids;
                hand_out(&chair.spec, ahead.bars, seq, self.ids, &mut bars);
                continue;
            }
            let mut closed = Vec::new();
            seat.on_batch(&trades, &findings.gaps, &mut closed);
            if let Some(ahead) = ahead {
                worked_twice = true;
                if self.in_step && seat.missing_ids == ahead.missing_ids {
                    chair.joined = agree(&closed, &ahead.bars, self.ids);
                    chair.after = chair.joined.map(|_| self.rows);
                }
            }
            hand_out(&chair.spec, closed, 0, 0, &mut bars);
        }
        self.twice.trades += if worked_twice { rows } else { 0 };
        self.pool.give_back(trades);
        Ok(Stitched { bars, rejects, findings, position: Some(position), stopped })
    }

    fn on_outline(&mut self, mut piece: Piece) -> Result<Stitched, ReadAgain> {
        let all_joined = self.chairs.iter().all(|chair| chair.joined.is_some());
        let Some(outline) = piece.outline.take().filter(|_| self.in_step && all_joined) else {
            return Err(ReadAgain);
        };
        let Outline { before, after, released, time_reversals, seats } = outline;
        let before = before.map(|mark| self.shifted(mark));
        let after = after.map(|mark| self.shifted(mark));
        // Times that run backwards are counted against the time of the trade before.
        let (true, Some(after)) = (before == self.truth.order.mark(), after) else {
            return Err(ReadAgain);
        };
        let position = self.truth.order.pass_over(piece.end.clone(), after);
        let mut bars = Vec::new();
        for ((chair, seat), ahead) in self.chairs.iter().zip(&mut self.truth.seats).zip(seats) {
            // All have joined, so all were built ahead.
            let ahead = ahead.unwrap_or_default();
            seat.missing_ids = ahead.missing_ids;
            hand_out(&chair.spec, ahead.bars, chair.joined.unwrap_or(0), self.ids, &mut bars);
        }
        self.rows += released;
        let findings =
            Findings { released, time_reversals, gaps: Vec::<Gap>::new(), ..Findings::default() };
        let rejects = piece.rejects;
        Ok(Stitched { bars, rejects, findings, position: Some(position), stopped: false })
    }

    /// The chunk has ended; what is left of its builders is the truth where they had agreed. None
    /// for a chunk that was read again, or worked on by nobody.
    pub fn end_chunk(&mut self, remains: Option<Remains>) {
        let builders = remains.map(|remains| remains.seats).unwrap_or_default();
        let mut apart = false;
        for (place, builder) in builders.into_iter().enumerate() {
            let Some(mut machine) = builder else { continue };
            match self.chairs[place].joined {
                Some(seq) => {
                    machine.renumber(machine.bars().wrapping_add(seq), self.ids);
                    self.truth.seats[place].machine = machine;
                }
                None => apart = true,
            }
        }
        self.chairs.iter_mut().for_each(|chair| chair.joined = None);
        self.twice.apart += u64::from(apart);
    }

    /// By specification: trades of the chunk before its builder agreed with the true one; none if
    /// it has not.
    pub fn joined_after(&self) -> impl Iterator<Item = Option<u64>> {
        self.chairs.iter().map(|chair| chair.after)
    }

    /// Trades of the chunk so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether trades wait for missing ids that the true builders could not take now, because the
    /// chunk's have gone on in their place. If the chunk breaks off here, it has to be read again.
    pub fn is_in_debt(&self) -> bool {
        let any_joined = self.chairs.iter().any(|chair| chair.joined.is_some());
        any_joined && self.truth.order.mark().is_none()
    }

    /// The history has ended: what waited for missing ids. Nothing comes of it while
    /// [in debt](Self::is_in_debt).
    pub fn finish(&mut self) -> Stitched {
        if self.is_in_debt() {
            return Stitched::default();
        }
        let Some(ordered) = self.truth.order.finish() else { return Stitched::default() };
        let Ordered { trades, position, findings, rejects, .. } = ordered;
        let mut bars = Vec::new();
        for (chair, seat) in self.chairs.iter().zip(&mut self.truth.seats) {
            let mut closed = Vec::new();
            seat.on_batch(&trades, &findings.gaps, &mut closed);
            hand_out(&chair.spec, closed, 0, 0, &mut bars);
        }
        Stitched { bars, rejects, findings, position: Some(position), stopped: false }
    }

    /// What working in chunks has cost so far.
    pub fn twice(&self) -> &Twice {
        &self.twice
    }
}

/// Whether two builders that were given the same trades of a piece have come to agree within it: by
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
