//! The compacted topic of checkpoints.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message as _};

use super::remedy::Remedy;
use super::secrets::Secrets;
use super::settings::KafkaSettings;
use super::topic_reader::{self, ReadError, read_to_end};
use crate::checkpoints::saved::Entries;
use crate::graph::sink::SinkError;
use crate::printable::line;

/// Bytes of the largest record: all builders of one instrument.
pub(super) const LARGEST_RECORD: &str = "8388608";

/// Between two looks at whether other jobs' transactions have ended.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Why a topic was not read.
pub(super) enum Unread {
    Topic(ReadError),
    Waiting(SinkError),
}

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Self {
        Self::Topic(error)
    }
}

impl From<SinkError> for Unread {
    fn from(error: SinkError) -> Self {
        Self::Waiting(error)
    }
}

/// Reads checkpoints back.
#[derive(Clone)]
pub struct CheckpointTopic {
    config: ClientConfig,
    secrets: Secrets,
    brokers: String,
    /// What the topic is called in messages.
    what: &'static str,
    topic: String,
    pub(super) patience: Duration,
    /// How long a transaction may last.
    pub(super) longest: Duration,
}

impl CheckpointTopic {
    /// Finds the topic, and makes it if it is not there: it is ours alone, so it needs no leave.
    ///
    /// # Errors
    /// When Kafka cannot be reached or does not let us.
    pub fn open(settings: &KafkaSettings) -> Result<Self, SinkError> {
        let (config, secrets) = (settings.reader()?, settings.secrets()?);
        let (brokers, topic) = (settings.brokers.clone(), settings.checkpoint_topic.clone());
        let (patience, longest) = (settings.patience, settings.longest_transaction());
        let what = "the checkpoint topic";
        let opened = Self { config, secrets, brokers, what, topic, patience, longest };
        opened.ensure()?;
        Ok(opened)
    }

    pub(super) fn wrong(&self, what: &str, reason: &dyn std::fmt::Display) -> SinkError {
        SinkError::Unavailable(self.text(what, reason))
    }

