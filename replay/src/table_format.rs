//! Folders of Parquet files that are a table only together with a log: Delta Lake, Iceberg, Hudi.
//!
//! Files that were replaced or removed stay beside the current ones until somebody cleans up. Only the log, which is
//! not read here, says which of them are the table.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ReplayError;
use crate::spool;

/// Checks that no file lies in such a table, however it was named.
///
/// # Errors
/// When one does.
pub fn refuse(paths: &BTreeSet<PathBuf>) -> Result<(), ReplayError> {
    let mut looked_at = BTreeSet::new();
    let real = |path: &&PathBuf| path.as_os_str() != spool::STANDARD_INPUT;
    for path in paths.iter().filter(real) {
        // A folder that cannot be resolved fails where its file is opened.
        let Some(folder) = path.parent().and_then(|folder| {
            fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
                .ok()
        }) else {
            continue;
        };
        for folder in folder.ancestors() {
            if !looked_at.insert(folder.to_owned()) {
                break;
            }
            if let Some(kind) = kind(folder) {
                return Err(ReplayError::Mixed(format!(
                    "{} lies in a table of {kind} ({}): files that were replaced or removed lie beside the \
                     current ones, and only the table's log says which; export the table to plain Parquet, and \
                     read that",
                    path.display(),
                    folder.display()
                )));
            }
        }
    }
    Ok(())
}

/// Which kind of table a folder is, by where its log is.
fn kind(folder: &Path) -> Option<&'static str> {
    if folder.join("_delta_log").is_dir() {
        return Some("Delta Lake");
    }
    if folder.join(".hoodie").is_dir() {
        return Some("Hudi");
    }
    let is_log = |name: &str| name.ends_with(".metadata.json");
    let mut log = fs::read_dir(folder.join("metadata")).ok()?.flatten();
    log.any(|entry| entry.file_name().to_str().is_some_and(is_log)).then_some("Iceberg")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::find;
    use crate::progress::StopFlag;

    fn found(inputs: &[&Path]) -> Result<usize, String> {
        let inputs: Vec<String> = inputs.iter().map(|path| path.display().to_string()).collect();
        let found = find(&inputs, &StopFlag::default()).map_err(|error| error.to_string())?;
        Ok(found.paths.len())
    }

    #[test]
    fn files_of_a_table_are_refused_however_they_are_named() {
        for (log, kind) in [
            ("_delta_log/0.json", "Delta Lake"),
            ("metadata/v1.metadata.json", "Iceberg"),
            (".hoodie/hoodie.properties", "Hudi"),
        ] {
            let at = tempfile::tempdir().unwrap();
            let table = at.path().join("table");
            let day = table.join("day=1");
            fs::create_dir_all(&day).unwrap();
            fs::write(day.join("a.parquet"), "").unwrap();
            let inputs = [&table, &day, &day.join("a.parquet"), &day.join("*.parquet")];
            for input in inputs {
                assert_eq!(found(&[input]), Ok(1));
            }
            let log = table.join(log);
            fs::create_dir_all(log.parent().unwrap()).unwrap();
            fs::write(log, "{}").unwrap();
            for input in inputs.into_iter().chain([&at.path().to_owned()]) {
                let error = found(&[input]).unwrap_err();
                assert!(error.contains(kind) && error.contains("plain Parquet"), "{error}");
            }
        }
    }

    #[test]
    fn what_begins_with_an_underscore_is_hidden_unless_it_is_named() {
        let at = tempfile::tempdir().unwrap();
        let hidden = at.path().join("_temporary/0");
        for folder in [hidden.as_path(), &at.path().join("_day=1")] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("a.csv"), "").unwrap();
        }
        fs::write(at.path().join("_b.csv"), "").unwrap();
        assert_eq!(found(&[at.path()]), Ok(1));
        assert_eq!(found(&[&at.path().join("**/*.csv")]), Ok(1));
        assert_eq!(found(&[&at.path().join("_b.csv")]), Ok(1));
        assert_eq!(found(&[&hidden]), Ok(1));
        assert_eq!(found(&[&hidden.join("*.csv")]), Ok(1));
        let error = found(&[&at.path().join("_t*/*/*.csv")]).unwrap_err();
        assert!(error.contains("a.csv (its name or folder begins with _"), "{error}");
    }
}
