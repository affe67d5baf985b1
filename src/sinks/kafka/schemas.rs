//! Ids of the schema of bars in a registry, a subject for each topic.

use std::time::Duration;

use super::{KafkaSettings, KafkaSink, KeyFormat};
use crate::graph::sink::SinkError;
use crate::registry::{Patience, Registry, RegistryError, SchemaId};
use crate::sinks::encode::{Encoding, avro};

/// How long a registry may take for one subject.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// Why bars could not be written there.
    pub fn find_schemas(&self) -> Result<(), SinkError> {
        let known =
            self.known_bar_topics().map_err(|problem| SinkError::Settings(vec![problem]))?;
        known.iter().try_for_each(|topic| self.schema_id(topic).map(drop))
    }

    /// The id of the schema of a topic; none if records do not need one.
    fn schema_id(&self, topic: &str) -> Result<Option<SchemaId>, SinkError> {
        let Some(registry) = self.registry_of_values(topic) else { return Ok(None) };
        let patience = Patience { time: PATIENCE.min(self.patience), stop: &self.stop };
        Ok(Some(registry.id(&subject_of(topic), avro::registered(), patience)?))
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
        for topic in topics {
            if let Some(id) = self.settings.schema_id(topic)? {
                self.schema_ids.insert(topic.clone(), id);
            }
        }
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
            RegistryError::Unavailable { .. } => Self::Unavailable(text),
            _ => Self::Refused(text),
        }
    }
}
