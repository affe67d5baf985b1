//! A `barflow live` into Kafka that is killed and started again while its venue goes on.

use std::fs::{File, read_to_string};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use super::days::bars;
use super::kills::{Ended, Kill, ended, until};
use super::live::{barflow, signal};

/// How long a life may take to come to the place where it is to be killed; at the end of the tape
/// there may be nothing more to commit.
const LIFE: Duration = Duration::from_secs(8);

/// How long anything may take before a test fails: far beyond what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is listened to, and where its bars go.
pub struct LiveJob<'a> {
    pub protocol: &'a str,
    pub instrument: &'a str,
    pub symbol: &'a str,
    pub at: &'a str,
    pub history: &'a Path,
    pub brokers: &'a str,
    /// Job and topic.
    pub name: &'a str,
}

/// One life of it.
pub struct Life {
    child: Child,
    said: tempfile::NamedTempFile,
}

impl LiveJob<'_> {
    pub fn start(&self, workers: usize, kill: Option<Kill>) -> Life {
        let said = tempfile::NamedTempFile::new().unwrap();
        let mut command = barflow();
        command.args(["live", "--report-every", "0", "--venue", self.protocol]);
        command.args(["--instrument", self.symbol, "--at", self.at, "--history"]);
        command.arg(self.history).args(["--history-instrument", self.instrument]).args(bars());
        command.args(["--sink", "kafka", "--brokers", self.brokers, "--create-topics"]);
        command.args(["--topic", self.name, "--job", self.name, "--commit-interval", "20ms"]);
        command
            .args(["--workers", &workers.to_string()])
            .stderr(File::create(said.path()).unwrap());
        if let Some(Kill::At(place, nth)) = kill {
            command.env("BARFLOW_FAULT", format!("{place}:{nth}"));
        }
        Life { child: command.spawn().unwrap(), said }
    }
}

impl Life {
    /// Waits until it is killed; where that really was, for it may not come to the place.
    pub fn be_killed(mut self, kill: Kill) -> Kill {
        let patience = match kill {
            Kill::At(..) => LIFE,
            Kill::After(time) => time,
        };
        let status = until(patience, || self.child.try_wait().unwrap());
        if status.is_none() {
            self.child.kill().unwrap();
        }
        let ended = self.end();
        assert!(ended.killed, "{kill}: {:?} {}", ended.code, ended.said);
        if status.is_none() { Kill::After(patience) } else { kill }
    }

    /// Ends it in good order once so many bars are found; what it said.
    pub fn finish_when(mut self, wanted: usize, found: impl Fn() -> usize) -> String {
        let done = until(PATIENCE, || {
            let gone = self.child.try_wait().unwrap().is_some();
            (gone || found() >= wanted).then_some(gone)
        });
        if done == Some(false) {
            signal(&self.child, "TERM");
        } else {
            let _ = self.child.kill();
        }
        let ended = self.end();
        assert!(done == Some(false), "{} of {wanted} bars came: {}", found(), ended.said);
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        ended.said
    }

    fn end(&mut self) -> Ended {
        let status = until(PATIENCE, || self.child.try_wait().unwrap());
        let status = status.expect("it does not end");
        ended(status, read_to_string(self.said.path()).unwrap())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
