//! `barflow schema`.

use clap::{Args, ValueEnum};

use super::failure::{Failure, Outcome};
use super::stdout::print;
use crate::config::problem::Problems;
use crate::net::address::{Address, Speaks};
use crate::schema::{Artefact, Connector, Source};
use crate::sinks::encode::Encoding;
use crate::sinks::encode::json::Int64;
use crate::sinks::kafka::{KeyFormat, broker_problems, topic_of_bars};

const EXAMPLES: &str = "\
Examples:
  barflow schema duckdb > bars.sql && duckdb -init bars.sql
  barflow schema flink --spec dib --encoding avro-confluent --schema-registry http://localhost:8081
  barflow schema flink --spec dib --current
  barflow schema clickhouse --topic bars.dib | clickhouse-client --multiquery
  barflow schema kafka-connect --connector iceberg --spec dib --encoding avro-confluent \\
    | curl -H 'Content-Type: application/json' --data @- http://localhost:8083/connectors
docs/readers.md says how each reader treats transactions, keys, times and retractions.";

/// `barflow schema`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SchemaArgs {
    /// What is printed
    #[arg(value_enum, value_name = "FOR")]
    pub target: Target,

    /// Specification whose bars are read: {spec} in the topic
    #[arg(long, value_name = "NAME", default_value = "dib")]
    pub spec: String,

    /// Kafka topic, as it was given to the run that writes it
    #[arg(long, value_name = "TOPIC", default_value = "bars.{spec}", env = "BARFLOW_TOPIC")]
    pub topic: String,

    /// For the compacted topic of current bars, TOPIC.current
    #[arg(long)]
    pub current: bool,

    /// Kafka value encoding: json, avro or avro-confluent
    #[arg(long, value_name = "ENCODING", default_value = "json", env = "BARFLOW_ENCODING")]
    pub encoding: Encoding,

    /// Kafka keys: text or json; matters to flink --current, kafka-connect and asyncapi
    #[arg(long, value_name = "text|json", default_value = "text", value_parser = key)]
    #[arg(env = "BARFLOW_KEY")]
    pub key: KeyFormat,

    /// How 64-bit integers are written in JSON: number or string
    #[arg(long, value_name = "number|string", default_value = "number", value_parser = int64)]
    #[arg(env = "BARFLOW_INT64")]
    pub int64: Int64,

    /// Kafka brokers
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "localhost:9092",
        env = "BARFLOW_BROKERS"
    )]
    #[arg(hide_env_values = true)]
    pub brokers: String,

    /// Schema registry
    #[arg(long, value_name = "URL", default_value = "http://localhost:8081")]
    pub schema_registry: String,

    /// Connector of kafka-connect
    #[arg(long, value_enum, value_name = "SINK", default_value = "file")]
    pub connector: Sink,
}

/// What is printed, in the words of users.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Target {
    /// The Avro schema of a bar
    Avro,
    /// A JSON Schema of a bar
    JsonSchema,
    /// Tables of Flink SQL
    Flink,
    /// Tables of ClickHouse
    Clickhouse,
    /// Views of DuckDB over files
    Duckdb,
    /// A table of QuestDB
    Questdb,
    /// A connector of Kafka Connect
    KafkaConnect,
    /// An AsyncAPI document
    Asyncapi,
}

/// Where a connector writes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sink {
    /// A file of lines
    File,
    /// An Apache Iceberg table
    Iceberg,
    /// Objects in S3
    S3,
    /// A table of a database
    Jdbc,
    /// A ClickHouse table
    Clickhouse,
}

/// Prints the artefact.
///
/// # Errors
/// Impossible brokers, topic or URL, or bars that the reader cannot read.
pub fn run(args: &SchemaArgs) -> Result<Outcome, Failure> {
    let source = source(args)?;
    let text = artefact(args).render(&source);
    print(&text.map_err(|error| Failure::usage(anyhow::anyhow!(error)))?);
    Ok(Outcome::Done)
}

fn artefact(args: &SchemaArgs) -> Artefact {
    match args.target {
        Target::Avro => Artefact::Avro,
        Target::JsonSchema => Artefact::JsonSchema,
        Target::Flink => Artefact::Flink,
        Target::Clickhouse => Artefact::Clickhouse,
        Target::Duckdb => Artefact::Duckdb,
        Target::Questdb => Artefact::Questdb,
        Target::Asyncapi => Artefact::AsyncApi,
        Target::KafkaConnect => Artefact::KafkaConnect(match args.connector {
            Sink::File => Connector::File,
            Sink::Iceberg => Connector::Iceberg,
            Sink::S3 => Connector::S3,
            Sink::Jdbc => Connector::Jdbc,
            Sink::Clickhouse => Connector::Clickhouse,
        }),
    }
}

fn source(args: &SchemaArgs) -> Result<Source, Problems> {
    let mut problems = Problems::default();
    let topic = topic_of_bars(&args.topic, &args.spec);
    let topic = topic.unwrap_or_else(|what| {
        problems.add("--topic", what);
        String::new()
    });
    for what in broker_problems(&args.brokers) {
        problems.add("--brokers", what);
    }
    let registry = match Address::read("schema_registry", &args.schema_registry, Speaks::Http) {
        Ok(address) => address.to_string(),
        Err(what) => {
            problems.add("--schema-registry", what);
            String::new()
        }
    };
    problems.or(Source {
        topic,
        current: args.current,
        encoding: args.encoding,
        key: args.key,
        int64: args.int64,
        brokers: args.brokers.clone(),
        registry,
    })
}

fn key(text: &str) -> Result<KeyFormat, String> {
    let known = [KeyFormat::Text, KeyFormat::Json];
    let found = known.into_iter().find(|format| format.as_str() == text);
    found.ok_or_else(|| "must be text or json".to_owned())
}

fn int64(text: &str) -> Result<Int64, String> {
    let known = [Int64::Number, Int64::Text];
    let found = known.into_iter().find(|way| way.as_str() == text);
    found.ok_or_else(|| "must be number or string".to_owned())
}
