//! What can go wrong with fetching.

use std::io;
use std::path::{Path, PathBuf};

use super::limits::SizeLimit;
use crate::net::trust::TrustError;

/// Why a file, or a listing, did not come. Every text names what it is about.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Asked again and again, in vain.
    #[error("{url}: gave up after {tries} attempt{}: {what}", if *tries == 1 { "" } else { "s" })]
    GaveUp {
        /// What was asked for.
        url: String,
        /// How often.
        tries: u32,
        /// What the last attempt came to.
        what: String,
    },
    /// The archive does not want to give it.
    #[error("{url}: HTTP {status}: {said}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer.
        status: u16,
        /// The beginning of its text.
        said: String,
    },
    /// It is not there.
    #[error("{url}: not found (HTTP 404)")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// An answer that means nothing here.
    #[error("{url}: {what}")]
    Meaningless {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// More comes than there can be.
    #[error("{url}: sends more than {limit}")]
    TooLong {
        /// What was asked for.
        url: String,
        /// How long it may be.
        limit: SizeLimit,
    },
    /// The disk is too full for it.
    #[error("\"{}\": {needed} more bytes are needed, and the disk has {free}", path.display())]
    NoRoom {
        /// Which file.
        path: PathBuf,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// There are no certificates to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What came is not what was published.
    #[error(
        "{url}: its SHA-256 differs from the published one: expected {expected}, found {found}"
    )]
    Checksum {
        /// The archive.
        url: String,
        /// As published beside it.
        expected: String,
        /// Of what came.
        found: String,
    },
    /// The disk refuses.
    #[error("could not {action} \"{}\": {source}", path.display())]
    Disk {
        /// What was being attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A stop was requested.
    #[error("stopped")]
    Stopped,
}

impl FetchError {
    /// An error of the disk.
    pub fn disk(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk { action, path: path.to_owned(), source }
    }

    /// Whether other files may fare better.
    pub fn is_of_the_file(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::Meaningless { .. }
                | Self::Checksum { .. }
                | Self::TooLong { .. }
        )
    }
}
