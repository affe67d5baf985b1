//! The frame every rule runs in: signs, measure, open bar, caps, sessions, numbering.

use serde::{Deserialize, Serialize};

use super::boundary::Boundary;
use super::rule::{Flow, Rule};
use crate::bar::{Bar, CloseReason, Levels, OpenBar};
use crate::batch::TradeBatch;
use crate::digest::Digest;
use crate::measure::Measure;
use crate::sign::Signer;
use crate::trade::{Aggressor, Trade};

/// Closes a bar early, whatever its rule says. A cap counts the trade that reaches it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// Close at this many ticks.
    #[serde(with = "crate::saved::max_ticks")]
    pub max_ticks: Option<u64>,
    /// Close on the first trade at least this many ns after the bar's first.
    #[serde(with = "crate::saved::max_duration")]
    pub max_duration: Option<i64>,
}

impl Caps {
    #[inline(always)]
    fn reached(&self, open: &OpenBar, time: i64) -> bool {
        self.ticks_reached(open)
            || self.max_duration.is_some_and(|most| time.saturating_sub(open.open_time) >= most)
    }

    #[inline(always)]
    fn ticks_reached(&self, open: &OpenBar) -> bool {
        self.max_ticks.is_some_and(|most| open.ticks >= most)
    }

    /// No caps.
    pub const NONE: Self = Self { max_ticks: None, max_duration: None };
}

/// A bar builder for one instrument: a [`Rule`] in its frame.
///
/// # Contract
/// * Trades of one instrument, in venue order; the caller sorts.
/// * `on_batch` gives the same bits as `on_trade` row by row, whatever the batching.
/// * State is `serde`; restoring a saved machine and continuing equals never having stopped.
/// * No allocation per trade. No clock, randomness, hash order or I/O.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "R: Rule")]
pub struct Builder<R: Rule> {
    rule: R,
    measure: Measure,
    signer: Signer,
    boundary: Boundary,
    caps: Caps,
    open: OpenBar,
    /// Price of the last trade before the open bar; none before the first. Not part of the digest:
    /// builders that close a bar on the same trade have it from that trade.
    before: Option<f64>,
    next_seq: u64,
}

/// Rows whose signs are formed at a time: small enough for the first-level cache.
const CHUNK: usize = 1024;

impl<R: Rule> Builder<R> {
    /// A builder that has seen nothing.
    pub fn new(rule: R, measure: Measure, signer: Signer, boundary: Boundary, caps: Caps) -> Self {
        let (open, before) = (OpenBar::default(), None);
        Self { rule, measure, signer, boundary, caps, open, before, next_seq: 0 }
    }

    /// The rule and its expectations.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// What decides on signs and flow, and whether nothing else ever closes a bar.
    pub(crate) fn frame(&self) -> (&Signer, Measure, bool) {
        let only_the_rule = !self.boundary.is_set() && self.caps == Caps::NONE;
        (&self.signer, self.measure, only_the_rule)
    }

    /// The open bar; `ticks` is 0 when there is none.
    pub fn open(&self) -> &OpenBar {
        &self.open
    }

    /// How many bars it has made.
    pub fn bars(&self) -> u64 {
        self.next_seq
    }

    /// Numbers its next bar so, and those after it from there on.
    pub fn number_from(&mut self, seq: u64) {
        self.next_seq = seq;
    }

    /// Whether the next trade belongs to the warm-up.
    pub fn is_warming(&self) -> bool {
        self.rule.is_warming()
    }

    /// Trades that the warm-up still needs.
    pub fn warmup_left(&self) -> u64 {
        self.rule.warmup_left()
    }

    /// How much of its threshold the open bar has reached; none without a threshold, or in the warm-up.
    pub fn reached(&self) -> Option<f64> {
        if self.is_warming() { None } else { self.rule.reached(&self.open) }
    }

    /// What the rule expects of the next trade; nothing in the warm-up.
    pub fn levels(&self) -> Levels {
        if self.is_warming() { Levels::default() } else { self.rule.levels() }
    }

    /// Everything before `time` has come: closes the open bar if its day or interval is over.
    pub fn complete_until(&mut self, time: i64, bars: &mut Vec<Bar>) {
        if self.boundary.is_over_by(time) {
            self.end_period(time, bars);
        }
    }

