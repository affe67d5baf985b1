//! Bars into Kafka: a topic per specification, the instrument as key, idempotently and in order.
//!
//! ```text
//! Commit ─► route (topic) ─► encode ─► send ─► librdkafka ─► broker
//!    ▲                                              │
//!    └──────────── first failure, silence ◄─ delivery reports
//! ```
//!
//! [`KafkaSink`] delivers at least once: within one run every bar arrives once and in order per key
//! (idempotent producer, acks = all), or the run stops with the reason; a run that is started again
//! writes its bars again. [`TransactionalSink`] closes that gap: bars and checkpoint in one
//! transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use barflow_operators::instrument::InstrumentId;
use barflow_operators::progress::Progress;
use barflow_operators::published::PublishedBar;
use rdkafka::ClientConfig;

use self::producer::{Outgoing, Producer};
use self::tails::Tails;
use self::topic_policy::TopicPolicy;
use self::topics::Template;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::printable::line;
use crate::registry::SchemaId;
use crate::sinks::encode::{Encoder, json};
use crate::sinks::progress::ProgressRecord;
use crate::sinks::record::BarRecord;
use crate::telemetry::latency::{Latency, Stage};

mod brokers;
mod checkpoint_topic;
mod forbidden;
mod hanging;
mod headers;
mod keys;
mod outcome;
mod own_progress;
mod prepare;
mod producer;
mod progress;
mod remedy;
mod reports;
mod schemas;
pub(crate) mod secrets;
mod settings;
mod shard_sinks;
mod shutdown;
mod tails;
mod topic_names;
mod topic_policy;
pub(crate) mod topic_reader;
mod topics;
mod transaction;
mod transactional;
mod transactions;
mod weak;

pub use self::brokers::broker_problems;
pub use self::checkpoint_topic::CheckpointTopic;
pub use self::headers::HeaderStyle;
pub use self::keys::KeyFormat;
pub use self::progress::ProgressTopic;
pub use self::settings::KafkaSettings;
pub use self::shard_sinks::ShardSinks;
pub use self::topic_names::topic_of_bars;
pub use self::transactions::TransactionalSink;

