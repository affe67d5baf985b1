//! Transactions that Kafka has forgotten to end, and how to end them.
//!
//! A coordinator that finds a partition without a leader takes it for deleted, writes no mark into it,
//! and calls the transaction ended (KAFKA-20734: Kafka 4, when a broker is killed and started again
//! before its session is over). The records stay open: readers of committed ones wait in front of them,
//! and **the next mark of the same producer decides them, whatever it was meant for**. Bars of a
//! transaction that was given up would count beside those that were sent in their place.
//!
//! So a producer that starts or resumes with a transactional id looks for open transactions, and
//! aborts them first, by a transaction that consists of one record without a value in each such
//! partition. What others have open is not touched: a mark ends what its own producer has open. If
//! the forgotten mark was that of a commit, the bars are sent again: outcome.rs finds out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::checkpoint_topic::{CheckpointTopic, LOOK};
use crate::graph::sink::SinkError;

/// The key of the records that are sent only for the marker after them.
pub(super) const NOTHING: &str = "barflow.nothing";

/// How long others' transactions are waited for: a mark without anything to end does no harm, but readers of
/// uncommitted messages see what comes with it.
const GRACE: Duration = Duration::from_secs(1);

/// A partition in which a transaction is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) topic: String,
    pub(super) partition: i32,
}

impl CheckpointTopic {
    /// Where in these topics something is open that does not end by itself within a moment.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(super) fn open_in(&self, topics: &BTreeSet<String>) -> Result<Vec<Open>, SinkError> {
        let failed =
            |error: &KafkaError| self.failed("could not be queried for transactions", error);
        let (reader, all) = (self.consumer("read_committed")?, self.consumer("read_uncommitted")?);
        let list = self.partitions_of(&all, topics).map_err(|error| failed(&error))?;
        if list.count() == 0 {
            return Ok(Vec::new());
        }
        let ends = || self.ends(&all, &list);
        let ends = self.until_led(&ends).map_err(|error| failed(&error))?;
        let start = Instant::now();
        loop {
            // For such a consumer a partition ends where the first open transaction begins.
            let decided = || self.ends(&reader, &list);
            let decided = self.until_led(&decided).map_err(|error| failed(&error))?;
            let both = ends.iter().zip(&decided);
            let open: Vec<Open> = both
                .filter(|((_, _, end), (_, _, decided))| decided < end)
                .map(|((topic, partition, _), _)| Open {
                    topic: topic.clone(),
                    partition: *partition,
                })
                .collect();
            if open.is_empty() || start.elapsed() > GRACE {
                return Ok(open);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Asks again while partitions are between two leaders, as they are when they are new or a broker
    /// restarts.
    fn until_led<T>(&self, ask: &dyn Fn() -> KafkaResult<T>) -> KafkaResult<T> {
        use rdkafka::types::RDKafkaErrorCode::*;
        let start = Instant::now();
        loop {
            let result = ask();
            let passes = matches!(
                result.as_ref().err().and_then(KafkaError::rdkafka_error_code),
                Some(
                    NotLeaderForPartition
                        | LeaderNotAvailable
                        | ReplicaNotAvailable
                        | UnknownTopicOrPartition
                        | UnknownLeaderEpoch
                        | FencedLeaderEpoch
                )
            );
            if !passes || start.elapsed() > self.patience {
                return result;
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
    pub(super) fn ends(
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
