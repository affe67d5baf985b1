//! Time bars without holes: an interval without trades has a bar too, as exchanges' klines do.

use serde::{Deserialize, Serialize};

use super::boundary::Boundary;
use super::builder::{Builder, Caps};
use super::size::Never;
use crate::bar::{Bar, CloseReason, Levels, OpenBar, known_at};
use crate::batch::TradeBatch;
use crate::measure::Measure;
use crate::sign::Signer;
use crate::trade::Trade;

/// Intervals without trades that are filled in a row; a longer silence makes no bars at all, so that
/// one wrong time does not make billions.
pub const MOST_IN_A_ROW: i64 = 100_000;

/// A builder of time bars, for one instrument.
///
/// # Contract
/// That of [`Builder`], except that bars are made for intervals in which nothing was traded: every
/// price is the last one, every sum 0, the times are the interval's first and last instant, and the
/// ids are that of the last trade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilledTime {
    every: i64,
    builder: Builder<Never>,
    /// Price and id of the last trade; none before the first.
    last: Option<(f64, u64)>,
}

impl FilledTime {
    /// A builder that has seen nothing; `every` must be positive.
    pub fn new(every: i64, signer: Signer) -> Self {
        let boundary = Boundary::interval(every);
        let builder = Builder::new(Never, Measure::Dollar, signer, boundary, Caps::NONE);
        Self { every, builder, last: None }
    }

    /// The open bar; `ticks` is 0 when there is none.
    pub fn open(&self) -> &OpenBar {
        self.builder.open()
    }

    /// How many bars it has made.
    pub fn bars(&self) -> u64 {
        self.builder.bars()
    }

    /// See [`Builder::number_from`].
    pub fn number_from(&mut self, seq: u64) {
        self.builder.number_from(seq);
    }

    /// Always false: this kind has no warm-up.
    pub fn is_warming(&self) -> bool {
        false
    }

    /// Always 0: this kind has no warm-up.
    pub fn warmup_left(&self) -> u64 {
        0
    }

    /// Always none: only time closes its bars.
    pub fn reached(&self) -> Option<f64> {
        None
    }

    /// None of any kind: only time closes its bars.
    pub fn levels(&self) -> Levels {
        Levels::default()
    }

    pub(crate) fn renumber(&mut self, next_seq: u64, ids: u64) {
        self.builder.renumber(next_seq, ids);
        self.last = self.last.map(|(price, id)| (price, id.wrapping_add(ids)));
    }

    /// Takes one trade; appends the bars of the intervals that are over by then.
    pub fn on_trade(&mut self, trade: &Trade, has_aggressor: bool, bars: &mut Vec<Bar>) {
        self.complete_until(trade.event_time, bars);
        self.builder.on_trade(trade, has_aggressor, bars);
        self.last = Some((trade.price, trade.trade_id));
    }

    /// Takes all trades of a batch; appends the bars they close.
    pub fn on_batch(&mut self, batch: &TradeBatch, bars: &mut Vec<Bar>) {
        for trade in batch.iter() {
            self.on_trade(&trade, batch.feed.has_aggressor, bars);
        }
    }

    /// Closes the open bar because the input ends.
    pub fn flush(&mut self, bars: &mut Vec<Bar>) {
        self.builder.flush(bars);
    }

    /// Everything before `time` has come: appends the bars of the intervals that are over.
    pub fn complete_until(&mut self, time: i64, bars: &mut Vec<Bar>) {
        let Some(last) = self.builder.period_end().filter(|last| *last < time) else { return };
        let silent = time.saturating_sub(last) / self.every;
        if silent > MOST_IN_A_ROW {
            return self.builder.complete_until(time, bars);
        }
        while let Some(end) = self.builder.period_end().filter(|end| *end < time) {
            let before = bars.len();
            self.builder.complete_until(end.saturating_add(1), bars);
            if bars.len() == before {
                self.fill(end, bars);
            }
            // All of these intervals are known to be over with the same trade.
            known_at(time, &mut bars[before..]);
        }
    }

    /// Appends the bar of the interval up to `end`, in which nothing was traded.
    fn fill(&mut self, end: i64, bars: &mut Vec<Bar>) {
        let Some((price, id)) = self.last else { return };
        let open_time = end.saturating_sub(self.every - 1);
        let nothing = OpenBar {
            open_time,
            high_time: open_time,
            low_time: open_time,
            close_time: end,
            first_trade_id: id,
            last_trade_id: id,
            open: price,
            high: price,
            low: price,
            close: price,
            ..OpenBar::default()
        };
        let (seq, digest) = (self.builder.bars(), self.builder.idle_digest());
        let bar = nothing.finish(seq, &Levels::default(), CloseReason::Interval, digest);
        // Without volume, the average is the price.
        bars.push(Bar { vwap: price, ..bar });
        self.builder.number_from(seq + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::SignRule;
    use crate::trade::Aggressor;

    fn trade(trade_id: u64, event_time: i64) -> Trade {
        let (price, qty) = (trade_id as f64, 2.0);
        let aggressor = Aggressor::Buyer;
        Trade { trade_id, event_time, price, qty, quote: price * qty, aggressor, count: 1 }
    }

    fn bars(every: i64, times: &[i64], until: i64) -> Vec<Bar> {
        let mut machine = FilledTime::new(every, Signer::new(SignRule::Aggressor));
        let mut bars = Vec::new();
        for (time, id) in times.iter().zip(1..) {
            machine.on_trade(&trade(id, *time), true, &mut bars);
        }
        machine.complete_until(until, &mut bars);
        bars
    }

    #[test]
    fn every_interval_from_the_first_trade_on_has_its_bar() {
        let made = bars(10, &[3, 5, 41, 42, 60], 80);
        let seen: Vec<_> = made
            .iter()
            .map(|b| (b.seq, b.open_time, b.close_time, b.close, b.ticks, b.last_trade_id))
            .collect();
        let expected = [
            (0, 3, 5, 2.0, 2, 2),
            (1, 10, 19, 2.0, 0, 2),
            (2, 20, 29, 2.0, 0, 2),
            (3, 30, 39, 2.0, 0, 2),
            (4, 41, 42, 4.0, 2, 4),
            (5, 50, 59, 4.0, 0, 4),
            (6, 60, 60, 5.0, 1, 5),
            (7, 70, 79, 5.0, 0, 5),
        ];
        assert_eq!(seen, expected);
        let empty = &made[1];
        assert_eq!((empty.open, empty.high, empty.low, empty.vwap), (2.0, 2.0, 2.0, 2.0));
        assert_eq!((empty.volume, empty.quote_volume, empty.theta), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_wrong_time_does_not_make_billions_of_bars() {
        assert_eq!(bars(1, &[0, i64::MAX], 0).len(), 1);
        // One trade in each of four intervals, of which the last is open.
        assert_eq!(bars(i64::MAX, &[i64::MIN, -1, 0, i64::MAX], i64::MAX).len(), 3);
        assert_eq!(bars(1, &[0, MOST_IN_A_ROW], 0).len() as i64, MOST_IN_A_ROW);
    }
}
