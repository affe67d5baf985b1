//! A thread with a part of the grid.

use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::spec::BarSpec;
use barflow_operators::sweep::{BuilderBatch, Close, Features};
use barflow_operators::trade::Trade;
use crossbeam::channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};

use super::summary::Figures;

/// The settings of a worker.
#[derive(Clone, Debug)]
pub enum Word {
    /// Trades in order.
    Trades(Arc<TradeBatch>),
    /// Write down everything as of the last trades.
    WriteDown(Sender<(usize, Vec<u8>)>),
}

/// When second builders begin, and how long they are waited for, in trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Trades before the second builder begins.
    pub after: u64,
    /// Trades after which it is given up.
    pub most: u64,
}

/// A part of the grid, and what has come of it.
#[derive(Serialize, Deserialize)]
pub struct Part {
    builder_batch: BuilderBatch,
    figures: Vec<Figures>,
    /// None without second builders.
    late: Option<Late>,
    /// Rows before the holdout; none without one.
    border: Option<u64>,
    rows: u64,
    /// Rows before the second builders' first; none before they begin.
    began: Option<u64>,
    #[serde(skip)]
    closes: Vec<Close>,
}

/// Added to the number of a configuration for its second builder.
const SECOND: u32 = 1 << 31;

impl Part {
    /// Builders that have seen nothing; the holdout begins after `border` rows.
    pub fn new(specs: &[BarSpec], late: Option<Late>, border: Option<u64>) -> Self {
        let mut builder_batch = BuilderBatch::new(Features::best());
        for (config, spec) in (0..).zip(specs) {
            builder_batch.add(config, spec);
        }
        let figures = specs.iter().map(|_| Figures::new(border.is_some())).collect();
        Self { builder_batch, figures, late, border, rows: 0, began: None, closes: Vec::new() }
    }

    /// What each configuration has come to.
    pub fn into_figures(self) -> Vec<Figures> {
        self.figures
    }

    /// Takes trades. `specs` are those it began with.
    pub fn on_batch(&mut self, batch: &TradeBatch, specs: &[BarSpec]) {
        let before = self.border.and_then(|border| border.checked_sub(self.rows));
        match before.filter(|before| (1..batch.len() as u64).contains(before)) {
            Some(before) => {
                let (before, after) = cut(batch, before as usize);
                self.on_rows(&before, specs);
                self.on_rows(&after, specs);
            }
            None => self.on_rows(batch, specs),
        }
    }

    /// Takes trades that are all before the border, or all after it. The builders do not know of it.
    fn on_rows(&mut self, batch: &TradeBatch, specs: &[BarSpec]) {
        let is_holdout = self.border.is_some_and(|border| self.rows >= border);
        if self.began.is_none()
            && !is_holdout
            && self.late.is_some_and(|late| self.rows >= late.after)
        {
            self.began = Some(self.rows);
            for (config, spec) in (SECOND..).zip(specs) {
                self.builder_batch.add(config, spec);
            }
        }
        let began = self.began.filter(|&began| !is_holdout && !self.is_given_up(began));
        self.closes.clear();
        self.builder_batch.on_batch(batch, &mut self.closes);
        for close in &self.closes {
            let figures = &mut self.figures[(close.config & !SECOND) as usize];
            let summary = match &mut figures.holdout {
                Some(holdout) if is_holdout => holdout,
                _ => &mut figures.in_sample,
            };
            if close.config & SECOND != 0 {
                summary.sync.its(close);
                continue;
            }
            summary.add(close);
            if began.is_some() && summary.sync.after.is_none() {
                summary.sync.ours(close);
            }
        }
        if let Some(began) = began {
            self.compare(batch, began);
        }
        self.rows += batch.len() as u64;
        // How long a builder needs is for the choice as well: it is not measured in the holdout.
        let is_over = self.border.is_some_and(|border| self.rows >= border);
        if self.began.is_some_and(|began| is_over || self.is_given_up(began)) {
            self.builder_batch.dismiss(|config| config & SECOND != 0);
        }
    }

    /// Whether second builders that began after so many rows have had their time.
    fn is_given_up(&self, began: u64) -> bool {
        self.late.is_some_and(|late| self.rows - began > late.most)
    }

    /// Second builders that agree are done.
    fn compare(&mut self, batch: &TradeBatch, began: u64) {
        let rows = self.rows;
        let trades_at = |id: u64| {
            let row = batch.trade_id.partition_point(|other| *other <= id) as u64;
            rows + row - began
        };
        let mut done = Vec::new();
        for (config, figures) in (SECOND..).zip(&mut self.figures) {
            let sync = &mut figures.in_sample.sync;
            if sync.after.is_none() && sync.look(trades_at) {
                done.push(config);
            }
        }
        if !done.is_empty() {
            self.builder_batch.dismiss(|config| done.binary_search(&config).is_ok());
        }
    }
}

/// The first `rows` rows of a batch, and the others.
pub fn cut(batch: &TradeBatch, rows: usize) -> (TradeBatch, TradeBatch) {
    let feed = || Arc::clone(&batch.feed);
    let (before, after): (Vec<_>, Vec<_>) =
        (0..).zip(batch.iter()).partition(|(row, _)| *row < rows);
    let trades =
        |rows: Vec<(usize, Trade)>| rows.into_iter().map(|(_, trade)| trade).collect::<Vec<_>>();
    (
        TradeBatch::from_trades(feed(), &trades(before)),
        TradeBatch::from_trades(feed(), &trades(after)),
    )
}

