//! Passes over the trades: all specifications side by side, in as many threads as there are.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use barflow_operators::dataflow::validate::OrderedBatch;
use barflow_operators::spec::BarSpec;
use crossbeam::channel::{Receiver, Sender, bounded};

use super::super::failure::{Failure, Outcome};
use super::super::progress::Watcher;
use super::super::say::say;
use crate::config::sweep::SweepSettings;
use crate::fault_point;
use crate::job::ReplayJob;
use crate::sinks::none::NoSink;
use crate::stop::Stop;
use crate::sweep::state::State;
use crate::sweep::summary::Figures;
use crate::sweep::totals::Totals;
use crate::sweep::worker::{self, Late, Part, Word, work};
use crate::thousands::grouped;

/// Batches that may wait for a worker.
const QUEUE: usize = 8;

/// What a pass makes.
pub struct Pass<'a> {
    /// How trades are read, and in how many threads bars are made.
    pub settings: &'a SweepSettings,
    /// The specifications; none to count the trades only.
    pub specs: Vec<BarSpec>,
    /// When second builders begin.
    pub late: Option<Late>,
    /// Trades before the holdout; none without one.
    pub border: Option<u64>,
}

/// Where the state of a pass is saved, so that it can resume.
pub struct Saved<'a> {
    /// The file.
    pub path: &'a Path,
    /// What makes a state of another sweep useless.
    pub of: u64,
    /// How often.
    pub every: Duration,
    /// Also at the end, because something is still to be done.
    pub at_end: bool,
}

/// What came of a pass.
pub struct Passed {
    /// Of each specification, in their order.
    pub figures: Vec<Figures>,
    /// Of all trades.
    pub totals: Totals,
    /// Trades of this run.
    pub fresh: u64,
    /// How the reading ended.
    pub outcome: Outcome,
}

/// How far a pass has come.
#[derive(Clone, Copy, Default)]
struct Progress {
    last_trade_id: u64,
    totals: Totals,
}

impl Pass<'_> {
    /// Makes it.
    ///
    /// # Errors
    /// Bad data, another instrument, a disk that refuses.
    pub fn run(self, saved: Option<&Saved<'_>>, stop: &Stop) -> Result<Passed, Failure> {
        let workers = self.settings.threads.min(self.specs.len());
        let hands: Vec<Vec<BarSpec>> = (0..workers)
            .map(|worker| self.specs.iter().skip(worker).step_by(workers).cloned().collect())
            .collect();
        let (begun, parts) = self.begun(saved, &hands);
        let fresh_from = begun.totals.trades;
        thread::scope(|scope| {
            let (words, threads): (Vec<Sender<Word>>, Vec<_>) = parts
                .into_iter()
                .zip(&hands)
                .enumerate()
                .map(|(number, (part, specs))| {
                    let (send, receive) = bounded(QUEUE);
                    (send, scope.spawn(move || work(part, specs, number, &receive)))
                })
                .unzip();
            let (send, trades) = bounded::<OrderedBatch>(QUEUE);
            let border = self.border;
            let dealing = scope.spawn(move || {
                let mut dealer = Dealer { words, border, saved, stop, progress: begun };
                let result = dealer.deal(&trades);
                (result, dealer.progress)
            });
            let job = ReplayJob::new(self.settings.replay.clone())
                .into_sink(Box::new(NoSink::default()))
                .with_trades(send);
            let replayed = job.run(stop, &Watcher::default());
            let dealt = dealing.join();
            let parts: Result<Vec<Part>, _> =
                threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            let broken = || Failure::outside(anyhow::anyhow!("a thread panicked"));
            let ((result, progress), parts) =
                (dealt.map_err(|_| broken())?, parts.map_err(|_| broken())?);
            result?;
            let outcome =
                Outcome::of_replay(&replayed.map_err(|error| Failure::of_run(error, stop))?);
            let totals = progress.totals;
            let figures = in_order(parts.into_iter().map(Part::into_figures));
            Ok(Passed { figures, totals, fresh: totals.trades - fresh_from, outcome })
        })
    }

    /// Where an earlier run stopped, or the beginning.
    fn begun(&self, saved: Option<&Saved<'_>>, hands: &[Vec<BarSpec>]) -> (Progress, Vec<Part>) {
        let state = saved.and_then(|saved| State::read(saved.path, saved.of, hands.len()));
        match state {
            Some((state, parts)) => {
                say!("resuming after {} trades", grouped(state.totals.trades));
                let State { last_trade_id, totals, .. } = state;
                (Progress { last_trade_id, totals }, parts)
            }
            None => {
                let part = |specs: &Vec<BarSpec>| Part::new(specs, self.late, self.border);
                (Progress::default(), hands.iter().map(part).collect())
            }
        }
    }
}

