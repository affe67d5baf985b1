//! Avro bars read with the published schema.

use apache_avro::types::Value as Avro;
use apache_avro::{GenericSingleObjectReader, Schema};
use barflow::sinks::encode::avro;
use barflow::sinks::record::BarRecord;
use barflow_operators::published::PublishedBar;

/// Decodes a single object with the published schema and compares it with the bar, field by field.
pub fn assert_same(mut bytes: &[u8], bar: &PublishedBar) {
    let schema = Schema::parse_str(avro::SCHEMA).unwrap();
    let reader = GenericSingleObjectReader::builder().schema(schema).build().unwrap();
    let Avro::Record(fields) = reader.read_value(&mut bytes).unwrap() else {
        panic!("not a record");
    };
    let found: Vec<_> = fields.into_iter().map(|(name, value)| (name, plain(value))).collect();
    assert_eq!(found, record_fields(bar));
    assert!(bytes.is_empty(), "bytes after the record");
}

/// The fields in order, from the JSON text: independent of the Avro writer.
fn record_fields(bar: &PublishedBar) -> Vec<(String, serde_json::Value)> {
    let text = serde_json::to_string(&BarRecord::from(bar)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let schema: serde_json::Value = serde_json::from_str(avro::SCHEMA).unwrap();
    let names = schema["fields"].as_array().unwrap().iter();
    let fields: Vec<_> = names
        .map(|field| field["name"].as_str().unwrap().to_owned())
        .map(|name| (name.clone(), value[&name].clone()))
        .collect();
    assert_eq!(fields.len(), value.as_object().unwrap().len(), "schema and record differ");
    fields
}

fn plain(value: Avro) -> serde_json::Value {
    match value {
        Avro::Null => serde_json::Value::Null,
        Avro::Boolean(flag) => flag.into(),
        Avro::Long(number) => number.into(),
        Avro::Double(number) => number.into(),
        Avro::String(text) => text.into(),
        Avro::Union(_, inner) => plain(*inner),
        other => panic!("unexpected {other:?}"),
    }
}
