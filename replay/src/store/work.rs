//! One writer per store, several threads within it.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use super::layout;
use crate::atomic_file;
use crate::error::ReplayError;
use crate::files::Access;

/// The exclusive right to write trades into a store.
#[derive(Debug)]
pub struct Writing(#[allow(dead_code)] Alone); // Held, never read.

/// A lock on a file; it ends with the process at the latest.
#[derive(Debug)]
pub struct Alone {
    _lock: File,
}

impl Writing {
    /// Takes the right, and removes what a writer that was killed had not finished.
    ///
    /// # Errors
    /// When another process has it, or the disk refuses.
    pub fn begin(store: &Path) -> Result<Self, ReplayError> {
        let who = "another convert, compact or prune";
        let writing = Self(lock(store, "conversions.lock", who)?);
        remove_unfinished(&store.join(layout::TRADES))?;
        Ok(writing)
    }
}

/// Makes sure that no other process does the same in a store, as long as the result lives.
///
/// # Errors
/// When somebody does (`who` says it in words), or the disk refuses.
pub fn lock(store: &Path, name: &str, who: &str) -> Result<Alone, ReplayError> {
    fs::create_dir_all(store).map_err(|e| ReplayError::io("make", store, e))?;
    let path = store.join(name);
    let lock = Access::Usual.open_own(&path).map_err(|e| ReplayError::io("open", &path, e))?;
    match lock.try_lock() {
        Ok(()) => Ok(Alone { _lock: lock }),
        Err(TryLockError::WouldBlock) => {
            let text = format!("{who} is running in this store");
            Err(ReplayError::io("lock", &path, std::io::Error::other(text)))
        }
        Err(TryLockError::Error(error)) => Err(ReplayError::io("lock", &path, error)),
    }
}

fn remove_unfinished(folder: &Path) -> Result<(), ReplayError> {
    if !folder.exists() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(|e| ReplayError::io("list", folder, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| ReplayError::io("list", folder, e))?;
        let path = entry.path();
        // Never through a link: it may lead out of the store.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_unfinished(&path)?;
        } else if atomic_file::is_unfinished(&entry.file_name()) {
            let removed = atomic_file::remove_if_left(&entry);
            removed.map_err(|e| ReplayError::io("remove", &path, e))?;
        }
    }
    Ok(())
}
