//! What a store holds: files by feed, and which of them make up a range of days.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use barflow_operators::batch::{Feed, InputKind};
use barflow_operators::instrument::InstrumentId;
use jiff::civil::Date;

use super::days::{count, day_of};
use super::layout;
use crate::error::ReplayError;
use crate::trades_parquet::facts::Facts;

/// All files of one feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Which feed.
    pub feed: Feed,
    /// Files that are in use, in the order of their days.
    pub files: Vec<Facts>,
    /// Files whose days are in a longer one: what a merge that was cut short left behind.
    pub covered: Vec<Facts>,
}

impl Series {
    /// First and last day.
    pub fn span(&self) -> Option<(Date, Date)> {
        Some((days(self.files.first()?)?.0, days(self.files.last()?)?.1))
    }

    /// Days within the span that no file covers, as ranges.
    pub fn missing(&self) -> Vec<(Date, Date)> {
        let held = self.files.iter().filter_map(days);
        let mut missing = Vec::new();
        let mut expected: Option<Date> = None;
        for (first, last) in held {
            if let Some(expected) = expected.filter(|expected| *expected < first) {
                missing.push((expected, first.yesterday().unwrap_or(first)));
            }
            expected = last.tomorrow().ok();
        }
        missing
    }

    /// How many days there are.
    pub fn day_count(&self) -> usize {
        self.files.iter().filter_map(days).map(|(first, last)| count(first, last)).sum()
    }
}

/// The days of a file; those of its trades where it does not say.
pub fn days(facts: &Facts) -> Option<(Date, Date)> {
    let edges = || Some((day_of(facts.first?.1), day_of(facts.last?.1)));
    facts.days.or_else(edges)
}

/// First and last day of the trades in a file, or those that it is for where they reach further: an archive's days
/// may be those of another time zone, and what lies outside of them is in its files all the same.
pub fn reach(facts: &Facts) -> Option<(Date, Date)> {
    let (first, last) = days(facts)?;
    let edges = [facts.first, facts.last].into_iter().flatten().map(|(_, time)| day_of(time));
    Some(edges.fold((first, last), |(first, last), day| (first.min(day), last.max(day))))
}

/// Reads the footers of all files of a store, by feed.
///
/// # Errors
/// When the folder is not a store, or a file in it is damaged.
pub fn read(store: &Path) -> Result<Vec<Series>, ReplayError> {
    let folder = store.join(layout::TRADES);
    let mut files = Vec::new();
    if folder.exists() {
        walk(&folder, DEEPEST, &mut files)?;
    } else if !store.join(layout::ARCHIVE).exists() {
        let text = format!("{} is not a trade store: it has no folder \"trades\"", store.display());
        return Err(ReplayError::NothingToRead(text));
    }
    files.sort();
    let facts: Result<Vec<_>, _> = files.iter().map(|path| at_its_place(store, path)).collect();
    Ok(arranged(facts?))
}

/// Reads a footer, which may say anything, and holds it against where the file lies: which files belong
/// together, which is used and which is removed follows from it.
///
/// # Errors
/// When it cannot be read, or says another place.
pub fn at_its_place(store: &Path, path: &Path) -> Result<Facts, ReplayError> {
    let facts = Facts::read(path)?;
    let place = match facts.days {
        Some((first, last)) => layout::file(store, &facts.feed, first, last),
        None => layout::folder(store, &facts.feed).join(path.file_name().unwrap_or_default()),
    };
    if place == path {
        return Ok(facts);
    }
    let what = "instrument, kind and days in its metadata";
    let (expected, found) = (path.display().to_string(), place.display().to_string());
    Err(ReplayError::corrupt(
        path,
        what,
        format!("those of {expected}"),
        format!("those of {found}"),
    ))
}

/// Files by feed.
pub fn arranged(files: impl IntoIterator<Item = Facts>) -> Vec<Series> {
    let mut of: BTreeMap<Feed, Vec<Facts>> = BTreeMap::new();
    for facts in files {
        of.entry(facts.feed.clone()).or_default().push(facts);
    }
    of.into_iter().map(|(feed, files)| arrange(feed, files)).collect()
}

/// The longer of two files that cover the same days is the one in use.
fn arrange(feed: Feed, mut files: Vec<Facts>) -> Series {
    let length = |facts: &Facts| days(facts).map_or(0, |(first, last)| count(first, last));
    files.sort_by_key(|facts| (std::cmp::Reverse(length(facts)), days(facts), facts.path.clone()));
    let mut used: Vec<Facts> = Vec::new();
    let mut covered = Vec::new();
    for file in files {
        let within = |other: &Facts| match (days(&file), days(other)) {
            (Some((a, b)), Some((first, last))) => first <= a && b <= last,
            _ => false,
        };
        if used.iter().any(within) { covered.push(file) } else { used.push(file) }
    }
    used.sort_by_key(|facts| (days(facts), facts.path.clone()));
    Series { feed, files: used, covered }
}

