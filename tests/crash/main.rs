//! Jobs of several processes, and processes that are killed and started again.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod cluster_kafka;
mod cluster_strangers;
mod files_faults;
/// Kills processes at named places, which only builds with this feature have.
#[cfg(feature = "fault-points")]
mod kills;
#[cfg(feature = "fault-points")]
mod order;
#[cfg(feature = "fault-points")]
mod progress;
#[cfg(feature = "fault-points")]
mod progress_files;