    /// The last instant of the current interval or day; none before the first trade.
    pub(crate) fn period_end(&self) -> Option<i64> {
        self.boundary.period_end()
    }

    /// The digest of its state while no bar is open.
    pub(crate) fn idle_digest(&self) -> u64 {
        self.digest(self.signer)
    }

    fn digest(&self, signer: Signer) -> u64 {
        let mut digest = Digest::of(R::MACHINE);
        self.rule.digest(&mut digest);
        signer.digest(&mut digest);
        self.boundary.digest(&mut digest);
        digest.finish()
    }

    /// Closes the open bar because the input ends.
    pub fn flush(&mut self, bars: &mut Vec<Bar>) {
        if self.open.ticks > 0 {
            let levels = self.rule.levels();
            self.rule.settle(&self.open);
            self.emit(&levels, CloseReason::End, self.signer, self.open.close_time, bars);
        }
    }

    /// Numbers the next bar `next_seq`, and adds `ids` (wrapping) to the ids of the open bar.
    pub(crate) fn renumber(&mut self, next_seq: u64, ids: u64) {
        self.next_seq = next_seq;
        self.open.shift_ids(ids);
    }

    /// Takes one trade; appends the bars it closes (at a session's end there can be two).
    pub fn on_trade(&mut self, trade: &Trade, has_aggressor: bool, bars: &mut Vec<Bar>) {
        // A period ends before this trade, so its bar's digest must not know this trade's sign.
        if self.boundary.crosses(trade.event_time) {
            self.end_period(trade.event_time, bars);
        }
        let sign = self.signer.sign(trade.price, trade.aggressor, has_aggressor);
        self.on_signed(trade, sign, bars);
    }

    /// Takes all trades of a batch; appends the bars they close.
    pub fn on_batch(&mut self, batch: &TradeBatch, bars: &mut Vec<Bar>) {
        if batch.len() == 1 || self.boundary.is_set() {
            for trade in batch.iter() {
                self.on_trade(&trade, batch.feed.has_aggressor, bars);
            }
            return;
        }
        match self.measure {
            Measure::Tick => self.on_columns(batch, |_, _| 1.0, bars),
            Measure::Volume => self.on_columns(batch, |qty, _| qty, bars),
            Measure::Dollar => self.on_columns(batch, |_, quote| quote, bars),
        }
    }

    fn on_columns(
        &mut self,
        batch: &TradeBatch,
        measure: impl Fn(f64, f64) -> f64 + Copy,
        bars: &mut Vec<Bar>,
    ) {
        let mut signs = [0i8; CHUNK];
        let mut start = 0;
        while start < batch.len() {
            let end = batch.len().min(start + CHUNK);
            let signs = &mut signs[..end - start];
            self.form_signs(batch, start, signs);
            let mut row = start;
            while row < end {
                if self.rule.is_warming() {
                    self.on_signed(&batch.trade(row), signs[row - start], bars);
                    row += 1;
                } else {
                    row = self.run(batch, row, &signs[row - start..], measure, bars);
                }
            }
            start = end;
        }
    }

    /// Fills in b for the rows from `start` on.
    fn form_signs(&mut self, batch: &TradeBatch, start: usize, signs: &mut [i8]) {
        let sides = &batch.aggressor[start..start + signs.len()];
        let has_aggressor = batch.feed.has_aggressor;
        if self.signer.reads_aggressor(has_aggressor) {
            let mut all_known = true;
            for (sign, side) in signs.iter_mut().zip(sides) {
                *sign = side.sign();
                all_known &= *side != Aggressor::Unknown;
            }
            if all_known {
                if let Some(last) = signs.last() {
                    self.signer.skip_to(*last);
                }
                return;
            }
        }
        let prices = &batch.price[start..start + signs.len()];
        for ((sign, side), price) in signs.iter_mut().zip(sides).zip(prices) {
            *sign = self.signer.sign(*price, *side, has_aggressor);
        }
    }

