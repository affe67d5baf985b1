//! Transactions that Kafka has forgotten to end, and how to end them.
//!
//! A coordinator that finds a partition without a leader takes it for deleted, writes no mark into it,
//! and calls the transaction ended (KAFKA-20734: Kafka 4, when a broker is killed and started again
//! before its session is over). The records stay open: readers of committed ones wait in front of them,
//! and **the next mark of the same producer decides them, whatever it was meant for**. Bars of a
//! transaction that was given up would count beside those that were sent in their place.
//!
//! So whoever begins or goes on with a transactional id looks where something is open, and writes a mark
//! of the right kind there first, by a transaction that consists of one record without a value in each
//! such partition:
//!
//! | the open part begins | what of ours may be open | mark |
//! |---|---|---|
//! | behind the last record that we know to be committed | what was given up | abort |
//! | at that record or before it | what was committed | commit |
//!
//! What others have open looks the same and is not touched: a mark ends what its own producer has open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::checkpoint_topic::{CheckpointTopic, LOOK};
use crate::sinks::SinkError;

/// The key of the records that are sent only for the mark behind them.
pub(super) const NOTHING: &str = "barflow.nothing";

/// How long another's transaction is waited for where ours can only have been given up: to end that a
/// second time does no harm.
const GRACE: Duration = Duration::from_secs(1);

/// The highest offset by topic and partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets(BTreeMap<String, BTreeMap<i32, i64>>);

impl Offsets {
    /// A record that was written.
    pub(super) fn note(&mut self, topic: &str, partition: i32, offset: i64) {
        // Not `entry`: it wants a name of its own for each of many records of few topics.
        if let Some(partitions) = self.0.get_mut(topic) {
            let highest = partitions.entry(partition).or_insert(offset);
            *highest = offset.max(*highest);
        } else {
            self.0.insert(topic.to_owned(), BTreeMap::from([(partition, offset)]));
        }
    }

    /// Takes those of others as well.
    pub(super) fn extend(&mut self, others: Self) {
        for (topic, partitions) in others.0 {
            for (partition, offset) in partitions {
                self.note(&topic, partition, offset);
            }
        }
    }

    fn get(&self, topic: &str, partition: i32) -> Option<i64> {
        self.0.get(topic)?.get(&partition).copied()
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Its records count.
    Commit,
    /// They never do.
    Abort,
}

/// A partition in which a transaction is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// The mark that what is ours of it needs.
    pub(super) mark: Mark,
}

impl Open {
    /// A partition that is decided up to `decided` and has records up to `end`.
    fn new(topic: &str, partition: i32, decided: i64, end: i64, settled: &Offsets) -> Option<Self> {
        if decided >= end {
            return None;
        }
        let mark = match settled.get(topic, partition) {
            Some(committed) if decided <= committed => Mark::Commit,
            _ => Mark::Abort,
        };
        Some(Self { topic: topic.to_owned(), partition, mark })
    }
}

impl CheckpointTopic {
    /// Where in these topics something is open that does not end by itself. `settled`: the last
    /// records that are known to be committed.
    ///
    /// Where a commit would be needed this waits as long as another's transaction can last: the
    /// record without a value that comes with it is seen by everybody.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(super) fn open_in(
        &self,
        topics: &BTreeSet<String>,
        settled: &Offsets,
    ) -> Result<Vec<Open>, SinkError> {
        let failed = |error: &KafkaError| self.failed("cannot be asked about transactions", error);
        let (reader, all) = (self.consumer("read_committed")?, self.consumer("read_uncommitted")?);
        let list = self.partitions_of(&all, topics).map_err(|error| failed(&error))?;
        if list.count() == 0 {
            return Ok(Vec::new());
        }
        let ends = self.ends(&all, &list).map_err(|error| failed(&error))?;
        let start = Instant::now();
        loop {
            // For such a consumer a partition ends where the first open transaction begins.
            let decided = self.ends(&reader, &list).map_err(|error| failed(&error))?;
            let open: Vec<Open> = ends
                .iter()
                .zip(&decided)
                .filter_map(|((topic, partition, end), (_, _, decided))| {
                    Open::new(topic, *partition, *decided, *end, settled)
                })
                .collect();
            let commits = open.iter().any(|open| open.mark == Mark::Commit);
            let patience = if commits { self.longest } else { GRACE };
            if open.is_empty() || start.elapsed() > patience {
                return Ok(open);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn partitions_of(
        &self,
        client: &BaseConsumer,
        topics: &BTreeSet<String>,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for topic in client.fetch_metadata(None, self.patience)?.topics() {
            if topics.contains(topic.name()) {
                for partition in topic.partitions() {
                    list.add_partition(topic.name(), partition.id());
                }
            }
        }
        Ok(list)
    }

    /// Where partitions end for this consumer.
    fn ends(
        &self,
        client: &BaseConsumer,
        list: &TopicPartitionList,
    ) -> KafkaResult<Vec<(String, i32, i64)>> {
        let mut asked = list.clone();
        // A time of -1 asks for the end: one request to each broker, however many partitions.
        asked.set_all_offsets(Offset::End)?;
        let answered = client.offsets_for_times(asked, self.patience)?;
        let mut ends = Vec::with_capacity(answered.count());
        for element in answered.elements() {
            element.error()?;
            let end = element.offset().to_raw().unwrap_or_default();
            ends.push((element.topic().to_owned(), element.partition(), end));
        }
        Ok(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_is_committed_and_what_was_given_up_aborted() {
        let mut settled = Offsets::default();
        settled.note("bars", 0, 7);
        settled.note("bars", 0, 5);
        let mut more = Offsets::default();
        more.note("bars", 1, 3);
        settled.extend(more);
        let mark = |partition, decided, end| {
            Open::new("bars", partition, decided, end, &settled).map(|open| open.mark)
        };
        assert_eq!(mark(0, 9, 9), None, "nothing is open");
        assert_eq!(mark(0, 8, 9), Some(Mark::Abort), "behind the last one committed");
        assert_eq!(mark(0, 7, 9), Some(Mark::Commit), "the last one committed");
        assert_eq!(mark(1, 3, 4), Some(Mark::Commit));
        assert_eq!(mark(2, 0, 4), Some(Mark::Abort), "nothing known");
    }
}
