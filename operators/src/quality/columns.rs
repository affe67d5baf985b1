//! Rows of one day, column by column.

use std::sync::Arc;

use crate::batch::{IdKind, TradeBatch};
use crate::input_batch::{LeftOut, Reject};
use crate::trade::{Aggressor, Trade};

use super::day::{Count, Example, Place};

/// Some rows of an input, and their places.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) ids: &'a [u64],
    pub(super) times: &'a [i64],
    pub(super) prices: &'a [f64],
    pub(super) qtys: &'a [f64],
    pub(super) quotes: &'a [f64],
    pub(super) sides: &'a [Aggressor],
    /// Empty when all are 1.
    counts: &'a [u32],
    /// Row of the batch that the first is.
    offset: usize,
    places: Places<'a>,
}

/// Finds the places of rows of a batch.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) source: &'a Arc<str>,
    /// Line of the first row; none where all rows are at one place.
    pub(super) line: Option<u64>,
    pub(super) rejects: &'a [Reject],
    pub(super) left_out: &'a [LeftOut],
}

impl Places<'_> {
    /// The place of a row of the batch. Rows that are not trades are between the others and have their
    /// lines.
    fn of(&self, row: usize) -> Place {
        let rejects = self.rejects.partition_point(|reject| reject.row as usize <= row);
        let rejected = self.rejects[..rejects].last().map(|reject| (reject.line, reject.row));
        let left_out = self.left_out.partition_point(|out| out.row as usize <= row);
        let left_out = self.left_out[..left_out].last().map(|out| (out.line, out.row));
        let line = match rejected.max(left_out) {
            Some((line, before)) => Some(line + 1 + (row - before as usize) as u64),
            None => self.line.map(|line| line + row as u64),
        };
        Place { source: Arc::clone(self.source), line }
    }
}

impl<'a> Rows<'a> {
    /// All rows of a batch.
    pub(super) fn of_batch(batch: &'a TradeBatch, places: Places<'a>) -> Self {
        Self {
            ids: &batch.trade_id,
            times: &batch.event_time,
            prices: &batch.price,
            qtys: &batch.qty,
            quotes: &batch.quote,
            sides: &batch.aggressor,
            counts: &batch.count,
            offset: 0,
            places,
        }
    }

    /// One trade.
    pub(super) fn of_trade(trade: &'a Trade, places: Places<'a>) -> Self {
        use std::slice::from_ref;
        Self {
            ids: from_ref(&trade.trade_id),
            times: from_ref(&trade.event_time),
            prices: from_ref(&trade.price),
            qtys: from_ref(&trade.qty),
            quotes: from_ref(&trade.quote),
            sides: from_ref(&trade.aggressor),
            counts: from_ref(&trade.count),
            offset: 0,
            places,
        }
    }

    /// Rows `from` to before `to`.
    pub(super) fn slice(&self, from: usize, to: usize) -> Self {
        Self {
            ids: &self.ids[from..to],
            times: &self.times[from..to],
            prices: &self.prices[from..to],
            qtys: &self.qtys[from..to],
            quotes: &self.quotes[from..to],
            sides: &self.sides[from..to],
            counts: if self.counts.is_empty() { &[] } else { &self.counts[from..to] },
            offset: self.offset + from,
            places: self.places,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// First id of a row: its only one, but for spans.
    #[inline(always)]
    pub(super) fn first_id(&self, row: usize, kind: IdKind) -> u64 {
        let id = self.ids[row];
        match (kind, self.counts.get(row)) {
            (IdKind::Spans, Some(count)) => id.saturating_sub(u64::from(*count).max(1) - 1),
            _ => id,
        }
    }

    /// How many trades a row is of.
    pub(super) fn count(&self, row: usize) -> u32 {
        self.counts.get(row).copied().unwrap_or(1)
    }

    pub(super) fn trade(&self, row: usize) -> Trade {
        Trade {
            trade_id: self.ids[row],
            event_time: self.times[row],
            price: self.prices[row],
            qty: self.qtys[row],
            quote: self.quotes[row],
            aggressor: self.sides[row],
            count: self.count(row),
        }
    }

    pub(super) fn place(&self, row: usize) -> Place {
        self.places.of(self.offset + row)
    }

    /// An example of a row.
    pub(super) fn example(&self, row: usize, value: String) -> Example {
        Example { place: Some(self.place(row)), ..Example::of_trade(self.ids[row], value) }
    }

    /// Counts rows that are not `valid`. One pass without branches finds that there is none, which
    /// is nearly always so.
    #[inline(always)]
    pub(super) fn check(
        &self,
        count: &mut Count,
        valid: impl Fn(usize) -> bool,
        value: impl Fn(usize) -> String,
    ) {
        count.rows += self.len() as u64;
        if (0..self.len()).fold(true, |all, row| all & valid(row)) {
            return;
        }
        for row in (0..self.len()).filter(|row| !valid(*row)) {
            count.offend(|| self.example(row, value(row)));
        }
    }
}
