//! The venue's order of trades: repeats dropped, gaps noted, disorder mended within a window.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{IdKind, TradeBatch};
use crate::pool::BatchPool;
use crate::trade::Trade;

/// Ids that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// First missing id.
    pub first_missing: u64,
    /// Last missing id.
    pub last_missing: u64,
}

impl Gap {
    /// How many ids are missing.
    pub fn len(&self) -> u64 {
        self.last_missing - self.first_missing + 1
    }

    /// Never: a gap has at least one id.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// What was noticed about the sequence while taking one batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Trades let through.
    pub released: u64,
    /// Trades dropped because their id was already seen.
    pub duplicates: u64,
    /// Trades let through whose event time is before that of the trade before them.
    pub time_reversals: u64,
    /// Trades that came after one with a higher id and were put back in their place.
    pub reordered: u64,
    /// Ids that never came.
    pub gaps: Vec<Gap>,
    /// Trades that came so late that their id had already been given up as missing, with the row
    /// they stood in. Letting them through would break the order, so the caller sets them aside.
    pub late: Vec<(usize, Trade)>,
}

/// Puts the trades of one instrument into the order of their ids.
///
/// When an id is missing, later trades wait for it until `window` of them wait; then the gap is
/// noted and the order goes on. Decisions depend on the sequence of rows alone, never on how it
/// was cut into batches.
///
/// # Contract
/// Ids of released trades strictly increase, and every trade taken is released, counted as a
/// duplicate, returned as late, or still waiting. Sources without ids pass through as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequencer {
    window: usize,
    last_id: Option<u64>,
    last_time: i64,
    /// Whether a row stands for as many ids as it counts trades.
    spans: bool,
    /// Trades waiting for a missing id, by id; all beyond `last_id + 1`.
    waiting: VecDeque<Trade>,
    /// Which batch each of them came with, counted from 1.
    came_with: VecDeque<u64>,
    /// Batches taken.
    batches: u64,
    /// The latest gaps, to tell a late trade from a repeated one.
    recent_gaps: VecDeque<Gap>,
    /// Ids ahead that are known to stand for no trade, in order.
    voids: VecDeque<Gap>,
}

/// How far a sequencer is, see [`Sequencer::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Id of the last trade let through, if any.
    pub last_id: Option<u64>,
    /// Its event time, ns; `i64::MIN` if there was none.
    pub last_time: i64,
}

/// What is known of an instrument's order from an earlier run.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// Last trade applied, if any.
    pub last_id: Option<u64>,
    /// Its event time, ns.
    pub last_time: i64,
    /// Ids that were given up as missing, newest last.
    pub gaps: VecDeque<Gap>,
    /// Ids ahead that are known to stand for no trade.
    pub voids: Vec<Gap>,
}

/// Gaps remembered per instrument. A trade older than the oldest of them counts as a duplicate.
pub const GAPS_REMEMBERED: usize = 4096;

impl Sequencer {
    /// Trades wait for missing ids until `window` of them do; 0 never waits.
    pub fn new(window: usize) -> Self {
        Self {
            window,
            last_id: None,
            last_time: i64::MIN,
            spans: false,
            waiting: VecDeque::new(),
            came_with: VecDeque::new(),
            batches: 0,
            recent_gaps: VecDeque::new(),
            voids: VecDeque::new(),
        }
    }

    /// Goes on where an earlier run stopped: rows up to its last trade are skipped as duplicates,
    /// except those of ids that were given up as missing.
    pub fn resume(&mut self, from: Resume) {
        self.last_id = from.last_id;
        self.last_time = from.last_time;
        self.recent_gaps = from.gaps;
        self.voids = from.voids.into();
    }

    /// Ids ahead that are known to stand for no trade.
    pub fn voids(&self) -> Vec<Gap> {
        // Nearly always none, and then nothing is allocated.
        self.voids.iter().copied().collect()
    }

    /// Stops waiting for good: whoever hands trades in has put them in order. What waited goes out
    /// before the next trade. `voids` are ids ahead, in order, that stand for no trade.
    pub fn settle(&mut self, voids: &[Gap]) {
        self.window = 0;
        self.voids.extend(voids);
    }

    /// Id of the last trade released.
    pub fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    /// Whether trades wait for a missing id.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many batches were taken since the first that has trades waiting, that one included; 0 if
    /// none waits.
    pub fn batches_waiting(&self) -> usize {
        let oldest = self.came_with.iter().min();
        oldest.map_or(0, |oldest| (self.batches - oldest + 1) as usize)
    }

