//! What a run has come to so far: totals from the differential ledger, and lengths of bars.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::convergence::monitor::Joined;
use barflow_operators::dataflow::ledger::Fact;
use barflow_operators::end::Unfinished;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use barflow_operators::published::PublishedBar;
use hdrhistogram::Histogram;

use crate::telemetry::histogram::exact_to;

/// Lengths of one instrument's bars by one specification.
#[derive(Clone, Debug)]
pub struct BarLengths {
    /// Ticks per bar, to three significant digits.
    pub ticks: Histogram<u64>,
    /// Event time from the first trade of the first bar to the last trade of the last, ns.
    pub span: (i64, i64),
}

/// Lengths of bars by instrument and specification.
pub type Lengths = BTreeMap<(InstrumentId, Arc<str>), BarLengths>;

/// When bars last became independent of what came before, by instrument and specification.
pub type Joins = BTreeMap<(InstrumentId, Arc<str>), Joined>;

/// What was left of builders at the end of their input, by instrument and specification.
pub type Left = BTreeMap<(InstrumentId, Arc<str>), Unfinished>;

/// The bar that was published last, whichever instrument's.
#[derive(Clone, Debug, PartialEq)]
pub struct NewestBar {
    /// Whose.
    pub instrument: InstrumentId,
    /// Name of its specification.
    pub spec: Arc<str>,
    /// Its number.
    pub seq: u64,
    /// Its trades.
    pub ticks: u64,
    /// Its last price.
    pub close: f64,
    /// Event time of its last trade, ns.
    pub close_time: i64,
}

/// Shared by all workers of a process; updated per message, read at any time.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    totals: Arc<Mutex<BTreeMap<Fact, isize>>>,
    lengths: Arc<Mutex<Lengths>>,
    positions: Arc<Mutex<BTreeMap<InstrumentId, Position>>>,
    joined: Arc<Mutex<Joins>>,
    left: Arc<Mutex<Left>>,
    newest: Arc<Mutex<Option<PublishedBar>>>,
}

impl Tally {
    /// Takes updates of totals: +1 makes a total current, −1 takes it back.
    pub fn update_totals(&self, updates: &[((Fact, isize), u64, isize)]) {
        apply(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner), updates);
    }

    /// Takes published bars (+1) or retractions (−1).
    pub fn add_bars<'a>(&self, bars: impl Iterator<Item = (&'a PublishedBar, isize)>) {
        let mut lengths = self.lengths.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest = None;
        for (bar, diff) in bars {
            newest = Some(bar).filter(|_| diff > 0).or(newest);
            let key = (bar.feed.instrument.clone(), Arc::clone(&bar.spec));
            let entry = lengths.entry(key).or_insert_with(|| BarLengths {
                ticks: exact_to::<3, _>(),
                span: (bar.bar.open_time, bar.bar.close_time),
            });
            entry.span.0 = entry.span.0.min(bar.bar.open_time);
            entry.span.1 = entry.span.1.max(bar.bar.close_time);
            // Fails only beyond what a u64 histogram can grow to; losing such a length does no
            // harm.
            let _ = match diff {
                1.. => entry.ticks.record(bar.bar.ticks).map_err(drop),
                _ => take_back(&mut entry.ticks, bar.bar.ticks),
            };
        }
        if let Some(bar) = newest {
            *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        }
    }

    /// The bar that was published last; none before the first.
    pub fn newest(&self) -> Option<NewestBar> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().map(|PublishedBar { spec, feed, bar, .. }| NewestBar {
            instrument: feed.instrument.clone(),
            spec: Arc::clone(spec),
            seq: bar.seq,
            ticks: bar.ticks,
            close: bar.close,
            close_time: bar.close_time,
        })
    }

    /// Notes how far instruments are handed over.
    pub fn advance(&self, progress: &BTreeMap<InstrumentId, Position>) {
        let mut at = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        at.extend(progress.iter().map(|(id, position)| (id.clone(), position.clone())));
    }

    /// How far instruments are handed over.
    pub fn positions(&self) -> BTreeMap<InstrumentId, Position> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that bars have become independent of what came before.
    pub fn note_joined(&self, instrument: &InstrumentId, joined: &Joined) {
        let key = (instrument.clone(), Arc::clone(&joined.spec));
        let mut all = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key, joined.clone());
    }

    /// When that last was.
    pub fn joined(&self) -> Joins {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what is left of an instrument's builders at the end of its input.
    pub fn note_left(&self, instrument: &InstrumentId, left: Vec<Unfinished>) {
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(left.into_iter().map(|of| ((instrument.clone(), Arc::clone(&of.spec)), of)));
    }

    /// What is left of the builders whose input has ended.
    pub fn left(&self) -> Left {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The current totals.
    pub fn totals(&self) -> BTreeMap<Fact, isize> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lengths, taken out at the end of the run: there may be many, of some kilobytes each.
    pub fn take_lengths(&self) -> Lengths {
        std::mem::take(&mut self.lengths.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Brings totals up to date: +1 makes a total current, −1 takes it back.
pub(super) fn apply<K: Ord + Clone>(
    totals: &mut BTreeMap<K, isize>,
    updates: &[((K, isize), u64, isize)],
) {
    // Withdrawals first: an update of a fact is a withdrawal and an assertion in any order.
    for ((fact, count), _, _) in updates.iter().filter(|(_, _, diff)| *diff < 0) {
        if totals.get(fact) == Some(count) {
            totals.remove(fact);
        }
    }
    let mut asserted: Vec<_> = updates.iter().filter(|(_, _, diff)| *diff > 0).collect();
    asserted.sort_by_key(|(_, epoch, _)| *epoch);
    for ((fact, count), _, _) in asserted {
        totals.insert(fact.clone(), *count);
    }
}

fn take_back(lengths: &mut Histogram<u64>, ticks: u64) -> Result<(), ()> {
    let mut one = Histogram::<u64>::new_from(&*lengths);
    one.record(ticks).map_err(drop)?;
    lengths.subtract(&one).map_err(drop)
}
