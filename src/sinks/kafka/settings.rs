//! What a user may choose about Kafka, and what barflow insists on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::brokers::broker_problems;
use super::forbidden;
use super::headers::HeaderStyle;
use super::keys::KeyFormat;
use super::secrets::{Secrets, Value, is_secret};
use crate::graph::sink::SinkError;
use crate::net::url::{redacted, redacted_address};
use crate::registry::Registry;
use crate::sinks::encode::Encoding;
use crate::sinks::encode::json::Int64;
use crate::stop::Stop;

/// Settings on which the delivery guarantee rests: set by code, never by a file.
const FIXED: [(&str, &str); 5] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("request.required.acks", "all"),
    // Every delivery is counted, not only the failed ones.
    ("delivery.report.only.error", "false"),
    // A topic that springs up with the broker's defaults loses old bars to its retention.
    ("allow.auto.create.topics", "false"),
];

/// Ways to log in; what else librdkafka is told it repeats, be it a password in the wrong line.
const MECHANISMS: [&str; 5] = ["GSSAPI", "OAUTHBEARER", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Properties that mean nothing to a consumer, or something else.
const PRODUCERS_ONLY: [&str; 16] = [
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.idempotence",
    "linger.ms",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.ms",
    "request.required.acks",
    "transaction.timeout.ms",
];

/// What we choose where the user does not, with the other names librdkafka has for it.
const DEFAULTS: [(&str, &str, &[&str]); 7] = [
    ("client.id", "barflow", &[]),
    ("compression.type", "zstd", &["compression.codec"]),
    // Batches large enough for zstd to find the repetitions between bars.
    ("linger.ms", "10", &["queue.buffering.max.ms"]),
    // The partitioner of the Java clients, so that their joins meet our bars.
    ("partitioner", "murmur2_random", &[]),
    // librdkafka would hold 1 GiB; a replay promises to stay small: 32 MiB.
    ("queue.buffering.max.kbytes", "32768", &[]),
    // Below our patience, so that the cause is known when it ends.
    ("socket.connection.setup.timeout.ms", "8000", &[]),
    // Reconnect attempts while a broker restarts: often enough to be noticed.
    ("reconnect.backoff.max.ms", "1000", &[]),
];

/// How to reach Kafka and what to write there.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The topic of a bar; placeholders `{spec}`, `{instrument}`, `{venue}`, `{market}`,
    /// `{symbol}`.
    pub topic_template: String,
    /// Whether current bars are also kept by key in a compacted topic beside each topic, named
    /// as it with `.current` appended.
    pub current: bool,
    /// The compacted topic of progress; none if it is not written.
    pub progress_topic: Option<String>,
    /// Whether a run fails that cannot have that topic.
    pub progress_required: bool,
    /// How values are written.
    pub encoding: Encoding,
    /// Where the schemas are that records name by an id. What is found out about them is shared by all clones.
    pub registry: Option<Registry>,
    /// How keys of bars are written.
    pub key: KeyFormat,
    /// How JSON has 64-bit integers.
    pub int64: Int64,
    /// Which headers records have.
    pub headers: HeaderStyle,
    /// Whether missing topics are created.
    pub create_topics: bool,
    /// Partitions of a topic that is created; at least 1.
    pub partitions: u32,
    /// librdkafka settings. A value may be `${NAME}` (environment) or `${file:/path}`; whatever is
    /// secret must be.
    pub properties: BTreeMap<String, String>,
    /// Names of the bar specifications, as far as known: their topics are checked at the start.
    pub specs: Vec<String>,
    /// Instruments, as far as known, for templates that name them.
    pub instruments: Vec<InstrumentId>,
    /// The job that writes, which each of its bars names.
    pub job: Option<String>,
    /// How long Kafka may be silent while we wait for it.
    pub patience: Duration,
    /// The compacted topic of checkpoints.
    pub checkpoint_topic: String,
    /// How long a transaction is tried again before the run ends.
    pub recovery: Duration,
    /// How long a transaction is tried again once the run was asked to end.
    pub shutdown_timeout: Duration,
    /// The end of the run.
    pub stop: Stop,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topic_template: "bars.{spec}".to_owned(),
            current: false,
            progress_topic: None,
            progress_required: false,
            encoding: Encoding::Json,
            registry: None,
            key: KeyFormat::Text,
            int64: Int64::Number,
            headers: HeaderStyle::Plain,
            create_topics: false,
            partitions: 1,
            properties: BTreeMap::new(),
            specs: Vec::new(),
            instruments: Vec::new(),
            job: None,
            patience: Duration::from_secs(10),
            checkpoint_topic: "barflow.checkpoints".to_owned(),
            recovery: Duration::from_secs(300),
            // What container managers give a process before they kill it.
            shutdown_timeout: Duration::from_secs(30),
            stop: Stop::new(),
        }
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not derived: a literal password is here until it is refused.
        let shown: BTreeMap<&str, Cow<'_, str>> = self
            .properties
            .iter()
            .map(|(key, value)| {
                let open = !is_secret(key) || !matches!(Value::parse(value), Ok(Value::Literal(_)));
                (key.as_str(), if open { redacted_address(value) } else { "***".into() })
            })
            .collect();
        f.debug_struct("KafkaSettings")
            .field("brokers", &redacted_address(&self.brokers))
            .field("topic_template", &self.topic_template)
            .field("current", &self.current)
            .field("progress_topic", &self.progress_topic)
            .field("encoding", &self.encoding)
            .field("registry", &self.registry)
            .field("key", &self.key)
            .field("int64", &self.int64)
            .field("headers", &self.headers)
            .field("create_topics", &self.create_topics)
            .field("partitions", &self.partitions)
            .field("properties", &shown)
            .field("specs", &self.specs)
            .field("instruments", &self.instruments)
            .field("job", &self.job)
            .field("patience", &self.patience)
            .field("checkpoint_topic", &self.checkpoint_topic)
            .field("recovery", &self.recovery)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .finish_non_exhaustive()
    }
}

