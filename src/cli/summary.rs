//! What a run came to, for a person, on standard error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use barflow_operators::dataflow::ledger::FactKind;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::sequence::Gap;

use crate::graph::quality::QualityDays;
use crate::graph::revised::Totals;
use crate::graph::sink::SinkReport;
use crate::graph::tally::Tally;
use crate::graph::workers::Workers;
use crate::quality::report::{date, shown};

/// Gaps listed one by one per instrument; all are counted.
const GAPS_LISTED: usize = 5;

/// Days listed with their scores, the worst first.
const DAYS_LISTED: usize = 10;

/// Everything the summary tells.
pub struct Summary<'a> {
    /// Files of the plan.
    pub files: usize,
    /// What was counted.
    pub tally: &'a Tally,
    /// What the sink says, if it came to its end.
    pub report: Option<&'a SinkReport>,
    /// How long it took.
    pub elapsed: Duration,
    /// Where it stopped, if it was stopped.
    pub stopped: Option<String>,
    /// What corrections came to, if the past can be corrected.
    pub revised: Option<Totals>,
    /// How expectations stand, if there are any.
    pub quality: Option<QualityDays>,
    /// Which process of which this is.
    pub workers: &'a Workers,
    /// Remarks, such as a fallback to the tick rule.
    pub remarks: &'a [String],
}

#[derive(Default)]
struct Counts {
    trades: u64,
    duplicates: u64,
    reordered: u64,
    time_reversals: u64,
    rejected: u64,
    gaps: Vec<Gap>,
}

impl Summary<'_> {
    /// The text.
    pub fn text(&self) -> String {
        let counts = self.counts();
        let trades: u64 = counts.values().map(|c| c.trades).sum();
        let rejected: u64 = counts.values().map(|c| c.rejected).sum();
        let duplicates: u64 = counts.values().map(|c| c.duplicates).sum();
        let gaps: usize = counts.values().map(|c| c.gaps.len()).sum();
        let missing: u64 = counts.values().flat_map(|c| &c.gaps).map(Gap::len).sum();
        let seconds = self.elapsed.as_secs_f64();
        let mut text = String::new();
        // Writing to a String cannot fail.
        if self.workers.share().is_part() {
            let (process, processes) = (self.workers.process(), self.workers.processes());
            let _ = writeln!(
                text,
                "process {process} of {processes} (counted from 0); what follows is of the \
                 instruments that fall to it"
            );
        }
        let _ = writeln!(
            text,
            "{} files, {} trades in {seconds:.2} s ({} trades/s), peak memory {}",
            self.files,
            grouped(trades),
            grouped((trades as f64 / seconds.max(1e-9)) as u64),
            peak_memory()
        );
        let _ = writeln!(
            text,
            "duplicates {}, gaps {gaps} ({} ids missing), quarantined {}",
            grouped(duplicates),
            grouped(missing),
            grouped(rejected)
        );
        for (instrument, c) in &counts {
            self.describe_input(&mut text, instrument, c);
        }
        for ((instrument, spec), lengths) in self.tally.lengths() {
            let ticks = &lengths.ticks;
            let _ = writeln!(
                text,
                "{instrument} {spec}: {} bars, median {} ticks per bar (p10 {}, p90 {})",
                grouped(ticks.len()),
                grouped(ticks.value_at_quantile(0.5)),
                grouped(ticks.value_at_quantile(0.1)),
                grouped(ticks.value_at_quantile(0.9))
            );
        }
        for ((instrument, spec), joined) in self.tally.joined() {
            let _ = writeln!(text, "{instrument} {spec}: {joined}");
        }
        if let Some(revised) = &self.revised {
            describe_revisions(&mut text, revised);
        }
        if let Some(quality) = &self.quality {
            describe_quality(&mut text, quality);
        }
        for remark in self.remarks {
            let _ = writeln!(text, "note: {remark}");
        }
        if let Some(report) = self.report {
            for place in &report.places {
                let _ = writeln!(text, "bars are in {place}");
            }
        }
        if let Some(stopped) = &self.stopped {
            let _ = writeln!(text, "{stopped}");
        }
        text
    }

    fn describe_input(&self, text: &mut String, instrument: &InstrumentId, c: &Counts) {
        if c.duplicates + c.reordered + c.time_reversals + c.rejected == 0 && c.gaps.is_empty() {
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

    fn counts(&self) -> BTreeMap<InstrumentId, Counts> {
        let mut counts: BTreeMap<InstrumentId, Counts> = BTreeMap::new();
        for (fact, n) in self.tally.totals() {
            let n = n.max(0) as u64;
            let c = counts.entry(fact.instrument).or_default();
            match fact.kind {
                FactKind::Trades => c.trades += n,
                FactKind::Duplicates => c.duplicates += n,
                FactKind::Reordered => c.reordered += n,
                FactKind::TimeReversals => c.time_reversals += n,
                FactKind::Rejected => c.rejected += n,
                FactKind::Gap(gap) => c.gaps.extend(std::iter::repeat_n(gap, n as usize)),
                FactKind::Corrected
                | FactKind::AlreadySo
                | FactKind::CorrectionsRefused
                | FactKind::Bars(_) => {}
            }
        }
        counts
    }
}

fn describe_revisions(text: &mut String, revised: &Totals) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "corrections: {} applied, {} already so, {} refused; {} bars no longer stand, {} take their \
         place",
        grouped(revised.applied),
        grouped(revised.already_so),
        grouped(revised.refused),
        grouped(revised.retracted),
        grouped(revised.made)
    );
    if revised.applied > 0 {
        let at = |quantile| grouped(revised.recomputed.value_at_quantile(quantile));
        let (p50, p99) = (at(0.5), at(0.99));
        let _ = writeln!(text, "trades fed again per correction: p50 {p50}, p99 {p99}");
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
        let more = days.len() - DAYS_LISTED;
        let _ = writeln!(text, "quality: and {more} days more, none of a lower score");
    }
}

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The most memory this process has held, as the kernel counts it.
fn peak_memory() -> String {
    let kib = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
