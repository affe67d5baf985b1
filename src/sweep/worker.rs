//! A thread with a part of the grid.

use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::spec::BarSpec;
use barflow_operators::sweep::{BuilderBatch, Close, Features};
use crossbeam::channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};

use super::summary::Summary;

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
    summaries: Vec<Summary>,
    late: Late,
    rows: u64,
    /// Rows before the second builders' first; none before they begin.
    began: Option<u64>,
    #[serde(skip)]
    closes: Vec<Close>,
}

/// Added to the number of a configuration for its second builder.
const SECOND: u32 = 1 << 31;

impl Part {
    /// Builders that have seen nothing.
    pub fn new(specs: &[BarSpec], late: Late) -> Self {
        let mut builder_batch = BuilderBatch::new(Features::best());
        for (config, spec) in (0..).zip(specs) {
            builder_batch.add(config, spec);
        }
        let summaries = specs.iter().map(|_| Summary::default()).collect();
        Self { builder_batch, summaries, late, rows: 0, began: None, closes: Vec::new() }
    }

    /// What each configuration has come to.
    pub fn summaries(&self) -> &[Summary] {
        &self.summaries
    }

    /// Takes trades. `specs` are those it began with.
    pub fn on_batch(&mut self, batch: &TradeBatch, specs: &[BarSpec]) {
        if self.began.is_none() && self.rows >= self.late.after {
            self.began = Some(self.rows);
            for (config, spec) in (SECOND..).zip(specs) {
                self.builder_batch.add(config, spec);
            }
        }
        let began = self.began.filter(|began| self.rows - began <= self.late.most);
        self.closes.clear();
        self.builder_batch.on_batch(batch, &mut self.closes);
        for close in &self.closes {
            let summary = &mut self.summaries[(close.config & !SECOND) as usize];
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
        if self.began.is_some_and(|began| self.rows - began > self.late.most) {
            self.builder_batch.dismiss(|config| config & SECOND != 0);
        }
    }

    /// Second builders that agree are done.
    fn compare(&mut self, batch: &TradeBatch, began: u64) {
        let rows = self.rows;
        let trades_at = |id: u64| {
            let row = batch.trade_id.partition_point(|other| *other <= id) as u64;
            rows + row - began
        };
        let mut done = Vec::new();
        for (config, summary) in (SECOND..).zip(&mut self.summaries) {
            if summary.sync.after.is_none() && summary.sync.look(trades_at) {
                done.push(config);
            }
        }
        if !done.is_empty() {
            self.builder_batch.dismiss(|config| done.binary_search(&config).is_ok());
        }
    }
}

/// Works until its input ends; `number` is the worker's number.
pub fn work(mut part: Part, specs: &[BarSpec], number: usize, words: &Receiver<Word>) -> Part {
    for word in words {
        match word {
            Word::Trades(batch) => part.on_batch(&batch, specs),
            Word::WriteDown(to) => {
                // What a part holds are numbers and names, which the format can write; whoever
                // asked may have gone.
                let bytes = postcard::to_stdvec(&part)
                    .unwrap_or_else(|e| unreachable!("the state cannot be serialised: {e}"));
                let _ = to.send((number, bytes));
            }
        }
    }
    part
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use barflow_operators::batch::{Feed, IdKind, InputKind};
    use barflow_operators::convergence::measure::Measurement;
    use barflow_operators::trade::{Aggressor, Trade};

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
            Trade { trade_id, event_time, price: 1.0, qty, quote: qty, aggressor, count: 1 }
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
        let mut part = Part::new(&specs, Late { after: BATCH, most: 1 << 20 });
        let mut measurements: Vec<Measurement> =
            specs.iter().map(|spec| Measurement::new(spec, 1000)).collect();
        for number in 0..5 {
            let batch = batch(1 + number * BATCH);
            part.on_batch(&batch, &specs);
            measurements.iter_mut().for_each(|measurement| measurement.on_batch(&batch));
        }
        for (summary, measurement) in part.summaries().iter().zip(&measurements) {
            let findings = measurement.findings();
            let same = findings.arrivals.iter().find(|arrival| arrival.began == BATCH).unwrap();
            assert!(summary.bars() > 20 * 16, "{}", summary.bars());
            assert_eq!(summary.sync.after, Some((same.trades, same.bars)));
        }
    }
}
