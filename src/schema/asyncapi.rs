//! An AsyncAPI 3 document: the topics of a specification, their messages and bindings.
//!
//! Source: AsyncAPI 3.0.0, and its Kafka bindings 0.5.0.

use serde_json::{Map, Value, json};

use super::Source;
use super::json_schema::schema;
use crate::sinks::encode::Encoding;
use crate::sinks::encode::avro::SCHEMA;
use crate::sinks::kafka::{KeyFormat, current_of};
use crate::sinks::record::SCHEMA_VERSION;

pub(super) fn render(source: &Source) -> String {
    let current = current_of(&source.topic);
    let mut channels = Map::new();
    channels.insert(
        "bars".into(),
        channel(&source.topic, "Bars and retractions, in order; only ever added to.", "delete"),
    );
    channels.insert(
        "current".into(),
        channel(
            &current,
            "The current bar of each bar_id; a withdrawn bar is a tombstone (--current).",
            "compact",
        ),
    );
    let document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": format!("Bars of {}", source.topic),
            "version": format!("{SCHEMA_VERSION}.0.0"),
            "description": format!(
                "Read with isolation.level=read_committed. Keys are {}. Join on known_time, never on open_time.",
                match source.key {
                    KeyFormat::Text => "UTF-8 text",
                    KeyFormat::Json => "JSON objects",
                }
            ),
        },
        "servers": { "kafka": {
            "host": source.brokers.split(',').next().unwrap_or_default(),
            "protocol": "kafka",
        } },
        "channels": channels,
        "operations": {
            "readBars": operation("bars"),
            "readCurrentBars": operation("current"),
        },
        "components": { "messages": { "bar": message(source) } },
    });
    format!("{document:#}\n")
}

fn channel(topic: &str, description: &str, cleanup: &str) -> Value {
    json!({
        "address": topic,
        "description": description,
        "messages": { "bar": { "$ref": "#/components/messages/bar" } },
        "bindings": { "kafka": {
            "topic": topic,
            "topicConfiguration": { "cleanup.policy": [cleanup] },
            "bindingVersion": "0.5.0",
        } },
    })
}

fn operation(channel: &str) -> Value {
    json!({ "action": "receive", "channel": { "$ref": format!("#/channels/{channel}") } })
}

fn message(source: &Source) -> Value {
    let key = match source.key {
        KeyFormat::Text => json!({ "type": "string" }),
        KeyFormat::Json => json!({
            "type": "object",
            "properties": {
                "instrument": { "type": "string" },
                "spec": { "type": "string" },
                "last_trade_id": { "type": "integer", "minimum": 0 },
            },
            "required": ["instrument", "spec", "last_trade_id"],
        }),
    };
    let mut kafka = json!({ "key": key, "bindingVersion": "0.5.0" });
    if source.encoding == Encoding::AvroConfluent {
        kafka["schemaIdLocation"] = json!("payload");
        kafka["schemaIdPayloadEncoding"] = json!("confluent");
    }
    let payload = match source.encoding {
        Encoding::Json => schema(source.int64),
        // The text is part of the program, and a test reads it.
        Encoding::Avro | Encoding::AvroConfluent => json!({
            "schemaFormat": "application/vnd.apache.avro;version=1.9.0",
            "schema": serde_json::from_str::<Value>(SCHEMA).expect("bar.avsc is JSON"),
        }),
    };
    json!({
        "name": "Bar",
        "contentType": source.encoding.content_type(),
        "headers": { "type": "object", "properties": headers() },
        "payload": payload,
        "bindings": { "kafka": kafka },
    })
}

/// The headers of every record.
fn headers() -> Value {
    let names = [
        "spec",
        "schema_version",
        "state_digest",
        "close_reason",
        "synchronised",
        "content-type",
        "job",
    ];
    let properties: Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), json!({ "type": "string" }))).collect();
    Value::Object(properties)
}
