//! The report for programs, and offenders to be set aside.

use std::io::{self, Write};

use barflow_operators::quality::day::{DayReport, Example, MOST_EXAMPLES};
use barflow_operators::quality::suite::{Severity, Suite};
use serde_json::{Map, Value, json};

use super::inputs::Damaged;
use super::judged::Judged;
use super::report::{Line, Report, date, lines, passes};

/// The whole report.
pub fn value(report: &Report) -> Value {
    let instruments: Vec<Value> =
        report.instruments.iter().map(|judged| instrument(judged, &report.suite)).collect();
    json!({
        "passes": report.passes(),
        "damaged": damaged(&report.unopened),
        "instruments": instruments,
    })
}

fn damaged(files: &[Damaged]) -> Value {
    let said =
        |file: &Damaged| json!({ "path": file.path.display().to_string(), "error": file.error });
    files.iter().map(said).collect()
}

fn instrument(judged: &Judged, suite: &Suite) -> Value {
    json!({
        "instrument": judged.feed.instrument.as_str(),
        "input": judged.feed.input.as_str(),
        "passes": passes(judged, suite),
        "files": judged.files,
        "damaged": damaged(&judged.damaged),
        "expectations": lines(judged, suite).iter().map(line).collect::<Vec<_>>(),
        "days": judged.days.iter().map(|day| a_day(day, suite)).collect::<Vec<_>>(),
    })
}

fn line(line: &Line<'_>) -> Value {
    let examples = line.examples.iter().map(|(day, example)| an_example(*day, example));
    json!({
        "expectation": line.check.as_str(),
        "severity": line.severity.as_str(),
        "columns": line.check.columns(),
        "days": line.days,
        "days_broken": line.days_broken,
        "rows": line.rows,
        "offenders": line.offenders,
        "verdict": line.verdict().as_str(),
        "examples": examples.collect::<Vec<_>>(),
    })
}

fn an_example(day: i32, example: &Example) -> Value {
    json!({
        "day": date(day).to_string(),
        "trade_id": example.trade_id,
        "source": example.place.as_ref().map(|place| &*place.source),
        "line": example.place.as_ref().and_then(|place| place.line),
        "value": example.value,
        "other_source": example.other.as_ref().map(|place| &*place.source),
        "other_line": example.other.as_ref().and_then(|place| place.line),
    })
}

fn a_day(day: &DayReport, suite: &Suite) -> Value {
    let counts: Map<String, Value> = day
        .findings(suite)
        .map(|(check, _, count)| {
            let value = json!({ "rows": count.rows, "offenders": count.offenders });
            (check.as_str().to_owned(), value)
        })
        .collect();
    json!({
        "day": date(day.day).to_string(),
        "trades": day.trades,
        "data_quality_score": day.score(suite),
        "counts": counts,
    })
}

/// Writes the offenders of all quarantine expectations, one line each; returns how many, and how many
/// there are beside those that were kept.
///
/// # Errors
/// When they cannot be written.
pub fn quarantine(report: &Report, mut out: impl Write) -> io::Result<(u64, u64)> {
    let (mut written, mut left_out) = (0, 0);
    for judged in &report.instruments {
        for day in &judged.days {
            for (check, severity, count) in day.findings(&report.suite) {
                if severity != Severity::Quarantine {
                    continue;
                }
                if count.examples.len() == MOST_EXAMPLES {
                    left_out += count.offenders.saturating_sub(count.examples.len() as u64);
                }
                for example in &count.examples {
                    let mut line = json!({
                        "instrument": judged.feed.instrument.as_str(),
                        "expectation": check.as_str(),
                    });
                    if let (Value::Object(line), Value::Object(rest)) =
                        (&mut line, an_example(day.day, example))
                    {
                        line.extend(rest);
                    }
                    writeln!(out, "{line}")?;
                    written += 1;
                }
            }
        }
    }
    Ok((written, left_out))
}
