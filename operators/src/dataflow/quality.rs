//! Expectations held against what inputs say: drives one [`Judge`] per instrument.
//!
//! Input batches pass through as they are; what the judges count leaves as differential updates, so
//! that totals may also shrink: a late id closes the gap that its absence was.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Epoch;
use super::ledger::count;
use super::outputs::output;
use crate::batch::Feed;
use crate::input_batch::InputBatch;
use crate::instrument::InstrumentId;
use crate::quality::day::DayReport;
use crate::quality::judge::{Judge, Known};
use crate::quality::suite::{CHECKS, Check, Severity, Suite};

/// What is counted of an instrument's day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Counted {
    /// Valid trades.
    Trades,
    /// Rows that an expectation judged.
    Rows(Check, Severity),
    /// Rows that offend against it.
    Offenders(Check, Severity),
}

/// A quantity of an instrument's day; its multiplicity is the count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DayFact {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Days since 1970-01-01, UTC.
    pub day: i32,
    /// What.
    pub counted: Counted,
}

/// A differential update of it.
pub type DayUpdate = (DayFact, Epoch, isize);

/// What inputs are held against.
#[derive(Clone)]
pub struct Expected {
    /// What is expected; expectations of files are let be.
    pub suite: Arc<Suite>,
    /// What is known of an input beforehand.
    pub known: Arc<dyn Fn(&Feed) -> Known + Send + Sync>,
}

/// The two ways on.
pub struct Judged<'scope> {
    /// The input batches, untouched.
    pub input_batches: StreamVec<'scope, Epoch, InputBatch>,
    /// What was counted.
    pub updates: StreamVec<'scope, Epoch, DayUpdate>,
}

/// Rows of a day are reported at the latest when there are this many more: updates cost nothing per
/// trade.
const ROWS_UNTOLD: u64 = 4096;

/// Updates of totals wait for the end of a stretch of this many epochs.
const STRETCH: u64 = 64;

/// One instrument.
struct JudgeState {
    judge: Judge,
    /// What was reported of the current day.
    last_reported: LastReported,
    /// Reports of days that have ended; kept to be used again.
    ended: Vec<DayReport>,
}

/// Trades of a day; rows and offenders of its expectations.
#[derive(Clone, Copy, Default)]
struct LastReported {
    trades: u64,
    counts: [(u64, u64); CHECKS],
}

/// Judges input batches on their way.
///
/// # Contract
/// Input batches of an instrument arrive from one source, in order, on this worker.
pub fn quality<'scope>(
    input_batches: StreamVec<'scope, Epoch, InputBatch>,
    expected: Expected,
) -> Judged<'scope> {
    let mut builder = OperatorBuilder::new("Quality".to_owned(), input_batches.scope());
    let mut input = builder.new_input(input_batches, Pipeline);
    let (mut batches_out, input_batches) = output(&mut builder);
    let (mut updates_out, updates) = output(&mut builder);

    builder.build(move |mut initial| {
        let mut judge_states: BTreeMap<InstrumentId, JudgeState> = BTreeMap::new();
        // The right to tell of the last days when the input has ended.
        let mut held = initial.pop();
        move |frontiers| {
            let mut batches_out = batches_out.activate();
            let mut updates_out = updates_out.activate();
            input.for_each(|cap, input_batches| {
                let (Some(on), Some(beside)) = (cap.retain_least(0), cap.retain_least(1)) else {
                    // Only a message without any time has none; our sources send none such.
                    return;
                };
                let mut session = updates_out.session(&beside);
                let epoch = *beside.time();
                for input_batch in input_batches.iter() {
                    let feed = &input_batch.trades.feed;
                    let judge_state = judge_states
                        .entry(feed.instrument.clone())
                        .or_insert_with(|| JudgeState::new(&expected, feed));
                    judge_state.take(input_batch);
                    judge_state.tell(&feed.instrument, |fact, n| session.give((fact, epoch, n)));
                }
                drop(session);
                batches_out.session(&on).give_iterator(input_batches.drain(..));
            });
            let Some(right) = held.as_mut() else { return };
            match frontiers[0].frontier().first() {
                Some(epoch) if right.time() < epoch => right.downgrade(epoch),
                Some(_) => {}
                None => {
                    let epoch = *right.time();
                    let mut session = updates_out.session(&*right);
                    for (instrument, judge_state) in &mut judge_states {
                        judge_state.judge.finish(&mut judge_state.ended);
                        judge_state.tell(instrument, |fact, n| session.give((fact, epoch, n)));
                    }
                    drop(session);
                    held = None;
                }
            }
        }
    });
    Judged { input_batches, updates }
}

/// Maintains the counts of every instrument's days: a stream of `((fact, count), epoch, ±1)`.
pub fn day_totals<'scope>(
    updates: StreamVec<'scope, Epoch, DayUpdate>,
) -> StreamVec<'scope, Epoch, ((DayFact, isize), Epoch, isize)> {
    count(updates, STRETCH, "Quality", |fact| fact.instrument.shard_hash())
}

impl JudgeState {
    fn new(expected: &Expected, feed: &Feed) -> Self {
        let judge = Judge::new(Suite::clone(&expected.suite), (expected.known)(feed));
        Self { judge, last_reported: LastReported::default(), ended: Vec::new() }
    }

    fn take(&mut self, input_batch: &InputBatch) {
        self.judge.on_batch(
            &input_batch.trades,
            &input_batch.rejects,
            &input_batch.left_out,
            &input_batch.start,
            &mut self.ended,
        );
    }

    /// Reports the changes of days since the last report.
    fn tell(&mut self, instrument: &InstrumentId, mut give: impl FnMut(DayFact, isize)) {
        let suite = self.judge.suite();
        for report in self.ended.drain(..) {
            // A day that is missing was never read: nothing was told of it, and of the day that
            // was read something may have been.
            let mut last_reported = match report.trades {
                0 => LastReported::default(),
                _ => std::mem::take(&mut self.last_reported),
            };
            last_reported.bring_up(&report, suite, instrument, &mut give);
        }
        let Some(today) = self.judge.today() else { return };
        let rows = today.trades - self.last_reported.trades;
        let offended = (today.findings(suite)).any(|(check, _, count)| {
            count.offenders != self.last_reported.counts[check as usize].1
        });
        if offended || rows >= ROWS_UNTOLD {
            self.last_reported.bring_up(today, suite, instrument, &mut give);
        }
    }
}

impl LastReported {
    /// Tells the difference to a report.
    fn bring_up(
        &mut self,
        report: &DayReport,
        suite: &Suite,
        instrument: &InstrumentId,
        give: &mut impl FnMut(DayFact, isize),
    ) {
        let mut tell = |counted: Counted, now: u64, last_reported: &mut u64| {
            if now != *last_reported {
                let fact = DayFact { instrument: instrument.clone(), day: report.day, counted };
                give(fact, now as isize - *last_reported as isize);
                *last_reported = now;
            }
        };
        tell(Counted::Trades, report.trades, &mut self.trades);
        for (check, severity, count) in report.findings(suite) {
            let (rows, offenders) = &mut self.counts[check as usize];
            tell(Counted::Rows(check, severity), count.rows, rows);
            tell(Counted::Offenders(check, severity), count.offenders, offenders);
        }
    }
}