/// Writes bars to Kafka.
pub struct KafkaSink {
    settings: KafkaSettings,
    config: ClientConfig,
    template: Template,
    encoder: Encoder,
    producer: Producer,
    topics: BTreeSet<String>,
    /// Those that have bars of this job: they may be missing no more.
    needed: BTreeSet<String>,
    /// What topics do with their records, as far as it is known.
    policies: BTreeMap<String, TopicPolicy>,
    /// Ids of their schema, where records name one.
    schema_ids: BTreeMap<String, SchemaId>,
    /// How many partitions they have, where keys do not choose the partition.
    partitions: BTreeMap<String, i32>,
    /// Whether to warn of topics that forget: one of several sinks of a job does.
    warns: bool,
    routes: HashMap<(Arc<str>, InstrumentId), Route>,
    /// Records of progress sent.
    reported: u64,
    latency: Option<Latency>,
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl KafkaSink {
    /// Connects, and checks (or creates) every topic that is known to be needed.
    ///
    /// # Errors
    /// [`SinkError::Settings`] for wrong settings, before anything is sent anywhere;
    /// [`SinkError::Unavailable`] when Kafka cannot be reached; [`SinkError::Refused`] when it does not let
    /// us in, or has no such topic.
    pub fn open(settings: KafkaSettings) -> Result<Self, SinkError> {
        let mut sink = Self::connect(settings, &[])?;
        sink.prepare_known()?;
        sink.tails()?;
        if let Some(settings) = sink.with_batches_that_fit() {
            sink = Self {
                policies: sink.policies,
                topics: sink.topics,
                schema_ids: sink.schema_ids,
                partitions: sink.partitions,
                ..Self::connect(settings, &[])?
            };
        }
        Ok(sink)
    }

    /// Connects, with these properties of librdkafka over the others; no topic is created.
    fn connect(settings: KafkaSettings, over: &[(&str, &str)]) -> Result<Self, SinkError> {
        let (mut config, secrets) = settings.resolve(&|name| std::env::var(name).ok())?;
        for (key, value) in over {
            config.set(*key, *value);
        }
        let wrong = |problem| SinkError::Settings(vec![problem]);
        let template = settings.topic_template.parse().map_err(wrong)?;
        settings.stop.allow(settings.shutdown_timeout);
        let producer = Producer::new(&config, &settings.brokers, secrets, settings.patience)?;
        Ok(Self {
            encoder: Encoder::new(settings.encoding).with_int64(settings.int64),
            settings,
            config,
            template,
            producer,
            topics: BTreeSet::new(),
            needed: BTreeSet::new(),
            policies: BTreeMap::new(),
            schema_ids: BTreeMap::new(),
            partitions: BTreeMap::new(),
            warns: true,
            routes: HashMap::new(),
            reported: 0,
            latency: None,
        })
    }

    /// The settings with smaller batches, if a topic takes none as large as those of this producer:
    /// a batch is refused as a whole, though each of its messages is small enough.
    fn with_batches_that_fit(&self) -> Option<KafkaSettings> {
        let largest = self.policies.values().filter_map(|policy| policy.largest_batch).min()?;
        let set = self.settings.properties.get("batch.size").and_then(|set| set.parse().ok());
        let mut settings = self.settings.clone();
        settings.properties.insert("batch.size".to_owned(), largest.to_string());
        // What librdkafka takes where nothing is set.
        (largest < set.unwrap_or(1_000_000)).then_some(settings)
    }

    /// Reads who wrote the last bars of the topics, and warns of other jobs that write the same bars. None
    /// if the topics may not be read, or this sink is not a job's.
    fn tails(&self) -> Result<Option<Tails>, SinkError> {
        let Some(job) = self.settings.job.as_deref() else { return Ok(None) };
        let brokers = &self.settings.brokers;
        let topics = self.topics.union(&self.needed);
        let topics = topics.filter(|topic| !self.settings.is_compacted(topic)).cloned();
        let read = Tails::read(&self.settings.reader()?, topics, self.settings.patience);
        let tails = read.map_err(|error| {
            self.producer.unavailable(&format!(
                "kafka at \"{brokers}\" did not give the last bars of topics: {}",
                line(&error.to_string())
            ))
        })?;
        let Some(tails) = tails else {
            tracing::info!(
                "cannot check whether other jobs write the same bars: that needs Read on the bar topics \
                 and on the group \"barflow-checkpoints\""
            );
            return Ok(None);
        };
        for (series, last) in tails.shared(job, &self.settings.specs, &self.settings.instruments) {
            tracing::warn!(
                "topic \"{}\" at \"{brokers}\": job \"{}\" wrote bars \"{}\" of {} (partition {}, offset \
                 {}), which job \"{job}\" is about to write as well: readers get them twice; give each \
                 job a --topic of its own",
                series.topic,
                last.job,
                series.spec,
                series.instrument,
                last.partition,
                last.offset
            );
        }
        Ok(Some(tails))
    }

    /// Tells `latency` when Kafka has confirmed a bar of a live feed.
    pub fn observed_by(mut self, latency: Latency) -> Self {
        self.latency = Some(latency);
        self
    }

    fn route(&mut self, bar: &PublishedBar) -> Result<Route, SinkError> {
        let key = (Arc::clone(&bar.spec), bar.feed.instrument.clone());
        if let Some(route) = self.routes.get(&key) {
            return Ok(route.clone());
        }
        let wrong = |problem| SinkError::Settings(vec![problem]);
        let topic = self.template.topic(&bar.spec, &bar.feed.instrument).map_err(wrong)?;
        if let Some(problem) = self
            .settings
            .progress_topic
            .as_deref()
            .and_then(|name| progress::problem(name, std::slice::from_ref(&topic)))
        {
            return Err(wrong(problem));
        }
        let current = self.settings.current.then(|| current_of(&topic));
        let route = Route { topic: topic.into(), current: current.map(Into::into) };
        self.routes.insert(key, route.clone());
        Ok(route)
    }

    /// The topics that bars went to, for a person.
    fn places(&self) -> Vec<String> {
        let topics = self.routes.values().flat_map(|r| r.current.iter().chain([&r.topic]));
        let used: BTreeSet<&Arc<str>> = topics.collect();
        used.into_iter().map(|topic| format!("{topic} at {}", self.settings.brokers)).collect()
    }

    /// A published bar (+1) or a retraction (−1), for both kinds of topics.
    fn publish(&mut self, bar: &PublishedBar, diff: isize) -> Result<(), SinkError> {
        for (topic, part) in self.topics_of(bar)? {
            self.publish_in(bar, diff, &topic, part)?;
        }
        Ok(())
    }

    /// Where a bar goes, in order.
    fn topics_of(
        &mut self,
        bar: &PublishedBar,
    ) -> Result<impl Iterator<Item = (Arc<str>, Part)> + use<>, SinkError> {
        let Route { topic, current } = self.route(bar)?;
        let current = current.map(|current| (current, Part::Current));
        Ok(current.into_iter().chain([(topic, Part::Series)]))
    }

    /// A bar for one topic.
    fn publish_in(
        &mut self,
        bar: &PublishedBar,
        diff: isize,
        topic: &str,
        part: Part,
    ) -> Result<(), SinkError> {
        if !self.topics.contains(topic) {
            self.prepare(&[topic.to_owned()])?;
        }
        let record = BarRecord::of(bar, diff);
        let (style, encoding) = (self.settings.headers, self.encoder.encoding());
        let job = self.settings.job.as_deref();
        let headers = headers::headers(style, (bar, &record), encoding, job);
        let key = self.settings.key.key(&record, part);
        let value = encoded(&mut self.encoder, self.schema_ids.get(topic), &record)?;
        let close_time = milliseconds(record.close_time);
        if let Some(reason) =
            self.policies.get(topic).and_then(|policy| policy.deletes_at_once(close_time, now()))
        {
            return Err(SinkError::Settings(vec![format!(
                "topic \"{topic}\" at \"{0}\" would delete bars as soon as they are written: \
                 {reason}\nhint: kafka-configs.sh --bootstrap-server {0} --alter --entity-type topics \
                 --entity-name {topic} --add-config retention.ms=-1",
                self.settings.brokers
            )]));
        }
        let timestamp = Some(close_time);
        if part == Part::Current {
            // A tombstone: there is no current bar of that key.
            let value = (!record.retracts).then_some(value);
            let (partition, ticket) = (None, None);
            let key = &key;
            let outgoing = Outgoing { topic, partition, key, value, timestamp, headers, ticket };
            return self.producer.send(outgoing);
        }
        let latency = self.latency.as_ref().zip(bar.received);
        let ticket = latency.map(|(latency, received)| (latency.venue(record.venue), received));
        let partitions = self.partitions.get(topic);
        self.producer.send(Outgoing {
            topic,
            partition: partitions.and_then(|of| keys::partition_of(record.instrument, *of)),
            key: &key,
            value: Some(value),
            timestamp,
            headers,
            ticket,
        })?;
        if let Some((latency, received)) = latency {
            latency.note(record.venue, Stage::HandedOver, Some(received));
        }
        Ok(())
    }
}

impl KafkaSink {
    /// How far the bars of a series are complete; they must have been sent before.
    fn publish_progress(&mut self, progress: &Progress) -> Result<(), SinkError> {
        let Some(topic) = self.settings.progress_topic.clone() else { return Ok(()) };
        if !self.topics.contains(&topic) {
            self.prepare(std::slice::from_ref(&topic))?;
        }
        let (key, mut value) = (progress.key(), Vec::new());
        let written = json::write(&mut value, &ProgressRecord::from(progress), self.settings.int64);
        written.map_err(|error| {
            SinkError::Refused(format!("progress of \"{key}\" could not be written: {error}"))
        })?;
        self.reported += 1;
        self.producer.send(Outgoing {
            topic: &topic,
            partition: None,
            key: &key,
            value: Some(&value),
            timestamp: Some(milliseconds(progress.complete_time)),
            headers: progress::headers(
                self.settings.headers,
                progress,
                self.settings.job.as_deref(),
            ),
            ticket: None,
        })
    }
}

impl KafkaSink {
    /// Takes back what was said of these series, each with the name of its specification.
    fn withdraw_progress(&mut self, series: &BTreeMap<String, String>) -> Result<(), SinkError> {
        let Some(topic) = &self.settings.progress_topic else { return Ok(()) };
        for (key, spec) in series {
            self.producer.send(Outgoing {
                topic,
                partition: None,
                key,
                value: None,
                timestamp: None,
                headers: progress::tombstone_headers(spec, self.settings.job.as_deref()),
                ticket: None,
            })?;
        }
        Ok(())
    }
}

/// A bar as the bytes of its topic, which may have a schema in a registry.
fn encoded<'a>(
    encoder: &'a mut Encoder,
    schema: Option<&SchemaId>,
    record: &BarRecord<'_>,
) -> Result<&'a [u8], SinkError> {
    let encoded = match schema {
        Some(id) => encoder.encode_registered(*id, record),
        None => encoder.encode(record),
    };
    encoded.map_err(|error| {
        SinkError::Refused(format!(
            "bar {} of \"{}\", \"{}\": {error}",
            record.seq, record.instrument, record.spec
        ))
    })
}

