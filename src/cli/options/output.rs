//! Options that say where bars go, and what survives a restart.

use clap::{Args, ValueHint};

/// Where bars go.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Output: jsonl, csv, parquet, kafka or none
    #[arg(long, value_name = "SINK", env = "BARFLOW_SINK")]
    pub sink: Option<String>,

    /// File (jsonl, csv; default standard output) or folder (parquet; default ./bars)
    #[arg(long, value_name = "PATH", env = "BARFLOW_OUT", value_hint = ValueHint::AnyPath)]
    pub out: Option<String>,

    /// How 64-bit integers are written in JSON: number, or string for readers that parse numbers into doubles
    /// [default: number]
    #[arg(long, value_name = "number|string", env = "BARFLOW_INT64")]
    pub int64: Option<String>,

    /// Also write to a file how far bars are complete, as JSON lines: bars.progress.jsonl beside bars.jsonl,
    /// _progress.jsonl in a folder, or FILE. For Kafka see --progress-topic
    #[arg(long, value_name = "FILE", env = "BARFLOW_PROGRESS", value_hint = ValueHint::FilePath)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub progress: Option<String>,
}

/// Which bars close besides those whose threshold is reached.
#[derive(Clone, Debug, Args)]
pub struct ClosingArgs {
    /// Time bars also of intervals without trades: prices of the last trade, no volume
    #[arg(long, help_heading = "Bars")]
    pub empty_bars: bool,

    /// Close bars that are still open at the end, with close_reason end
    #[arg(long, help_heading = "Output")]
    pub flush: bool,
}

/// What is expected of the trades.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Quality")]
pub struct ExpectationArgs {
    /// Validate the trades against this expectation suite while making bars (TOML, docs/quality.md)
    #[arg(long, value_name = "SUITE", env = "BARFLOW_QUALITY", value_hint = ValueHint::FilePath)]
    pub quality: Option<String>,
}

/// Where bad rows go.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Quality")]
pub struct QuarantineArgs {
    /// Write bad rows and frames to this file (JSON lines) and continue [default: stop at the first one;
    /// `live` logs them]
    #[arg(long, value_name = "FILE", env = "BARFLOW_QUARANTINE", value_hint = ValueHint::FilePath)]
    pub quarantine: Option<String>,

    /// Most bad rows that a run writes to the quarantine; the others are only counted
    /// [default: 100000]
    #[arg(long, value_name = "ROWS", env = "BARFLOW_QUARANTINE_MAX_ROWS")]
    pub quarantine_max_rows: Option<String>,

    /// Most bytes that a run writes to the quarantine, such as 20MB or 1GB [default: 100MB]
    #[arg(long, value_name = "SIZE", env = "BARFLOW_QUARANTINE_MAX_SIZE")]
    pub quarantine_max_size: Option<String>,
}

/// Which Kafka cluster.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct BrokerArgs {
    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT", env = "BARFLOW_BROKERS", hide_env_values = true)]
    pub brokers: Option<String>,
}

/// Which topics of which Kafka cluster.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct TopicArgs {
    /// Which cluster.
    #[command(flatten)]
    pub brokers: BrokerArgs,

    /// Kafka topic; placeholders {spec} {instrument} {venue} {market} {symbol}
    /// [default: bars.{spec}]
    #[arg(long, value_name = "TOPIC", env = "BARFLOW_TOPIC")]
    pub topic: Option<String>,
}

/// Which schema registry.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct RegistryArgs {
    /// Schema registry of avro-confluent: the URL of its Confluent interface
    #[arg(long, value_name = "URL", env = "BARFLOW_SCHEMA_REGISTRY", hide_env_values = true)]
    pub schema_registry: Option<String>,

    /// Where the registry's USER:PASSWORD is: ${NAME}, an environment variable, or ${file:/path}
    #[arg(
        long,
        value_name = "REFERENCE",
        env = "BARFLOW_SCHEMA_REGISTRY_LOGIN",
        hide_env_values = true
    )]
    pub schema_registry_login: Option<String>,

    /// Where a bearer token of the registry is, instead of a login: ${NAME} or ${file:/path}
    #[arg(
        long,
        value_name = "REFERENCE",
        env = "BARFLOW_SCHEMA_REGISTRY_TOKEN",
        hide_env_values = true
    )]
    pub schema_registry_token: Option<String>,
}

/// How bars are written to Kafka.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaArgs {
    /// Which topics.
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Kafka value encoding: json, avro (single-object), or avro-confluent (with a schema registry)
    /// [default: json]
    #[arg(long, value_name = "ENCODING", env = "BARFLOW_ENCODING")]
    pub encoding: Option<String>,

    /// Which schema registry.
    #[command(flatten)]
    pub registry: RegistryArgs,

    /// A schema that is not in the registry: never or check stop the run, check also compares it with the
    /// newest version there, auto registers it [default: check]
    #[arg(long, value_name = "never|check|auto", env = "BARFLOW_SCHEMA_REGISTER")]
    pub schema_register: Option<String>,

    /// Kafka keys: text (the instrument), or json ({"instrument":…,"spec":…,"last_trade_id":…})
    /// [default: text]
    #[arg(long, value_name = "text|json", env = "BARFLOW_KEY")]
    pub key: Option<String>,

    /// Headers of Kafka records: plain, or cloudevents to add ce_id, ce_source, ce_type, ce_specversion
    /// and ce_time [default: plain]
    #[arg(long, value_name = "plain|cloudevents", env = "BARFLOW_HEADERS")]
    pub headers: Option<String>,

    /// Create missing Kafka topics
    #[arg(long)]
    pub create_topics: bool,

    /// Also write the current bars, by key, to a compacted topic TOPIC.current beside each topic
    #[arg(long)]
    pub current: bool,

    /// Compacted topic for how far bars are complete, or off [default: bars.progress beside bars.{spec}]
    #[arg(long, value_name = "NAME|off", env = "BARFLOW_PROGRESS_TOPIC")]
    pub progress_topic: Option<String>,

    /// After Ctrl-C or SIGTERM, retry an interrupted commit for this long while Kafka is away
    /// [default: 30s]
    #[arg(long, value_name = "TIME", env = "BARFLOW_SHUTDOWN_TIMEOUT")]
    pub shutdown_timeout: Option<String>,
}

/// What a restart finds.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Recovery")]
pub struct RecoveryArgs {
    /// Delivery guarantee: exactly-once or at-least-once [default: exactly-once for kafka and for
    /// files of live, at-least-once for files of replay]
    #[arg(long, value_name = "HOW", env = "BARFLOW_DELIVERY")]
    pub delivery: Option<String>,

    /// Job name; a restart under the same name resumes [default: live; for a replay, derived from
    /// its instruments and topic]
    #[arg(long, value_name = "NAME", env = "BARFLOW_JOB")]
    pub job: Option<String>,

    /// Time between two commits of exactly-once delivery, and between records of progress [default: 1s]
    #[arg(long, value_name = "TIME", env = "BARFLOW_COMMIT_INTERVAL")]
    pub commit_interval: Option<String>,

    /// When another copy of the job has taken over: exit (code 4), or wait without doing anything until
    /// stopped, so that a supervisor does not start this copy again [default: exit]
    #[arg(long, value_name = "exit|wait", env = "BARFLOW_IF_TAKEN")]
    pub if_taken: Option<String>,

    /// Delete the job's checkpoint and start from the beginning
    #[arg(long)]
    pub reset_state: bool,
}
