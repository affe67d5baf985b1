//! The venue's order of trades: duplicates dropped, gaps reported, out-of-order trades re-sequenced
//! within a window, rows that contradict others refused.

mod gate;
mod memory;
mod of_feed;
mod refused;
mod rows;
mod votes;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{IdKind, TradeBatch};
use crate::gap::{Gap, OpenGap};
use crate::left_out::LeftOut;
use crate::order::ids::{IdOrder, Settled};
use crate::pool::BatchPool;
use crate::trade::Trade;
use gate::TimeGate;

pub(crate) use memory::GOES_ON;
pub use memory::{Lines, Memory, ROWS_REMEMBERED, Standing};
pub use refused::{Objection, Refused};
pub use votes::FAR_APART;

/// Rows whose places are remembered where rows have no ids to compare: as many as wait for those behind
/// them.
const PLACES_REMEMBERED: u64 = gate::MOST_HELD as u64;

/// What was noticed about the sequence while taking one batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Trades let through.
    pub released: u64,
    /// Trades dropped because they were seen before.
    pub duplicates: u64,
    /// How many of them were seen so long before that only their ids could be compared.
    pub not_compared: u64,
    /// Rows under the id of another row with other content.
    pub conflicts: u64,
    /// Trades let through whose event time is before that of the trade before them.
    pub time_reversals: u64,
    /// Trades that came after one with a higher id and were put back in their place.
    pub reordered: u64,
    /// Ids that never came.
    pub gaps: Vec<Gap>,
    /// Trades that came so late that their id had already been given up as missing. Letting them
    /// through would break the order, so the caller sets them aside.
    pub late: Vec<Late>,
    /// Other trades that cannot be put into the order; the caller sets them aside.
    pub refused: Vec<Refused>,
    /// Rows that are not trades by rule, by reason.
    pub left_out: BTreeMap<Cow<'static, str>, u64>,
}

/// A trade that came after its id had been given up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Late {
    /// The row of the batch that it stood in.
    pub row: usize,
    /// The trade.
    pub trade: Trade,
    /// Event time of the last trade let through before it came, ns; none if there was none.
    pub known_time: Option<i64>,
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
/// noted and the order continues. A row whose id came before is a duplicate if it says the same as
/// the row before, of the last [`ROWS_REMEMBERED`]; otherwise it is refused. An id that never came
/// and can no longer be put in its place is refused or late, never a duplicate. Of two rows of one
/// id that contradict each other, neither is let through unless the first has left already, with an
/// earlier batch. Times are judged by their neighbours, see [`FAR_APART`].
///
/// Decisions depend on the sequence of rows alone, never on how it was cut into batches, with one
/// exception: whether the first of two contradicting rows had left.
///
/// # Contract
/// Ids of released trades strictly increase, and every trade taken is released, counted as a
/// duplicate, returned as late or refused, or still waiting. Rows without ids keep their order.
#[derive(Clone, Debug)]
pub struct Sequencer {
    window: usize,
    ids: IdOrder<Waiting>,
    /// What trades in order pass on their way out.
    gate: TimeGate,
    /// What rows said.
    memory: Memory,
    last_time: Option<i64>,
    /// Batches taken.
    batches: u64,
    /// The number of the first row of the latest batch.
    latest_row: u64,
}

/// A row that waits for a missing id.
#[derive(Clone, Debug, PartialEq)]
struct Waiting {
    item: Item,
    /// Which row of the input it was.
    row: u64,
    /// Which batch it came with, counted from 1.
    came_with: u64,
    /// Whether another row of its id contradicts it: its id counts as come, and it is not used.
    refused: bool,
}

/// What has an id.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Trade(Trade),
    /// A row that is not a trade by rule: its id is settled, and nothing is let through.
    LeftOut,
}

impl Item {
    fn trade(self) -> Option<Trade> {
        match self {
            Self::Trade(trade) => Some(trade),
            Self::LeftOut => None,
        }
    }
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
    /// The gap that is open after the batch.
    pub open_gap: Option<OpenGap>,
    /// Rows of the batch whose ids had been given up before they came, in order.
    pub late: Vec<u32>,
}

/// How far a sequencer is, see [`Sequencer::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Id of the last trade let through, if any.
    pub last_id: Option<u64>,
    /// Its event time, ns, where there was one.
    pub last_time: Option<i64>,
}

/// What is known of an instrument's order from an earlier run.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// Ids up to that of the last trade applied.
    pub settled: Settled,
    /// Its event time, ns, where there was one.
    pub last_time: Option<i64>,
}

impl Sequencer {
    /// Trades wait for missing ids until `window` of them do; 0 never waits.
    pub fn new(window: usize) -> Self {
        Self {
            window,
            ids: IdOrder::default(),
            gate: TimeGate::default(),
            memory: Memory::default(),
            last_time: None,
            batches: 0,
            latest_row: 0,
        }
    }

    /// Continues after what an earlier run applied.
    pub fn resume(&mut self, from: Resume) {
        self.ids.resume(from.settled);
        self.set_last_time(from.last_time);
    }

    fn set_last_time(&mut self, time: Option<i64>) {
        self.last_time = time;
        self.gate.resume(time);
    }