/// Which of a bar's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The current bars, by key.
    Current,
    /// Everything ever said, in order.
    Series,
}

impl BarSink for KafkaSink {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        for (bar, diff) in &commit.bars {
            self.publish(bar, *diff)?;
        }
        if !commit.reports.is_empty() && self.settings.progress_topic.is_some() {
            // Never ahead of its bars: those are in another partition, which may be slower.
            self.producer.drain()?;
            for progress in &commit.reports {
                self.publish_progress(progress)?;
            }
        }
        self.producer.check()
    }

    fn tells_latency(&self) -> bool {
        self.latency.is_some()
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        self.producer.drain()?;
        let bars = self.producer.delivered().saturating_sub(self.reported);
        Ok(SinkReport { bars, places: self.places() })
    }
}

/// Where the bars of a series go.
#[derive(Clone)]
struct Route {
    /// Everything ever said, in order.
    topic: Arc<str>,
    /// The current bars, by key.
    current: Option<Arc<str>>,
}

/// The compacted topic beside a topic.
pub(crate) fn current_of(topic: &str) -> String {
    format!("{topic}{CURRENT}")
}

/// What makes a topic's name that of the compacted one beside it.
const CURRENT: &str = ".current";

/// ms since the Unix epoch, as a broker has it.
fn now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// ns to ms, towards the past, so that a bar never seems to close later than it did.
fn milliseconds(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1_000_000)
}
