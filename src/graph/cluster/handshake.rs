//! What two processes say to each other before they work together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::graph::workers::Workers;

/// What a job does, in parts that can be compared: all processes must agree on each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterJob(BTreeMap<String, String>);

impl ClusterJob {
    /// A job of this version of the program.
    pub fn new(command: &str) -> Self {
        let job = Self::default().with("command", command);
        job.with("version", env!("CARGO_PKG_VERSION"))
    }

    /// Adds a part. Texts may be long: their hash is what is compared.
    pub fn with(mut self, part: &str, text: impl AsRef<str>) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64(text.as_ref().as_bytes());
        self.0.insert(part.to_owned(), format!("{hash:016x}"));
        self
    }
}

/// What a process says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// Who greets.
    pub(super) process: usize,
    /// Who is greeted.
    pub(super) to: usize,
    processes: usize,
    workers: usize,
    job: ClusterJob,
    /// Why the other is sent away, if it is.
    pub(super) refused: Option<String>,
}

impl Handshake {
    /// What these workers say to process `to`.
    pub(super) fn new(workers: &Workers, job: &ClusterJob, to: usize) -> Self {
        Self {
            process: workers.process(),
            to,
            processes: workers.processes(),
            workers: workers.here(),
            job: job.clone(),
            refused: None,
        }
    }

    /// Why we and the `other` cannot work together, in words from our side.
    pub(super) fn differs_from(&self, other: &Self) -> Option<String> {
        if self.processes != other.processes {
            let (theirs, ours) = (other.processes, self.processes);
            return Some(format!("it has {theirs} processes, this one {ours}"));
        }
        if other.to != self.process || other.process != self.to {
            return Some("its hosts are in a different order".to_owned());
        }
        if self.workers != other.workers {
            let (theirs, ours) = (other.workers, self.workers);
            return Some(format!("it has {theirs} workers, this one {ours}"));
        }
        let parts = self.job.0.keys().chain(other.job.0.keys());
        let mut differing: Vec<&str> = parts
            .filter(|part| self.job.0.get(*part) != other.job.0.get(*part))
            .map(String::as_str)
            .collect();
        differing.sort_unstable();
        differing.dedup();
        let differing = differing.join(", ");
        (!differing.is_empty()).then(|| format!("different: {differing}"))
    }

    /// As it is sent.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers: there is nothing in it that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// As it was sent.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(process: usize, to: usize, threads: usize, job: &ClusterJob) -> Handshake {
        let hosts = vec!["a:1".to_owned(), "b:2".to_owned()];
        Handshake::new(&Workers::Cluster { threads, process, hosts }, job, to)
    }

    #[test]
    fn what_differs_is_named() {
        let job = ClusterJob::new("replay").with("bars", "x").with("inputs", "y");
        let ours = handshake(0, 1, 2, &job);
        assert_eq!(ours.differs_from(&handshake(1, 0, 2, &job)), None);
        let other = ClusterJob::new("live").with("bars", "z").with("inputs", "y");
        let what = ours.differs_from(&handshake(1, 0, 2, &other)).unwrap();
        assert_eq!(what, "different: bars, command");
        let what = ours.differs_from(&handshake(1, 0, 3, &job)).unwrap();
        assert_eq!(what, "it has 3 workers, this one 2");
        let what = ours.differs_from(&handshake(1, 1, 2, &job)).unwrap();
        assert_eq!(what, "its hosts are in a different order");
    }
}
