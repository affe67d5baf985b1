//! Reads a topic from its beginning to where it ended when reading began: others may write to it faster
//! than an end comes in sight.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

/// Between two looks at whether a broker answers.
const POLL: Duration = Duration::from_millis(200);

/// Why a topic could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is not there.
    #[error("the topic does not exist")]
    NoTopic,
    /// Kafka does not answer.
    #[error("timed out")]
    Silent,
    /// What librdkafka says.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// A consumer that reads to the ends of partitions and commits nothing.
///
/// # Errors
/// When librdkafka refuses the settings.
pub(crate) fn consumer(
    mut config: ClientConfig,
    group: &str,
    isolation: &str,
) -> KafkaResult<BaseConsumer> {
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        // The end of a topic comes with the first empty answer, which is waited for.
        .set("fetch.wait.max.ms", "5")
        .create()
}

/// Gives `each` every message of a topic that is in the `range` (begin, end) of its partition.
///
/// # Errors
/// When Kafka does not answer for `patience`, or `range` or `each` refuses.
pub(crate) fn read_to_end<E: From<ReadError>>(
    reader: &BaseConsumer,
    topic: &str,
    patience: Duration,
    range: impl FnMut(i32) -> Result<(i64, i64), E>,
    each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
) -> Result<(), E> {
    read_from(reader, topic, patience, i64::MAX, range, each)
}

/// Gives `each` the last messages of each partition, at most so many.
///
/// # Errors
/// When Kafka does not answer for `patience`.
pub(crate) fn read_last(
    reader: &BaseConsumer,
    topic: &str,
    patience: Duration,
    most: i64,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), ReadError> {
    let range =
        |partition| reader.fetch_watermarks(topic, partition, patience).map_err(ReadError::from);
    read_from(reader, topic, patience, most, range, |message| {
        each(message);
        Ok(())
    })
}

/// Reads the last `most` records of each partition's range.
fn read_from<E: From<ReadError>>(
    reader: &BaseConsumer,
    topic: &str,
    patience: Duration,
    most: i64,
    mut range: impl FnMut(i32) -> Result<(i64, i64), E>,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let metadata = reader.fetch_metadata(Some(topic), patience).map_err(ReadError::from)?;
    let Some(found) = metadata.topics().first() else { return Err(ReadError::NoTopic.into()) };
    match found.error().map(Into::into) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            return Err(ReadError::NoTopic.into());
        }
        Some(code) => return Err(ReadError::Kafka(KafkaError::MetadataFetch(code)).into()),
        None => {}
    }
    let mut list = TopicPartitionList::new();
    let mut ends = Ends::default();
    for partition in found.partitions().iter().map(|partition| partition.id()) {
        let (low, end) = range(partition)?;
        if ends.add(partition, low, end) {
            let start = match end.saturating_sub(most) {
                start if start > low => Offset::Offset(start),
                _ => Offset::Beginning,
            };
            let added = list.add_partition_offset(topic, partition, start);
            added.map_err(ReadError::from)?;
        }
    }
    reader.assign(&list).map_err(ReadError::from)?;
    let mut heard = Instant::now();
    while !ends.are_reached() {
        match reader.poll(patience.min(POLL)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                if ends.take(message.partition(), message.offset()) {
                    each(&message)?;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => ends.reach(partition),
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown))) | None => {
                if heard.elapsed() > patience {
                    return Err(ReadError::Silent.into());
                }
            }
            Some(Err(error)) => return Err(ReadError::Kafka(error).into()),
        }
    }
    Ok(())
}

/// Partitions that are still read, and where each ended.
#[derive(Debug, Default)]
struct Ends(BTreeMap<i32, i64>);

impl Ends {
    /// Reads a partition whose records are `low..end`; false if there is nothing to read.
    fn add(&mut self, partition: i32, low: i64, end: i64) -> bool {
        low < end && self.0.insert(partition, end).is_none()
    }

    /// Whether everything is read.
    fn are_reached(&self) -> bool {
        self.0.is_empty()
    }

    /// A record came; whether it was there when reading began.
    fn take(&mut self, partition: i32, offset: i64) -> bool {
        let Some(end) = self.0.get(&partition).copied() else { return false };
        // The last records may be marks of transactions, which are never delivered.
        if offset + 1 >= end {
            self.0.remove(&partition);
        }
        offset < end
    }

    /// The partition has nothing more for now.
    fn reach(&mut self, partition: i32) {
        self.0.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_grows_is_read_to_where_it_ended() {
        let mut ends = Ends::default();
        assert!(ends.add(0, 3, 10) && ends.add(1, 0, 5) && !ends.add(2, 7, 7));
        assert!(ends.take(0, 8) && ends.take(0, 9), "its last record");
        assert!(!ends.take(0, 10) && !ends.are_reached());
        // The last one before its end was a mark.
        assert!(ends.take(1, 3) && !ends.take(1, 5));
        assert!(ends.are_reached());
        assert!(ends.add(3, 0, 2));
        ends.reach(3);
        assert!(ends.are_reached() && !ends.take(3, 1));
    }
}
