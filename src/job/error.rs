//! Why a job could not start, or did not run to its end.

use std::io;
use std::path::Path;

use barflow_replay::error::ReplayError;

use super::bad_share::MostlyBad;
use super::outputs::OutputError;
use super::rejects::BadRow;
use crate::checkpoints::job::JobName;
use crate::checkpoints::saved::CheckpointError;
use crate::feeds::provenance::recognised;
use crate::feeds::recorded::RecordingsError;
use crate::feeds::session::SessionFault;
use crate::graph::cluster::ClusterError;
use crate::graph::sink::SinkError;
use crate::sinks::local_checkpoint::LocalError;
use crate::stop::{Breakdown, Cause};

/// History that does not fit the feeds.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// No feed continues it.
    #[error("history contains {instrument}, which no feed subscribes to")]
    NoFeed {
        /// What the files hold.
        instrument: String,
    },
    /// Raw trades and aggregates make different bars.
    #[error(
        "history or checkpoint of {instrument} has {history}, its feed has {feed}: bars would \
         differ"
    )]
    OtherInput {
        /// Which instrument.
        instrument: String,
        /// What the files hold.
        history: &'static str,
        /// What the feed brings.
        feed: &'static str,
    },
    /// Numbers of rows are not the venue's ids, and signs by the tick rule not its sides.
    #[error(
        "{file} contains {instrument} {history}, the feed brings it {feed}: they are not one history; \
         use a history {feed}, or none"
    )]
    OtherRows {
        /// A file of the history.
        file: String,
        /// Which instrument.
        instrument: String,
        /// What its rows have or lack.
        history: &'static str,
        /// What the feed's trades have or lack.
        feed: &'static str,
    },
}

