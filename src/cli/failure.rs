//! How a command ends.

use std::fmt;

use barflow_replay::error::ReplayError;

use crate::compare::source::SourceError;
use crate::config::problem::Problems;
use crate::graph::cluster::ClusterError;
use crate::graph::sink::SinkError;
use crate::job::{JobError, JobReport};
use crate::stop::{Asker, Signal, Stop};

/// A command that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All well.
    Done,
    /// Done, but rows were set aside.
    WithRejects,
    /// Done, and what was compared is not the same.
    Differs,
    /// The end was asked for before all was done; what was done is in good order.
    Stopped(Asker),
    /// The reader of standard output closed it before all was written.
    PipeClosed,
}

impl Outcome {
    /// How a replay ends with this report.
    pub fn of_replay(report: &JobReport) -> Self {
        match report.stopped_by {
            Some(by) => Self::Stopped(by),
            None if report.left_something_out() => Self::WithRejects,
            None => Self::Done,
        }
    }

    /// How a command ends that was stopped before all was done.
    pub fn stopped(stop: &Stop) -> Self {
        Self::Stopped(stop.asker().unwrap_or(Asker::Signal(Signal::Terminate)))
    }

    /// How a live run ends with this report: trades that are in no gap were left out, rows of its history
    /// were, or trades came too late to correct the bars. To be stopped is its usual end.
    pub fn of_live(report: &JobReport) -> Self {
        let left_out = report.feeds.values().any(|feed| feed.counters().left_something_out());
        if left_out || report.refused() + report.rejected_in_files() > 0 {
            Self::WithRejects
        } else {
            Self::Done
        }
    }

    /// The exit code. Of runs that were not finished it is the one of a program that the signal had ended, so
    /// that a script can tell a part from the whole.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::WithRejects | Self::Differs => 1,
            Self::Stopped(Asker::Signal(Signal::Interrupt)) => 130,
            Self::Stopped(Asker::Signal(Signal::Terminate) | Asker::Process(_)) => 143,
            Self::PipeClosed => 141,
        }
    }
}

/// A command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// What happened, with its causes.
    pub error: anyhow::Error,
    /// What to do about it.
    pub hint: Option<String>,
    /// 1 bad data, 2 usage or input files, 3 outside world, 4 another copy has taken over, 130 or 143 stopped.
    pub code: u8,
}

impl Failure {
    /// Wrong usage, configuration or input files.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hint: None, code: 2 }
    }

    /// Bad data stopped the run.
    pub fn data(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hint: None, code: 1 }
    }

    /// The outside world is not available.
    pub fn outside(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hint: None, code: 3 }
    }

    /// Why a run failed, or that it was stopped before it had begun.
    pub fn of_run(error: impl Into<JobError>, stop: &Stop) -> Self {
        let error = error.into();
        let is_stopped = matches!(
            error,
            JobError::Input(ReplayError::Stopped)
                | JobError::Cluster(ClusterError::Stopped { .. })
                | JobError::Sink(SinkError::Stopped(_))
        );
        let failure = Self::from(error);
        match is_stopped {
            true => Self { code: Outcome::stopped(stop).code(), ..failure }
                .hint("run the same command again"),
            false => failure,
        }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        // Of no use where a flag or the environment is what is wrong.
        let in_file = |origin: &str| {
            origin.rsplit_once(':').is_some_and(|(_, line)| line.parse::<usize>().is_ok())
        };
        let hints = problems.0.iter().any(|problem| in_file(&problem.origin));
        let failure = Self::usage(problems);
        match hints {
            true => failure.hint("`barflow check FILE` validates a configuration file"),
            false => failure,
        }
    }
}

/// The exit code of every failure of a job.
impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let hint = error.hint();
        let code = match &error {
            JobError::BadRow(_) | JobError::MostlyBad(_) => 1,
            JobError::Input(ReplayError::Io { .. })
            | JobError::KeptTrades(_)
            | JobError::Io { .. }
            | JobError::Breakdown(_)
            | JobError::Other(_) => 3,
            JobError::Input(ReplayError::Stopped) => 1,
            JobError::Input(_)
            | JobError::Recordings(_)
            | JobError::History(_)
            | JobError::Checkpoint(_)
            | JobError::CheckpointFile(_)
            | JobError::Name(_)
            | JobError::ClusterSecret { .. }
            | JobError::Output(_)
            | JobError::SharedFiles
            | JobError::SharedReset { .. }
            | JobError::PartOfTheTrades => 2,
            JobError::Sink(SinkError::Settings(_)) => 2,
            JobError::Sink(SinkError::Fenced(_)) => 4,
            JobError::Sink(_) => 3,
            JobError::Cluster(ClusterError::OtherJob { .. } | ClusterError::Stranger { .. }) => 2,
            JobError::Cluster(_) => 3,
            JobError::Feed(fault) if fault.configured => 2,
            JobError::Feed(_) => 3,
        };
        if let JobError::Sink(sink) = &error
            && let (what, Some(hint)) = sink.parts()
        {
            return Self { error: anyhow::Error::msg(what), hint: Some(hint), code };
        }
        Self { error: error.into(), hint, code }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        JobError::from(error).into()
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        JobError::from(error).into()
    }
}

/// The exit code of an output that cannot be compared.
impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let hint = match &error {
            SourceError::Registry(error) => error.hint(),
            _ => None,
        };
        let code = match &error {
            SourceError::NotABar { .. } | SourceError::Settings(_) => 2,
            SourceError::File { .. } | SourceError::Registry(_) | SourceError::Kafka { .. } => 3,
        };
        Self { error: error.into(), hint, code }
    }
}

/// How a command ends whose job ended so.
pub fn conclude(result: Result<Outcome, JobError>, stop: &Stop) -> Result<Outcome, Failure> {
    match result {
        Ok(outcome) => Ok(outcome),
        Err(JobError::Sink(SinkError::ClosedPipe)) => Ok(Outcome::PipeClosed),
        Err(error) => Err(Failure::of_run(error, stop)),
    }
}
