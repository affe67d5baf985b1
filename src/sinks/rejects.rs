//! Invalid rows, set aside where a person can look at them.

use std::path::Path;

use barflow_operators::input_batch::Reject;
use serde::Serialize;

use super::atomic_file::refused;
use super::json_lines::LineFile;
use super::limits::Limits;
use crate::graph::sink::SinkError;
use crate::printable::excerpt;
use crate::stop::Stop;

/// A file of rejected rows, written as they come, so that a crash loses none that was reported.
#[derive(Debug)]
pub struct Quarantine(LineFile);

#[derive(Serialize)]
struct Row<'a> {
    source: &'a str,
    line: u64,
    field: &'a str,
    value: &'a str,
    reason: &'a str,
    row: &'a str,
}

/// Bytes of a row or a value that are written down: enough to see what it is. Rows of files come cut to
/// 4096 bytes, with their length.
const LONGEST: usize = 4200;

impl Quarantine {
    /// Rejects will be added to `path`. The file is made at once, empty, so that a name that cannot be
    /// written is noticed before anything runs. What is in it stays; rows that a job sets aside after its
    /// last commit are in it twice. After `limits`, rows are only counted.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(path: &Path, limits: Limits, stop: &Stop) -> Result<Self, SinkError> {
        LineFile::open(path, limits, &stop.flag().into())
            .map(Self)
            .map_err(|e| refused("write", path, &e))
    }

    /// Sets one row aside.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&self, reject: &Reject) -> Result<(), SinkError> {
        let row = Row {
            source: &reject.source,
            line: reject.line,
            field: &reject.field,
            value: &excerpt(&reject.value, LONGEST),
            reason: &excerpt(&reject.reason, LONGEST),
            row: &excerpt(&reject.raw, LONGEST),
        };
        self.0.add(&row).map_err(|e| refused("write", self.path(), &e))
    }

    /// Where the rows are.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Rows that were counted and not written.
    pub fn left_out(&self) -> u64 {
        self.0.left_out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_are_cut_and_their_length_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.jsonl");
        let limits = Limits { rows: 2, bytes: 1 << 20 };
        let quarantine = Quarantine::open(&path, limits, &Stop::new()).unwrap();
        for raw in ["short".to_owned(), "ü".repeat(5000), "third".to_owned()] {
            let (source, field) = ("f.csv".into(), "price".to_owned());
            let (value, reason) = (raw.clone(), "bad".to_owned());
            quarantine.add(&Reject { row: 0, source, line: 1, field, value, reason, raw }).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let rows: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((rows.len(), quarantine.left_out()), (2, 1));
        assert_eq!(rows[0]["row"], "short");
        assert_eq!(rows[1]["row"], format!("{}… (10000 bytes)", "ü".repeat(2100)));
    }
}
