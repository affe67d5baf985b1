//! Days of a store whose ids begin again: what a replay of it would stop at.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use barflow_operators::sequence::Objection;

use super::journal::Conversion;
use super::layout;
use super::series::{Series, arranged};
use crate::trades_parquet::facts::Facts;

/// A file whose ids begin again.
#[derive(Clone, Debug, PartialEq)]
pub struct IdReset {
    /// The file.
    pub path: PathBuf,
    /// Its first id.
    pub first: u64,
    /// What a replay says of its first row.
    pub why: Objection,
}

/// The files of a series whose ids do not follow those of the file before them, though their times do.
pub fn resets(series: &Series) -> Vec<IdReset> {
    let mut before = None;
    let mut found = Vec::new();
    for file in &series.files {
        let ends = before.zip(file.first);
        let why = ends.and_then(|(last, first)| Objection::to_following(last, first));
        if let (Some(why), Some((first, _))) = (why, file.first) {
            found.push(IdReset { path: file.path.clone(), first, why });
        }
        before = file.last.or(before);
    }
    found
}

/// The same for the instruments of these conversions. Files that cannot be read are left to those who
/// read them.
pub fn of_conversions<'a>(
    store: &Path,
    conversions: impl IntoIterator<Item = &'a Conversion>,
) -> Vec<IdReset> {
    let folders = conversions.into_iter();
    let mut folders: Vec<_> =
        folders.filter_map(|conversion| layout::folder_of(store, conversion)).collect();
    folders.sort();
    folders.dedup();
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let is_file = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "parquet");
    let paths = files.filter_map(|entry| Some(entry.ok()?.path())).filter(is_file);
    let facts = paths.filter_map(|path| Facts::read(&path).ok());
    arranged(facts).iter().flat_map(resets).collect()
}

impl fmt::Display for IdReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, first, why } = self;
        write!(f, "{}:1: field \"{}\": {why}: \"{first}\"", path.display(), why.field())
    }
}
