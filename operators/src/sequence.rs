//! The venue's order of trades: duplicates dropped, gaps reported, out-of-order trades re-sequenced
//! within a window.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{IdKind, TradeBatch};
use crate::gap::Gap;
use crate::input_batch::LeftOut;
use crate::order::ids::{IdOrder, Place, Settled};
use crate::pool::BatchPool;
use crate::trade::Trade;

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
    /// Rows that are not trades by rule, by reason.
    pub left_out: BTreeMap<Cow<'static, str>, u64>,
}

impl Findings {
    /// Counts rows that are not trades by rule.
    pub fn note_left_out(&mut self, left_out: &[LeftOut]) {
        for row in left_out {
            *self.left_out.entry(row.reason.clone()).or_default() += 1;
        }
    }
}

/// Puts the trades of one instrument into the order of their ids.
///
/// When an id is missing, later trades wait for it until `window` of them wait; then the gap is
/// noted and the order continues. Decisions depend on the sequence of rows alone, never on how it
/// was cut into batches.
///
/// # Contract
/// Ids of released trades strictly increase, and every trade taken is released, counted as a
/// duplicate, returned as late, or still waiting. Sources without ids pass through as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequencer {
    window: usize,
    ids: IdOrder<Waiting>,
    last_time: i64,
    /// Whether a row covers as many ids as it counts trades.
    spans: bool,
    /// Batches taken.
    batches: u64,
}

/// A row that waits for a missing id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    item: Item,
    /// Which batch it came with, counted from 1.
    came_with: u64,
}

/// What has an id.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Item {
    Trade(Trade),
    /// A row that is not a trade by rule: its id is settled, and nothing is let through.
    LeftOut,
}

/// What a feed knows of a batch that it has put in order: it has asked for what was missing, so
/// nothing waits for a missing id any more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedOrder {
    /// When the first frame of the batch came, in ns since the Unix epoch; none for a recorded one.
    /// For telemetry only: no bar depends on it.
    pub received: Option<i64>,
    /// The first id of the batch, where the feed knows nothing of what came before it: then ids
    /// between what is applied and this one are missing.
    pub begins: Option<u64>,
    /// The last id that is settled: of a trade, or known not to come.
    pub through: Option<u64>,
    /// Ids given up as missing since the batch before, in order.
    pub gaps: Vec<Gap>,
    /// Rows of the batch whose ids had been given up before they came, in order.
    pub late: Vec<u32>,
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
}

impl Sequencer {
    /// Trades wait for missing ids until `window` of them do; 0 never waits.
    pub fn new(window: usize) -> Self {
        Self { window, ids: IdOrder::default(), last_time: i64::MIN, spans: false, batches: 0 }
    }

    /// Continues after what an earlier run applied.
    pub fn resume(&mut self, from: Resume) {
        self.ids.resume(Settled::up_to(from.last_id, from.gaps));
        self.last_time = from.last_time;
    }

    /// The last id that is settled: of a trade released, or one that will not come.
    pub fn last_id(&self) -> Option<u64> {
        self.ids.last()
    }

    /// Whether trades wait for a missing id.
    pub fn is_waiting(&self) -> bool {
        self.ids.is_waiting()
    }

    /// How many batches were taken since the first that has trades waiting, that one included; 0 if
    /// none waits.
    pub fn batches_waiting(&self) -> usize {
        let oldest = self.ids.waiting().map(|waiting| waiting.came_with).min();
        oldest.map_or(0, |oldest| (self.batches - oldest + 1) as usize)
    }

    /// The last id that is settled and the event time of the last trade; none while trades wait. Two
    /// sequencers with equal marks let the same trades through from there on, whatever either has seen
    /// before: of rows after the mark both let none through, and differ at most in whether they
    /// call them repeated or late.
    pub fn mark(&self) -> Option<Mark> {
        let mark = Mark { last_id: self.ids.last(), last_time: self.last_time };
        (!self.is_waiting()).then_some(mark)
    }

    /// Whether all trades of this batch would be let through as they are, with nothing to note but
    /// times that run backwards.
    pub fn passes(&self, batch: &TradeBatch) -> bool {
        match batch.feed.ids {
            IdKind::Ordinal if self.is_waiting() => false,
            IdKind::Ordinal => match (self.ids.last(), batch.trade_id.first()) {
                (Some(last), Some(first)) => *first > last,
                _ => true,
            },
            IdKind::Venue => self.continues(&batch.trade_id),
            IdKind::Spans => false,
        }
    }

    /// Takes a batch that [passes](Self::passes).
    pub fn let_through(&mut self, batch: &TradeBatch, findings: &mut Findings) {
        if let (Some(first), Some(last)) = (batch.trade_id.first(), batch.trade_id.last()) {
            self.ids.settle(*first, *last);
        }
        self.note_release(batch, findings);
    }

    /// Continues after trades that another sequencer with this one's mark has let through, when all
    /// of them [passed](Self::passes).
    pub fn pass_over(&mut self, behind: Mark) {
        if let Some(last) = behind.last_id {
            self.ids.settle_through(last);
        }
        self.last_time = behind.last_time;
    }

