//! `--delivery` and what belongs to it.

use clap::Args;

use super::args::put;
use crate::config::section::Section;

/// How bars are delivered.
#[derive(Clone, Debug, Args)]
pub struct DeliveryArgs {
    /// How often a bar arrives when things go wrong: exactly-once or at-least-once [default:
    /// exactly-once for kafka, at-least-once for files]
    #[arg(long, value_name = "HOW", env = "BARFLOW_DELIVERY")]
    pub delivery: Option<String>,

    /// Name under which a restart finds where it stood [default: live; of a replay, made of its
    /// instruments and topic]
    #[arg(long, value_name = "NAME", env = "BARFLOW_JOB")]
    pub job: Option<String>,

    /// Time between two commits of exactly-once delivery [default: 1s]
    #[arg(long, value_name = "TIME", env = "BARFLOW_COMMIT_INTERVAL")]
    pub commit_interval: Option<String>,

    /// Forget where the job stood and begin again
    #[arg(long)]
    pub reset_state: bool,
}

impl DeliveryArgs {
    /// Lays the flags over a section.
    pub(super) fn put(&self, section: &mut Section) {
        put(section, "delivery", "--delivery", &self.delivery);
        put(section, "job", "--job", &self.job);
        put(section, "commit_interval", "--commit-interval", &self.commit_interval);
    }
}