/// Folders between that of all trades and a file: there are three, and a link may lead back to one.
const DEEPEST: u32 = 8;

fn walk(folder: &Path, deeper: u32, found: &mut Vec<PathBuf>) -> Result<(), ReplayError> {
    let entries = fs::read_dir(folder).map_err(|e| ReplayError::io("list", folder, e))?;
    for entry in entries {
        let path = entry.map_err(|e| ReplayError::io("list", folder, e))?.path();
        if path.is_dir() {
            let Some(deeper) = deeper.checked_sub(1) else {
                let reason =
                    "it lies too deep for a folder of a store; does a symbolic link lead back?";
                return Err(ReplayError::layout(&path, reason));
            };
            walk(&path, deeper, found)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    Ok(())
}

/// What somebody wants of a store.
#[derive(Clone, Debug, Default)]
pub struct SeriesQuery {
    /// Which instrument; all if none.
    pub instrument: Option<InstrumentId>,
    /// Trades or aggregates; whichever there is if none.
    pub input: Option<InputKind>,
    /// First event time, ns.
    pub from: Option<i64>,
    /// First event time no longer wanted, ns.
    pub to: Option<i64>,
}

/// What there is of it.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Files, by instrument and day.
    pub files: Vec<PathBuf>,
    /// What is not there, in words.
    pub remarks: Vec<String>,
}

/// Selects files.
///
/// # Errors
/// When the store has nothing of what is wanted, or both kinds of it.
pub fn select(store: &Path, wanted: &SeriesQuery) -> Result<Selection, ReplayError> {
    let mut selection = Selection::default();
    let all = read(store)?;
    let is_wanted = |series: &&Series| {
        wanted.instrument.as_ref().is_none_or(|id| *id == series.feed.instrument)
            && wanted.input.is_none_or(|input| input == series.feed.input)
    };
    let mut before: Option<&Feed> = None;
    for series in all.iter().filter(is_wanted) {
        if let Some(other) = before.filter(|feed| feed.instrument == series.feed.instrument) {
            let text = format!(
                "{} contains {} and {} of {}; choose one with --kind",
                store.display(),
                layout::kind(other.input),
                layout::kind(series.feed.input),
                other.instrument
            );
            return Err(ReplayError::Mixed(text));
        }
        before = Some(&series.feed);
        select_of(series, wanted, &mut selection);
    }
    if selection.files.is_empty() {
        return Err(ReplayError::NothingToRead(nothing(store, wanted, &all)));
    }
    Ok(selection)
}

fn select_of(series: &Series, wanted: &SeriesQuery, selection: &mut Selection) {
    let from = wanted.from.map(day_of);
    // `to` itself is no longer wanted.
    let to = wanted.to.map(|to| day_of(to - 1));
    let touches = |(first, last): &(Date, Date)| {
        from.is_none_or(|from| *last >= from) && to.is_none_or(|to| *first <= to)
    };
    let instrument = &series.feed.instrument;
    for file in series.files.iter().filter(|facts| facts.rows > 0) {
        if reach(file).as_ref().is_none_or(touches) {
            selection.files.push(file.path.clone());
        }
    }
    for missing in series.missing().iter().filter(|missing| touches(missing)) {
        selection.remarks.push(format!("{instrument}: the store has no {}", range(missing)));
    }
    if let Some((first, last)) = series.span() {
        if let Some(from) = from.filter(|from| *from < first) {
            let lacks = range(&(from, first.yesterday().unwrap_or(first)));
            selection.remarks.push(format!("{instrument}: the store has no {lacks}"));
        }
        if let Some(to) = to.filter(|to| *to > last) {
            let lacks = range(&(last.tomorrow().unwrap_or(last), to));
            selection.remarks.push(format!("{instrument}: the store has no {lacks}"));
        }
    }
}

/// Days in words.
pub fn range((first, last): &(Date, Date)) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

fn nothing(store: &Path, wanted: &SeriesQuery, all: &[Series]) -> String {
    let there: Vec<String> = all
        .iter()
        .filter_map(|series| {
            let span = range(&series.span()?);
            Some(format!("{} {} {span}", series.feed.instrument, layout::kind(series.feed.input)))
        })
        .collect();
    let what = wanted.instrument.as_ref().map_or("trades".to_owned(), ToString::to_string);
    let there = if there.is_empty() { "nothing yet".to_owned() } else { there.join("; ") };
    format!("{} has no {what} in the requested range; it contains {there}", store.display())
}
