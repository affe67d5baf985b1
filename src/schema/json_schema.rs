//! A JSON Schema of the value (draft 2020-12).

use serde_json::{Map, Value, json};

use super::fields::{Field, Kind, fields};
use crate::sinks::encode::json::Int64;
use crate::sinks::record::SCHEMA_VERSION;

pub(super) fn render(int64: Int64) -> String {
    format!("{:#}\n", schema(int64))
}

/// The schema as JSON.
pub(super) fn schema(int64: Int64) -> Value {
    let mut properties = Map::new();
    for field in fields() {
        properties.insert(field.name.clone(), property(field, int64));
    }
    let required: Vec<&str> = fields().iter().map(|field| field.name.as_str()).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Bar",
        "description": format!(
            "A bar, schema version {SCHEMA_VERSION}. Fields are only ever added. Join on known_time, never on open_time."
        ),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": true,
    })
}

fn property(field: &Field, int64: Int64) -> Value {
    let name = match (field.kind, int64) {
        (Kind::Text, _) => "string",
        (Kind::Bool, _) => "boolean",
        (Kind::Double, _) => "number",
        // A revision fits a double, and is always a number.
        (Kind::Long | Kind::Time, Int64::Text) if field.name != "revision" => "string",
        (Kind::Long | Kind::Time, _) => "integer",
    };
    // JSON has neither NaN nor infinities: they are null.
    let kind = match field.is_nullable || field.kind == Kind::Double {
        true => json!([name, "null"]),
        false => json!(name),
    };
    let mut property = json!({ "type": kind, "description": field.doc });
    if name == "string" && matches!(field.kind, Kind::Long | Kind::Time) {
        property["pattern"] = json!("^-?[0-9]+$");
    }
    property
}
