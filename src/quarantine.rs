//! Rows that are no lawful trades, set aside where a person can look at them.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use barflow_operators::intake::Reject;
use serde::Serialize;

use crate::graph::sink::SinkError;
use crate::sinks::atomic_file::refused;

/// A JSON-lines file of rejects. Written as they come, so that a crash loses none that was
/// reported; created only when the first one comes.
#[derive(Debug)]
pub struct Quarantine {
    path: PathBuf,
    open: Mutex<Option<BufWriter<File>>>,
}

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
    /// Rejects will go into `path`. The file is made at once, empty, so that a name that cannot be
    /// written is noticed before anything runs. A run that `goes_on` adds to it; rows set aside
    /// after its last commit then stand there twice.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(path: &Path, goes_on: bool) -> Result<Self, SinkError> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .append(goes_on)
            .truncate(!goes_on)
            .open(path)
            .map_err(|e| refused("write", path, &e))?;
        Ok(Self { path: path.to_owned(), open: Mutex::new(Some(BufWriter::new(file))) })
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
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(out) = open.as_mut() else { return Ok(()) };
        serde_json::to_writer(&mut *out, &row)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .map_err(|e| refused("write", &self.path, &e))
    }

    /// Where the rows are.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
