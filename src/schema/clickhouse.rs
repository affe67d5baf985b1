//! Tables of ClickHouse.
//!
//! Source: ClickHouse's documentation, "Kafka engine", "AvroConfluent", "ReplacingMergeTree".

use super::fields::{Field, Kind};
use super::sql::{self, Types, columns, list, table_of};
use super::{NotReadable, Source};
use crate::sinks::encode::Encoding;

const TYPES: Types =
    Types { text: "String", long: "Int64", time: "Int64", double: "Float64", bool: "Bool" };

pub(super) fn render(source: &Source) -> Result<String, NotReadable> {
    let reader = "ClickHouse";
    if source.current {
        let (topic, instead) = (source.topic(), source.topic.clone());
        return Err(NotReadable::Tombstones { reader, topic, instead });
    }
    let mut settings = vec![
        ("kafka_broker_list", quoted(&source.brokers)),
        ("kafka_topic_list", quoted(&source.topic)),
        ("kafka_group_name", quoted(&format!("clickhouse-{}", source.topic))),
    ];
    match source.encoding {
        Encoding::Json => settings.extend([
            ("kafka_format", quoted("JSONEachRow")),
            ("input_format_skip_unknown_fields", "1".to_owned()),
            // Older releases read a number fast by default, and then its last bit may differ.
            ("precise_float_parsing", "1".to_owned()),
        ]),
        Encoding::AvroConfluent => settings.extend([
            ("kafka_format", quoted("AvroConfluent")),
            ("format_avro_schema_registry_url", quoted(&source.registry)),
        ]),
        encoding @ Encoding::Avro => {
            return Err(NotReadable::Encoding {
                reader,
                encoding,
                instead: "avro-confluent or json",
            });
        }
    }
    let settings: Vec<String> =
        settings.into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let table = table_of(&source.topic);
    let queue = columns(|name| format!("`{name}`"), type_of);
    let mut bars = queue.clone();
    bars.push("`version` DateTime64(9, 'UTC') DEFAULT now64(9)".to_owned());
    bars.push("`is_deleted` UInt8 DEFAULT toUInt8(retracts)".to_owned());
    Ok(format!(
        "-- The newest row of a bar_id counts, and one that retracts removes the bar. version is the time of\n\
         -- arrival: offsets and revisions begin again when a topic is recreated, it does not. Of the same\n\
         -- version, the row that arrived last counts. Bars that the new topic does not have stay: empty the\n\
         -- table first.\n\
         CREATE TABLE {table} (\n{}\n) ENGINE = ReplacingMergeTree(version, is_deleted)\n\
         ORDER BY (instrument, spec, last_trade_id);\n\n\
         CREATE TABLE {table}_queue (\n{}\n) ENGINE = Kafka\nSETTINGS\n{};\n\n\
         CREATE MATERIALIZED VIEW {table}_reader TO {table} AS\nSELECT * FROM {table}_queue;\n\n\
         -- The current bars. Join on known_time, never on open_time.\n\
         -- SELECT * FROM {table} FINAL ORDER BY instrument, spec, last_trade_id;\n",
        list(&bars),
        list(&queue),
        list(&settings),
    ))
}

/// A literal text; a backslash escapes what follows it.
fn quoted(text: &str) -> String {
    sql::quoted(&text.replace('\\', "\\\\"))
}

fn type_of(field: &Field) -> String {
    let of_kind = TYPES.of(field.kind);
    // JSON writes null for what is not a number.
    match field.is_nullable || field.kind == Kind::Double {
        true => format!("Nullable({of_kind})"),
        false => of_kind.to_owned(),
    }
}
