//! Invalid rows, set aside where a person can look at them.

use std::path::Path;

use barflow_operators::input_batch::Reject;
use serde::Serialize;

use super::atomic_file::refused;
use super::json_lines::LineFile;
use crate::graph::sink::SinkError;

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

impl Quarantine {
    /// Rejects will be added to `path`. The file is made at once, empty, so that a name that cannot be
    /// written is noticed before anything runs. What is in it stays; rows that a job sets aside after its
    /// last commit are in it twice.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        LineFile::open(path).map(Self).map_err(|e| refused("write", path, &e))
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
            value: &reject.value,
            reason: &reject.reason,
            row: &reject.raw,
        };
        self.0.add(&row).map_err(|e| refused("write", self.path(), &e))
    }

    /// Where the rows are.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
