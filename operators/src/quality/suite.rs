//! What is expected of trades, and how much it matters.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a broken expectation matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; the data passes.
    Warn,
    /// The offending rows are set aside; the data does not pass as it is.
    Quarantine,
    /// The data does not pass.
    Fail,
}

impl Severity {
    /// All of them, by weight.
    pub const ALL: [Self; 3] = [Self::Warn, Self::Quarantine, Self::Fail];

    /// `warn`, `quarantine` or `fail`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Quarantine => "quarantine",
            Self::Fail => "fail",
        }
    }

    /// What an expectation of this severity weighs in the score.
    pub fn weight(self) -> f64 {
        match self {
            Self::Warn => 1.0,
            Self::Quarantine => 2.0,
            Self::Fail => 4.0,
        }
    }
}

/// Which expectation, without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Every day between the first and the last has trades.
    NoMissingDays,
    /// Ids follow each other without a hole.
    NoIdGaps,
    /// No trade comes twice.
    NoDuplicateIds,
    /// Rows of one id say the same.
    NoConflictingIds,
    /// Rows are in the order of their ids.
    IdsInOrder,
    /// Event time does not run backwards along the ids.
    TimeMonotone,
    /// Rows lie within the day that is being read.
    TimeInsideDay,
    /// Every row is a trade.
    RowsValid,
    /// Prices are finite and greater than 0.
    PricePositive,
    /// Prices lie near the rolling median.
    PriceNearMedian,
    /// Quantities lie within bounds.
    QtyWithin,
    /// The source's quote value is price times quantity.
    QuoteIsProduct,
    /// Buyers' share of the day's trades lies within bounds.
    AggressorShare,
    /// Each hour has about as many trades as it had on the days before.
    TradesPerHour,
    /// No stretch without a trade is too long.
    NoSilence,
    /// A file holds as many rows as was recorded of it.
    RowsAsRecorded,
    /// A file has a checksum, and it is right.
    ChecksumRight,
}

/// How many there are.
pub const CHECKS: usize = 17;

impl Check {
    /// All of them, in the order of reports.
    pub const ALL: [Self; CHECKS] = [
        Self::NoMissingDays,
        Self::NoIdGaps,
        Self::NoDuplicateIds,
        Self::NoConflictingIds,
        Self::IdsInOrder,
        Self::TimeMonotone,
        Self::TimeInsideDay,
        Self::RowsValid,
        Self::PricePositive,
        Self::PriceNearMedian,
        Self::QtyWithin,
        Self::QuoteIsProduct,
        Self::AggressorShare,
        Self::TradesPerHour,
        Self::NoSilence,
        Self::RowsAsRecorded,
        Self::ChecksumRight,
    ];

    /// Its name in configuration and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMissingDays => "no_missing_days",
            Self::NoIdGaps => "no_id_gaps",
            Self::NoDuplicateIds => "no_duplicate_ids",
            Self::NoConflictingIds => "no_conflicting_ids",
            Self::IdsInOrder => "ids_in_order",
            Self::TimeMonotone => "time_monotone",
            Self::TimeInsideDay => "time_inside_day",
            Self::RowsValid => "rows_valid",
            Self::PricePositive => "price_positive",
            Self::PriceNearMedian => "price_near_median",
            Self::QtyWithin => "qty_within",
            Self::QuoteIsProduct => "quote_is_product",
            Self::AggressorShare => "aggressor_share",
            Self::TradesPerHour => "trades_per_hour",
            Self::NoSilence => "no_silence",
            Self::RowsAsRecorded => "rows_as_recorded",
            Self::ChecksumRight => "checksum_right",
        }
    }

    /// What it expects, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NoMissingDays => "every day between the first and the last has trades",
            Self::NoIdGaps => "trade ids follow each other without a gap",
            Self::NoDuplicateIds => "no trade occurs twice",
            Self::NoConflictingIds => "no two rows of one trade id differ",
            Self::IdsInOrder => "rows are in the order of their ids",
            Self::TimeMonotone => "event time does not run backwards along the ids",
            Self::TimeInsideDay => "rows are within the day that the file is for",
            Self::RowsValid => "every row is a valid trade",
            Self::PricePositive => "prices are finite and greater than 0",
            Self::PriceNearMedian => "prices are near the rolling median",
            Self::QtyWithin => "quantities are within bounds",
            Self::QuoteIsProduct => "the quote value is price times quantity",
            Self::AggressorShare => "the buyers' share of the day's trades is within bounds",
            Self::TradesPerHour => "each hour has about as many trades as on the days before",
            Self::NoSilence => "no stretch without a trade is too long",
            Self::RowsAsRecorded => "a file has as many rows as were recorded for it",
            Self::ChecksumRight => "a file has a checksum, and it matches",
        }
    }

    /// Whether a day passes or does not, whatever the share of its rows.
    pub fn is_daily(self) -> bool {
        matches!(
            self,
            Self::NoMissingDays
                | Self::AggressorShare
                | Self::TradesPerHour
                | Self::NoSilence
                | Self::RowsAsRecorded
                | Self::ChecksumRight
        )
    }

    /// Columns of the trades that it looks at.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::NoMissingDays | Self::TimeInsideDay | Self::TradesPerHour | Self::NoSilence => {
                &["event_time"]
            }
            Self::NoIdGaps | Self::NoDuplicateIds | Self::IdsInOrder => &["trade_id"],
            Self::NoConflictingIds => {
                &["trade_id", "event_time", "price", "qty", "aggressor", "count"]
            }
            Self::TimeMonotone => &["trade_id", "event_time"],
            Self::RowsValid => {
                &["trade_id", "event_time", "price", "qty", "quote", "aggressor", "count"]
            }
            Self::PricePositive | Self::PriceNearMedian => &["price"],
            Self::QtyWithin => &["qty"],
            Self::QuoteIsProduct => &["price", "qty", "quote"],
            Self::AggressorShare => &["aggressor"],
            Self::RowsAsRecorded | Self::ChecksumRight => &[],
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An expectation's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// One that has none.
    Plain(Check),
    /// |price − median| ≤ `k`·max(1.4826·MAD, `floor`·median) of the last `window` prices.
    PriceNearMedian {
        /// Robust deviations.
        k: f64,
        /// Trades that the median is of.
        window: usize,
        /// Least deviation, as a share of the median.
        floor: f64,
    },
    /// `min` ≤ quantity ≤ `max`.
    QtyWithin {
        /// Least quantity, in units of base (or contracts).
        min: f64,
        /// Largest quantity.
        max: f64,
    },
    /// |quote − price·qty| ≤ `relative`·price·qty + `rounding`·(1 + price).
    QuoteIsProduct {
        /// Share of the product.
        relative: f64,
        /// What a quantity and a quote value may be off by, as the source prints them.
        rounding: f64,
    },
    /// `min` ≤ buyers / (buyers + sellers) ≤ `max`, on days with at least `trades` of them.
    AggressorShare {
        /// Least share.
        min: f64,
        /// Largest share.
        max: f64,
        /// Days with fewer trades are not judged.
        trades: u64,
    },
    /// `min` ≤ trades of an hour / median of that hour on the last `days` days ≤ `max`.
    TradesPerHour {
        /// Least ratio.
        min: f64,
        /// Largest ratio.
        max: f64,
        /// Days of the profile.
        days: usize,
        /// Days that the profile needs before anything is judged.
        least_days: usize,
        /// Hours whose median is below this are not judged.
        trades: u64,
    },
    /// No time between two trades is longer.
    NoSilence {
        /// In ns.
        longer_than: i64,
    },
}