impl KafkaSettings {
    /// Everything wrong with the settings, without touching network, files or environment.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(broker_problems(&self.brokers));
        problems.extend(self.topic_problems());
        problems.extend(self.encoding_problems());
        if self.partitions == 0 || i32::try_from(self.partitions).is_err() {
            problems.push(format!("partitions is {}; it must be at least 1", self.partitions));
        }
        if self.patience < Duration::from_millis(100) {
            problems.push(format!("patience is {:?}; it must be at least 100 ms", self.patience));
        }
        for (key, value) in &self.properties {
            if let Err(problem) = self.property(key, value) {
                problems.push(format!("kafka property \"{key}\" {problem}"));
            }
        }
        problems
    }

    fn property(&self, key: &str, text: &str) -> Result<(), String> {
        // Before anything else: librdkafka loads plugins as soon as it is told of them.
        if let Some(effect) = forbidden::effect(key) {
            return Err(format!("is not allowed: it {effect}"));
        }
        let value = Value::parse(text)?;
        if is_secret(key) && matches!(value, Value::Literal(_)) {
            return Err("is a secret and must be given by reference: ${NAME} for an environment \
                        variable, or ${file:/path}"
                .to_owned());
        }
        if matches!(value, Value::Literal(_)) && matches!(redacted(text), Cow::Owned(_)) {
            return Err(
                "holds a secret and must be given by reference: ${NAME} for an environment \
                        variable, or ${file:/path}"
                    .to_owned(),
            );
        }
        if key.ends_with(".location")
            && let Ok(found) = std::fs::metadata(text)
            && !found.is_file()
            && !found.is_dir()
        {
            // librdkafka would wait for somebody to write into a pipe, deaf to signals.
            return Err(format!("is \"{text}\": a pipe or a device, not a file"));
        }
        if matches!(key, "bootstrap.servers" | "metadata.broker.list") {
            return Err(format!(
                "is \"{}\"; the brokers are set by their own key, and are \"{}\"",
                redacted_address(text),
                redacted_address(&self.brokers)
            ));
        }
        if matches!(key, "sasl.mechanism" | "sasl.mechanisms")
            && matches!(value, Value::Literal(_))
            && !MECHANISMS.contains(&text)
        {
            return Err(format!("is not one of {}", MECHANISMS.join(", ")));
        }
        if key == "transactional.id" {
            return Err(format!("is \"{text}\"; it is reserved by barflow"));
        }
        if let Some((_, fixed)) = FIXED.iter().find(|(name, _)| *name == key) {
            let same = text == *fixed || (text == "-1" && *fixed == "all");
            return if same {
                Ok(())
            } else {
                Err(format!("is \"{text}\"; barflow's delivery guarantee needs \"{fixed}\""))
            };
        }
        // librdkafka itself says whether it knows the name and takes the value.
        let (trial, literal) = match value {
            Value::Literal(text) => (text, true),
            Value::Environment(_) | Value::File(_) => ("", false),
        };
        match ClientConfig::new().set(key, trial).create_native_config() {
            Err(KafkaError::ClientConfig(result, text, _, _))
                if literal || result == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN =>
            {
                // What may be a password in the wrong line is not repeated.
                let invalid =
                    text.strip_prefix("Invalid value \"").and_then(|of| of.rsplit_once("\" for "));
                let text = invalid
                    .map_or_else(|| text.clone(), |(_, of)| format!("Invalid value for {of}"));
                Err(format!("was refused by librdkafka: {text}"))
            }
            _ => Ok(()),
        }
    }

    /// What is weak about the way to the brokers and the registry, and what to do about it, as far as that is known
    /// without looking for what references name.
    pub fn weaknesses(&self) -> Vec<String> {
        let registry = self.registry.iter().filter_map(|registry| registry.settings().weakness());
        super::weak::weaknesses(&self.properties).into_iter().chain(registry).collect()
    }

    /// As [`weaknesses`](Self::weaknesses), also of a registry whose address comes by reference.
    pub fn resolved_weaknesses(&self) -> Vec<String> {
        let found = |name: &str| std::env::var(name).ok();
        let registry = self.registry.iter().filter_map(|of| of.settings().weakness_in(&found));
        super::weak::weaknesses(&self.properties).into_iter().chain(registry).collect()
    }

    /// How a reader reaches the same Kafka.
    ///
    /// # Errors
    /// [`SinkError::Settings`] with all problems at once.
    pub fn reader(&self) -> Result<ClientConfig, SinkError> {
        let (mut config, _) = self.resolve(&|name| std::env::var(name).ok())?;
        // Taken out, not copied over: the library shows no secret, not even to us.
        for property in PRODUCERS_ONLY {
            config.remove(property);
        }
        Ok(config)
    }

    /// After how long the broker ends an abandoned transaction, as it is set here.
    pub(super) fn longest_transaction(&self) -> Duration {
        // What librdkafka takes where nothing is set; what is not a number it refuses.
        let set = self.properties.get("transaction.timeout.ms").and_then(|set| set.parse().ok());
        // By default the broker looks every ten seconds which of them have lasted too long.
        Duration::from_millis(set.unwrap_or(60_000)) + Duration::from_secs(15)
    }

    /// What must never be shown.
    pub(super) fn secrets(&self) -> Result<Secrets, SinkError> {
        self.resolve(&|name| std::env::var(name).ok()).map(|(_, secrets)| secrets)
    }

    /// The client's configuration, with every reference resolved.
    ///
    /// # Errors
    /// [`SinkError::Settings`] with all problems at once.
    pub(super) fn resolve(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(ClientConfig, Secrets), SinkError> {
        let mut problems = self.problems();
        let mut secrets = Secrets::default();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        for (key, default, aliases) in DEFAULTS {
            // Two names of one setting would be applied in no particular order.
            if !aliases.iter().any(|alias| self.properties.contains_key(*alias)) {
                config.set(key, default);
            }
        }
        for (key, text) in &self.properties {
            // Errors of the reference itself are among the problems already.
            let Ok(value) = Value::parse(text) else { continue };
            match value.resolve(environment) {
                Ok(found) => {
                    if !matches!(value, Value::Literal(_)) {
                        secrets.add(&found);
                        if is_secret(key) {
                            crate::secrets::keep(&found);
                        }
                    }
                    config.set(key, found);
                }
                Err(problem) => problems.push(format!("kafka property \"{key}\": {problem}")),
            }
        }
        for (key, fixed) in FIXED {
            config.set(key, fixed);
        }
        if problems.is_empty() { Ok((config, secrets)) } else { Err(SinkError::Settings(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(properties: &[(&str, &str)]) -> KafkaSettings {
        KafkaSettings {
            brokers: "127.0.0.1:9092".into(),
            properties: properties.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..KafkaSettings::default()
        }
    }

    #[test]
    fn an_override_of_the_guarantee_is_refused_with_both_values() {
        assert_eq!(
            with(&[("acks", "1"), ("enable.idempotence", "false")]).problems(),
            [
                "kafka property \"acks\" is \"1\"; barflow's delivery guarantee needs \"all\"",
                "kafka property \"enable.idempotence\" is \"false\"; barflow's delivery guarantee \
                 needs \"true\"",
            ]
        );
        assert_eq!(with(&[("acks", "-1"), ("enable.idempotence", "true")]).problems().len(), 0);
    }

    #[test]
    fn a_literal_secret_is_refused_and_never_shown() {
        let settings = with(&[("sasl.password", "tiger"), ("sasl.username", "scott")]);
        let problems = settings.problems().join("\n");
        assert!(problems.contains("must be given by reference"), "{problems}");
        assert!(!problems.contains("tiger"), "{problems}");
        let shown = format!("{settings:?}");
        assert!(shown.contains("scott") && !shown.contains("tiger"), "{shown}");
    }

    #[test]
    fn a_login_in_the_brokers_or_in_a_url_is_refused_and_never_shown() {
        for brokers in [
            "u:s3cret@h:9092",
            "u:s3cret@h:9092,",
            "kafka://u:s3cret@h",
            "kafka://h?password=s3cret",
        ] {
            let settings = KafkaSettings { brokers: brokers.into(), ..with(&[]) };
            let said = format!("{:?} {settings:?}", settings.problems());
            assert!(!settings.problems().is_empty() && !said.contains("s3cret"), "{said}");
        }
        let endpoint = ("sasl.oauthbearer.token.endpoint.url", "https://u:s3cret@h/");
        let own = ("bootstrap.servers", "u:s3cret@h:1");
        for property in [endpoint, own] {
            let settings = with(&[property]);
            let said = format!("{:?} {settings:?}", settings.problems());
            assert!(settings.problems().len() == 1 && !said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn names_and_values_are_checked_by_the_library_itself() {
        let problems =
            with(&[("lingr.ms", "5"), ("linger.ms", "soon"), ("nonsense.password", "${X}")])
                .problems();
        assert_eq!(problems.len(), 3, "{problems:?}");
        let misplaced = [("sasl.mechanism", "s3cret"), ("security.protocol", "s3cret\" for x")];
        let said = with(&[misplaced[0], misplaced[1], ("debug", "broker,s3cret")]).problems();
        assert!(said.len() == 3 && !said.concat().contains("s3cret"), "{said:?}");
        assert!(problems[0].contains("\"linger.ms\" was refused"), "{problems:?}");
        assert!(problems[1].contains("\"lingr.ms\" was refused"), "{problems:?}");
        assert_eq!(with(&[("sasl.password", "${X}"), ("linger.ms", "${Y}")]).problems().len(), 0);
    }

    #[test]
    fn a_certificate_is_a_file() {
        let problems =
            with(&[("ssl.ca.location", "/dev/zero"), ("ssl.key.location", "/none")]).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("\"/dev/zero\": a pipe or a device"), "{problems:?}");
    }

    #[test]
    fn what_loads_code_is_refused_whatever_its_value() {
        for value in ["./pl.so", "${PLUGIN}", "${file:/run/secrets/plugin}", "a${b"] {
            let problems = with(&[("plugin.library.paths", value)]).problems();
            let expected =
                "kafka property \"plugin.library.paths\" is not allowed: it loads native code";
            assert_eq!(problems, [expected]);
        }
    }

    #[test]
    fn all_problems_come_at_once() {
        let settings = KafkaSettings {
            brokers: String::new(),
            topic_template: "bars.{what}".into(),
            partitions: 0,
            properties: [("acks".to_owned(), "0".to_owned())].into(),
            ..KafkaSettings::default()
        };
        assert_eq!(settings.problems().len(), 4, "{:?}", settings.problems());
    }

    #[test]
    fn references_are_resolved_and_defaults_yield_under_any_name() {
        let settings = with(&[("sasl.password", "${P}"), ("compression.codec", "lz4")]);
        let (config, secrets) = settings.resolve(&|name| Some(format!("value of {name}"))).unwrap();
        assert_eq!(config.get("sasl.password"), Some("value of P"));
        assert_eq!(config.get("compression.type"), None);
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(secrets.remove_from("value of P"), "***");
        let missing = settings.resolve(&|_| None).unwrap_err().to_string();
        assert_eq!(
            missing,
            "kafka property \"sasl.password\": environment variable \"P\" is not set"
        );
    }
}
