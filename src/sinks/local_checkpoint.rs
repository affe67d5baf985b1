//! A checkpoint in a file of its own: replaced as a whole, durable before the old one goes.

use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use barflow_operators::checkpoint::envelope::{Unreadable, check, open, seal};
use barflow_replay::atomic_file;
use barflow_replay::files::{self, Access};
use serde::{Deserialize, Serialize};

use super::atomic_file::refused;
use super::progress_file::Lines;
use super::roll::Roll;
use crate::checkpoints::saved::Entries;
use crate::graph::sink::SinkError;

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalCheckpoint {
    /// Keys and values as in the topic.
    pub entries: Entries,
    /// How many bytes of the journal are committed; what follows them is discarded.
    pub journal: u64,
    /// Bars in these bytes.
    pub bars: u64,
    /// What a live job has written so far; none for a replay.
    pub live: Option<LiveOutput>,
    /// The newest record of progress of each series, if they are kept in a file.
    pub progress: Lines,
}

/// Files of a live job, which grow from run to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveOutput {
    /// How often a part was finished.
    pub parts: u64,
    /// Bars in the finished parts.
    pub bars: u64,
    /// Where the part that is being gathered ends, by which it is named; none before the first.
    pub roll: Option<Roll>,
}

/// Bytes that are read: far above any state.
const LONGEST: u64 = 1 << 30;

/// A checkpoint file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The disk does not let us.
    #[error(transparent)]
    Disk(SinkError),
    /// It is not whole, or of another version.
    #[error("the checkpoint {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: Unreadable,
    },
}

impl LocalCheckpoint {
    /// Whether nothing was ever written down under it.
    pub fn is_new(&self) -> bool {
        self.entries.is_empty() && self.journal == 0
    }

    /// Reads it; none if there is none.
    ///
    /// # Errors
    /// When it is there and cannot be used.
    pub fn read(path: &Path) -> Result<Option<Self>, LocalError> {
        let disk = |error: io::Error| LocalError::Disk(refused("read", path, &error));
        let unreadable = |reason| LocalError::Unreadable { path: path.to_owned(), reason };
        let mut file = match files::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(disk(error)),
        };
        let length = file.metadata().map_err(disk)?.len();
        // Before it is compared: even that takes minutes where a file says to have a terabyte.
        files::check_length(length, LONGEST).map_err(disk)?;
        check(&file, length).map_err(disk)?.map_err(unreadable)?;
        file.rewind().map_err(disk)?;
        let bytes = files::up_to(file, length).map_err(disk)?;
        open(&bytes).map(Some).map_err(unreadable)
    }

    /// Replaces the file; afterwards either the old one or this one is there, whatever happens.
    ///
    /// # Errors
    /// When the disk refuses; the old one is there.
    pub fn write(&self, path: &Path) -> Result<(), SinkError> {
        let written = atomic_file::replace(path, &seal(self), Access::Group);
        written.map_err(|e| refused("write", path, &e))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::checkpoints::job::JobName;
    use crate::checkpoints::saved::Saved;

    /// The checkpoint beside a file, in an envelope whose content has not changed since.
    const VERSION_3: &[u8] = include_bytes!("../../tests/data/version-3.checkpoint");

    #[test]
    fn a_length_that_was_made_up_is_found_before_it_costs_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.checkpoint");
        let said = |begin: &[u8], length: u64| {
            fs::write(&path, begin).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            LocalCheckpoint::read(&path).unwrap_err().to_string()
        };
        assert!(said(b"", 1 << 20).ends_with("bars.checkpoint: not a barflow checkpoint"));
        // More than there is time to compare with a checksum.
        for begin in [b"", &VERSION_3[..100]] {
            let long = said(begin, (1 << 30) + 1);
            assert!(long.contains("it is longer than 1073741824 bytes"), "{long}");
        }
        let damaged = said(&VERSION_3[..100], 32 << 20);
        assert!(damaged.contains("its checksum does not match"), "{damaged}");
    }

    #[test]
    fn records_of_an_older_version_are_refused_with_what_to_do() {
        let content = &VERSION_3[6..VERSION_3.len() - 8];
        let (entries, ..): (Entries, u64, u64) = postcard::from_bytes(content).unwrap();
        let job: JobName = "old".parse().unwrap();
        for (key, value) in entries {
            let one = Entries::from([(key.clone(), value)]);
            let error = Saved::understand(&job, &one).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&key) && text.contains("it has version 3"), "{text}");
            assert!(error.hint().contains("--reset-state"), "{}", error.hint());
        }
    }
}
