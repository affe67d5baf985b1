//! The content of recent trades, to tell a repeated trade from another one under the same id.

use std::collections::VecDeque;

use crate::trade::{Aggressor, Trade};

/// Whether two rows of one id say the same: equal price, quantity, count and side, at the same time.
///
/// Sources give the time of one trade in different units: milliseconds in a stream, microseconds in
/// an archive. Times are equal if they are in the coarser of both units. A side that a source does
/// not tell equals any.
pub fn is_same(a: &Trade, b: &Trade) -> bool {
    let sides_known = a.aggressor != Aggressor::Unknown && b.aggressor != Aggressor::Unknown;
    a.price.to_bits() == b.price.to_bits()
        && a.qty.to_bits() == b.qty.to_bits()
        && a.count == b.count
        && (!sides_known || a.aggressor == b.aggressor)
        && is_same_time(a.event_time, b.event_time)
}

fn is_same_time(a: i64, b: i64) -> bool {
    const UNITS: [i64; 2] = [1_000, 1_000_000];
    let in_unit =
        |unit: i64| (a % unit == 0 || b % unit == 0) && a.div_euclid(unit) == b.div_euclid(unit);
    a == b || UNITS.into_iter().any(in_unit)
}

/// What distinguishes two rows of one id, for a message: `price 60000 and 120000`.
pub fn difference(earlier: &Trade, later: &Trade) -> String {
    let mut all = Vec::new();
    let mut tell = |field: &str, differs: bool, a: String, b: String| {
        if differs {
            all.push(format!("{field} {a} and {b}"));
        }
    };
    let (a, b) = (earlier, later);
    let bits = |x: f64, y: f64| x.to_bits() != y.to_bits();
    tell("price", bits(a.price, b.price), a.price.to_string(), b.price.to_string());
    tell("qty", bits(a.qty, b.qty), a.qty.to_string(), b.qty.to_string());
    let times_differ = !is_same_time(a.event_time, b.event_time);
    tell("time", times_differ, a.event_time.to_string(), b.event_time.to_string());
    let sides_differ = a.aggressor != b.aggressor;
    tell("side", sides_differ, a.aggressor.sign().to_string(), b.aggressor.sign().to_string());
    tell("count", a.count != b.count, a.count.to_string(), b.count.to_string());
    all.join(", ")
}

/// The latest trades by id.
#[derive(Clone, Debug)]
pub struct RecentTrades {
    /// By id.
    trades: VecDeque<Trade>,
    room: usize,
}

impl RecentTrades {
    /// None yet, and at most the latest `room`. Memory grows with the trades, to about 50 bytes each.
    pub fn new(room: usize) -> Self {
        Self { trades: VecDeque::new(), room }
    }

    /// Remembers a trade; those of the lowest ids are forgotten first.
    #[inline]
    pub fn note(&mut self, trade: &Trade) {
        if self.trades.back().is_none_or(|last| last.trade_id < trade.trade_id) {
            self.trades.push_back(*trade);
        } else if let Err(place) = self.place(trade.trade_id) {
            self.trades.insert(place, *trade);
        }
        if self.trades.len() > self.room {
            self.trades.pop_front();
        }
    }

    /// Those that are remembered, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Trade> + '_ {
        self.trades.iter()
    }

    /// The trade of this id, if it is remembered.
    pub fn find(&self, id: u64) -> Option<&Trade> {
        self.place(id).ok().map(|place| &self.trades[place])
    }

    fn place(&self, id: u64) -> Result<usize, usize> {
        self.trades.binary_search_by_key(&id, |trade| trade.trade_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(trade_id: u64) -> Trade {
        let event_time = 1_700_000_000_123_456_000 + trade_id as i64;
        let aggressor = Aggressor::Buyer;
        Trade { trade_id, event_time, price: 1.5, qty: 2.0, quote: 3.0, aggressor, count: 1 }
    }

    #[test]
    fn any_other_content_is_a_difference_but_not_a_coarser_time() {
        let one = Trade { event_time: 1_700_000_000_123_456_000, ..trade(7) };
        let in_ms = Trade { event_time: 1_700_000_000_123_000_000, ..one };
        let untold = Trade { aggressor: Aggressor::Unknown, ..one };
        assert!([in_ms, untold, one].iter().all(|other| is_same(&one, other)));
        for (other, text) in [
            (Trade { price: 3.0, ..one }, "price 1.5 and 3"),
            (Trade { qty: 2.5, ..one }, "qty 2 and 2.5"),
            (Trade { aggressor: Aggressor::Seller, ..one }, "side 1 and -1"),
            (Trade { count: 2, ..one }, "count 1 and 2"),
        ] {
            assert!(!is_same(&one, &other), "{other:?}");
            assert_eq!(difference(&one, &other), text);
        }
        let later = Trade { event_time: 1_700_000_000_124_000_000, ..one };
        assert!(!is_same(&one, &later) && !is_same(&in_ms, &later));
        assert!(difference(&one, &later).starts_with("time "));
    }

    #[test]
    fn the_latest_trades_are_found_by_id_however_they_came() {
        let mut recent = RecentTrades::new(3);
        [5, 9, 7, 12].iter().for_each(|id| recent.note(&trade(*id)));
        assert_eq!(recent.find(5), None);
        assert_eq!([7, 9, 12].map(|id| recent.find(id).unwrap().trade_id), [7, 9, 12]);
        assert_eq!(recent.find(8), None);
    }
}
