//! Names of jobs and keys, and the current writer.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A name chosen by the user: a run under the same name resumes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobName(String);

impl FromStr for JobName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 100 || !name.chars().all(valid) {
            return Err(format!("\"{name}\" must be 1 to 100 of the characters A-Z a-z 0-9 . _ -"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// Part of an instrument's state.
    Instrument(&'a str),
    /// Who writes this shard.
    Shard(usize),
    /// What decides which bars come out.
    Settings,
    /// Instruments whose state was deleted on purpose.
    Deleted,
}

impl JobName {
    /// Kafka's name for who writes a shard: a later one of the same name ends an earlier one.
    pub fn transactional_id(&self, shard: usize) -> String {
        format!("barflow.{self}.{shard}")
    }

    /// The key of a record of an instrument, given the record's own key.
    pub fn record_key(&self, key: &str) -> String {
        format!("{self}/{key}")
    }

    /// The key of a shard's writer.
    pub fn shard_key(&self, shard: usize) -> String {
        format!("{self}/@shard/{shard}")
    }

    /// The key of the settings.
    pub fn settings_key(&self) -> String {
        format!("{self}/@settings")
    }

    /// The key of the instruments whose state was deleted on purpose.
    pub fn deleted_key(&self) -> String {
        format!("{self}/@deleted")
    }

    /// What a key means, if it is one of this job's.
    pub fn parse<'a>(&self, key: &'a str) -> Option<Key<'a>> {
        let rest = key.strip_prefix(self.0.as_str())?.strip_prefix('/')?;
        if rest == "@settings" {
            return Some(Key::Settings);
        }
        if rest == "@deleted" {
            return Some(Key::Deleted);
        }
        if let Some(shard) = rest.strip_prefix("@shard/") {
            return Some(Key::Shard(shard.parse().ok()?));
        }
        // Symbols may have slashes of their own: BTC/USD.
        rest.rsplit_once('/').map(|(instrument, _)| Key::Instrument(instrument))
    }

    /// The job that a key belongs to.
    pub fn of_key(key: &str) -> Option<Self> {
        key.split_once('/')?.0.parse().ok()
    }
}

/// A running copy of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Tells copies apart.
    pub id: u64,
    /// Which process, for a person.
    pub process: u32,
    /// On which computer.
    pub host: String,
    /// When it began, ns since the Unix epoch.
    pub started: i64,
}

impl Writer {
    /// This process.
    pub fn here() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: fastrand::u64(..),
            process: std::process::id(),
            host: host_name(),
            started: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = jiff::Timestamp::from_nanosecond(self.started.into())
            .map_or_else(|_| "an unknown time".to_owned(), |time| format!("{time:.0}"));
        write!(f, "process {} on {}, started at {started}", self.process, self.host)
    }
}

fn host_name() -> String {
    let file = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = file.or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or_else(|| "an unnamed host".to_owned(), |name| name.trim().to_owned())
}

/// Who writes a shard, and how far it got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Who.
    pub writer: Writer,
    /// Transactions it has committed; 0 when it has just begun.
    pub committed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let job: JobName = "live".parse().unwrap();
        let key = job.record_key("kraken:spot:BTC/USD/12");
        assert_eq!(job.parse(&key), Some(Key::Instrument("kraken:spot:BTC/USD")));
        assert_eq!(job.parse(&job.shard_key(3)), Some(Key::Shard(3)));
        assert_eq!(job.parse(&job.settings_key()), Some(Key::Settings));
        assert_eq!(job.parse(&job.deleted_key()), Some(Key::Deleted));
        assert_eq!(job.parse("live2/@settings"), None);
        assert_eq!(JobName::of_key(&key), Some(job));
        assert!("a/b".parse::<JobName>().is_err() && "".parse::<JobName>().is_err());
    }
}
