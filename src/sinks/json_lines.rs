//! Lines of JSON: one object a line.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use barflow_replay::files::{Access, json_line};
use barflow_replay::output::{Output, Writing, open_output};
use barflow_replay::progress::StopFlag;
use serde::Serialize;

use super::limits::{Admission, Limits, Meter};
use crate::thousands::grouped;

/// A file of lines that any thread adds to, up to a limit. Each line is one write: lines never mix, and
/// a crash loses none that was added.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: Mutex<Output>,
    meter: Meter,
}

impl LineFile {
    /// Opens or makes the file; lines are appended, not more than `limits` allows. A pipe is waited for
    /// until the flag is raised.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, limits: Limits, stop: &StopFlag) -> io::Result<Self> {
        let file = open_output(path, Access::Group, Writing::Append, stop)?;
        let (path, file) = (path.to_owned(), Mutex::new(file));
        Ok(Self { path, file, meter: Meter::new(limits) })
    }

    /// Adds a line if there is room for it, and says in the log when there is none any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&self, object: &impl Serialize) -> io::Result<()> {
        let (admission, line) = self.meter.admit(|| json_line(object))?;
        match admission {
            Admission::Written => {
                self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
            }
            Admission::Full => {
                let Limits { rows, bytes } = self.meter.limits();
                tracing::warn!(
                    "\"{}\" has reached the limit of one run ({} lines or {} bytes); further lines are \
                     only counted",
                    self.path.display(),
                    grouped(rows),
                    grouped(bytes)
                );
                Ok(())
            }
            Admission::Counted => Ok(()),
        }
    }

    /// Lines that were counted and not written.
    pub fn left_out(&self) -> u64 {
        self.meter.left_out()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
