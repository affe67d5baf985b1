//! `[kafka]` and `[kafka.properties]`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::durations::duration;
use super::file::ConfigFile;
use super::problem::Problems;
use super::section::{Section, Value, over};
use crate::net::address::{Address, Speaks};
use crate::registry::{Register, Registry, RegistrySettings, settings};
use crate::sinks::encode::{ENCODINGS, Encoding};
use crate::sinks::kafka::{HeaderStyle, KafkaSettings, KeyFormat, ProgressTopic};

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
    /// Where the schemas are that records name by an id.
    pub registry: Option<Registry>,
    /// How keys of bars are written.
    pub key: KeyFormat,
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
        let formats = [KeyFormat::Text, KeyFormat::Json].map(|format| (format.as_str(), format));
        let headers = [("plain", HeaderStyle::Plain), ("cloudevents", HeaderStyle::CloudEvents)];
        let options = Self {
            brokers: keys.text("brokers", problems).map(|(text, _)| text),
            topic: keys.text("topic", problems).map(|(text, _)| text),
            current: keys.parse("current", "true or false", problems).unwrap_or(false),
            progress_topic: keys
                .text("progress_topic", problems)
                .and_then(|(text, _)| text.parse().ok())
                .unwrap_or_default(),
            encoding: keys.choice("encoding", &ENCODINGS, problems).unwrap_or(Encoding::Json),
            registry: registry(&mut keys, problems),
            key: keys.choice("key", &formats, problems).unwrap_or_default(),
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

    /// Checks that a registry is not named in vain: readers would find no ids.
    pub fn check_registry(&self, problems: &mut Problems) {
        if self.registry.is_some() && self.encoding != Encoding::AvroConfluent {
            let message = format!(
                "schema_registry is for encoding = \"avro-confluent\" (--encoding avro-confluent); encoding is \
                 \"{}\"",
                self.encoding
            );
            problems.add("[kafka]", message);
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
            registry: self.registry.clone(),
            key: self.key,
            headers: self.headers,
            create_topics: self.create_topics,
            partitions: self.partitions.unwrap_or(defaults.partitions),
            properties: self.properties.clone(),
            shutdown_timeout: self.shutdown_timeout,
            ..KafkaSettings::default()
        }
    }
}

/// The registry, if there is one.
fn registry(keys: &mut Section, problems: &mut Problems) -> Option<Registry> {
    let ways = [Register::Never, Register::Check, Register::Auto].map(|way| (way.as_str(), way));
    let address = keys.text(settings::ADDRESS, problems);
    let (login, origin) = keys.text(settings::LOGIN, problems).unzip();
    let token = keys.text(settings::TOKEN, problems).map(|(reference, _)| reference);
    let ca_file = keys.text("schema_registry_ca_file", problems).map(|(path, _)| path.into());
    let origin = origin.unwrap_or_else(|| keys.origin_of("schema_register"));
    let register = keys.choice("schema_register", &ways, problems);
    let Some((text, at)) = address else {
        if login.is_some() || token.is_some() || ca_file.is_some() || register.is_some() {
            let message = "a login, a token, a certificate or a way of registering needs schema_registry \
                           (--schema-registry URL)";
            problems.add(origin, message);
        }
        return None;
    };
    let address = Address::read(settings::ADDRESS, &text, Speaks::Http);
    let address = address.map_err(|what| problems.add(at, what)).ok()?;
    let register = register.unwrap_or_default();
    Some(Registry::new(RegistrySettings { address, login, token, ca_file, register }))
}
