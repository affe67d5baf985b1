//! The summary of a run, for a person.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use barflow_operators::end::Unfinished;
use barflow_operators::gap::Gap;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::sequence::ROWS_REMEMBERED;

use super::notes::notes;
use super::say;
use crate::graph::quality::QualityDays;
use crate::graph::revised::Totals;
use crate::job::JobReport;
use crate::job::report::InputCounts;
use crate::printable::{line, lines};
use crate::quality::report::{date, shown};
use crate::thousands::{counted, grouped};

/// Gaps listed one by one per instrument; all are counted.
const GAPS_LISTED: usize = 5;

/// Days listed with their scores, the worst first.
const DAYS_LISTED: usize = 10;

/// The summary of a run.
fn text(report: &JobReport) -> String {
    let mut text = String::new();
    describe_totals(&mut text, report);
    for (instrument, counts) in &report.inputs {
        describe_input(&mut text, instrument, counts);
    }
    describe_bars(&mut text, report);
    // Writing to a String cannot fail.
    for ((instrument, spec), joined) in &report.joined {
        let _ = writeln!(text, "{instrument} {spec}: {joined}");
    }
    if let Some(revised) = &report.revised {
        describe_revisions(&mut text, revised);
    }
    if let Some(quality) = &report.quality {
        describe_quality(&mut text, quality);
    }
    for note in notes(report) {
        let _ = writeln!(text, "note: {}", lines(&note));
    }
    for place in report.sink.iter().flat_map(|sink| &sink.places) {
        let _ = writeln!(text, "bars are in {}", line(place));
    }
    text
}

fn describe_totals(text: &mut String, report: &JobReport) {
    let counts = || report.inputs.values();
    let trades = report.trades_read();
    let duplicates: u64 = counts().map(|c| c.duplicates).sum();
    let gaps: usize = counts().map(|c| c.gaps.len()).sum();
    let missing: u64 = counts().flat_map(|c| &c.gaps).map(Gap::len).sum();
    let seconds = report.elapsed.as_secs_f64();
    // Writing to a String cannot fail.
    if report.workers.share().is_part() {
        let (process, processes) = (report.workers.process(), report.workers.processes());
        let _ = writeln!(text, "process {process} of {processes} (from 0); its instruments:");
    }
    let _ = writeln!(
        text,
        "{}{} in {seconds:.2} s ({} trades/s), peak memory {}",
        match report.files {
            0 => String::new(),
            files => format!("{}, ", counted(files as u64, "file")),
        },
        counted(trades, "trade"),
        grouped((trades as f64 / seconds.max(1e-9)) as u64),
        peak_memory()
    );
    let _ = writeln!(
        text,
        "duplicates {}, gaps {gaps} ({} missing), quarantined {}",
        grouped(duplicates),
        counted(missing, "id"),
        grouped(report.set_aside())
    );
}

fn describe_input(text: &mut String, instrument: &InstrumentId, c: &InputCounts) {
    for (reason, rows) in &c.left_out {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{instrument}: left out {} ({})", grouped(*rows), line(reason));
    }
    let repeated = c.duplicates + c.conflicts;
    if repeated + c.reordered + c.time_reversals + c.rejected == 0 && c.gaps.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "{instrument}: duplicates {}, out of order {}, time running backwards {}, rejected {}",
        grouped(c.duplicates),
        grouped(c.reordered),
        grouped(c.time_reversals),
        grouped(c.rejected)
    );
    if c.conflicts > 0 {
        let n = grouped(c.conflicts);
        let _ = writeln!(text, "{instrument}: same id with other content {n}, see the bad rows");
    }
    if c.late > 0 {
        let n = grouped(c.late);
        let _ = writeln!(
            text,
            "{instrument}: late {n}: they came after their ids were given up as missing"
        );
    }
    if c.not_compared > 0 {
        let _ = writeln!(
            text,
            "{instrument}: duplicates by id alone {}: they came more than {} rows before, or before \
             this run, so what they say could not be compared",
            grouped(c.not_compared),
            grouped(ROWS_REMEMBERED)
        );
    }
    for gap in c.gaps.iter().take(GAPS_LISTED) {
        let _ = writeln!(
            text,
            "{instrument}: ids {} to {} are missing ({})",
            gap.first_missing,
            gap.last_missing,
            grouped(gap.len())
        );
    }
    if let (true, Some(first), Some(last)) =
        (c.gaps.len() > GAPS_LISTED, c.gaps.first(), c.gaps.last())
    {
        let _ = writeln!(
            text,
            "{instrument}: and {} more gaps; first missing id {}, last missing id {}",
            c.gaps.len() - GAPS_LISTED,
            first.first_missing,
            last.last_missing
        );
    }
}