/// In the order of the specifications, which were dealt out like cards.
fn in_order(parts: impl Iterator<Item = Vec<Figures>>) -> Vec<Figures> {
    let mut parts: Vec<_> = parts.map(Vec::into_iter).collect();
    let mut figures = Vec::new();
    loop {
        let before = figures.len();
        figures.extend(parts.iter_mut().filter_map(Iterator::next));
        if figures.len() == before {
            return figures;
        }
    }
}

/// Hands trades to all workers, and writes the state down now and then.
struct Dealer<'a> {
    words: Vec<Sender<Word>>,
    border: Option<u64>,
    saved: Option<&'a Saved<'a>>,
    stop: &'a Stop,
    progress: Progress,
}

impl Dealer<'_> {
    fn deal(&mut self, trades: &Receiver<OrderedBatch>) -> Result<(), Failure> {
        let mut instrument = None;
        let mut written = Instant::now();
        for OrderedBatch { trades, .. } in trades {
            // A run that is stopped lets trades through before their time: those that wait
            // for a missing id. They are not taken, nor is anything after them.
            if self.stop.is_raised() {
                continue;
            }
            let mine = instrument.get_or_insert_with(|| trades.feed.instrument.clone());
            if *mine != trades.feed.instrument {
                let text = format!(
                    "{mine} and {}: a sweep covers one instrument; give files of one",
                    trades.feed.instrument
                );
                return Err(Failure::usage(anyhow::anyhow!(text)));
            }
            let Progress { last_trade_id, totals } = self.progress;
            let old =
                (trades.trade_id).partition_point(|id| totals.trades > 0 && *id <= last_trade_id);
            let news = match old {
                0 => trades,
                old if old == trades.len() => continue,
                old => Arc::new(worker::cut(&trades, old).1),
            };
            let Some(last) = news.trade_id.last() else { continue };
            self.progress.last_trade_id = *last;
            self.progress.totals.on_batch(&news, self.border);
            for worker in &self.words {
                // A worker ends only when this end does.
                let _ = worker.send(Word::Trades(Arc::clone(&news)));
            }
            if self.saved.is_some_and(|saved| written.elapsed() > saved.every) {
                self.write_down()?;
                written = Instant::now();
            }
        }
        // What is still to be done, or was not, begins here again.
        match self.saved {
            Some(saved) if saved.at_end || self.stop.is_raised() => self.write_down(),
            _ => Ok(()),
        }
    }

    fn write_down(&self) -> Result<(), Failure> {
        let Some(saved) = self.saved else { return Ok(()) };
        let (send, parts) = bounded(self.words.len());
        for worker in &self.words {
            let _ = worker.send(Word::WriteDown(send.clone()));
        }
        drop(send);
        let mut parts: Vec<(usize, Vec<u8>)> = parts.iter().collect();
        parts.sort_unstable();
        let parts = parts.into_iter().map(|(_, bytes)| bytes).collect();
        let Progress { last_trade_id, totals } = self.progress;
        let state = State::new((saved.of, self.border), last_trade_id, totals, parts);
        state.write(saved.path).map_err(|e| {
            let what = format!("could not write \"{}\"", saved.path.display());
            Failure::outside(anyhow::Error::new(e).context(what))
        })?;
        fault_point!("sweep-written");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use barflow_operators::batch::{Feed, TradeBatch};
    use barflow_operators::position::FilePosition;
    use barflow_operators::trade::{Aggressor, Trade};

    use super::*;

    fn batch(ids: std::ops::RangeInclusive<u64>) -> OrderedBatch {
        let trade = |trade_id: u64| {
            let (price, qty, quote, count) = (2.0, 3.0, 6.0, 1);
            let (event_time, aggressor) = (trade_id as i64, Aggressor::Buyer);
            Trade { trade_id, event_time, price, qty, quote, aggressor, count }
        };
        let trades: Vec<Trade> = ids.map(trade).collect();
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        OrderedBatch {
            trades: Arc::new(TradeBatch::from_trades(feed, &trades)),
            position: FilePosition::start("file".into()).into(),
            gaps: Vec::new(),
            open_gap: None,
            received: None,
            ended: Vec::new(),
            specs: None,
            corrections: Vec::new(),
        }
    }

    #[test]
    fn trades_that_a_stop_lets_through_are_not_dealt() {
        for (is_stopped, trades, words) in [(false, 5, 2), (true, 0, 0)] {
            let stop = Stop::new();
            if is_stopped {
                stop.raise();
            }
            let (word, came) = bounded(QUEUE);
            let (send, receive) = bounded(QUEUE);
            [batch(1..=3), batch(4..=5)].into_iter().for_each(|batch| send.send(batch).unwrap());
            drop(send);
            let progress = Progress::default();
            let words_to = vec![word];
            let mut dealer =
                Dealer { words: words_to, border: None, saved: None, stop: &stop, progress };
            assert!(dealer.deal(&receive).is_ok());
            assert_eq!((dealer.progress.totals.trades, came.len()), (trades, words));
        }
    }
}
