//! Files that appear under their name whole, or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::graph::sink::SinkError;

/// A file being written beside its final name.
#[derive(Debug)]
pub struct AtomicFile {
    unfinished: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Creates the unfinished file, and the folder it lies in.
    ///
    /// # Errors
    /// When either cannot be made.
    pub fn create(path: &Path) -> Result<(Self, File), SinkError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|e| refused("create the folder", folder, &e))?;
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".unfinished-{}", std::process::id()));
        let unfinished = path.with_file_name(name);
        let file = File::create(&unfinished).map_err(|e| refused("write", path, &e))?;
        Ok((Self { unfinished, path: path.to_owned(), committed: false }, file))
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the content durable and gives it its name.
    ///
    /// # Errors
    /// When the disk refuses; the final name is then as it was before.
    pub fn commit(mut self, file: &File) -> Result<PathBuf, SinkError> {
        file.sync_all().map_err(|e| refused("write", &self.path, &e))?;
        fs::rename(&self.unfinished, &self.path).map_err(|e| refused("name", &self.path, &e))?;
        self.committed = true;
        // The new name must survive a power cut as well; folders that cannot be synced (some
        // network file systems) are let be.
        if let Some(folder) = self.path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            if let Ok(folder) = File::open(folder) {
                let _ = folder.sync_all();
            }
        }
        Ok(self.path.clone())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Best effort: an unfinished file that stays is named so that nobody mistakes it.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// What the system said when we tried to do something to a file.
pub fn refused(what: &str, path: &Path, error: &io::Error) -> SinkError {
    SinkError::Refused(format!("could not {what} \"{}\": {error}", path.display()))
}
