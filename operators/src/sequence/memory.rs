//! The latest rows of an input as they were read: what they said, and where they stand.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::TradeBatch;
use crate::pool::BatchPool;
use crate::trade::Trade;

/// A time this much after that of the latest trade, in ns, is that of a later trade: 10 s. Times of
/// trades close together need not be in order.
pub(crate) const GOES_ON: i64 = 10_000_000_000;

/// Rows remembered, so that a repeated id can be compared with what came before.
pub const ROWS_REMEMBERED: u64 = 65_536;

/// Lines of a batch's trades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    source: Arc<str>,
    /// Line of the first row.
    first: u64,
    /// Where stretches of trades come from, if not from one line after the other.
    places: Vec<(u32, Standing)>,
    /// Rows that are not trades: how many trades of the batch are before each, and its line.
    between: Vec<(u32, u64)>,
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// File, `archive.zip/member.csv`, or feed.
    pub source: Arc<str>,
    /// Line, from 1.
    pub line: u64,
}

impl Lines {
    /// Of a batch that begins at this place: `between` are the rows that are not trades (how many
    /// trades are before each, and its line), `places` the stretches that come from elsewhere (the
    /// first trade of each, and where it stands).
    pub fn new(begin: Standing, between: Vec<(u32, u64)>, places: Vec<(u32, Standing)>) -> Self {
        Self { source: begin.source, first: begin.line, places, between }
    }

    /// The place of a trade of the batch.
    pub fn of(&self, row: usize) -> Standing {
        let after = self.places.partition_point(|(first, _)| *first as usize <= row);
        if let Some((first, Standing { source, line })) = self.places[..after].last() {
            let line = line + (row - *first as usize) as u64;
            return Standing { source: Arc::clone(source), line };
        }
        let before = self.between.partition_point(|(trades, _)| *trades as usize <= row);
        let line = match self.between[..before].last() {
            Some((trades, line)) => line + 1 + (row - *trades as usize) as u64,
            None => self.first + row as u64,
        };
        Standing { source: Arc::clone(&self.source), line }
    }
}

/// The latest batches as they were read, with the number of each one's first row.
///
/// # Contract
/// Rows are numbered from 0 as they come. What is found does not depend on how they were cut into
/// batches: exactly the last [`ROWS_REMEMBERED`] rows are looked at.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    blocks: VecDeque<(u64, Arc<Block>)>,
    next: u64,
}

#[derive(Debug)]
struct Block {
    batch: Arc<TradeBatch>,
    lines: Lines,
    order: BlockOrder,
}

#[derive(Debug)]
enum BlockOrder {
    /// Each id is that before it plus 1.
    Consecutive,
    /// Each id is above that before it.
    Ascending,
    /// Rows by id, equal ids in the order of the input.
    Sorted(Vec<u32>),
}

/// A row that is remembered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Remembered {
    pub(super) trade: Trade,
    pub(super) row: u64,
}

impl Block {
    fn find(&self, id: u64) -> Option<usize> {
        let ids = &self.batch.trade_id;
        match &self.order {
            BlockOrder::Consecutive => {
                let row = usize::try_from(id.checked_sub(*ids.first()?)?).ok()?;
                (row < ids.len()).then_some(row)
            }
            BlockOrder::Ascending => ids.binary_search(&id).ok(),
            BlockOrder::Sorted(rows) => {
                let place = rows.partition_point(|row| ids[*row as usize] < id);
                let row = *rows.get(place)? as usize;
                (ids[row] == id).then_some(row)
            }
        }
    }
}

impl Memory {
    /// The number of the next row.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Forgets the latest batch, as if it had not come.
    pub(super) fn take_back(&mut self) {
        if let Some((first, _)) = self.blocks.pop_back() {
            self.next = first;
        }
    }

    /// The latest batch.
    pub(super) fn latest(&self) -> Option<&TradeBatch> {
        self.blocks.back().map(|(_, block)| &*block.batch)
    }

