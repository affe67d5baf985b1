//! The order rule: rejects, duplicates, re-sequencing and gaps of one instrument, trade by trade.
//!
//! ```text
//! file ─► Sequencer (IdOrder, a window) ─┬─► InstrumentOrder ─► trades in order, gaps, position
//! feed ─► reorder (IdOrder, REST) ───────┘                 └──► rejects, corrections
//! ```
//!
//! [`IdOrder`](ids::IdOrder) decides by ids what comes next, what repeats and what is missing. A
//! [`Sequencer`] waits for missing ids within a window, because a file has no backfill; a
//! feed asks its venue, and hands its trades over in order. [`InstrumentOrder`] takes both: it is
//! driven by the validating operator of the dataflow, and by the chunks of a parallel replay.
//!
//! **Invariant:** no clock and no dataflow; the same rows give the same trades in the same order,
//! however they are cut into batches.

pub mod ids;
pub mod recent;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::{Feed, IdKind, TradeBatch};
use crate::input_batch::{InputBatch, LeftOut, Reject, lines};
use crate::pool::BatchPool;
use crate::position::Position;
use crate::revision::Correction;
use crate::sequence::{Findings, Lines, Mark, Memory, Refused, Resume, Sequencer, Standing};
use crate::trade::Trade;

/// What to do with a row that is not a valid trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectPolicy {
    /// Let nothing of that instrument through from the first such row on.
    Stop,
    /// Set it aside and continue.
    SetAside,
}

/// How an instrument's input is ordered.
#[derive(Clone, Debug)]
pub struct OrderOptions {
    /// What to do with bad rows.
    pub policy: RejectPolicy,
    /// How many trades may wait for a missing id, see [`Sequencer`].
    pub reorder_window: usize,
    /// Where batches come from and go to.
    pub pool: BatchPool,
    /// Whether a late trade is a correction of the past, rather than a bad row.
    pub revises: bool,
}

/// The result of one batch of input.
#[derive(Debug)]
pub struct Ordered {
    /// Trades in order; may be empty when only the position moved.
    pub trades: Arc<TradeBatch>,
    /// Everything before it is in this or an earlier result.
    pub position: Position,
    /// Counts, and the gaps before or among the trades. Late trades have been moved on.
    pub findings: Findings,
    /// Rows set aside (or the one that stopped the instrument).
    pub rejects: Vec<Reject>,
    /// How many of them came after their ids were given up as missing.
    pub late: usize,
    /// Corrections of the instrument's history, late trades among them.
    pub corrections: Vec<Correction>,
}

/// The order of one instrument's trades.
///
/// # Contract
/// Batches come from one source, in its order. Trades leave in the order of their ids; every row
/// leaves as a trade, a reject, a correction or a count, or still waits. Reading again from the
/// position, with the order [resumed](Self::resume), gives what an undisturbed run would have given.
#[derive(Clone, Debug)]
pub struct InstrumentOrder {
    feed: Arc<Feed>,
    options: OrderOptions,
    sequencer: Sequencer,
    /// Whether another run continues from where this one stops: what waits is left to it.
    continued: bool,
    stopped: bool,
    /// Where each batch starts since the first that has trades waiting. Reading would have to resume
    /// there.
    waiting: VecDeque<Position>,
    /// The end of the latest batch, while trades wait.
    read_to: Option<Position>,
}

impl InstrumentOrder {
    /// The order of a source that has not been read.
    pub fn new(feed: Arc<Feed>, options: OrderOptions) -> Self {
        let sequencer = Sequencer::new(options.reorder_window);
        Self {
            feed,
            options,
            sequencer,
            continued: false,
            stopped: false,
            waiting: VecDeque::new(),
            read_to: None,
        }
    }

    /// Whose trades they are.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Continues after what an earlier run applied.
    pub fn resume(&mut self, from: Resume) {
        self.sequencer.resume(from);
    }

    /// Another run continues from the position where this one stops. Trades that wait for a missing id
    /// are left to it, since it reads them again: released now, they would leave a false gap.
    pub fn leave_waiting_to_next_run(&mut self) {
        self.continued = true;
    }

    /// Whether a row that is not a valid trade has stopped the instrument.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether trades wait for a missing id.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How far the order is, see [`Sequencer::mark`].
    pub fn mark(&self) -> Option<Mark> {
        self.sequencer.mark()
    }

