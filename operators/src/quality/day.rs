//! What one day came to.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::score::score;
use super::suite::{CHECKS, Check, Severity, Suite};

/// Offenders kept where all are wanted, per day and expectation: what follows is only counted, so that
/// files full of them do not fill memory and disk.
pub const MOST_EXAMPLES: usize = 100_000;

/// Offenders kept as examples, per day and expectation: the first ones, unless all are wanted.
pub const EXAMPLES: usize = 5;

/// The place of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// File, `archive.zip/member.csv`, or feed.
    pub source: Arc<str>,
    /// Line (for Parquet: row), from 1; none where all rows are at one place.
    #[serde(with = "crate::saved::line")]
    pub line: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// An offender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Id of the trade; none for days, hours and rows that are not trades.
    pub trade_id: Option<u64>,
    /// Its place; none for days and hours.
    pub place: Option<Place>,
    /// What is wrong, with the value.
    pub value: String,
    /// The place of the other row, where two contradict each other.
    pub other: Option<Place>,
}

impl Example {
    /// Of a trade whose place is not known.
    pub fn of_trade(id: u64, value: String) -> Self {
        Self { trade_id: Some(id), place: None, value, other: None }
    }

    /// Of something that is not a trade: a day, an hour, a file.
    pub fn of_no_trade(place: Option<Place>, value: String) -> Self {
        Self { trade_id: None, place, value, other: None }
    }
}

/// What an expectation came to on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Rows (hours, files) that were judged; 0: it could not be.
    pub rows: u64,
    /// Those that are not as expected.
    pub offenders: u64,
    /// The first offenders.
    pub examples: Vec<Example>,
    /// So many of them are kept.
    pub(super) limit: usize,
}

impl Default for Count {
    fn default() -> Self {
        Self { rows: 0, offenders: 0, examples: Vec::new(), limit: EXAMPLES }
    }
}

impl Count {
    /// Adds an offender; `example` is asked for only if it is kept.
    pub fn offend(&mut self, example: impl FnOnce() -> Example) {
        self.offenders += 1;
        self.keep(example);
    }

    /// Keeps an example of what is counted already.
    pub(super) fn keep(&mut self, example: impl FnOnce() -> Example) {
        if self.examples.len() < self.limit {
            self.examples.push(example());
        }
    }
}

/// Counts of all expectations, by [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts([Count; CHECKS]);

impl Counts {
    /// One of them.
    pub fn of(&mut self, check: Check) -> &mut Count {
        &mut self.0[check as usize]
    }

    /// One of them.
    pub fn get(&self, check: Check) -> &Count {
        &self.0[check as usize]
    }
}

/// One day of one instrument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayReport {
    /// Days since 1970-01-01, UTC.
    pub day: i32,
    /// Valid trades.
    pub trades: u64,
    /// What each expectation came to; meaningless for those that the suite does not have.
    pub counts: Counts,
}

impl DayReport {
    /// A day of which nothing is known.
    pub fn new(day: i32) -> Self {
        Self { day, trades: 0, counts: Counts::default() }
    }

    /// What was expected, and what it came to.
    pub fn findings<'a>(
        &'a self,
        suite: &'a Suite,
    ) -> impl Iterator<Item = (Check, Severity, &'a Count)> {
        suite.expectations().iter().map(|expectation| {
            let check = expectation.kind.check();
            (check, expectation.severity, self.counts.get(check))
        })
    }

    /// The day's score; none where nothing could be judged.
    pub fn score(&self, suite: &Suite) -> Option<f64> {
        score(
            self.findings(suite)
                .map(|(check, severity, count)| (check, severity, count.rows, count.offenders)),
        )
    }
}
