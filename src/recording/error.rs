//! What can be wrong with a recording.

use std::io;
use std::path::{Path, PathBuf};

/// An error of reading or writing a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system refused.
    #[error("could not {action} \"{}\": {source}", path.display())]
    Io {
        /// What was tried: "open", "read", "write", …
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line that is not a frame. Reading can continue after it.
    #[error("\"{}\", line {line}: {what}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing after this point can be read.
    #[error("\"{}\", after line {line}: {what}", path.display())]
    Broken {
        /// Which file.
        path: PathBuf,
        /// The last line that could be read; 0 when there was none.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// No recording, or none that can be read here.
    #[error("\"{}\" {what}", path.display())]
    NoRecording {
        /// Which file.
        path: PathBuf,
        /// Why, said of the file: "is empty", …
        what: String,
    },
    /// The end was asked for.
    #[error("stopped")]
    Stopped,
    /// A file could not be named as asked.
    #[error("a recording cannot be named \"{name}\": {why}")]
    Name {
        /// What was asked for.
        name: String,
        /// Why not.
        why: &'static str,
    },
}

impl RecordingError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn line(path: &Path, line: u64, what: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, what: what.into() }
    }

    pub(super) fn broken(path: &Path, line: u64, what: impl Into<String>) -> Self {
        Self::Broken { path: path.to_owned(), line, what: what.into() }
    }

    pub(super) fn no_recording(path: &Path, what: impl Into<String>) -> Self {
        Self::NoRecording { path: path.to_owned(), what: what.into() }
    }
}

impl From<RecordingError> for io::Error {
    /// Keeps the kind, so that a full disk is still distinguished from a missing folder.
    fn from(error: RecordingError) -> Self {
        let kind = match &error {
            RecordingError::Io { source, .. } => source.kind(),
            RecordingError::Name { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// The beginning of a line, fit for a message.
pub(super) fn excerpt(line: &[u8]) -> String {
    const SHOWN: usize = 60;
    let head = &line[..line.len().min(SHOWN)];
    let dots = if line.len() > SHOWN { "…" } else { "" };
    format!("\"{}{dots}\"", String::from_utf8_lossy(head).escape_debug())
}
