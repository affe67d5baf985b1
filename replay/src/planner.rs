//! From what the user names to a plan: finds files, recognises and orders them.

use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::instrument::InstrumentId;

use crate::error::ReplayError;
use crate::find::{Found, find};
use crate::history;
use crate::named::Renames;
use crate::plan::{InstrumentPlan, Plan, PlanOptions};
use crate::plan_note::PlanNote;
use crate::recognise::recognise;
use crate::told::one_symbol;
use crate::unchanged;

/// Finds, recognises and orders files.
///
/// # Errors
/// The first input that is missing, empty, unreadable or unknown, and files that cannot be one
/// history.
pub fn plan(inputs: &[String], options: &PlanOptions) -> Result<Plan, ReplayError> {
    let mut histories: BTreeMap<InstrumentId, InstrumentPlan> = BTreeMap::new();
    let Found { paths, mut notes } = find(inputs, &options.stop)?;
    for path in paths {
        let recognised = recognise(&path, options)?;
        for note in recognised.notes {
            // Many files of one instrument say the same.
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        let Some((feed, file)) = recognised.trades else { continue };
        let history = histories
            .entry(feed.instrument.clone())
            .or_insert_with(|| InstrumentPlan { feed: Arc::new(feed.clone()), files: Vec::new() });
        let before = history.files.iter().find_map(|file| Some((&*file.path, file.of_futures()?)));
        if let (Some(before), Some(here)) = (before, file.of_futures())
            && options.renames == Renames::Nothing
        {
            unchanged::market(&feed.instrument, before, (&*path, here))?;
        }
        if *history.feed != feed {
            let other = history.files.first().map(|file| file.path.display().to_string());
            return Err(ReplayError::Mixed(format!(
                "{} contains {} and {} contains {} of {}: they are not one history; \
                 replay them separately",
                path.display(),
                describe(&feed),
                other.unwrap_or_default(),
                describe(&history.feed),
                feed.instrument
            )));
        }
        history.files.push(file);
    }
    if histories.is_empty() {
        let is_empty = |note: &&PlanNote| matches!(note, PlanNote::NoTrades(_));
        if let Some(note) = notes.iter().find(is_empty) {
            return Err(ReplayError::NothingToRead(format!("no trades: {note}")));
        }
        let text = "no file contains trades in the requested time range".to_owned();
        return Err(ReplayError::NothingToRead(text));
    }
    let mut instruments: Vec<_> = histories.into_values().collect();
    for instrument in &mut instruments {
        let paths = instrument.files.iter().map(|file| &*file.path);
        one_symbol(paths, options.unrenamed())?;
        let instrument_id = &instrument.feed.instrument;
        unchanged::rows_say_one_market(instrument_id, &instrument.files, &options.renames)?;
        notes.extend(history::arrange(instrument, &options.stop)?);
    }
    Ok(Plan { instruments, notes: gathered(notes) })
}

/// Notes of one kind about several files are one line.
pub fn gathered(notes: Vec<PlanNote>) -> Vec<PlanNote> {
    let (mut empty, mut open, mut unsealed) = (Vec::new(), Vec::new(), Vec::new());
    let mut outside = Vec::new();
    let mut gathered = Vec::new();
    for note in notes {
        match note {
            PlanNote::NoTrades(files) => empty.extend(files),
            PlanNote::NoLineEnd(files) => open.extend(files),
            PlanNote::Unsealed(files) => unsealed.extend(files),
            PlanNote::OutOfRange(files) => outside.extend(files),
            note => gathered.push(note),
        }
    }
    if !outside.is_empty() {
        gathered.push(PlanNote::OutOfRange(outside));
    }
    if !unsealed.is_empty() {
        gathered.push(PlanNote::Unsealed(unsealed));
    }
    if !open.is_empty() {
        gathered.push(PlanNote::NoLineEnd(open));
    }
    if !empty.is_empty() {
        gathered.push(PlanNote::NoTrades(empty));
    }
    gathered
}

fn describe(feed: &Feed) -> String {
    let word = |has| if has { "with" } else { "without" };
    let (ids, side) = (word(feed.ids != IdKind::Ordinal), word(feed.has_aggressor));
    format!("{} {ids} ids and {side} aggressor side", feed.input.as_str())
}
