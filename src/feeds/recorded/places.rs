//! On which lines the trades of a recording stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::input_batch::RowPlace;
use barflow_operators::position::FilePosition;

/// The lines of an instrument's trades: those of other instruments stand between them, and a trade that
/// waits leaves long after its line.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Of trades that wait, by id.
    waiting: BTreeMap<u64, (Arc<str>, u64)>,
    /// Of the trades of the batch: each stretch of lines that follow each other.
    of: Vec<RowPlace>,
    /// Trades of the batch that have a place.
    noted: usize,
}

impl Places {
    /// The trade of this id, which stands here, waits for others.
    pub(super) fn wait(&mut self, id: u64, here: &FilePosition) {
        self.waiting.insert(id, (Arc::clone(&here.source), here.line));
    }

    /// No trade waits.
    pub(super) fn none_waits(&mut self) {
        self.waiting.clear();
    }

    /// Trades were added to the batch: the one that stands here, and those that waited.
    pub(super) fn note(&mut self, trades: &TradeBatch, here: &FilePosition) {
        for row in self.noted..trades.len() {
            let waited = self.waiting.remove(&trades.trade_id[row]);
            let (source, line) = waited.unwrap_or_else(|| (Arc::clone(&here.source), here.line));
            let (row, last) = (row as u32, self.of.last());
            let follows = last.is_some_and(|last| {
                last.source == source && last.line + u64::from(row - last.row) == line
            });
            if !follows {
                self.of.push(RowPlace { row, source, line, falls: false });
            }
        }
        self.noted = trades.len();
    }

    /// Those of the batch, which begins anew.
    pub(super) fn take(&mut self) -> Vec<RowPlace> {
        self.noted = 0;
        std::mem::take(&mut self.of)
    }
}

#[cfg(test)]
mod tests {
    use barflow_operators::batch::Feed;
    use barflow_operators::input_batch::place_of;
    use barflow_operators::trade::{Aggressor, Trade};

    use super::*;

    #[test]
    fn each_trade_has_the_line_on_which_it_stands() {
        let here = |line| FilePosition { line, ..FilePosition::start("x".into()) };
        let mut trades =
            TradeBatch::with_capacity(Arc::new(Feed::numbered("a:b:C".parse().unwrap())), 0);
        let mut places = Places::default();
        let mut add = |places: &mut Places, ids: &[u64], line| {
            for trade_id in ids {
                let (price, qty, quote, count) = (1.0, 1.0, 1.0, 1);
                let (event_time, aggressor) = (1, Aggressor::Buyer);
                let trade_id = *trade_id;
                trades.push(&Trade { trade_id, event_time, price, qty, quote, aggressor, count });
            }
            places.note(&trades, &here(line));
        };
        add(&mut places, &[1], 4);
        add(&mut places, &[2], 5);
        places.wait(4, &here(7));
        places.wait(5, &here(9));
        add(&mut places, &[], 9);
        add(&mut places, &[3, 4, 5], 12);
        add(&mut places, &[6], 13);
        let of = places.take();
        let lines = (0..6).map(|row| place_of(&of, &here(99).into(), row).1).collect::<Vec<_>>();
        assert_eq!(lines, [4, 5, 12, 7, 9, 13]);
        assert_eq!(of.len(), 5);
    }
}
