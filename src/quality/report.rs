//! What a run came to, summed up for people and programs.

use barflow_operators::quality::day::{DayReport, Example};
use barflow_operators::quality::suite::{Check, Severity, Suite};
use jiff::civil::Date;

use super::inputs::Damaged;
use super::judged::Judged;

/// Everything that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was expected.
    pub suite: Suite,
    /// By instrument.
    pub instruments: Vec<Judged>,
    /// Files that could not even be opened, of whichever instrument.
    pub unopened: Vec<Damaged>,
}

/// The verdict on an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No row offends.
    Met,
    /// Rows offend, which is only worth knowing.
    Warned,
    /// Rows offend, and the data does not pass.
    Broken,
    /// Nothing could be judged.
    NotApplicable,
}

impl Verdict {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "ok",
            Self::Warned => "warn",
            Self::Broken => "broken",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// One expectation over all days of an instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// Which.
    pub check: Check,
    /// How much it matters.
    pub severity: Severity,
    /// Days on which it could be judged.
    pub days: u64,
    /// Days with offenders.
    pub days_broken: u64,
    /// Rows (hours, files) that were judged.
    pub rows: u64,
    /// Those that offend.
    pub offenders: u64,
    /// The first offenders, with their days.
    pub examples: Vec<(i32, &'a Example)>,
}

impl Line<'_> {
    /// Its verdict.
    pub fn verdict(&self) -> Verdict {
        match (self.rows, self.offenders, self.severity) {
            (0, 0, _) => Verdict::NotApplicable,
            (_, 0, _) => Verdict::Met,
            (_, _, Severity::Warn) => Verdict::Warned,
            _ => Verdict::Broken,
        }
    }
}

/// Examples of an expectation kept over all days of an instrument.
const EXAMPLES: usize = 5;

/// All expectations of an instrument, in the suite's order.
pub fn lines<'a>(judged: &'a Judged, suite: &Suite) -> Vec<Line<'a>> {
    let of = |check: Check, severity: Severity| {
        let (days, days_broken, rows, offenders) = (0, 0, 0, 0);
        let examples = Vec::new();
        let mut line = Line { check, severity, days, days_broken, rows, offenders, examples };
        for report in &judged.days {
            let count = report.counts.get(check);
            line.days += u64::from(count.rows > 0);
            line.days_broken += u64::from(count.offenders > 0);
            line.rows += count.rows;
            line.offenders += count.offenders;
            let room = EXAMPLES - line.examples.len();
            line.examples.extend(count.examples.iter().take(room).map(|e| (report.day, e)));
        }
        line
    };
    suite.expectations().iter().map(|e| of(e.kind.check(), e.severity)).collect()
}

impl Report {
    /// Whether no expectation is broken that matters more than a warning, and no file is damaged.
    pub fn passes(&self) -> bool {
        self.unopened.is_empty()
            && self.instruments.iter().all(|judged| passes(judged, &self.suite))
    }

    /// All damaged files.
    pub fn damaged(&self) -> impl Iterator<Item = &Damaged> {
        self.unopened.iter().chain(self.instruments.iter().flat_map(|judged| &judged.damaged))
    }

    /// Scores of all days of all instruments, the worst first; days that nothing could be judged on
    /// are left out.
    pub fn worst_days(&self) -> Vec<(&Judged, &DayReport, f64)> {
        let mut days: Vec<_> = (self.instruments.iter())
            .flat_map(|judged| judged.days.iter().map(move |day| (judged, day)))
            .filter_map(|(judged, day)| Some((judged, day, day.score(&self.suite)?)))
            .collect();
        // Stable: instruments and days stay in order where scores are equal.
        days.sort_by(|a, b| a.2.total_cmp(&b.2));
        days
    }
}

/// Whether an instrument passes.
pub fn passes(judged: &Judged, suite: &Suite) -> bool {
    let broken = |line: &Line<'_>| line.verdict() == Verdict::Broken;
    judged.damaged.is_empty() && !lines(judged, suite).iter().any(broken)
}

/// A score with four decimals; `1.0000` only where nothing offends.
pub fn shown(score: f64) -> String {
    let most = if score < 1.0 { 0.9999 } else { 1.0 };
    format!("{:.4}", score.min(most))
}

/// `2024-03-01`.
pub fn date(day: i32) -> Date {
    let epoch = Date::constant(1970, 1, 1);
    // Event times are i64 ns, whose days all exist.
    epoch.checked_add(jiff::Span::new().days(day)).unwrap_or(epoch)
}

/// An offender without its place: id, value.
pub fn without_place(example: &Example) -> String {
    match example.trade_id {
        Some(id) => format!("trade {id}: {}", example.value),
        None => example.value.clone(),
    }
}

/// An offender in one line: id, place, value.
pub fn said(example: &Example) -> String {
    match &example.place {
        Some(place) => format!("{} ({place})", without_place(example)),
        None => without_place(example),
    }
}

/// Broken expectations of a day with their offenders: `no_id_gaps 2, no_silence 1`.
pub fn broken(report: &DayReport, suite: &Suite) -> String {
    let found = report.findings(suite).filter(|(_, _, count)| count.offenders > 0);
    let found = found.map(|(check, _, count)| format!("{check} {}", count.offenders));
    found.collect::<Vec<_>>().join(", ")
}
