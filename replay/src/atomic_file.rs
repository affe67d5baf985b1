//! Files that appear under their name whole, or not at all: written beside it, synced, renamed.
//!
//! The unfinished file is called `NAME.unfinished-…` with random letters, and made exclusively: no link
//! is followed, no file is replaced before the rename, and two writers of one name do not meet. Its
//! writer holds a lock on it, so that what a killed writer left is known from what is being written, and
//! the next writer of that name removes it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempPath};

use crate::files::{self, Access};

/// A file being written beside its final name. Dropped before it is committed, it is gone.
#[derive(Debug)]
pub struct AtomicFile {
    unfinished: TempPath,
    path: PathBuf,
}

impl AtomicFile {
    /// Creates the unfinished file, and the folder it lies in.
    ///
    /// # Errors
    /// When either cannot be made.
    pub fn create(path: &Path) -> io::Result<(Self, File)> {
        Self::create_with(path, Access::Usual)
    }

    /// As [`Self::create`], with this access.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_with(path: &Path, access: Access) -> io::Result<(Self, File)> {
        fs::create_dir_all(folder(path))?;
        remove_leftovers(path)?;
        let (file, unfinished) = exclusive(path, access)?.into_parts();
        Ok((Self { unfinished, path: path.to_owned() }, file))
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
    pub fn commit(self, file: &File) -> io::Result<PathBuf> {
        file.sync_all()?;
        self.unfinished.persist(&self.path).map_err(|refused| refused.error)?;
        sync_folder(&self.path)?;
        Ok(self.path)
    }
}

/// Writes a small file, whole or not at all.
///
/// # Errors
/// When the disk refuses; the file is then as it was before.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder(path))?;
    remove_leftovers(path)?;
    replace(path, bytes, Access::Usual)
}

/// As [`write()`], for a file that is written again and again in a folder that exists: its writer calls
/// [`remove_leftovers`] once.
///
/// # Errors
/// When the disk refuses; the file is then as it was before.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let (mut file, unfinished) = exclusive(path, access)?.into_parts();
    file.write_all(bytes)?;
    AtomicFile { unfinished, path: path.to_owned() }.commit(&file).map(drop)
}

/// Makes the content of `unfinished`, which is open as `file`, durable, and then its name `path`.
///
/// # Errors
/// When the disk refuses.
pub fn publish(file: &File, unfinished: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    rename(unfinished, path)
}

/// Gives a file or a folder, whose content is durable, another name, durably.
///
/// # Errors
/// When the disk refuses.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to)
}

/// Removes unfinished files of this name that nobody writes any more.
///
/// # Errors
/// When the folder is there and cannot be listed.
pub fn remove_leftovers(path: &Path) -> io::Result<()> {
    let prefix = prefix(path);
    let entries = match fs::read_dir(folder(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let starts = name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
        if starts && is_unfinished(&name) {
            remove_if_left(&entry)?;
        }
    }
    Ok(())
}

/// Whether this is the name of an unfinished file.
pub fn is_unfinished(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let letters = name.rsplit_once(UNFINISHED).map(|(_, letters)| letters);
    letters.is_some_and(|l| !l.is_empty() && l.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Removes an unfinished file unless its writer holds its lock. Says whether it did.
///
/// # Errors
/// When the disk refuses.
pub fn remove_if_left(entry: &fs::DirEntry) -> io::Result<bool> {
    let gone = |error: io::Error| match error.kind() {
        // Its writer has just finished, or somebody else removed it.
        io::ErrorKind::NotFound => Ok(false),
        _ => Err(error),
    };
    match entry.file_type() {
        Ok(kind) if kind.is_file() => {}
        Ok(_) => return Ok(false),
        Err(error) => return gone(error),
    }
    let file = match files::open(&entry.path()) {
        // Somebody else's; whose, is theirs to say.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return gone(error),
        Ok(file) => file,
    };
    if file.try_lock().is_err() {
        return Ok(false);
    }
    match fs::remove_file(entry.path()) {
        Ok(()) => Ok(true),
        Err(error) => gone(error),
    }
}

const UNFINISHED: &str = ".unfinished-";

fn prefix(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(UNFINISHED);
    name
}

/// Creates a file of which there was nothing before, not even a link that leads nowhere.
fn create(path: &Path, access: Access) -> io::Result<File> {
    access.open_options().read(true).write(true).create_new(true).open(path)
}

/// A new file beside `path`, locked. Another writer of the same name that looks for leftovers between
/// its making and its lock may remove it: then there is another one.
fn exclusive(path: &Path, access: Access) -> io::Result<NamedTempFile> {
    let prefix = prefix(path);
    let mut builder = Builder::new();
    builder.prefix(&prefix).rand_bytes(12);
    loop {
        let made = builder.make_in(folder(path), |path| create(path, access))?;
        let is_ours = match made.as_file().try_lock() {
            Ok(()) => made.path().try_exists()?,
            Err(TryLockError::WouldBlock) => false,
            // Some network file systems know no locks: nothing is removed there either.
            Err(TryLockError::Error(_)) => true,
        };
        if is_ours {
            return Ok(made);
        }
    }
}

/// The new name must survive a power cut as well. Some network file systems cannot sync folders.
fn sync_folder(path: &Path) -> io::Result<()> {
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
mod tests {
    use super::*;

    #[test]
    fn neither_a_file_nor_a_link_is_taken_for_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("precious"), "precious").unwrap();
        std::os::unix::fs::symlink(at("precious"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
        for name in ["precious", "link", "dangling"] {
            let error = create(&at(name), Access::Group).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert!(!at("nothing").exists());
        assert_eq!(fs::read(at("precious")).unwrap(), b"precious");
    }

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

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.jsonl");
        for name in
            ["bars.jsonl.unfinished-4711", "bars.jsonl.unfinished-aBc", "other.unfinished-1"]
        {
            fs::write(folder.path().join(name), b"cut sho").unwrap();
        }
        let (first, mut out) = AtomicFile::create(&path).unwrap();
        let (second, _file) = AtomicFile::create(&path).unwrap();
        write(&path, b"third").unwrap();
        assert!(first.unfinished().exists() && second.unfinished().exists());
        assert_eq!(names(folder.path()).len(), 4, "{:?}", names(folder.path()));
        drop(second);
        out.write_all(b"first").unwrap();
        first.commit(&out).unwrap();
        assert_eq!(names(folder.path()), ["bars.jsonl", "other.unfinished-1"]);
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed_and_access_is_as_asked() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join("bars"));
        fs::write(&precious, b"precious").unwrap();
        for name in ["bars.unfinished-1", ".bars.unfinished", "bars.unfinished-"] {
            symlink(&precious, folder.path().join(name)).unwrap();
        }
        symlink(&precious, &path).unwrap();
        write(&path, b"bars").unwrap();
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        replace(&path, b"state", Access::Group).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "{mode:o}");
    }

    #[test]
    fn writers_of_one_name_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        std::thread::scope(|scope| {
            for writer in 0..8_u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        let (atomic, mut file) = AtomicFile::create(path).unwrap();
                        file.write_all(&[writer; 1000]).unwrap();
                        file.write_all(&[writer; 1000]).unwrap();
                        atomic.commit(&file).unwrap();
                    }
                });
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert_eq!((bytes.len(), names(folder.path()).len()), (2000, 1));
        assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    }
}
