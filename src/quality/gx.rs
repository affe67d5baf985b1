//! The suite for Great Expectations 1.x, to be held against the same Parquet files.
//!
//! Only expectations of its core are used. What it has no counterpart for is named, in the suite's
//! `meta` as well.

use std::path::Path;

use barflow_operators::quality::suite::{Check, Expectation, Kind, Severity, Suite};
use barflow_operators::quality::{DAY_NS, day_of};
use barflow_replay::error::ReplayError;
use serde_json::{Value, json};

use super::footer::Footer;

/// A suite for Great Expectations.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// As JSON: `name`, `expectations`, `meta`.
    pub value: Value,
    /// Expectations that have no counterpart there, and why.
    pub left_out: Vec<(Check, &'static str)>,
}

/// Columns that every trades Parquet has.
const COLUMNS: [&str; 5] = ["trade_id", "event_time", "price", "qty", "aggressor"];

const NEEDS_FILE: &str = "depends on the file: give it when exporting";

/// Writes a suite in their words; some expectations need the file that it is to be held against.
///
/// # Errors
/// When `file` is not a Parquet file.
pub fn export(suite: &Suite, file: Option<&Path>) -> Result<Exported, ReplayError> {
    let footer = match file {
        Some(path) => {
            let reason = "Great Expectations reads Parquet here: keep trades with `barflow replay \
                          --sink none --sink-trades FOLDER`";
            Some(Footer::read(path).ok_or_else(|| ReplayError::layout(path, reason))?)
        }
        None => None,
    };
    let (mut expectations, mut left_out) = (Vec::new(), Vec::new());
    for expectation in suite.expectations() {
        match counterparts(expectation, footer.as_ref()) {
            Ok(theirs) => expectations.extend(theirs.into_iter().map(|(kind, kwargs)| {
                json!({
                    "type": kind,
                    "kwargs": kwargs,
                    "severity": severity(expectation.severity),
                    "meta": {
                        "barflow": expectation.kind.check().as_str(),
                        "barflow_severity": expectation.severity.as_str(),
                    },
                })
            })),
            Err(why) => left_out.push((expectation.kind.check(), why)),
        }
    }
    let without: Value = left_out
        .iter()
        .map(|(check, why)| (check.as_str().to_owned(), Value::from(*why)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let file = file.map(|path| path.display().to_string());
    let value = json!({
        "name": "barflow trades",
        "expectations": expectations,
        "meta": { "barflow_left_out": without, "barflow_file": file },
    });
    Ok(Exported { value, left_out })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Warn => "warning",
        Severity::Quarantine | Severity::Fail => "critical",
    }
}

/// Their expectations that together say the same of a file.
type Counterparts = Vec<(&'static str, Value)>;

fn counterparts(
    expectation: &Expectation,
    footer: Option<&Footer>,
) -> Result<Counterparts, &'static str> {
    let one = |kind, kwargs| Ok(vec![(kind, kwargs)]);
    match expectation.kind {
        Kind::Plain(check) => plain(check, footer),
        Kind::QtyWithin { min, max } => one(
            "expect_column_values_to_be_between",
            json!({ "column": "qty", "min_value": min, "max_value": max }),
        ),
        // Sides are ±1, so their mean is 2·share − 1.
        Kind::AggressorShare { min, max, .. } => one(
            "expect_column_mean_to_be_between",
            json!({
                "column": "aggressor",
                "min_value": 2.0 * min - 1.0,
                "max_value": 2.0 * max - 1.0,
            }),
        ),
        Kind::PriceNearMedian { .. } => Err("no expectation over a rolling window"),
        Kind::QuoteIsProduct { .. } => Err("no expectation on the product of columns"),
        Kind::TradesPerHour { .. } => Err("no expectation against the days before"),
        Kind::NoSilence { .. } => Err("no expectation on the distance between rows"),
    }
}

fn plain(check: Check, footer: Option<&Footer>) -> Result<Counterparts, &'static str> {
    let one = |kind, kwargs| Ok(vec![(kind, kwargs)]);
    let file = footer.ok_or(NEEDS_FILE);
    match check {
        Check::NoDuplicateIds => {
            one("expect_column_values_to_be_unique", json!({ "column": "trade_id" }))
        }
        Check::NoConflictingIds => {
            Err("no expectation on rows that share an id: no_duplicate_ids finds both")
        }
        Check::NoIdGaps => {
            let (first, last) = file?.ids.ok_or("the file's metadata has no first and last id")?;
            // As many different ids as there are from the first to the last.
            let ids = last.saturating_sub(first).saturating_add(1);
            one(
                "expect_column_unique_value_count_to_be_between",
                json!({ "column": "trade_id", "min_value": ids, "max_value": ids }),
            )
        }
        Check::IdsInOrder => {
            one("expect_column_values_to_be_increasing", json!({ "column": "trade_id" }))
        }
        // Along the rows rather than the ids: the same where ids are in order.
        Check::TimeMonotone => {
            one("expect_column_values_to_be_increasing", json!({ "column": "event_time" }))
        }
        Check::TimeInsideDay => {
            let (first, last) = file?.times.ok_or("the file's metadata has no times")?;
            one(
                "expect_column_values_to_be_between",
                json!({
                    "column": "event_time",
                    "min_value": midnight(day_of(first)),
                    "max_value": midnight(day_of(last) + 1),
                    "strict_max": true,
                }),
            )
        }
        Check::RowsValid => {
            let not_null =
                |column| ("expect_column_values_to_not_be_null", json!({"column": column}));
            let mut all: Counterparts = COLUMNS.into_iter().map(not_null).collect();
            let sides = json!({ "column": "aggressor", "value_set": [-1, 0, 1] });
            all.push(("expect_column_values_to_be_in_set", sides));
            Ok(all)
        }
        Check::PricePositive => one(
            "expect_column_values_to_be_between",
            json!({ "column": "price", "min_value": 0, "strict_min": true }),
        ),
        Check::RowsAsRecorded => {
            let rows = file?.rows.ok_or("the file's metadata has no row count")?;
            one("expect_table_row_count_to_equal", json!({ "value": rows }))
        }
        Check::ChecksumRight => Err("no expectation on files"),
        _ => Err("no expectation over days"),
    }
}

/// `2024-03-01T00:00:00+00:00`.
fn midnight(day: i32) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(day) * i128::from(DAY_NS));
    let date = time.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    format!("{date}T00:00:00+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_counterpart_is_named_and_nothing_is_lost() {
        let exported = export(&Suite::usual(), None).unwrap();
        let theirs = exported.value["expectations"].as_array().unwrap();
        let mut checks: Vec<&str> =
            theirs.iter().map(|e| e["meta"]["barflow"].as_str().unwrap()).collect();
        checks.dedup();
        assert_eq!(checks.len() + exported.left_out.len(), Check::ALL.len());
        let out = &exported.value["meta"]["barflow_left_out"];
        assert_eq!(out["checksum_right"], "no expectation on files");
        assert_eq!(out["rows_as_recorded"], NEEDS_FILE);
        assert_eq!(midnight(19_783), "2024-03-01T00:00:00+00:00");
    }
}
