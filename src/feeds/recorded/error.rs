//! Why recordings cannot be read.

use std::path::PathBuf;

use barflow_replay::error::ReplayError;

use crate::feeds::provenance::RecordingNote;
use crate::feeds::venue::Channel;
use crate::recording::RecordingError;

/// Why recordings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingsError {
    /// No such protocol.
    #[error("protocol \"{0}\" is not one of {1}")]
    Protocol(String, String),
    /// The venue has no such channel.
    #[error("{0} has no channel {1:?}")]
    Channel(&'static str, Channel),
    /// They cannot be found, or are not what was published; or the search was stopped.
    #[error(transparent)]
    Search(#[from] ReplayError),
    /// A file that is not a recording, or a damaged one.
    #[error(transparent)]
    File(RecordingError),
    /// Nothing in them makes trades.
    #[error("the recordings contain no trades of {protocol}{}", listed(notes))]
    Empty {
        /// Which protocol they were read by.
        protocol: &'static str,
        /// What was found in its place, if anything.
        notes: Vec<RecordingNote>,
    },
    /// They would take up the memory.
    #[error("the recordings mention more than {} symbols, the most that is read", super::SYMBOLS)]
    ManySymbols,
    /// As [`ManySymbols`](Self::ManySymbols).
    #[error(
        "\"{}\" has more than {} connections, the most that is read of a file",
        path.display(),
        super::CONNECTIONS
    )]
    ManyConnections {
        /// Which file.
        path: PathBuf,
    },
    /// A file was recorded elsewhere.
    #[error("\"{}\" was recorded from {host}, which is not a host of {protocol}", path.display())]
    OtherHost {
        /// Which file.
        path: PathBuf,
        /// Where it was recorded.
        host: String,
        /// Which protocol it was to be read by.
        protocol: &'static str,
        /// Protocols that are spoken there.
        spoken: Vec<&'static str>,
    },
    /// A frame is of another market.
    #[error("\"{}\", line {line}: {found}: this is not {protocol}", path.display())]
    OtherMarket {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: u64,
        /// What shows it.
        found: &'static str,
        /// Which protocol it was to be read by.
        protocol: &'static str,
        /// The protocol that it is of.
        spoken: &'static str,
    },
}

impl From<RecordingError> for RecordingsError {
    fn from(error: RecordingError) -> Self {
        match error {
            RecordingError::Stopped => Self::Search(ReplayError::Stopped),
            error => Self::File(error),
        }
    }
}

impl RecordingsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OtherHost { spoken, protocol, .. } => Some(match spoken.is_empty() {
                false => format!("--protocol {}", spoken.join(" or ")),
                true => format!(
                    "another exchange has trades and ids of its own; --any-host reads it as \
                     {protocol} all the same"
                ),
            }),
            Self::ManySymbols => Some("name fewer files at once".to_owned()),
            Self::OtherMarket { spoken, .. } => Some(format!("--protocol {spoken}")),
            _ => None,
        }
    }
}

fn listed(notes: &[RecordingNote]) -> String {
    notes.iter().map(|note| format!("\n  {note}")).collect()
}