    /// Takes the next batch; nothing comes of it once the instrument has stopped.
    pub fn on_batch(&mut self, mut input: InputBatch) -> Option<Ordered> {
        if self.stopped {
            self.options.pool.give_back(Arc::new(input.trades));
            return None;
        }
        let stops = self.options.policy == RejectPolicy::Stop;
        let mut rejects = input.rejects;
        if stops && let Some(first) = rejects.first() {
            self.stopped = true;
            input.trades = input.trades.head(first.row as usize);
            input.left_out.retain(|out| out.row < first.row);
            rejects.truncate(1);
            if let Some(known) = &mut input.order {
                // What lies beyond that row is left to the next run.
                let last = input.trades.trade_id.iter().max().copied();
                known.through = None;
                known.gaps.retain(|gap| last.is_some_and(|last| gap.last_missing < last));
            }
        }
        let (pool, mut findings) = (&self.options.pool, Findings::default());
        let lines = lines(&input.start, &rejects, &input.left_out, &input.places);
        let before = (stops && input.order.is_none()).then(|| self.sequencer.here());
        let mut trades = match input.order {
            // A feed has put them in order, and asked for what was missing.
            Some(known) => {
                findings.note_left_out(&input.left_out);
                self.sequencer.on_ordered(input.trades, known, pool, &mut findings)
            }
            None => {
                let (trades, lines) = (input.trades, lines.clone());
                self.sequencer.on_rows(trades, &input.left_out, lines, pool, &mut findings)
            }
        };
        let mut corrections = input.corrections;
        let mut late_rejects = 0;
        let late = findings.late.drain(..);
        if self.options.revises {
            corrections.extend(late.map(|late| Correction::late(late.trade, late.known_time)));
        } else {
            let window = self.options.reorder_window;
            late_rejects = late.len();
            rejects.extend(late.map(|late| late_reject(late.row, &late.trade, &lines, window)));
        }
        if let Some(before) = before.filter(|_| !findings.refused.is_empty()) {
            trades = self.only_before_refused(before, &input.left_out, &mut findings, &lines);
        }
        rejects.extend(self.refused(&mut findings, &lines));
        // As they stand in the input.
        rejects.sort_by_key(|reject| reject.row);
        if stops && !rejects.is_empty() {
            // Trades that were released after a late one was due are out already, so only stop here.
            self.stopped = true;
            rejects.truncate(1);
        }
        if self.stopped && self.sequencer.is_waiting() && !self.continued {
            let mut rest = TradeBatch::clone(&trades);
            self.sequencer.flush(&mut rest, &mut findings);
            findings.released = rest.len() as u64;
            trades = Arc::new(rest);
        }
        let position = self.position(input.start, input.end);
        let late = late_rejects.min(rejects.len());
        Some(Ordered { trades, position, findings, rejects, late, corrections })
    }

    /// Continues after a batch that another order, equal from its beginning on, has let through as
    /// it was: see [`Sequencer::pass_over`].
    pub fn pass_over(&mut self, end: Position, after: Mark, rows: u64) -> Position {
        self.sequencer.pass_over(after, rows);
        self.with_last_id(end)
    }

    /// The rows that are remembered, see [`Sequencer::memory`].
    pub fn memory(&self) -> &Memory {
        self.sequencer.memory()
    }

    /// Takes over what another order remembers, see [`Sequencer::adopt`].
    pub fn adopt(&mut self, memory: &Memory, from: u64) {
        self.sequencer.adopt(memory, from);
    }

    /// A refused row stops everything: what would have come of the rows before it, had the batch ended
    /// there, so that a later run meets it and all others again.
    fn only_before_refused(
        &mut self,
        before: Sequencer,
        left_out: &[LeftOut],
        findings: &mut Findings,
        lines: &Lines,
    ) -> Arc<TradeBatch> {
        let rows = self.sequencer.rows_before_refused(findings);
        let refused = std::mem::take(&mut findings.refused);
        let conflicts = findings.conflicts.min(1);
        self.sequencer.go_back(before);
        *findings = Findings { refused, conflicts, ..Findings::default() };
        // One that waited came with an earlier batch: what waits with it has to be met again as well.
        let Some(rows) = rows else {
            self.continued = true;
            return Arc::new(TradeBatch::with_capacity(Arc::clone(&self.feed), 0));
        };
        let mut found = Findings::default();
        let end = left_out.partition_point(|other| (other.row as usize) < rows.len());
        let (left_out, pool) = (&left_out[..end], &self.options.pool);
        let trades = self.sequencer.on_rows(rows, left_out, lines.clone(), pool, &mut found);
        found.refused = std::mem::take(&mut findings.refused);
        found.conflicts = findings.conflicts;
        *findings = found;
        trades
    }