/// Works until its input ends; `number` is the worker's number.
pub fn work(mut part: Part, specs: &[BarSpec], number: usize, words: &Receiver<Word>) -> Part {
    for word in words {
        match word {
            Word::Trades(batch) => part.on_batch(&batch, specs),
            Word::WriteDown(to) => {
                // What a part holds are numbers and names, which the format can write; the
                // one who asked may have gone.
                let bytes = postcard::to_stdvec(&part)
                    .unwrap_or_else(|e| unreachable!("the state cannot be serialised: {e}"));
                let _ = to.send((number, bytes));
            }
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use barflow_operators::bars::machine::BarMachine;
    use barflow_operators::batch::{Feed, IdKind, InputKind};
    use barflow_operators::convergence::measure::Measurement;
    use barflow_operators::trade::Aggressor;
    use proptest::prelude::*;

    use super::super::returns::Returns;
    use super::*;
    use crate::config::bars::BarBook;
    use crate::config::problem::Problems;

    const BATCH: u64 = 8192;

    fn spec(text: &str) -> BarSpec {
        let mut problems = Problems::default();
        let section = crate::config::bars::cut(text, &mut problems).unwrap();
        let book = BarBook::understand(vec![section], &mut problems);
        book.orders()[0].spec.clone()
    }

    fn batch(first: u64) -> TradeBatch {
        let trade = |trade_id: u64| {
            let noise = trade_id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let qty = 1.0 + (noise % 1000) as f64;
            let aggressor = if noise % 7 < 4 { Aggressor::Buyer } else { Aggressor::Seller };
            let event_time = trade_id as i64;
            let price = 1.0 + (noise % 50) as f64 / 1e3;
            Trade { trade_id, event_time, price, qty, quote: qty, aggressor, count: 1 }
        };
        let feed = Feed {
            instrument: "a:b:C".parse().unwrap(),
            input: InputKind::Trades,
            ids: IdKind::Venue,
            has_aggressor: true,
        };
        let trades: Vec<Trade> = (first..first + BATCH).map(trade).collect();
        TradeBatch::from_trades(Arc::new(feed), &trades)
    }

    #[test]
    fn the_time_to_synchronise_is_that_of_a_survey_however_short_bars_are() {
        // In tiles, and builders of their own; hundreds of bars in a batch.
        let specs: Vec<BarSpec> = [
            "a=imbalance,measure=dollar,alpha=0.02,target=20,warmup=100",
            "b=imbalance,measure=dollar,alpha=0.01,target=50,warmup=500",
            "c=runs,measure=dollar,threshold=product,alpha=0.02,target=20,warmup=100",
        ]
        .map(spec)
        .into();
        let mut part = Part::new(&specs, Some(Late { after: BATCH, most: 1 << 20 }), None);
        let mut measurements: Vec<Measurement> =
            specs.iter().map(|spec| Measurement::new(spec, 1000)).collect();
        for number in 0..5 {
            let batch = batch(1 + number * BATCH);
            part.on_batch(&batch, &specs);
            measurements.iter_mut().for_each(|measurement| measurement.on_batch(&batch));
        }
        for (figures, measurement) in part.into_figures().iter().zip(&measurements) {
            let (summary, findings) = (&figures.in_sample, measurement.findings());
            let same = findings.arrivals.iter().find(|arrival| arrival.began == BATCH).unwrap();
            assert!(summary.bars() > 20 * 16, "{}", summary.bars());
            assert_eq!(summary.sync.after, Some((same.trades, same.bars)));
        }
    }

    /// The closes of each bar, with the number of the trade (from 1) that closed it.
    fn closes(spec: &BarSpec, batch: &TradeBatch) -> Vec<(u64, f64)> {
        let mut machine = BarMachine::new(spec);
        let mut bars = Vec::new();
        let mut closes = Vec::new();
        for (number, trade) in (1..).zip(batch.iter()) {
            machine.on_trade(&trade, true, &mut bars);
            closes.extend(bars.drain(..).map(|bar| (number, bar.close)));
        }
        closes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_bar_counts_where_it_closes_however_the_trades_are_cut(
            border in 1..BATCH,
            mut cuts in prop::collection::vec(1..BATCH as usize, 0..6),
        ) {
            let specs: Vec<BarSpec> = [
                "a=imbalance,measure=dollar,alpha=0.02,target=20,warmup=100",
                "b=tick,size=7",
                "c=time,every=50ns",
            ]
            .map(spec)
            .into();
            let whole = batch(1);
            cuts.sort_unstable();
            cuts.dedup();
            let mut part = Part::new(&specs, Some(Late { after: 100, most: 1 << 20 }), Some(border));
            let (mut rest, mut taken) = (batch(1), 0);
            for at in cuts {
                let (before, after) = cut(&rest, at - taken);
                part.on_batch(&before, &specs);
                (rest, taken) = (after, at);
            }
            part.on_batch(&rest, &specs);
            for (figures, spec) in part.into_figures().iter().zip(&specs) {
                let holdout = figures.holdout.as_ref().unwrap();
                for (summary, is_holdout) in [(&figures.in_sample, false), (holdout, true)] {
                    let mut returns = Returns::default();
                    let mine = closes(spec, &whole);
                    let mine: Vec<_> =
                        mine.iter().filter(|(at, _)| (*at > border) == is_holdout).collect();
                    mine.iter().for_each(|(_, close)| returns.add(*close));
                    prop_assert_eq!(summary.bars(), mine.len() as u64);
                    prop_assert_eq!(&summary.returns, &returns);
                }
                prop_assert_eq!(holdout.sync.after, None);
            }
        }
    }
}
