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
//! | with the first record of the transaction to which that one belongs | that transaction | commit |
//! | elsewhere before it, with a transaction of somebody else | is seen when that has ended | |
//!
//! What others have open is not touched: a mark ends what its own producer has open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::checkpoint_topic::{CheckpointTopic, LOOK};
use crate::sinks::SinkError;

/// The key of the records that are sent only for the mark behind them.
pub(crate) const NOTHING: &str = "barflow.nothing";

/// How long another's transaction is waited for where it does not matter: a mark without anything to end
/// does no harm.
const GRACE: Duration = Duration::from_secs(1);

/// The records of a transaction in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: i64,
    last: i64,
}

/// Where records of ours came to stand, by topic and partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(BTreeMap<String, BTreeMap<i32, Span>>);

impl Spans {
    /// A record that was written.
    pub(super) fn note(&mut self, topic: &str, partition: i32, offset: i64) {
        // Not `entry`: it wants a name of its own for each of many records of few topics.
        if let Some(partitions) = self.0.get_mut(topic) {
            let span = partitions.entry(partition).or_insert(Span { first: offset, last: offset });
            *span = Span { first: span.first.min(offset), last: span.last.max(offset) };
        } else {
            let span = Span { first: offset, last: offset };
            self.0.insert(topic.to_owned(), BTreeMap::from([(partition, span)]));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A later transaction, in the partitions that it wrote to.
    pub(super) fn replace(&mut self, later: Self) {
        for (topic, partitions) in later.0 {
            self.0.entry(topic).or_default().extend(partitions);
        }
    }

    fn get(&self, topic: &str, partition: i32) -> Option<Span> {
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
    /// Somebody else's stands in front of what we know to be committed: whether that is
    /// open as well is not to be seen.
    hidden: bool,
}

impl Open {
    /// A partition that is decided up to `decided` and has records up to `end`.
    fn new(topic: &str, partition: i32, decided: i64, end: i64, settled: &Spans) -> Option<Self> {
        if decided >= end {
            return None;
        }
        let (mark, hidden) = match settled.get(topic, partition) {
            Some(span) if decided == span.first => (Mark::Commit, false),
            Some(span) => (Mark::Abort, decided <= span.last),
            None => (Mark::Abort, false),
        };
        Some(Self { topic: topic.to_owned(), partition, mark, hidden })
    }
}

impl CheckpointTopic {
    /// Where in these topics something is open that does not end by itself. `settled`: the last
    /// transaction in each that is known to be committed. Waits for others where they hide ours.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(super) fn open_in(
        &self,
        topics: &BTreeSet<String>,
        settled: &Spans,
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
            let hidden = open.iter().any(|open| open.hidden);
            let patience = if hidden { self.longest } else { GRACE };
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
        let mut settled = Spans::default();
        assert!(settled.is_empty());
        settled.note("bars", 0, 1);
        let mut later = Spans::default();
        for offset in [6, 7, 5] {
            later.note("bars", 0, offset);
        }
        later.note("bars", 1, 3);
        settled.replace(later);
        assert!(!settled.is_empty());
        let open = |partition, decided, end| {
            let open = Open::new("bars", partition, decided, end, &settled)?;
            Some((open.mark, open.hidden))
        };
        assert_eq!(open(0, 9, 9), None, "nothing is open");
        assert_eq!(open(0, 8, 9), Some((Mark::Abort, false)), "behind the last one committed");
        assert_eq!(open(0, 5, 9), Some((Mark::Commit, false)), "the last one committed");
        assert_eq!(open(0, 6, 9), Some((Mark::Abort, true)), "somebody else amid it");
        assert_eq!(open(0, 1, 9), Some((Mark::Abort, true)), "somebody else before it");
        assert_eq!(open(1, 3, 4), Some((Mark::Commit, false)));
        assert_eq!(open(2, 0, 4), Some((Mark::Abort, false)), "nothing known");
    }
}
