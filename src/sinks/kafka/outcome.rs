//! What became of a transaction, partition by partition.
//!
//! Kafka writes a mark into each partition of a transaction, and may forget some (hanging.rs), also after it
//! has confirmed the commit: what it then does with the producer's next transaction decides this one as well.
//! A mark counts for all records of a transaction in a partition, so the first of them decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::checkpoint_topic::{CheckpointTopic, LOOK};
use crate::graph::sink::SinkError;

/// Topic, partition and offset of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// The records of a transaction in a partition: the offsets of the first and the last.
type Span = (i64, i64);

/// The offsets of a transaction's records, by topic and partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(BTreeMap<String, BTreeMap<i32, Span>>);

impl Spans {
    /// One of them.
    pub(super) fn note(&mut self, topic: &str, place: Place) {
        let partitions = match self.0.get_mut(topic) {
            Some(partitions) => partitions,
            None => self.0.entry(topic.to_owned()).or_default(),
        };
        let span = partitions.entry(place.partition).or_insert((place.offset, place.offset));
        *span = (span.0.min(place.offset), span.1.max(place.offset));
    }
}

#[cfg(test)]
impl Spans {
    pub(super) fn of(&self, topic: &str, partition: i32) -> Option<Span> {
        self.0.get(topic)?.get(&partition).copied()
    }
}

/// The partitions in which a transaction counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted(BTreeMap<String, BTreeSet<i32>>);

impl Counted {
    /// Whether it counts in this one.
    pub(super) fn has(&self, topic: &str, partition: i32) -> bool {
        self.0.get(topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// It counts in these.
    pub(super) fn insert(&mut self, topic: &str, partitions: BTreeSet<i32>) {
        self.0.insert(topic.to_owned(), partitions);
    }
}

impl CheckpointTopic {
    /// Where a transaction counts that is over. Waits for others' transactions in front of it, as long as
    /// one can last. None if the topics may not be read.
    ///
    /// # Errors
    /// When Kafka does not answer, or another's transaction does not end.
    pub(super) fn counted(&self, spans: &Spans) -> Result<Option<Counted>, SinkError> {
        let failed =
            |error: &KafkaError| self.failed("could not be queried for transactions", error);
        let mut counted = Counted::default();
        if spans.0.is_empty() {
            return Ok(Some(counted));
        }
        let reader = self.consumer("read_committed")?;
        self.wait_until_shown(&reader, spans)?;
        for (topic, partitions) in &spans.0 {
            // One after the other: the end of a partition is reported without the name of its
            // topic.
            match self.counted_in(&reader, topic, partitions) {
                Ok(found) => counted.insert(topic, found),
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
                    return Ok(None);
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(Some(counted))
    }

    /// Waits until no open transaction precedes the last record of any of these.
    fn wait_until_shown(&self, reader: &BaseConsumer, spans: &Spans) -> Result<(), SinkError> {
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in &spans.0 {
            for partition in partitions.keys() {
                list.add_partition(topic, *partition);
            }
        }
        let start = Instant::now();
        loop {
            let ends = self
                .ends(reader, &list)
                .map_err(|error| self.failed("could not be queried for transactions", &error))?;
            let hidden = ends.iter().find(|(topic, partition, end)| {
                let span = spans.0.get(topic).and_then(|partitions| partitions.get(partition));
                span.is_some_and(|(_, last)| end <= last)
            });
            let Some((topic, partition, end)) = hidden else { return Ok(()) };
            if start.elapsed() > self.longest {
                return Err(self.wrong(
                    "could not determine whether a transaction was committed",
                    &format!(
                        "topic \"{topic}\", partition {partition}: another producer's transaction \
                         is open from offset {end} on\nhint: kafka-transactions.sh find-hanging \
                         finds it, and abort ends it"
                    ),
                ));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn counted_in(
        &self,
        reader: &BaseConsumer,
        topic: &str,
        partitions: &BTreeMap<i32, Span>,
    ) -> Result<BTreeSet<i32>, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, (first, _)) in partitions {
            list.add_partition_offset(topic, *partition, Offset::Offset(*first))?;
        }
        reader.assign(&list)?;
        let mut unknown: BTreeSet<i32> = partitions.keys().copied().collect();
        let mut counted = BTreeSet::new();
        let mut heard = Instant::now();
        while !unknown.is_empty() {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.topic() == topic => {
                    heard = Instant::now();
                    let partition = message.partition();
                    let first = partitions.get(&partition).map(|(first, _)| *first);
                    // Aborted ones are not shown: the first that is shown is another.
                    if unknown.remove(&partition) && first == Some(message.offset()) {
                        counted.insert(partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unknown.remove(&partition);
                }
                Some(
                    Ok(_) | Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown)),
                )
                | None => {
                    if heard.elapsed() > self.patience {
                        return Err(KafkaError::MessageConsumption(
                            RDKafkaErrorCode::OperationTimedOut,
                        ));
                    }
                }
                Some(Err(error)) => return Err(error),
            }
        }
        reader.unassign()?;
        Ok(counted)
    }
}