impl Kind {
    /// Which expectation these are the parameters of.
    pub fn check(&self) -> Check {
        match self {
            Self::Plain(check) => *check,
            Self::PriceNearMedian { .. } => Check::PriceNearMedian,
            Self::QtyWithin { .. } => Check::QtyWithin,
            Self::QuoteIsProduct { .. } => Check::QuoteIsProduct,
            Self::AggressorShare { .. } => Check::AggressorShare,
            Self::TradesPerHour { .. } => Check::TradesPerHour,
            Self::NoSilence { .. } => Check::NoSilence,
        }
    }

    /// The usual parameters of an expectation, fit for crypto trades.
    pub fn usual(check: Check) -> Self {
        match check {
            // 10 deviations of at least 0.1 % are 1 %: a jump within seconds that is rarely real.
            Check::PriceNearMedian => Self::PriceNearMedian { k: 10.0, window: 501, floor: 0.001 },
            Check::QtyWithin => Self::QtyWithin { min: 0.0, max: 1e9 },
            // Archives print eight decimals.
            Check::QuoteIsProduct => Self::QuoteIsProduct { relative: 1e-9, rounding: 1e-8 },
            Check::AggressorShare => Self::AggressorShare { min: 0.25, max: 0.75, trades: 1000 },
            Check::TradesPerHour => {
                Self::TradesPerHour { min: 0.05, max: 20.0, days: 7, least_days: 3, trades: 20 }
            }
            // 10 minutes.
            Check::NoSilence => Self::NoSilence { longer_than: 600_000_000_000 },
            plain => Self::Plain(plain),
        }
    }
}

/// One expectation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// What is expected.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
}

/// Everything that is expected, at most once each, in the order of [`Check::ALL`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Suite {
    expectations: Vec<Expectation>,
}

impl Suite {
    /// These expectations; a later one of the same kind replaces an earlier one.
    pub fn new(expectations: impl IntoIterator<Item = Expectation>) -> Self {
        let mut suite = Self::default();
        for expectation in expectations {
            let check = expectation.kind.check();
            match suite.expectations.binary_search_by_key(&check, |e| e.kind.check()) {
                Ok(at) => suite.expectations[at] = expectation,
                Err(at) => suite.expectations.insert(at, expectation),
            }
        }
        suite
    }

    /// All expectations with their usual parameters: `fail` for what no real history has, `warn`
    /// for what markets may do by themselves.
    pub fn usual() -> Self {
        Self::new(Check::ALL.map(|check| {
            let severity = match check {
                Check::NoIdGaps
                | Check::PriceNearMedian
                | Check::AggressorShare
                | Check::TradesPerHour
                | Check::NoSilence => Severity::Warn,
                _ => Severity::Fail,
            };
            Expectation { kind: Kind::usual(check), severity }
        }))
    }

    /// The expectations.
    pub fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    /// One of them.
    pub fn get(&self, check: Check) -> Option<&Expectation> {
        self.expectations.iter().find(|expectation| expectation.kind.check() == check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_suites_share_one_order_and_a_later_expectation_wins() {
        let mut sorted = Check::ALL;
        sorted.sort();
        assert_eq!(sorted, Check::ALL);
        for (place, check) in Check::ALL.into_iter().enumerate() {
            assert_eq!(check as usize, place);
            assert_eq!(Kind::usual(check).check(), check);
        }
        let one = |severity| Expectation { kind: Kind::usual(Check::NoSilence), severity };
        let suite = Suite::new([one(Severity::Fail), one(Severity::Warn)]);
        assert_eq!(suite.expectations(), [one(Severity::Warn)]);
    }
}
