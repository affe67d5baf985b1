//! The fields of a bar, read from the published Avro schema.

use std::sync::LazyLock;

use serde_json::Value;

use crate::sinks::encode::avro::SCHEMA;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A 64-bit integer.
    Long,
    /// ns since the Unix epoch.
    Time,
    Double,
    Bool,
}

/// A field of a bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) is_nullable: bool,
    pub(super) doc: String,
}

/// All fields, in their order.
pub(super) fn fields() -> &'static [Field] {
    static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
        // The text is part of the program, and a test reads it.
        let schema: Value = serde_json::from_str(SCHEMA).expect("bar.avsc is JSON");
        schema["fields"].as_array().into_iter().flatten().map(field).collect()
    });
    &FIELDS
}

fn field(field: &Value) -> Field {
    let text = |key: &str| field[key].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    // A union is null, then the type.
    let union = field["type"].as_array();
    let kind = match union.map_or(&field["type"], |types| &types[1]).as_str() {
        Some("long") if name.ends_with("_time") => Kind::Time,
        Some("long") => Kind::Long,
        Some("double") => Kind::Double,
        Some("boolean") => Kind::Bool,
        _ => Kind::Text,
    };
    Field { kind, is_nullable: union.is_some(), doc: text("doc"), name }
}
