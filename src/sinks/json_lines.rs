//! Lines of JSON: one object a line.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use barflow_replay::atomic_file::Access;
use serde::Serialize;

/// Writes an object and the end of its line.
///
/// # Errors
/// When the writer refuses.
pub fn write_line(out: &mut impl Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}

/// A file of lines that any thread adds to. Each line is one write: lines never mix, and a crash loses
/// none that was added.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LineFile {
    /// Opens or makes the file; lines are appended.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = Access::Group.open_options();
        options.create(true).append(true);
        Ok(Self { path: path.to_owned(), file: Mutex::new(options.open(path)?) })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&self, object: &impl Serialize) -> io::Result<()> {
        let mut line = Vec::new();
        write_line(&mut line, object)?;
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