/// A line for every specification, whether it has made bars or not.
fn describe_bars(text: &mut String, report: &JobReport) {
    let keys: BTreeSet<_> = report.bars.keys().chain(report.left.keys()).collect();
    for key in keys {
        let (instrument, spec) = key;
        let made = match report.bars.get(key).map(|lengths| &lengths.ticks) {
            Some(ticks) if !ticks.is_empty() => format!(
                "{}, median {} per bar (p10 {}, p90 {})",
                counted(ticks.len(), "bar"),
                counted(ticks.value_at_quantile(0.5), "tick"),
                grouped(ticks.value_at_quantile(0.1)),
                grouped(ticks.value_at_quantile(0.9))
            ),
            _ => "no bars".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{instrument} {spec}: {made}");
        if let Some(left) = report.left.get(key) {
            text.push_str(&still_open(left));
        }
        text.push('\n');
    }
}

/// What is left of a builder at the end.
fn still_open(left: &Unfinished) -> String {
    if left.open_ticks > 0 {
        format!("; 1 bar still open, {}", counted(left.open_ticks, "trade"))
    } else if left.warmup_left > 0 {
        format!("; the warm-up needs {}", counted(left.warmup_left, "more trade"))
    } else {
        String::new()
    }
}

/// Prints the summary of a replay on standard error.
pub fn print_replay(report: &JobReport) {
    say::report(&format!("{}{}", text(report), stopped_replay(report)));
}

/// Prints the summary of a live run on standard error.
pub fn print_live(report: &JobReport) {
    let mut text = text(report);
    if let Some(who) = &report.stopped_by {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "stopped by {who}");
    }
    say::report(&text);
}

/// Who stopped a replay, and how far it got.
fn stopped_replay(report: &JobReport) -> String {
    let Some(who) = &report.stopped_by else { return String::new() };
    let written = match report.sink {
        Some(_) => "everything read before is in the output",
        None => "not everything read before is in the output",
    };
    let mut text = format!("stopped by {who}; {written}\n");
    for (instrument, at) in &report.positions {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{instrument}: applied up to {}", line(&at.to_string()));
    }
    text
}

fn describe_revisions(text: &mut String, revised: &Totals) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "corrections: {} applied, {} without effect, {} refused; {} bars retracted, {} bars \
         replaced",
        grouped(revised.applied),
        grouped(revised.already_so),
        grouped(revised.refused),
        grouped(revised.retracted),
        grouped(revised.made)
    );
    if revised.applied > 0 {
        let at = |quantile| grouped(revised.recomputed.value_at_quantile(quantile));
        let (p50, p99) = (at(0.5), at(0.99));
        let _ = writeln!(text, "trades recomputed per correction: p50 {p50}, p99 {p99}");
    }
}

/// The days of the lowest scores.
fn describe_quality(text: &mut String, quality: &QualityDays) {
    let mut days: Vec<_> =
        quality.iter().filter_map(|(key, day)| Some((day.score()?, key, day))).collect();
    days.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (score, (instrument, day), counts) in days.iter().take(DAYS_LISTED) {
        let broken = match counts.broken() {
            broken if broken.is_empty() => broken,
            broken => format!(" ({broken})"),
        };
        let _ = writeln!(text, "quality: {instrument} {} {}{broken}", date(*day), shown(*score));
    }
    if days.len() > DAYS_LISTED {
        let more = counted((days.len() - DAYS_LISTED) as u64, "day");
        let _ = writeln!(text, "quality: {more} more with equal or higher scores");
    }
}

/// The most memory this process has held, as the kernel counts it.
fn peak_memory() -> String {
    let kib = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
}