    /// Takes a batch; returns the trades that are now in order, the same allocation where all of
    /// them are.
    pub fn on_batch(
        &mut self,
        batch: TradeBatch,
        pool: &BatchPool,
        findings: &mut Findings,
    ) -> Arc<TradeBatch> {
        self.on_rows(batch, &[], pool, findings)
    }

    /// Takes a batch and the rows between its trades that are not trades by rule: their ids are
    /// settled in their turn.
    pub fn on_rows(
        &mut self,
        batch: TradeBatch,
        left_out: &[LeftOut],
        pool: &BatchPool,
        findings: &mut Findings,
    ) -> Arc<TradeBatch> {
        findings.note_left_out(left_out);
        if batch.feed.ids == IdKind::Ordinal {
            return self.on_ordered(batch, FeedOrder::default(), pool, findings);
        }
        self.batches += 1;
        self.spans = batch.feed.ids == IdKind::Spans;
        if !self.spans && left_out.is_empty() && self.continues(&batch.trade_id) {
            self.let_through(&batch, findings);
            return Arc::new(batch);
        }
        let mut ordered = pool.take(&batch.feed);
        let mut left_out = left_out.iter().peekable();
        for row in 0..batch.len() {
            while let Some(out) = left_out.next_if(|out| out.row as usize <= row) {
                self.on_left_out(out, &mut ordered, findings);
            }
            self.on_trade(row, batch.trade(row), &mut ordered, findings);
        }
        for out in left_out {
            self.on_left_out(out, &mut ordered, findings);
        }
        self.note_release(&ordered, findings);
        pool.give_back(Arc::new(batch));
        Arc::new(ordered)
    }

    /// Takes a batch that is in order already, after what waits: none of its trades is what that waits
    /// for. Rows that were applied before are duplicates, and their gaps are known.
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
            while self.is_waiting() {
                self.give_up_gap(ordered, findings);
            }
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
        self.let_through(&ordered, findings);
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
                findings.late.push((row, trade));
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
        let begins = match self.ids.last() {
            Some(last) => last.checked_add(1) == Some(*first),
            None => ids.len() > self.window,
        };
        // Written without an early exit so that it vectorises: it runs over every batch.
        begins
            && !self.is_waiting()
            && ids
                .windows(2)
                .fold(true, |so_far, pair| so_far & (pair[0].wrapping_add(1) == pair[1]))
    }

    /// First id that a row covers.
    fn first_id(&self, trade: &Trade) -> u64 {
        match self.spans {
            true => trade.trade_id.saturating_sub(u64::from(trade.count).saturating_sub(1)),
            false => trade.trade_id,
        }
    }

    fn on_trade(&mut self, row: usize, trade: Trade, out: &mut TradeBatch, found: &mut Findings) {
        let (first, last) = (self.first_id(&trade), trade.trade_id);
        match self.ids.place(first, last) {
            Place::GivenUp => found.late.push((row, trade)),
            Place::Repeated | Place::Before | Place::Forgotten => found.duplicates += 1,
            Place::Next => {
                found.reordered += u64::from(self.is_waiting());
                self.ids.settle(first, last);
                out.push(&trade);
                self.release_waiting(out);
            }
            Place::First | Place::Ahead => {
                let is_behind = self.ids.last_waiting().is_some_and(|highest| highest > last);
                let waiting = Waiting { item: Item::Trade(trade), came_with: self.batches };
                match self.ids.wait(first, last, waiting) {
                    true => found.reordered += u64::from(is_behind),
                    false => found.duplicates += 1,
                }
                if self.ids.waiting().len() > self.window {
                    self.give_up_gap(out, found);
                }
            }
        }
    }

    /// Settles the id of a row that is not a trade by rule. One that comes again, or after its id was
    /// given up, changes nothing.
    fn on_left_out(&mut self, row: &LeftOut, out: &mut TradeBatch, found: &mut Findings) {
        let Some(id) = row.id else { return };
        match self.ids.place(id, id) {
            Place::GivenUp | Place::Repeated | Place::Before | Place::Forgotten => {}
            Place::Next => {
                self.ids.settle(id, id);
                self.release_waiting(out);
            }
            Place::First | Place::Ahead => {
                self.ids.wait(id, id, Waiting { item: Item::LeftOut, came_with: self.batches });
                if self.ids.waiting().len() > self.window {
                    self.give_up_gap(out, found);
                }
            }
        }
    }

    /// Gives up the ids before the first waiting trade and releases what follows them.
    fn give_up_gap(&mut self, out: &mut TradeBatch, found: &mut Findings) {
        found.gaps.extend(self.ids.give_up());
        self.release_waiting(out);
    }

    fn release_waiting(&mut self, out: &mut TradeBatch) {
        while let Some(next) = self.ids.next_ready() {
            if let Item::Trade(trade) = &next.item {
                out.push(trade);
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
