//! What a store says of its files: `manifest.jsonl`, one line per event of a file, and
//! `conversions.jsonl`, which archives became which trades.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barflow_replay::checksum::published_sum;
use barflow_replay::error::ReplayError;
use barflow_replay::files::Lines;
use barflow_replay::store::journal::{Journal, Known};
use barflow_replay::trades_parquet::facts::Facts;
use serde_json::Value;

/// What was written down of a file; the last line that says it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// Rows.
    pub rows: Option<u64>,
}

/// A store's files, by path as written in the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    root: PathBuf,
    files: BTreeMap<PathBuf, Recorded>,
    conversions: Known,
}

impl Manifest {
    /// Reads both. A store without a manifest has an empty one; lines and keys of it that are not
    /// understood say nothing (an append that was cut short leaves such a line).
    ///
    /// # Errors
    /// When one is there and cannot be read, or the journal of conversions is damaged.
    pub fn of_store(store: &Path) -> Result<Self, ReplayError> {
        let path = store.join("manifest.jsonl");
        let disk = |e| ReplayError::io("read", &path, e);
        let mut files: BTreeMap<PathBuf, Recorded> = BTreeMap::new();
        let mut lines = Lines::of(&path).map_err(disk)?;
        while let Some(lines) = &mut lines
            && let Some(line) = lines.next_line().map_err(disk)?
        {
            let Ok(Value::Object(line)) = serde_json::from_slice(line.text) else { continue };
            let Some(path) = line.get("path").and_then(Value::as_str) else { continue };
            let file = files.entry(path.into()).or_default();
            if let Some(sum) = line.get("sha256").and_then(Value::as_str) {
                file.sha256 = Some(sum.to_ascii_lowercase());
            }
            let rows = line.get("source_rows").or_else(|| line.get("rows"));
            if let Some(rows) = rows.and_then(Value::as_u64) {
                file.rows = Some(rows);
            }
        }
        Ok(Self { root: store.to_owned(), files, conversions: Journal::read(store)? })
    }

    /// What is recorded of a file: its path is written absolute or from the store's root on.
    pub fn get(&self, path: &Path) -> Option<&Recorded> {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        self.files.get(inside).or_else(|| self.files.get(path))
    }

    /// Rows of an archive: as listed, or as counted when it was converted, by its checksum.
    pub fn rows(&self, archive: &Path) -> Option<u64> {
        let listed = self.get(archive);
        listed.and_then(|file| file.rows).or_else(|| {
            let published = || published_sum(archive).ok().flatten().map(|(_, sum)| sum);
            let sha256 = listed.and_then(|file| file.sha256.clone()).or_else(published)?;
            Some(self.conversions.find(&sha256)?.source_rows)
        })
    }

    /// Holds a file of trades against what was noted when it was made.
    ///
    /// # Errors
    /// When rows are missing, or too many.
    pub fn agrees(&self, trades: &Path) -> Result<(), ReplayError> {
        self.conversions.agrees(&Facts::read(trades)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_line_counts_and_what_is_not_understood_says_nothing() {
        let store = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::of_store(store.path()).unwrap().get(Path::new("a")), None);
        let text = "{\"path\":\"archive/a.zip\",\"sha256\":\"AA\",\"state\":\"fetched\"}\nnonsense\n\
                    {\"path\":\"archive/a.zip\",\"sha256\":\"bb\",\"rows\":7}\n{\"path\":\"ar";
        fs::write(store.path().join("manifest.jsonl"), text).unwrap();
        let manifest = Manifest::of_store(store.path()).unwrap();
        let recorded = manifest.get(&store.path().join("archive/a.zip")).unwrap();
        assert_eq!(*recorded, Recorded { sha256: Some("bb".into()), rows: Some(7) });
    }
}
