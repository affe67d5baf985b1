//! Which jobs wrote the last bars of topics.
//!
//! Every bar says in a header which job made it. The last records of a topic so show what no checkpoint
//! can: that this job has written before, though its checkpoint is gone, or that another job writes the
//! same bars.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message as _};

use super::keys;
use super::topic_reader::{self, ReadError, read_last};

/// The header of a record that names the job that wrote it.
pub(super) const JOB: &str = "job";

/// Records that are looked at, of each partition.
const LOOKED_AT: i64 = 500;

/// A series of bars.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BarSeries {
    pub(super) topic: String,
    pub(super) instrument: String,
    pub(super) spec: String,
}

/// The last bar of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastBar {
    pub(super) job: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// The last bars of topics.
#[derive(Clone, Debug, Default)]
pub(super) struct Tails(BTreeMap<BarSeries, LastBar>);

impl Tails {
    /// Reads the ends of topics; none if that is not allowed. Topics that are not there have none.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(super) fn read(
        config: &ClientConfig,
        topics: impl Iterator<Item = String>,
        patience: Duration,
    ) -> Result<Option<Self>, ReadError> {
        let reader =
            topic_reader::consumer(config.clone(), "barflow-checkpoints", "read_committed")?;
        let mut tails = Self::default();
        for topic in topics {
            let read = read_last(&reader, &topic, patience, LOOKED_AT, |message| {
                tails.take(&topic, message);
            });
            match read {
                Ok(()) | Err(ReadError::NoTopic) => {}
                Err(ReadError::Kafka(error)) if is_forbidden(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(tails))
    }

    fn take(&mut self, topic: &str, message: &BorrowedMessage<'_>) {
        let header = |name: &str| {
            let headers = message.headers()?;
            let value = headers.iter().find(|header| header.key == name)?.value?;
            std::str::from_utf8(value).ok().map(str::to_owned)
        };
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
        // What has no such headers is not from a barflow that says who it is.
        let (Some(instrument), Some(spec), Some(job)) = (key, header("spec"), header(JOB)) else {
            return;
        };
        let (topic, instrument) = (topic.to_owned(), keys::instrument_of(instrument).into_owned());
        let last = LastBar { job, partition: message.partition(), offset: message.offset() };
        self.0.insert(BarSeries { topic, instrument, spec }, last);
    }

    /// Series of this job whose instrument is not among those that `has` a state.
    pub(super) fn lost(
        &self,
        job: &str,
        has: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&BarSeries, &LastBar)> {
        self.0.iter().filter(move |(series, last)| last.job == job && !has(&series.instrument))
    }

    /// The instruments of which this job wrote bars.
    pub(super) fn instruments_of(&self, job: &str) -> BTreeSet<String> {
        self.lost(job, |_| false).map(|(series, _)| series.instrument.clone()).collect()
    }

    /// Series of other jobs that are also those of `specs` and `instruments`; of any instrument where
    /// none is known.
    pub(super) fn shared(
        &self,
        job: &str,
        specs: &[String],
        instruments: &[InstrumentId],
    ) -> impl Iterator<Item = (&BarSeries, &LastBar)> {
        let is_mine = |series: &BarSeries| {
            let mut known = instruments.iter().map(InstrumentId::as_str);
            specs.contains(&series.spec)
                && (instruments.is_empty() || known.any(|known| known == series.instrument))
        };
        self.0.iter().filter(move |(series, last)| last.job != job && is_mine(series))
    }
}

pub(super) fn is_forbidden(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tails(bars: &[(&str, &str, &str)]) -> Tails {
        let of = |(at, (instrument, spec, job)): (i64, &(&str, &str, &str))| {
            let (topic, instrument) = (format!("bars.{spec}"), (*instrument).to_owned());
            let series = BarSeries { topic, instrument, spec: (*spec).to_owned() };
            (series, LastBar { job: (*job).to_owned(), partition: 0, offset: at })
        };
        Tails((0..).zip(bars).map(of).collect())
    }

    #[test]
    fn what_a_job_wrote_and_knows_nothing_of_is_lost() {
        let tails = tails(&[("a:b:X", "t", "me"), ("a:b:Y", "t", "me"), ("a:b:Z", "t", "other")]);
        let lost: Vec<&str> = tails
            .lost("me", |known| known == "a:b:X")
            .map(|(s, _)| s.instrument.as_str())
            .collect();
        assert_eq!(lost, ["a:b:Y"]);
        assert_eq!(tails.instruments_of("me").len(), 2);
        assert_eq!(tails.lost("third", |_| false).count(), 0);
    }

    #[test]
    fn another_job_matters_where_it_writes_the_same_bars() {
        let tails =
            tails(&[("a:b:X", "t", "other"), ("a:b:Y", "t", "me"), ("a:b:X", "u", "other")]);
        let shared = |specs: &[&str], instruments: &[&str]| {
            let specs: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
            let instruments: Vec<InstrumentId> =
                instruments.iter().map(|id| id.parse().unwrap()).collect();
            tails.shared("me", &specs, &instruments).count()
        };
        assert_eq!(shared(&["t"], &["a:b:X"]), 1);
        assert_eq!(shared(&["t", "u"], &[]), 2);
        assert_eq!(shared(&["t"], &["a:b:Y"]), 0);
        assert_eq!(shared(&["v"], &[]), 0);
    }
}
