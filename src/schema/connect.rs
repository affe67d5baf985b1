//! Connectors of Kafka Connect.
//!
//! Sources: Kafka's documentation, "Kafka Connect"; Apache Iceberg's "Kafka Connect"; Confluent's "Amazon S3 Sink" and
//! "JDBC Sink"; ClickHouse's "ClickHouse Kafka Connect Sink".

use serde_json::{Map, Value, json};

use super::sql::table_of;
use super::{NotReadable, Source};
use crate::sinks::encode::Encoding;
use crate::sinks::kafka::KeyFormat;

/// Reads text.
const STRINGS: &str = "org.apache.kafka.connect.storage.StringConverter";
/// Reads JSON, here without a schema in each record.
const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

/// Where the connector writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connector {
    /// Lines of a file, the sink that comes with Kafka.
    File,
    /// A table of Apache Iceberg.
    Iceberg,
    /// Objects in S3.
    S3,
    /// A table of a database.
    Jdbc,
    /// A table of ClickHouse.
    Clickhouse,
}

pub(super) fn render(connector: Connector, source: &Source) -> Result<String, NotReadable> {
    let mut config = Map::new();
    let mut put = |key: &str, value: &str| config.insert(key.to_owned(), json!(value));
    put("topics", &source.topic());
    put("tasks.max", "1");
    // Connect reads uncommitted by default: bars of aborted transactions as well.
    put("consumer.override.isolation.level", "read_committed");
    put("consumer.override.auto.offset.reset", "earliest");
    match source.key {
        KeyFormat::Text => put("key.converter", STRINGS),
        KeyFormat::Json => {
            put("key.converter", JSON);
            put("key.converter.schemas.enable", "false")
        }
    };
    for (key, value) in of_values(connector, source)? {
        put(key, &value);
    }
    for (key, value) in of_connector(connector, source) {
        put(key, &value);
    }
    let name = format!("{}-{}", source.topic(), connector.as_str());
    Ok(format!("{:#}\n", json!({ "name": name, "config": Value::Object(config) })))
}

impl Connector {
    const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Iceberg => "iceberg",
            Self::S3 => "s3",
            Self::Jdbc => "jdbc",
            Self::Clickhouse => "clickhouse",
        }
    }
}

/// How values are read.
fn of_values(
    connector: Connector,
    source: &Source,
) -> Result<Vec<(&'static str, String)>, NotReadable> {
    match source.encoding {
        // Lines are written as they came.
        Encoding::Json if connector == Connector::File => {
            Ok(vec![("value.converter", STRINGS.to_owned())])
        }
        Encoding::Json => Ok(vec![
            ("value.converter", JSON.to_owned()),
            ("value.converter.schemas.enable", "false".to_owned()),
        ]),
        Encoding::AvroConfluent => Ok(vec![
            ("value.converter", "io.confluent.connect.avro.AvroConverter".to_owned()),
            ("value.converter.schema.registry.url", source.registry.clone()),
        ]),
        encoding @ Encoding::Avro => Err(NotReadable::Encoding {
            reader: "Kafka Connect",
            encoding,
            instead: "avro-confluent or json",
        }),
    }
}

fn of_connector(connector: Connector, source: &Source) -> Vec<(&'static str, String)> {
    let table = table_of(&source.topic);
    let of = |pairs: &[(&'static str, &str)]| {
        pairs.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
    };
    match connector {
        Connector::File => of(&[
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("file", &format!("{table}.jsonl")),
        ]),
        Connector::Iceberg => of(&[
            ("connector.class", "org.apache.iceberg.connect.IcebergSinkConnector"),
            ("iceberg.tables", &format!("barflow.{table}")),
            ("iceberg.tables.auto-create-enabled", "true"),
            ("iceberg.tables.evolve-schema-enabled", "true"),
            ("iceberg.tables.default-id-columns", "instrument,spec,last_trade_id"),
            ("iceberg.tables.default-partition-by", "instrument"),
            ("iceberg.catalog.type", "hadoop"),
            ("iceberg.catalog.warehouse", "file:///var/lib/iceberg"),
        ]),
        // By the record's time, never by the clock: only so are restarts exactly once.
        Connector::S3 => of(&[
            ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
            ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
            ("s3.bucket.name", "bars"),
            ("s3.region", "us-east-1"),
            ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
            ("partitioner.class", "io.confluent.connect.storage.partitioner.TimeBasedPartitioner"),
            ("path.format", "'date'=YYYY-MM-dd"),
            ("partition.duration.ms", "86400000"),
            ("timestamp.extractor", "Record"),
            ("rotate.interval.ms", "3600000"),
            ("flush.size", "100000"),
            ("locale", "en-US"),
            ("timezone", "UTC"),
        ]),
        Connector::Jdbc => of(&[
            ("connector.class", "io.confluent.connect.jdbc.JdbcSinkConnector"),
            ("connection.url", "jdbc:postgresql://localhost:5432/bars"),
            ("table.name.format", &table),
            ("insert.mode", "upsert"),
            ("pk.mode", "record_value"),
            ("pk.fields", "instrument,spec,last_trade_id,revision,retracts"),
            ("auto.create", "true"),
            ("auto.evolve", "true"),
        ]),
        Connector::Clickhouse => of(&[
            ("connector.class", "com.clickhouse.kafka.connect.ClickHouseSinkConnector"),
            ("hostname", "localhost"),
            ("port", "8443"),
            ("ssl", "true"),
            ("database", "default"),
            ("topic2TableMap", &format!("{}={table}", source.topic())),
        ]),
    }
}