/// Why a job could not start, or did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Trade files cannot be read.
    #[error(transparent)]
    Input(#[from] ReplayError),
    /// Recordings cannot be read.
    #[error(transparent)]
    Recordings(RecordingsError),
    /// The history of a live job does not fit its feeds.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A row is not a trade, and no quarantine is configured.
    #[error(transparent)]
    BadRow(#[from] BadRow),
    /// Most rows are not trades.
    #[error(transparent)]
    MostlyBad(#[from] MostlyBad),
    /// A feed cannot continue.
    #[error(transparent)]
    Feed(#[from] SessionFault),
    /// An output would destroy something.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The sink refuses, or is not available.
    #[error(transparent)]
    Sink(SinkError),
    /// The checkpoint cannot be restored.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint file cannot be used.
    #[error(transparent)]
    CheckpointFile(LocalError),
    /// The processes of the job did not connect, or one of them has failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The secret that the processes share cannot be used.
    #[error("cluster_secret = \"{reference}\": {what}")]
    ClusterSecret {
        /// Where it should be.
        reference: String,
        /// What is wrong with it.
        what: String,
    },
    /// The validated trades could not be kept.
    #[error(transparent)]
    KeptTrades(ReplayError),
    /// The job cannot have this name.
    #[error("{0}")]
    Name(String),
    /// Several processes cannot write one set of files exactly once.
    #[error(
        "several processes deliver exactly once only to kafka; use a single process for files only"
    )]
    SharedFiles,
    /// One process would delete what another has just begun to write.
    #[error("--reset-state works only with a single process")]
    SharedReset {
        /// Which job.
        job: JobName,
    },
    /// A run that resumes would keep only some of the trades.
    #[error(
        "--sink-trades is not possible when a job resumes: it would write only the trades after the checkpoint"
    )]
    PartOfTheTrades,
    /// The system refuses a file or a thread.
    #[error("{what}")]
    Io {
        /// What could not be done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A part of the program broke down.
    #[error(transparent)]
    Breakdown(#[from] Breakdown),
    /// An error of a source that this crate does not know.
    #[error("{0}")]
    Other(Cause),
}

impl JobError {
    /// The system's refusal to do `what`.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// What to do about it, where something can be said.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Input(error) => return input_hint(error),
            Self::Recordings(error) => return error.hint(),
            Self::BadRow(_) => {
                "bars before that row were written; --quarantine FILE rejects bad rows and \
                 continues"
            }
            Self::MostlyBad(_) => {
                "`barflow check FILE` shows how its columns are understood; --max-bad 100% reads on \
                 however many rows are bad"
            }
            Self::Feed(fault) => fault.hint,
            Self::Checkpoint(error) => error.hint(),
            Self::CheckpointFile(_) => "--reset-state deletes it and makes all bars again",
            Self::Cluster(ClusterError::OtherJob { .. }) => {
                "start all processes with the same program version, hosts, inputs, bars and workers"
            }
            Self::SharedReset { job } => {
                return Some(format!(
                    "run `barflow checkpoints delete {job}` before starting them"
                ));
            }
            Self::PartOfTheTrades => {
                "write them in a separate run: --sink none --sink-trades FOLDER"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// What to do about a file that cannot be read.
pub fn input_hint(error: &ReplayError) -> Option<String> {
    let text = match error {
        ReplayError::Layout { path, .. } | ReplayError::Corrupt { path, .. }
            if recognised(path).is_some() =>
        {
            return recording_hint(path);
        }
        ReplayError::Checksum { .. } => Some(
            "download the archive again; no bar was made from it (--no-verify skips the check)",
        ),
        ReplayError::Corrupt { .. } => Some(
            "the file is incomplete or was changed; download, copy or convert it again (a file \
             that was made like this has to be repacked)",
        ),
        ReplayError::Packing { .. } => {
            Some("unpack it, or repack it as .csv, .csv.gz, .csv.zst or a deflated .zip")
        }
        ReplayError::NothingToRead(_) => Some("`barflow replay --help` lists the supported inputs"),
        _ => None,
    };
    text.map(str::to_owned)
}

/// A recording is read by the protocol that it speaks.
fn recording_hint(path: &Path) -> Option<String> {
    let name = recognised(path)?.unwrap_or("NAME");
    Some(format!("it looks like a recording: `barflow replay --protocol {name}`"))
}

impl From<RecordingsError> for JobError {
    fn from(error: RecordingsError) -> Self {
        match error {
            RecordingsError::Search(error) => Self::Input(error),
            error => Self::Recordings(error),
        }
    }
}

impl From<SinkError> for JobError {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

impl From<LocalError> for JobError {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::Disk(error) => Self::Sink(error),
            error => Self::CheckpointFile(error),
        }
    }
}

impl From<Cause> for JobError {
    /// The graph carries the first error of any source or worker without knowing its type; here it
    /// gets its type back.
    fn from(cause: Cause) -> Self {
        fn typed<E>(cause: Cause) -> Result<JobError, Cause>
        where
            E: std::error::Error + 'static,
            JobError: From<E>,
        {
            cause.downcast::<E>().map(|error| JobError::from(*error))
        }
        let known = typed::<SinkError>(cause)
            .or_else(typed::<ReplayError>)
            .or_else(typed::<RecordingsError>)
            .or_else(typed::<BadRow>)
            .or_else(typed::<MostlyBad>)
            .or_else(typed::<HistoryError>)
            .or_else(typed::<SessionFault>)
            .or_else(typed::<ClusterError>)
            .or_else(typed::<Breakdown>)
            .or_else(typed::<Self>);
        known.unwrap_or_else(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_went_through_the_graph_keeps_its_type() {
        let typed = |cause: Cause| JobError::from(cause);
        let sink = typed(Box::new(SinkError::ClosedPipe));
        assert!(matches!(sink, JobError::Sink(SinkError::ClosedPipe)), "{sink:?}");
        let input = typed(Box::new(ReplayError::Resume("x".to_owned())));
        assert!(matches!(input, JobError::Input(_)), "{input:?}");
        let recordings = typed(Box::new(RecordingsError::Protocol("x".to_owned(), "y".to_owned())));
        assert!(matches!(recordings, JobError::Recordings(_)), "{recordings:?}");
        let panic = typed(Box::new(Breakdown::panicked("a worker")));
        assert!(matches!(panic, JobError::Breakdown(_)), "{panic:?}");
        let other = typed("something else".into());
        assert!(matches!(other, JobError::Other(_)), "{other:?}");
    }
}
