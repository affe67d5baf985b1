//! Of which series a job said last how far they are.

use std::collections::BTreeMap;

use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};

use super::checkpoint_topic::{CheckpointTopic, Unread};
use super::tails;
use super::topic_reader::ReadError;
use crate::graph::sink::SinkError;

/// Series by their keys, and the names of their specifications.
pub(super) type Reported = BTreeMap<String, String>;

impl CheckpointTopic {
    /// The keys in a topic of progress whose newest committed record is of this job; none if the topic may
    /// not be read. Other jobs may write to it, even under the same keys: theirs stay.
    ///
    /// # Errors
    /// When Kafka does not answer, or another job's transaction does not end.
    pub(super) fn reported_by(
        &self,
        topic: &str,
        job: &str,
    ) -> Result<Option<Reported>, SinkError> {
        let reader = self.of_progress(topic);
        let mut reported = Reported::new();
        let read = reader.read_each("read_committed", |message| {
            let Some(Ok(key)) = message.key().map(std::str::from_utf8) else { return };
            let is_mine = header(message, tails::JOB).is_some_and(|of| of == job);
            match header(message, "spec").filter(|_| is_mine && message.payload().is_some()) {
                Some(spec) => reported.insert(key.to_owned(), spec.to_owned()),
                None => reported.remove(key),
            };
        });
        match read {
            Ok(()) | Err(Unread::Topic(ReadError::NoTopic)) => Ok(Some(reported)),
            Err(Unread::Topic(ReadError::Kafka(error))) if tails::is_forbidden(&error) => Ok(None),
            Err(Unread::Topic(ReadError::Kafka(error))) => {
                Err(reader.failed("could not be read", &error))
            }
            Err(Unread::Topic(error)) => Err(reader.wrong("could not be read", &error)),
            Err(Unread::Waiting(error)) => Err(error),
        }
    }
}

/// A header's text.
fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}
