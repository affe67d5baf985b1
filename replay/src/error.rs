//! What can go wrong with files.

use std::io;
use std::path::{Path, PathBuf};

use barflow_operators::excerpt::excerpt;

/// A file (or a set of them) that cannot be replayed. Every text names the file.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Nothing to read.
    #[error("{0}")]
    NothingToRead(String),
    /// A header and nothing after it.
    #[error("{} has only a header, no trades", path.display())]
    HeaderOnly {
        /// The file.
        path: PathBuf,
        /// Its header.
        header: String,
    },
    /// The system refuses.
    #[error("could not {action} \"{}\": {source}", path.display())]
    Io {
        /// What was being attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The checksum beside the file does not match.
    #[error(
        "{}: its SHA-256 differs from {}: expected {expected}, found {found}",
        path.display(), checksum_file.display()
    )]
    Checksum {
        /// The archive.
        path: PathBuf,
        /// The file that holds the expected sum.
        checksum_file: PathBuf,
        /// The sum that was expected.
        expected: String,
        /// The sum that was found.
        found: String,
    },
    /// Not what its name says, truncated, or damaged.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Which part of it, in a few words.
        what: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Packed in a way that is not read.
    #[error(
        "{}{} {reason}", path.display(),
        member.as_ref().map(|name| format!(": member \"{name}\"")).unwrap_or_default()
    )]
    Packing {
        /// The file.
        path: PathBuf,
        /// Its member, if it is one of an archive.
        member: Option<String>,
        /// What it is: "is encrypted".
        reason: String,
    },
    /// An unknown layout.
    #[error("{}: {reason}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What was seen, and what is known.
        reason: String,
    },
    /// Files that cannot be one history.
    #[error("{0}")]
    Mixed(String),
    /// The reader was asked to end before it was done.
    #[error("stopped before the input was read")]
    Stopped,
    /// A position that does not fit the files.
    #[error("cannot resume: {0}")]
    Resume(String),
}

impl ReplayError {
    /// An I/O error.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A damaged file. Of what is found there the beginning is enough.
    pub fn corrupt(
        path: &Path,
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            what: what.into(),
            expected: expected.into(),
            found: excerpt(&found.into()).into_owned(),
        }
    }

    /// A Parquet file that cannot be decoded: damaged, or with packings and types that are not read. Then the file
    /// is whole, and another copy of it would not help.
    pub fn undecoded(path: &Path, what: &str, expected: &str, error: &str) -> Self {
        const ADVICE: &str = "the file is whole: write it again with 64-bit integers, and with zstd or without compression";
        const NOT_READ: [&str; 4] = ["not read", "NYI", "not supported", "nsupported"];
        match NOT_READ.iter().any(|words| error.contains(words)) {
            true => Self::layout(path, format!("{what}: {error} ({ADVICE})")),
            false => Self::corrupt(path, what, expected, error),
        }
    }

    /// A thread that decodes a file has panicked.
    pub fn decoder_crashed(path: &Path) -> Self {
        let found = "data that made the decoder crash";
        Self::corrupt(path, "contents", "data that can be decoded to the end", found)
    }

    /// Something that is packed in a way that is not read.
    pub fn packing(path: &Path, member: Option<&str>, reason: impl Into<String>) -> Self {
        let (path, member) = (path.to_owned(), member.map(str::to_owned));
        Self::Packing { path, member, reason: reason.into() }
    }

    /// An unknown layout.
    pub fn layout(path: &Path, reason: impl Into<String>) -> Self {
        Self::Layout { path: path.to_owned(), reason: reason.into() }
    }
}