    /// One trade of the current period whose sign is known.
    fn on_signed(&mut self, trade: &Trade, sign: i8, bars: &mut Vec<Bar>) {
        let v = self.measure.of(trade.qty, trade.quote);
        let flow = Flow { sign, v, x: f64::from(sign) * v };
        if self.rule.is_warming() {
            self.before = Some(trade.price);
            return self.rule.warm(flow);
        }
        if self.open.ticks == 0 {
            self.open.begin(trade, self.before);
        }
        self.open.add(trade.event_time, trade.price, trade.qty, trade.quote, sign, flow.x);
        self.open.end(trade);
        self.open.trade_count += u64::from(trade.count);
        self.rule.observe(flow, &self.open);
        self.decide(flow, self.signer, bars);
    }

    /// Rows `row..row + signs.len()` up to the first that closes a bar or nearly does; returns the
    /// row to continue with. The same arithmetic as [`on_signed`](Self::on_signed), kept free of
    /// calls so that the whole state stays in registers.
    fn run(
        &mut self,
        batch: &TradeBatch,
        row: usize,
        signs: &[i8],
        measure: impl Fn(f64, f64) -> f64,
        bars: &mut Vec<Bar>,
    ) -> usize {
        let range = row..row + signs.len();
        let prices = &batch.price[range.clone()];
        let qtys = &batch.qty[range.clone()];
        let quotes = &batch.quote[range.clone()];
        let times = &batch.event_time[range];
        if self.open.ticks == 0 {
            self.open.begin(&batch.trade(row), self.before);
        }
        let mut open = self.open;
        let mut last = None;
        let rows = prices.iter().zip(qtys).zip(quotes).zip(times).zip(signs);
        for (done, ((((price, qty), quote), time), sign)) in rows.enumerate() {
            let v = measure(*qty, *quote);
            let flow = Flow { sign: *sign, v, x: f64::from(*sign) * v };
            open.add(*time, *price, *qty, *quote, *sign, flow.x);
            self.rule.observe(flow, &open);
            if self.rule.may_close(&open) || self.caps.reached(&open, *time) {
                last = Some((done, flow));
                break;
            }
            self.rule.learn(flow);
        }
        self.open = open;
        let taken = last.map_or(signs.len(), |(done, _)| done + 1);
        self.open.end(&batch.trade(row + taken - 1));
        self.open.trade_count += match batch.count.get(row..row + taken) {
            Some(counts) => counts.iter().copied().map(u64::from).sum(),
            None => taken as u64,
        };
        if let Some((_, flow)) = last {
            // The signer has run ahead over the whole chunk.
            let signer = self.signer.back_at(flow.sign, self.open.close, batch.feed.has_aggressor);
            self.decide(flow, signer, bars);
        }
        row + taken
    }

    /// Tests, learns and, if the bar closes, settles. `signer` is as this trade left it.
    #[inline]
    fn decide(&mut self, flow: Flow, signer: Signer, bars: &mut Vec<Bar>) {
        let reason = if self.rule.closes(&self.open) {
            CloseReason::Threshold
        } else if self.caps.ticks_reached(&self.open) {
            CloseReason::MaxTicks
        } else if self.caps.reached(&self.open, self.open.close_time) {
            CloseReason::MaxDuration
        } else {
            return self.rule.learn(flow);
        };
        let levels = self.rule.levels();
        self.rule.learn(flow);
        self.rule.settle(&self.open);
        self.emit(&levels, reason, signer, self.open.close_time, bars);
    }

    /// Closes the open bar because a day or an interval ended before the next trade, at the event time
    /// `known`.
    #[cold]
    fn end_period(&mut self, known: i64, bars: &mut Vec<Bar>) {
        let had_bar = self.open.ticks > 0;
        let levels = self.rule.levels();
        match self.boundary.reason() {
            CloseReason::Session => self.rule.restart(),
            _ => self.rule.settle(&self.open),
        }
        if had_bar {
            self.emit(&levels, self.boundary.reason(), self.signer, known, bars);
        }
    }

    #[cold]
    fn emit(
        &mut self,
        levels: &Levels,
        reason: CloseReason,
        signer: Signer,
        known: i64,
        bars: &mut Vec<Bar>,
    ) {
        let digest = self.digest(signer);
        let bar = self.open.finish(self.next_seq, levels, reason, digest);
        bars.push(Bar { known_time: known.max(bar.known_time), ..bar });
        self.next_seq += 1;
        self.before = Some(self.open.close);
        self.open = OpenBar::default();
    }
}