    /// Id of the last trade and its event time; none while trades wait or ids ahead are known to
    /// stand for nothing. Two sequencers with equal marks let the same trades through from there on,
    /// whatever either has seen before: of rows behind the mark both let none through, and differ
    /// at most in whether they call them repeated or late.
    pub fn mark(&self) -> Option<Mark> {
        let settled = self.waiting.is_empty() && self.voids.is_empty();
        settled.then_some(Mark { last_id: self.last_id, last_time: self.last_time })
    }

    /// Whether all trades of this batch would be let through as they are, with nothing to note but
    /// times that run backwards.
    pub fn passes(&self, batch: &TradeBatch) -> bool {
        match batch.feed.ids {
            IdKind::Ordinal if self.is_waiting() => false,
            IdKind::Ordinal => match (self.last_id, batch.trade_id.first()) {
                (Some(last), Some(first)) => *first > last,
                _ => true,
            },
            IdKind::Venue => self.continues(&batch.trade_id),
            IdKind::Spans => false,
        }
    }

    /// Takes a batch that [passes](Self::passes).
    pub fn let_through(&mut self, batch: &TradeBatch, findings: &mut Findings) {
        if let Some(last) = batch.trade_id.last() {
            self.last_id = Some(*last);
        }
        self.note_release(batch, findings);
    }

    /// Goes on behind trades that another sequencer with this one's mark has let through, when all
    /// of them [passed](Self::passes).
    pub fn pass_over(&mut self, behind: Mark) {
        (self.last_id, self.last_time) = (behind.last_id, behind.last_time);
    }

    /// Takes a batch; returns the trades that are now in order, the same allocation where all of
    /// them are.
    pub fn on_batch(
        &mut self,
        batch: TradeBatch,
        pool: &BatchPool,
        findings: &mut Findings,
    ) -> Arc<TradeBatch> {
        self.batches += 1;
        self.spans = batch.feed.ids == IdKind::Spans;
        self.skip_voids();
        let ordinal = batch.feed.ids == IdKind::Ordinal;
        // A row without an id fills no gap: what waits for one comes before it.
        let most = if ordinal { 0 } else { self.window };
        let mut ordered = None;
        while self.waiting.len() > most {
            let ordered = ordered.get_or_insert_with(|| pool.take(&batch.feed));
            self.give_up_gap(ordered, findings);
        }
        let batch = self.skip_applied(batch, findings);
        let passes = ordinal || (!self.spans && self.continues(&batch.trade_id));
        if passes && ordered.is_none() {
            self.let_through(&batch, findings);
            return Arc::new(batch);
        }
        let mut ordered = ordered.unwrap_or_else(|| pool.take(&batch.feed));
        for row in 0..batch.len() {
            match ordinal {
                true => self.release(&batch.trade(row), &mut ordered),
                false => self.on_trade(row, batch.trade(row), &mut ordered, findings),
            }
        }
        self.note_release(&ordered, findings);
        pool.give_back(Arc::new(batch));
        Arc::new(ordered)
    }

    /// Rows that an earlier run had numbered and applied come again where it stopped amid a piece.
    fn skip_applied(&self, batch: TradeBatch, findings: &mut Findings) -> TradeBatch {
        let Some(last) = self.last_id.filter(|_| batch.feed.ids == IdKind::Ordinal) else {
            return batch;
        };
        if batch.trade_id.first().is_none_or(|first| *first > last) {
            return batch;
        }
        let news: Vec<Trade> = batch.iter().filter(|trade| trade.trade_id > last).collect();
        findings.duplicates += (batch.len() - news.len()) as u64;
        TradeBatch::from_trades(Arc::clone(&batch.feed), &news)
    }

    /// Stops waiting: no more trades will come. Appends those that waited, noting their gaps.
    pub fn flush(&mut self, ordered: &mut TradeBatch, findings: &mut Findings) {
        while self.is_waiting() {
            self.give_up_gap(ordered, findings);
        }
        self.note_release(ordered, findings);
    }

    /// Whether these ids are exactly the next ones. At the very start any run of consecutive ids
    /// longer than the window is.
    fn continues(&self, ids: &[u64]) -> bool {
        let Some(first) = ids.first() else { return true };
        let begins = match self.last_id {
            Some(last) => last.checked_add(1) == Some(*first),
            None => ids.len() > self.window,
        };
        // Written without an early exit so that it vectorises: it runs over every batch.
        begins
            && self.waiting.is_empty()
            && self.voids.is_empty()
            && ids
                .windows(2)
                .fold(true, |so_far, pair| so_far & (pair[0].wrapping_add(1) == pair[1]))
    }