    /// As [`wrong`](Self::wrong), with what is to be done about it if that is known.
    pub(super) fn failed(&self, what: &str, error: &KafkaError) -> SinkError {
        let hint = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                "\nhint: the user needs Read, Write and Describe on that topic, and Create if it \
                 does not exist"
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                "\nhint: the user needs Read on the group \"barflow-checkpoints\""
            }
            _ => "",
        };
        let reason = format!("{}{hint}", line(&error.to_string()));
        Remedy::of(error.rdkafka_error_code()).error(self.text(what, &reason), false)
    }

    fn text(&self, what: &str, reason: &dyn std::fmt::Display) -> String {
        self.secrets.remove_from(&format!(
            "{} \"{}\" at \"{}\" {what}: {reason}",
            self.what, self.topic, self.brokers
        ))
    }

    fn ensure(&self) -> Result<(), SinkError> {
        let unseen = |error: &KafkaError| self.failed("could not be looked up", error);
        let admin: AdminClient<DefaultClientContext> =
            self.config.create().map_err(|e| unseen(&e))?;
        let metadata = admin.inner().fetch_metadata(Some(&self.topic), self.patience);
        let metadata = metadata.map_err(|e| unseen(&e))?;
        match metadata.topics().first().and_then(|topic| topic.error()).map(Into::into) {
            None => self.check_policy(&admin),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                self.make(&admin)
            }
            Some(code) => Err(unseen(&KafkaError::MetadataFetch(code))),
        }
    }

    fn make(&self, admin: &AdminClient<DefaultClientContext>) -> Result<(), SinkError> {
        // One partition, so that what was read first was written first. Small segments, because
        // Kafka compacts no segment that it still writes, and a restart reads all of them. The
        // broker's time, because it refuses records whose time is an hour ahead of its own, and
        // the clock of this computer may be.
        let new = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            .set("segment.bytes", "16777216")
            .set("min.cleanable.dirty.ratio", "0.2")
            .set("max.message.bytes", LARGEST_RECORD)
            .set("message.timestamp.type", "LogAppendTime")
            .set("retention.ms", "-1");
        let made = futures_executor::block_on(admin.create_topics([&new], &self.options()))
            .map_err(|e| self.failed("could not be created", &e))?;
        match made.into_iter().next() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                Err(self.failed("could not be created", &KafkaError::AdminOp(code)))
            }
            _ => self.await_sight(admin),
        }
    }

    /// A topic that was made a moment ago may not be known everywhere.
    fn await_sight(&self, admin: &AdminClient<DefaultClientContext>) -> Result<(), SinkError> {
        let start = Instant::now();
        loop {
            let metadata = admin.inner().fetch_metadata(Some(&self.topic), self.patience);
            let metadata = metadata.map_err(|e| self.failed("could not be looked up", &e))?;
            let found = metadata.topics().first();
            if found.is_some_and(|topic| topic.error().is_none()) {
                return Ok(());
            }
            if start.elapsed() > self.patience {
                return Err(self.wrong("was created", &"but does not appear"));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A topic with retention by age would lose the state of instruments that trade rarely.
    fn check_policy(&self, admin: &AdminClient<DefaultClientContext>) -> Result<(), SinkError> {
        let resource = [ResourceSpecifier::Topic(&self.topic)];
        let asked = admin.describe_configs(&resource, &self.options());
        let described = futures_executor::block_on(asked)
            .map_err(|e| self.failed("could not be described", &e))?;
        let policy = match described.into_iter().next() {
            Some(Ok(found)) => found.get("cleanup.policy").and_then(|entry| entry.value.clone()),
            _ => None,
        };
        match policy.as_deref() {
            Some("compact") => Ok(()),
            Some(policy) => Err(SinkError::Settings(vec![format!(
                "the checkpoint topic \"{0}\" at \"{1}\" has cleanup.policy={policy}: jobs would \
                 lose their state\nhint: kafka-configs.sh --bootstrap-server {1} --alter \
                 --entity-type topics --entity-name {0} --add-config \
                 cleanup.policy=compact,retention.ms=-1",
                self.topic, self.brokers
            )])),
            None => {
                tracing::warn!(
                    "cannot check that topic \"{}\" is compacted: that needs DescribeConfigs",
                    self.topic
                );
                Ok(())
            }
        }
    }

    fn options(&self) -> AdminOptions {
        let patience = Some(self.patience);
        AdminOptions::new().request_timeout(patience).operation_timeout(patience)
    }

    pub(super) fn consumer(&self, isolation: &str) -> Result<BaseConsumer, SinkError> {
        topic_reader::consumer(self.config.clone(), "barflow-checkpoints", isolation)
            .map_err(|e| self.failed("could not be read", &e))
    }

    /// Keys that `wanted` wants, of records that were committed, aborted or neither yet. Waits for
    /// no transaction.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn mentioned(&self, wanted: impl Fn(&str) -> bool) -> Result<BTreeSet<String>, SinkError> {
        Ok(self.newest(wanted)?.into_keys().collect())
    }

    /// The newest value under each key that `keep` wants, committed, aborted or neither yet. Waits for
    /// no transaction.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(super) fn newest(&self, keep: impl Fn(&str) -> bool) -> Result<Entries, SinkError> {
        self.read_as("read_uncommitted", keep)
    }

    /// The newest committed value under each key that `keep` wants.
    ///
    /// Whatever was committed before the call is in the answer. That takes some care: committed
    /// records after another job's open transaction are not visible until that one has ended, so
    /// this waits for it, as long as a transaction can last.
    ///
    /// # Errors
    /// When Kafka does not answer, or another job's transaction does not end.
    pub fn read(&self, keep: impl Fn(&str) -> bool) -> Result<Entries, SinkError> {
        self.read_as("read_committed", keep)
    }

    /// The same reader for the topic of progress.
    pub(super) fn of_progress(&self, topic: &str) -> Self {
        Self { what: "the topic of progress", topic: topic.to_owned(), ..self.clone() }
    }

    /// Gives `each` all records in the order of each partition.
    pub(super) fn read_each(
        &self,
        isolation: &str,
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), Unread> {
        let reader = self.consumer(isolation)?;
        let all = self.consumer("read_uncommitted")?;
        let range = |partition| {
            let (low, end) = all
                .fetch_watermarks(&self.topic, partition, self.patience)
                .map_err(ReadError::from)?;
            if isolation == "read_committed" {
                self.wait_until_decided(&reader, partition, end)?;
            }
            Ok::<_, Unread>((low, end))
        };
        read_to_end(&reader, &self.topic, self.patience, range, |message| {
            each(message);
            Ok(())
        })
    }

    fn read_as(&self, isolation: &str, keep: impl Fn(&str) -> bool) -> Result<Entries, SinkError> {
        let mut entries = Entries::new();
        let read = self.read_each(isolation, |message| {
            if let Some(Ok(key)) = message.key().map(std::str::from_utf8)
                && keep(key)
            {
                match message.payload() {
                    Some(value) => entries.insert(key.to_owned(), value.to_vec()),
                    None => entries.remove(key),
                };
            }
        });
        match read {
            Ok(()) => Ok(entries),
            Err(Unread::Waiting(error)) => Err(error),
            // Nothing read would look like nothing committed.
            Err(Unread::Topic(ReadError::NoTopic)) => Err(SinkError::Refused(format!(
                "the checkpoint topic \"{}\" at \"{}\" was deleted while this run wrote to it",
                self.topic, self.brokers
            ))),
            Err(Unread::Topic(ReadError::Kafka(error))) => {
                Err(self.failed("could not be read", &error))
            }
            Err(Unread::Topic(error)) => Err(self.wrong("could not be read", &error)),
        }
    }

    /// Waits until everything before `end` is committed or aborted.
    fn wait_until_decided(
        &self,
        committed: &BaseConsumer,
        partition: i32,
        end: i64,
    ) -> Result<(), SinkError> {
        let start = Instant::now();
        let mut said = false;
        loop {
            // For such a consumer the end is where the first open transaction begins.
            let (_, decided) = committed
                .fetch_watermarks(&self.topic, partition, self.patience)
                .map_err(|error| self.failed("could not be read", &error))?;
            if decided >= end {
                return Ok(());
            }
            if start.elapsed() > Duration::from_secs(120) {
                // Longer than one lasts by default: Kafka itself may have forgotten to end it.
                let reason = format!(
                    "another job's transaction has been open for two minutes\nhint: if that job \
                     is not running, kafka-transactions.sh --bootstrap-server {} \
                     find-hanging --topic {} finds it, and abort ends it",
                    self.brokers, self.topic
                );
                return Err(self.wrong("could not be read", &reason));
            }
            if !said && start.elapsed() > Duration::from_secs(1) {
                said = true;
                tracing::info!("waiting for another job's transaction in {}", self.topic);
            }
            std::thread::sleep(LOOK);
        }
    }
}
