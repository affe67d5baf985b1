//! A thread with a part of the grid.

use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::spec::BarSpec;
use barflow_operators::sweep::{Close, Crowd, Features};
use crossbeam::channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};

use super::summary::Summary;

/// What a worker is told.
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
    crowd: Crowd,
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
        let mut crowd = Crowd::new(Features::best());
        for (config, spec) in (0..).zip(specs) {
            crowd.add(config, spec);
        }
        let summaries = specs.iter().map(|_| Summary::default()).collect();
        Self { crowd, summaries, late, rows: 0, began: None, closes: Vec::new() }
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
                self.crowd.add(config, spec);
            }
        }
        self.closes.clear();
        self.crowd.on_batch(batch, &mut self.closes);
        let mut seconds = false;
        for close in &self.closes {
            let place = (close.config & !SECOND) as usize;
            let summary = &mut self.summaries[place];
            let waits = self.began.is_some() && summary.sync.after.is_none();
            if close.config & SECOND != 0 {
                seconds = true;
                summary.sync.its(close);
            } else {
                summary.add(close);
                if waits {
                    summary.sync.ours(close);
                }
            }
        }
        if let (true, Some(began)) = (seconds, self.began) {
            self.compare(batch, began);
        }
        self.rows += batch.len() as u64;
        if self.began.is_some_and(|began| self.rows - began > self.late.most) {
            self.crowd.dismiss(|config| config & SECOND != 0);
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
        for close in self.closes.iter().filter(|close| close.config & SECOND != 0) {
            let sync = &mut self.summaries[(close.config & !SECOND) as usize].sync;
            if sync.look(trades_at) {
                done.push(close.config);
            }
        }
        done.sort_unstable();
        if !done.is_empty() {
            self.crowd.dismiss(|config| done.binary_search(&config).is_ok());
        }
    }
}

/// Works until nothing more is told; `number` says which worker it is.
pub fn work(mut part: Part, specs: &[BarSpec], number: usize, words: &Receiver<Word>) -> Part {
    for word in words {
        match word {
            Word::Trades(batch) => part.on_batch(&batch, specs),
            Word::WriteDown(to) => {
                // What a part holds are numbers and names, which the format can write; whoever
                // asked may have gone.
                let bytes = postcard::to_stdvec(&part)
                    .unwrap_or_else(|e| unreachable!("state that cannot be written down: {e}"));
                let _ = to.send((number, bytes));
            }
        }
    }
    part
}
