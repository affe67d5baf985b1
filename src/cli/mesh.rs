//! `--hosts` and `--process`: one job as several processes.

use std::time::Duration;

use clap::{Args, ValueHint};

use super::args::put;
use super::failure::Failure;
use crate::config::section::Section;
use crate::graph::mesh::{Job, Mesh, MeshError};
use crate::graph::stop::{Cause, Stop};
use crate::graph::workers::Workers;

/// Which process of which.
#[derive(Clone, Debug, Args)]
pub struct MeshArgs {
    /// Be one of several processes that share the instruments: file with host:port of each
    #[arg(long, value_name = "FILE", env = "BARFLOW_HOSTS", value_hint = ValueHint::FilePath)]
    pub hosts: Option<String>,

    /// Which of them this is, counted from 0
    #[arg(long, value_name = "K", env = "BARFLOW_PROCESS")]
    pub process: Option<String>,

    /// How long to wait for the others at the start [default: 1m]
    #[arg(long, value_name = "TIME", env = "BARFLOW_MESH_PATIENCE", hide_short_help = true)]
    pub mesh_patience: Option<String>,
}

impl MeshArgs {
    /// Lays the flags over a section.
    pub(super) fn put(&self, section: &mut Section) {
        put(section, "hosts", "--hosts", &self.hosts);
        put(section, "process", "--process", &self.process);
        put(section, "mesh_patience", "--mesh-patience", &self.mesh_patience);
    }
}

/// Finds the other processes of a job, if there are any.
pub(super) fn connect(
    workers: Workers,
    job: &Job,
    patience: Duration,
    stop: &Stop,
) -> Result<Mesh, Failure> {
    Mesh::connect(workers, job, patience, stop).map_err(failure)
}

/// How trouble between processes ends a command, if that is what it is.
pub(super) fn unmesh(cause: Cause) -> Result<Failure, Cause> {
    cause.downcast::<MeshError>().map(|error| failure(*error))
}

fn failure(error: MeshError) -> Failure {
    match &error {
        MeshError::OtherJob { .. } => Failure::usage(error)
            .hint("start all processes with the same program, hosts, inputs, bars and workers"),
        MeshError::Stranger { .. } => Failure::usage(error),
        _ => Failure::outside(error),
    }
}
