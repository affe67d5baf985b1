//! The order of one instrument's trades: what the validating operator does, without its dataflow.

use std::sync::Arc;

use super::piece::Piece;
use crate::batch::{Feed, IdKind, TradeBatch};
use crate::dataflow::validate::{RejectPolicy, late_reject};
use crate::intake::Reject;
use crate::pool::BatchPool;
use crate::position::Position;
use crate::sequence::{Findings, Mark, Sequencer};

/// The true order.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    feed: Arc<Feed>,
    sequencer: Sequencer,
    policy: RejectPolicy,
    window: usize,
    pool: BatchPool,
    stopped: bool,
    /// Where reading would have to resume while trades wait.
    waiting: Option<Position>,
}

/// What is let through of a piece.
pub(super) struct Passed {
    pub trades: Arc<TradeBatch>,
    pub position: Position,
    pub rejects: Vec<Reject>,
    pub findings: Findings,
}

impl Lane {
    pub fn new(feed: Arc<Feed>, policy: RejectPolicy, window: usize, pool: BatchPool) -> Self {
        let sequencer = Sequencer::new(window);
        Self { feed, sequencer, policy, window, pool, stopped: false, waiting: None }
    }

    pub fn mark(&self) -> Option<Mark> {
        self.sequencer.mark()
    }

    /// Whether a row that is no lawful trade has ended everything.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Takes the rows of a piece, as the validating operator does.
    pub fn take(&mut self, piece: &mut Piece, raw: Arc<TradeBatch>) -> Passed {
        let stops = self.policy == RejectPolicy::Stop;
        let mut raw = Arc::unwrap_or_clone(raw);
        let mut rejects = std::mem::take(&mut piece.rejects);
        if stops && let Some(first) = rejects.first() {
            self.stopped = true;
            raw = raw.head(first.row as usize);
            rejects.truncate(1);
        }
        let mut findings = Findings::default();
        let mut trades = self.sequencer.on_batch(raw, &self.pool, &mut findings);
        for (row, late) in findings.late.drain(..) {
            rejects.push(late_reject(row, &late, &piece.start, self.window));
        }
        if stops && !rejects.is_empty() && !self.stopped {
            self.stopped = true;
            rejects.truncate(1);
        }
        if self.stopped && self.sequencer.is_waiting() {
            let mut rest = TradeBatch::clone(&trades);
            self.sequencer.flush(&mut rest, &mut findings);
            findings.released = rest.len() as u64;
            trades = Arc::new(rest);
        }
        let mut position = piece.end.clone();
        if self.stopped {
            position = self.waiting.take().unwrap_or_else(|| piece.start.clone());
        } else if self.sequencer.is_waiting() {
            position = self.waiting.get_or_insert_with(|| piece.start.clone()).clone();
        } else {
            self.waiting = None;
        }
        self.note_last(&mut position);
        Passed { trades, position, rejects, findings }
    }

    /// Goes on behind a piece whose rows another order let through, all of them as they were.
    pub fn pass_over(&mut self, piece: &Piece, behind: Mark) -> Position {
        self.sequencer.pass_over(behind);
        let mut position = piece.end.clone();
        self.note_last(&mut position);
        position
    }

    /// The input has ended: lets through what still waits.
    pub fn finish(&mut self) -> Option<Passed> {
        let mut position = self.waiting.take()?;
        let mut findings = Findings::default();
        let mut rest = TradeBatch::with_capacity(Arc::clone(&self.feed), 0);
        self.sequencer.flush(&mut rest, &mut findings);
        self.note_last(&mut position);
        Some(Passed { trades: Arc::new(rest), position, rejects: Vec::new(), findings })
    }

    pub fn give_back(&self, trades: Arc<TradeBatch>) {
        self.pool.give_back(trades);
    }

    fn note_last(&self, position: &mut Position) {
        // A row without an id of its own is numbered by where reading resumes.
        if let Some(last) = self.sequencer.last_id().filter(|_| self.feed.ids != IdKind::Ordinal) {
            position.set_trade_id(last);
        }
    }
}
