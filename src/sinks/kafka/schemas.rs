//! Ids of the schema of bars in a registry, a subject for each topic.

use std::time::{Duration, Instant};

use super::{KafkaSettings, KafkaSink, KeyFormat};
use crate::graph::sink::SinkError;
use crate::registry::{Patience, Registry, RegistryError, SchemaId};
use crate::sinks::encode::{Encoding, avro};
use crate::stop::Stop;

/// How long a registry may take for one subject.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long for all subjects of a start, during which the end may be asked for.
const START: Duration = Duration::from_secs(60);

/// How long for all new subjects of a run: bars wait for them, also those that an end has still to write.
const RUNNING: Duration = Duration::from_secs(20);

/// The subject of a topic's values: the strategy `TopicNameStrategy`, which all readers use by default.
fn subject_of(topic: &str) -> String {
    format!("{topic}-value")
}

impl KafkaSettings {
    /// What is wrong with how records are encoded and keyed.
    pub(super) fn encoding_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.registry {
            Some(registry) => problems.extend(registry.settings().problem()),
            None if self.encoding == Encoding::AvroConfluent => problems.push(
                "encoding = \"avro-confluent\" needs schema_registry (--schema-registry URL); \
                 encoding = \"avro\" does without a registry"
                    .to_owned(),
            ),
            None => {}
        }
        if self.key == KeyFormat::Json && self.properties.contains_key("partitioner") {
            problems.push(
                "kafka property \"partitioner\" cannot be combined with key = \"json\": bars stay in the \
                 partition of their instrument, which murmur2 chooses"
                    .to_owned(),
            );
        }
        problems
    }

    /// Looks for the schema of all bar topics that are known to come. Sinks of the same settings need not ask the
    /// registry about them any more.
    ///
    /// # Errors
    /// Why bars could not be written there; [`SinkError::Stopped`] as soon as the end is asked for.
    pub fn find_schemas(&self) -> Result<(), SinkError> {
        let known =
            self.known_bar_topics().map_err(|problem| SinkError::Settings(vec![problem]))?;
        self.schema_ids(&known, START, &self.stop).map(drop)
    }

    /// The ids of the schemas of those topics whose records need one.
    fn schema_ids(
        &self,
        topics: &[String],
        all: Duration,
        stop: &Stop,
    ) -> Result<Vec<(String, SchemaId)>, SinkError> {
        let time = PATIENCE.min(self.patience);
        let patience = Patience { time, until: Some(Instant::now() + all), stop };
        let needed = topics.iter().filter_map(|topic| {
            let registry = self.registry_of_values(topic)?;
            Some(
                registry.id(&subject_of(topic), avro::registered(), patience).map(|id| (topic, id)),
            )
        });
        needed
            .map(|found| found.map(|(topic, id)| (topic.clone(), id)).map_err(Into::into))
            .collect()
    }

    /// The registry that has the schema of a topic's values. Progress is JSON.
    fn registry_of_values(&self, topic: &str) -> Option<&Registry> {
        let is_registered = self.encoding == Encoding::AvroConfluent && !self.is_progress(topic);
        self.registry.as_ref().filter(|_| is_registered)
    }
}

impl KafkaSink {
    /// Looks for the schema of these topics, before the first record is sent to them.
    pub(super) fn find_schemas(&mut self, topics: &[String]) -> Result<(), SinkError> {
        // Not the run's: what is under way is still written when the end is asked for.
        let stop = Stop::new();
        self.schema_ids.extend(self.settings.schema_ids(topics, RUNNING, &stop)?);
        Ok(())
    }
}

impl From<RegistryError> for SinkError {
    fn from(error: RegistryError) -> Self {
        let text = match error.hint() {
            Some(hint) => format!("{error}\nhint: {hint}"),
            None => error.to_string(),
        };
        match error {
            RegistryError::Settings(_) => Self::Settings(vec![text]),
            RegistryError::Stopped { .. } => Self::Stopped(text),
            RegistryError::Unavailable { .. } => Self::Unavailable(text),
            _ => Self::Refused(text),
        }
    }
}
