//! How far one instrument's trades are applied, in event time.

use std::cell::OnceCell;

use serde::{Deserialize, Serialize};

use crate::batch::TradeBatch;

/// The latest event time among the trades applied, ns; none before the first. It never falls, also where
/// times run backwards from trade to trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventClock(Option<i64>);

impl EventClock {
    /// Continues from this time, ns.
    pub fn at(time: Option<i64>) -> Self {
        Self(time)
    }

    /// The time, ns.
    pub fn time(self) -> Option<i64> {
        self.0
    }

    /// All trades of a batch are applied.
    pub fn advance(&mut self, trades: &TradeBatch) {
        self.0 = self.0.max(trades.event_time.iter().copied().max());
    }

    /// The clock while these trades are applied next.
    pub fn over(self, trades: &TradeBatch) -> Closes<'_> {
        Closes { before: self, trades, in_order: OnceCell::new() }
    }
}

/// When bars close while a batch of trades is applied. The batches that trades come in make no difference.
#[derive(Clone, Debug)]
pub struct Closes<'a> {
    before: EventClock,
    trades: &'a TradeBatch,
    /// Whether times do not fall; looked at once a bar closes.
    in_order: OnceCell<bool>,
}

impl Closes<'_> {
    /// What the clock shows, ns, once a bar has closed that is known from `known_time`, ns, and contains the trade
    /// `last_id`.
    pub fn at(&self, last_id: u64, known_time: i64) -> i64 {
        let before = known_time.max(self.before.0.unwrap_or(i64::MIN));
        if *self.in_order.get_or_init(|| self.is_in_order()) {
            // No trade of the bar is later than what closed it.
            return before;
        }
        let rows = self.trades.trade_id.partition_point(|id| *id <= last_id);
        self.trades.event_time.iter().take(rows).copied().fold(before, i64::max)
    }

    fn is_in_order(&self) -> bool {
        let times = &self.trades.event_time;
        let before = self.before.0.unwrap_or(i64::MIN);
        times.first().is_none_or(|first| *first >= before) && times.is_sorted()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::batch::Feed;
    use crate::trade::{Aggressor, Trade};

    fn batch(first_id: u64, times: &[i64]) -> TradeBatch {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        let trade = |(trade_id, event_time): (u64, &i64)| {
            let (price, qty, quote, count) = (1.0, 1.0, 1.0, 1);
            let aggressor = Aggressor::Buyer;
            Trade { trade_id, event_time: *event_time, price, qty, quote, aggressor, count }
        };
        let trades: Vec<Trade> = (first_id..).zip(times).map(trade).collect();
        TradeBatch::from_trades(feed, &trades)
    }

    proptest! {
        /// Whatever batches the trades come in, a bar has one place.
        #[test]
        fn the_time_of_a_close_does_not_depend_on_batches(
            times in prop::collection::vec(0i64..50, 1..40),
            cut in any::<prop::sample::Index>(),
            close in any::<prop::sample::Index>(),
        ) {
            let (cut, close) = (cut.index(times.len() + 1), close.index(times.len()));
            let (id, known) = (close as u64 + 1, times[close]);
            let whole = EventClock::default().over(&batch(1, &times)).at(id, known);
            prop_assert_eq!(Some(whole), times[..=close].iter().copied().max());
            let mut clock = EventClock::default();
            let (first, second) = times.split_at(cut);
            if close >= cut {
                clock.advance(&batch(1, first));
                prop_assert_eq!(clock.over(&batch(cut as u64 + 1, second)).at(id, known), whole);
            } else {
                prop_assert_eq!(clock.over(&batch(1, first)).at(id, known), whole);
            }
        }
    }

    /// A time bar closes with the first trade after its interval, which is not in it.
    #[test]
    fn a_bar_that_the_next_trade_closes_is_known_from_that_trade_on() {
        let clock = EventClock::default();
        assert_eq!(clock.over(&batch(1, &[10, 20, 35])).at(2, 35), 35);
        assert_eq!(clock.over(&batch(1, &[10, 40, 20, 35])).at(3, 35), 40);
        assert_eq!(EventClock::at(Some(50)).over(&batch(3, &[35])).at(2, 35), 50);
    }
}
