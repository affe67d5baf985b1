//! The report as text for a terminal.

use std::fmt::Write as _;

use super::judged::Judged;
use super::report::{Report, broken, date, lines, passes, said, shown};
use crate::printable;
use crate::thousands::{counted, grouped};

/// The whole report; the `days` worst days are listed.
pub fn text(report: &Report, days: usize) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for damaged in &report.unopened {
        let _ = writeln!(text, "DAMAGED: {}", printable::line(&damaged.error));
    }
    for judged in &report.instruments {
        instrument(&mut text, judged, report);
    }
    let worst = report.worst_days();
    let below = worst.iter().filter(|(_, _, score)| *score < 1.0).count();
    let _ = writeln!(text, "data quality score: {below} of {} days below 1", worst.len());
    let width = worst.iter().take(days).map(|(judged, _, _)| judged.name().len()).max();
    let width = width.unwrap_or_default();
    for (judged, day, score) in worst.iter().take(days) {
        let mut line = format!(
            "  {:width$} {} {} {:>12} trades",
            judged.name(),
            date(day.day),
            shown(*score),
            grouped(day.trades),
        );
        let broken = broken(day, &report.suite);
        if !broken.is_empty() {
            let _ = write!(line, "  {broken}");
        }
        let _ = writeln!(text, "{line}");
    }
    if worst.len() > days {
        let _ =
            writeln!(text, "  and {} more (--days N)", counted((worst.len() - days) as u64, "day"));
    }
    text
}

fn instrument(text: &mut String, judged: &Judged, report: &Report) {
    let trades: u64 = judged.days.iter().map(|day| day.trades).sum();
    let verdict = if passes(judged, &report.suite) { "passes" } else { "does NOT pass" };
    let s = |n: usize| if n == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "{}: {verdict}; {} trades, {} day{}, {} file{}",
        judged.name(),
        grouped(trades),
        judged.days.len(),
        s(judged.days.len()),
        judged.files,
        s(judged.files)
    );
    for damaged in &judged.damaged {
        let _ = writeln!(text, "  DAMAGED: {}", printable::line(&damaged.error));
    }
    let _ = writeln!(
        text,
        "  {:<18} {:<10} {:>6} {:>14} {:>10}  {:<14}  first example",
        "expectation", "severity", "days", "rows", "offenders", "verdict"
    );
    for line in lines(judged, &report.suite) {
        let example = line.examples.first();
        let example = example.map(|(day, example)| format!("{} {}", date(*day), said(example)));
        let row = format!(
            "  {:<18} {:<10} {:>6} {:>14} {:>10}  {:<14}  {}",
            line.check.as_str(),
            line.severity.as_str(),
            line.days,
            grouped(line.rows),
            grouped(line.offenders),
            line.verdict().as_str(),
            example.unwrap_or_default()
        );
        let _ = writeln!(text, "{}", printable::line(row.trim_end()));
    }
    text.push('\n');
}
