//! What readers of bars paste: schemas, table definitions, settings of connectors.
//!
//! Every artefact is made from the published Avro schema, so that a field that is added to a bar is in all of them.
//! Pure: text in, text out.

mod asyncapi;
mod clickhouse;
mod connect;
mod duckdb;
mod fields;
mod flink;
mod json_schema;
mod questdb;
mod sql;

pub use connect::Connector;

use crate::sinks::encode::Encoding;
use crate::sinks::encode::avro::SCHEMA;
use crate::sinks::encode::json::Int64;
use crate::sinks::kafka::{KeyFormat, current_of};

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artefact {
    /// The Avro schema of the value.
    Avro,
    /// A JSON Schema of the value.
    JsonSchema,
    /// Tables of Flink SQL.
    Flink,
    /// Tables of ClickHouse.
    Clickhouse,
    /// Views of DuckDB over files.
    Duckdb,
    /// A table of QuestDB.
    Questdb,
    /// A connector of Kafka Connect.
    KafkaConnect(Connector),
    /// An AsyncAPI document.
    AsyncApi,
}

/// Which bars, and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The append-only topic.
    pub topic: String,
    /// Whether the compacted topic `TOPIC.current` is meant.
    pub current: bool,
    /// How values are encoded.
    pub encoding: Encoding,
    /// How keys are written.
    pub key: KeyFormat,
    /// How 64-bit integers are written in JSON.
    pub int64: Int64,
    /// `HOST:PORT,…` of the brokers.
    pub brokers: String,
    /// Where the registry is.
    pub registry: String,
}

impl Source {
    /// The topic that is read.
    fn topic(&self) -> String {
        match self.current {
            true => current_of(&self.topic),
            false => self.topic.clone(),
        }
    }
}

/// Why there is no such artefact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReadable {
    /// The reader does not know the encoding.
    #[error(
        "{reader} does not read bars encoded as {encoding}: write them with --encoding {instead}"
    )]
    Encoding {
        /// The reader.
        reader: &'static str,
        /// The encoding.
        encoding: Encoding,
        /// What it reads.
        instead: &'static str,
    },
    /// The reader cannot apply tombstones.
    #[error(
        "{reader} does not apply the tombstones of {topic}: read {instead}, whose rows say what they retract"
    )]
    Tombstones {
        /// The reader.
        reader: &'static str,
        /// The compacted topic.
        topic: String,
        /// The append-only one.
        instead: String,
    },
}

impl Artefact {
    /// The text to paste.
    ///
    /// # Errors
    /// When the reader cannot read such bars.
    pub fn render(self, source: &Source) -> Result<String, NotReadable> {
        Ok(match self {
            Self::Avro => SCHEMA.to_owned(),
            Self::JsonSchema => json_schema::render(source.int64),
            Self::Flink => flink::render(source)?,
            Self::Clickhouse => clickhouse::render(source)?,
            Self::Duckdb => duckdb::render(),
            Self::Questdb => questdb::render(),
            Self::KafkaConnect(connector) => connect::render(connector, source)?,
            Self::AsyncApi => asyncapi::render(source),
        })
    }
}

#[cfg(test)]
mod tests;