    /// The last id that is settled: of a trade released, or one that will not come.
    pub fn last_id(&self) -> Option<u64> {
        self.gate.settled_before().unwrap_or_else(|| self.ids.last())
    }

    /// Which ids are settled.
    pub fn settled(&self) -> &Settled {
        self.ids.settled()
    }

    /// Whether trades wait for a missing id or for those behind them, or a gap for the next trade.
    pub fn is_waiting(&self) -> bool {
        self.ids.is_waiting() || self.gate.oldest().is_some()
    }

    /// How many batches were taken since the first of which something waits, that one included; 0 if
    /// none waits.
    pub fn batches_waiting(&self) -> usize {
        let for_ids = self.ids.waiting().map(|waiting| waiting.came_with);
        let oldest = for_ids.chain(self.gate.oldest()).min();
        oldest.map_or(0, |oldest| (self.batches - oldest + 1) as usize)
    }

    /// The last id that is settled and the event time of the last trade; none while trades or gaps
    /// wait. Two
    /// sequencers with equal marks let the same trades through from there on, whatever either has seen
    /// before: of rows after the mark both let none through, and differ at most in what they call
    /// them.
    pub fn mark(&self) -> Option<Mark> {
        let mark = Mark { last_id: self.ids.last(), last_time: self.last_time };
        (!self.is_waiting()).then_some(mark)
    }

    /// The rows that are remembered.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Takes over what another sequencer remembers of the same input, from row `from` on up to now.
    pub fn adopt(&mut self, memory: &Memory, from: u64) {
        self.memory.adopt(memory, from);
    }

    /// Whether all trades of this batch would be let through as they are, with nothing to note but
    /// times that run backwards.
    pub fn passes(&self, batch: &TradeBatch) -> bool {
        let ids_follow = match batch.feed.ids {
            IdKind::Ordinal if self.is_waiting() => false,
            IdKind::Ordinal => match (self.ids.last(), batch.trade_id.first()) {
                (Some(last), Some(first)) => *first > last,
                _ => true,
            },
            IdKind::Venue => self.continues(&batch.trade_id),
            IdKind::Spans => false,
        };
        ids_follow && self.gate.lets_through(&batch.event_time)
    }

    /// Takes a batch that [passes](Self::passes).
    pub fn let_through(
        &mut self,
        batch: &Arc<TradeBatch>,
        lines: Lines,
        pool: &BatchPool,
        findings: &mut Findings,
    ) {
        self.remember(batch, lines, true, pool);
        self.release(batch, findings);
    }

    fn release(&mut self, batch: &TradeBatch, findings: &mut Findings) {
        if let (Some(first), Some(last)) = (batch.trade_id.first(), batch.trade_id.last()) {
            self.ids.settle(*first, *last);
        }
        self.note_release(batch, findings);
    }

    fn remember(
        &mut self,
        batch: &Arc<TradeBatch>,
        lines: Lines,
        in_order: bool,
        pool: &BatchPool,
    ) {
        let room = match batch.feed.ids {
            IdKind::Ordinal => PLACES_REMEMBERED,
            IdKind::Venue | IdKind::Spans => ROWS_REMEMBERED,
        };
        self.memory.add(batch, lines, in_order, room, pool);
    }

    /// Continues after trades that another sequencer with this one's mark has let through, when all
    /// of them [passed](Self::passes). It has to be told what they [said](Self::adopt).
    pub fn pass_over(&mut self, behind: Mark, rows: u64) {
        if let Some(last) = behind.last_id {
            self.ids.settle_through(last);
        }
        self.set_last_time(behind.last_time);
        self.memory.pass_over(rows);
    }

    /// What it takes to [go back](Self::go_back) to now after the next batch.
    pub fn here(&self) -> Self {
        Self { ids: self.ids.clone(), gate: self.gate.clone(), memory: Memory::default(), ..*self }
    }

    /// Goes back to where it was before the latest batch.
    pub fn go_back(&mut self, before: Self) {
        let mut memory = std::mem::take(&mut self.memory);
        memory.take_back();
        *self = Self { memory, ..before };
    }

    /// The rows of the latest batch before the first that was refused; none if that came with an
    /// earlier batch.
    pub fn rows_before_refused(&self, findings: &Findings) -> Option<TradeBatch> {
        let refused = findings.refused.iter().map(|refused| refused.row).min()?;
        let rows = refused.checked_sub(self.latest_row)? as usize;
        Some(TradeBatch::clone(self.memory.latest()?).head(rows))
    }

    /// The row of the latest batch that a row of the input is; none if it came with an earlier one.
    pub fn row_of_batch(&self, row: u64) -> Option<u32> {
        row.checked_sub(self.latest_row).and_then(|row| u32::try_from(row).ok())
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

    fn note_release(&mut self, batch: &TradeBatch, findings: &mut Findings) {
        let times = &batch.event_time;
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
        findings.released += times.len() as u64;
        findings.time_reversals += u64::from(self.last_time.is_some_and(|before| *first < before));
        findings.time_reversals += times.windows(2).map(|p| u64::from(p[1] < p[0])).sum::<u64>();
        self.last_time = Some(*last);
        self.gate.passed(times);
    }
}

#[cfg(test)]
mod tests;
