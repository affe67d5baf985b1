//! Files that appear under their name whole, or not at all; see [`barflow_replay::atomic_file`].

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use barflow_replay::atomic_file;

use crate::graph::sink::SinkError;

/// A file being written beside its final name.
#[derive(Debug)]
pub struct AtomicFile(atomic_file::AtomicFile);

impl AtomicFile {
    /// Creates the unfinished file, and the folder it lies in.
    ///
    /// # Errors
    /// When either cannot be made.
    pub fn create(path: &Path) -> Result<(Self, File), SinkError> {
        let created = atomic_file::AtomicFile::create(path);
        let (atomic, file) = created.map_err(|e| refused("write", path, &e))?;
        Ok((Self(atomic), file))
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes the content durable and gives it its name.
    ///
    /// # Errors
    /// When the disk refuses; the final name is then as it was before.
    pub fn commit(self, file: &File) -> Result<PathBuf, SinkError> {
        let path = self.path().to_owned();
        self.0.commit(file).map_err(|e| refused("write", &path, &e))
    }
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// When the disk refuses; the file is then as it was before.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), SinkError> {
    atomic_file::write(path, bytes).map_err(|e| refused("write", path, &e))
}

/// Removes the files of an earlier run from a folder, before those of this one get their names: whatever
/// happens between, the folder holds no mixture of the two. One file that becomes another is replaced
/// at once.
///
/// # Errors
/// When the disk refuses to remove this one.
pub fn remove_replaced<'a>(
    earlier: &[PathBuf],
    mut new: impl ExactSizeIterator<Item = &'a Path>,
) -> Result<(), (PathBuf, io::Error)> {
    let only = if new.len() == 1 { new.next() } else { None };
    for path in earlier.iter().filter(|path| only != Some(path)) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err((path.clone(), error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The error of an operation on a file, as the system reports it.
pub fn refused(what: &str, path: &Path, error: &io::Error) -> SinkError {
    SinkError::Refused(format!("could not {what} \"{}\": {error}", path.display()))
}
