//! How a command ends.

use std::fmt;

use crate::config::problem::Problems;
use crate::delivery::DeliveryError;
use crate::graph::sink::SinkError;
use crate::sinks::local_checkpoint::LocalError;

/// A command that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All well.
    Done,
    /// Done, but rows were set aside.
    WithRejects,
    /// Done, and what was compared is not the same.
    Differs,
}

impl Outcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::WithRejects | Self::Differs => 1,
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
    /// 1 bad data, 2 usage or input files, 3 outside world, 4 another copy has taken over.
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

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::usage(problems).hint("`barflow check FILE` checks a configuration without running it")
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Settings(_) => Self::usage(error),
            SinkError::Fenced(_) => Self { error: error.into(), hint: None, code: 4 },
            _ => Self::outside(error),
        }
    }
}

impl From<DeliveryError> for Failure {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Sink(error) | DeliveryError::Local(LocalError::Disk(error)) => {
                Self::from(error)
            }
            DeliveryError::Checkpoint(error) => {
                let hint = error.hint();
                Self::usage(error).hint(hint)
            }
            DeliveryError::Local(error) => {
                Self::usage(error).hint("--reset-state forgets it and makes the bars again")
            }
        }
    }
}