    /// First id that a row stands for.
    fn first_id(&self, trade: &Trade) -> u64 {
        match self.spans {
            true => trade.trade_id.saturating_sub(u64::from(trade.count).saturating_sub(1)),
            false => trade.trade_id,
        }
    }

    fn on_trade(&mut self, row: usize, trade: Trade, out: &mut TradeBatch, found: &mut Findings) {
        let id = trade.trade_id;
        match self.last_id {
            Some(last) if id <= last => {
                if self.recent_gaps.iter().any(|g| g.first_missing <= id && id <= g.last_missing) {
                    found.late.push((row, trade));
                } else {
                    found.duplicates += 1;
                }
            }
            Some(last) if self.first_id(&trade) <= last + 1 => {
                found.reordered += u64::from(self.is_waiting());
                self.release(&trade, out);
                self.release_waiting(out);
            }
            _ => {
                self.wait(trade, found);
                if self.waiting.len() > self.window {
                    self.give_up_gap(out, found);
                }
            }
        }
    }

    fn release(&mut self, trade: &Trade, out: &mut TradeBatch) {
        self.last_id = Some(trade.trade_id);
        out.push(trade);
        self.skip_voids();
    }

    /// Passes over ids that stand for no trade.
    fn skip_voids(&mut self) {
        let Some(mut last) = self.last_id else { return };
        while let Some(void) = self.voids.front() {
            if void.first_missing > last.saturating_add(1) {
                break;
            }
            last = last.max(void.last_missing);
            self.voids.pop_front();
        }
        self.last_id = Some(last);
    }

    fn wait(&mut self, trade: Trade, found: &mut Findings) {
        let id = trade.trade_id;
        if self.waiting.back().is_none_or(|last| last.trade_id < id) {
            self.waiting.push_back(trade);
            self.came_with.push_back(self.batches);
            return;
        }
        match self.waiting.binary_search_by_key(&id, |waiting| waiting.trade_id) {
            Ok(_) => found.duplicates += 1,
            Err(place) => {
                found.reordered += 1;
                self.waiting.insert(place, trade);
                self.came_with.insert(place, self.batches);
            }
        }
    }

    /// Gives up the ids before the first waiting trade and releases what follows them.
    fn give_up_gap(&mut self, out: &mut TradeBatch, found: &mut Findings) {
        let Some(first) = self.next_waiting() else { return };
        if let Some(last) = self.last_id {
            self.note_gaps(last + 1, self.first_id(&first), found);
        }
        self.release(&first, out);
        self.release_waiting(out);
    }

    /// Notes as missing what lies from `from` up to but without `until`, except voids.
    fn note_gaps(&mut self, mut from: u64, until: u64, found: &mut Findings) {
        while from < until {
            let void = self.voids.front().copied().filter(|void| void.first_missing < until);
            let end = void.map_or(until, |void| void.first_missing);
            if from < end {
                let gap = Gap { first_missing: from, last_missing: end - 1 };
                found.gaps.push(gap);
                if self.recent_gaps.len() == GAPS_REMEMBERED {
                    self.recent_gaps.pop_front();
                }
                self.recent_gaps.push_back(gap);
            }
            from = until;
            if let Some(void) = void {
                from = void.last_missing.saturating_add(1);
                self.voids.pop_front();
            }
        }
    }

    fn next_waiting(&mut self) -> Option<Trade> {
        self.came_with.pop_front();
        self.waiting.pop_front()
    }

    fn release_waiting(&mut self, out: &mut TradeBatch) {
        while let (Some(next), Some(last)) = (self.waiting.front().copied(), self.last_id) {
            if self.first_id(&next) > last.saturating_add(1) {
                break;
            }
            self.next_waiting();
            if next.trade_id > last {
                self.release(&next, out);
            }
        }
    }

    fn note_release(&mut self, batch: &TradeBatch, findings: &mut Findings) {
        let times = &batch.event_time;
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
        findings.released += times.len() as u64;
        findings.time_reversals += u64::from(*first < self.last_time);
        findings.time_reversals += times.windows(2).map(|p| u64::from(p[1] < p[0])).sum::<u64>();
        self.last_time = *last;
    }
}

#[cfg(test)]
mod tests;