    /// Trades that cannot be put into the order, as rows set aside.
    fn refused(&self, findings: &mut Findings, lines: &Lines) -> Vec<Reject> {
        let refused = findings.refused.drain(..);
        refused
            .map(|refused| {
                let row = self.sequencer.row_of_batch(refused.row).unwrap_or(0);
                refused_reject(row, &refused, lines)
            })
            .collect()
    }

    /// The input has ended: releases what still waits.
    pub fn finish(&mut self) -> Option<Ordered> {
        let first = self.waiting.pop_front()?;
        self.waiting.clear();
        let end = self.read_to.take();
        let mut findings = Findings::default();
        let mut rest = TradeBatch::with_capacity(Arc::clone(&self.feed), 0);
        self.sequencer.flush(&mut rest, &mut findings);
        let stops = self.options.policy == RejectPolicy::Stop;
        let lines = lines(&first, &[], &[], &[]);
        // Everything has been applied, unless a row stops it.
        let mut position = self.with_last_id(end.unwrap_or_else(|| first.clone()));
        if let Some(refused) = findings.refused.first().filter(|_| stops) {
            // A later run has to meet it again, and what follows it.
            position = self.with_last_id(first);
            let keep = rest.trade_id.partition_point(|id| *id < refused.trade.trade_id);
            rest = rest.head(keep);
            findings.released = keep as u64;
            if let Some(last) = rest.trade_id.last() {
                position.set_trade_id(*last);
            }
            findings.refused.truncate(1);
            self.stopped = true;
        }
        let rejects = self.refused(&mut findings, &lines);
        Some(Ordered {
            trades: Arc::new(rest),
            position,
            findings,
            rejects,
            late: 0,
            corrections: Vec::new(),
        })
    }

    /// Up to where everything is applied, after a batch between these two.
    fn position(&mut self, start: Position, end: Position) -> Position {
        if self.stopped {
            // A later run has to meet the row again that stopped this one.
            let first = self.waiting.pop_front();
            self.waiting.clear();
            return self.with_last_id(first.unwrap_or(start));
        }
        // Where every gap is followed by another, something always waits, but never the same for
        // long: the position moves on with it.
        let held = self.sequencer.batches_waiting();
        if held > 0 {
            self.waiting.push_back(start);
        }
        let released = self.waiting.len().saturating_sub(held);
        self.waiting.drain(..released);
        match self.waiting.front().cloned() {
            Some(first) => {
                self.read_to = Some(end);
                self.with_last_id(first)
            }
            None => self.with_last_id(end),
        }
    }

    fn with_last_id(&self, mut position: Position) -> Position {
        // A row without an id of its own is numbered by where reading resumes.
        if let Some(last) = self.sequencer.last_id().filter(|_| self.feed.ids != IdKind::Ordinal) {
            position.set_trade_id(last);
        }
        position
    }
}

/// A trade that came too late, as a row set aside.
fn late_reject(row: usize, trade: &Trade, lines: &Lines, window: usize) -> Reject {
    let Standing { source, line } = lines.of(row);
    Reject {
        row: row as u32,
        source,
        line,
        field: "trade_id".to_owned(),
        value: trade.trade_id.to_string(),
        reason: match window {
            // A feed has asked for it.
            0 => "arrives after its id was given up as missing".to_owned(),
            _ => format!(
                "arrives more than {window} trades after its position in the order of ids, or in a \
                 later run: its id was given up as missing"
            ),
        },
        raw: trade.to_string(),
    }
}

/// A trade that cannot be put into the order, as a row set aside.
fn refused_reject(row: u32, refused: &Refused, lines: &Lines) -> Reject {
    let Refused { trade, place, why, .. } = refused;
    let Standing { source, line } = place.clone().unwrap_or_else(|| lines.of(row as usize));
    Reject {
        row,
        source,
        line,
        field: why.field().to_owned(),
        value: why.value(trade),
        reason: refused.reason(),
        raw: trade.to_string(),
    }
}

#[cfg(test)]
mod tests;
