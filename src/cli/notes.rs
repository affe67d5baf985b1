//! What is worth knowing about a run, as lines of its summary.

use std::fmt::Write as _;

use barflow_replay::plan_note::PlanNote;

use super::parallel;
use super::say::say;
use crate::feeds::session::FeedReport;
use crate::job::report::QuarantineReport;
use crate::job::{JobReport, Notice};
use crate::thousands::grouped;

/// Prints what is worth knowing about a plan, for commands without a summary of a run.
pub(super) fn print(notes: &[PlanNote]) {
    for note in notes {
        say!("note: {note}");
    }
}

/// All notes of a run, in the order in which they are printed.
pub(super) fn notes(report: &JobReport) -> Vec<String> {
    let mut notes: Vec<String> = report.notices.iter().map(notice).collect();
    if report.notices.iter().any(|notice| matches!(notice, Notice::Resumed { .. })) {
        notes.push("--reset-state starts from the beginning".to_owned());
    }
    if report.notices.iter().any(|notice| matches!(notice, Notice::LateStart { .. })) {
        let text = "`barflow sync-report` measures how much history is needed before --from";
        notes.push(text.to_owned());
    }
    notes.extend(report.parallel.iter().flat_map(parallel::remarks));
    notes.extend(report.feeds.iter().map(|(name, of)| feed(name, of)));
    notes.extend(report.latency.table().lines().map(str::to_owned));
    notes.extend(report.daily.iter().map(|path| format!("daily totals are in {}", path.display())));
    notes.extend(report.trades.iter().map(|path| format!("trades are in {}", path.display())));
    if let (Some(quarantine), true) = (&report.quarantine, report.set_aside() > 0) {
        notes.push(bad_rows(quarantine));
    }
    match &report.recorded {
        Some(Ok(files)) => {
            notes.extend(files.iter().map(|file| format!("frames are in {}", file.display())));
        }
        Some(Err(error)) => notes.push(format!("the recording is incomplete: {error}")),
        None => {}
    }
    notes
}

fn bad_rows(quarantine: &QuarantineReport) -> String {
    let mut text = format!("bad rows are in {}", quarantine.path.display());
    if quarantine.left_out > 0 {
        let left_out = grouped(quarantine.left_out);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "; {left_out} more had no room there (--quarantine-max-rows, --quarantine-max-size)"
        );
    }
    text
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::TickRule { instrument, specs } => format!(
            "{instrument}: the source has no aggressor; sign = aggressor uses the tick rule for {}",
            specs.join(", ")
        ),
        Notice::NoBars(instrument) => format!("{instrument}: no bars are configured for it"),
        Notice::Plan(note) => note.to_string(),
        Notice::Recording(note) => note.to_string(),
        Notice::Resumed { instrument, position: at } => {
            format!("{instrument}: resuming after {at}")
        }
        Notice::LateStart { spec, equal_after: Some(trades) } => format!(
            "{spec}: started at --from; expected to equal the bars of a longer history after \
             about {} trades",
            grouped(*trades)
        ),
        Notice::LateStart { spec, equal_after: None } => format!(
            "{spec}: started at --from and does not converge: its bars differ from those of a \
             longer history"
        ),
        Notice::Replaces(path) => format!("{} of an earlier run is replaced", path.display()),
        Notice::NothingInRange => "no trade lies between --from and --to".to_owned(),
        Notice::Doubt(doubt) => doubt.to_string(),
        Notice::NoTrades => "no trade came, so there are no bars".to_owned(),
        Notice::OnePass { threads } => parallel::one_pass(*threads),
    }
}

fn feed(name: &str, report: &FeedReport) -> String {
    let mut text = format!("feed {name}");
    for line in report.lines() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {line}");
    }
    text
}
