//! The latest rows as they were read, to tell a repeated trade from another one under the same id.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::columns::Rows;
use super::day::Place;
use crate::trade::{Aggressor, Trade};

/// Rows remembered: as many as a replay compares.
const ROWS: u64 = crate::sequence::ROWS_REMEMBERED;

/// Rows of a block. Whole blocks are forgotten.
const BLOCK: usize = 8192;

/// The latest rows.
///
/// # Contract
/// Exactly the last [`ROWS`] rows before a row are looked at, however they were cut into batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    blocks: VecDeque<Block>,
    /// Rows so far.
    next: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    /// Number of the first row.
    first: u64,
    ids: Vec<u64>,
    times: Vec<i64>,
    prices: Vec<f64>,
    qtys: Vec<f64>,
    sides: Vec<Aggressor>,
    counts: Vec<u32>,
    /// Where stretches of rows begin, and the places of their first rows; lines follow each other.
    places: Vec<(usize, Place)>,
    is_unsorted: bool,
}

impl Memory {
    /// Takes rows that follow each other in their file; returns the number of the first one.
    pub(super) fn note(&mut self, rows: &Rows<'_>) -> u64 {
        let first = self.next;
        let mut at = 0;
        while at < rows.len() {
            let room = self.blocks.back().map_or(0, |block| BLOCK - block.ids.len());
            if room == 0 {
                let block = Block { first: first + at as u64, ..Block::default() };
                self.blocks.push_back(block);
                continue;
            }
            let end = rows.len().min(at + room);
            if let Some(block) = self.blocks.back_mut() {
                block.add(&rows.slice(at, end));
            }
            at = end;
        }
        self.next += rows.len() as u64;
        // The rows just noted are still to be looked for, and see as far back as any.
        let oldest = first.saturating_sub(ROWS);
        while self.blocks.front().is_some_and(|block| block.end() <= oldest) {
            self.blocks.pop_front();
        }
        first
    }

    /// The first row of this id among those before row number `before`, and its place.
    pub(super) fn find(&self, id: u64, before: u64) -> Option<(Trade, Place)> {
        let window = before.saturating_sub(ROWS)..before;
        self.blocks.iter().find_map(|block| {
            let row = block.find(id, |row| window.contains(&(block.first + row as u64)))?;
            Some((block.trade(row), block.place(row)))
        })
    }
}

impl Block {
    fn end(&self) -> u64 {
        self.first + self.ids.len() as u64
    }

    fn add(&mut self, rows: &Rows<'_>) {
        let place = rows.place(0);
        let follows =
            self.ids.len().checked_sub(1).map(|last| self.place(last)).is_some_and(|last| {
                last.source == place.source
                    && last.line.is_some_and(|line| Some(line + 1) == place.line)
            });
        if !follows {
            self.places.push((self.ids.len(), place));
        }
        let from = self.ids.len().saturating_sub(1);
        self.ids.extend_from_slice(rows.ids);
        self.times.extend_from_slice(rows.times);
        self.prices.extend_from_slice(rows.prices);
        self.qtys.extend_from_slice(rows.qtys);
        self.sides.extend_from_slice(rows.sides);
        self.counts.extend((0..rows.len()).map(|row| rows.count(row)));
        self.is_unsorted |= self.ids[from..].windows(2).any(|pair| pair[0] >= pair[1]);
    }

    fn find(&self, id: u64, is_in: impl Fn(usize) -> bool) -> Option<usize> {
        if !self.is_unsorted {
            return self.ids.binary_search(&id).ok().filter(|row| is_in(*row));
        }
        (0..self.ids.len()).find(|row| self.ids[*row] == id && is_in(*row))
    }

    fn trade(&self, row: usize) -> Trade {
        Trade {
            trade_id: self.ids[row],
            event_time: self.times[row],
            price: self.prices[row],
            qty: self.qtys[row],
            quote: self.prices[row] * self.qtys[row],
            aggressor: self.sides[row],
            count: self.counts[row],
        }
    }

    fn place(&self, row: usize) -> Place {
        let after = self.places.partition_point(|(first, _)| *first <= row);
        match self.places[..after].last() {
            // Without lines, as of feeds, all rows stand at one place.
            Some((first, place)) => {
                let line = place.line.map(|line| line + (row - first) as u64);
                Place { source: Arc::clone(&place.source), line }
            }
            None => Place { source: "".into(), line: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::Places;
    use super::*;
    use crate::batch::{Feed, IdKind, InputKind, TradeBatch};

    fn batch(ids: &[u64]) -> TradeBatch {
        let feed = Feed {
            instrument: "a:b:C".parse().unwrap(),
            input: InputKind::Trades,
            ids: IdKind::Venue,
            has_aggressor: true,
        };
        let trade = |trade_id: &u64| Trade {
            trade_id: *trade_id,
            event_time: *trade_id as i64,
            price: *trade_id as f64,
            qty: 1.0,
            quote: *trade_id as f64,
            aggressor: Aggressor::Buyer,
            count: 1,
        };
        TradeBatch::from_trades(Arc::new(feed), &ids.iter().map(trade).collect::<Vec<_>>())
    }

    fn note(memory: &mut Memory, ids: &[u64], line: u64) {
        let (source, batch) = ("x.csv".into(), batch(ids));
        let places = Places { source: &source, line: Some(line), rejects: &[], left_out: &[] };
        memory.note(&Rows::of_batch(&batch, places));
    }

    #[test]
    fn rows_are_found_with_their_lines_however_they_came_and_forgotten_in_order() {
        let mut memory = Memory::default();
        note(&mut memory, &[5, 6, 7], 1);
        // Line 4 was not a trade.
        note(&mut memory, &[9, 8], 5);
        let line = |memory: &Memory, id, before| {
            memory.find(id, before).map(|(trade, place)| (trade.price, place.line.unwrap()))
        };
        assert_eq!(line(&memory, 6, 5), Some((6.0, 2)));
        assert_eq!(line(&memory, 8, 5), Some((8.0, 6)));
        // Not itself, nor what comes after it.
        assert_eq!(line(&memory, 8, 4), None);
        let many: Vec<u64> = (100..100 + ROWS).collect();
        for chunk in many.chunks(1000) {
            note(&mut memory, chunk, chunk[0] - 93);
        }
        assert_eq!(line(&memory, 5, ROWS), Some((5.0, 1)));
        assert_eq!(line(&memory, 5, ROWS + 1), None);
        assert_eq!(line(&memory, 100, ROWS + 5), Some((100.0, 7)));
        assert_eq!(line(&memory, 99 + ROWS, ROWS + 5), Some(((99 + ROWS) as f64, ROWS + 6)));
        assert!(memory.blocks.len() as u64 <= ROWS / BLOCK as u64 + 2);
    }
}
