//! `[kafka]` and `[kafka.properties]`.

use std::collections::BTreeMap;

use super::problem::Problems;
use super::section::{Section, Value};

/// How bars are written as Kafka values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueEncoding {
    /// JSON objects.
    #[default]
    Json,
    /// Avro single-object encoding.
    Avro,
}

/// Kafka options as the user gave them; references to secrets are still references.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaOptions {
    /// `host:port[,host:port…]`.
    pub brokers: Option<String>,
    /// Topic template.
    pub topic: Option<String>,
    /// Encoding of values.
    pub encoding: ValueEncoding,
    /// Whether missing topics are created.
    pub create_topics: bool,
    /// Partitions of created topics.
    pub partitions: Option<i32>,
    /// librdkafka settings.
    pub properties: BTreeMap<String, String>,
}

impl KafkaOptions {
    /// Understands both sections.
    pub fn understand(mut keys: Section, mut properties: Section, problems: &mut Problems) -> Self {
        let encodings = [("json", ValueEncoding::Json), ("avro", ValueEncoding::Avro)];
        let options = Self {
            brokers: keys.text("brokers", problems).map(|(text, _)| text),
            topic: keys.text("topic", problems).map(|(text, _)| text),
            encoding: keys.choice("encoding", &encodings, problems).unwrap_or_default(),
            create_topics: keys.parse("create_topics", "true or false", problems).unwrap_or(false),
            partitions: keys.parse("partitions", "a whole number", problems),
            properties: properties
                .take_rest()
                .into_iter()
                .filter_map(|(key, value, origin)| match value {
                    Value::Text(text) => Some((key, text)),
                    Value::List(_) => {
                        problems.add(origin, format!("{key}: one value is wanted, not a list"));
                        None
                    }
                })
                .collect(),
        };
        if options.partitions.is_some_and(|partitions| partitions < 1) {
            problems.add("[kafka]", "partitions: at least 1 is wanted");
        }
        keys.finish(problems);
        options
    }
}
