//! What expectations have come to in a run: per instrument and day, kept by differential counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::dataflow::quality::{Counted, DayFact, Expected};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::quality::judge::Known;
use barflow_operators::quality::score::score;
use barflow_operators::quality::suite::{Check, Severity, Suite};

use super::tally::apply;
use crate::telemetry::names;

/// Expectations and verdicts: shared by all workers of a process, readable at any time.
#[derive(Clone)]
pub struct Quality {
    expected: Expected,
    totals: Arc<Mutex<BTreeMap<DayFact, isize>>>,
}

/// One day of one instrument.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QualityDay {
    /// Valid trades.
    pub trades: u64,
    /// Of each expectation rows judged, and offenders.
    pub counts: BTreeMap<(Check, Severity), (u64, u64)>,
}

/// Days by instrument, and days since 1970-01-01.
pub type QualityDays = BTreeMap<(InstrumentId, i32), QualityDay>;

impl Quality {
    /// Expects this of inputs of which so much is known.
    pub fn new(
        suite: Suite,
        known: impl Fn(&InstrumentId) -> Known + Send + Sync + 'static,
    ) -> Self {
        let suite = Arc::new(suite);
        let known = Arc::new(move |feed: &barflow_operators::batch::Feed| known(&feed.instrument));
        Self { expected: Expected { suite, known }, totals: Arc::default() }
    }

    /// What is expected.
    pub fn expected(&self) -> Expected {
        self.expected.clone()
    }

    /// Takes updates of totals, and says the scores of the latest days in metrics.
    pub fn update(&self, updates: &[((DayFact, isize), u64, isize)]) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        apply(&mut totals, updates);
        let touched: BTreeSet<_> =
            updates.iter().map(|((fact, _), _, _)| &fact.instrument).collect();
        for instrument in touched {
            // Facts are in order of instruments and days.
            let first = |day, instrument: &InstrumentId| {
                let instrument = instrument.clone();
                DayFact { instrument, day, counted: Counted::Trades }
            };
            let last = totals
                .range(first(i32::MIN, instrument)..)
                .take_while(|(fact, _)| fact.instrument == *instrument)
                .last()
                .map(|(fact, _)| fact.day);
            let Some(day) = last else { continue };
            let days = gather(totals.range(
                first(day, instrument)..=DayFact {
                    instrument: instrument.clone(),
                    day: day.saturating_add(1),
                    counted: Counted::Trades,
                },
            ));
            if let Some(score) = days.values().next().and_then(QualityDay::score) {
                let label = instrument.to_string();
                metrics::gauge!(names::QUALITY, "instrument" => label).set(score);
            }
        }
    }

    /// The verdicts on all days.
    pub fn days(&self) -> QualityDays {
        gather(self.totals.lock().unwrap_or_else(PoisonError::into_inner).iter())
    }
}

impl fmt::Debug for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quality").field("suite", &self.expected.suite).finish_non_exhaustive()
    }
}

fn gather<'a>(totals: impl Iterator<Item = (&'a DayFact, &'a isize)>) -> QualityDays {
    let mut days = QualityDays::new();
    for (fact, n) in totals {
        let n = (*n).max(0) as u64;
        let day = days.entry((fact.instrument.clone(), fact.day)).or_default();
        match fact.counted {
            Counted::Trades => day.trades = n,
            Counted::Rows(check, severity) => {
                day.counts.entry((check, severity)).or_default().0 = n
            }
            Counted::Offenders(check, severity) => {
                day.counts.entry((check, severity)).or_default().1 = n;
            }
        }
    }
    days
}

impl QualityDay {
    /// The day's score; none where nothing could be judged.
    pub fn score(&self) -> Option<f64> {
        score(
            self.counts.iter().map(|((check, severity), (rows, offenders))| {
                (*check, *severity, *rows, *offenders)
            }),
        )
    }

    /// Expectations with offenders: `no_id_gaps 2, no_silence 1`.
    pub fn broken(&self) -> String {
        let broken = self.counts.iter().filter(|(_, (_, offenders))| *offenders > 0);
        let broken = broken.map(|((check, _), (_, offenders))| format!("{check} {offenders}"));
        broken.collect::<Vec<_>>().join(", ")
    }
}
