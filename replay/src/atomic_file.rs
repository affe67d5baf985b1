//! Files that appear under their name whole, or not at all: written beside it, synced, renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file being written beside its final name. Dropped before it is committed, it is gone.
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
    pub fn create(path: &Path) -> io::Result<(Self, File)> {
        fs::create_dir_all(folder(path))?;
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".unfinished-{}", std::process::id()));
        let unfinished = path.with_file_name(name);
        let file = File::create(&unfinished)?;
        Ok((Self { unfinished, path: path.to_owned(), committed: false }, file))
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it lies until it is committed.
    pub fn unfinished(&self) -> &Path {
        &self.unfinished
    }

    /// Makes the content durable and gives it its name.
    ///
    /// # Errors
    /// When the disk refuses; the final name is then as it was before.
    pub fn commit(mut self, file: &File) -> io::Result<PathBuf> {
        publish(file, &self.unfinished, &self.path)?;
        self.committed = true;
        Ok(self.path.clone())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Best effort: the name of one that stays shows that it is unfinished.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// Writes a small file, whole or not at all. It is written under a hidden name that the next attempt
/// reuses, so a process that is killed here leaves nothing that stays. One process at a time writes it.
///
/// # Errors
/// When the disk refuses; the file is then as it was before.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder(path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".{name}.unfinished"));
    let mut file = File::create(&unfinished)?;
    let written = file.write_all(bytes).and_then(|()| publish(&file, &unfinished, path));
    if written.is_err() {
        // Best effort: the next attempt overwrites it.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Makes the content of `unfinished`, which is open as `file`, durable, and then its name `path`.
///
/// # Errors
/// When the disk refuses.
pub fn publish(file: &File, unfinished: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    // The new name must survive a power cut as well. Some network file systems cannot sync folders.
    if let Ok(folder) = File::open(folder(path))
        && let Err(error) = folder.sync_all()
        && !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
    {
        return Err(error);
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/file");
        write(&path, b"old").unwrap();
        let (atomic, mut file) = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert!(atomic.unfinished().exists());
        drop(atomic);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