    /// Takes the rows of a batch; `consecutive` if each id is that before it plus 1. The oldest are
    /// forgotten beyond `room` rows.
    pub(super) fn add(
        &mut self,
        batch: &Arc<TradeBatch>,
        lines: Lines,
        consecutive: bool,
        room: u64,
        pool: &BatchPool,
    ) {
        if batch.is_empty() {
            return;
        }
        let order = match consecutive {
            true => BlockOrder::Consecutive,
            false if batch.trade_id.is_sorted_by(|a, b| a < b) => BlockOrder::Ascending,
            false => {
                let mut rows: Vec<u32> = (0..batch.len() as u32).collect();
                rows.sort_by_key(|row| batch.trade_id[*row as usize]);
                BlockOrder::Sorted(rows)
            }
        };
        let block = Block { batch: Arc::clone(batch), lines, order };
        let now = self.next;
        self.blocks.push_back((now, Arc::new(block)));
        self.next += batch.len() as u64;
        // While some row of the batch may be compared with the last one of the oldest.
        while self.blocks.get(1).is_some_and(|(first, _)| first + room <= now)
            && let Some((_, block)) = self.blocks.pop_front()
        {
            if let Ok(block) = Arc::try_unwrap(block) {
                pool.give_back(block.batch);
            }
        }
    }

    /// The first row of this id among those before row `before` that are remembered.
    pub(super) fn find(&self, id: u64, before: u64) -> Option<Remembered> {
        let oldest = before.saturating_sub(ROWS_REMEMBERED);
        self.blocks.iter().find_map(|(first, block)| {
            let mut row = block.find(id)?;
            if let BlockOrder::Sorted(rows) = &block.order
                && first + (row as u64) < oldest
            {
                // Of several rows of this id the first that is not too old.
                let same = rows.iter().filter(|row| block.batch.trade_id[**row as usize] == id);
                row = same.map(|row| *row as usize).find(|row| first + *row as u64 >= oldest)?;
            }
            let number = first + row as u64;
            (number >= oldest && number < before)
                .then(|| Remembered { trade: block.batch.trade(row), row: number })
        })
    }

    /// Where a row stands, if it is remembered.
    pub(super) fn place(&self, row: u64) -> Option<Standing> {
        let (block, row) = self.block_of(row)?;
        Some(block.lines.of(row))
    }

    /// Whether a row of an id that came, at a later time than all before, begins a new sequence of ids
    /// or belongs to one, rather than telling the earlier trade otherwise. Where it has the last id, both
    /// rows may be of one trade, unless it comes from another file, or after a row that is of the new
    /// sequence.
    pub(super) fn is_anew(
        &self,
        earlier: &Remembered,
        trade: &Trade,
        row: u64,
        is_last: bool,
    ) -> bool {
        let source = |row| self.place(row).map(|place| place.source);
        let before = || row.checked_sub(1).and_then(|before| self.block_of(before));
        let after_new = || {
            before().filter(|(block, before)| *before < block.batch.len()).is_some_and(|found| {
                let (block, before) = found;
                let Trade { trade_id, event_time, .. } = block.batch.trade(before);
                trade_id < trade.trade_id
                    && event_time.saturating_sub(earlier.trade.event_time) > GOES_ON
            })
        };
        !is_last || source(row) != source(earlier.row) || after_new()
    }

    fn block_of(&self, row: u64) -> Option<(&Block, usize)> {
        let after = self.blocks.partition_point(|(first, _)| *first <= row);
        let (first, block) = self.blocks.get(after.checked_sub(1)?)?;
        Some((block, usize::try_from(row - first).ok()?))
    }

    /// Rows that came, and that another memory has.
    pub(super) fn pass_over(&mut self, rows: u64) {
        self.next += rows;
    }

    /// Takes over the rows that another memory has of the same input from row `from` on, its
    /// beginning, up to the present.
    pub(super) fn adopt(&mut self, other: &Self, from: u64) {
        self.blocks.retain(|(first, _)| *first < from);
        let theirs = other.blocks.iter();
        self.blocks.extend(theirs.map(|(first, block)| (from + first, Arc::clone(block))));
    }
}
