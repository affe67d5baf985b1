//! What a bar holds so far, and the part of a trade that is still to be placed.

use serde::{Deserialize, Serialize};

use super::MAX_STEPS_PER_TRADE;
use super::decimal::Scale;
use crate::bar::{Bar, CloseReason, Levels, OpenBar};
use crate::digest::Digest;
use crate::measure::Measure;
use crate::trade::{Aggressor, Trade};

/// A trade and its numbers in whole units.
#[derive(Clone, Copy, Debug)]
pub struct Slices<'a> {
    pub trade: &'a Trade,
    pub side: Aggressor,
    pub scale: Scale,
    /// In price units.
    pub price: i128,
    /// The whole trade, in size units.
    pub size: i128,
}

impl<'a> Slices<'a> {
    pub fn new(trade: &'a Trade, side: Aggressor, scale: Scale) -> Self {
        let (price, size) = (scale.price_units(trade.price), scale.size_units(trade.qty));
        Self { trade, side, scale, price, size }
    }

    /// b of the trade.
    pub fn sign(&self) -> i8 {
        self.side.sign()
    }

    /// Whether there is something to split by value. What is worth nothing goes in whole.
    pub fn has_value(&self) -> bool {
        self.price > 0 && self.size > 0
    }

    /// Price times size, in units of both.
    pub fn value(&self) -> i128 {
        self.price * self.size
    }
}

/// Whether a rest of `rest` (in the units of `step`) and `size` size units is past splitting.
/// It looks at nothing but the rest, so that the bars of a trade do not depend on how many it has
/// made already.
pub fn is_past_splitting(rest: i128, step: i128, size: i128) -> bool {
    rest / step > MAX_STEPS_PER_TRADE && size > MAX_STEPS_PER_TRADE
}

/// The open bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gather {
    measure: Measure,
    step: f64,
    open: OpenBar,
    /// Σ of sizes in whole units: the bar's volume without rounding on the way.
    size: i128,
    /// Whether the open bar already counts the current trade.
    counted: bool,
    /// Price of the trade before the current one, or of this one once a bar holds a part of it.
    before: Option<f64>,
    /// Price of the current trade.
    current: Option<f64>,
    next_seq: u64,
}

impl Gather {
    pub fn new(measure: Measure, step: f64) -> Self {
        let open = OpenBar::default();
        let (before, current) = (None, None);
        Self { measure, step, open, size: 0, counted: false, before, current, next_seq: 0 }
    }

    pub(super) fn bars(&self) -> u64 {
        self.next_seq
    }

    pub(super) fn number_from(&mut self, seq: u64) {
        self.next_seq = seq;
    }

    /// Price of the last trade, if any came.
    pub(super) fn last_price(&self) -> Option<f64> {
        self.current
    }

    /// Continues after a trade of this price.
    pub(super) fn follow(&mut self, price: Option<f64>) {
        self.current = price;
    }

    pub fn open(&self) -> &OpenBar {
        &self.open
    }

    pub(super) fn levels(&self) -> Levels {
        Levels { threshold: Some(self.step), ..Levels::default() }
    }

    pub(super) fn renumber(&mut self, next_seq: u64, ids: u64) {
        self.next_seq = next_seq;
        self.open.shift_ids(ids);
    }

    /// The next trade has this price.
    pub fn next_trade(&mut self, price: f64) {
        self.counted = false;
        self.before = self.current.replace(price);
    }

    /// Adds all of a trade, with the quote value it came with.
    pub fn add_whole(&mut self, slices: &Slices<'_>) {
        self.add_amount(slices, slices.size, slices.trade.quote);
    }

    /// Adds `size` units of a trade.
    pub fn add(&mut self, slices: &Slices<'_>, size: i128) {
        if size == slices.size {
            return self.add_whole(slices);
        }
        self.add_amount(slices, size, slices.trade.price * slices.scale.qty(size));
    }

    fn add_amount(&mut self, slices: &Slices<'_>, size: i128, quote: f64) {
        let (trade, sign) = (slices.trade, slices.sign());
        if self.open.ticks == 0 {
            self.open.begin(trade, self.before);
        }
        let qty = slices.scale.qty(size);
        let x = f64::from(sign) * self.measure.of(qty, quote);
        self.open.add(trade.event_time, trade.price, qty, quote, sign, x);
        if self.counted {
            self.open.ticks -= 1;
            self.open.buy_ticks -= u64::from(sign > 0);
        } else {
            self.open.trade_count += u64::from(trade.count);
            self.counted = true;
        }
        self.open.end(trade);
        self.size = self.size.saturating_add(size);
        self.open.volume = slices.scale.qty(self.size);
    }

    /// Closes the open bar; `rest` is what of the trade is still to be placed, as bits.
    pub fn close(&mut self, rest: u128, bars: &mut Vec<Bar>) {
        self.close_run(rest, Levels::default(), bars);
    }

    /// Closes the open bar of a run.
    pub fn close_run(&mut self, rest: u128, levels: Levels, bars: &mut Vec<Bar>) {
        self.finish(rest, levels, CloseReason::Threshold, bars);
    }

    /// Closes the open bar, if there is one, because the input ends.
    pub fn flush(&mut self, bars: &mut Vec<Bar>) {
        if self.open.ticks > 0 {
            self.finish(0, Levels::default(), CloseReason::End, bars);
        }
    }

    fn finish(&mut self, rest: u128, levels: Levels, reason: CloseReason, bars: &mut Vec<Bar>) {
        // After a close nothing is left of the past; only the rest of this trade distinguishes
        // one future from another.
        let mut digest = Digest::of("compat/nautilus");
        digest.u64(rest as u64);
        digest.u64((rest >> 64) as u64);
        let levels = Levels { threshold: Some(self.step), ..levels };
        bars.push(self.open.finish(self.next_seq, &levels, reason, digest.finish()));
        self.next_seq += 1;
        // What is left of the trade changes no price.
        self.before = self.current;
        self.drop_all();
    }

    /// Forgets what was gathered.
    pub fn drop_all(&mut self) {
        self.open = OpenBar::default();
        self.size = 0;
        self.counted = false;
    }
}
