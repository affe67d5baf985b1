//! One run at a time writes into a folder: two would replace and remove each other's files.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::atomic_file::refused;
use crate::graph::sink::SinkError;

/// Who else may write into the folder meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody.
    Nobody,
    /// Processes of the same job, which write other files.
    SameJob,
}

/// A lock on the folder itself: it leaves no file, and ends with the process at the latest.
#[derive(Debug)]
pub struct FolderLock(#[allow(dead_code)] File);

impl FolderLock {
    /// Takes it; makes the folder if it is not there.
    ///
    /// # Errors
    /// When another run has it, or the disk refuses.
    pub fn take(folder: &Path, others: Others) -> Result<Self, SinkError> {
        std::fs::create_dir_all(folder).map_err(|e| refused("create the folder", folder, &e))?;
        let opened = File::open(folder).map_err(|e| refused("open the folder", folder, &e))?;
        let locked = match others {
            Others::Nobody => opened.try_lock(),
            Others::SameJob => opened.try_lock_shared(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SinkError::Settings(vec![format!(
                    "another run is writing into the folder \"{}\"; wait for its end, or name another \
                     folder",
                    folder.display()
                )]));
            }
            // Some network file systems know no locks.
            Err(TryLockError::Error(error)) => {
                tracing::warn!("the folder \"{}\" cannot be locked: {error}", folder.display());
            }
        }
        Ok(Self(opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_run_or_for_the_processes_of_one_job() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made");
        let alone = FolderLock::take(&folder, Others::Nobody).unwrap();
        let error = FolderLock::take(&folder, Others::SameJob).unwrap_err();
        assert!(matches!(error, SinkError::Settings(_)) && error.to_string().contains("made"));
        drop(alone);
        let one = FolderLock::take(&folder, Others::SameJob).unwrap();
        let other = FolderLock::take(&folder, Others::SameJob).unwrap();
        assert!(FolderLock::take(&folder, Others::Nobody).is_err());
        drop((one, other));
        FolderLock::take(&folder, Others::Nobody).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}
