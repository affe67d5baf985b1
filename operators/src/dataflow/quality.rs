//! Expectations held against what inputs say: drives one [`Judge`] per instrument.
//!
//! Intakes pass through as they are; what the judges count leaves as differential updates, so that
//! totals may also shrink: a late id closes the gap that its absence was.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Epoch;
use super::ledger::count;
use crate::batch::Feed;
use crate::instrument::InstrumentId;
use crate::intake::Intake;
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
    /// The intakes, untouched.
    pub intakes: StreamVec<'scope, Epoch, Intake>,
    /// What was counted.
    pub updates: StreamVec<'scope, Epoch, DayUpdate>,
}

/// Rows of a day are reported at the latest when there are this many more: updates cost nothing per
/// trade.
const ROWS_UNTOLD: u64 = 4096;

/// Updates of totals wait for the end of a stretch of this many epochs.
const STRETCH: u64 = 64;

/// One instrument.
struct Desk {
    judge: Judge,
    /// What was reported of the current day.
    told: Told,
    /// Reports of days that have ended; kept to be used again.
    ended: Vec<DayReport>,
}

/// Trades of a day; rows and offenders of its expectations.
#[derive(Clone, Copy, Default)]
struct Told {
    trades: u64,
    counts: [(u64, u64); CHECKS],
}

/// Judges intakes on their way.
///
/// # Contract
/// Intakes of an instrument arrive from one source, in order, on this worker.
pub fn quality<'scope>(
    intakes: StreamVec<'scope, Epoch, Intake>,
    expected: Expected,
) -> Judged<'scope> {
    let mut builder = OperatorBuilder::new("Quality".to_owned(), intakes.scope());
    let mut input = builder.new_input(intakes, Pipeline);
    let (intakes_out, intakes) = builder.new_output();
    let (updates_out, updates) = builder.new_output();
    let mut intakes_out =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Intake>>>::from(intakes_out);
    let mut updates_out =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<DayUpdate>>>::from(updates_out);

    builder.build(move |mut initial| {
        let mut desks: BTreeMap<InstrumentId, Desk> = BTreeMap::new();
        // The right to tell of the last days when the input has ended.
        let mut held = initial.pop();
        move |frontiers| {
            let mut intakes_out = intakes_out.activate();
            let mut updates_out = updates_out.activate();
            input.for_each(|cap, intakes| {
                let (Some(on), Some(beside)) = (cap.retain_least(0), cap.retain_least(1)) else {
                    // Only a message without any time has none; our sources send none such.
                    return;
                };
                let mut session = updates_out.session(&beside);
                let epoch = *beside.time();
                for intake in intakes.iter() {
                    let feed = &intake.trades.feed;
                    let desk = desks
                        .entry(feed.instrument.clone())
                        .or_insert_with(|| Desk::new(&expected, feed));
                    desk.take(intake);
                    desk.tell(&feed.instrument, |fact, n| session.give((fact, epoch, n)));
                }
                drop(session);
                intakes_out.session(&on).give_iterator(intakes.drain(..));
            });
            let Some(right) = held.as_mut() else { return };
            match frontiers[0].frontier().first() {
                Some(epoch) if right.time() < epoch => right.downgrade(epoch),
                Some(_) => {}
                None => {
                    let epoch = *right.time();
                    let mut session = updates_out.session(&*right);
                    for (instrument, desk) in &mut desks {
                        desk.judge.finish(&mut desk.ended);
                        desk.tell(instrument, |fact, n| session.give((fact, epoch, n)));
                    }
                    drop(session);
                    held = None;
                }
            }
        }
    });
    Judged { intakes, updates }
}

/// Maintains the counts of every instrument's days: a stream of `((fact, count), epoch, ±1)`.
pub fn day_totals<'scope>(
    updates: StreamVec<'scope, Epoch, DayUpdate>,
) -> StreamVec<'scope, Epoch, ((DayFact, isize), Epoch, isize)> {
    count(updates, STRETCH, "Quality", |fact| fact.instrument.shard_hash())
}

impl Desk {
    fn new(expected: &Expected, feed: &Feed) -> Self {
        let judge = Judge::new(Suite::clone(&expected.suite), (expected.known)(feed));
        Self { judge, told: Told::default(), ended: Vec::new() }
    }

    fn take(&mut self, intake: &Intake) {
        self.judge.on_batch(&intake.trades, &intake.rejects, &intake.start, &mut self.ended);
    }

    /// Reports the changes of days since the last report.
    fn tell(&mut self, instrument: &InstrumentId, mut give: impl FnMut(DayFact, isize)) {
        let suite = self.judge.suite();
        for report in self.ended.drain(..) {
            // A day that is missing was never read: nothing was told of it, and of the day that
            // was read something may have been.
            let mut told = match report.trades {
                0 => Told::default(),
                _ => std::mem::take(&mut self.told),
            };
            told.bring_up(&report, suite, instrument, &mut give);
        }
        let Some(today) = self.judge.today() else { return };
        let rows = today.trades - self.told.trades;
        let offended = (today.findings(suite))
            .any(|(check, _, count)| count.offenders != self.told.counts[check as usize].1);
        if offended || rows >= ROWS_UNTOLD {
            self.told.bring_up(today, suite, instrument, &mut give);
        }
    }
}

impl Told {
    /// Tells the difference to a report.
    fn bring_up(
        &mut self,
        report: &DayReport,
        suite: &Suite,
        instrument: &InstrumentId,
        give: &mut impl FnMut(DayFact, isize),
    ) {
        let mut tell = |counted: Counted, now: u64, told: &mut u64| {
            if now != *told {
                let fact = DayFact { instrument: instrument.clone(), day: report.day, counted };
                give(fact, now as isize - *told as isize);
                *told = now;
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
