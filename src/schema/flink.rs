//! Tables of Flink SQL.
//!
//! Source: Flink's documentation, "Apache Kafka SQL Connector", "Upsert Kafka SQL Connector", "Confluent Avro Format".

use super::sql::{Types, columns, list, quoted, table_of};
use super::{NotReadable, Source};
use crate::sinks::encode::Encoding;
use crate::sinks::kafka::KeyFormat;

const TYPES: Types =
    Types { text: "STRING", long: "BIGINT", time: "BIGINT", double: "DOUBLE", bool: "BOOLEAN" };

/// The connector's jar has no codec for the compression that we choose where the user does not.
const JARS: &str =
    "-- Jars: flink-sql-connector-kafka and, as bars are compressed, com.github.luben:zstd-jni.\n";

pub(super) fn render(source: &Source) -> Result<String, NotReadable> {
    let format = format(source)?;
    Ok(match source.current {
        true => upserts(source, &format),
        false => append_only(source, &format),
    })
}

/// The options of the value's format, by their names without a prefix.
fn format(source: &Source) -> Result<Vec<(&'static str, String)>, NotReadable> {
    match source.encoding {
        Encoding::Json => Ok(vec![("format", "json".to_owned())]),
        Encoding::AvroConfluent => Ok(vec![
            ("format", "avro-confluent".to_owned()),
            ("avro-confluent.url", source.registry.clone()),
        ]),
        encoding @ Encoding::Avro => Err(NotReadable::Encoding {
            reader: "Flink",
            encoding,
            instead: "avro-confluent or json",
        }),
    }
}

fn append_only(source: &Source, format: &[(&'static str, String)]) -> String {
    let mut lines = columns(|name| format!("`{name}`"), |field| TYPES.of(field.kind).to_owned());
    lines.push("`known_at` AS TO_TIMESTAMP_LTZ(`known_time` / 1000000, 3)".to_owned());
    lines.push("WATERMARK FOR `known_at` AS `known_at` - INTERVAL '1' SECOND".to_owned());
    let mut options = vec![
        ("connector", "kafka".to_owned()),
        ("topic", source.topic()),
        ("properties.bootstrap.servers", source.brokers.clone()),
        ("properties.isolation.level", "read_committed".to_owned()),
        ("properties.group.id", format!("flink-{}", source.topic())),
        ("scan.startup.mode", "earliest-offset".to_owned()),
        // As an option of the table: SET is a statement of the SQL client alone.
        ("scan.watermark.idle-timeout", "5s".to_owned()),
    ];
    options.extend(format.iter().cloned());
    format!(
        "-- Bars as they are published: a row with retracts = TRUE withdraws the bar of the same bar_id.\n\
         -- known_at is when a bar was known (ms); join on it, never on open_time.\n{JARS}\n{}",
        create(&source.topic(), &lines, &options)
    )
}

fn upserts(source: &Source, format: &[(&'static str, String)]) -> String {
    let mut lines = columns(|name| format!("`{name}`"), |field| TYPES.of(field.kind).to_owned());
    let (key_format, primary_key, what) = match source.key {
        KeyFormat::Text => {
            lines.insert(0, "`bar_key` STRING".to_owned());
            ("raw", "`bar_key`", "bar_key is the bar_id (of --key text)")
        }
        KeyFormat::Json => {
            ("json", "`instrument`, `spec`, `last_trade_id`", "the key is that of --key json")
        }
    };
    lines.push(format!("PRIMARY KEY ({primary_key}) NOT ENFORCED"));
    let mut options = vec![
        ("connector", "upsert-kafka".to_owned()),
        ("topic", source.topic()),
        ("properties.bootstrap.servers", source.brokers.clone()),
        ("properties.isolation.level", "read_committed".to_owned()),
        ("properties.group.id", format!("flink-{}", source.topic())),
        ("key.format", key_format.to_owned()),
        ("value.fields-include", "EXCEPT_KEY".to_owned()),
    ];
    let text = {
        let values = format.iter().map(|(name, value)| (format!("value.{name}"), value.clone()));
        let all = options.drain(..).map(|(name, value)| (name.to_owned(), value)).chain(values);
        create(&source.topic(), &lines, &all.collect::<Vec<_>>())
    };
    format!("-- The current bars: {what}, a bar that was withdrawn disappears.\n{JARS}\n{text}")
}

fn create(topic: &str, lines: &[String], options: &[(impl AsRef<str>, String)]) -> String {
    let options: Vec<String> = options
        .iter()
        .map(|(name, value)| format!("{} = {}", quoted(name.as_ref()), quoted(value)))
        .collect();
    format!(
        "CREATE TABLE `{}` (\n{}\n) WITH (\n{}\n);\n",
        table_of(topic),
        list(lines),
        list(&options)
    )
}
