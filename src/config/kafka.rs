//! `[kafka]` and `[kafka.properties]`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::durations::duration;
use super::file::ConfigFile;
use super::problem::Problems;
use super::section::{Section, Value, over};
use crate::sinks::encode::Encoding;
use crate::sinks::kafka::{HeaderStyle, KafkaSettings, ProgressTopic};

/// Kafka options as the user gave them; references to secrets are still references.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// `host:port[,host:port…]`.
    pub brokers: Option<String>,
    /// Topic template.
    pub topic: Option<String>,
    /// Whether current bars are also kept in compacted topics.
    pub current: bool,
    /// Where progress goes.
    pub progress_topic: ProgressTopic,
    /// Encoding of values.
    pub encoding: Encoding,
    /// Which headers records have.
    pub headers: HeaderStyle,
    /// Whether missing topics are created.
    pub create_topics: bool,
    /// Partitions of created topics.
    pub partitions: Option<u32>,
    /// How long commits are retried once the run was asked to end; 0: not at all.
    pub shutdown_timeout: Duration,
    /// librdkafka settings.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sink's own settings know which properties must not be shown.
        self.settings().fmt(f)
    }
}

impl KafkaOptions {
    /// Those of a configuration file, under those that were typed.
    pub fn of_file(mut file: ConfigFile, typed: Section, problems: &mut Problems) -> Self {
        let keys = over(file.take("kafka"), typed);
        Self::understand(keys, file.take("kafka.properties"), problems)
    }

    /// Understands both sections.
    pub fn understand(mut keys: Section, mut properties: Section, problems: &mut Problems) -> Self {
        let encodings = [("json", Encoding::Json), ("avro", Encoding::Avro)];
        let headers = [("plain", HeaderStyle::Plain), ("cloudevents", HeaderStyle::CloudEvents)];
        let options = Self {
            brokers: keys.text("brokers", problems).map(|(text, _)| text),
            topic: keys.text("topic", problems).map(|(text, _)| text),
            current: keys.parse("current", "true or false", problems).unwrap_or(false),
            progress_topic: keys
                .text("progress_topic", problems)
                .and_then(|(text, _)| text.parse().ok())
                .unwrap_or_default(),
            encoding: keys.choice("encoding", &encodings, problems).unwrap_or(Encoding::Json),
            headers: keys.choice("headers", &headers, problems).unwrap_or_default(),
            create_topics: keys.parse("create_topics", "true or false", problems).unwrap_or(false),
            partitions: keys.parse("partitions", "a whole number", problems),
            shutdown_timeout: {
                let usual = KafkaSettings::default().shutdown_timeout;
                duration(&mut keys, "shutdown_timeout", problems, usual).unwrap_or_default()
            },
            properties: properties
                .take_rest()
                .into_iter()
                .filter_map(|(key, value, origin)| match value {
                    Value::Text(text) => Some((key, text)),
                    Value::List(_) => {
                        problems.add(origin, format!("{key} must be a single value, not a list"));
                        None
                    }
                })
                .collect(),
        };
        keys.finish(problems);
        options
    }

    /// Checks what can be checked without touching network, files or environment.
    pub fn check(&self, problems: &mut Problems) {
        if self.brokers.is_none() {
            let message = "the kafka sink needs brokers: --brokers HOST:PORT, BARFLOW_BROKERS, or \
                           brokers under [kafka]";
            problems.add("[kafka]", message);
            return;
        }
        for problem in self.settings().problems() {
            problems.add("[kafka]", problem);
        }
    }

    /// Checks that bars can be told apart where they are kept by key: empty ones have the last trade
    /// of the bar before.
    pub fn check_keys(&self, empty_bars: bool, problems: &mut Problems) {
        if self.current && empty_bars {
            problems.add("[kafka]", "current = true cannot be combined with empty_bars");
        }
    }

    /// The sink's settings; specifications and instruments are still to be named.
    pub fn settings(&self) -> KafkaSettings {
        let defaults = KafkaSettings::default();
        let topic_template = self.topic.clone().unwrap_or(defaults.topic_template);
        KafkaSettings {
            brokers: self.brokers.clone().unwrap_or_default(),
            progress_topic: self.progress_topic.name(&topic_template),
            progress_required: matches!(self.progress_topic, ProgressTopic::Named(_)),
            topic_template,
            current: self.current,
            encoding: self.encoding,
            headers: self.headers,
            create_topics: self.create_topics,
            partitions: self.partitions.unwrap_or(defaults.partitions),
            properties: self.properties.clone(),
            shutdown_timeout: self.shutdown_timeout,
            ..KafkaSettings::default()
        }
    }
}
