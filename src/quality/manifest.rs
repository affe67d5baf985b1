//! What a store says of its files: `manifest.jsonl`, one line per event of a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
}

impl Manifest {
    /// Reads `DIR/manifest.jsonl`. A store without one has an empty manifest; lines and keys that
    /// are not understood say nothing (an append that was cut short leaves such a line).
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn of_store(store: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(store.join("manifest.jsonl")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut files: BTreeMap<PathBuf, Recorded> = BTreeMap::new();
        for line in text.lines() {
            let Ok(Value::Object(line)) = serde_json::from_str(line) else { continue };
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
        Ok(Self { root: store.to_owned(), files })
    }

    /// What is recorded of a file: its path is written absolute or from the store's root on.
    pub fn get(&self, path: &Path) -> Option<&Recorded> {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        self.files.get(inside).or_else(|| self.files.get(path))
    }
}

/// Where a store keeps what is to be judged: its trades as Parquet, or else the archives.
pub fn inputs(store: &Path) -> String {
    let trades = store.join("trades");
    let pattern = format!("{}/**/*.parquet", glob::Pattern::escape(&trades.to_string_lossy()));
    let converted = glob::glob(&pattern).is_ok_and(|mut found| found.any(|path| path.is_ok()));
    let folder = if converted { trades } else { store.join("archive") };
    // A folder of files that is no store is judged as it is.
    let folder = if folder.exists() { folder } else { store.to_owned() };
    folder.display().to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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

    #[test]
    fn parquet_comes_before_archives() {
        let store = tempfile::tempdir().unwrap();
        let root = store.path().display().to_string();
        assert_eq!(inputs(store.path()), root);
        fs::create_dir_all(store.path().join("archive")).unwrap();
        assert_eq!(inputs(store.path()), format!("{root}/archive"));
        fs::create_dir_all(store.path().join("trades/x")).unwrap();
        fs::write(store.path().join("trades/x/a.parquet"), "").unwrap();
        assert_eq!(inputs(store.path()), format!("{root}/trades"));
    }
}
