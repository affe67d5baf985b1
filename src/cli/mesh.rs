//! `--hosts` and `--process`: one job as several processes.

use clap::{Args, ValueHint};

use super::args::put;
use crate::config::section::Section;

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
